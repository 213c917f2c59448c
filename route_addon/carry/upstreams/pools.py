"""The pools in service: who waits is woken, names are asked again, servers probed, changes told.

``core.pools`` decides; here are its clock, its resolver and its connections.
"""

import asyncio
import contextlib
import logging
import math
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final

from route_addon.carry.deadlines import NEVER, Deadlines, clock
from route_addon.carry.faults import describe_fault
from route_addon.carry.http1.heads import RawAnswer
from route_addon.carry.http1.writer import build_request_head
from route_addon.carry.upstreams.connection import Upstreams, server_key
from route_addon.carry.upstreams.resolve import Resolver
from route_addon.core.attempts import Attempts
from route_addon.core.errors import InternalError, RouteError
from route_addon.core.members import Member
from route_addon.core.messages import Server
from route_addon.core.pool_config import HealthSpec, PoolSpec
from route_addon.core.pools import Pool, PoolState, Waiter

logger = logging.getLogger(__name__)

TICK_S: Final = 1.0
"""How often names, probes and those who wait are looked at."""
_PROBE_S: Final = 5.0
"""How long a probe's answer is waited for, or its interval where that is shorter."""


class Pools:
    """The pools of this process: those with something to choose, to count or to ask.

    Args:
        deadlines: Its clock's tick.
        resolver: For names that stand for all of their addresses.
        upstreams: For probes.
    """

    def __init__(self, deadlines: Deadlines, resolver: Resolver, upstreams: Upstreams) -> None:
        self.deadline = NEVER
        self.time: Final = clock
        """The clock of all pools, in seconds."""
        self._deadlines = deadlines
        self._resolver = resolver
        self._upstreams = upstreams
        self._pools: dict[str, Pool] = {}
        self._waiting: dict[Waiter, tuple[Pool, Callable[[], None]]] = {}
        self._asking: dict[Server, asyncio.Task[None]] = {}
        self._probing: dict[Member, asyncio.Task[None]] = {}

    def configure(self, specs: Mapping[str, PoolSpec]) -> None:
        """Take other specs; what is known of servers that stay is kept."""
        pools: dict[str, Pool] = {}
        for name, spec in specs.items():
            pool = self._pools.pop(name, None)
            if pool is not None:
                # Also one that has become plain: requests are with its server, or wait for it.
                pool.configure(spec)
                pools[name] = pool
            elif not spec.is_plain:
                pools[name] = Pool(spec)
        gone, self._pools = self._pools, pools
        for pool in gone.values():
            self._guard(pool, math.inf)
        if pools:
            self._deadlines.add(self)
            self.expire(self.time())

    def find(self, upstream: str) -> Pool | None:
        """The pool of an upstream; None where there is one server and nothing to choose."""
        return self._pools.get(upstream)

    def snapshot(self) -> list[PoolState]:
        """How all of them are."""
        return [pool.snapshot() for pool in self._pools.values()]

    def close(self) -> None:
        """Ask and probe no more."""
        self._deadlines.discard(self)
        for task in [*self._asking.values(), *self._probing.values()]:
            task.cancel()

    # Requests that wait.

    def wait(self, attempts: Attempts, resume: Callable[[], None]) -> None:
        """Wait for a server.

        Args:
            attempts: Who waits; ``Attempts.pick`` has said that there is none at the moment.
            resume: Called once when that has changed. It must not raise.
        """
        self._waiting[attempts] = attempts.pool, resume
        # Whatever became of the last tick: there is one as long as somebody waits for it.
        self.deadline = min(self.deadline, self.time() + TICK_S)
        self._deadlines.add(self)

    def finish(self, attempts: Attempts) -> None:
        """A request has left its server, or waits no longer."""
        self._waiting.pop(attempts, None)
        attempts.finish()
        if attempts.pool.is_waited_for:
            # Not now: who leaves is in the middle of something.
            asyncio.get_running_loop().call_soon(self._serve_now, attempts.pool)

    def _serve_now(self, pool: Pool) -> None:
        self._guard(pool, self.time())

    def _guard(self, pool: Pool, now: float) -> None:
        """Serve who waits. A fault of ours is nothing to wait for: they are refused then."""
        try:
            self._serve(pool, now)
        except Exception as fault:
            logger.error("upstream %s failed: %s", pool.spec.name, describe_fault(fault))
            for waiter in [one for one, (other, _) in self._waiting.items() if other is pool]:
                # Perhaps it is one of these that fails.
                with contextlib.suppress(Exception):
                    waiter.turn_away(InternalError())
                with contextlib.suppress(Exception):
                    self._waiting.pop(waiter)[1]()

    def _serve(self, pool: Pool, now: float) -> None:
        for waiter in pool.serve(now):
            self._resume(waiter)

    def _resume(self, waiter: Waiter) -> None:
        """Its waiting is over. A fault of one that waited is none of the others'."""
        _, resume = self._waiting.pop(waiter, (None, None))
        try:
            if resume is not None:
                resume()
        except Exception as fault:
            logger.error("who waited for an upstream failed: %s", describe_fault(fault))

    async def resolve(self, pool: Pool) -> None:
        """Wait until a pool's names have been asked for, if no server of it is known yet."""
        self._ask_names(pool, self.time())
        asking = [
            self._asking[one.server] for one in pool.spec.servers if one.server in self._asking
        ]
        if asking:
            await asyncio.wait(asking)

    # From time to time.

    def expire(self, now: float) -> None:
        """A tick. A fault in one pool's is none of the others', and no reason to tick no more."""
        self.deadline = now + TICK_S
        for pool in list(self._pools.values()):
            self._guard(pool, now)
            try:
                self._look_after(pool, now)
            except Exception as fault:
                logger.error("upstream %s failed: %s", pool.spec.name, describe_fault(fault))

    def _look_after(self, pool: Pool, now: float) -> None:
        self._ask_names(pool, now)
        self._probe(pool, now)
        for server, state in pool.take_changes():
            logger.warning("upstream %s: server %s is %s", pool.spec.name, server, state)

    def _ask_names(self, pool: Pool, now: float) -> None:
        for server in pool.take_names(now):
            if server not in self._asking:
                work = self._ask_name(pool, server)
                _run(self._asking, server, work)

    async def _ask_name(self, pool: Pool, server: Server) -> None:
        try:
            addresses = await self._resolver.resolve(server.host)
        except RouteError as error:
            logger.warning("upstream %s: %s: %s", pool.spec.name, server.host, error)
        else:
            pool.receive_addresses(server, map(str, addresses), self.time())

    def _probe(self, pool: Pool, now: float) -> None:
        health = pool.spec.health
        if health is None:
            return
        for member in pool.take_probes(now):
            if member not in self._probing:
                _run(self._probing, member, self._probe_member(pool, member, health))

    async def _probe_member(self, pool: Pool, member: Member, health: HealthSpec) -> None:
        patience_s = min(_PROBE_S, health.interval_s)
        try:
            async with asyncio.timeout(patience_s):
                status = await self._ask_health(member, health.path, patience_s)
        except (RouteError, TimeoutError):
            status = None
        pool.receive_probe(member, status)

    async def _ask_health(self, member: Member, path: str, patience_s: float) -> int | None:
        server = member.spec.server
        addresses = await self._resolver.resolve(member.address or server.host)
        key = server_key(server, str(addresses[0]))
        connection = await self._upstreams.open(key, addresses)
        probe = _Probe()
        try:
            connection.begin(probe, b"GET", patience_s)
            head = build_request_head(b"GET", path.encode(), server.authority, (), 0, b"close")
            connection.write_last(head)
            return await probe.status
        finally:
            if not probe.is_over:
                connection.abandon()


class _Probe:
    """Whoever asks a server for its health: the status is all that counts."""

    def __init__(self) -> None:
        self.status: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        self.is_over = False
        """Whether the connection is not ours any more: somebody else may have it by now."""

    def receive_answer(self, answer: RawAnswer, pieces: list[bytes], is_end: bool) -> None:
        self.is_over = is_end
        self._end(answer.status)

    def receive_answer_content(self, pieces: list[bytes], is_end: bool) -> None:
        self.is_over = is_end

    def skip_answer_content(self, size: int) -> None:
        """All of it comes here."""

    def upstream_failed(self, error: RouteError, *, is_untouched: bool) -> None:
        self.is_over = True
        self._end(None)

    def pause_content(self) -> None:
        """There is none."""

    def resume_content(self) -> None:
        """There is none."""

    def fail(self) -> None:
        self._end(None)

    def _end(self, status: int | None) -> None:
        if not self.status.done():
            self.status.set_result(status)


def _run[K](tasks: dict[K, asyncio.Task[None]], key: K, work: Coroutine[Any, Any, None]) -> None:
    """Run work beside, once for each key at a time."""
    task = asyncio.get_running_loop().create_task(work)
    if not task.done():
        tasks[key] = task

    def forget(ended: asyncio.Task[None]) -> None:
        if tasks.get(key) is ended:
            del tasks[key]
        if not ended.cancelled() and (fault := ended.exception()) is not None:
            logger.error("a pool's work failed: %s", describe_fault(fault))

    task.add_done_callback(forget)
