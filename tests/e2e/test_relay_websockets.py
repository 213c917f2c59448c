"""WebSockets through the relay: bytes passed on as they are, on as many sockets as there are."""

import contextlib
import resource
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.e2e.footprint import MIB, Footprint, Memory, run_relay, wait_for_rest
from tests.e2e.harness import (
    PATIENCE_S,
    Client,
    Fleet,
    Router,
    Wire,
    build_request,
    wait_until,
)
from tests.e2e.raw_server import RawServer

HANDSHAKE = (
    (b"Connection", b"Upgrade"),
    (b"Upgrade", b"websocket"),
    (b"Sec-WebSocket-Version", b"13"),
    (b"Sec-WebSocket-Key", b"dGhlIHNhbXBsZSBub25jZQ=="),
)
ACCEPTED = b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: x\r\n\r\n"
BLOCK = bytes(256 * 1024)
GROWTH = 40 * MIB
SOCKETS = 1000


@pytest.fixture(scope="module")
def many_files() -> Iterator[None]:
    """As many open files as this process may have, for it and for the relay that it starts."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture(scope="module")
def router(
    shared_fleet: Fleet, key_options: Mapping[str, str], certificate: Path, many_files: None
) -> Iterator[Router]:
    """A relay."""
    with run_relay(shared_fleet, key_options, certs=f"*={certificate}") as relay:
        yield relay


def _handshake(fleet: Fleet, server: RawServer) -> bytes:
    target = b"/container/%b/%d/socket" % (fleet.alice.token, server.port)
    return build_request(target, *HANDSHAKE)


@contextlib.contextmanager
def _tunnel(
    router: Router, fleet: Fleet, serve: Callable[[Wire], object], tls: ssl.SSLContext | None = None
) -> Iterator[Client]:
    """A client of a WebSocket, behind whose handshake a server does something."""

    def accept(wire: Wire) -> None:
        wire.read_head()
        wire.send(ACCEPTED)
        serve(wire)

    with RawServer(accept) as server, router.connect(tls=tls) as client:
        client.send(_handshake(fleet, server))
        assert client.read_head().startswith(b"HTTP/1.1 101 ")
        yield client


def _echo(wire: Wire) -> None:
    while data := wire.receive():
        wire.send(data)


@pytest.mark.parametrize("is_secure", [False, True], ids=["plain", "TLS"])
def test_bytes_pass(is_secure: bool, router: Router, fleet: Fleet, tls: ssl.SSLContext) -> None:
    """Whatever they are: nothing is parsed."""
    data = bytes(range(256)) * 1000
    with _tunnel(router, fleet, _echo, tls if is_secure else None) as client:
        for size in (1, 2, 1000, len(data)):
            client.send(data[:size])
            received = b""
            while len(received) < size:
                received += client.receive()
            assert received == data[:size]


@pytest.mark.parametrize("ends", [False, True], ids=["goes on", "ends"])
def test_frames_right_behind_the_handshake(ends: bool, router: Router, fleet: Fleet) -> None:
    """From either side, in the same segment; also when the client has nothing to add."""
    seen = bytearray()
    ended = threading.Event()

    def serve(wire: Wire) -> None:
        wire.read_head()
        wire.send(ACCEPTED + b"from the pod")
        while data := wire.receive():
            seen.extend(data)
        wire.send(b", and more")
        ended.set()

    with RawServer(serve) as server, router.connect() as client:
        client.send(_handshake(fleet, server) + b"from the client")
        if ends:
            client.socket.shutdown(1)
        client.read_head()
        received = client.receive()
        if not ends:
            client.socket.shutdown(1)
        assert ended.wait(PATIENCE_S)
        assert seen == b"from the client"
        assert received + client.read_to_end() == b"from the pod, and more"


def test_a_handshake_behind_other_requests(router: Router, fleet: Fleet) -> None:
    """It waits for their answers."""

    def serve(wire: Wire) -> None:
        wire.read_head()
        wire.send(ACCEPTED)
        _echo(wire)

    with RawServer(serve) as server, router.connect() as client:
        client.send(build_request(b"/API/x") * 3 + _handshake(fleet, server) + b"ping")
        for _ in range(3):
            assert client.read_answer().status == 200
        client.read_head()
        assert client.receive() == b"ping"


def test_a_handshake_that_the_pod_refuses(router: Router, fleet: Fleet) -> None:
    """Its answer is passed on, and the connection is still one of HTTP."""

    def refuse(wire: Wire) -> None:
        while wire.read_request():
            wire.send(b"HTTP/1.1 426 Nope\r\nX-Why: x\r\nContent-Length: 4\r\n\r\nnope")

    with RawServer(refuse) as server, router.connect() as client:
        for _ in range(2):
            answer = client.ask(_handshake(fleet, server))
            assert (answer.status, answer.get(b"X-Why"), answer.body) == (426, b"x", b"nope")
        assert client.ask(build_request(b"/healthz")).status == 200


def test_the_client_ends_first(router: Router, fleet: Fleet) -> None:
    """The pod sees the end, and what it then says still arrives."""

    def serve(wire: Wire) -> None:
        assert wire.read_to_end() == b"the last word"
        time.sleep(0.1)
        wire.send(b"not quite")

    with _tunnel(router, fleet, serve) as client:
        client.send(b"the last word")
        client.socket.shutdown(1)
        assert client.read_to_end() == b"not quite"


def test_the_pod_ends_first(router: Router, fleet: Fleet) -> None:
    """The client sees the end, and what it then says still arrives."""
    seen: list[bytes] = []
    ended = threading.Event()

    def serve(wire: Wire) -> None:
        wire.send(b"the last word")
        wire.socket.shutdown(1)
        seen.append(wire.read_to_end())
        ended.set()

    with _tunnel(router, fleet, serve) as client:
        assert client.read_to_end() == b"the last word"
        client.send(b"not quite")
        client.socket.shutdown(1)
        assert ended.wait(PATIENCE_S)
    assert seen == [b"not quite"]


@pytest.mark.parametrize("end", [Wire.close, Wire.reset])
def test_a_pod_that_vanishes(end: Callable[[Wire], None], router: Router, fleet: Fleet) -> None:
    """The client gets what came before, and no close frame that nobody has sent."""
    has_come = threading.Event()

    def serve(wire: Wire) -> None:
        wire.send(b"\x81\x02hi")
        has_come.wait(PATIENCE_S)
        end(wire)

    with _tunnel(router, fleet, serve) as client:
        assert client.receive() == b"\x81\x02hi"
        has_come.set()
        with contextlib.suppress(ConnectionError):
            assert client.read_to_end() == b""


@pytest.mark.parametrize("end", [Wire.close, Wire.reset])
def test_a_client_that_vanishes(end: Callable[[Wire], None], router: Router, fleet: Fleet) -> None:
    """The pod sees that, and no close frame."""
    seen = bytearray()
    ended = threading.Event()

    def serve(wire: Wire) -> None:
        with contextlib.suppress(ConnectionError):
            while data := wire.receive():
                seen.extend(data)
        ended.set()

    with _tunnel(router, fleet, serve) as client:
        client.send(b"\x81\x82....hi")
        wait_until(lambda: len(seen) == 8, "the pod has it")
        end(client)
        assert ended.wait(PATIENCE_S)
    assert seen == b"\x81\x82....hi"


# --- back pressure


def _flood(wire: Wire, count: list[int], size: int = 2**40) -> None:
    with contextlib.suppress(OSError):
        while count[0] < size:
            wire.send(BLOCK)
            count[0] += len(BLOCK)


def test_a_pod_that_floods(router: Router, fleet: Fleet) -> None:
    """It is read as fast as the client reads, and no byte is lost."""
    memory = Memory(Footprint.measure(router).pid)
    count, size = [0], 256 * MIB

    def serve(wire: Wire) -> None:
        wire.socket.settimeout(60)
        _flood(wire, count, size)

    with _tunnel(router, fleet, serve) as client:
        time.sleep(1)
        assert count[0] < size / 2
        received = 0
        while data := client.receive():
            received += len(data)
        assert received == size
    assert memory.growth_bytes < GROWTH


def test_a_client_that_floods(router: Router, fleet: Fleet) -> None:
    """It is read as fast as the pod reads, and no byte is lost."""
    memory = Memory(Footprint.measure(router).pid)
    count, size = [0], 256 * MIB
    received = [0]
    may_read = threading.Event()
    ended = threading.Event()

    def serve(wire: Wire) -> None:
        may_read.wait(PATIENCE_S)
        while data := wire.receive():
            received[0] += len(data)
        ended.set()

    with _tunnel(router, fleet, serve) as client:
        client.socket.settimeout(60)
        flooding = threading.Thread(target=_flood, args=(client, count, size), daemon=True)
        flooding.start()
        time.sleep(1)
        assert count[0] < size / 2
        may_read.set()
        flooding.join()
        client.socket.shutdown(1)
        assert ended.wait(PATIENCE_S)
    assert received[0] == size
    assert memory.growth_bytes < GROWTH


def test_a_client_that_is_deaf_at_the_end(router: Router, fleet: Fleet) -> None:
    """Both sides have ended, and one does not take the rest: it is not waited for for ever."""
    module = "import route_addon.carry.tunnel as module"
    old = float(router.run_inside(f"{module}\nresult = module._HALF_CLOSED_S"))
    router.run_inside(f"{module}\nmodule._HALF_CLOSED_S = 1.0")
    before = Footprint.measure(router)
    count = [0]

    def serve(wire: Wire) -> None:
        wire.socket.setblocking(False)
        _flood(wire, count)

    with _tunnel(router, fleet, serve) as client:
        client.socket.shutdown(1)
        wait_until(lambda: count[0], "the pod has sent something")
        wait_until(lambda: not Footprint.measure(router).connections, "it is given up")
    wait_for_rest(router, before)
    router.run_inside(f"{module}\nmodule._HALF_CLOSED_S = {old}")


# --- many, and for long

_OPTIONS = """
import socket
from route_addon.carry.tunnel import Tunnel
(tunnel,) = [one for one in ctx.master.addons.get("route").relay.deadlines._waiting
             if isinstance(one, Tunnel)]
names = ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT")
result = []
for transport in (tunnel.wire.transport, tunnel.transport):
    sock = transport.get_extra_info("socket")
    result.append(sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))
    result += [sock.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)) for name in names]
"""


def test_the_kernel_asks_silent_peers(router: Router, fleet: Fleet) -> None:
    """On both sides, so that a dead one is noticed in minutes."""
    with _tunnel(router, fleet, _echo):
        on, idle, interval, count = eval(router.run_inside(_OPTIONS))[:4]
        assert on == 1
        assert idle + interval * count <= 300
        assert eval(router.run_inside(_OPTIONS))[4:] == [on, idle, interval, count]


def test_a_thousand_idle_sockets(router: Router, fleet: Fleet) -> None:
    """They cost little memory and no task of their own, all of them live, and nothing is left."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 4 * SOCKETS:
        pytest.skip("needs more open files")
    before = Footprint.measure(router)
    memory = Memory(before.pid)

    def serve(wire: Wire) -> None:
        wire.read_head()
        wire.send(ACCEPTED)
        _echo(wire)

    with RawServer(serve) as server, contextlib.ExitStack() as stack:
        handshake = _handshake(fleet, server)
        clients = []
        for _ in range(SOCKETS):
            client = stack.enter_context(router.connect())
            client.send(handshake)
            clients.append(client)
        for client in clients:
            assert client.read_head().startswith(b"HTTP/1.1 101 ")
        assert memory.growth_bytes < SOCKETS * 64 * 1024
        assert router.ask(build_request(b"/API/x")).status == 200
        for client in clients:
            client.send(b"ping")
        for client in clients:
            assert client.receive() == b"ping"
    wait_for_rest(router, before)
