"""HTTP/2 as the relay speaks it: frame by frame over TLS, to a real mitmproxy."""

import contextlib
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Self

import pytest

from tests.e2e.footprint import MIB, Memory
from tests.e2e.harness import (
    HOST,
    PATIENCE_S,
    Backend,
    Command,
    Field,
    Fleet,
    Request,
    Router,
    Wire,
    unwatched,
    wait_until,
)
from tests.http2_frames import (
    CANCEL,
    ENHANCE_YOUR_CALM,
    INTERNAL_ERROR,
    NO_ERROR,
    Heard,
    Speaker,
    pseudo,
)

GIB = 2**30
FLAT_BYTES = 40 * MIB
"""By how much the router may grow, whatever passes through it."""


def check_log(router: Router) -> None:
    """Check that the router has met no fault of its own."""
    assert [line for line in router.log.splitlines() if " failed" in line] == []


@pytest.fixture(scope="module")
def options(
    shared_fleet: Fleet, key_options: Mapping[str, str], certificate: Path
) -> Mapping[str, object]:
    """The options of a relay that knows the fleet and the keys, and speaks TLS."""
    return {
        **shared_fleet.options,
        **key_options,
        "certs": f"*={certificate}",
        "route_carrier": "relay",
    }


@pytest.fixture(
    scope="module", params=[Command, unwatched], ids=["relay watched", "relay unwatched"]
)
def router(request: pytest.FixtureRequest, options: Mapping[str, object]) -> Iterator[Router]:
    """A relay, watched or not."""
    with Router(request.param(options)) as router:
        yield router
    check_log(router)


@pytest.fixture(scope="module")
def hasty(options: Mapping[str, object]) -> Iterator[Router]:
    """A relay that waits for nobody."""
    waits = ("head", "body", "send", "keepalive")
    times = {f"route_{name}_timeout": 1 for name in waits}
    with Router(unwatched({**options, **times})) as router:
        yield router
    check_log(router)


class RawHttp2(Speaker):
    """An HTTP/2 connection over TLS.

    Args:
        router: Who it is made to.
        tls: A context that offers h2.
        settings: Ours, by name.
    """

    def __init__(self, router: Router, tls: ssl.SSLContext, **settings: int) -> None:
        super().__init__()
        connection = socket.create_connection(router.address, PATIENCE_S)
        # As all clients have it: else each window update waits for our next frame.
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = tls.wrap_socket(connection, server_hostname=HOST.decode())
        assert self.socket.selected_alpn_protocol() == "h2"
        self._stream = -1
        self._heard: list[Heard] = []
        self._is_ended = False
        self._room: dict[int, int] = {0: 65_535}
        self.say(self.greet(**settings), self.acknowledge())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.socket.close()

    def say(self, *data: bytes) -> None:
        """Send bytes, in one piece."""
        self.socket.sendall(b"".join(data))

    def ask(self, path: bytes, *fields: Field, **request: Any) -> int:
        """Send a request's head on the next stream.

        Returns:
            The stream.
        """
        self._stream += 2
        self.say(self.head(self._stream, *fields, path=path, **request))
        return self._stream

    def ask_raw(self, fields: list[Field], *, ends: bool = True) -> int:
        """Send a head that is written out."""
        self._stream += 2
        self.say(self.fields(self._stream, fields, ends=ends))
        return self._stream

    def upload(self, stream: int, data: bytes) -> None:
        """Send content to its end, within the windows; an answer may come first."""
        at = 0
        while True:
            room = min(self._room[0], self._room.setdefault(stream, 256 * 1024), len(data) - at)
            part = data[at : at + room]
            at += room
            self._room[0] -= room
            self._room[stream] -= room
            self.say(self.data(stream, part, ends=at == len(data)))
            if at == len(data):
                return
            while not min(self._room[0], self._room[stream]):
                if any(frame.stream == stream and frame.kind == "HEADERS" for frame in self._heard):
                    return
                self._receive(PATIENCE_S)

    def find(self, is_it: Callable[[Heard], object], within_s: float = PATIENCE_S) -> Heard:
        """Wait for a frame, and leave all others for later.

        Raises:
            AssertionError: It does not come.
        """
        end = time.monotonic() + within_s
        while True:
            for at, frame in enumerate(self._heard):
                if is_it(frame):
                    return self._heard.pop(at)
            assert not self._is_ended, f"the connection ended with {self._heard}"
            self._receive(end - time.monotonic())

    def read_head(self, stream: int) -> Heard:
        """The frame with an answer's fields."""
        return self.find(lambda frame: frame.kind == "HEADERS" and frame.stream == stream)

    def read_answer(self, stream: int) -> tuple[int, dict[bytes, bytes], bytes]:
        """The answer on a stream: its status, fields and content."""
        frame = self.read_head(stream)
        fields, parts = dict(frame.value), list[bytes]()
        while not frame.ends:
            frame = self.find(lambda frame: frame.kind == "DATA" and frame.stream == stream)
            parts.append(frame.value)
            if frame.value and not frame.ends:
                size = len(frame.value)
                self.say(self.window(0, size), self.window(stream, size))
        return int(fields[b":status"]), fields, b"".join(parts)

    def read_reset(self, stream: int) -> int:
        """The code of the reset of a stream."""
        frame = self.find(lambda frame: frame.kind == "RST_STREAM" and frame.stream == stream)
        code: int = frame.value
        return code

    def read_goaway(self) -> int:
        """The code that the connection ends with."""
        code: int = self.find(lambda frame: frame.kind == "GOAWAY").value
        return code

    def wait_for_end(self) -> None:
        """Wait until the connection has ended."""
        while not self._is_ended:
            self._receive(PATIENCE_S)

    def _receive(self, within_s: float) -> None:
        self.socket.settimeout(max(within_s, 0.001))
        try:
            data = self.socket.recv(MIB)
        except ConnectionError:
            data = b""
        self.socket.settimeout(PATIENCE_S)
        self._is_ended = not data
        heard = self.hear(data)
        for frame in heard:
            if frame.kind == "WINDOW_UPDATE":
                self._room[frame.stream] = self._room.get(frame.stream, 256 * 1024) + frame.value
        self._heard += heard


@pytest.fixture
def client(router: Router, fleet: Fleet, tls_h2: ssl.SSLContext) -> Iterator[RawHttp2]:
    """A connection to the router."""
    with RawHttp2(router, tls_h2) as client:
        yield client


def token(fleet: Fleet) -> Field:
    """A credential for Alice's pod."""
    return (b"abcauthorization", fleet.alice.token)


def open_files(router: Router) -> int:
    """How many files and sockets the router holds open."""
    return len(list(Path(f"/proc/{router.pid}/fd").iterdir()))


class Gate:
    """Back ends that answer when they are told to."""

    def __init__(self, *backends: Backend) -> None:
        self._is_open = threading.Event()
        for backend in backends:
            backend.play(partial(self._wait, backend))

    def _wait(self, backend: Backend, wire: Wire, request: Request) -> None:
        self._is_open.wait(PATIENCE_S)
        backend.answer(wire, request)

    def open(self) -> None:
        """Let them answer."""
        self._is_open.set()


MALFORMED = {
    "an empty path": (pseudo(b""), 400),
    "a path without a slash": (pseudo(b"API/x"), 400),
    "absolute-form": (pseudo(b"https://desk.example/API/x"), 400),
    "an upper-case name": ([*pseudo(), (b"X-A", b"1")], 400),
    "Connection": ([*pseudo(), (b"connection", b"close")], 400),
    "Transfer-Encoding": ([*pseudo(), (b"transfer-encoding", b"chunked")], 400),
    "TE": ([*pseudo(), (b"te", b"gzip")], 400),
    "Upgrade": ([*pseudo(), (b"upgrade", b"websocket")], 400),
    "authority against Host": ([*pseudo(), (b"host", b"evil.example")], 400),
    "no authority": (pseudo()[:3], 400),
    "no method": (pseudo()[1:], 400),
    "two paths": ([*pseudo(), (b":path", b"/API/y")], 400),
    "a pseudo-field behind a field": ([(b"x", b"y"), *pseudo()], 400),
    "NUL in a value": ([*pseudo(), (b"x", b"a\0b")], 400),
    "CR LF in a value": ([*pseudo(), (b"x", b"a\r\nX-Real-IP: 1.1.1.1")], 400),
    "CR LF in the path": (pseudo(b"/API/x HTTP/1.1\r\nX: y"), 400),
    "two lengths": ([*pseudo(), (b"content-length", b"0"), (b"content-length", b"0")], 400),
    "a length that is none": ([*pseudo(), (b"content-length", b"+0")], 400),
    "content that does not come": ([*pseudo(), (b"content-length", b"5")], 400),
    "CONNECT": ([(b":method", b"CONNECT"), (b":authority", b"desk.example:80")], 405),
    "extended CONNECT": (
        [*pseudo(b"/websockify", method=b"CONNECT"), (b":protocol", b"websocket")],
        400,
    ),
    "another expectation": ([*pseudo(), (b"expect", b"cheese")], 417),
    "a long path": (pseudo(b"/" + b"x" * 8192), 414),
    "a long field": ([*pseudo(), (b"x", b"0" * 9000)], 431),
    "many fields": ([*pseudo(), *[(b"x", b"y")] * 101], 431),
    "large fields": ([*pseudo(), *[(b"x", b"0" * 5000)] * 8], 431),
}


@pytest.mark.parametrize(("head", "status"), MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_request(
    head: list[Field], status: int, client: RawHttp2, fleet: Fleet
) -> None:
    """It is refused by its stream alone; what is under way goes on, and what comes later."""
    gate = Gate(fleet.pyos)
    first = client.ask(b"/API/first")
    fleet.pyos.wait_for(b"first")
    assert client.read_answer(client.ask_raw(head))[0] == status
    gate.open()
    assert client.read_answer(first)[2] == b"pyos"
    assert client.read_answer(client.ask(b"/API/last"))[2] == b"pyos"
    assert [request.target for request in fleet.pyos.requests] == [b"/API/first", b"/API/last"]
    assert not fleet.touched_but(fleet.pyos)


@pytest.mark.parametrize("path", [b"/API/x", b"/speedtest/x"], ids=["collected", "streamed"])
@pytest.mark.parametrize(
    ("announced", "sent"), [(5, b"hell"), (5, b"hello!"), (0, b"!")], ids=["short", "long", "none"]
)
def test_another_length_than_announced(
    path: bytes, announced: int, sent: bytes, client: RawHttp2, fleet: Fleet
) -> None:
    """No upstream gets the whole of such a request, and the other streams go on."""
    stream = client.ask(path, (b"content-length", b"%d" % announced), method=b"POST", ends=False)
    client.say(client.data(stream, sent, ends=True))
    assert client.read_answer(stream)[0] == 400
    assert not fleet.pyos.requests
    assert not fleet.speedtest.requests
    assert client.read_answer(client.ask(b"/healthz"))[0] == 200


def test_eight_requests_to_one_pod(client: RawHttp2, fleet: Fleet) -> None:
    """Each has a connection of its own: none waits for another."""
    backend = fleet.alice["file_service"]
    barrier = threading.Barrier(8)

    def answer(wire: Wire, request: Request) -> None:
        barrier.wait(PATIENCE_S)
        backend.answer(wire, request)

    backend.play(answer)
    streams = [client.ask(b"/filer/%d" % number, token(fleet)) for number in range(8)]
    assert [client.read_answer(stream)[0] for stream in streams] == [200] * 8
    assert sorted(request.target for request in backend.requests) == [
        b"/filer/%d" % number for number in range(8)
    ]


def test_a_refused_upload(client: RawHttp2, router: Router, fleet: Fleet) -> None:
    """A 401 to a gigabyte waits for none of it, then a reset says that nothing is wrong."""
    memory = Memory(router.pid)
    length = (b"content-length", b"%d" % 2**30)
    stream = client.ask(b"/filer/x", length, method=b"PUT", ends=False)
    client.say(client.data(stream, bytes(65_000)))
    status, fields, body = client.read_answer(stream)
    assert status == 401
    assert int(fields[b"content-length"]) == len(body)
    assert client.read_reset(stream) == NO_ERROR
    client.say(client.data(stream, bytes(100_000)))
    assert client.read_answer(client.ask(b"/API/x"))[2] == b"pyos"
    assert not fleet.touched_but(fleet.pyos)
    assert memory.growth_bytes < FLAT_BYTES


def test_many_refused_uploads(client: RawHttp2, fleet: Fleet) -> None:
    """What was thrown away of them does not use the connection's window up."""
    for _ in range(100):
        stream = client.ask(b"/filer/x", method=b"PUT", ends=False)
        client.upload(stream, bytes(60_000))
        assert client.read_answer(stream)[0] == 401
    stream = client.ask(b"/API/x", method=b"POST", ends=False)
    client.upload(stream, bytes(100_000))
    assert client.read_answer(stream)[2] == b"pyos"
    assert fleet.pyos.request.body == bytes(100_000)


def test_too_much_content(client: RawHttp2, fleet: Fleet) -> None:
    """The limit passes, a byte more does not."""
    for size, status in ((MIB, 200), (MIB + 1, 413)):
        stream = client.ask(b"/API/x", method=b"POST", ends=False)
        client.upload(stream, bytes(size))
        assert client.read_answer(stream)[0] == status
    assert len(fleet.pyos.request.body) == MIB


def test_trailers_and_padding(client: RawHttp2, fleet: Fleet) -> None:
    """Neither reaches anybody."""
    stream = client.ask(b"/speedtest/x", method=b"POST", ends=False)
    client.say(client.data(stream, b"hello", padding=200))
    client.say(client.fields(stream, [(b"x-trailer", b"1")]))
    assert client.read_answer(stream)[0] == 200
    assert fleet.speedtest.request.body == b"hello"
    assert b"trailer" not in fleet.speedtest.received


def test_continue(client: RawHttp2, fleet: Fleet) -> None:
    """It is said where the content is wanted, and never before a refusal."""
    expect = (b"expect", b"100-continue")
    stream = client.ask(b"/API/x", expect, method=b"POST", ends=False)
    interim = client.find(lambda frame: frame.kind == "HEADERS")
    assert (interim.value, interim.ends) == ([(b":status", b"100")], False)
    client.say(client.data(stream, b"hello", ends=True))
    assert client.read_answer(stream)[2] == b"pyos"
    assert fleet.pyos.request.body == b"hello"
    stream = client.ask(b"/filer/x", expect, method=b"POST", ends=False)
    assert client.read_answer(stream)[0] == 401


@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
def test_a_head_is_not_answered_with_content(method: bytes, client: RawHttp2, fleet: Fleet) -> None:
    """Its length is told all the same; refusals and answers of our own keep to that too."""
    for path in (b"/API/x", b"/filer", b"/healthz", b"*"):
        _, fields, body = client.read_answer(client.ask(path, method=method))
        assert int(fields[b"content-length"])
        assert bool(body) == (method == b"GET")


@pytest.mark.parametrize("status", [204, 304])
def test_answers_without_content(status: int, client: RawHttp2, fleet: Fleet) -> None:
    """They end with their fields."""
    fleet.pyos.play(b"HTTP/1.1 %d X\r\nETag: a\r\n\r\n" % status)
    code, fields, body = client.read_answer(client.ask(b"/API/x"))
    assert (code, body) == (status, b"")
    assert b"content-length" not in fields


def test_an_answer_that_breaks_off(client: RawHttp2, fleet: Fleet) -> None:
    """The client sees that it is not whole, and the connection goes on."""
    answer = (
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\nConnection: X-Gone\r\nX-Gone: 1\r\n\r\nhalf"
    )

    has_begun = threading.Event()

    def break_off(wire: Wire, request: Request) -> None:
        wire.send(answer)
        has_begun.wait(PATIENCE_S)
        wire.reset()

    fleet.pyos.play(break_off)
    stream = client.ask(b"/API/x")
    head = client.read_head(stream)
    has_begun.set()
    names = [name for name, _ in head.value]
    assert b"connection" not in names
    assert b"x-gone" not in names
    assert client.read_reset(stream) == INTERNAL_ERROR
    assert client.read_answer(client.ask(b"/healthz"))[0] == 200


def test_a_pod_that_comes_back(client: RawHttp2, fleet: Fleet) -> None:
    """It is reached at once, on the connection that saw it gone."""
    probe = Backend(fleet.alice.address)
    probe.close()
    path = b"/container/%b/%d/x" % (fleet.alice.token, probe.port)
    assert client.read_answer(client.ask(path))[0] == 502
    with Backend(fleet.alice.address, probe.port, "back again"):
        assert client.read_answer(client.ask(path))[2] == b"back again"


def test_a_client_that_does_not_read(router: Router, fleet: Fleet, tls_h2: ssl.SSLContext) -> None:
    """Its pod waits with it, other streams do not, and memory stays flat."""
    size = 64 * MIB
    sent: list[int] = []

    def send(wire: Wire, request: Request) -> None:
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        for _ in range(64):
            wire.send(bytes(MIB))
            sent.append(MIB)

    fleet.speedtest.play(send)
    memory = Memory(router.pid)
    with RawHttp2(router, tls_h2) as client:
        client.say(client.window(0, 2**30))
        stream = client.ask(b"/speedtest/x")
        wait_until(lambda: sent, "the pod sends")
        time.sleep(0.5)
        assert sum(sent) < size / 2
        assert client.read_answer(client.ask(b"/API/x"))[2] == b"pyos"
        assert memory.growth_bytes < FLAT_BYTES
        assert len(client.read_answer(stream)[2]) == size
    assert memory.growth_bytes < FLAT_BYTES


def test_a_pod_that_does_not_read(client: RawHttp2, router: Router, fleet: Fleet) -> None:
    """Its client waits with it, other streams do not, and memory stays flat."""
    memory = Memory(router.pid)
    with socket.create_server((fleet.alice.address, 0)) as listener:
        port = listener.getsockname()[1]
        path = b"/container/%b/%d/x" % (fleet.alice.token, port)
        length = (b"content-length", b"1000000")
        stream = client.ask(path, length, method=b"POST", ends=False)
        pod, _ = listener.accept()
        with pod:
            window = 256 * 1024
            client.say(client.data(stream, bytes(window)))
            other = client.ask(b"/API/x", method=b"POST", ends=False)
            client.say(client.data(other, bytes(100_000), ends=True))
            assert client.read_answer(other)[2] == b"pyos"
            got = b""
            while len(got) < 200_000:
                got += pod.recv(65536)
            client.find(lambda frame: frame.kind == "WINDOW_UPDATE" and frame.stream == stream)
    assert client.read_answer(stream)[0] == 502
    assert memory.growth_bytes < FLAT_BYTES


def test_windows_that_stay_shut(router: Router, fleet: Fleet, tls_h2: ssl.SSLContext) -> None:
    """Hundreds of answers that nobody takes cost what is read at once of each, and no more."""
    fleet.website.play(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % MIB + bytes(MIB))
    memory = Memory(router.pid)
    with contextlib.ExitStack() as stack:
        clients = [
            stack.enter_context(RawHttp2(router, tls_h2, INITIAL_WINDOW_SIZE=0)) for _ in range(3)
        ]
        streams = [(client, client.ask(b"/x")) for _ in range(100) for client in clients]
        for client, stream in streams:
            client.read_head(stream)
        assert memory.growth_bytes < FLAT_BYTES, f"{memory.growth_bytes / MIB:.0f} MiB"


def test_rapid_resets(client: RawHttp2, fleet: Fleet) -> None:
    """They end the connection before they are work for the pods."""
    for _ in range(50):
        try:
            for _ in range(20):
                client.say(client.reset(client.ask(b"/API/x")))
        except OSError:
            break
    assert client.read_goaway() == ENHANCE_YOUR_CALM
    client.wait_for_end()
    seen = -1
    while seen != fleet.pyos.connections:
        seen = fleet.pyos.connections
        time.sleep(0.2)
    assert seen < 300


@pytest.mark.parametrize(
    "flood",
    [
        pytest.param(lambda client: client.ping(), id="PING"),
        pytest.param(lambda client: client.settings(), id="SETTINGS"),
        pytest.param(lambda client: client.data(1), id="DATA"),
        pytest.param(lambda client: client.window(0, 1), id="WINDOW_UPDATE"),
    ],
)
def test_floods(flood: Callable[[RawHttp2], bytes], client: RawHttp2, fleet: Fleet) -> None:
    """They end the connection."""
    client.ask(b"/API/x", method=b"POST", ends=False)
    try:
        for _ in range(50):
            client.say(flood(client) * 200)
    except OSError:
        pass
    assert client.read_goaway() == ENHANCE_YOUR_CALM


def test_field_sections_without_end(client: RawHttp2, fleet: Fleet) -> None:
    """CONTINUATION is no way to fill our memory."""
    try:
        client.say(client.open_section(1, bytes(16_000)))
        for _ in range(20):
            client.say(client.go_on(1, bytes(16_000)))
    except OSError:
        pass
    assert client.read_goaway() == ENHANCE_YOUR_CALM
    assert fleet.is_untouched


def test_clients_that_vanish(router: Router, fleet: Fleet, tls_h2: ssl.SSLContext) -> None:
    """Nothing of them stays open: neither their side nor the pods'."""
    gate = Gate(fleet.pyos, fleet.speedtest)
    before = open_files(router)
    for _ in range(20):
        with RawHttp2(router, tls_h2) as client:
            client.ask(b"/API/x")
            client.ask(b"/speedtest/x", method=b"POST", ends=False)
            client.ask(b"/filer", method=b"POST", ends=False)
            client.find(lambda frame: frame.kind == "HEADERS")
    gate.open()
    wait_until(lambda: open_files(router) <= before, "all is closed")


def test_prior_knowledge(router: Router, fleet: Fleet) -> None:
    """HTTP/2 without TLS is not spoken."""
    answer = router.ask(Speaker.greet())
    assert answer.status in (400, 505)
    assert fleet.is_untouched


def test_silence_in_content(hasty: Router, fleet: Fleet, tls_h2: ssl.SSLContext) -> None:
    """A client that does not go on gets a 408, and its stream a reset."""
    with RawHttp2(hasty, tls_h2) as client:
        stream = client.ask(b"/API/x", method=b"POST", ends=False)
        client.say(client.data(stream, b"hello"))
        assert client.read_answer(stream)[0] == 408
        assert client.read_reset(stream) == NO_ERROR
        assert fleet.is_untouched
        assert client.read_answer(client.ask(b"/API/x"))[2] == b"pyos"


def test_a_window_that_stays_shut(hasty: Router, fleet: Fleet, tls_h2: ssl.SSLContext) -> None:
    """The stream is cut, and the pod's connection with it; others go on."""
    is_cut = threading.Event()

    def send(wire: Wire, request: Request) -> None:
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (64 * MIB))
        try:
            while True:
                wire.send(bytes(MIB))
        except OSError:
            is_cut.set()

    fleet.speedtest.play(send)
    with RawHttp2(hasty, tls_h2, INITIAL_WINDOW_SIZE=0) as client:
        stream = client.ask(b"/speedtest/x")
        assert client.read_reset(stream) == CANCEL
        assert is_cut.wait(PATIENCE_S)
        other = client.ask(b"/API/x")
        client.say(client.window(other, 1000))
        assert client.read_answer(other)[2] == b"pyos"


def test_resting(hasty: Router, fleet: Fleet, tls_h2: ssl.SSLContext) -> None:
    """A connection without requests is ended in an orderly way."""
    with RawHttp2(hasty, tls_h2) as client:
        assert client.read_answer(client.ask(b"/API/x"))[0] == 200
        assert client.read_goaway() == NO_ERROR
        client.wait_for_end()


def test_a_field_section_that_does_not_go_on(
    hasty: Router, fleet: Fleet, tls_h2: ssl.SSLContext
) -> None:
    """It has the time of a head, though a request is under way."""
    gate = Gate(fleet.pyos)
    with RawHttp2(hasty, tls_h2) as client:
        client.ask(b"/API/x")
        client.say(client.open_section(3, b"\x82"))
        client.wait_for_end()
    gate.open()


CURL = shutil.which("curl")


@pytest.mark.skipif(CURL is None, reason="needs curl")
@pytest.mark.parametrize("size", [None, 5, 30 * MIB])
def test_curl(size: int | None, router: Router, fleet: Fleet, tmp_path: Path) -> None:
    """A simple client sees answers, also to an upload that is refused."""
    command = ["curl", "-sk", "--http2", "-w", "\n%{http_code} %{http_version}"]
    host, port = router.address
    path = "/API/x"
    if size is not None:
        (tmp_path / "file").write_bytes(bytes(size))
        command += ["-T", str(tmp_path / "file")]
        path = "/filer/x"
    command += [f"https://{host}:{port}{path}"]
    said = subprocess.run(command, capture_output=True, timeout=PATIENCE_S, check=True).stdout
    body, _, end = said.rpartition(b"\n")
    assert end == (b"200 2" if size is None else b"401 2")
    assert body


@pytest.mark.skipif(CURL is None, reason="needs curl")
def test_large_content_is_flat(router: Router, fleet: Fleet, tmp_path: Path) -> None:
    """1 GiB down, 256 MiB up by way of the disk: whole, and in little memory."""

    def send(wire: Wire, request: Request) -> None:
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % GIB)
        for _ in range(GIB // MIB):
            wire.send(bytes(MIB))

    fleet.speedtest.play(send)
    with (tmp_path / "file").open("wb") as sparse:
        sparse.truncate(256 * MIB)
    memory = Memory(router.pid)
    token = f"ABCAuthorization: {fleet.alice.token.decode()}"
    upload = ("-T", str(tmp_path / "file"), "-H", token)
    assert _curl(router, "/speedtest/x") == f"200 {GIB}"
    assert _curl(router, "/filer/x", *upload).startswith("200 ")
    assert len(fleet.alice["file_service"].request.body) == 256 * MIB
    assert memory.growth_bytes < FLAT_BYTES, f"{memory.growth_bytes / MIB:.0f} MiB"


def _curl(router: Router, path: str, *arguments: str) -> str:
    """An answer's status, and how much there was of it."""
    command = ["curl", "-sk", "--http2", "-o", "/dev/null", "-w", "%{http_code} %{size_download}"]
    host, port = router.address
    command += [*arguments, f"https://{host}:{port}{path}"]
    return subprocess.run(command, capture_output=True, timeout=60, check=True, text=True).stdout


@pytest.mark.skipif(shutil.which("h2load") is None, reason="needs h2load")
def test_h2load(router: Router, fleet: Fleet) -> None:
    """Many at once, on several connections, are all answered."""
    host, port = router.address
    command = ["h2load", "-n200", "-c4", "-m10", f"https://{host}:{port}/API/x"]
    said = subprocess.run(command, capture_output=True, timeout=60, check=True).stdout
    assert b"200 succeeded" in said
    assert b"200 2xx" in said
