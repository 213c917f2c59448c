"""mitmproxy commands that record what passes, and decide recordings again."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from mitmproxy import command, ctx, exceptions, types

from route_addon.core.router import Router
from route_addon.debug.readable import make_readable
from route_addon.debug.recording import BadRecording
from route_addon.debug.replay import report, sum_up

_MAX_BYTES: Final = 16 * 2**20
"""Nothing else happens in the process while a recording is decided again."""


class ReplayCommands:
    """Commands for the console, mitmweb's command bar, and scripts.

    Args:
        router: The router in force; None while there is none.
    """

    name = "route_replay_commands"

    def __init__(self, router: Callable[[], Router | None]) -> None:
        self._router = router

    @command.command("route.record")
    def record(self, path: types.Path = types.Path("")) -> str:  # noqa: B008
        """Record what passes in a file, from now on; without a file, end the recording."""
        try:
            ctx.options.update(route_record=str(path))
        except exceptions.OptionsError as error:
            raise exceptions.CommandError(str(error)) from None
        return f"recording in {path}" if path else "recording no more"

    @command.command("route.replay")
    def replay(self, path: types.Path) -> Sequence[str]:
        """Decide the requests of a recording again, and tell what differs."""
        router = self._router()
        if router is None:
            raise exceptions.CommandError("no router is in force")
        try:
            _check_size(path)
            counts: Counter[str] = Counter()
            lines = list(report(path, router, counts))
        except (BadRecording, OSError) as error:
            raise exceptions.CommandError(str(error)) from None
        return make_readable("\n".join([sum_up(counts), *lines]))


def _check_size(path: str) -> None:
    """Check that a recording is one of those that take no long time.

    Raises:
        BadRecording: It is not.
        OSError: It cannot be looked at.
    """
    size = Path(path).expanduser().stat().st_size
    if size > _MAX_BYTES:
        advice = (
            f"is {size} bytes, and traffic would wait: run route-addon replay beside the router"
        )
        raise BadRecording(path, None, advice)
