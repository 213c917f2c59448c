"""Pools in service, where their timing cannot be seen from outside."""

from collections.abc import AsyncIterator, Callable

import pytest

from route_addon.carry.deadlines import NEVER
from route_addon.carry.upstreams.connection import UpstreamConnection
from route_addon.carry.upstreams.pools import Pools
from route_addon.carry.upstreams.resolve import Resolver
from route_addon.core.attempts import Attempts
from route_addon.core.messages import Server
from route_addon.core.pool_config import HealthSpec, PoolSpec, ServerSpec
from route_addon.core.pools import Pool
from tests.carry.upstreams.test_connection import OK, REQUEST, Asker, World, _answering


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """Nothing is connected yet."""
    world = World()
    yield world
    await world.close()


async def test_a_probes_connection_is_the_next_ones(world: World) -> None:
    """What has come back from a probe is not cut under the request that takes it at once."""
    key = await world.serve(_answering(OK))
    asker, put_back = Asker(), world.upstreams.put_back

    def use_at_once(connection: UpstreamConnection) -> None:
        world.upstreams.put_back = put_back  # type: ignore[method-assign]
        put_back(connection)
        assert world.upstreams.take(connection.key, is_repeatable=True) is connection
        connection.begin(asker, b"GET", 5)
        connection.write_last(REQUEST)

    world.upstreams.put_back = use_at_once  # type: ignore[method-assign]
    servers = (ServerSpec(Server(b"http", key.address, key.port)),)
    resolver = Resolver()
    pools = Pools(world.deadlines, resolver, world.upstreams)
    try:
        pools.configure({"pyos": PoolSpec("pyos", servers, health=HealthSpec("/health"))})
        await asker.wait()
        assert asker.answer is not None and asker.answer.status == 200
    finally:
        pools.close()
        resolver.close()


def _fail() -> None:
    raise RuntimeError("a secret")


def _wait(pools: Pools, pool: Pool, resume: Callable[[], None]) -> Attempts:
    """Wait for the one server, which is busy."""
    attempts = Attempts(pool, b"GET")
    assert attempts.pick(pools.time()) is None
    pools.wait(attempts, resume)
    return attempts


async def test_a_fault_of_some_who_wait_is_none_of_others(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """They are told that their time is over, and who comes later is, too: the clock goes on."""
    servers = (ServerSpec(Server(b"http", "127.0.0.77", 80), max_conns=1),)
    resolver, told = Resolver(), list[str]()
    pools = Pools(world.deadlines, resolver, world.upstreams)
    pools.configure({"pyos": PoolSpec("pyos", servers, queue_timeout_s=1)})
    pool = pools.find("pyos")
    assert pool is not None
    assert Attempts(pool, b"GET").pick(pools.time()) is not None
    for resume in (_fail, _fail, lambda: told.append("at once")):
        _wait(pools, pool, resume)
    pools.expire(pools.time() + 2)
    assert told == ["at once"]
    world.deadlines.discard(pools)  # as after a tick that has failed
    pools.deadline = NEVER
    _wait(pools, pool, lambda: told.append("later"))
    assert pools.deadline < NEVER
    assert len(world.deadlines) == 1
    pools.expire(pools.time() + 2)
    assert told == ["at once", "later"]
    assert "a secret" not in caplog.text
    pools.close()
    resolver.close()
