"""How much a client may do that brings nothing: frames for nothing, and exchanges broken off."""

from collections.abc import Callable
from typing import Final

from route_addon.carry.http2.frames import END_STREAM, Frame, Kind

_SMALL_BYTES: Final = 64
"""Content of less than this in a frame costs more than it brings."""
_FULL_BYTES: Final = 1024
"""A frame of as much is worth its window update."""

# Frames that bring nothing for a request (CVE-2019-9511 to 9518): so many at once, and so many a
# second. Requests and what we send earn some, since window updates and resets belong to them.
_IDLE_FRAMES: Final = 2000
_IDLE_FRAMES_PER_S: Final = 200.0
_EARNED_BY_REQUEST: Final = 8
_EARNED_BY_FRAME: Final = 4

# Exchanges that a client begins and then resets (CVE-2023-44487), or makes us reset
# (CVE-2025-8671). A page that is left cancels all its streams at once.
_RESETS: Final = 200
_RESETS_PER_S: Final = 200 / 30


class Allowance:
    """So many at once, and so many a second (a token bucket).

    Args:
        most: How many at once.
        per_s: How many a second, in the long run.
        time: The loop's time.
    """

    def __init__(self, most: float, per_s: float, time: Callable[[], float]) -> None:
        self._most = most
        self._per_s = per_s
        self._time = time
        self._left = most
        self._filled_at = time()

    def spend(self) -> bool:
        """Take one.

        Returns:
            Whether it was there.
        """
        if self._left < 1:
            now = self._time()
            self._left = min(self._most, self._left + (now - self._filled_at) * self._per_s)
            self._filled_at = now
            if self._left < 1:
                return False
        self._left -= 1
        return True

    def earn(self, count: float) -> None:
        """Give some back, for something useful that was done."""
        self._left = min(self._most, self._left + count)


class Patience:
    """What is left of our patience with one client.

    Args:
        time: The loop's time.
    """

    def __init__(self, time: Callable[[], float]) -> None:
        self.is_lost = False
        """Whether it has done too much."""
        self._frames = Allowance(_IDLE_FRAMES, _IDLE_FRAMES_PER_S, time)
        self._resets = Allowance(_RESETS, _RESETS_PER_S, time)

    def count_frame(self, frame: Frame) -> None:
        """A frame has come."""
        if frame.kind == Kind.HEADERS:
            return  # a request earns, and a trailer section ends a stream
        if frame.kind == Kind.DATA and (
            frame.payload_bytes >= _SMALL_BYTES or frame.flags & END_STREAM
        ):
            return
        self.count_nothing()

    def count_nothing(self) -> None:
        """Something has come that brings nothing."""
        self.is_lost = self.is_lost or not self._frames.spend()

    def count_request(self) -> None:
        """A request has come."""
        self._frames.earn(_EARNED_BY_REQUEST)

    def count_reset(self) -> None:
        """The client has broken an exchange off, or made us do it."""
        self.is_lost = self.is_lost or not self._resets.spend()

    def count_sent(self, size: int, room: int) -> None:
        """A frame was sent.

        Args:
            size: Of its content.
            room: How much more there was room for: without any, it was the client who made the
                frame as small as it is.
        """
        if size >= _FULL_BYTES or room:
            self._frames.earn(_EARNED_BY_FRAME)
