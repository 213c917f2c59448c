"""Recording: what passes, as a flow file that can be shared and judged again.

A flow holds no secret anyway. What is written of it names no pod either: its address becomes an
alias, the same for the whole of a file. ``docs/replay.md`` says what else stands in a recording.
"""

import contextlib
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from mitmproxy import ctx, exceptions, http
from mitmproxy.io import tnetstring

from route_addon.carry.evidence import EVIDENCE
from route_addon.carry.faults import describe_fault
from route_addon.config.workers import Worker
from route_addon.core.router import Router
from route_addon.debug.aliases import Aliases, redact
from route_addon.debug.recording import BadRecording, skim_flows
from route_addon.debug.replay import DIFFERENT, compare
from route_addon.options import BadOption
from route_addon.start import refuse_start

logger = logging.getLogger(__name__)

_PRIVATE: Final = 0o600
_APPEND: Final = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NONBLOCK
"""Nobody waits for whoever might read from a pipe, which is refused."""


class RecordingFile:
    """A file that holds whole flows at any time, whatever happens to the disk.

    Args:
        path: The file; what it holds stays, and aliases begin anew behind it.

    Raises:
        BadRecording: It holds something else than whole flows, which would be spoilt.
        OSError: It cannot be written to.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.aliases = Aliases()
        self.count = 0
        self._file = os.fdopen(os.open(Path(path).expanduser(), _APPEND, _PRIVATE), "rb+", 0)
        try:
            skim_flows(path, self._file)
        except BaseException:
            self._file.close()
            raise

    def write(self, flow: http.HTTPFlow) -> None:
        """Add a flow that has been redacted: all of it, or nothing.

        Raises:
            OSError: There is no room for it.
        """
        rest = memoryview(tnetstring.dumps(flow.get_state()))
        begin = self._file.seek(0, os.SEEK_END)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError:
            with contextlib.suppress(OSError):
                self._file.truncate(begin)
            raise
        self.count += 1

    def close(self) -> None:
        """Write no more."""
        self._file.close()


class Recorder:
    """Writes flows to the file that ``route_record`` names, as each of them ends.

    Args:
        worker: Which of several processes this is: each but the first has a file of its own,
            named after its number.
        router: The router in force; None while there is none.
    """

    name = "route_recorder"

    def __init__(self, worker: Worker, router: Callable[[], Router | None]) -> None:
        self._router = router
        self._suffix = f".{worker.index}" if worker.index else ""
        self._file: RecordingFile | None = None
        self._is_running = False

    def configure(self, updated: set[str]) -> None:
        """Begin a recording, or end it; not before the router runs, which it may be never.

        Raises:
            OptionsError: The file cannot be written to; mitmproxy then puts the old one back.
        """
        if "route_record" in updated and self._is_running:
            try:
                self._open(ctx.options.route_record)
            except BadOption as error:
                raise exceptions.OptionsError(str(error)) from None

    def running(self) -> None:
        """Begin the recording that is wanted from the start."""
        self._is_running = True
        try:
            self._open(ctx.options.route_record)
        except BadOption as error:
            refuse_start(str(error))

    def _open(self, path: str) -> None:
        if path:
            path += self._suffix
        if path == (self._file.path if self._file is not None else ""):
            return
        try:
            opened = RecordingFile(path) if path else None
        except OSError as error:
            fault = f"cannot be written to ({error.strerror})"
            raise BadOption("route_record", path, fault) from None
        except BadRecording:
            fault = "holds something else than whole flows; name another file"
            raise BadOption("route_record", path, fault) from None
        self._close()
        self._file = opened

    def done(self) -> None:
        """End the recording."""
        self._close()

    def response(self, flow: http.HTTPFlow) -> None:
        """Record an exchange that has ended; a WebSocket has only begun."""
        if flow.websocket is None:
            self._record(flow)

    def error(self, flow: http.HTTPFlow) -> None:
        """Record an exchange that was cut."""
        self._record(flow)

    def websocket_end(self, flow: http.HTTPFlow) -> None:
        """Record a WebSocket."""
        self._record(flow)

    def _record(self, flow: http.HTTPFlow) -> None:
        if self._file is None or not flow.live:
            return
        try:
            redacted = redact(flow, self._file.aliases)
            self._withdraw_odd_decision(redacted)
            self._file.write(redacted)
        except OSError as error:
            self._give_up(f"{self._file.path}: {error.strerror}")
        except Exception as fault:
            logger.error("a flow was not recorded: %s", describe_fault(fault))

    def _withdraw_odd_decision(self, redacted: http.HTTPFlow) -> None:
        """Leave out a decision that the recording does not lead to.

        So it is where a whole target had to be hidden, with a token's escapes all over it: it
        would be found different for ever.
        """
        router = self._router()
        if router is not None and compare(redacted, router).verdict == DIFFERENT:
            logger.info("a flow is recorded without its decision: its target had to be hidden")
            redacted.metadata[EVIDENCE]["decision"] = None

    def _give_up(self, reason: str) -> None:
        """Traffic goes on without being recorded."""
        assert self._file is not None
        logger.warning("the recording ends after %d flows: %s", self._file.count, reason)
        self._close()
        ctx.options.update(route_record="")

    def _close(self) -> None:
        if self._file is not None:
            logger.info("recorded %d flows in %s", self._file.count, self._file.path)
            self._file.close()
            self._file = None
