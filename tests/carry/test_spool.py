"""Collected bodies."""

import asyncio
import errno
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from route_addon.carry.spool import (
    BLOCK_BYTES,
    MEMORY_BYTES,
    MOST_HELD_BYTES,
    Spool,
    Spools,
)
from route_addon.core.errors import RouteError, SpoolFull

MIB = 2**20


@pytest.fixture
def spools(tmp_path: Path) -> Iterator[Spools]:
    """Room for four MiB."""
    spools = Spools(str(tmp_path), 4 * MIB)
    yield spools
    spools.close()


async def _write(spool: Spool, *pieces: bytes) -> RouteError | None:
    """Write, and wait until it is taken."""
    told: asyncio.Future[RouteError | None] = asyncio.get_running_loop().create_future()
    if spool.write(list(pieces), told.set_result):
        assert not told.done()
        return None
    assert spool.is_busy
    return await told


async def _read(spool: Spool) -> bytes:
    """Read it all, in the way of an exchange."""
    content = b""
    loop = asyncio.get_running_loop()
    while not spool.is_in_memory:
        told: asyncio.Future[tuple[bytes, RouteError | None]] = loop.create_future()
        spool.read(lambda block, error, told=told: told.set_result((block, error)))  # type: ignore[misc]
        block, error = await told
        assert error is None
        assert len(block) <= BLOCK_BYTES
        content += block
        if not block:
            break
    return content + spool.rest


def _open_files(folder: Path) -> int:
    """How many files of a folder this process has open, named or not."""
    count = 0
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            count += os.readlink(f"/proc/self/fd/{descriptor}").startswith(str(folder))
        except OSError:
            continue
    return count


async def _wait_until(is_so: Callable[[], bool]) -> None:
    for _ in range(500):
        if is_so():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("not in time")


async def _wait_until_closed(folder: Path) -> None:
    await _wait_until(lambda: not _open_files(folder))


@pytest.mark.parametrize("size", [0, 1, MEMORY_BYTES])
async def test_what_fits_in_memory(size: int, spools: Spools, tmp_path: Path) -> None:
    """No file is made for it."""
    spool = spools.open()
    body = os.urandom(size)
    assert await _write(spool, body) is None
    assert spool.is_in_memory
    assert spool.size == size
    assert spools.used_bytes == 0
    assert _open_files(tmp_path) == 0
    assert await _read(spool) == body
    spool.close()


@pytest.mark.parametrize("size", [MEMORY_BYTES + 1, BLOCK_BYTES * 2, 3 * MIB + 7])
@pytest.mark.parametrize("piece", [1000, 65536, 2**20])
async def test_what_does_not(size: int, piece: int, spools: Spools, tmp_path: Path) -> None:
    """It comes back whole, from a file without a name that is gone afterwards."""
    spool = spools.open()
    body = os.urandom(size)
    for at in range(0, size, piece):
        assert await _write(spool, body[at : at + piece]) is None
    assert not spool.is_in_memory
    assert spool.size == size
    assert size - max(MEMORY_BYTES, min(size / 2, BLOCK_BYTES)) <= spools.used_bytes <= size
    assert not list(tmp_path.iterdir())
    assert _open_files(tmp_path) == 1
    assert await _read(spool) == body
    spool.close()
    assert spools.used_bytes == spools.held_bytes == 0
    await _wait_until_closed(tmp_path)


@pytest.mark.parametrize(("held", "count"), [(0, 8), (MOST_HELD_BYTES, 32)])
async def test_blocks(
    held: int, count: int, spools: Spools, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They grow with the file, unless much is held in memory for others."""
    blocks: list[int] = []
    write = os.writev

    def note(descriptor: int, pieces: list[bytes]) -> int:
        blocks.append(sum(map(len, pieces)))
        return write(descriptor, pieces)

    monkeypatch.setattr(os, "writev", note)
    spools.held_bytes = held
    spool = spools.open()
    body = os.urandom(4 * MIB)
    for at in range(0, len(body), MEMORY_BYTES):
        assert await _write(spool, body[at : at + MEMORY_BYTES]) is None
    assert len(blocks) == count
    assert max(blocks) <= (BLOCK_BYTES if not held else MEMORY_BYTES) + MEMORY_BYTES
    assert await _read(spool) == body
    spool.close()
    assert spools.held_bytes == held


async def test_pieces(spools: Spools) -> None:
    """Several at once are one after the other."""
    spool = spools.open()
    assert await _write(spool, b"a", b"b", b"c" * MEMORY_BYTES) is None
    assert await _write(spool, b"d") is None
    assert await _read(spool) == b"ab" + b"c" * MEMORY_BYTES + b"d"
    spool.close()


async def test_many_pieces(spools: Spools) -> None:
    """More than the kernel takes at once are no fault."""
    spool = spools.open()
    body = os.urandom(MEMORY_BYTES + 1)
    assert await _write(spool, *(body[at : at + 1] for at in range(len(body)))) is None
    assert await _read(spool) == body
    spool.close()


async def _send(spool: Spool, receiver: socket.socket, sender: socket.socket) -> bytes:
    """Send what the socket takes, and read the next block."""
    told: asyncio.Future[tuple[bytes, RouteError | None]] = (
        asyncio.get_running_loop().create_future()
    )
    sender.setblocking(False)
    lent = os.dup(sender.fileno())
    spool.read(lambda block, error: told.set_result((block, error)), lent)
    block, error = await told
    assert error is None
    with pytest.raises(OSError):
        os.fstat(lent)
    return block


async def test_sending_past_our_memory(spools: Spools) -> None:
    """What a socket takes goes straight to it; the block is what comes next."""
    spool = spools.open()
    body = os.urandom(3 * MIB)
    assert await _write(spool, body) is None
    sender, receiver = socket.socketpair()
    with sender, receiver:
        received = b""
        while block := await _send(spool, receiver, sender):
            assert len(block) <= MEMORY_BYTES
            sender.setblocking(True)
            thread = threading.Thread(target=sender.sendall, args=(block,))
            thread.start()
            receiver.setblocking(False)
            while len(received) < len(body):
                try:
                    received += receiver.recv(MIB)
                except BlockingIOError:
                    if not thread.is_alive():
                        break
            thread.join()
        sender.close()
        receiver.setblocking(True)
        while data := receiver.recv(MIB):
            received += data
    assert received == body
    spool.close()


async def test_a_socket_that_is_lost(spools: Spools) -> None:
    """It takes nothing: the block is the first one."""
    spool = spools.open()
    body = os.urandom(MIB)
    assert await _write(spool, body) is None
    sender, receiver = socket.socketpair()
    receiver.close()
    with sender:
        assert await _send(spool, receiver, sender) == body[:MEMORY_BYTES]
    spool.close()


async def test_the_bound_is_exact(spools: Spools) -> None:
    """What is as large as all the room passes; a byte more does not, nor does it cost any."""
    first = spools.open()
    assert await _write(first, bytes(4 * MIB)) is None
    assert spools.used_bytes == 4 * MIB
    second = spools.open()
    with pytest.raises(SpoolFull):
        await _write(second, bytes(MEMORY_BYTES + 1))
    assert spools.used_bytes == 4 * MIB
    second.close()
    first.close()
    assert spools.used_bytes == 0
    third = spools.open()
    with pytest.raises(SpoolFull):
        await _write(third, bytes(4 * MIB + 1))
    third.close()
    assert spools.used_bytes == 0


async def test_closed_while_it_is_written(
    spools: Spools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is told, and its room is given back once the disk has done."""
    may_write = threading.Event()
    write = os.writev

    def slow(descriptor: int, pieces: list[bytes]) -> int:
        may_write.wait(10)
        return write(descriptor, pieces)

    monkeypatch.setattr(os, "writev", slow)
    spool = spools.open()
    told: list[Any] = []
    assert not spool.write([bytes(MIB)], told.append)
    spool.close()
    spool.close()
    assert spools.used_bytes == MIB
    may_write.set()
    await _wait_until(lambda: not spools.used_bytes)
    await _wait_until_closed(tmp_path)
    assert told == []


@pytest.mark.parametrize("fault", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
async def test_a_disk_that_fails(
    fault: int, spools: Spools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told as such; after the close nothing is held, and the next body finds room."""

    def fail(descriptor: int, pieces: list[bytes]) -> int:
        raise OSError(fault, "full")

    with monkeypatch.context() as patch:
        patch.setattr(os, "writev", fail)
        spool = spools.open()
        told = await _write(spool, bytes(MIB))
        assert isinstance(told, SpoolFull)
        assert told.detail == os.strerror(fault).lower()
        spool.close()
    assert spools.used_bytes == 0
    await _wait_until_closed(tmp_path)
    spool = spools.open()
    assert await _write(spool, bytes(MIB)) is None
    spool.close()


async def test_writes_that_are_short(spools: Spools, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel that takes a part of a block gets the rest."""
    write = os.write
    monkeypatch.setattr(os, "writev", lambda descriptor, data: write(descriptor, data[0][:1000]))
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:1000]))
    spool = spools.open()
    body = os.urandom(MEMORY_BYTES + 500)
    assert await _write(spool, body) is None
    assert await _read(spool) == body
    spool.close()


async def test_a_folder_that_is_gone(spools: Spools, tmp_path: Path) -> None:
    """No room, and no crash."""
    spools.configure(str(tmp_path / "nowhere"), MIB)
    spool = spools.open()
    assert isinstance(await _write(spool, bytes(MEMORY_BYTES + 1)), SpoolFull)
    spool.close()
    assert spools.used_bytes == 0


async def test_a_file_system_without_nameless_files(
    spools: Spools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A named file is made, and loses its name at once."""
    real = os.open

    def refuse(path: str, flags: int, *details: Any) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, "no O_TMPFILE")
        return real(path, flags, *details)

    monkeypatch.setattr(os, "open", refuse)
    spool = spools.open()
    body = os.urandom(MEMORY_BYTES + 1)
    assert await _write(spool, body) is None
    assert not list(tmp_path.iterdir())
    assert await _read(spool) == body
    spool.close()
    await _wait_until_closed(tmp_path)


async def test_closed_after_the_threads_are_gone(spools: Spools, tmp_path: Path) -> None:
    """Its file is closed all the same."""
    spool = spools.open()
    assert await _write(spool, bytes(MIB)) is None
    spools.close()
    spool.close()
    assert spools.used_bytes == 0
    assert _open_files(tmp_path) == 0
