"""Clients' connections: how many are held, and those that have not said anything yet.

mitmproxy asks its hooks when a connection is accepted, and again only when bytes have come. What
is silent in between, or stalls in a TLS handshake, is nobody's but ours to close.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable

from mitmproxy import connection, ctx

from route_addon.carry.deadlines import Deadlines
from route_addon.carry.limits import Limits

logger = logging.getLogger(__name__)


_SHORT_S = 1.0
"""Who has just come will say something in this time; who opens connections ahead will not."""


class Arrival:
    """One connection that no carrier has yet.

    Args:
        client: The connection.
        now: The loop's time.
        patience_s: How long it may say nothing.
    """

    def __init__(self, client: connection.Client, now: float, patience_s: float) -> None:
        self.deadline = now + patience_s
        self._since = now
        self._client = client

    def expire(self, now: float) -> None:
        """Silent for too long: close it. There is nobody to answer."""
        self.leave()

    def drain(self) -> None:
        """Close it, unless it has just come."""
        if asyncio.get_running_loop().time() - self._since > _SHORT_S:
            self.leave()

    def leave(self) -> None:
        """Close it."""
        handler = ctx.master.addons.get("proxyserver").connections.get(self._client.id)
        io = handler.transports.get(self._client) if handler is not None else None
        if io is not None and io.writer is not None:
            logger.info("closed: a client that said nothing in time")
            io.writer.transport.abort()


class Arrivals:
    """All clients' connections of this process.

    Args:
        deadlines: Watches those that are silent.
        is_trusted: Whether an address is a trusted proxy's: those speak for many clients.
    """

    def __init__(self, deadlines: Deadlines, is_trusted: Callable[[str], bool]) -> None:
        self._deadlines = deadlines
        self._is_trusted = is_trusted
        self._silent: dict[str, Arrival] = {}
        self._addresses: dict[str, str] = {}
        self._held: Counter[str] = Counter()
        self.refused = 0
        """Connections that were too many, since the start."""

    def __len__(self) -> int:
        return len(self._addresses)

    def accept(self, client: connection.Client, limits: Limits) -> str | None:
        """A connection has been accepted.

        Returns:
            Why it must be closed, or None.
        """
        address = client.peername[0]
        is_counted = not self._is_trusted(address)
        most, most_here = limits.max_connections, limits.max_connections_per_client
        if most and len(self._addresses) >= most:
            self.refused += 1
            return "route_max_connections"
        if most_here and is_counted and self._held[address] >= most_here:
            self.refused += 1
            return "route_max_connections_per_client"
        self._addresses[client.id] = address
        self._held[address] += 1
        arrival = Arrival(client, asyncio.get_running_loop().time(), limits.head_s)
        self._silent[client.id] = arrival
        self._deadlines.add(arrival)
        return None

    def begin_handshake(self, client: connection.Client, limits: Limits) -> None:
        """It speaks TLS: the handshake has a time of its own."""
        arrival = self._silent.get(client.id)
        if arrival is not None:
            arrival.deadline = asyncio.get_running_loop().time() + limits.tls_handshake_s

    def begin(self, client: connection.Client) -> None:
        """A carrier has it: its own deadlines count from here on."""
        arrival = self._silent.pop(client.id, None)
        if arrival is not None:
            self._deadlines.discard(arrival)

    def leave(self, client: connection.Client) -> None:
        """It is gone."""
        self.begin(client)
        address = self._addresses.pop(client.id, None)
        if address is not None:
            self._held[address] -= 1
            if not self._held[address]:
                del self._held[address]
