"""The history of commands, without what must not be kept.

mitmproxy writes each command that is typed to a file, before it is run.
"""

import re
from typing import Final

from mitmproxy import command, ctx

from route_addon.core.credentials import redact

_TOKEN_COMMAND: Final = "route.token.inspect"
_FIELDS_COMMAND: Final = re.compile(r"(\s*route\.decide\s+\S+\s+\S+)\s.*", re.DOTALL)


class History:
    """Stands before mitmproxy's own command that adds to the history."""

    name = "route_history"

    @command.command("commands.history.add")
    def add(self, command: str) -> None:
        """Add a command to the history: without tokens, and without the fields of a request."""
        history = ctx.master.addons.get("commandhistory")
        if history is not None:
            history.add_command(clean(command))
        forget_typed()


def forget_typed() -> None:
    """Let mitmproxy forget the commands that it has parsed, those that are half typed too."""
    ctx.master.commands.parse_partial.cache_clear()


def clean(line: str) -> str:
    """A command as it may be kept.

    Args:
        line: As it was typed.
    """
    name = line.split(maxsplit=1)[0] if line.strip() else ""
    if name == _TOKEN_COMMAND:
        return name
    line = _FIELDS_COMMAND.sub(r"\1", line)
    return redact(line.encode("utf-8", "surrogateescape")).decode("utf-8", "surrogateescape")
