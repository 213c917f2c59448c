"""One request's way to a connection: a server of its upstream, an address of that, a connection.

All callbacks, unless something has to be waited for: a name, a free server, a connect.
"""

import asyncio
import logging
import time
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Protocol

from route_addon.carry.faults import describe_fault
from route_addon.carry.upstreams.connection import ServerKey, UpstreamConnection, server_key
from route_addon.carry.upstreams.resolve import check_pod_address, resolve_pod
from route_addon.core.attempts import IDEMPOTENT, Attempts
from route_addon.core.errors import RouteError
from route_addon.core.forwarding import with_server
from route_addon.core.locations import POD
from route_addon.core.messages import Forward
from route_addon.core.pools import Pool
from route_addon.core.targets import Address, parse_address

if TYPE_CHECKING:
    from route_addon.carry.relay import Relay


logger = logging.getLogger(__name__)


class Traveller(Protocol):
    """Whoever wants to reach an upstream."""

    is_over: bool
    """Whether it wants nothing any more."""

    def use(self, connection: UpstreamConnection, forward: Forward) -> None:
        """Here is a connection.

        Args:
            connection: Connected, and nobody else's.
            forward: The decision, for the server that was chosen.
        """

    def lack(self, error: RouteError) -> None:
        """There is none; nothing of the request has been sent."""

    def fail(self) -> None:
        """A fault of our own."""


class Approach:
    """One request's way to a connection. Ends with one ``close``.

    Args:
        relay: What all requests share.
        traveller: Who is told.
        forward: The decision.
        is_repeatable: Whether the request could be sent again, if a resting connection turns out
            to be closed.
    """

    # What most never change stands in the class: to make one costs less.

    is_in_pool = False
    """Whether its server is one of a pool's, which counts who is with it."""
    opening_since: float | None = None
    """When a connect began, in seconds since the epoch; None for a connection that rested."""
    _addresses: tuple[Address, ...] = ()
    _key: ServerKey | None = None
    _attempts: Attempts | None = None
    _waiting: asyncio.Task[None] | None = None

    def __init__(
        self, relay: "Relay", traveller: Traveller, forward: Forward, is_repeatable: bool
    ) -> None:
        self.forward = forward
        """The decision, for the server that was chosen."""
        self.is_repeatable = is_repeatable
        self._decided = forward
        self._relay = relay
        self._traveller = traveller

    @property
    def may_be_repeated(self) -> bool:
        """Whether the request may have to be sent again, as a whole."""
        return self._attempts is not None and self.forward.method in IDEMPOTENT

    def begin(self) -> None:
        """Choose a server, and go to it."""
        pool = self._relay.pools.find(self.forward.upstream)
        if pool is None:
            self._find_addresses("")
            return
        self._attempts = Attempts(pool, self.forward.method)
        self.is_in_pool = True
        if pool.is_unresolved:
            self._wait(self._await_names(pool))
        else:
            self._pick()

    def again(self) -> None:
        """Go to the same server, by a fresh connection."""
        self._wait(self._open())

    # In a pool.

    def may_go_on(self, error: RouteError, *, is_sent: bool, is_body_kept: bool) -> bool:
        """The server has failed, before anything of an answer went to the client.

        Args:
            error: How.
            is_sent: Whether anything of the request has been sent.
            is_body_kept: Whether its content could be sent again.

        Returns:
            Whether to ``go_on``. If not, the error is the request's.
        """
        attempts = self._attempts
        return attempts is not None and attempts.fail(
            error, self._relay.pools.time(), is_sent=is_sent, is_body_kept=is_body_kept
        )

    def judge(self, status: int, *, is_body_kept: bool) -> bool:
        """Judge an answer by its status.

        Returns:
            Whether to drop it and ``go_on``. If not, it is the request's.
        """
        attempts = self._attempts
        return attempts is not None and attempts.judge(
            status, self._relay.pools.time(), is_body_kept=is_body_kept
        )

    def go_on(self) -> None:
        """Go to the next server."""
        self._pick()

    def close(self) -> None:
        """The request is over, however it ended."""
        waiting, attempts = self._waiting, self._attempts
        if waiting is not None:
            self._waiting = None
            if waiting is not asyncio.current_task():
                waiting.cancel()
        if attempts is not None:
            self._attempts = None
            self.is_in_pool = False
            self._relay.pools.finish(attempts)

    def _pick(self) -> None:
        attempts = self._attempts
        assert attempts is not None
        try:
            member = attempts.pick(self._relay.pools.time())
        except RouteError as error:
            self._traveller.lack(error)
            return
        if member is None:
            self._relay.pools.wait(attempts, self._guard)
        else:
            self.forward = with_server(self._decided, member.spec.server)
            self._find_addresses(member.address)

    def _guard(self) -> None:
        """The waiting is over: whatever comes of it, the traveller is told."""
        try:
            self._pick()
        except Exception as fault:
            logger.error("an exchange failed: %s", describe_fault(fault))
            self._traveller.fail()

    async def _await_names(self, pool: Pool) -> None:
        await self._relay.pools.resolve(pool)
        self._pick()

    # To a server.

    def _find_addresses(self, chosen: str) -> None:
        """Find the server's addresses, check them, and use a connection to the first.

        Args:
            chosen: The address, where the pool knows it; else empty.
        """
        server = self.forward.server
        text = chosen or server.host
        address = parse_address(text)
        if address is None:
            self._wait(self._resolve())
            return
        self._addresses = (address,)
        # The policy has checked an address already, when it verified the token.
        if server.port in self._relay.own_ports:
            try:
                self._check_addresses()
            except RouteError as error:
                self._traveller.lack(error)
                return
        if not self._take(text):
            self._wait(self._open())

    async def _resolve(self) -> None:
        relay, forward = self._relay, self.forward
        host = forward.server.host
        if forward.upstream == POD:
            policy = relay.router.rules.policy
            self._addresses = await resolve_pod(relay.resolver, policy, host)
        else:
            self._addresses = await relay.resolver.resolve(host)
        self._check_addresses()
        if not any(map(self._take, map(str, self._addresses))):
            await self._open()

    def _check_addresses(self) -> None:
        """Check a pod's addresses, right before they are connected to.

        Raises:
            TargetDenied: The target policy, on what will really be connected to.
        """
        relay, server = self._relay, self.forward.server
        if self.forward.upstream == POD:
            policy, own_ports = relay.router.rules.policy, relay.own_ports
            for one in self._addresses:
                check_pod_address(policy, server.host, one, server.port, own_ports)

    def _take(self, address: str) -> bool:
        """Use a connection that rests, if there is one to this address."""
        self._key = server_key(self.forward.server, address)
        connection = self._relay.upstreams.take(self._key, self.is_repeatable)
        if connection is None:
            return False
        self.opening_since = None
        self._traveller.use(connection, self.forward)
        return True

    async def _open(self) -> None:
        assert self._key is not None
        self.opening_since = time.time()
        connection = await self._relay.upstreams.open(self._key, self._addresses)
        if self._traveller.is_over:
            connection.abandon()
        else:
            self._traveller.use(connection, self.forward)

    def _wait(self, work: Coroutine[Any, Any, None]) -> None:
        """Wait for something that is not one of the two connections."""
        task = asyncio.get_running_loop().create_task(self._finish_waiting(work))
        # mitmproxy's loop begins a task at once, and that may have begun another.
        if not task.done():
            self._waiting = task

    async def _finish_waiting(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            try:
                await work
            except RouteError as error:
                self._traveller.lack(error)
        except Exception as fault:
            logger.error("an exchange failed: %s", describe_fault(fault))
            self._traveller.fail()
