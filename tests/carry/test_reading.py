"""How much is read at once, and how little waits to be written."""

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, cast

import pytest
import uvloop

from route_addon.carry.reading import (
    HELD_BYTES,
    READ_BYTES,
    BoundedProtocol,
    hold_little,
    hold_more,
    read_unread,
)
from tests.e2e.certificates import make_certificate


class Reader(BoundedProtocol):
    """Notes how large the pieces are that it gets."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.ended = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        self.sizes.append(len(data))

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended.set()


async def test_reads_are_bounded() -> None:
    """Though more has come, and by either loop."""
    loop = asyncio.get_running_loop()
    reader = Reader()
    server = await loop.create_server(lambda: reader, "127.0.0.1", 0)
    async with server:
        _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(bytes(20 * READ_BYTES))
        await writer.drain()
        writer.close()
        await asyncio.wait_for(reader.ended.wait(), 10)
    assert sum(reader.sizes) == 20 * READ_BYTES
    assert max(reader.sizes) <= READ_BYTES


class SecureReader(Reader):
    """Takes at its end what it was not given."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        for data in read_unread(self.transport):
            self.data_received(data)
        super().connection_lost(exc)


class HastyServer(threading.Thread):
    """Sends by TLS all that it has, and leaves.

    Args:
        context: Its certificate.
        size: How much, in bytes, after a first one.
    """

    def __init__(self, context: ssl.SSLContext, size: int) -> None:
        super().__init__(daemon=True)
        self.may_send = threading.Event()
        self._context = context
        self._size = size
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]

    def run(self) -> None:
        with (
            self._listener,
            self._context.wrap_socket(self._listener.accept()[0], server_side=True) as connection,
        ):
            connection.sendall(b"x")
            self.may_send.wait(10)
            connection.sendall(bytes(self._size))
            connection.settimeout(0.1)
            with contextlib.suppress(OSError):
                connection.unwrap()


type Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("blocks", [1, 3, 10])
def test_the_end_of_what_comes_by_tls(run: Run, blocks: int, tmp_path: Path) -> None:
    """What waits when the server leaves is there to be read, by either loop."""
    certificate = tmp_path / "certificate.pem"
    certificate.write_bytes(make_certificate("localhost"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server = HastyServer(context, blocks * READ_BYTES)
    server.start()

    async def read() -> None:
        transport, reader = await asyncio.get_running_loop().create_connection(
            SecureReader,
            "127.0.0.1",
            server.port,
            ssl=ssl.create_default_context(cafile=certificate),
            server_hostname="localhost",
        )
        async with asyncio.timeout(10):
            while not reader.sizes:
                await asyncio.sleep(0.01)
            transport.pause_reading()
            server.may_send.set()
            await asyncio.to_thread(server.join)
            transport.resume_reading()
            await reader.ended.wait()
        assert sum(reader.sizes) == 1 + blocks * READ_BYTES

    run(read())


class Writer(asyncio.Protocol):
    """Writes portion by portion until it is told to wait."""

    def __init__(self) -> None:
        self.waits = asyncio.Event()
        self.held_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        hold_little(self.transport)
        asyncio.get_running_loop().call_soon(self._write)

    def pause_writing(self) -> None:
        self.held_bytes = self.transport.get_write_buffer_size()
        self.waits.set()

    def resume_writing(self) -> None:
        hold_more(self.transport)
        self.waits.clear()
        self._write()

    def _write(self) -> None:
        if not self.waits.is_set():
            self.transport.write(bytes(READ_BYTES))
            asyncio.get_running_loop().call_soon(self._write)


async def test_little_is_held() -> None:
    """Of what nobody reads little more than a portion stays with us, by either loop."""
    loop = asyncio.get_running_loop()
    writer = Writer()
    server = await loop.create_server(lambda: writer, "127.0.0.1", 0)
    async with server:
        _, client = await asyncio.open_connection(*server.sockets[0].getsockname(), limit=1)
        await asyncio.wait_for(writer.waits.wait(), 10)
        writer.transport.abort()
        client.transport.abort()
    assert HELD_BYTES < writer.held_bytes <= HELD_BYTES + READ_BYTES


async def test_more_is_held_for_who_reads() -> None:
    """Once it has taken what waited: then a whole portion waits while another one is sent."""
    loop = asyncio.get_running_loop()
    writer = Writer()
    server = await loop.create_server(lambda: writer, "127.0.0.1", 0)
    async with server:
        reader, client = await asyncio.open_connection(*server.sockets[0].getsockname(), limit=1)
        await asyncio.wait_for(writer.waits.wait(), 10)
        while writer.waits.is_set():
            assert await asyncio.wait_for(reader.read(READ_BYTES), 10)
        await asyncio.wait_for(writer.waits.wait(), 10)
        writer.transport.abort()
        client.transport.abort()
    assert READ_BYTES < writer.held_bytes <= 2 * READ_BYTES
