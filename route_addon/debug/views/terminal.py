"""A terminal: terminado's JSON, or bare text as abcdesktop's service speaks it.

What is typed is never shown, only how much: a password is typed too, and unlike the rest of what
is typed no terminal shows it again. What a shell writes is what its user sees, so it is shown.
"""

import json
import re
from collections.abc import Sequence
from typing import Any, Final

from mitmproxy import contentviews

from route_addon.debug.views.location_view import MAX_CHARS, MessageView, bound, describe_direction
from route_addon.debug.views.tally import shorten

_SEQUENCES: Final = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI (ECMA-48 5.4): colours, where the cursor goes
    r"|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?"  # OSC: the window's title
    r"|\x1b[ -/]*[0-~]"
)
_CLIENT_TYPES: Final = frozenset({"stdin", "set_size"})
_POD_TYPES: Final = frozenset({"stdout", "setup", "disconnect", "switch_term"})
_MAX_JSON_BYTES: Final = 2**20


class Terminal(MessageView):
    """What a shell and its viewer say to each other."""

    name = "Terminal"
    locations = frozenset({"/terminals/"})

    def prettify(self, data: bytes, metadata: contentviews.Metadata) -> str:
        """Describe one message."""
        message = metadata.websocket_message
        is_typed = message is None or message.from_client
        content = _parse(data, _CLIENT_TYPES if is_typed else _POD_TYPES)
        if content is not None:
            lines = _describe(content)
        else:
            text = data.decode("utf-8", "replace")
            lines = _describe_typed("typed", text) if is_typed else _describe_written(text)
        return bound("\n".join([describe_direction(metadata, len(data)), *lines]))


def _parse(data: bytes, types: frozenset[str]) -> Sequence[Any] | None:
    """A message of terminado's: a JSON list that begins with its type; None for anything else."""
    if not data.startswith(b"[") or len(data) > _MAX_JSON_BYTES:
        return None
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        return None
    is_message = isinstance(content, list) and content and isinstance(content[0], str)
    return content if is_message and content[0] in types else None


def _describe(content: Sequence[Any]) -> list[str]:
    kind, *values = content
    if kind == "stdin":
        return _describe_typed("stdin", "".join(map(str, values)))
    if kind == "stdout":
        return ["stdout", *_describe_written("".join(map(str, values)))]
    if kind == "set_size":
        return [f"set_size, rows and columns: {_list(values[:2])}"]
    return [f"{kind}: {_list(values)}"]


def _list(values: Sequence[Any]) -> str:
    return shorten(", ".join(str(it) if isinstance(it, str | int) else "…" for it in values[:8]))


def _describe_typed(what: str, text: str) -> list[str]:
    ends = text.count("\r") + text.count("\n")
    return [f"{what}: {len(text)} characters, {ends} line ends; what is typed is not shown"]


def _describe_written(text: str) -> list[str]:
    plain = _SEQUENCES.sub("", text[: 4 * MAX_CHARS]).replace("\r\n", "\n")
    return [f"{len(text)} characters", "", plain]
