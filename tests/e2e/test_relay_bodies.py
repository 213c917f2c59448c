"""Content through the relay: refused at once, flat in memory, exact at its limits."""

import http.client
import shutil
import socket
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.e2e.footprint import MIB, Footprint, Memory, run_relay, wait_for_rest
from tests.e2e.harness import (
    Answer,
    Client,
    Fleet,
    Router,
    Wire,
    build_chunks,
    build_request,
    check_refusal,
    wait_until,
)
from tests.e2e.raw_server import RawServer

GIB = 2**30
BLOCK = bytes(256 * 1024)
GROWTH = 40 * MIB
"""How much more memory than at rest the relay may hold, whatever goes through it."""
CHUNKED = (b"Transfer-Encoding", b"chunked")


class Sink:
    """Reads requests, keeps none of their content, and answers how much there was."""

    def __init__(self) -> None:
        self.received = 0
        self.may_read = threading.Event()
        self.may_read.set()
        self.last_head = b""

    def __call__(self, wire: Wire) -> None:
        while True:
            head = self.last_head = wire.read_head()
            size = self._read_content(wire, head.lower())
            wire.send(
                b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%d" % (len(b"%d" % size), size)
            )

    def _read_content(self, wire: Wire, head: bytes) -> int:
        self.received = 0
        if b"transfer-encoding: chunked" in head:
            return self._read_chunks(wire)
        length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
        # Counted here too: another connection, cut a test ago, may still be read.
        received = 0
        while received < length:
            received += len(self._count(wire))
        return received

    def _read_chunks(self, wire: Wire) -> int:
        # The content is zeros: what is no zero byte is framing.
        end, content = b"", 0
        while not end.endswith(b"\r\n0\r\n\r\n"):
            data = self._count(wire)
            content += data.count(b"\0")
            end = (end + data)[-16:]
        return content

    def _count(self, wire: Wire) -> bytes:
        self.may_read.wait()
        data = wire.receive()
        if not data:
            raise EOFError
        self.received += len(data)
        return data


class Source:
    """Answers every request with as much content as its query says."""

    def __init__(self) -> None:
        self.sent = 0

    def __call__(self, wire: Wire) -> None:
        wire.socket.settimeout(60)
        while True:
            size = int(wire.read_head().partition(b"?")[2].partition(b" ")[0])
            self.sent = 0
            wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
            while self.sent < size:
                wire.send(BLOCK)
                self.sent += len(BLOCK)


@pytest.fixture(scope="module")
def sink() -> Iterator[Sink]:
    """What streamed and collected uploads go to."""
    sink = Sink()
    yield sink
    sink.may_read.set()


@pytest.fixture(scope="module")
def source() -> Source:
    """Where downloads come from."""
    return Source()


@pytest.fixture(scope="module")
def router(
    shared_fleet: Fleet, key_options: Mapping[str, str], sink: Sink, source: Source
) -> Iterator[Router]:
    """A relay whose speedtest and file service are sinks, and whose console is a source."""
    with (
        RawServer(sink) as server,
        RawServer(sink, port=server.port, address="127.0.0.1") as streamed,
        RawServer(source) as sending,
        run_relay(
            shared_fleet,
            key_options,
            route_speedtest=streamed.url,
            route_console=sending.url,
            route_ports=f"file_service={server.port}",
        ) as relay,
    ):
        yield relay


@pytest.fixture(scope="module")
def small_router(
    shared_fleet: Fleet, key_options: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Router]:
    """A relay with little room to collect bodies in."""
    folder = tmp_path_factory.mktemp("spool")
    with run_relay(
        shared_fleet, key_options, route_spool_dir=folder, route_spool_bytes=2 * MIB
    ) as relay:
        yield relay


def _authorized(fleet: Fleet) -> tuple[bytes, bytes]:
    return (b"ABCAuthorization", b"Bearer " + fleet.alice.token)


def _head(target: bytes, size: int | None, *fields: tuple[bytes, bytes]) -> bytes:
    """An upload's head: of a size, or chunked."""
    framing = CHUNKED if size is None else (b"Content-Length", b"%d" % size)
    return build_request(target, framing, *fields, method=b"POST")


class Upload(threading.Thread):
    """Sends content beside the test, as fast as it is taken.

    Args:
        wire: Where to.
        size: How many bytes of content.
        is_chunked: Whether each block is a chunk.
    """

    def __init__(self, wire: Wire, size: int, *, is_chunked: bool = False) -> None:
        super().__init__(daemon=True)
        self.sent = 0
        self.fault: OSError | None = None
        self._wire, self._size = wire, size
        self._block = b"%x\r\n%b\r\n" % (len(BLOCK), BLOCK) if is_chunked else BLOCK
        self._end = b"0\r\n\r\n" if is_chunked else b""
        wire.socket.settimeout(60)
        self.start()

    def run(self) -> None:
        try:
            while self.sent < self._size:
                self._wire.send(self._block)
                self.sent += len(BLOCK)
            self._wire.send(self._end)
        except OSError as fault:
            self.fault = fault


# --- refusals


@pytest.mark.parametrize("framing", ["Content-Length", "chunked"])
def test_a_refusal_comes_at_once(framing: str, router: Router, fleet: Fleet) -> None:
    """A 401 to an upload of 1 GiB waits for none of it; the rest is read, and costs no memory."""
    memory = Memory(Footprint.measure(router).pid)
    is_chunked = framing == "chunked"
    with router.connect() as client:
        client.send(_head(b"/filer/x", None if is_chunked else GIB))
        check_refusal(client.read_answer(), 401, fleet)
        upload = Upload(client, GIB, is_chunked=is_chunked)
        upload.join(30)
        assert upload.fault is None
        assert client.is_closed()
    assert memory.growth_bytes < GROWTH


@pytest.mark.parametrize(
    ("target", "status"),
    [
        pytest.param(b"/filer/x", 401, id="no token"),
        pytest.param(b"/API/%zz", 400, id="bad target"),
        pytest.param(b"/container/x/0/", 404, id="bad port"),
    ],
)
def test_no_continue_before_a_refusal(
    target: bytes, status: int, router: Router, fleet: Fleet
) -> None:
    """Who asks first is told no, and not to go on."""
    expect = (b"Expect", b"100-continue")
    with router.connect() as client:
        client.send(_head(target, 1000, expect))
        check_refusal(client.read_answer(), status, fleet)


def test_no_continue_before_a_pod_that_is_gone(router: Router, fleet: Fleet) -> None:
    """Nobody is asked for content that nobody will take."""
    target = b"/container/%b/1/x" % fleet.alice.token
    with router.connect() as client:
        client.send(_head(target, 1000, (b"Expect", b"100-continue")))
        check_refusal(client.read_answer(), 502, fleet)


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
@pytest.mark.parametrize("arguments", [(), ("-H", "Transfer-Encoding: chunked"), ("-H", "Expect:")])
def test_curl_sees_a_refusal(
    arguments: tuple[str, ...], router: Router, fleet: Fleet, tmp_path: Path
) -> None:
    """curl, sending 1 GiB, reads the answer and meets no reset."""
    file = tmp_path / "large"
    with file.open("wb") as sparse:
        sparse.truncate(GIB)
    url = f"http://127.0.0.1:{router.port}/filer/x"
    command = ["curl", "-sS", "-T", str(file), "-w", "%{http_code}", *arguments, url]
    done = subprocess.run(command, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(b"401")
    assert fleet.is_untouched


def test_a_simple_client_sees_a_refusal(router: Router, fleet: Fleet) -> None:
    """Python's http.client sends all of it before it reads."""
    connection = http.client.HTTPConnection("127.0.0.1", router.port, timeout=30)
    try:
        connection.request("POST", "/filer/x", body=bytes(64 * MIB))
        assert connection.getresponse().status == 401
    finally:
        connection.close()
    assert fleet.is_untouched


def test_a_client_that_never_stops(router: Router) -> None:
    """After a 413 in the middle the rest is read for a while, then the connection closes."""
    memory = Memory(Footprint.measure(router).pid)
    with router.connect() as client:
        client.send(_head(b"/API/x", None))
        upload = Upload(client, GIB, is_chunked=True)
        assert client.read_answer().status == 413
        upload.join(30)
        assert upload.fault is None
        assert client.is_closed()
    assert memory.growth_bytes < GROWTH


# --- flat memory


@pytest.mark.parametrize("framing", ["Content-Length", "chunked"])
def test_a_streamed_upload_is_flat(framing: str, router: Router, sink: Sink) -> None:
    """256 MiB, the most that /speedtest takes, to a back end that stalls in between."""
    is_chunked, size = framing == "chunked", 256 * MIB
    memory = Memory(Footprint.measure(router).pid)
    sink.may_read.clear()
    with router.connect() as client:
        client.send(_head(b"/speedtest/up", None if is_chunked else size))
        upload = Upload(client, size, is_chunked=is_chunked)
        time.sleep(1)
        assert upload.sent < size / 2
        sink.may_read.set()
        assert client.read_answer().body == b"%d" % size
        upload.join()
    assert memory.growth_bytes < GROWTH


@pytest.mark.parametrize("framing", ["Content-Length", "chunked"])
def test_a_collected_upload_is_flat(framing: str, router: Router, fleet: Fleet, sink: Sink) -> None:
    """1 GiB by way of the disk, to a pod that stalls; the pod is told its length."""
    is_chunked = framing == "chunked"
    before = Footprint.measure(router)
    memory = Memory(before.pid)
    sink.may_read.clear()
    with router.connect() as client:
        client.send(_head(b"/filer/x", None if is_chunked else GIB, _authorized(fleet)))
        Upload(client, GIB, is_chunked=is_chunked).join(60)
        wait_until(
            lambda: Footprint.measure(router).spooled_bytes >= GIB - 2 * len(BLOCK), "it is spooled"
        )
        sink.may_read.set()
        assert client.read_answer().body == b"%d" % GIB
    assert b"\r\nContent-Length: %d\r\n" % GIB in sink.last_head
    assert b"Transfer-Encoding" not in sink.last_head
    assert memory.growth_bytes < GROWTH
    wait_for_rest(router, before)


def test_a_download_is_flat(router: Router, source: Source) -> None:
    """1 GiB to a client that stalls in between."""
    memory = Memory(Footprint.measure(router).pid)
    with router.connect() as client:
        client.send(build_request(b"/console/x?%d" % GIB))
        assert b" 200 " in client.read_head()
        time.sleep(1)
        assert source.sent < GIB / 2
        received = 0
        while received < GIB:
            received += len(client.receive())
        assert received == GIB
    assert memory.growth_bytes < GROWTH


def test_many_that_do_not_read(router: Router, source: Source) -> None:
    """Twenty clients that take nothing of 1 GiB each cost what their buffers hold."""
    before = Footprint.measure(router)
    memory = Memory(before.pid)
    clients = [router.connect() for _ in range(20)]
    for client in clients:
        client.send(build_request(b"/console/x?%d" % GIB))
    time.sleep(1.5)
    assert memory.growth_bytes < GROWTH
    for client in clients:
        client.close()
    wait_for_rest(router, before)


def test_pipelined_answers_that_are_not_read(router: Router, source: Source) -> None:
    """What is asked behind an answer that nobody takes is not fetched; later all of it comes."""
    size = 512 * 1024
    count = 200
    memory = Memory(Footprint.measure(router).pid)
    with router.connect() as client:
        client.send(build_request(b"/console/x?%d" % size) * count)
        time.sleep(1.5)
        assert memory.growth_bytes < GROWTH
        for _ in range(count):
            assert len(client.read_answer().body) == size
    assert memory.growth_bytes < GROWTH


def test_pipelined_answers_of_our_own_that_are_not_read(router: Router) -> None:
    """Nor are requests read whose answers would pile up here."""
    memory = Memory(Footprint.measure(router).pid)
    with router.connect() as client:
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.socket.settimeout(1)
        sent = 0
        batch = build_request(b"/healthz") * 1000
        with pytest.raises(TimeoutError):
            while sent < 64 * MIB:
                sent += client.socket.send(batch)
    assert memory.growth_bytes < GROWTH


def test_a_stalled_reader_that_sends_a_handshake(router: Router, fleet: Fleet) -> None:
    """A WebSocket behind an answer that is not read yet is held back as well."""

    def flood(wire: Wire) -> None:
        wire.read_head()
        wire.send(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
        while True:
            wire.send(BLOCK)

    memory = Memory(Footprint.measure(router).pid)
    with RawServer(flood) as server, router.connect() as client:
        client.send(build_request(b"/console/x?%d" % (8 * MIB)))
        upgrade = ((b"Connection", b"Upgrade"), (b"Upgrade", b"websocket"))
        client.send(build_request(_container(fleet, server), *upgrade))
        assert len(client.read_answer().body) == 8 * MIB
        time.sleep(1)
        assert memory.growth_bytes < GROWTH


def _container(fleet: Fleet, server: RawServer, rest: bytes = b"x") -> bytes:
    return b"/container/%b/%d/%b" % (fleet.alice.token, server.port, rest)


# --- collected bodies


def _spawn(fleet: Fleet, size: int) -> bytes:
    return _head(b"/spawner", size, _authorized(fleet))


def test_the_spool_is_bounded(small_router: Router, fleet: Fleet) -> None:
    """The body that finds no room is refused, and one later finds it again."""
    before = Footprint.measure(small_router)
    size = 3 * MIB // 2
    with small_router.connect() as first:
        first.send(_spawn(fleet, size) + bytes(size - 1))
        wait_until(lambda: Footprint.measure(small_router).spooled_bytes > MIB, "it is spooled")
        refusal = small_router.ask(_spawn(fleet, size) + bytes(size))
        check_refusal(refusal, 503, fleet)
        assert refusal.get(b"Retry-After") is not None
        small_router.wait_for("503 spool_full")
        assert small_router.ask(build_request(b"/healthz")).status == 200
        first.send(b"\0")
        assert first.read_answer().status == 200
    assert small_router.ask(_spawn(fleet, size) + bytes(size)).status == 200
    wait_for_rest(small_router, before)


def test_spooled_bodies_are_given_back(small_router: Router, fleet: Fleet) -> None:
    """Whatever becomes of them: a client that leaves, a pod that refuses, a cut, too much."""
    before = Footprint.measure(small_router)
    size = 3 * MIB // 2
    for _ in range(3):
        with small_router.connect() as client:
            client.send(_spawn(fleet, size) + bytes(MIB))
            wait_until(lambda: Footprint.measure(small_router).spooled_bytes, "it is spooled")
        wait_for_rest(small_router, before)
    spawner = fleet.alice["spawner_service"]
    spawner.play(lambda wire, request: wire.reset())
    assert small_router.ask(_spawn(fleet, size) + bytes(size)).status == 502
    too_much = _head(b"/printerfiler", None, _authorized(fleet)) + build_chunks(bytes(MIB), b"x")
    assert small_router.ask(too_much).status == 413
    wait_for_rest(small_router, before)


def test_a_spooled_body_has_no_name(small_router: Router, fleet: Fleet) -> None:
    """Its file is gone from the folder while it is written, so that no crash leaves it there."""
    folder = Path(str(small_router.command.options["route_spool_dir"]))
    with small_router.connect() as client:
        client.send(_spawn(fleet, MIB) + bytes(MIB // 2))
        wait_until(lambda: Footprint.measure(small_router).spooled_bytes, "it is spooled")
        assert not list(folder.iterdir())


def test_a_full_disk(small_router: Router, fleet: Fleet) -> None:
    """It is a 503 as well, and when there is room again the service goes on."""
    before = Footprint.measure(small_router)
    limit = "import resource as r; r.setrlimit(r.RLIMIT_FSIZE, (%s, r.RLIM_INFINITY))"
    small_router.run_inside(limit % "300_000")
    try:
        check_refusal(small_router.ask(_spawn(fleet, MIB) + bytes(MIB)), 503, fleet)
        assert small_router.ask(_spawn(fleet, 1000) + bytes(1000)).status == 200
    finally:
        small_router.run_inside(limit % "r.RLIM_INFINITY")
    assert small_router.ask(_spawn(fleet, MIB) + bytes(MIB)).status == 200
    wait_for_rest(small_router, before)


def test_dripping_clients_hold_no_thread_of_pyos(router: Router, fleet: Fleet) -> None:
    """Fifty uploads that never end reach pyos not at all; who asks beside them does not wait."""
    clients = [router.connect() for _ in range(50)]
    for client in clients:
        client.send(_head(b"/API/x", 1000) + b"x")
    times = []
    for _ in range(20):
        for client in clients[:5]:
            client.send(b"x")
        began = time.monotonic()
        assert router.ask(build_request(b"/API/healthz")).status == 200
        times.append(time.monotonic() - began)
    assert statistics.median(times) < 0.1
    assert {request.target for request in fleet.pyos.requests} == {b"/API/healthz"}
    for client in clients:
        client.close()


# --- limits


@pytest.mark.parametrize("where", ["collected", "streamed"])
@pytest.mark.parametrize("framing", ["Content-Length", "chunked"])
def test_limits_are_exact(where: str, framing: str, router: Router, fleet: Fleet) -> None:
    """What is as large as the limit passes; one byte more is a 413, and no upstream has it all."""
    backend = fleet.pyos if where == "collected" else fleet.alice["pulseaudio_http"]
    target = b"/container/%b/%d/x" % (fleet.alice.token, backend.port)
    target = b"/API/x" if where == "collected" else target
    for size, status in ((MIB, 200), (MIB + 1, 413)):
        fleet.forget()
        body = bytes(size)
        if framing == "chunked":
            request = _head(target, None) + build_chunks(body[:1000], body[1000:])
        else:
            request = _head(target, size) + body
        assert router.ask(request).status == status
        assert len(backend.requests) == (status == 200)
        if status == 200:
            assert backend.request.body == body


# --- what is dropped


def test_trailers_of_a_request_are_dropped(router: Router, fleet: Fleet) -> None:
    """They reach nobody, and the connection stays in step."""
    for target, backend in ((b"/API/x", fleet.pyos), (None, fleet.alice["pulseaudio_http"])):
        target = target or b"/container/%b/%d/x" % (fleet.alice.token, backend.port)
        request = _head(target, None, (b"Trailer", b"X-Sum"), (b"TE", b"trailers"))
        chunks = b"5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n"
        with router.connect() as client:
            assert client.ask(request + chunks).status == 200
            assert client.ask(build_request(b"/healthz")).status == 200
        assert backend.request.body == b"hello"
        assert b"X-Sum: 1" not in backend.received


def test_trailers_of_an_answer_are_dropped(router: Router, fleet: Fleet) -> None:
    """The client gets the content and its end."""
    fleet.pyos.play(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"
        b"5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n"
    )
    with router.connect() as client:
        for _ in range(2):
            answer = client.ask(build_request(b"/API/x"))
            assert answer.body == b"hello"
            assert b"X-Sum: 1" not in answer.raw


def test_interim_answers_are_dropped(router: Router, fleet: Fleet) -> None:
    """The client gets the final one only."""
    interim = b"".join(b"HTTP/1.1 %d X\r\nLink: x\r\n\r\n" % status for status in (100, 102, 103))
    fleet.pyos.play(interim + b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    with router.connect() as client:
        for _ in range(2):
            answer = client.ask(build_request(b"/API/x"))
            assert (answer.status, answer.body) == (200, b"ok")


def test_content_that_nobody_wants_is_read_over(router: Router) -> None:
    """An answer of our own drops the content, and the connection goes on."""
    with router.connect() as client:
        for _ in range(3):
            assert client.ask(build_request(b"/healthz", body=bytes(100_000))).body == b"OK\n"


# --- early answers


def _early(answer: bytes, then: Callable[[Wire], object]) -> Callable[[Wire], None]:
    def serve(wire: Wire) -> None:
        wire.read_head()
        wire.send(answer)
        then(wire)

    return serve


def _ask_early(
    router: Router, fleet: Fleet, answer: bytes, then: Callable[[Wire], object]
) -> tuple[Client, Answer]:
    with RawServer(_early(answer, then)) as server:
        client = router.connect()
        client.send(_head(_container(fleet, server), 1000) + b"x")
        return client, client.read_answer()


def test_an_answer_before_the_end_of_the_upload(router: Router, fleet: Fleet) -> None:
    """It is passed on at once; the rest of the upload is for nobody, and the next request goes."""
    early = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nearly"
    client, answer = _ask_early(router, fleet, early, lambda wire: wire.read_to_end())
    with client:
        assert answer.body == b"early"
        client.send(bytes(999))
        assert client.ask(build_request(b"/healthz")).status == 200


def test_an_answer_that_streams_beside_the_upload(router: Router, fleet: Fleet) -> None:
    """Both directions at once."""

    def converse(wire: Wire) -> None:
        wire.read_head()
        wire.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(10):
            part = wire.receive()
            wire.send(b"%x\r\n%b\r\n" % (len(part), part))
        wire.send(b"0\r\n\r\n")

    with RawServer(converse) as server, router.connect() as client:
        client.send(_head(_container(fleet, server), 10))
        client.read_head()
        for number in range(10):
            part = b"%d" % number
            client.send(part)
            received = b""
            while part not in received:
                received += client.receive()


def test_a_server_that_refuses_and_closes(router: Router, fleet: Fleet) -> None:
    """Its answer arrives, though it resets the connection under the upload that it does not read.

    The content goes on while the reset is on its way: whichever side of it a write falls, the
    answer counts.
    """
    refusal = b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig"

    def refuse(wire: Wire) -> None:
        wire.read_head()
        wire.send(refusal)
        time.sleep(0.05)  # until some content is there, which makes the close a reset

    statuses = set()
    with RawServer(refuse) as server:
        for _ in range(20):
            with router.connect() as client:
                client.send(_head(_container(fleet, server), MIB))
                Upload(client, MIB)
                statuses.add(client.read_answer().status)
    assert statuses == {413}
