"""Long answers that the kernel moves: whole and exact, and cut, slow or ended like all others."""

import contextlib
import os
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from route_addon.carry.splice import LEAST_BYTES, MOST_AT_ONCE
from tests.e2e.footprint import MIB, Footprint, Memory, run_relay, wait_for_rest
from tests.e2e.harness import Client, Fleet, Router, Wire, build_request, wait_until
from tests.e2e.raw_server import RawServer

SIZE = 8 * MIB
"""More than all that kernels hold on the way."""
CONTENT = os.urandom(MIB) * (SIZE // MIB)
SMALL_BUFFER = 64 * 1024
GROWTH = 16 * MIB
COUNT = 'result = str(ctx.master.addons.get("route").relay.upstreams.splice_count)'
NEXT = build_request(b"/API/next")


def _head(size: int) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size


def _answer(wire: Wire) -> None:
    """All the content, to one request after the other."""
    while True:
        head = wire.read_head()
        content = b"next" if b"/next" in head else CONTENT
        wire.send(_head(len(content)) + content)


@pytest.fixture(scope="module")
def server() -> Iterator[RawServer]:
    """pyos."""
    with RawServer(_answer, address="127.0.0.1") as server:
        yield server


@pytest.fixture(scope="module", params=["serve", "mitmdump"])
def router(
    request: pytest.FixtureRequest,
    shared_fleet: Fleet,
    key_options: Mapping[str, str],
    certificate: Path,
    server: RawServer,
) -> Iterator[Router]:
    """A relay by either loop."""
    options = {"route_pyos": server.url, "certs": f"*={certificate}"}
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("E2E_UNWATCHED", request.param)
        with run_relay(shared_fleet, key_options, **options) as relay:
            yield relay


@pytest.fixture(autouse=True)
def _anew(router: Router, server: RawServer) -> None:
    """Let the server answer all of it, on connections of its own."""
    server.serve = _answer
    router.run_inside('ctx.master.addons.get("route").relay.upstreams.close()')


@contextlib.contextmanager
def download(router: Router, *, version: bytes = b"HTTP/1.1") -> Iterator[Client]:
    """A client that has asked for all the content, and read the head; little waits for it."""
    with router.connect() as client:
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
        client.send(build_request(b"/API/x", version=version))
        assert client.read_head().startswith(b"HTTP/1.1 200 ")
        yield client


def read(client: Client, size: int) -> bytes:
    """At least so many bytes, or all that come."""
    parts: list[bytes] = []
    while size > 0 and (part := client.receive()):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


@contextlib.contextmanager
def impatient(router: Router, option: str) -> Iterator[None]:
    """Let the router wait no longer than a second, for a while."""
    before = router.run_inside(f"result = str(ctx.options.{option})")
    router.run_inside(f"ctx.options.update({option}=1)")
    yield
    router.run_inside(f"ctx.options.update({option}={before})")


def count(router: Router) -> int:
    """How many answers the kernel moves."""
    return int(router.run_inside(COUNT))


def wait_for_splice(router: Router) -> None:
    wait_until(lambda: count(router) == 1, "the kernel moves it")


def test_every_byte_and_on(router: Router, server: RawServer) -> None:
    """What was sent arrives; and both connections are good for what follows."""
    with download(router) as client:
        wait_for_splice(router)
        assert read(client, SIZE) == CONTENT
        opened = server.connections
        assert client.ask(NEXT).body == b"next"
        client.send(build_request(b"/API/x"))
        assert client.read_answer().body == CONTENT
    assert server.connections == opened
    assert count(router) == 0


def test_the_next_request_is_there_already(router: Router) -> None:
    """It is answered behind the long answer."""
    with router.connect() as client:
        client.send(build_request(b"/API/x") + NEXT)
        assert client.read_answer().body == CONTENT
        assert client.read_answer().body == b"next"


def test_an_old_client(router: Router) -> None:
    """An HTTP/1.0 client gets all, and then the end."""
    with download(router, version=b"HTTP/1.0") as client:
        wait_for_splice(router)
        assert client.read_to_end() == CONTENT


def test_a_client_under_tls(router: Router, tls: ssl.SSLContext) -> None:
    """What has to be encrypted is not moved past us."""
    with router.connect(tls=tls) as client:
        client.send(build_request(b"/API/x"))
        client.read_head()
        assert count(router) == 0
        assert read(client, SIZE) == CONTENT


def test_memory_is_flat(router: Router) -> None:
    """Whether a client takes it at once, or waits first; and all others are served meanwhile."""
    memory = Memory(Footprint.measure(router).pid)
    with download(router) as client:
        wait_for_splice(router)
        assert router.ask(NEXT).body == b"next"
        time.sleep(0.5)
        assert read(client, SIZE) == CONTENT
    assert memory.growth_bytes < GROWTH


def test_a_client_that_rests(router: Router) -> None:
    """Its server is not blamed for it, also after it has taken some."""
    with impatient(router, "route_answer_timeout"), download(router) as client:
        wait_for_splice(router)
        received = read(client, MIB)
        time.sleep(2.2)
        assert received + read(client, SIZE - len(received)) == CONTENT


def test_a_server_that_drips(router: Router, server: RawServer) -> None:
    """What comes in many small pieces is whole, too."""

    def drip(wire: Wire) -> None:
        wire.read_head()
        wire.send(_head(2 * LEAST_BYTES))
        for start in range(0, 2 * LEAST_BYTES, 50_000):
            wire.send(CONTENT[start : min(start + 50_000, 2 * LEAST_BYTES)])
            time.sleep(0.01)
        wire.read_to_end()

    server.serve = drip
    assert router.ask(build_request(b"/API/x")).body == CONTENT[: 2 * LEAST_BYTES]


def _check_half(router: Router, server: RawServer, end: Callable[[Wire], object]) -> bytes:
    """What arrives of half the content, when the server then does this."""

    def serve(wire: Wire) -> None:
        wire.read_head()
        wire.send(_head(SIZE) + CONTENT[: SIZE // 2])
        end(wire)

    before = Footprint.measure(router)
    server.serve = serve
    with router.connect() as client:
        client.send(build_request(b"/API/x"))
        client.read_head()
        received = client.read_to_end()
    assert CONTENT[: SIZE // 2].startswith(received)
    wait_for_rest(router, before)
    assert count(router) == 0
    return received


def test_a_server_that_closes(router: Router, server: RawServer) -> None:
    """All that it sent arrives, and the connection ends; nothing is left."""
    assert len(_check_half(router, server, Wire.close)) == SIZE // 2


def test_a_server_that_resets(router: Router, server: RawServer) -> None:
    """The connection ends, too. A reset may take away what was sent."""
    _check_half(router, server, Wire.reset)


def test_a_server_that_falls_silent(router: Router, server: RawServer) -> None:
    """It is not waited for longer than for any other."""
    with impatient(router, "route_answer_timeout"):
        assert len(_check_half(router, server, Wire.read_to_end)) == SIZE // 2


def _check_gone(router: Router, server: RawServer, end: Callable[[Client], object]) -> None:
    """The server's connection ends with the client's, and nothing is left."""
    before = Footprint.measure(router)
    with download(router) as client:
        wait_for_splice(router)
        end(client)
        wait_until(lambda: count(router) == 0, "it is cut off")
    wait_for_rest(router, before)
    wait_until(lambda: not server.open_connections, "the server's connection is closed")


@pytest.mark.parametrize("end", [Wire.close, Wire.reset])
def test_a_client_that_goes(
    end: Callable[[Client], object], router: Router, server: RawServer
) -> None:
    """Nobody is waited for."""
    _check_gone(router, server, end)


def test_a_client_that_does_not_read(router: Router, server: RawServer) -> None:
    """It is cut off as any other is."""
    with impatient(router, "route_send_timeout"):
        _check_gone(router, server, lambda client: None)


def test_more_than_the_kernel_moves(router: Router) -> None:
    """Some go the usual way; all are whole."""
    before = Footprint.measure(router)
    with contextlib.ExitStack() as clients:
        opened = [clients.enter_context(download(router)) for _ in range(MOST_AT_ONCE + 4)]
        wait_until(lambda: count(router) == MOST_AT_ONCE, "as many as may be")
        for client in opened:
            assert read(client, SIZE) == CONTENT
    wait_for_rest(router, before)
