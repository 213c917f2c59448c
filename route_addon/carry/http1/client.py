"""The client's side of an HTTP/1 connection: requests are read, answers are written, in turn."""

import logging
from typing import TYPE_CHECKING, Final

from mitmproxy import connection

from route_addon.carry.deadlines import NEVER, clock
from route_addon.carry.exchange import Exchange
from route_addon.carry.http1.content import ContentReader, content_reader
from route_addon.carry.http1.heads import RawRequest, RequestReader
from route_addon.carry.http1.writer import build_answer_head, build_chunk
from route_addon.carry.request_id import make_request_id
from route_addon.carry.splice import Sink
from route_addon.carry.tunnel import TunnelMaker
from route_addon.carry.upstreams.connection import UpstreamConnection
from route_addon.carry.wire import Wire
from route_addon.core.answers import SWITCHING_PROTOCOLS
from route_addon.core.errors import Draining, RouteError
from route_addon.core.framing import CHUNKED
from route_addon.core.messages import HTTP_10, HTTP_11, Fields, Peer, RequestHead
from route_addon.core.sender import RequestFields

if TYPE_CHECKING:
    from route_addon.carry.relay import Relay

logger = logging.getLogger(__name__)

_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_LAST_CHUNK: Final = b"0\r\n\r\n"
_LINGERING_TIME_S: Final = 30.0
_LINGERING_TIMEOUT_S: Final = 5.0
"""nginx's lingering_time and lingering_timeout: how long what nobody wants is still read, in all
and in silence. Closing at once would reset the connection under the answer."""
_READ_OVER_BYTES: Final = 64 * 1024
"""Up to this the content of a refused request does not cost its connection."""


class ClientHttp1:
    """One HTTP/1 connection of a client. Exchanges follow one another; pipelined ones wait.

    Args:
        relay: What all connections share.
        wire: The transport.
        peer: Who is at its other end.
    """

    def __init__(self, relay: "Relay", wire: Wire, peer: Peer) -> None:
        self._relay = relay
        self._wire = wire
        self._peer = peer
        self._reader = RequestReader(known=relay.known_lines)
        self._request: RawRequest | None = None
        self._exchange: Exchange | None = None
        self._content: ContentReader | None = None
        self._is_content_wanted = False
        self._unread = b""
        self._is_reading = False
        self._is_answer_chunked = False
        self._is_answer_endless = False
        self._is_closing = False
        self._has_ended = False
        self._lingers_until = NEVER
        self._stalled_bytes = 0
        self.deadline = clock() + relay.limits.head_s
        relay.deadlines.add(self)

    # From the wire.

    def receive(self, data: bytes) -> None:
        """Bytes have arrived."""
        self._unread = self._unread + data if self._unread else data
        if not self._is_reading:
            self._read()

    def receive_eof(self) -> None:
        """The client sends no more. Requests that are whole are still answered."""
        self._has_ended = True
        # What nobody has wanted yet may be all that is missing.
        if not self._unread and (self._exchange is None or self._content is not None):
            self._close()

    def lost(self) -> None:
        """The connection is gone."""
        self._relay.deadlines.discard(self)
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.client_lost()

    def pause_writing(self) -> None:
        """The client does not read fast enough."""
        self._stalled_bytes = self._wire.unsent_bytes
        self.deadline = clock() + self._relay.limits.send_s
        if self._exchange is not None:
            self._exchange.pause_answer()

    def resume_writing(self) -> None:
        """It does again."""
        self._stalled_bytes = 0
        if self._exchange is not None:
            self.deadline = NEVER
            self._exchange.resume_answer()
        elif not self._is_closing and self._lingers_until is NEVER:
            self._go_on()

    def fail(self) -> None:
        """A fault of our own: refuse what can be refused, and close."""
        exchange = self._exchange
        self._is_closing = True
        if exchange is not None and not exchange.is_over:
            exchange.fail()
        else:
            self._wire.abort()

    def expire(self, now: float) -> None:
        """The client has been silent, or deaf, for too long."""
        left = self._wire.unsent_bytes
        if self._stalled_bytes and left < self._stalled_bytes:
            self._stalled_bytes = left
            self.deadline = now + self._relay.limits.send_s
        elif self._stalled_bytes or left:
            self._wire.abort()
        else:
            self._wire.close()

    def drain(self) -> None:
        """Close, if nothing is under way: no request, no part of one, no rest of an answer."""
        is_busy = (
            self._exchange is not None
            or self._content is not None
            or self._reader.has_part
            or bool(self._unread)
            or self._lingers_until is not NEVER
        )
        if not is_busy and not self._wire.is_closing and not self._wire.has_unread:
            self._close()

    def leave(self) -> None:
        """Its time is up: refuse what has no answer yet, cut what has."""
        exchange = self._exchange
        if exchange is not None and not exchange.is_over:
            self._is_closing = True
            exchange.refuse(Draining())
        elif not self._wire.is_closing:
            self._close()

    # Reading.

    def _read(self) -> None:
        """Read what there is, as far as somebody wants it."""
        self._is_reading = True
        try:
            while self._unread and self._read_one():
                pass
        finally:
            self._is_reading = False
        if self._unread:
            self._wire.pause_reading()
        elif self._has_ended and (self._exchange is None or self._content is not None):
            # Nobody waits, or what is missing of the request will never come.
            self._close()

    def _read_one(self) -> bool:
        """Read one head, or one portion of content.

        Returns:
            Whether anything was read.
        """
        if self._content is not None:
            return self._read_content(self._content)
        if self._exchange is not None or self._stalled_bytes:
            # Who does not take its answers gets no more of them.
            return False
        data, self._unread = self._unread, b""
        if self._lingers_until is not NEVER:
            self._linger_on()
            return True
        try:
            read = self._reader.read(data)
        except RouteError as error:
            self._refuse_unread(error)
            return True
        if read is None:
            if self._request is not None:
                # The first part of another head: from here on its time counts.
                self._request = None
                self.deadline = clock() + self._relay.limits.head_s
            return True
        request, self._unread = read
        self._begin(request)
        return True

    def _begin(self, request: RawRequest) -> None:
        method, target, version, fields, length, keep_alive, _ = request
        head = RequestHead(
            method,
            target,
            version,
            None,
            fields,
            length,
            self._peer,
            make_request_id(),
            fields.memory if isinstance(fields, RequestFields) else None,
        )
        self._request = request
        self._is_closing = not keep_alive
        if length:
            self._content = content_reader(length)
            self._is_content_wanted = False
        self.deadline = NEVER
        self._exchange = exchange = self._relay.make_exchange(self, head)
        exchange.start()

    def _read_content(self, content: ContentReader) -> bool:
        exchange = self._exchange
        if exchange is not None and not self._is_content_wanted:
            return False
        data, self._unread = self._unread, b""
        try:
            pieces, rest = content.read(data)
        except RouteError as error:
            # Where it ends is not known any more: what still comes is read for nobody.
            self._content = None
            self._is_closing = True
            self._lingers_until = clock() + _LINGERING_TIME_S
            if exchange is not None:
                exchange.refuse(error)
            return True
        is_end = rest is not None
        if rest is not None:
            self._content = None
            self._unread = rest
        if exchange is not None:
            self.deadline = NEVER if is_end else clock() + self._relay.limits.body_s
            exchange.receive_content(pieces, is_end)
        elif is_end:
            self._end_exchange()
        else:
            self._linger_on()
        return True

    def _refuse_unread(self, error: RouteError) -> None:
        """A head that cannot be read: answer, and read no further."""
        self._is_closing = True
        head = RequestHead(b"GET", b"/", HTTP_11, None, (), 0, self._peer, make_request_id())
        self._request = RawRequest(b"GET", b"/", HTTP_11, [], 0, False, False)
        self._exchange = exchange = self._relay.make_exchange(self, head)
        self._unread = b""
        self._lingers_until = clock() + _LINGERING_TIME_S
        exchange.refuse(error)

    # For the exchange.

    def send_continue(self) -> None:
        request = self._request
        if request is not None and request.expects_continue and not self._unread:
            self._wire.write(_CONTINUE)

    def pause_content(self) -> None:
        self._is_content_wanted = False
        self.deadline = NEVER
        self._wire.pause_reading()

    def resume_content(self) -> None:
        self._is_content_wanted = True
        if self._content is not None:
            self.deadline = clock() + self._relay.limits.body_s
        self._wire.resume_reading()
        if self._unread and not self._is_reading:
            self._read()

    def send_head(
        self,
        status: int,
        reason: bytes | None,
        fields: Fields,
        length: int | None,
        pieces: list[bytes],
        is_end: bool,
    ) -> None:
        request = self._request
        assert request is not None
        is_http10 = request.version == HTTP_10
        self._is_closing = self._is_closing or self._relay.is_draining
        if length == CHUNKED and is_http10:
            length, self._is_closing = None, True
        self._is_answer_chunked = length == CHUNKED
        self._is_answer_endless = length is None and not is_end
        if self._content is not None and status >= 400 and is_end:
            # The rest of the content is read, but as far as another request only when it is
            # little, and sure to come.
            is_little = 0 < request.length <= _READ_OVER_BYTES and not request.expects_continue
            self._is_closing = self._is_closing or not is_little
        connection = b"close" if self._is_closing else b"keep-alive" if is_http10 else None
        head = build_answer_head(status, fields, length, connection, reason)
        if self._is_answer_chunked:
            pieces = [build_chunk(pieces), _LAST_CHUNK if is_end else b""]
        self._wire.write(b"".join((head, *pieces)) if pieces else head)

    def send_content(self, pieces: list[bytes], is_end: bool) -> None:
        if self._is_answer_chunked:
            pieces = [build_chunk(pieces), _LAST_CHUNK if is_end else b""]
        if pieces:
            self._wire.write(pieces[0] if len(pieces) == 1 else b"".join(pieces))

    def cut(self) -> None:
        self._exchange = None
        if self._is_answer_endless:
            # Its end would look like the answer's.
            self._wire.reset()
        else:
            self._close()

    def finish(self) -> None:
        if self._content is not None or self._lingers_until is not NEVER:
            self._linger()
        else:
            self._end_exchange()

    @property
    def sink(self) -> Sink | None:
        return self._wire

    @property
    def client(self) -> connection.Client:
        return self._wire.client

    def start_tunnel(
        self,
        fields: Fields,
        connection: UpstreamConnection,
        data: bytes,
        make_tunnel: TunnelMaker,
    ) -> None:
        relay = self._relay
        self._exchange = None
        relay.deadlines.discard(self)
        self._wire.write(build_answer_head(SWITCHING_PROTOCOLS, fields, None))
        transport = connection.detach()
        tunnel = make_tunnel(self._wire, transport, relay.deadlines, relay.limits.websocket_s)
        tunnel.start(data)
        unread, self._unread = self._unread, b""
        if unread:
            # Frames that came right behind the handshake.
            tunnel.receive_from_client(unread)
        if self._has_ended:
            tunnel.end_client()
        self._wire.resume_reading()

    # After an exchange.

    def _end_exchange(self) -> None:
        """The request and its answer are whole."""
        self._exchange = None
        self._lingers_until = NEVER
        if self._is_closing and self._unread:
            self._linger()
        elif self._is_closing:
            self._close()
        elif not self._stalled_bytes:
            self._go_on()

    def _go_on(self) -> None:
        """Wait for the next request, or read the one that has come already."""
        self.deadline = clock() + self._relay.limits.keepalive_s
        if not self._is_reading:
            self._wire.resume_reading()
            if self._unread or self._has_ended:
                self._read()

    def _close(self) -> None:
        """Close, once all is sent; a client that does not take it has some time."""
        self._is_closing = True
        self.deadline = clock() + self._relay.limits.send_s
        self._stalled_bytes = self._wire.unsent_bytes
        self._wire.close()

    def _linger(self) -> None:
        """The answer is whole, the request is not: read on for a while, and throw it away."""
        self._exchange = None
        self._lingers_until = clock() + _LINGERING_TIME_S
        self._linger_on()
        if self._is_closing:
            self._wire.write_eof()
        self._wire.resume_reading()
        if self._unread and not self._is_reading:
            self._read()

    def _linger_on(self) -> None:
        """Wait a little longer."""
        self.deadline = min(self._lingers_until, clock() + _LINGERING_TIMEOUT_S)
