"""The client's side of an HTTP/2 connection, over hyper-h2: one exchange for each stream.

What hyper-h2 does not know is here: which fault is one stream's and which the connection's, how
much of what a client may do, and when to let go of it. Nothing here makes a task, and what
happens in one turn of the loop is written once.
"""

import logging
from typing import TYPE_CHECKING, Final

from h2.errors import ErrorCodes
from h2.events import (
    DataReceived,
    Event,
    RemoteSettingsChanged,
    RequestReceived,
    StreamReset,
    TrailersReceived,
    WindowUpdated,
)
from h2.exceptions import ProtocolError
from mitmproxy import connection

from route_addon.carry.deadlines import NEVER, clock
from route_addon.carry.faults import describe_fault
from route_addon.carry.http2.frames import ConnectionFault, Frame, FrameReader, Kind
from route_addon.carry.http2.outlet import Outlet
from route_addon.carry.http2.patience import Patience
from route_addon.carry.http2.session import MAX_STREAMS, Session
from route_addon.carry.http2.stream import Http2Stream
from route_addon.carry.wire import Wire
from route_addon.core.messages import Peer

if TYPE_CHECKING:
    from route_addon.carry.relay import Relay

logger = logging.getLogger(__name__)

_MAX_UNREAD_BYTES: Final = 256 * 1024
"""Past this a client that does not read is not read from either: its requests make answers."""


class ClientHttp2:
    """One HTTP/2 connection of a client.

    Args:
        relay: What all connections share.
        wire: The transport.
        peer: Who is at its other end.
    """

    def __init__(self, relay: "Relay", wire: Wire, peer: Peer) -> None:
        self.relay = relay
        self.peer = peer
        self._wire = wire
        self.patience = Patience(clock)
        self._reader = FrameReader()
        self._session = Session()
        self.outlet = Outlet(self._session, self.patience, self._flush, self.fail)
        self._streams: dict[int, Http2Stream] = {}
        self._arrived: dict[int, Http2Stream] = {}
        """Streams whose content has come in this turn."""
        self._is_closing = False
        """Whether no new streams are taken, and the connection closes with the last."""
        self._is_head_due = False
        self._has_more_room = False
        """Whether the client has opened a window in this turn."""
        self._stalled_bytes = 0
        self.deadline = clock() + relay.limits.head_s
        relay.deadlines.add(self)
        self.outlet.touch()

    @property
    def client(self) -> connection.Client:
        """The connection as mitmproxy describes it, for who watches."""
        return self._wire.client

    # From the wire.

    def receive(self, data: bytes) -> None:
        """Bytes have arrived."""
        if self._session.is_over:
            return
        self.outlet.is_held = True
        try:
            for frame in self._reader.read(data):
                self._take(frame)
            self._use_room()
            self._deliver()
        except ConnectionFault as fault:
            self._die(fault.code, fault.detail)
        except ProtocolError as error:
            self._die(None, type(error).__name__)
        finally:
            self.outlet.is_held = False
        self._flush()
        if not self._session.is_over:
            self._watch_head()
            if self.outlet.is_paused and self._wire.buffered_bytes > _MAX_UNREAD_BYTES:
                self._wire.pause_reading()

    def receive_eof(self) -> None:
        """The client sends no more. Requests that are whole are still answered."""
        self._is_closing = True
        for stream in list(self._streams.values()):
            if not stream.is_whole:
                self._lose(stream)
        self._flush()

    def lost(self) -> None:
        """The connection is gone."""
        self._session.is_over = True
        self.relay.deadlines.discard(self)
        for stream in list(self._streams.values()):
            self._lose(stream)

    def pause_writing(self) -> None:
        """The client does not read fast enough."""
        self.outlet.is_paused = True
        self._stalled_bytes = self._wire.buffered_bytes
        self.deadline = self.in_s(self.relay.limits.send_s)
        for stream in list(self._streams.values()):
            stream.pause_answer()

    def resume_writing(self) -> None:
        """It does again."""
        self.outlet.is_paused = False
        self._stalled_bytes = 0
        if self._session.is_over:
            return
        self._wire.resume_reading()
        self._settle_deadline()
        self.outlet.pump_all()
        for stream in list(self._streams.values()):
            if self.outlet.is_paused:
                break
            stream.resume_answer()

    def fail(self) -> None:
        """A fault of our own: end the connection. What was asked for goes nowhere."""
        self._die(ErrorCodes.INTERNAL_ERROR, "a fault of ours")

    def expire(self, now: float) -> None:
        """The client has been silent, or deaf, for too long."""
        left = self._wire.buffered_bytes
        if self._stalled_bytes and left < self._stalled_bytes:
            self._stalled_bytes = left
            self.deadline = self.in_s(self.relay.limits.send_s)
        elif self._session.is_over or left:
            self._wire.abort()
        else:
            self._die(ErrorCodes.NO_ERROR, "")

    def drain(self) -> None:
        """Take no more streams, and close with the last."""
        self._go_away(self._session.last_number)

    def leave(self) -> None:
        """Its time is up."""
        self._die(ErrorCodes.NO_ERROR, "")

    # Frames.

    def _take(self, frame: Frame) -> None:
        """Take one frame in, if it may come at all.

        Raises:
            ConnectionFault: The client has done too much of something.
            ProtocolError: A fault of the connection.
        """
        self.patience.count_frame(frame)
        if frame.kind == Kind.HEADERS and self._session.receive_known(frame):
            self._begin(frame.stream, is_whole=True)
        elif frame.kind == Kind.GOAWAY:
            # It promises to ask for nothing more; hyper-h2 would send no more answers.
            self._is_closing = True
        elif frame.kind <= Kind.CONTINUATION:  # RFC 9113 5.5: an unknown type is ignored
            for event in self._session.receive(frame):
                self._react(event)
        if self.patience.is_lost:
            raise ConnectionFault(ErrorCodes.ENHANCE_YOUR_CALM, "too much for nothing")

    def _react(self, event: Event) -> None:
        if isinstance(event, RequestReceived):
            self._begin(event.stream_id or 0, is_whole=event.stream_ended is not None)
        elif isinstance(event, RemoteSettingsChanged | WindowUpdated):
            self._has_more_room = True
        elif isinstance(event, DataReceived | TrailersReceived | StreamReset):
            stream = self._streams.get(event.stream_id or 0)
            if stream is not None:
                self._react_on_stream(stream, event)

    def _react_on_stream(
        self, stream: Http2Stream, event: DataReceived | TrailersReceived | StreamReset
    ) -> None:
        if isinstance(event, StreamReset):
            if stream.is_under_way:
                self.patience.count_reset()
            self._lose(stream)
            return
        try:
            if isinstance(event, DataReceived):
                data, credit_bytes = event.data or b"", event.flow_controlled_length or 0
                stream.receive(data, credit_bytes, is_end=event.stream_ended is not None)
            else:
                stream.receive_trailers(self._session.section.fields)
        except Exception as fault:
            stream.fail(fault)
        else:
            self._arrived[stream.number] = stream

    def _begin(self, number: int, *, is_whole: bool) -> None:
        """A request has come."""
        if self._is_closing or len(self._streams) >= MAX_STREAMS:
            # The client may send it again (RFC 9113 8.7).
            self.patience.count_nothing()
            self._session.reset(number, ErrorCodes.REFUSED_STREAM, is_whole=is_whole)
            return
        self.patience.count_request()
        stream = self._streams[number] = Http2Stream(self, number, is_whole=is_whole)
        if not self._stalled_bytes:
            self.deadline = NEVER
        if self.relay.is_draining:
            self._go_away(number)
        try:
            stream.start(self._session.section)
        except Exception as fault:
            stream.fail(fault)

    def _use_room(self) -> None:
        """Send on, once all windows are open that were to be: in small steps frames get small."""
        if self._has_more_room:
            self._has_more_room = False
            self.outlet.pump_all()

    def _deliver(self) -> None:
        """Give the content on that has come in this turn, each stream's in one go."""
        while self._arrived:
            _, stream = self._arrived.popitem()
            stream.deliver()

    # For the streams.

    def in_s(self, wait_s: float) -> float:
        """That many seconds from now, in the loop's time."""
        return clock() + wait_s

    def acknowledge(self, stream: Http2Stream, credit_bytes: int) -> None:
        """Content was taken: let the client send as much again."""
        self._session.acknowledge(stream.number, credit_bytes)
        self.outlet.touch()

    def reset(self, stream: Http2Stream, code: ErrorCodes) -> None:
        """End a stream before its end."""
        self._session.reset(stream.number, code, is_whole=stream.is_whole)
        self.outlet.touch()

    def forget(self, stream: Http2Stream, credit_bytes: int) -> None:
        """A stream is over; what came on it and was not taken makes room for others."""
        number = stream.number
        self._streams.pop(number, None)
        self.outlet.forget(number)
        self._arrived.pop(number, None)
        if credit_bytes:
            self.acknowledge(stream, credit_bytes)
        if self.relay.is_draining:
            self._go_away(self._session.last_number)
        if not self._streams:
            if not self._stalled_bytes and not self._session.is_over:
                self._settle_deadline()
            self.outlet.touch()

    # Writing.

    def _flush(self) -> None:
        """Write what has been gathered."""
        data = self._session.take()
        if data and not self._wire.is_closing:
            self._wire.write(data)
        if self._is_closing and not self._streams and not self._session.is_over:
            self._close()

    # The end.

    def _go_away(self, last_number: int) -> None:
        """Take no more streams than up to this one, and close when they have ended."""
        if not self._is_closing:
            self._is_closing = True
            self._session.go_away(last_number)
            self.outlet.touch()

    def _die(self, code: ErrorCodes | None, reason: str) -> None:
        """End the connection, and all that is on it.

        Args:
            code: What to tell the client; None when hyper-h2 has done so.
            reason: For the log; nothing for an end that is nobody's fault.
        """
        if self._session.is_over:
            return
        self._session.is_over = True
        if reason:
            logger.info("closed: HTTP/2, %s", reason)
        if code is not None:
            self._session.go_away(self._session.last_number, code)
        for stream in list(self._streams.values()):
            self._lose(stream)
        self._flush()
        self._close()

    def _close(self) -> None:
        """Close, once all is sent; a client that does not take it has some time."""
        self._session.is_over = True
        self.deadline = self.in_s(self.relay.limits.send_s)
        self._wire.close()

    def _lose(self, stream: Http2Stream) -> None:
        try:
            stream.lost()
        except Exception as fault:
            logger.error("a stream failed: %s", describe_fault(fault))

    # Deadlines.

    def _settle_deadline(self) -> None:
        """Streams have their own; without any the next request is waited for."""
        limit_s = self.relay.limits.keepalive_s
        self.deadline = NEVER if self._streams else clock() + limit_s

    def _watch_head(self) -> None:
        """A field section whose end does not come stops all streams: its time counts."""
        is_due = self._reader.is_in_block
        if is_due == self._is_head_due or self._stalled_bytes:
            return
        self._is_head_due = is_due
        if is_due:
            self.deadline = self.in_s(self.relay.limits.head_s)
        else:
            self._settle_deadline()
