"""Clients' connections: how many are held, and those that have not said anything yet.

What is silent after it was accepted, or stalls in a TLS handshake, is nobody's but ours to close.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Hashable

from route_addon.carry.deadlines import NEVER, Deadlines
from route_addon.carry.limits import Limits

logger = logging.getLogger(__name__)


_SHORT_S = 1.0
"""Who has just come will say something in this time; who opens connections ahead will not."""


class Arrival:
    """One connection that no carrier has yet."""

    __slots__ = ("deadline", "since")

    def __init__(self) -> None:
        self.deadline = NEVER
        self.since = asyncio.get_running_loop().time()
        """When it was accepted, in the loop's time."""

    def expire(self, now: float) -> None:
        """Silent for too long: close it. There is nobody to answer."""
        self.leave()

    def drain(self) -> None:
        """Close it, unless it has just come."""
        if asyncio.get_running_loop().time() - self.since > _SHORT_S:
            self.leave()

    def leave(self) -> None:
        """Close it."""
        if self.abort():
            logger.info("closed: a client that said nothing in time")

    def abort(self) -> bool:
        """Close it at once.

        Returns:
            Whether it was open.
        """
        raise NotImplementedError


class Arrivals:
    """All clients' connections of this process.

    Each has a key, which stands for it from the accept until it is gone.

    Args:
        deadlines: Watches those that are silent.
        is_trusted: Whether an address is a trusted proxy's: those speak for many clients.
    """

    def __init__(self, deadlines: Deadlines, is_trusted: Callable[[str], bool]) -> None:
        self._deadlines = deadlines
        self._is_trusted = is_trusted
        self._silent: dict[Hashable, Arrival] = {}
        self._addresses: dict[Hashable, str] = {}
        self._held: Counter[str] = Counter()
        self.refused = 0
        """Connections that were too many, since the start."""

    def __len__(self) -> int:
        return len(self._addresses)

    def accept(self, key: Hashable, address: str, arrival: Arrival, limits: Limits) -> str | None:
        """A connection has been accepted.

        Returns:
            Why it must be closed, or None.
        """
        most, most_here = limits.max_connections, limits.max_connections_per_client
        held = self._held[address]
        if most and len(self._addresses) >= most:
            self.refused += 1
            return "route_max_connections"
        if most_here and held >= most_here and not self._is_trusted(address):
            self.refused += 1
            return "route_max_connections_per_client"
        self._addresses[key] = address
        self._held[address] = held + 1
        arrival.deadline = arrival.since + limits.head_s
        self._silent[key] = arrival
        self._deadlines.add(arrival)
        return None

    def begin_handshake(self, key: Hashable, limits: Limits) -> None:
        """It speaks TLS: the handshake has a time of its own."""
        arrival = self._silent.get(key)
        if arrival is not None:
            arrival.deadline = asyncio.get_running_loop().time() + limits.tls_handshake_s

    def begin(self, key: Hashable) -> None:
        """A carrier has it: its own deadlines count from here on."""
        arrival = self._silent.pop(key, None)
        if arrival is not None:
            self._deadlines.discard(arrival)

    def leave(self, key: Hashable) -> None:
        """It is gone."""
        self.begin(key)
        address = self._addresses.pop(key, None)
        if address is not None:
            self._held[address] -= 1
            if not self._held[address]:
                del self._held[address]
