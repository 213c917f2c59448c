"""What the field lines of requests mean, remembered for all connections of a process.

A client sends the same lines again and again; behind a proxy of ours the same connection brings
the lines of many. What is remembered is bounded; what was used longest ago leaves first.
"""

from collections import OrderedDict
from typing import Final

MAX_BYTES: Final = 16 * 2**20
"""What all of them take together: those of two thousand browsers."""
_COST_BYTES: Final = 1000
_COST_LINE_BYTES: Final = 300
"""What a request takes beside its lines, and each line once it has been read: measured."""
MAX_LINES_BYTES: Final = 4096
"""Of one request's lines; a browser's have about 600 bytes, and a token 900."""


class KnownLines[T]:
    """Field lines, as they stood on the wire, and what they mean."""

    __slots__ = ("_entries", "used_bytes")

    def __init__(self) -> None:
        self._entries: OrderedDict[bytes, T] = OrderedDict()
        self.used_bytes = 0
        """About how much they take."""

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
        if len(lines) > MAX_LINES_BYTES or lines in self._entries:
            return
        self._entries[lines] = meaning
        self.used_bytes += _cost(lines)
        while self.used_bytes > MAX_BYTES:
            oldest, _ = self._entries.popitem(last=False)
            self.used_bytes -= _cost(oldest)


def _cost(lines: bytes) -> int:
    return _COST_BYTES + 3 * len(lines) + _COST_LINE_BYTES * lines.count(b"\n")
