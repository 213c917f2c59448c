"""How much is read at once, and how little waits to be written."""

import asyncio
from typing import cast

from route_addon.carry.reading import (
    HELD_BYTES,
    READ_BYTES,
    BoundedProtocol,
    hold_little,
    hold_more,
)


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
