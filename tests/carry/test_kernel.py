"""What the kernel knows of connections, and what it is told."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable

import pytest

from route_addon.carry.kernel import (
    count_unread,
    count_unsent,
    count_waiting,
    keep_alive,
    reset_at_close,
)

MUCH = bytes(2**20)


class Connection(asyncio.Protocol):
    """A connection, and a plain socket at its other end."""

    transport: asyncio.Transport
    peer: socket.socket

    def __init__(self) -> None:
        self.made, self.lost = asyncio.Event(), asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        self.made.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set()

    async def end(self) -> None:
        """Wait until nothing is left of it."""
        async with asyncio.timeout(10):
            await self.lost.wait()
            while (sock := self.transport.get_extra_info("socket")) and sock.fileno() >= 0:
                await asyncio.sleep(0.01)

    async def wait_until(self, is_so: Callable[[], bool]) -> None:
        """Wait until the kernel says so."""
        async with asyncio.timeout(10):
            while not is_so():
                await asyncio.sleep(0.01)


@pytest.fixture
async def connection() -> AsyncIterator[Connection]:
    """One that is open."""
    connection = Connection()
    server = await asyncio.get_running_loop().create_server(lambda: connection, "127.0.0.1", 0)
    connection.peer = socket.create_connection(server.sockets[0].getsockname(), 10)
    async with asyncio.timeout(10):
        await connection.made.wait()
    server.close()
    with connection.peer:
        yield connection
    connection.transport.abort()
    await connection.lost.wait()
    await asyncio.sleep(0)


async def test_what_has_not_been_sent(connection: Connection) -> None:
    """What the peer has not taken is counted, and of that no more than what is there."""
    assert count_unsent(connection.transport) == 0
    connection.transport.write(MUCH * 8)
    await asyncio.sleep(0.05)
    assert 0 < count_unsent(connection.transport) < len(MUCH) * 8


async def test_what_has_not_been_read(connection: Connection) -> None:
    """What has come while nobody reads is counted to the byte."""
    connection.transport.pause_reading()
    assert count_unread(connection.transport) == 0
    connection.peer.sendall(b"hello")
    await connection.wait_until(lambda: count_unread(connection.transport) == 5)


async def test_a_silent_peer_is_asked(connection: Connection) -> None:
    """Within five minutes one that is dead is noticed."""
    keep_alive(connection.transport)
    sock = connection.transport.get_extra_info("socket")
    assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    idle, interval, count = (
        sock.getsockopt(socket.IPPROTO_TCP, option)
        for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
    )
    assert 0 < idle + interval * count <= 300


@pytest.mark.parametrize("is_told", [True, False])
async def test_a_reset(connection: Connection, is_told: bool) -> None:
    """Closing is an end in order, unless it was told to be none."""
    if is_told:
        reset_at_close(connection.transport)
    connection.transport.abort()
    await connection.end()
    if is_told:
        with pytest.raises(ConnectionResetError):
            connection.peer.recv(1)
    else:
        assert connection.peer.recv(1) == b""


async def test_one_that_is_gone(connection: Connection) -> None:
    """It holds nothing, and to tell the kernel something of it is no fault."""
    connection.transport.write(b"x")
    # uvloop makes its socket when it is first asked for.
    assert connection.transport.get_extra_info("socket").fileno() >= 0
    connection.transport.abort()
    await connection.end()
    assert count_unsent(connection.transport) == count_unread(connection.transport) == 0
    keep_alive(connection.transport)
    reset_at_close(connection.transport)


async def test_a_peer_that_has_reset(connection: Connection) -> None:
    """The same while the connection is still ours to close."""
    connection.transport.pause_reading()
    linger = b"\1\0\0\0\0\0\0\0"
    connection.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    connection.peer.close()
    await asyncio.sleep(0.05)
    keep_alive(connection.transport)
    reset_at_close(connection.transport)
    assert not connection.lost.is_set()


def test_who_waits_to_be_accepted() -> None:
    """Whoever has connected and was not accepted yet; nobody, where there is no queue."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        assert count_waiting(listening) == 0
        waiting = [socket.create_connection(listening.getsockname(), 10) for _ in range(3)]
        assert count_waiting(listening) == 3
        listening.accept()[0].close()
        assert count_waiting(listening) == 2
        for one in waiting:
            one.close()
    assert count_waiting(listening) == 0
    with socket.socket(socket.AF_UNIX) as other:
        assert count_waiting(other) == 0
