"""Clients that come in by turns: a flood of new connections holds up nobody else.

What a connection costs most is its beginning: a TLS handshake, objects, a first request. In each
turn of the loop some milliseconds of that are done, one for each address in its turn; then the
loop looks after all who are here already.
"""

import asyncio
import logging
from collections import deque
from time import perf_counter
from typing import Final, Protocol

from route_addon.carry.faults import describe_fault

logger = logging.getLogger(__name__)

_SLICE_S: Final = 0.001
"""How long those who come in may take in one turn of the loop."""


class Comer(Protocol):
    """Somebody who wants to come in."""

    def come_in(self) -> None:
        """It is its turn. Raises nothing."""


class Turns:
    """Lets clients in, at once or in their turn."""

    def __init__(self) -> None:
        self._queues: dict[str, deque[Comer]] = {}
        """Who waits, by address; the one whose turn it is first."""
        self._is_begun = False
        self._until = 0.0

    def let_in(self, address: str, comer: Comer) -> None:
        """Let somebody in.

        Args:
            address: Where it comes from: each address has its turn.
            comer: Who it is.
        """
        if not self._is_begun:
            self._begin()
        if not self._queues and perf_counter() < self._until:
            comer.come_in()
            return
        queue = self._queues.get(address)
        if queue is None:
            self._queues[address] = queue = deque()
        queue.append(comer)

    def _begin(self) -> None:
        """From here on the time of this turn counts."""
        asyncio.get_running_loop().call_soon(self._guard)
        self._is_begun = True
        self._until = perf_counter() + _SLICE_S

    def _guard(self) -> None:
        """Another turn of the loop."""
        self._is_begun = False
        try:
            self._go_on()
        except Exception as fault:
            logger.error("nobody was let in: %s", describe_fault(fault))

    def _go_on(self) -> None:
        """Let in those who wait, as far as the time goes."""
        if not self._queues:
            return
        self._begin()
        while self._queues and perf_counter() < self._until:
            address = next(iter(self._queues))
            queue = self._queues.pop(address)
            comer = queue.popleft()
            if queue:
                self._queues[address] = queue
            comer.come_in()
