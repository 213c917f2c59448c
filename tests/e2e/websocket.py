"""A WebSocket's client on one thread.

That of ``websockets`` reads in a thread of its own. Under TLS this is no way to go: CPython 3.13.0
lets two threads at one connection of OpenSSL, and now and then what one of them sends is lost.
"""

from typing import Self

from websockets.client import ClientProtocol
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Response
from websockets.uri import parse_uri

from tests.e2e.client import HOST
from tests.e2e.wire import Wire


class Websocket:
    """A WebSocket; it is closed in an orderly way, and its wire with it.

    Args:
        wire: A fresh connection to the router.
        target: What to open.
    """

    def __init__(self, wire: Wire, target: str) -> None:
        self._wire = wire
        self._protocol = ClientProtocol(parse_uri(f"ws://{HOST.decode()}{target}"), max_size=None)
        self._protocol.send_request(self._protocol.connect())
        self._flush()
        answer = self._next()
        assert isinstance(answer, Response) and answer.status_code == 101, answer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        with self._wire:
            self._protocol.send_close(CloseCode.NORMAL_CLOSURE)
            self._flush()
            while data := self._wire.receive():
                self._protocol.receive_data(data)
            self._protocol.receive_eof()
        assert self._protocol.close_code == CloseCode.NORMAL_CLOSURE

    def echo(self, message: bytes) -> bytes:
        """Send a message; the next one that comes."""
        self._protocol.send_binary(message)
        self._flush()
        parts: list[bytes] = []
        while True:
            frame = self._next()
            assert isinstance(frame, Frame) and frame.opcode in (Opcode.BINARY, Opcode.CONT), frame
            parts.append(bytes(frame.data))
            if frame.fin:
                return b"".join(parts)

    def _next(self) -> object:
        while not (events := self._protocol.events_received()):
            data = self._wire.receive()
            assert data, "the connection has ended"
            self._protocol.receive_data(data)
        (event,) = events
        return event

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            self._wire.send(data)
