"""Clients' connections: how many, and those that say nothing."""

import asyncio
import types
from typing import Any

import pytest
from mitmproxy import connection

from route_addon.carry import arrivals as arrivals_module
from route_addon.carry.arrivals import Arrivals
from route_addon.carry.deadlines import Deadlines
from route_addon.carry.limits import Limits
from tests.hosting import make_client

PROXY = "10.0.0.1"


def _client(address: str) -> connection.Client:
    return make_client(peername=(address, 50000))


@pytest.fixture
async def deadlines() -> Deadlines:
    """Nobody waits yet."""
    return Deadlines()


@pytest.fixture
async def arrivals(deadlines: Deadlines) -> Arrivals:
    """A proxy is trusted, and nobody else."""
    return Arrivals(deadlines, lambda address: address == PROXY)


async def test_no_bound(arrivals: Arrivals) -> None:
    """Nought is none."""
    for _ in range(100):
        assert arrivals.accept(_client("203.0.113.7"), Limits()) is None
    assert len(arrivals) == 100


async def test_max_connections(arrivals: Arrivals, deadlines: Deadlines) -> None:
    """The number of all, whoever they are; a refused one is not among them."""
    limits = Limits(max_connections=2)
    clients = [_client("203.0.113.7"), _client(PROXY)]
    for client in clients:
        assert arrivals.accept(client, limits) is None
    refused = _client("203.0.113.8")
    assert arrivals.accept(refused, limits) == "route_max_connections"
    assert len(arrivals) == len(deadlines) == 2
    arrivals.leave(refused)
    assert arrivals.accept(_client("203.0.113.9"), limits) == "route_max_connections"
    arrivals.leave(clients[0])
    arrivals.leave(clients[0])
    assert arrivals.accept(refused, limits) is None
    assert arrivals.accept(_client("203.0.113.9"), limits) == "route_max_connections"


async def test_max_connections_per_client(arrivals: Arrivals) -> None:
    """The number of one address; a trusted proxy speaks for many."""
    limits = Limits(max_connections_per_client=1)
    first = _client("203.0.113.7")
    assert arrivals.accept(first, limits) is None
    too_many = "route_max_connections_per_client"
    assert arrivals.accept(_client("203.0.113.7"), limits) == too_many
    assert arrivals.accept(_client("203.0.113.8"), limits) is None
    for _ in range(3):
        assert arrivals.accept(_client(PROXY), limits) is None
    arrivals.leave(first)
    assert arrivals.accept(_client("203.0.113.7"), limits) is None


async def test_nothing_is_kept_of_those_who_left(arrivals: Arrivals, deadlines: Deadlines) -> None:
    """However they went."""
    for number in range(50):
        client = _client(f"203.0.113.{number}")
        arrivals.accept(client, Limits())
        if number % 2:
            arrivals.begin(client)
        arrivals.leave(client)
    assert len(arrivals) == len(deadlines) == len(arrivals._held) == 0


async def test_a_time_of_its_own(arrivals: Arrivals, deadlines: Deadlines) -> None:
    """The head's until bytes come, the handshake's when they are TLS, then its carrier's."""
    client = _client("203.0.113.7")
    limits = Limits(head_s=100, tls_handshake_s=10)
    now = asyncio.get_running_loop().time()
    arrivals.accept(client, limits)
    (waiting,) = deadlines._waiting
    assert now + 99 < waiting.deadline < now + 101
    arrivals.begin_handshake(client, limits)
    assert now + 9 < waiting.deadline < now + 11
    arrivals.begin(client)
    assert len(deadlines) == 0
    assert len(arrivals) == 1
    arrivals.begin(client)
    arrivals.begin_handshake(client, limits)


class Host:
    """As much of mitmproxy as an arrival asks for."""

    def __init__(self) -> None:
        self.connections: dict[str, Any] = {}
        self.aborted = 0

    def get(self, name: str) -> Any:
        assert name == "proxyserver"
        return self

    def abort(self) -> None:
        self.aborted += 1


@pytest.mark.parametrize("has_transport", [True, False])
async def test_silence(
    has_transport: bool,
    arrivals: Arrivals,
    deadlines: Deadlines,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who says nothing is cut off, if it is still there."""
    host, client = Host(), _client("203.0.113.7")
    if has_transport:
        io = types.SimpleNamespace(writer=types.SimpleNamespace(transport=host))
        host.connections[client.id] = types.SimpleNamespace(transports={client: io})
    master = types.SimpleNamespace(addons=host)
    monkeypatch.setattr(arrivals_module, "ctx", types.SimpleNamespace(master=master))
    arrivals.accept(client, Limits())
    (waiting,) = deadlines._waiting
    waiting.expire(0.0)
    assert host.aborted == has_transport
