"""Writes lines beside the loop: whoever has one never waits, and what does not fit is dropped."""

import logging
from collections import deque
from collections.abc import Callable
from threading import Event, Thread
from typing import Final

from route_addon.carry.faults import describe_fault
from route_addon.serve.access_log.sinks import Sink

logger = logging.getLogger(__name__)

MAX_LINES: Final = 8192
"""What waits at most; a line is a few hundred bytes, and 4 KiB at most."""
_GATHER_S: Final = 0.05
"""How long the first line waits for others: a thread that wakes for each costs the loop dearly."""
_CLOSE_S: Final = 2.0
"""How long the last lines may take."""


class LineWriter:
    """A bounded queue of lines, and the thread that empties it.

    Args:
        sink: Where lines go.
        tell: Told in the thread, in a sentence, that lines begin to be lost, or no longer are.
    """

    def __init__(self, sink: Sink, tell: Callable[[str], None]) -> None:
        self.written = 0
        self._sink = sink
        self._tell = tell
        self._lines: deque[bytes] = deque()
        self._overflowed = 0
        self._failed = 0
        self._is_failing = False
        self._wake = Event()
        self._closing = Event()
        self._thread = Thread(target=self._run, name="access log", daemon=True)
        self._thread.start()

    @property
    def dropped(self) -> int:
        """Lines that are lost."""
        return self._overflowed + self._failed

    def write(self, line: bytes) -> None:
        """Take a line, or drop it when too many wait."""
        if len(self._lines) >= MAX_LINES:
            self._overflowed += 1
            return
        self._lines.append(line)
        if not self._wake.is_set():
            self._wake.set()

    def close(self) -> None:
        """Write what waits, as far as that is possible in a little time."""
        self._closing.set()
        self._wake.set()
        self._thread.join(_CLOSE_S)

    def _run(self) -> None:
        while not self._closing.is_set():
            self._wake.wait()
            self._closing.wait(_GATHER_S)
            self._wake.clear()
            self._guard()
        self._sink.close()

    def _guard(self) -> None:
        """Write what waits. A fault of ours costs these lines, and not the log."""
        try:
            while self._lines:
                self._write(self._take())
        except Exception as fault:
            self._failed += len(self._lines)
            self._lines.clear()
            logger.error("the access log failed: %s", describe_fault(fault))

    def _take(self) -> list[bytes]:
        """As many lines as go into one write."""
        lines = self._lines
        batch = [lines.popleft()]
        room = self._sink.batch_bytes - len(batch[0])
        while lines and (room := room - len(lines[0])) >= 0:
            batch.append(lines.popleft())
        return batch

    def _write(self, batch: list[bytes]) -> None:
        try:
            self._sink.write(b"".join(batch))
        except OSError as error:
            self._failed += len(batch)
            self._note(is_failing=True, why=error.strerror or type(error).__name__)
        else:
            self.written += len(batch)
            self._note(is_failing=False)

    def _note(self, *, is_failing: bool, why: str = "") -> None:
        if is_failing != self._is_failing:
            self._is_failing = is_failing
            told = f"loses lines: {why}" if is_failing else "is written again"
            self._tell(f"the access log {told}")
