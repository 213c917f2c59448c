"""Clients that leave a watched relay while mitmproxy still has the connection's transport."""

import contextlib
import socket
import time
from collections.abc import Iterator, Mapping

import pytest

from tests.e2e.footprint import Footprint, run_relay, wait_for_rest
from tests.e2e.harness import Fleet, Request, Router, Wire, build_request

_TIMES = 20
"""Whether the relay has taken a transport over when its client leaves is a race: each is tried."""


@pytest.fixture(scope="module")
def router(shared_fleet: Fleet, key_options: Mapping[str, str]) -> Iterator[Router]:
    """A relay that is watched: mitmproxy accepts its connections."""
    with run_relay(shared_fleet, key_options, route_watch="always") as relay:
        yield relay


@pytest.fixture
def before(router: Router, fleet: Fleet) -> Footprint:
    """What it holds at rest."""
    assert router.ask(build_request(b"/healthz")).status == 200
    return Footprint.measure(router)


def test_reset_in_the_middle(router: Router, fleet: Fleet, before: Footprint) -> None:
    """A request that is cut by a reset holds nothing, though more of it was waited for."""
    half = build_request(b"/API/x", (b"Content-Length", b"200000"), method=b"POST") + bytes(100_000)
    for _ in range(_TIMES):
        with router.connect() as client:
            client.send(half)
            client.reset()
    wait_for_rest(router, before)
    assert fleet.is_untouched


def test_half_a_request_behind_another(router: Router, fleet: Fleet, before: Footprint) -> None:
    """The client has ended before it was its turn: its rest is not waited for."""
    two = build_request(b"/API/1") + build_request(b"/API/2", (b"Content-Length", b"9")) + b"x"
    for _ in range(_TIMES):
        with router.connect() as client:
            client.send(two)
            client.socket.shutdown(socket.SHUT_WR)
            assert client.read_answer().status == 200
            assert client.is_closed()
    wait_for_rest(router, before)
    assert {request.target for request in fleet.pyos.requests} == {b"/API/1"}


def test_reset_behind_its_end(router: Router, fleet: Fleet, before: Footprint) -> None:
    """A client that has ended its side is missed when it goes: its endless answer is let go."""
    fleet.pyos.play(_drip)
    for _ in range(_TIMES):
        with router.connect() as client:
            client.send(build_request(b"/API/x"))
            client.socket.shutdown(socket.SHUT_WR)
            assert client.read_head().startswith(b"HTTP/1.1 200 ")
            client.reset()
    wait_for_rest(router, before)


def _drip(wire: Wire, request: Request) -> None:
    """An answer without an end, until the relay has gone."""
    wire.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    with contextlib.suppress(OSError):
        while True:
            wire.send(b"1\r\nx\r\n")
            time.sleep(0.02)
