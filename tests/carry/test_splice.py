"""What the kernel moves from one socket to another, and when it does not."""

import asyncio
import contextlib
import os
import resource
import socket
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from route_addon.carry import splice
from route_addon.carry.reading import READ_BYTES
from route_addon.carry.splice import LEAST_BYTES, Splice, start_splice

CONTENT = b"".join(b"%07d\n" % number for number in range(8 * LEAST_BYTES // 8))
MOVED = len(CONTENT) - READ_BYTES


class Side:
    """One side, and what it is told; the test has the other end of its socket."""

    def __init__(self) -> None:
        self.socket, self.peer = socket.socketpair()
        self.is_lent = True
        self.moved = 0
        self.told: list[str] = []
        for end in (self.socket, self.peer):
            end.setblocking(False)

    def lend_socket(self) -> int | None:
        return self.socket.dup().detach() if self.is_lent else None

    def skip(self, size: int) -> None:
        self.moved += size

    def take_back(self) -> None:
        self.told.append("take back")

    def guard(self, call: Callable[[], None]) -> None:
        call()

    def pause_writing(self) -> None:
        self.told.append("pause")

    def resume_writing(self) -> None:
        self.told.append("resume")

    def abort(self) -> None:
        self.told.append("abort")

    def close(self) -> None:
        self.socket.close()
        self.peer.close()


@pytest.fixture
async def source() -> AsyncIterator[Side]:
    """The server's side."""
    side = Side()
    yield side
    side.close()


@pytest.fixture
async def sink() -> AsyncIterator[Side]:
    """The client's side."""
    side = Side()
    yield side
    side.close()


def _start(source: Side, sink: Side) -> Splice:
    moving = start_splice(source, sink, len(CONTENT))
    assert moving is not None
    return moving


async def _wait(is_so: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not is_so():
            await asyncio.sleep(0.001)


async def _receive(sink: Side, size: int) -> bytes:
    received = b""
    async with asyncio.timeout(10):
        while len(received) < size:
            received += await asyncio.get_running_loop().sock_recv(sink.peer, size - len(received))
    return received


async def test_all_but_the_end(source: Side, sink: Side) -> None:
    """In order; the source then reads the end itself."""
    loop = asyncio.get_running_loop()
    _start(source, sink)
    sending = asyncio.create_task(loop.sock_sendall(source.peer, CONTENT))
    assert await _receive(sink, MOVED) == CONTENT[:MOVED]
    await _wait(lambda: source.told)
    assert source.told == ["take back"]
    assert source.moved == MOVED
    rest = b""
    while len(rest) < READ_BYTES:
        rest += await loop.sock_recv(source.socket, READ_BYTES)
    assert rest == CONTENT[MOVED:]
    await sending


async def test_a_sink_that_waits(source: Side, sink: Side) -> None:
    """It says so, and the source is not read; when it goes on, it has missed nothing."""
    _start(source, sink)
    sending = asyncio.create_task(
        asyncio.get_running_loop().sock_sendall(source.peer, CONTENT[:MOVED])
    )
    await _wait(lambda: sink.told)
    moved = source.moved
    await asyncio.sleep(0.05)
    assert (sink.told, source.moved) == (["pause"], moved)
    assert await _receive(sink, MOVED) == CONTENT[:MOVED]
    await _wait(lambda: source.told)
    assert sink.told[:2] == ["pause", "resume"]
    assert sink.told.count("pause") == sink.told.count("resume")
    await sending


async def test_a_sink_that_waits_at_the_end(
    source: Side, sink: Side, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told to go on, too, when all is moved: what follows must not be held up."""
    monkeypatch.setattr(splice, "LEAST_BYTES", READ_BYTES)
    filled = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            filled += sink.socket.send(CONTENT[:1000])
    assert start_splice(source, sink, READ_BYTES + 1000) is not None
    source.peer.send(CONTENT[:1000])
    await _wait(lambda: sink.told)
    assert (await _receive(sink, filled + 1000))[filled:] == CONTENT[:1000]
    await _wait(lambda: source.told)
    assert (source.told, sink.told) == (["take back"], ["pause", "resume"])


async def test_a_source_that_ends(source: Side, sink: Side) -> None:
    """What it said is moved; that it has ended it finds out itself."""
    _start(source, sink)
    source.peer.send(b"beginning")
    source.peer.close()
    await _wait(lambda: source.told)
    assert (source.told, source.moved) == (["take back"], len(b"beginning"))
    assert await _receive(sink, 9) == b"beginning"


async def test_a_sink_that_is_gone(source: Side, sink: Side) -> None:
    """It is told, and nobody is read any more."""
    _start(source, sink)
    sink.peer.close()
    source.peer.send(b"beginning")
    await _wait(lambda: sink.told)
    assert (sink.told, source.told, source.moved) == (["abort"], [], 0)


async def test_closed(source: Side, sink: Side) -> None:
    """Nothing is moved any more, once or twice; and no descriptor is left."""
    before = _count_open()
    moving = _start(source, sink)
    assert _count_open() == before + 4
    moving.let_go()
    moving.let_go()
    source.peer.send(b"beginning")
    await asyncio.sleep(0.01)
    assert (source.told, source.moved, _count_open()) == ([], 0, before)


@pytest.mark.parametrize("name", ["source", "sink"])
async def test_a_side_that_lends_nothing(
    name: str, source: Side, sink: Side, request: pytest.FixtureRequest
) -> None:
    """All goes the usual way."""
    before = _count_open()
    request.getfixturevalue(name).is_lent = False
    assert start_splice(source, sink, len(CONTENT)) is None
    assert _count_open() == before


async def test_little_is_left(source: Side, sink: Side) -> None:
    """It is not worth it."""
    assert start_splice(source, sink, LEAST_BYTES - 1) is None


@pytest.fixture
def leave_descriptors() -> Iterator[Callable[[int], None]]:
    """Lets this process open so many more."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)

    def leave(count: int) -> None:
        opened = [os.open(os.devnull, os.O_RDONLY) for _ in range(count + 1)]
        for descriptor in opened:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (opened[-1], before[1]))

    yield leave
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.parametrize("left", [0, 1, 2])
async def test_no_descriptor_is_left(
    left: int, source: Side, sink: Side, leave_descriptors: Callable[[int], None]
) -> None:
    """All goes the usual way, and what was opened is closed."""
    leave_descriptors(left)
    assert start_splice(source, sink, len(CONTENT)) is None
    # As many can be opened as before, and no more.
    opened = [os.open(os.devnull, os.O_RDONLY) for _ in range(left)]
    with pytest.raises(OSError, match="Too many open files"):
        os.open(os.devnull, os.O_RDONLY)
    for descriptor in opened:
        os.close(descriptor)


def _count_open() -> int:
    return len(os.listdir("/proc/self/fd"))
