"""How much is read at once."""

import asyncio

from route_addon.carry.reading import READ_BYTES, BoundedProtocol


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
