"""Clients' connections: how many, and those that say nothing."""

import asyncio
import logging

import pytest

from route_addon.carry.deadlines import Deadlines
from route_addon.carry.limits import Limits
from route_addon.carry.listen.arrivals import Arrival, Arrivals

PROXY = "10.0.0.1"


class Guest(Arrival):
    """A connection from an address; its key is itself."""

    def __init__(self, address: str, *, is_open: bool = True) -> None:
        super().__init__()
        self.address = address
        self.is_open = is_open

    def abort(self) -> bool:
        was_open, self.is_open = self.is_open, False
        return was_open


def _accept(arrivals: Arrivals, guest: Guest, limits: Limits) -> str | None:
    return arrivals.accept(guest, guest.address, guest, limits)


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
        assert _accept(arrivals, Guest("203.0.113.7"), Limits()) is None
    assert len(arrivals) == 100


async def test_max_connections(arrivals: Arrivals, deadlines: Deadlines) -> None:
    """The number of all, whoever they are; a refused one is not among them."""
    limits = Limits(max_connections=2)
    guests = [Guest("203.0.113.7"), Guest(PROXY)]
    for guest in guests:
        assert _accept(arrivals, guest, limits) is None
    refused = Guest("203.0.113.8")
    assert _accept(arrivals, refused, limits) == "route_max_connections"
    assert len(arrivals) == len(deadlines) == 2
    arrivals.leave(refused)
    assert _accept(arrivals, Guest("203.0.113.9"), limits) == "route_max_connections"
    arrivals.leave(guests[0])
    arrivals.leave(guests[0])
    assert _accept(arrivals, refused, limits) is None
    assert _accept(arrivals, Guest("203.0.113.9"), limits) == "route_max_connections"


async def test_max_connections_perGuest(arrivals: Arrivals) -> None:
    """The number of one address; a trusted proxy speaks for many."""
    limits = Limits(max_connections_per_client=1)
    first = Guest("203.0.113.7")
    assert _accept(arrivals, first, limits) is None
    too_many = "route_max_connections_per_client"
    assert _accept(arrivals, Guest("203.0.113.7"), limits) == too_many
    assert _accept(arrivals, Guest("203.0.113.8"), limits) is None
    for _ in range(3):
        assert _accept(arrivals, Guest(PROXY), limits) is None
    arrivals.leave(first)
    assert _accept(arrivals, Guest("203.0.113.7"), limits) is None


async def test_nothing_is_kept_of_those_who_left(arrivals: Arrivals, deadlines: Deadlines) -> None:
    """However they went."""
    for number in range(50):
        guest = Guest(f"203.0.113.{number}")
        _accept(arrivals, guest, Limits())
        if number % 2:
            arrivals.begin(guest)
        arrivals.leave(guest)
    assert len(arrivals) == len(deadlines) == len(arrivals._held) == 0


async def test_a_time_of_its_own(arrivals: Arrivals, deadlines: Deadlines) -> None:
    """The head's until bytes come, the handshake's when they are TLS, then its carrier's."""
    guest = Guest("203.0.113.7")
    limits = Limits(head_s=100, tls_handshake_s=10)
    now = asyncio.get_running_loop().time()
    _accept(arrivals, guest, limits)
    (waiting,) = deadlines._waiting
    assert now + 99 < waiting.deadline < now + 101
    arrivals.begin_handshake(guest, limits)
    assert now + 9 < waiting.deadline < now + 11
    arrivals.begin(guest)
    assert len(deadlines) == 0
    assert len(arrivals) == 1
    arrivals.begin(guest)
    arrivals.begin_handshake(guest, limits)


@pytest.mark.parametrize("is_open", [True, False])
async def test_silence(
    is_open: bool, arrivals: Arrivals, deadlines: Deadlines, caplog: pytest.LogCaptureFixture
) -> None:
    """Who says nothing is cut off, if it is still there."""
    caplog.set_level(logging.INFO)
    guest = Guest("203.0.113.7", is_open=is_open)
    _accept(arrivals, guest, Limits())
    (waiting,) = deadlines._waiting
    waiting.expire(0.0)
    assert not guest.is_open
    assert caplog.messages == ["closed: a client that said nothing in time"] * is_open


@pytest.mark.parametrize("age_s", [0.5, 2])
async def test_the_end_of_the_service(age_s: float) -> None:
    """Who has just come will say something; who opens connections ahead is closed."""
    guest = Guest("203.0.113.7")
    guest.since -= age_s
    guest.drain()
    assert guest.is_open == (age_s < 1)
