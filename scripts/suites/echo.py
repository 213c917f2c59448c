"""A WebSocket echo that keeps RFC 6455 to the letter: what a tunnel is measured by."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator

from wsproto import ConnectionType, WSConnection
from wsproto.connection import ConnectionState
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Message,
    Ping,
    Request,
    TextMessage,
)
from wsproto.extensions import PerMessageDeflate
from wsproto.utilities import RemoteProtocolError


class Echo(asyncio.Protocol):
    """One connection; messages go back as they came, part by part."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._websocket = WSConnection(ConnectionType.SERVER)

    def data_received(self, data: bytes) -> None:
        try:
            self._websocket.receive_data(data)
        except RemoteProtocolError as fault:
            if fault.event_hint is not None:
                self._transport.write(self._websocket.send(fault.event_hint))
            self._transport.close()
            return
        for event in self._websocket.events():
            self._answer(event)

    def _answer(self, event: Event) -> None:
        websocket = self._websocket
        if isinstance(event, Request):
            self._send(AcceptConnection(extensions=[PerMessageDeflate()]))
        elif isinstance(event, CloseConnection):
            if websocket.state is ConnectionState.REMOTE_CLOSING:
                self._send(event.response())
            self._transport.close()
        elif isinstance(event, Ping):
            self._send(event.response())
        elif isinstance(event, TextMessage | BytesMessage):
            self._send(
                Message(
                    event.data,
                    frame_finished=event.frame_finished,
                    message_finished=event.message_finished,
                )
            )

    def _send(self, event: Event) -> None:
        self._transport.write(self._websocket.send(event))


@contextlib.contextmanager
def run_echo(address: str) -> Iterator[int]:
    """An echo in a thread of its own.

    Args:
        address: Where it listens.

    Yields:
        Its port.
    """
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(loop.create_server(Echo, address, 0))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        server.close()
        loop.close()
