"""How long the relay waits, for whom, and what becomes of it."""

import contextlib
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.e2e.footprint import MIB, Footprint, Memory, run_relay, wait_for_rest
from tests.e2e.harness import (
    ALICE,
    PATIENCE_S,
    UNTRUSTED,
    Answer,
    Fleet,
    Request,
    Router,
    Wire,
    build_request,
    check_refusal,
    wait_until,
)
from tests.e2e.raw_server import RawServer

SHORT = {
    f"route_{name}_timeout": 1
    for name in ("head", "body", "send", "keepalive", "connect", "answer", "websocket")
}
SLACK_S = 4.0
"""How much later than its time a deadline may be seen to pass, on a machine that is busy."""
HANDSHAKE = ((b"Connection", b"Upgrade"), (b"Upgrade", b"websocket"))


@pytest.fixture(scope="module")
def router(
    shared_fleet: Fleet, key_options: Mapping[str, str], certificate: Path
) -> Iterator[Router]:
    """A relay that waits a second for anything."""
    with run_relay(
        shared_fleet,
        key_options,
        certs=f"*={certificate}",
        route_tls_handshake_timeout=1,
        **SHORT,
    ) as relay:
        yield relay


@contextlib.contextmanager
def options(router: Router, **values: int) -> Iterator[None]:
    """Other options for a while."""
    old = {name: router.command.options.get(name, 0) for name in values}
    router.run_inside(f"ctx.options.update(**{values})")
    try:
        yield
    finally:
        router.run_inside(f"ctx.options.update(**{old})")


def _closes_after(wire: Wire, seconds: float, began: float) -> None:
    """Check that the router closes, without a word, so long after the wire's last sign of life.

    Args:
        wire: A client's.
        seconds: How long.
        began: When the sign was about to be given.
    """
    assert wire.is_closed()
    assert seconds * 0.9 < time.monotonic() - began < seconds + SLACK_S


def _container(fleet: Fleet, port: int) -> bytes:
    return b"/container/%b/%d/x" % (fleet.alice.token, port)


def _post(target: bytes, size: int) -> bytes:
    return build_request(target, (b"Content-Length", b"%d" % size), method=b"POST")


# --- clients


@pytest.mark.parametrize("sent", [b"", b"G", b"GET / HTTP/1.1\r\nHost: x\r\n", b"\x16\x03\x01"])
def test_a_silent_client(sent: bytes, router: Router, fleet: Fleet) -> None:
    """Who says nothing, or half a head, or half a TLS handshake, is closed."""
    began = time.monotonic()
    with router.connect() as client:
        client.send(sent)
        _closes_after(client, 1, began)
    assert fleet.is_untouched


def test_a_silent_client_under_tls(router: Router, tls: ssl.SSLContext) -> None:
    """A handshake alone holds nothing."""
    began = time.monotonic()
    with router.connect(tls=tls) as client:
        _closes_after(client, 1, began)


def test_a_dripping_head(router: Router, fleet: Fleet) -> None:
    """The time is for the whole head, not from byte to byte."""
    began = time.monotonic()
    with router.connect() as client, pytest.raises(OSError):
        for octet in build_request(b"/", (b"X", b"x" * 200)):
            client.send(bytes((octet,)))
            time.sleep(0.1)
    assert time.monotonic() - began < 1 + SLACK_S
    assert fleet.is_untouched


def test_a_second_head(router: Router) -> None:
    """Half a head on a kept connection has its time as well."""
    with options(router, route_keepalive_timeout=60), router.connect() as client:
        assert client.ask(build_request(b"/healthz")).status == 200
        began = time.monotonic()
        client.send(b"GET /")
        _closes_after(client, 1, began)


def test_an_idle_connection(router: Router, fleet: Fleet) -> None:
    """It is closed without a word, whoever gave the last answer."""
    for target in (b"/healthz", b"/API/x", b"/filer/x"):
        with router.connect() as client:
            began = time.monotonic()
            client.ask(build_request(target))
            _closes_after(client, 1, began)


@pytest.mark.parametrize("where", ["collected", "streamed"])
def test_silence_in_a_body(where: str, router: Router, fleet: Fleet) -> None:
    """It closes the connection; an upstream that was sent the beginning sees that it is cut."""
    ended = threading.Event()

    def serve(wire: Wire) -> None:
        wire.read_head()
        with contextlib.suppress(OSError):
            wire.read_to_end()
        ended.set()

    with RawServer(serve) as server, options(router, route_answer_timeout=30):
        target = _container(fleet, server.port) if where == "streamed" else b"/API/x"
        with router.connect() as client:
            began = time.monotonic()
            client.send(_post(target, 100) + b"x")
            _closes_after(client, 1, began)
        assert where == "collected" or ended.wait(PATIENCE_S)
        assert server.connections == (where == "streamed")
    assert fleet.is_untouched


@pytest.mark.parametrize("where", ["collected", "streamed"])
def test_a_body_that_drips(where: str, router: Router, fleet: Fleet) -> None:
    """Slowly is fast enough, and the upstream is not blamed for the client's silence."""
    backend = fleet.pyos if where == "collected" else fleet.alice["pulseaudio_http"]
    target = b"/API/x" if where == "collected" else _container(fleet, backend.port)
    with options(router, route_body_timeout=4), router.connect() as client:
        client.send(_post(target, 2))
        for _ in range(2):
            time.sleep(1.7)
            client.send(b"x")
        assert client.read_answer().status == 200
    assert backend.request.body == b"xx"


@pytest.mark.parametrize("fields", [(), ((b"Connection", b"close"),)])
def test_a_client_that_does_not_read(
    fields: tuple[tuple[bytes, bytes], ...], router: Router, fleet: Fleet
) -> None:
    """It is cut off, and the upstream's connection with it, also when the answer is whole."""
    body = bytes(8 * MIB)
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    fleet.pyos.play(answer)
    before = Footprint.measure(router)
    with router.connect() as client:
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.send(build_request(b"/API/x", *fields))
        wait_until(lambda: Footprint.measure(router).connections == 1, "it is there")
        wait_until(lambda: Footprint.measure(router).connections == 0, "it is cut off")
    wait_for_rest(router, before)


def test_a_client_that_does_not_take_the_end(router: Router) -> None:
    """Answers that are whole, on a connection that ends with them, are not waited for longer."""
    before = Footprint.measure(router)
    with router.connect() as client:
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        client.send(build_request(b"/filer/x") * 300)
        time.sleep(0.3)
        client.socket.shutdown(socket.SHUT_WR)
        wait_until(lambda: Footprint.measure(router).connections == 0, "it is cut off")
    wait_for_rest(router, before)


def test_a_client_that_reads_slowly(router: Router, fleet: Fleet) -> None:
    """As long as it takes something, it gets the rest."""
    body = bytes(16 * MIB)
    fleet.pyos.play(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
    with options(router, route_send_timeout=2), router.connect() as client:
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 128 * 1024)
        client.send(build_request(b"/API/x"))
        client.read_head()
        received = 0
        for _ in range(10):
            time.sleep(0.3)
            stop = received + 256 * 1024
            while received < stop:
                received += _length(client.receive())
        while received < len(body):
            received += _length(client.receive())
    assert received == len(body)


# --- upstreams


@pytest.fixture
def deaf() -> Iterator[tuple[str, int]]:
    """A server that lets no connection come about: its queue is full, and nobody accepts."""
    with socket.socket() as listener, contextlib.ExitStack() as stack:
        listener.bind((ALICE, 0))
        listener.listen(0)
        for _ in range(4):
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                client.connect(listener.getsockname())
        yield listener.getsockname()


def test_a_server_that_does_not_connect(
    deaf: tuple[str, int], router: Router, fleet: Fleet
) -> None:
    """It is a 504 after its time, and the log says where to look."""
    began = time.monotonic()
    answer = router.ask(build_request(_container(fleet, deaf[1])))
    check_refusal(answer, 504, fleet)
    assert 0.7 < time.monotonic() - began < 1 + SLACK_S
    router.wait_for("504 upstream_timeout")
    assert "NetworkPolicy" in router.log


@pytest.mark.parametrize("where", ["API", "pod"])
def test_a_server_that_does_not_answer(where: str, router: Router, fleet: Fleet) -> None:
    """Silence before the head is a 504, and the server's connection is closed."""
    ended = threading.Event()

    def serve(wire: Wire) -> None:
        wire.read_head()
        wire.send(b"HTTP/1.1 200")  # a head that has begun is none
        wire.read_to_end()
        ended.set()

    with RawServer(serve) as server:
        answer = router.ask(build_request(_container(fleet, server.port)))
        check_refusal(answer, 504, fleet)
        assert ended.wait(PATIENCE_S)


def test_an_answer_that_stops(router: Router, fleet: Fleet) -> None:
    """Silence in the content cuts the connection: the answer is not made to look whole."""
    for framing in (b"Content-Length: 10", b"Transfer-Encoding: chunked", b"X: until the end"):
        head = b"HTTP/1.1 200 OK\r\n%b\r\n\r\n" % framing

        def stop(wire: Wire, request: Request, head: bytes = head) -> None:
            wire.send(head + b"3\r\nabc\r\n")
            wire.read_to_end()

        fleet.pyos.play(stop)
        with router.connect() as client:
            client.send(build_request(b"/API/x"))
            received = client.read_to_end()
            assert received.startswith(b"HTTP/1.1 200 OK\r\n")
            assert not received.endswith(b"0\r\n\r\n")
    router.wait_for("cut: 504 upstream_timeout")


def test_an_answer_that_stops_for_an_old_client(router: Router, fleet: Fleet) -> None:
    """To HTTP/1.0 a connection's end would be the answer's: it is a reset."""

    def stop(wire: Wire, request: Request) -> None:
        wire.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        wire.read_to_end()

    fleet.pyos.play(stop)
    with router.connect() as client:
        client.send(build_request(b"/API/x", version=b"HTTP/1.0"))
        with pytest.raises(ConnectionResetError):
            client.read_to_end()


def test_an_answer_that_drips(router: Router, fleet: Fleet) -> None:
    """The time is from part to part."""

    def drip(wire: Wire, request: Request) -> None:
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
        for _ in range(5):
            time.sleep(0.5)
            wire.send(b"x")

    fleet.pyos.play(drip)
    with options(router, route_answer_timeout=2):
        assert router.ask(build_request(b"/API/x")).body == b"xxxxx"


def test_a_server_that_does_not_read(router: Router, fleet: Fleet) -> None:
    """An upload that it does not take is a 504."""
    gone = threading.Event()

    def serve(wire: Wire) -> None:
        gone.wait(30)

    with RawServer(serve) as server, router.connect() as client:
        client.socket.setblocking(True)
        client.send(_post(_container(fleet, server.port), MIB))
        # Both kernels' buffers would hold a MiB: what is silent here is the server.
        client.send(bytes(MIB))
        assert client.read_answer().status == 504
        gone.set()


def test_a_websocket_that_is_silent(router: Router, fleet: Fleet) -> None:
    """It is closed after its time, on both sides; one on which something moves is not."""
    ended = threading.Event()

    def serve(wire: Wire) -> None:
        wire.read_head()
        wire.send(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
        while data := wire.receive():
            wire.send(data)
        ended.set()

    with (
        options(router, route_websocket_timeout=2),
        RawServer(serve) as server,
        router.connect() as client,
    ):
        client.send(build_request(_container(fleet, server.port), *HANDSHAKE))
        client.read_head()
        for _ in range(5):
            time.sleep(0.5)
            began = time.monotonic()
            client.send(b"ping")
            assert client.receive() == b"ping"
        _closes_after(client, 2, began)
        assert ended.wait(PATIENCE_S)


# --- attacks


@pytest.mark.skipif(shutil.which("slowhttptest") is None, reason="needs slowhttptest")
@pytest.mark.parametrize(
    "attack",
    [
        pytest.param(("-H", "-i", "1"), id="headers"),
        pytest.param(("-B", "-i", "2", "-s", "8192", "-x", "10"), id="body"),
        pytest.param(("-X", "-w", "1", "-y", "10", "-n", "2", "-z", "1", "-k", "3"), id="read"),
    ],
)
def test_slow_attacks(attack: tuple[str, ...], router: Router, fleet: Fleet) -> None:
    """Who asks beside an attack is answered within seconds, and afterwards nothing is held."""
    before = Footprint.measure(router)
    memory = Memory(before.pid)
    body = bytes(2 * MIB)
    fleet.website.play(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
    url = f"http://127.0.0.1:{router.port}/"
    command = ["slowhttptest", "-c", "100", "-r", "100", "-l", "2", "-p", "3", "-u", url, *attack]
    worst = 0.0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as tester:
        while tester.poll() is None:
            began = time.monotonic()
            assert router.ask(build_request(b"/API/x")).status == 200
            worst = max(worst, time.monotonic() - began)
            time.sleep(0.05)
    assert worst < SLACK_S
    assert memory.growth_bytes < 20 * MIB
    wait_for_rest(router, before)


def test_many_silent_connections(router: Router) -> None:
    """They are all closed, and meanwhile others are served."""
    before = Footprint.measure(router)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(router.connect()) for _ in range(300)]
        for client in clients[::2]:
            client.send(b"\x16\x03\x01\x02\x00")
        began = time.monotonic()
        assert router.ask(build_request(b"/healthz")).status == 200
        assert time.monotonic() - began < SLACK_S
        for client in clients:
            assert client.is_closed()
    wait_for_rest(router, before)


def _ask_or_none(router: Router, source: str | None = None) -> Answer | None:
    try:
        return router.ask(build_request(b"/healthz"), source=source)
    except (EOFError, OSError):
        return None


def test_max_connections(router: Router) -> None:
    """One more than allowed is closed at once; when one leaves, the next may come."""
    with options(router, route_max_connections=3, route_keepalive_timeout=30):
        wait_until(lambda: not Footprint.measure(router).connections, "all others are gone")
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(router.connect()) for _ in range(3)]
            for client in clients:
                assert client.ask(build_request(b"/healthz")).status == 200
            assert _ask_or_none(router) is None
            clients[0].close()
            wait_until(lambda: _ask_or_none(router) is not None, "there is room again")
        router.wait_for("closed: a connection too many (route_max_connections)")


def test_max_connections_per_client(router: Router) -> None:
    """Each address has its own number; a trusted proxy's connections are not counted."""
    with (
        options(router, route_max_connections_per_client=2, route_keepalive_timeout=30),
        contextlib.ExitStack() as stack,
    ):
        for source in (UNTRUSTED, "127.0.0.32"):
            for _ in range(2):
                client = stack.enter_context(router.connect(source=source))
                assert client.ask(build_request(b"/healthz")).status == 200
            assert _ask_or_none(router, source) is None
        for _ in range(5):
            client = stack.enter_context(router.connect())
            assert client.ask(build_request(b"/healthz")).status == 200


def _length(data: bytes) -> int:
    assert data, "cut off"
    return len(data)
