"""Raw clients: HTTP/1 byte by byte, HTTP/2 over TLS."""

import socket
import ssl
from collections.abc import Sequence
from typing import Self

import h2.config
import h2.connection
import h2.errors
import h2.events

from tests.e2e.wire import PATIENCE_S, Answer, Field, Wire

HOST = b"desk.example"
"""What the tests' clients call the router."""

UNTRUSTED = "127.0.0.31"
"""The address of clients that are no trusted proxy."""


def build_request(
    target: bytes = b"/",
    *fields: Field,
    method: bytes = b"GET",
    body: bytes | None = None,
    version: bytes = b"HTTP/1.1",
    host: bytes | None = HOST,
) -> bytes:
    """A request's bytes.

    Args:
        target: The request target.
        fields: The header fields, behind Host.
        method: The method.
        body: Sent with a Content-Length when it is there.
        version: The HTTP version.
        host: The Host field's value; None for no such field.
    """
    all_fields = [(b"Host", host)] if host is not None else []
    all_fields += fields
    if body is not None:
        all_fields.append((b"Content-Length", b"%d" % len(body)))
    lines = [b"%b: %b\r\n" % field for field in all_fields]
    return b"%b %b %b\r\n%b\r\n%b" % (method, target, version, b"".join(lines), body or b"")


def build_chunks(*parts: bytes) -> bytes:
    """Content in chunks, with its end."""
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (*parts, b""))


class Client(Wire):
    """A connection to a router.

    Args:
        address: The router's.
        tls: How to speak TLS; None for plain TCP.
        source: The client's own address; None for any.
    """

    def __init__(
        self,
        address: tuple[str, int],
        *,
        tls: ssl.SSLContext | None = None,
        source: str | None = None,
    ) -> None:
        own = None if source is None else (source, 0)
        connection = socket.create_connection(address, PATIENCE_S, own)
        if tls is not None:
            try:
                connection = tls.wrap_socket(connection, server_hostname=HOST.decode())
            except OSError:
                connection.close()
                raise
        super().__init__(connection)

    def ask(self, request: bytes) -> Answer:
        """Send a request, and read its answer."""
        self.send(request)
        return self.read_answer(request.partition(b" ")[0])


class StreamRefused(Exception):
    """The router reset the stream, or ended the whole connection."""


class Http2Client:
    """An HTTP/2 connection over TLS. It sends whatever it is told to, well-formed or not.

    Args:
        address: The router's.
        tls: A context that offers h2.
    """

    def __init__(self, address: tuple[str, int], tls: ssl.SSLContext) -> None:
        connection = socket.create_connection(address, PATIENCE_S)
        try:
            self._socket = tls.wrap_socket(connection, server_hostname=HOST.decode())
        except OSError:
            connection.close()
            raise
        assert self._socket.selected_alpn_protocol() == "h2"
        config = h2.config.H2Configuration(
            header_encoding=None,
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
            validate_inbound_headers=False,
        )
        self._h2 = h2.connection.H2Connection(config)
        self._events: list[h2.events.Event] = []
        self._h2.initiate_connection()
        self._flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._socket.close()

    def start(
        self,
        target: bytes = b"/",
        *fields: Field,
        method: bytes = b"GET",
        authority: bytes | None = HOST,
        ends: bool = True,
    ) -> int:
        """Send a request's head.

        Args:
            target: The ``:path``.
            fields: The fields behind the pseudo-fields.
            method: The ``:method``.
            authority: The ``:authority``; None for none.
            ends: Whether the stream ends with it.

        Returns:
            The stream's number.
        """
        head = [(b":method", method), (b":scheme", b"https"), (b":path", target)]
        if authority is not None:
            head.append((b":authority", authority))
        return self.start_raw([*head, *fields], ends=ends)

    def start_raw(self, head: Sequence[Field], *, ends: bool = True) -> int:
        """Send a head that is written out."""
        stream = self._h2.get_next_available_stream_id()
        self._h2.send_headers(stream, head, end_stream=ends)
        self._flush()
        return stream

    def send(self, stream: int, data: bytes, *, ends: bool = False) -> None:
        """Send content."""
        while True:
            window = self._h2.local_flow_control_window(stream)
            size = min(window, self._h2.max_outbound_frame_size, len(data))
            if size < len(data) and not window:
                self._receive()
                continue
            part, data = data[:size], data[size:]
            self._h2.send_data(stream, part, end_stream=ends and not data)
            self._flush()
            if not data:
                return

    def reset(self, stream: int) -> None:
        """Give a stream up."""
        self._h2.reset_stream(stream, h2.errors.ErrorCodes.CANCEL)
        self._flush()

    def read_answer(self, stream: int) -> Answer:
        """The answer on a stream.

        Raises:
            StreamRefused: There is none: the stream was reset, or the connection ended.
        """
        fields: tuple[Field, ...] = ()
        body = b""
        seen = 0
        while True:
            while seen == len(self._events):
                self._receive()
            event = self._events[seen]
            seen += 1
            if isinstance(event, h2.events.ConnectionTerminated):
                raise StreamRefused(f"GOAWAY {event.error_code}")
            if getattr(event, "stream_id", None) != stream:
                continue
            if isinstance(event, h2.events.ResponseReceived):
                fields = tuple((bytes(name), bytes(value)) for name, value in event.headers or ())
            elif isinstance(event, h2.events.DataReceived):
                body += event.data or b""
            elif isinstance(event, h2.events.StreamReset):
                raise StreamRefused(f"RST_STREAM {event.error_code}")
            elif isinstance(event, h2.events.StreamEnded):
                status = dict(fields)[b":status"]
                return Answer(b"HTTP/2 " + status, fields, body, b"")

    def ask(
        self,
        target: bytes = b"/",
        *fields: Field,
        method: bytes = b"GET",
        authority: bytes | None = HOST,
        body: bytes | None = None,
    ) -> Answer:
        """Send a request, and read its answer."""
        stream = self.start(target, *fields, method=method, authority=authority, ends=body is None)
        if body is not None:
            self.send(stream, body, ends=True)
        return self.read_answer(stream)

    def _receive(self) -> None:
        data = self._socket.recv(65536)
        if not data:
            raise StreamRefused("the connection was closed")
        for event in self._h2.receive_data(data):
            self._events.append(event)
            if isinstance(event, h2.events.DataReceived) and event.flow_controlled_length:
                self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        self._flush()

    def _flush(self) -> None:
        self._socket.sendall(self._h2.data_to_send())
