"""A key of mitmproxy's console that explains the flow in focus: it shows no view of a request
without content."""

from typing import Final

from mitmproxy import ctx

_KEY: Final = "y"
_CONTEXTS: Final = ("flowlist", "flowview")


class ConsoleKey:
    """Binds the key, unless somebody has bound it to something else."""

    name = "route_console_key"

    def running(self) -> None:
        """Bind it, in the console."""
        keymap = getattr(ctx.master, "keymap", None)
        if keymap is None:
            return
        free = [context for context in _CONTEXTS if keymap.get(context, _KEY) is None]
        if free:
            keymap.add(_KEY, "route.explain @focus", free, "Explain where it went, and why")
