"""Upstreams that fail, each in its way: a status, a slug, one line in the log, nothing left."""

import contextlib
import re
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial

import pytest

from tests.e2e.footprint import Footprint, run_relay, wait_for_rest
from tests.e2e.harness import (
    ALICE,
    PATIENCE_S,
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
from tests.minting import mint

HANDSHAKE = ((b"Connection", b"Upgrade"), (b"Upgrade", b"websocket"))
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture(scope="module")
def router(shared_fleet: Fleet, key_options: Mapping[str, str]) -> Iterator[Router]:
    """A relay that does not wait long for an answer."""
    website = f"http://localhost:{shared_fleet.website.port}"
    with run_relay(
        shared_fleet, key_options, route_website=website, route_answer_timeout=2
    ) as relay:
        yield relay


@pytest.fixture(scope="module")
def server() -> Iterator[RawServer]:
    """A pod's server; each test says how it serves."""
    with RawServer(Wire.close) as server:
        yield server


def _container(fleet: Fleet, port: int) -> bytes:
    return b"/container/%b/%d/x" % (fleet.alice.token, port)


def _answering(data: bytes, then: Callable[[Wire], object] = Wire.close) -> Callable[[Wire], None]:
    """Answers each request so, and then does something to the connection."""

    def serve(wire: Wire) -> None:
        wire.read_request()
        wire.send(data)
        then(wire)

    return serve


def _log_lines(router: Router, request_id: bytes) -> list[str]:
    return [line for line in router.log.splitlines() if request_id.decode() in line]


def _check_failure(router: Router, answer: Answer, status: int, slug: str) -> None:
    """Check what the client and the log are told."""
    assert answer.status == status, answer.raw
    assert ALICE.encode() not in answer.raw
    request_id = answer.get(b"X-Request-ID")
    assert request_id is not None
    router.wait_for(request_id.decode())
    (line,) = _log_lines(router, request_id)
    assert f"{status} {slug}" in line
    assert ALICE not in line


def _endless_head(wire: Wire) -> None:
    wire.read_request()
    wire.send(b"HTTP/1.1 200 OK\r\n")
    for number in range(100_000):
        wire.send(b"X-%d: x\r\n" % number)


BAD = "upstream_bad_answer"
CUT = "upstream_reset"


@pytest.mark.parametrize(
    ("serve", "slug"),
    [
        pytest.param(Wire.close, CUT, id="closes at once"),
        # So early that connecting itself may fail by it: reset or refused.
        pytest.param(Wire.reset, "upstream_re", id="resets at once"),
        pytest.param(_answering(b""), CUT, id="closes after the request"),
        pytest.param(_answering(b"", Wire.reset), CUT, id="resets after the request"),
        pytest.param(_answering(b"HTTP/1.1 200 OK\r\nX: "), CUT, id="half a head"),
        pytest.param(_answering(b"HTTP/1.1 200 OK\r\n", Wire.reset), CUT, id="half a head, reset"),
        pytest.param(_answering(b"HTTP/1.1 100 Continue\r\n\r\n"), CUT, id="100 and no more"),
        pytest.param(_answering(b"hello\r\n\r\n"), BAD, id="no status line"),
        pytest.param(_answering(b"\0" * 100_000), BAD, id="binary"),
        pytest.param(_answering(b"x" * 100_000), BAD, id="an endless line"),
        pytest.param(_endless_head, BAD, id="an endless head"),
        pytest.param(_answering(b"HTTP/2.0 200 OK\r\n\r\n"), BAD, id="HTTP/2.0"),
        pytest.param(_answering(b"HTTP/1.1 600 X\r\n\r\n"), BAD, id="status 600"),
        pytest.param(_answering(b"HTTP/1.1 20 X\r\n\r\n"), BAD, id="status 20"),
        pytest.param(_answering(b"HTTP/1.1 101 X\r\n\r\n"), BAD, id="101 not asked for"),
        *(
            pytest.param(_answering(b"HTTP/1.1 200 OK\r\n%b\r\n\r\nok" % fields), BAD, id=name)
            for name, fields in {
                "two lengths": b"Content-Length: 1\r\nContent-Length: 2",
                "the same length twice": b"Content-Length: 2\r\nContent-Length: 2",
                "a list of lengths": b"Content-Length: 2, 2",
                "a length that is no number": b"Content-Length: +2",
                "length and chunked": b"Content-Length: 2\r\nTransfer-Encoding: chunked",
                "another coding": b"Transfer-Encoding: gzip, chunked",
                "chunked twice": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
                "obs-fold": b"X: 1\r\n 2",
                "a bare LF": b"X: 1\nY: 2",
                "a bare CR": b"X: 1\rY: 2",
                "NUL": b"X: \0",
                "a space before the colon": b"Content-Length : 2",
                "no colon": b"Content-Length",
                "no name": b": 2",
            }.items()
        ),
    ],
)
def test_a_server_that_fails(
    serve: Callable[[Wire], None], slug: str, router: Router, fleet: Fleet, server: RawServer
) -> None:
    """Before an answer it is a 502; the client's connection goes on, the server's is closed."""
    server.serve = serve
    with router.connect() as client:
        answer = client.ask(build_request(_container(fleet, server.port)))
        _check_failure(router, answer, 502, slug)
        assert client.ask(build_request(b"/healthz")).status == 200
    wait_until(lambda: not server.open_connections, "the server's connection is closed")
    assert fleet.is_untouched


NINE = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("data", "then", "slug"),
    [
        pytest.param(NINE + b"ok", Wire.close, CUT, id="short"),
        pytest.param(NINE + b"ok", Wire.reset, CUT, id="reset"),
        pytest.param(CHUNKED + b"2\r\nok\r\n", Wire.close, CUT, id="no last chunk"),
        pytest.param(CHUNKED + b"2\r\nok\r\n0\r\n", Wire.close, CUT, id="half a last chunk"),
        pytest.param(CHUNKED + b"2\r\nok\r\nzz\r\n", Wire.receive, BAD, id="a bad chunk"),
        pytest.param(CHUNKED + b"2\r\nokXX", Wire.receive, BAD, id="no end of chunk"),
        pytest.param(
            CHUNKED + b"2;" + b"x" * 9999 + b"\r\nok", Wire.receive, BAD, id="a long extension"
        ),
    ],
)
def test_an_answer_that_fails(
    data: bytes,
    then: Callable[[Wire], object],
    slug: str,
    router: Router,
    fleet: Fleet,
    server: RawServer,
) -> None:
    """Once it has begun it is cut, and does not look whole; the log has a line.

    A fault that is there with the head is a 502 as well as a cut one.
    """
    head, end, content = data.partition(b"\r\n\r\n")
    has_begun = threading.Event()

    def serve(wire: Wire) -> None:
        wire.read_request()
        wire.send(head + end)
        has_begun.wait(PATIENCE_S)
        wire.send(content)
        then(wire)

    server.serve = serve
    seen = router.log.count(f"cut: 502 {slug}")
    with router.connect() as client:
        client.send(build_request(_container(fleet, server.port)))
        assert client.read_head().startswith(b"HTTP/1.1 200 OK\r\n")
        has_begun.set()
        assert not client.read_to_end().endswith(b"0\r\n\r\n")
    router.wait_for(f"cut: 502 {slug}", seen + 1)
    assert router.log.count(f"cut: 502 {slug}") == seen + 1
    wait_until(lambda: not server.open_connections, "the server's connection is closed")


def test_an_answer_until_the_end_that_is_reset(
    router: Router, fleet: Fleet, server: RawServer
) -> None:
    """Only an orderly end is an end."""

    def serve(wire: Wire, has_begun: threading.Event, *, is_orderly: bool) -> None:
        wire.read_request()
        wire.send(b"HTTP/1.1 200 OK\r\n\r\nok")
        has_begun.wait(PATIENCE_S)
        if not is_orderly:
            wire.reset()

    for is_orderly in (True, False):
        has_begun = threading.Event()
        server.serve = partial(serve, has_begun=has_begun, is_orderly=is_orderly)
        with router.connect() as client:
            client.send(build_request(_container(fleet, server.port), (b"Connection", b"close")))
            assert client.read_head().startswith(b"HTTP/1.1 200 OK\r\n")
            has_begun.set()
            assert client.read_to_end().endswith(b"0\r\n\r\n") is is_orderly


def test_more_than_was_announced(router: Router, fleet: Fleet, server: RawServer) -> None:
    """What comes behind an answer is nobody's: the connection is not used again."""

    def serve(wire: Wire) -> None:
        while wire.read_request():
            wire.send(OK + b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison")

    server.serve = serve
    target = _container(fleet, server.port)
    with router.connect() as client:
        for _ in range(5):
            assert client.ask(build_request(target)).body == b"ok"


def test_a_server_that_speaks_first(router: Router, fleet: Fleet, server: RawServer) -> None:
    """An answer that comes while nobody asks is for nobody."""
    nobody_asks, has_spoken = threading.Event(), threading.Event()

    def serve(wire: Wire) -> None:
        while wire.read_request():
            wire.send(OK)
            nobody_asks.wait(PATIENCE_S)
            wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison")
            has_spoken.set()

    server.serve = serve
    target = _container(fleet, server.port)
    for _ in range(3):
        assert router.ask(build_request(target)).body == b"ok"
        has_spoken.clear()
        nobody_asks.set()
        assert has_spoken.wait(PATIENCE_S)
        nobody_asks.clear()
        wait_until(lambda: not server.open_connections, "the connection is given up")


def test_refused(router: Router, fleet: Fleet) -> None:
    """Nobody listens there."""
    with socket.create_server((ALICE, 0)) as listener:
        port = listener.getsockname()[1]
    answer = router.ask(build_request(_container(fleet, port)))
    _check_failure(router, answer, 502, "upstream_refused")


def test_unresolved(router: Router, fleet: Fleet) -> None:
    """The name has no address."""
    token = mint("nobody.invalid", now=time.time())
    answer = router.ask(build_request(b"/container/%b/80/x" % token))
    _check_failure(router, answer, 502, "upstream_unresolved")
    assert "nobody.invalid" not in answer.raw.decode()


# --- names


def test_the_next_address(router: Router, fleet: Fleet) -> None:
    """A name with several addresses: the first one that answers is used, and kept."""
    for _ in range(3):
        assert router.ask(build_request(b"/")).body == b"website"
    assert fleet.website.connections == 1


_ANSWER = """
import ipaddress
answers = ctx.master.addons.get("route").relay.resolver._answers
answers[{host!r}] = tuple(map(ipaddress.ip_address, {addresses!r}))
"""


def _let_resolve(router: Router, host: str, *addresses: str) -> None:
    router.run_inside(_ANSWER.format(host=host, addresses=addresses))


def test_the_policy_holds_for_every_address(router: Router, fleet: Fleet) -> None:
    """One that is denied is enough, wherever it stands: a 401, and nobody is connected to."""
    backend = fleet.alice["pulseaudio_http"]
    denied = "127.0.0.99"
    token = mint("pod.example", now=time.time())
    request = build_request(b"/container/%b/%d/x" % (token, backend.port))
    _let_resolve(router, "pod.example", ALICE)
    assert router.ask(request).status == 200
    fleet.forget()
    for addresses in ([denied], [ALICE, denied], [denied, ALICE], [ALICE, "169.254.1.1"]):
        _let_resolve(router, "pod.example", *addresses)
        answer = router.ask(request)
        check_refusal(answer, 401, fleet)
        assert b"The desktop token names no usable desktop." in answer.body


def test_a_listener_of_our_own(router: Router, fleet: Fleet) -> None:
    """A token that names this machine does not lead back to the router."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("needs an address that is not loopback")
        address = probe.getsockname()[0]
    token = mint(address, now=time.time())
    check_refusal(
        router.ask(build_request(b"/container/%b/%d/healthz" % (token, router.port))), 401, fleet
    )


# --- that they leave nothing


def _vanish_in_an_answer(router: Router, target: bytes) -> None:
    with router.connect() as client:
        client.send(build_request(target))
        client.read_to_end()


def _vanish_in_an_upload(router: Router, target: bytes) -> None:
    with router.connect() as client, contextlib.suppress(OSError, EOFError):
        client.send(build_request(target, (b"Content-Length", b"1000"), method=b"POST") + b"x")
        assert client.read_answer().status == 502


def _vanish_in_a_websocket(router: Router, target: bytes) -> None:
    with router.connect() as client, contextlib.suppress(OSError):
        client.send(build_request(target, *HANDSHAKE))
        client.read_to_end()


@pytest.mark.parametrize("ending", [Wire.close, Wire.reset])
@pytest.mark.parametrize(
    ("vanish", "sent"),
    [
        pytest.param(_vanish_in_an_answer, NINE + b"x", id="answer"),
        pytest.param(_vanish_in_an_upload, b"", id="upload"),
        pytest.param(_vanish_in_a_websocket, b"HTTP/1.1 101 Switching\r\n\r\n", id="WebSocket"),
    ],
)
def test_pods_that_vanish(
    vanish: Callable[[Router, bytes], None],
    sent: bytes,
    ending: Callable[[Wire], None],
    router: Router,
    fleet: Fleet,
    server: RawServer,
) -> None:
    """As many open files and tasks as before."""

    def serve(wire: Wire) -> None:
        wire.read_head()
        wire.send(sent)
        ending(wire)

    server.serve = serve
    target = _container(fleet, server.port)
    before = Footprint.measure(router)
    for _ in range(90):
        vanish(router, target)
    wait_for_rest(router, before)


def test_clients_that_vanish(router: Router, fleet: Fleet, server: RawServer) -> None:
    """Neither do they: while a token is verified, while nobody answers, in a body, in an answer."""

    def serve(wire: Wire) -> None:
        wire.read_to_end()

    server.serve = serve
    before = Footprint.measure(router)
    for number in range(60):
        # A fresh token each time, so that it has to be verified.
        target = _container(fleet, server.port)
        with router.connect() as client:
            client.send(build_request(target))
            time.sleep(0.002 * (number % 5))
            if number % 2:
                client.reset()
    wait_for_rest(router, before)
    wait_until(lambda: not server.open_connections, "the server's connections are closed")


def test_clients_that_are_gone_at_once(router: Router, fleet: Fleet) -> None:
    """A connection that is reset before anybody has seen it is no fault, and leaves nothing."""
    before = Footprint.measure(router)
    for _ in range(100):
        router.connect().reset()
    wait_for_rest(router, before)
    assert " failed" not in router.log.replace("TLS handshake failed", "")


def test_a_pod_that_is_back(router: Router, fleet: Fleet) -> None:
    """It is reached at once, on the same client connection."""
    with router.connect() as client:
        with RawServer(_answering(OK)) as first:
            target = _container(fleet, first.port)
            assert client.ask(build_request(target)).status == 200
        assert client.ask(build_request(target)).status == 502
        with RawServer(_answering(OK), port=first.port):
            assert client.ask(build_request(target)).status == 200


# --- kept connections


class Counting:
    """Answers on kept connections, and remembers which one each request came on."""

    def __init__(self) -> None:
        self.used: list[int] = []
        self.closes_second = False
        self.second = b""
        self._numbers = 0

    def __call__(self, wire: Wire) -> None:
        self._numbers += 1
        number, count = self._numbers, 0
        while wire.read_request():
            self.used.append(number)
            count += 1
            if self.closes_second and count == 2:
                wire.send(self.second)
                return
            wire.send(OK)


@pytest.fixture
def counting(router: Router, server: RawServer) -> Iterator[Counting]:
    """A pod's server that keeps connections; none is there yet."""
    router.run_inside('ctx.master.addons.get("route").relay.upstreams.close()')
    serve = Counting()
    server.serve = serve
    yield serve


def _post(target: bytes) -> bytes:
    return build_request(target, method=b"POST", body=b"x")


def test_connections_are_shared(
    router: Router, fleet: Fleet, server: RawServer, counting: Counting
) -> None:
    """By all clients, one after the other."""
    for _ in range(3):
        assert router.ask(build_request(_container(fleet, server.port))).status == 200
        assert router.ask(_post(_container(fleet, server.port))).status == 200
    assert len(set(counting.used)) == 1


def test_how_long_a_connection_may_rest(
    router: Router, fleet: Fleet, server: RawServer, counting: Counting
) -> None:
    """A second for what cannot be sent twice, four for the rest."""
    target = _container(fleet, server.port)
    router.ask(build_request(target))
    time.sleep(1.2)
    assert router.ask(build_request(target)).status == 200
    assert counting.used[0] == counting.used[1]
    time.sleep(1.2)
    assert router.ask(_post(target)).status == 200
    assert counting.used[2] != counting.used[1]
    time.sleep(4.2)
    assert router.ask(build_request(target)).status == 200
    assert counting.used[3] not in counting.used[:3]


@pytest.mark.parametrize(
    ("method", "body", "second", "status"),
    [
        pytest.param(b"GET", None, b"", 200, id="GET"),
        pytest.param(b"HEAD", None, b"", 200, id="HEAD"),
        pytest.param(b"PUT", None, b"", 200, id="PUT"),
        pytest.param(b"DELETE", None, b"", 200, id="DELETE"),
        pytest.param(b"POST", None, b"", 502, id="POST"),
        pytest.param(b"PUT", b"x", b"", 502, id="with content"),
        pytest.param(b"GET", None, b"H", 502, id="with a byte back"),
    ],
)
def test_what_is_sent_again(
    method: bytes,
    body: bytes | None,
    second: bytes,
    status: int,
    router: Router,
    fleet: Fleet,
    server: RawServer,
    counting: Counting,
) -> None:
    """A server that closes a kept connection as it is used: only what is harmless goes again."""
    counting.closes_second, counting.second = True, second
    target = _container(fleet, server.port)
    assert router.ask(build_request(target)).status == 200
    assert router.ask(build_request(target, method=method, body=body)).status == status
    assert len(counting.used) == (3 if status == 200 else 2)


def test_a_fresh_connection_that_fails_is_not_tried_again(
    router: Router, fleet: Fleet, server: RawServer
) -> None:
    """The server has seen the request: it may be the request that it fails of."""
    server.serve = _answering(b"")
    before = server.connections
    assert router.ask(build_request(_container(fleet, server.port))).status == 502
    assert server.connections == before + 1


def test_servers_that_close_right_behind_the_answer(
    router: Router, fleet: Fleet, server: RawServer
) -> None:
    """Though they did not say so: nobody sees a failure."""
    server.serve = _answering(OK)
    target = _container(fleet, server.port)
    with router.connect() as client:
        for _ in range(100):
            assert client.ask(build_request(target)).status == 200


def test_never_between_two_targets(router: Router, fleet: Fleet) -> None:
    """Two users' pods, and two names for one address: each has connections of its own."""
    service = fleet.alice["pulseaudio_http"]
    for _ in range(3):
        for pod in (fleet.alice, fleet.bob):
            request = build_request(b"/container/%b/%d/x" % (pod.token, service.port))
            assert router.ask(request).body == pod["pulseaudio_http"].name.encode()
    assert service.connections == fleet.bob["pulseaudio_http"].connections == 1
    for name in ("one.example", "two.example"):
        _let_resolve(router, name, ALICE)
        token = mint(name, now=time.time())
        router.ask(build_request(b"/container/%b/%d/x" % (token, service.port)))
    assert service.connections == 3


def test_requests_side_by_side(router: Router, fleet: Fleet, server: RawServer) -> None:
    """Each has a connection of its own; none waits for another."""
    arrived = threading.Barrier(20, timeout=10)

    def serve(wire: Wire) -> None:
        wire.read_request()
        arrived.wait()
        wire.send(OK)

    server.serve = serve
    target = _container(fleet, server.port)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(router.connect()) for _ in range(20)]
        for client in clients:
            client.send(build_request(target))
        for client in clients:
            assert client.read_answer().status == 200


def test_a_bad_server_does_not_hold_others_up(router: Router, fleet: Fleet) -> None:
    """Fifty requests to a pod that is silent, and another pod's answer comes before theirs."""
    silent = threading.Event()

    def wait(wire: Wire, request: Request) -> None:
        silent.wait(10)

    fleet.bob["pulseaudio_http"].play(wait)
    port = fleet.bob["pulseaudio_http"].port
    held, free = (
        build_request(b"/container/%b/%d/x" % (pod.token, port)) for pod in (fleet.bob, fleet.alice)
    )
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(router.connect()) for _ in range(50)]
        for client in clients:
            client.send(held)
        assert router.ask(free).status == 200
        readable, _, _ = select.select([client.socket for client in clients], [], [], 0)
        assert not readable
    silent.set()


def test_the_log(router: Router) -> None:
    """It has one line for each failure, no trace of a fault, no token and no address."""
    log = router.log
    assert "Traceback" not in log
    assert re.search(r"\beyJ", log) is None
    assert ALICE not in log
