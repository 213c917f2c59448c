"""One request's dealings with the HTTP cache: look, wait for another's answer, keep one's own.

``core.httpcache`` decides; ``store`` and ``fills`` are what it decides upon.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final

from route_addon.carry.cache.fills import Fill, Fills
from route_addon.carry.cache.store import Filling, Store
from route_addon.carry.http1.heads import RawAnswer
from route_addon.carry.limits import CacheLimits
from route_addon.core.errors import NotCached
from route_addon.core.framing import UNTIL_END
from route_addon.core.httpcache import (
    Amend,
    Asked,
    Freshen,
    Invalidate,
    Refuse,
    Use,
    judge_answer,
    judge_failure,
    judge_request,
)
from route_addon.core.httpcache import Store as Keep
from route_addon.core.httpcache_request import CacheRequest, describe_request
from route_addon.core.httpcache_stored import Stored
from route_addon.core.messages import Fields, Forward

LOCK_S: Final = 5.0
"""How long a request waits for another's answer (nginx's ``proxy_cache_lock_timeout``)."""
_MAX_REFRESHES: Final = 64
"""Answers that are asked for at once although nobody waits for them (RFC 5861 3)."""


class HttpCache:
    """What all requests share.

    Args:
        limits: What is cached, and how much of it.
    """

    def __init__(self, limits: CacheLimits) -> None:
        self.limits = limits
        self.locations = limits.locations
        """The paths of the locations that are cached."""
        self.store = Store(limits.max_bytes, limits.max_object_bytes)
        self.fills = Fills()
        self.refreshes = 0
        """Answers that are being asked for although nobody waits for them."""

    def configure(self, limits: CacheLimits) -> None:
        """Take new limits; what is too much leaves, and what is cached no more."""
        if limits.locations != self.limits.locations:
            self.store.purge()
        self.limits = limits
        self.locations = limits.locations
        self.store.configure(limits.max_bytes, limits.max_object_bytes)

    def open(self, forward: Forward, length: int) -> "Caching | None":
        """Begin a request's dealings.

        Args:
            forward: The decision.
            length: The content's length in bytes, or a mark of ``core.framing``.

        Returns:
            None where nothing is ever stored.
        """
        request = describe_request(forward, length, time.time())
        return Caching(self, request) if request is not None else None


class Caching:
    """One request's dealings with the cache. Ends with one ``close``.

    Args:
        cache: What all requests share.
        request: The request.
    """

    __slots__ = (
        "_asked",
        "_borrowed",
        "_cache",
        "_fill",
        "_filling",
        "_has_waited",
        "_is_refresh",
        "_leave",
        "_played_bytes",
        "_playing",
        "_request",
    )

    def __init__(self, cache: HttpCache, request: CacheRequest) -> None:
        self._cache = cache
        self._request = request
        self._asked: Asked | None = None
        self._filling: Filling | None = None
        self._fill: Fill | None = None
        self._leave: Callable[[], None] | None = None
        self._borrowed: Stored | None = None
        self._playing: Use | None = None
        self._played_bytes = 0
        self._has_waited = False
        self._is_refresh = False

    def look(self, resume: Callable[[], None]) -> Use | Asked | None:
        """Look at the store.

        Args:
            resume: Called once when the answer that this request waits for is there, or will not
                be; ``look`` again then.

        Returns:
            What to answer with, or what to ask the upstream. None to wait.

        Raises:
            NotCached: The client wants nothing else.
        """
        cache, request = self._cache, self._request
        verdict = judge_request(request, cache.store.find(request.key), time.time())
        if isinstance(verdict, Refuse):
            raise NotCached
        if isinstance(verdict, Use):
            cache.store.touch(verdict.stored)
            return verdict
        if verdict.why == b"uri-miss" and request.method == b"GET":
            if not self._has_waited and self._join(resume):
                return None
            self._fill = cache.fills.lead(request.key, time.monotonic())
        cache.store.counters.misses += 1
        return self._ask(verdict)

    def _join(self, resume: Callable[[], None]) -> bool:
        """Wait for another's answer, if one is on its way."""
        fill = self._cache.fills.find(self._request.key)
        if fill is None:
            return False
        self._has_waited = True

        def stop() -> None:
            self._stop_waiting()
            resume()

        timer = asyncio.get_running_loop().call_later(LOCK_S, stop)

        def leave() -> None:
            fill.leave(stop)
            timer.cancel()

        fill.add(stop)
        self._leave = leave
        return True

    def _stop_waiting(self) -> None:
        leave, self._leave = self._leave, None
        if leave is not None:
            leave()

    def _ask(self, asked: Asked) -> Asked:
        """The upstream is about to be asked."""
        self._asked = asked
        request = self._request
        if request.method == b"GET" and not request.bypass:
            self._filling = self._cache.store.begin(request.key)
        return asked

    def refresh(self, asked: Asked) -> "Caching | None":
        """Ask the upstream for nobody, so that the next one finds it fresh (RFC 5861 3).

        Returns:
            The dealings of that request; None when somebody asks already, or too many do.
        """
        cache, key = self._cache, self._request.key
        if cache.refreshes >= _MAX_REFRESHES or cache.fills.find(key) is not None:
            return None
        caching = Caching(cache, self._request._replace(asked=time.time()))
        caching._fill = cache.fills.lead(key, time.monotonic())
        caching._is_refresh = True
        cache.refreshes += 1
        caching._ask(asked)
        return caching

    # The answer.

    def judge(self, answer: RawAnswer, fields: Fields, length: int | None) -> Use | bytes:
        """Judge the upstream's answer, and do to the store what it takes.

        Args:
            answer: The answer as it came.
            fields: Its fields, as they will be stored: with what its content is encoded in.
            length: The length of its content in bytes, as it will be stored; None if not known.

        Returns:
            What to answer with instead, or what the answer's Cache-Status says (RFC 9211).
        """
        cache, asked, filling = self._cache, self._asked, self._filling
        assert asked is not None
        request, store, limits = self._request, cache.store, cache.limits
        verdict = judge_answer(
            request, asked, answer.status, answer.reason, fields, time.time(), limits.policy
        )
        # Who waits, waits for what is stored; of an answer that ends with its connection nobody
        # can tell whether it was cut.
        if isinstance(verdict, Keep):
            is_certain = answer.length != UNTIL_END
            if filling is not None and is_certain and filling.start(verdict.stored, length):
                return verdict.cache_status
        elif isinstance(verdict, Freshen):
            store.replace(verdict.old, verdict.new)
            store.touch(verdict.use.stored)
        elif isinstance(verdict, Amend):
            store.replace(verdict.old, verdict.new)
        elif isinstance(verdict, Invalidate):
            for target in verdict.targets:
                store.invalidate(request.key.upstream, target)
        self._end(is_storable=isinstance(verdict, Freshen | Use))
        if isinstance(verdict, Freshen):
            return verdict.use
        if isinstance(verdict, Use):
            return verdict
        return verdict.cache_status.removesuffix(b"; stored")

    def receive_content(self, pieces: list[bytes], is_end: bool) -> None:
        """Content has come, and is whole or not."""
        filling = self._filling
        if filling is None:
            return
        filling.write(pieces)
        if is_end:
            filling.commit()
            self._end(is_storable=True)
        elif not filling.is_open:
            self._end(is_storable=False)

    def stand_in(self) -> Use | None:
        """What may stand in for an answer that never came (RFC 5861 4)."""
        if self._asked is None:
            return None
        limits = self._cache.limits
        use = judge_failure(self._request, self._asked, time.time(), limits.policy)
        if use is not None:
            self._cache.store.touch(use.stored)
        return use

    # Sending a stored answer.

    def begin_to_play(self, found: Use) -> tuple[list[bytes], bool]:
        """A stored answer is sent.

        Returns:
            What is sent of its content at once, and whether that is all. The rest is sent as fast
            as the client reads it: until then the store keeps it.
        """
        portion = found.portion(0)
        is_end = len(portion) == found.size_bytes
        if not is_end:
            self._playing, self._played_bytes = found, len(portion)
            self._borrowed = found.stored
            self._cache.store.lend(found.stored)
        return [portion] if portion else [], is_end

    @property
    def is_playing(self) -> bool:
        """Whether there is more of it."""
        return self._playing is not None

    def play(self) -> tuple[bytes, bool]:
        """Take the next portion of it; whether that is the last."""
        found = self._playing
        assert found is not None
        portion = found.portion(self._played_bytes)
        self._played_bytes += len(portion)
        is_end = self._played_bytes == found.size_bytes
        if is_end:
            self._playing = None
        return portion, is_end

    # The end.

    def close(self) -> None:
        """The request is over, however it ended. Later calls do nothing."""
        self._stop_waiting()
        self._playing = None
        borrowed, self._borrowed = self._borrowed, None
        if borrowed is not None:
            self._cache.store.take_back(borrowed)
        # An answer that was cut says nothing of the next one.
        self._end(is_storable=True)
        if self._is_refresh:
            self._is_refresh = False
            self._cache.refreshes -= 1

    def _end(self, *, is_storable: bool) -> None:
        filling, self._filling = self._filling, None
        if filling is not None:
            filling.abandon()
        fill, self._fill = self._fill, None
        if fill is not None:
            fill.end(time.monotonic(), is_storable=is_storable)
