"""Pools in service, where their timing cannot be seen from outside."""

from collections.abc import AsyncIterator

import pytest

from route_addon.carry.upstreams.connection import UpstreamConnection
from route_addon.carry.upstreams.pools import Pools
from route_addon.carry.upstreams.resolve import Resolver
from route_addon.core.messages import Server
from route_addon.core.pool_config import HealthSpec, PoolSpec, ServerSpec
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
