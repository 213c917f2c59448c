"""The files that mitmproxy is told to replay: read to their ends before anything is done."""

from collections.abc import Callable, Iterator
from typing import Final

from mitmproxy import ctx, exceptions

from route_addon.core.router import Router
from route_addon.debug.recording import BadRecording, read_recording
from route_addon.debug.server_replay import read_answers
from route_addon.options import BadOption
from route_addon.start import refuse_start

_OPTIONS: Final = ("rfile", "client_replay", "server_replay")
_STDIN: Final = ("rfile", "-")
"""Read once it is wanted: no file is there to look at before."""


class ReplayedFiles:
    """Looks at files that an option names.

    Args:
        router: The router in force; None while there is none.
    """

    name = "route_replayed_files"

    def __init__(self, router: Callable[[], Router | None]) -> None:
        self._router = router
        self._is_running = False

    def configure(self, updated: set[str]) -> None:
        """Refuse a file that cannot be used.

        Raises:
            OptionsError: It cannot, and the router runs.
        """
        try:
            for name in _OPTIONS:
                if name in updated:
                    self._check(name)
        except BadOption as error:
            if not self._is_running:
                refuse_start(str(error))
            raise exceptions.OptionsError(str(error)) from None

    def running(self) -> None:
        """From now on a bad file is no reason to end."""
        self._is_running = True

    def _check(self, name: str) -> None:
        value = getattr(ctx.options, name, None) or ()
        for path in (value,) if isinstance(value, str) else value:
            if (name, path) == _STDIN:
                continue
            try:
                for _ in self._read(name, path):
                    pass
            except BadRecording as error:
                raise BadOption(name, path, str(error)) from None

    def _read(self, name: str, path: str) -> Iterator[object]:
        router = self._router() if name == "server_replay" else None
        return read_recording(path) if router is None else read_answers(path, router)
