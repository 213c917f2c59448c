"""What the field lines of requests mean, remembered for all connections of a process.

A client sends the same lines again and again; behind a proxy of ours the same connection brings
the lines of many. What is remembered is bounded; what was used longest ago leaves first.
"""

from collections import OrderedDict
from typing import Final

_MAX_ENTRIES: Final = 2048
MAX_LINES_BYTES: Final = 4096
"""Of one request's lines; a browser's have about 600 bytes, and a token 900."""


class KnownLines[T]:
    """Field lines, as they stood on the wire, and what they mean."""

    __slots__ = ("_entries",)

    def __init__(self) -> None:
        self._entries: OrderedDict[bytes, T] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def find(self, lines: bytes) -> T | None:
        """What was kept of exactly these lines."""
        known = self._entries.get(lines)
        if known is not None:
            self._entries.move_to_end(lines)
        return known

    def keep(self, lines: bytes, meaning: T) -> None:
        """Keep what they mean, unless they are long."""
        if len(lines) <= MAX_LINES_BYTES:
            self._entries[lines] = meaning
            if len(self._entries) > _MAX_ENTRIES:
                self._entries.popitem(last=False)
