"""Connections to servers: one request at a time, kept, and failing in every way."""

import asyncio
import contextlib
import ipaddress
import logging
import os
import resource
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from route_addon.carry.deadlines import NEVER, Deadlines
from route_addon.carry.http1.heads import RawAnswer
from route_addon.carry.upstreams import connection as upstream
from route_addon.carry.upstreams.connection import ServerKey, UpstreamConnection, Upstreams
from route_addon.core.attempts import failure_of
from route_addon.core.errors import (
    BadAnswer,
    RouteError,
    TooBusy,
    UpstreamRefused,
    UpstreamReset,
    UpstreamTimeout,
)

LOOPBACK = ipaddress.ip_address("127.0.0.1")
REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
PATIENCE_S = 30.0


class Asker:
    """Has one request under way, and keeps what it is told."""

    def __init__(self) -> None:
        self.answer: RawAnswer | None = None
        self.content = b""
        self.is_whole = False
        self.error: RouteError | None = None
        self.is_untouched = False
        self.said: list[str] = []
        self._over = asyncio.Event()

    def receive_answer(self, answer: RawAnswer, pieces: list[bytes], is_end: bool) -> None:
        assert self.answer is None
        self.answer = answer
        self.receive_answer_content(pieces, is_end)

    def receive_answer_content(self, pieces: list[bytes], is_end: bool) -> None:
        self.content += b"".join(pieces)
        if is_end:
            self.is_whole = True
            self._over.set()

    def skip_answer_content(self, size: int) -> None:
        self.said.append(f"skip {size}")

    def upstream_failed(self, error: RouteError, *, is_untouched: bool) -> None:
        self.error, self.is_untouched = error, is_untouched
        self._over.set()

    def fail(self) -> None:
        self.said.append("fail")
        self._over.set()

    def pause_content(self) -> None:
        self.said.append("pause_content")

    def resume_content(self) -> None:
        self.said.append("resume_content")

    async def wait(self) -> None:
        """Until it is over, in whatever way."""
        async with asyncio.timeout(10):
            await self._over.wait()


type Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]


class World:
    """Servers, and the connections to them; its clock can be moved."""

    def __init__(self) -> None:
        self.deadlines = Deadlines()
        self.upstreams = Upstreams(self.deadlines, 1.0)
        self.late_s = 0.0
        time = asyncio.get_running_loop().time
        self.upstreams.time = lambda: time() + self.late_s
        self._servers: list[asyncio.Server] = []
        self._serving: set[asyncio.Task[None]] = set()

    async def serve(self, serve: Serve, name: str = "127.0.0.1") -> ServerKey:
        """Start a server that serves each connection so."""

        async def guarded(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._serving.add(task)
            try:
                with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                    await serve(reader, writer)
            finally:
                writer.close()

        server = await asyncio.start_server(guarded, "127.0.0.1", 0)
        self._servers.append(server)
        return ServerKey(b"http", "127.0.0.1", server.sockets[0].getsockname()[1], name)

    async def open(self, key: ServerKey) -> UpstreamConnection:
        """A fresh connection."""
        return await self.upstreams.open(key, [LOOPBACK])

    async def ask(
        self, connection: UpstreamConnection, method: bytes = b"GET", request: bytes = REQUEST
    ) -> Asker:
        """Ask, and wait for what comes of it."""
        asker = Asker()
        connection.begin(asker, method, PATIENCE_S)
        connection.write_last(request)
        await asker.wait()
        return asker

    async def close(self) -> None:
        """Stop the servers."""
        self.upstreams.close()
        self.deadlines.close()
        for server in self._servers:
            server.close()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)
        # What is closed lets go in the loop's next round.
        await asyncio.sleep(0)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """Nothing is connected yet."""
    world = World()
    yield world
    await world.close()


def _answering(*parts: bytes, then: str = "wait") -> Serve:
    """Answers each request so."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await reader.readuntil(b"\r\n\r\n")
            for part in parts:
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(0.01)
            if then == "close":
                return
            if then == "reset":
                writer.transport.abort()
                sock = writer.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                return

    return serve


# --- answers


@pytest.mark.parametrize(
    ("raw", "then", "method", "content"),
    [
        pytest.param(OK, "wait", b"GET", b"ok", id="a length"),
        pytest.param(b"HTTP/1.1 204 X\r\n\r\n", "wait", b"GET", b"", id="204"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", "wait", b"HEAD", b"", id="HEAD"
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            "wait",
            b"GET",
            b"ok",
            id="chunks",
        ),
        pytest.param(b"HTTP/1.1 200 OK\r\n\r\nok", "close", b"GET", b"ok", id="until the end"),
        pytest.param(b"HTTP/1.1 103 X\r\n\r\n" + OK, "wait", b"GET", b"ok", id="after 103"),
    ],
)
@pytest.mark.parametrize("is_whole", [True, False], ids=["whole", "byte by byte"])
async def test_an_answer(
    raw: bytes, then: str, method: bytes, content: bytes, is_whole: bool, world: World
) -> None:
    """It arrives whole, however it is split."""
    parts = [raw] if is_whole else [raw[at : at + 1] for at in range(len(raw))]
    connection = await world.open(await world.serve(_answering(*parts, then=then)))
    asker = await world.ask(connection, method)
    assert asker.error is None
    assert asker.is_whole
    assert asker.content == content


@pytest.mark.parametrize(
    ("raw", "then", "error"),
    [
        pytest.param(b"", "close", UpstreamReset, id="nothing"),
        pytest.param(b"HTTP/1.1 200 OK\r\n", "close", UpstreamReset, id="half a head"),
        pytest.param(OK[:-1], "close", UpstreamReset, id="half the content"),
        pytest.param(b"HTTP/1.1 200 OK\r\n\r\nok", "reset", UpstreamReset, id="reset"),
        pytest.param(b"nonsense\r\n\r\n", "wait", BadAnswer, id="nonsense"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            "wait",
            BadAnswer,
            id="chunks",
        ),
    ],
)
async def test_an_answer_that_fails(
    raw: bytes, then: str, error: type[RouteError], world: World
) -> None:
    """The requester is told why, once, and the connection is closed and forgotten."""
    connection = await world.open(await world.serve(_answering(raw, then=then)))
    asker = await world.ask(connection)
    assert isinstance(asker.error, error)
    assert not asker.is_whole
    assert not asker.is_untouched
    assert connection.transport.is_closing()
    assert connection not in world.deadlines._waiting


async def test_switching_protocols(world: World) -> None:
    """What follows a 101 is no message, and the connection is the requester's."""
    raw = b"HTTP/1.1 101 X\r\n\r\n\x81\x02hi"
    connection = await world.open(await world.serve(_answering(raw)))
    asker = await world.ask(connection)
    assert asker.answer is not None and asker.answer.status == 101
    assert asker.content == b"\x81\x02hi"
    transport = connection.detach()
    assert not transport.is_closing()
    assert connection not in world.deadlines._waiting
    transport.abort()


# --- kept connections


async def test_a_connection_rests_and_is_used_again(world: World) -> None:
    """After a whole answer; the one that rested least goes first."""
    key = await world.serve(_answering(OK))
    first, second = await world.open(key), await world.open(key)
    assert world.upstreams.take(key, is_repeatable=True) is None
    await world.ask(first)
    await world.ask(second)
    assert world.upstreams.take(key, is_repeatable=True) is second
    assert world.upstreams.take(key, is_repeatable=True) is first
    assert world.upstreams.take(key, is_repeatable=True) is None
    assert (await world.ask(first)).content == b"ok"


@pytest.mark.parametrize(
    ("late_s", "is_repeatable", "is_taken"),
    [(0.5, False, True), (1.5, False, False), (1.5, True, True), (4.5, True, False)],
)
async def test_how_long_it_may_rest(
    late_s: float, is_repeatable: bool, is_taken: bool, world: World
) -> None:
    """A second for what cannot be sent twice, four for the rest."""
    key = await world.serve(_answering(OK))
    connection = await world.open(key)
    await world.ask(connection)
    world.late_s = late_s
    taken = world.upstreams.take(key, is_repeatable=is_repeatable)
    assert taken is (connection if is_taken else None)


async def test_never_for_another_target(world: World) -> None:
    """Another name, port, address or scheme is another server."""
    key = await world.serve(_answering(OK))
    await world.ask(await world.open(key))
    for other in (
        key._replace(name="other"),
        key._replace(port=key.port + 1),
        key._replace(address="127.0.0.2"),
        key._replace(scheme=b"https"),
    ):
        assert world.upstreams.take(other, is_repeatable=True) is None
    assert world.upstreams.take(key, is_repeatable=True) is not None


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(OK + b"x", id="more than announced"),
        pytest.param(OK.replace(b"OK\r\n", b"OK\r\nConnection: close\r\n"), id="closing"),
        pytest.param(OK.replace(b"1.1", b"1.0"), id="HTTP/1.0"),
        pytest.param(b"HTTP/1.1 204 X\r\nContent-Length: 2\r\n\r\n", id="204 with a length"),
    ],
)
async def test_what_does_not_rest(raw: bytes, world: World) -> None:
    """Whose next answer would not be certain."""
    key = await world.serve(_answering(raw))
    connection = await world.open(key)
    assert (await world.ask(connection)).is_whole
    assert world.upstreams.take(key, is_repeatable=True) is None
    assert connection.transport.is_closing()


async def test_an_answer_before_the_request_is_whole(world: World) -> None:
    """The server still waits for the rest: the connection is good for nothing else."""
    key = await world.serve(_answering(OK))
    connection = await world.open(key)
    asker = Asker()
    connection.begin(asker, b"POST", PATIENCE_S)
    connection.write(REQUEST)
    await asker.wait()
    assert asker.is_whole
    assert world.upstreams.take(key, is_repeatable=True) is None


async def test_a_server_that_closes_a_resting_connection(world: World) -> None:
    """It is forgotten; and one that does so as it is used has not seen the request."""
    key = await world.serve(_answering(OK, then="close"))
    connection = await world.open(key)
    await world.ask(connection)
    for _ in range(100):
        await asyncio.sleep(0.01)
        if connection.is_lost:
            break
    assert world.upstreams.take(key, is_repeatable=True) is None
    assert len(world.deadlines) == 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)
        await reader.readuntil(b"\r\n\r\n")

    connection = await world.open(await world.serve(serve))
    await world.ask(connection)
    asker = await world.ask(connection)
    assert isinstance(asker.error, UpstreamReset)
    assert asker.is_untouched


async def test_a_server_that_speaks_out_of_turn(world: World) -> None:
    """Nobody has asked: the connection is closed."""
    key = await world.serve(_answering(OK, OK))
    connection = await world.open(key)
    await world.ask(connection)
    for _ in range(100):
        await asyncio.sleep(0.01)
        if connection.is_lost:
            break
    assert world.upstreams.take(key, is_repeatable=True) is None


async def test_a_bound_on_what_rests(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """For each server and for all."""
    monkeypatch.setattr(upstream, "_MAX_IDLE_PER_SERVER", 2)
    monkeypatch.setattr(upstream, "_MAX_IDLE", 3)
    keys = [await world.serve(_answering(OK)) for _ in range(2)]
    for key in keys:
        connections = [await world.open(key) for _ in range(3)]
        for connection in connections:
            await world.ask(connection)
    rested = [
        sum(world.upstreams.take(key, is_repeatable=True) is not None for _ in range(3))
        for key in keys
    ]
    assert rested == [2, 1]


async def test_rest_ends(world: World) -> None:
    """A connection that nobody wants is closed."""
    key = await world.serve(_answering(OK))
    connection = await world.open(key)
    await world.ask(connection)
    connection.expire(0.0)
    assert connection.transport.is_closing()
    assert world.upstreams.take(key, is_repeatable=True) is None
    assert len(world.deadlines) == 0


# --- opening


async def test_refused(world: World) -> None:
    """Nobody listens at any address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(UpstreamRefused, match="upstream_refused: connection refused"):
        await world.open(ServerKey(b"http", "127.0.0.1", port, "x"))


async def test_no_room_for_one_more(world: World) -> None:
    """That we have no files left is not the server's fault: 503, and its pool blames nobody."""
    key = await world.serve(_answering(OK))
    _, hard = limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    with open(os.devnull) as next_file:
        most = next_file.fileno()
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    try:
        with pytest.raises(TooBusy) as refused:
            await world.open(key)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert refused.value.detail == "too many open files"
    assert failure_of(refused.value) is None


async def test_the_next_address(world: World) -> None:
    """The first that takes the connection; it is that one's connection from then on."""
    key = await world.serve(_answering(OK))
    nobody = ipaddress.ip_address("127.0.0.77")
    connection = await world.upstreams.open(key._replace(address="127.0.0.77"), [nobody, LOOPBACK])
    assert connection.key == key
    await world.ask(connection)
    assert world.upstreams.take(key, is_repeatable=True) is connection


async def test_connecting_takes_too_long(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that drops packets is a timeout, and nothing of it is kept."""

    async def hang(*arguments: Any, **details: Any) -> None:
        await asyncio.sleep(60)

    monkeypatch.setattr(asyncio.get_running_loop(), "create_connection", hang)
    world.upstreams.connect_timeout_s = 0.05
    with pytest.raises(UpstreamTimeout):
        await world.open(ServerKey(b"http", "127.0.0.1", 1, "x"))
    assert len(world.deadlines) == 0


async def test_closed_before_it_is_used(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that is gone by then has reset the connection, and nothing of it is kept."""
    loop = asyncio.get_running_loop()
    connect = loop.create_connection

    async def connect_slowly(*arguments: Any, **details: Any) -> Any:
        connected = await connect(*arguments, **details)
        await asyncio.sleep(0.05)
        return connected

    async def leave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    monkeypatch.setattr(loop, "create_connection", connect_slowly)
    with pytest.raises(UpstreamReset):
        await world.open(await world.serve(leave))
    assert len(world.deadlines) == 0


# --- time


async def test_whose_turn_it_is(world: World) -> None:
    """The server's time runs once it has the request, or does not read; not while others wait."""
    connection = await world.open(await world.serve(_answering(b"")))
    asker = Asker()
    connection.begin(asker, b"POST", PATIENCE_S)
    connection.write(REQUEST)
    assert connection.deadline == NEVER
    connection.pause_writing()
    assert connection.deadline < NEVER
    assert connection.is_paused
    connection.resume_writing()
    assert connection.deadline == NEVER
    assert asker.said == ["pause_content", "resume_content"]
    connection.write_last(b"x")
    assert connection.deadline < NEVER
    connection.pause_reading()
    assert connection.deadline == NEVER
    connection.resume_reading()
    assert connection.deadline < NEVER
    connection.expire(0.0)
    assert isinstance(asker.error, UpstreamTimeout)
    assert connection.transport.is_closing()


async def test_a_lent_socket(world: World) -> None:
    """Who has it sends to the server, and in order: none is lent while bytes wait to be sent."""
    received = bytearray()

    async def read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            received.extend(data)

    connection = await world.open(await world.serve(read))
    connection.begin(Asker(), b"POST", PATIENCE_S)
    connection.write(REQUEST)
    lent = connection.lend_socket()
    assert lent is not None
    assert os.write(lent, b"lent") == 4
    os.close(lent)
    connection.write(b"own")
    async with asyncio.timeout(10):
        while not received.endswith(b"own"):
            await asyncio.sleep(0.01)
    assert received == REQUEST + b"lentown"
    connection.write(bytes(64 * 2**20))
    assert connection.is_paused
    assert connection.lend_socket() is None
    connection.abandon()
    assert connection.lend_socket() is None


# --- faults


@pytest.mark.parametrize(
    "name", ["receive_answer", "receive_answer_content", "upstream_failed", "pause_content"]
)
async def test_a_requester_that_fails(
    name: str, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """It is told to fail, wherever it happened; the connection is closed; the log tells nothing."""

    def fail(*arguments: Any, **details: Any) -> None:
        raise RuntimeError("a secret")

    then = "close" if name == "upstream_failed" else "wait"
    raw = (OK[:-2], b"ok") if then == "wait" else (b"HTTP",)
    connection = await world.open(await world.serve(_answering(*raw, then=then)))
    asker = Asker()
    setattr(asker, name, fail)
    connection.begin(asker, b"GET", PATIENCE_S)
    with caplog.at_level(logging.ERROR):
        connection.write_last(REQUEST)
        if name == "pause_content":
            connection.pause_writing()
        await asker.wait()
    assert asker.said == ["fail"]
    assert connection.transport.is_closing()
    assert connection not in world.deadlines._waiting
    assert "a secret" not in caplog.text


async def test_who_has_gone_hears_nothing(world: World) -> None:
    """Nor does the server go on."""
    connection = await world.open(await world.serve(_answering(OK)))
    asker = Asker()
    connection.begin(asker, b"GET", PATIENCE_S)
    connection.write_last(REQUEST)
    connection.abandon()
    await asyncio.sleep(0.05)
    assert asker.answer is None
    assert asker.error is None
    assert len(world.deadlines) == 0
