"""Bytes of one direction that come in portions, read by a generator that says what it wants next.

So a protocol's grammar is written down in the order in which it is spoken, wherever the portions
are cut.
"""

from collections.abc import Generator
from typing import NamedTuple


class Skip(NamedTuple):
    """The next bytes, which are not looked at, and so not kept either."""

    size: int


class More:
    """Something, of which nothing is taken yet.

    Whoever goes by what the other direction said last waits for this first.
    """


type Reading[T] = Generator[int | Skip | More, bytes, T]
"""Yields how many bytes it wants, and is sent them; or a ``Skip`` or ``More``, and is sent none."""


class Lost(Exception):
    """The bytes cannot be followed any further; its text says why."""


class Closed(Lost):
    """Nothing of what follows can be read, in either direction."""


def read_number(size: int) -> Reading[int]:
    """An unsigned number in network byte order."""
    return int.from_bytes((yield size), "big")


def read_signed(size: int) -> Reading[int]:
    """A signed number in network byte order."""
    return int.from_bytes((yield size), "big", signed=True)


def read_text(size: int, max_bytes: int = 256) -> Reading[str]:
    """The beginning of a text whose size its sender chose; the rest of it is skipped."""
    text = yield min(size, max_bytes)
    yield Skip(size - len(text))
    return text.decode("utf-8", "replace")


class Stream:
    """Feeds a reading.

    Args:
        reading: Reads without end, or raises ``Lost``.
    """

    def __init__(self, reading: Reading[None]) -> None:
        self._reading = reading
        self._wanted = next(reading)
        self._kept = b""
        self.steps = 0
        """How many things it has wanted and had."""

    def feed(self, data: bytes, max_steps: int) -> None:
        """Read a portion.

        Args:
            data: The portion.
            max_steps: How many things may be wanted of it.

        Raises:
            Lost: The reading gave up, or wanted too many.
        """
        data, self._kept = self._kept + data, b""
        position, end = 0, self.steps + max_steps
        while self.steps < end:
            wanted = self._wanted
            if isinstance(wanted, Skip):
                left = wanted.size - (len(data) - position)
                if left > 0:
                    self._wanted = Skip(left)
                    return
                position += wanted.size
                self._wanted = self._reading.send(b"")
            elif isinstance(wanted, More):
                if position == len(data):
                    return
                self._wanted = self._reading.send(b"")
            elif len(data) - position < wanted:
                self._kept = data[position:]
                return
            else:
                start, position = position, position + wanted
                self._wanted = self._reading.send(data[start:position])
            self.steps += 1
        raise Lost("too many parts to read")
