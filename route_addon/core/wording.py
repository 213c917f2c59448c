"""How a person is told of things: sizes, times, refusals, and what strangers wrote."""

from datetime import UTC, datetime
from typing import Final

from route_addon.core.errors import RouteError
from route_addon.core.framing import CHUNKED, UNTIL_END

_MAX_CHARS: Final = 200
_UNITS: Final = (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10))


def describe_error(error: RouteError) -> str:
    """A refusal in one line."""
    return f"{error.status} {error.slug}: {error.detail or error.reason}"


def describe_time(time: float) -> str:
    """A time.

    Args:
        time: In seconds since the epoch.
    """
    try:
        return f"{datetime.fromtimestamp(time, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (ValueError, OverflowError, OSError):
        return f"{printable(str(time), 40)} s since the epoch"


def describe_size(size_bytes: int) -> str:
    """A number of bytes, in the largest unit that leaves it whole."""
    for unit, unit_bytes in _UNITS:
        if size_bytes and size_bytes % unit_bytes == 0:
            return f"{size_bytes // unit_bytes} {unit}"
    return f"{size_bytes} bytes"


def describe_length(length: int) -> str:
    """The length of a message's content, as ``core.framing`` says it."""
    if length == 0:
        return "no content"
    marks = {CHUNKED: "chunked content", UNTIL_END: "content until the stream's end"}
    return marks.get(length) or describe_size(length)


def printable(text: str | bytes, max_chars: int = _MAX_CHARS) -> str:
    """A text that a stranger chose, bounded and on one line.

    Args:
        text: Any text.
        max_chars: What is longer is cut.
    """
    if isinstance(text, bytes):
        # Four bytes make a character at most.
        text = text[: max_chars * 4 + 1].decode("utf-8", "backslashreplace")
    shown = "".join(_escape(char) for char in text[:max_chars])
    return shown if len(text) <= max_chars else f"{shown}..."


def _escape(char: str) -> str:
    return char if char.isprintable() else ascii(char)[1:-1]
