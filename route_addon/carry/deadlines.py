"""One clock for all connections: whoever waits says until when, and is told when that is past.

A timer for each request would cost more than the request's own bookkeeping. So a connection
registers once, sets ``deadline`` as its phase changes, and a tick looks at all of them.
"""

import asyncio
import logging
import math
import time
from typing import Final, Protocol

from route_addon.carry.faults import describe_fault

logger = logging.getLogger(__name__)

TICK_S: Final = 0.25
"""How late a deadline may be noticed, in seconds."""

NEVER: Final = math.inf

clock: Final = time.monotonic
"""What deadlines are set by, in seconds. Both loops go by it, and to ask them costs more."""


class Waiting(Protocol):
    """Something that may wait in vain."""

    deadline: float
    """When to give up, by ``clock``; ``NEVER`` for not waiting."""

    def expire(self, now: float) -> None:
        """The deadline is past: give up, or set another."""


class Deadlines:
    """Watches deadlines while there are any."""

    def __init__(self) -> None:
        self._waiting: set[Waiting] = set()
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, waiting: Waiting) -> None:
        """Watch from now on."""
        self._waiting.add(waiting)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(TICK_S, self._tick)

    def discard(self, waiting: Waiting) -> None:
        """Watch no longer."""
        self._waiting.discard(waiting)

    def find[W](self, kind: type[W]) -> list[W]:
        """Those of a kind. Clients' connections are watched as long as they are open."""
        return [waiting for waiting in self._waiting if isinstance(waiting, kind)]

    def close(self) -> None:
        """Watch nothing any more."""
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tick(self) -> None:
        now = clock()
        for waiting in [waiting for waiting in self._waiting if waiting.deadline <= now]:
            if waiting.deadline > now or waiting not in self._waiting:
                # What another one did just now has ended its waiting.
                continue
            waiting.deadline = NEVER
            try:
                waiting.expire(now)
            except Exception as fault:
                logger.error("expire failed: %s", describe_fault(fault))
                self._waiting.discard(waiting)
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(TICK_S, self._tick) if self._waiting else None
