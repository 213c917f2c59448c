"""A request's content on an HTTP/2 stream: what has come and was not taken yet."""

from typing import NamedTuple

from route_addon.core.errors import BadFraming
from route_addon.core.framing import UNTIL_END


class Portion(NamedTuple):
    """Content to give on."""

    pieces: list[bytes]
    """In order; none of them empty."""
    credit_bytes: int
    """What it took of the client's window."""


class Intake:
    """Content, held against the length that was announced.

    Args:
        is_whole: Whether there is none to come.
    """

    __slots__ = ("_credit_bytes", "_left_bytes", "_pieces", "is_whole")

    def __init__(self, *, is_whole: bool) -> None:
        self.is_whole = is_whole
        """Whether the stream has ended."""
        self._credit_bytes = 0
        self._left_bytes = UNTIL_END
        self._pieces: list[bytes] = []

    def expect(self, length: int) -> None:
        """So much is announced, or ``UNTIL_END``."""
        self._left_bytes = length

    @property
    def has_begun(self) -> bool:
        """Whether any content waits."""
        return bool(self._pieces)

    @property
    def is_ready(self) -> bool:
        """Whether anything can be given on.

        The last of an announced length waits for the end of the stream, so that no upstream gets
        the whole of a request that turns out to be malformed.
        """
        return self.is_whole or (bool(self._pieces) and self._left_bytes != 0)

    def add(self, data: bytes, credit_bytes: int, *, is_end: bool) -> None:
        """Content has come.

        Args:
            data: The content.
            credit_bytes: What it takes of the client's window: its padding counts too.
            is_end: Whether the stream has ended with it.

        Raises:
            BadFraming: It is more, or less, than was announced.
        """
        self._credit_bytes += credit_bytes
        self.is_whole = is_end
        if data:
            self._pieces.append(data)
        if self._left_bytes == UNTIL_END:
            return
        left = self._left_bytes - len(data)
        if left < 0:
            raise BadFraming("longer than Content-Length")
        if is_end and left:
            raise BadFraming("shorter than Content-Length")
        self._left_bytes = left

    def waste(self, credit_bytes: int, *, is_end: bool) -> None:
        """Content has come that is for nobody: only its credit is kept."""
        self._credit_bytes += credit_bytes
        self.is_whole = is_end

    def take(self) -> Portion:
        """All that waits."""
        portion = Portion(self._pieces, self._credit_bytes)
        self._pieces, self._credit_bytes = [], 0
        return portion
