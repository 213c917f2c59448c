"""Back ends: they keep every byte that they get, and answer by a script."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Self

from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.frames import Frame, Opcode
from websockets.http11 import Request as Handshake
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from tests.e2e.wire import Request, Wire, wait_until

type Script = Callable[[Wire, Request], None]
"""Answers one request. It may do what it likes with the wire; closing it ends the connection."""

SUBPROTOCOLS = ("binary", "chat")
"""What the WebSocket echo chooses from."""

ABORT = "abort"
"""To this message the WebSocket echo answers with a TCP reset."""

LEAVE = "leave"
"""To this message the WebSocket echo answers with a close, code 4001."""

LATE_S = 0.02
"""After a refusal, how long to wait for what should not come."""


class Backend:
    """A TCP server on one port.

    Args:
        address: Where it listens.
        port: Its port; 0 for a free one.
        name: What it answers with, so that a client knows whom it reached.

    Raises:
        OSError: The port is taken.
    """

    def __init__(self, address: str, port: int = 0, name: str = "backend") -> None:
        self.name = name
        self.requests: list[Request] = []
        self._received = bytearray()
        self._connections = 0
        self._round = 0
        self._script: Script = self.answer
        self._wires: set[Wire] = set()
        self._lock = threading.Lock()
        self._is_closed = False
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._listener = socket.create_server((address, port), family=family)
        self.address, self.port = self._listener.getsockname()[:2]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def authority(self) -> str:
        """``address:port``."""
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """Its root."""
        return f"http://{self.authority}"

    @property
    def received(self) -> bytes:
        """Every byte it got, from all connections, since the last ``forget``."""
        return bytes(self._received)

    @property
    def connections(self) -> int:
        """How many connections it accepted since the last ``forget``."""
        return self._connections

    @property
    def request(self) -> Request:
        """The one request that it got."""
        assert len(self.requests) == 1, f"{self.name} got {self.received!r}"
        return self.requests[0]

    @property
    def is_untouched(self) -> bool:
        """Whether nobody connected and nothing came."""
        return not self._connections and not self._received

    def wait_for(self, data: bytes) -> None:
        """Wait until these bytes have come."""
        wait_until(lambda: data in self._received, f"{self.name} gets {data!r}")

    def play(self, script: Script | bytes) -> None:
        """Answer by a script from now on, or with these bytes."""
        if isinstance(script, bytes):
            raw = script
            self._script = lambda wire, request: wire.send(raw)
        else:
            self._script = script

    def forget(self) -> None:
        """Begin anew: an empty log, and the usual answer."""
        self._script = self.answer
        self.requests.clear()
        self._received.clear()
        self._connections = 0
        self._round += 1

    def answer(self, wire: Wire, request: Request) -> None:
        """The usual answer: 200 with the name as its body; a WebSocket is echoed."""
        if request.get(b"upgrade") == b"websocket":
            echo_websocket(wire, request)
            return
        body = b"" if request.method == b"HEAD" else self.name.encode()
        length = len(self.name.encode())
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (length, body))

    def close(self) -> None:
        """Stop listening, cut what is open, and wait for the threads."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            self._is_closed = True
            for wire in self._wires:
                with contextlib.suppress(OSError):
                    wire.socket.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._connections += 1
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with Wire(connection, self._received.extend) as wire:
            # The router may rest as long as it likes between two requests.
            connection.settimeout(None)
            with self._lock:
                if self._is_closed:
                    # Accepted just before the end: nobody would cut it any more.
                    return
                self._wires.add(wire)
            # A router that cuts the connection is an outcome, not a fault of the back end.
            with contextlib.suppress(EOFError, OSError):
                while connection.fileno() >= 0:
                    request = wire.read_request()
                    self.requests.append(request)
                    if request.get_all(b"upgrade"):
                        wire.on_bytes = partial(self._receive_in_tunnel, self._round)
                    self._script(wire, request)
            with self._lock:
                self._wires.discard(wire)

    def _receive_in_tunnel(self, its_round: int, data: bytes) -> None:
        """What an old tunnel still carries is nothing that the router sends anew."""
        if its_round == self._round:
            self._received += data


def untouched(backends: Sequence[Backend]) -> bool:
    """Whether none of the back ends got anything, nor does so a little later."""
    time.sleep(LATE_S)
    return all(backend.is_untouched for backend in backends)


def echo_websocket(wire: Wire, request: Request) -> None:
    """Echo a WebSocket's messages until either end closes it."""
    protocol = ServerProtocol(
        select_subprotocol=_select_subprotocol,
        extensions=[ServerPerMessageDeflateFactory()],
        max_size=None,
    )
    protocol.receive_data(request.raw)
    handshake = protocol.events_received()[0]
    assert isinstance(handshake, Handshake)
    protocol.send_response(protocol.accept(handshake))
    while True:
        for data in protocol.data_to_send():
            if data:
                wire.send(data)
        if protocol.close_expected():
            wire.close()
            return
        data = wire.receive()
        if not data:
            wire.close()
            return
        protocol.receive_data(data)
        for frame in protocol.events_received():
            if not isinstance(frame, Frame):
                continue
            if frame.data == ABORT.encode():
                wire.reset()
                return
            _echo(protocol, frame)


def _select_subprotocol(
    protocol: ServerProtocol, offered: Sequence[Subprotocol]
) -> Subprotocol | None:
    return next((name for name in offered if name in SUBPROTOCOLS), None)


def _echo(protocol: ServerProtocol, frame: Frame) -> None:
    if frame.data == LEAVE.encode():
        protocol.send_close(4001, "as asked")
    elif frame.opcode is Opcode.TEXT:
        protocol.send_text(frame.data, frame.fin)
    elif frame.opcode is Opcode.BINARY:
        protocol.send_binary(frame.data, frame.fin)
    elif frame.opcode is Opcode.CONT:
        protocol.send_continuation(frame.data, frame.fin)
