"""Concurrent misses on one key become one request (nginx's ``proxy_cache_lock``).

The first to ask leads; those that come while it is on its way wait for it, and are woken when its
answer is stored, or as soon as it is known that it will not be. Then each looks at the store again,
and none waits twice. A key whose answer was not stored lately is not waited for.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from route_addon.core.httpcache_request import CacheKey

MAX_UNSTORED: Final = 4096
"""How many keys are remembered whose answer was not stored."""
UNSTORED_S: Final = 60.0
"""And for how long."""


class Fill:
    """A request that others wait for. Ends with one ``end``.

    Args:
        fills: All of them.
        key: What it asks for.
    """

    __slots__ = ("_fills", "_key", "_waiting")

    def __init__(self, fills: "Fills", key: CacheKey) -> None:
        self._fills = fills
        self._key = key
        self._waiting: dict[Callable[[], None], None] = {}

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def end(self, now: float, *, is_storable: bool) -> None:
        """Wake all who wait: the answer is stored, or will not be. Later calls do nothing.

        Args:
            now: The time, by any clock that does not go back.
            is_storable: Whether it could have been stored. Where it could not, nobody waits for
                its like the next time.
        """
        if self._fills.remove(self._key, self, now, is_storable=is_storable):
            waiting, self._waiting = self._waiting, {}
            for resume in waiting:
                resume()

    def add(self, resume: Callable[[], None]) -> None:
        """Wait."""
        self._waiting[resume] = None

    def leave(self, resume: Callable[[], None]) -> None:
        """Wait no longer."""
        self._waiting.pop(resume, None)


class Fills:
    """All requests on their way that others may wait for."""

    def __init__(self) -> None:
        self._fills: dict[CacheKey, Fill] = {}
        self._unstored: OrderedDict[int, float] = OrderedDict()
        """Until when, by the hash of the key: a key may hold 32 KiB of fields, as a client likes.
        Where two are the same, one does without waiting."""

    def lead(self, key: CacheKey, now: float) -> Fill | None:
        """Ask the upstream in the name of all who want the same.

        Returns:
            None when somebody does already, or when nobody shall wait since the answer was not
            stored the last time.
        """
        until = self._unstored.get(hash(key))
        if key in self._fills or (until is not None and now < until):
            return None
        fill = self._fills[key] = Fill(self, key)
        return fill

    def find(self, key: CacheKey) -> Fill | None:
        """The request to wait for, if there is one."""
        return self._fills.get(key)

    def remove(self, key: CacheKey, fill: Fill, now: float, *, is_storable: bool) -> bool:
        """Forget a request that has ended; for ``Fill.end``.

        Returns:
            Whether it had not ended before.
        """
        if self._fills.get(key) is not fill:
            return False
        del self._fills[key]
        self._unstored.pop(hash(key), None)
        if not is_storable:
            self._unstored[hash(key)] = now + UNSTORED_S
            if len(self._unstored) > MAX_UNSTORED:
                self._unstored.popitem(last=False)
        return True
