"""One stream of an HTTP/2 client: a request's content, and the answer to it.

Content is held until the exchange wants it; the client's window is opened again only by what has
been taken. Of an answer, what the client's window leaves no room for waits here, a block at most,
and the upstream with it. A stream that waits for its client has a deadline; one that waits for
nothing is not looked at.
"""

import logging
from collections import deque
from typing import TYPE_CHECKING, Final

from h2.errors import ErrorCodes
from mitmproxy import connection

from route_addon.carry.deadlines import NEVER
from route_addon.carry.exchange import Exchange
from route_addon.carry.faults import describe_fault
from route_addon.carry.http2.content import Intake
from route_addon.carry.http2.fields import build_block
from route_addon.carry.http2.request import blank_head, check_trailers, read_section
from route_addon.carry.http2.sections import Section
from route_addon.carry.tunnel import TunnelMaker
from route_addon.carry.upstreams.connection import UpstreamConnection
from route_addon.core.errors import RequestTimeout, RouteError
from route_addon.core.messages import Fields

if TYPE_CHECKING:
    from route_addon.carry.http2.client import ClientHttp2

logger = logging.getLogger(__name__)

_MIN_PROGRESS_BYTES: Final = 1024
"""What a client must let through of an answer that waits, each ``send_s``: a window that is opened
by a byte at a time is no progress."""
_LINGERING_S: Final = 0.1
"""How long an answer stands before the reset that follows it: curl (7.88) would else see only
that, when both come in one piece."""
_CONTINUE: Final = build_block(100, (), None)


class Http2Stream:
    """One stream.

    Args:
        client: The connection.
        number: The stream's identifier.
        is_whole: Whether the request is whole with its fields.
    """

    # What most streams never change stands in the class: to make one costs less.

    deadline = NEVER
    sent_bytes = 0
    """Since the client was last seen to be slow."""
    is_answer_whole = False
    """Whether nothing follows what waits."""
    _is_timed = False
    _exchange: Exchange | None = None
    _expects_continue = False
    _is_start_due = False
    _is_wanted = False
    _is_delivering = False
    _is_refused = False
    """Whether the content was not what it should be."""
    _body_due = NEVER
    _send_due = NEVER
    _has_paused = False
    _is_answering = False
    _is_gone = False

    def __init__(self, client: "ClientHttp2", number: int, *, is_whole: bool) -> None:
        self.number = number
        self.unsent: deque[memoryview] = deque()
        """What the client leaves no room for."""
        self._client = client
        self._limits = client.relay.limits
        self._intake = Intake(is_whole=is_whole)

    @property
    def is_whole(self) -> bool:
        """Whether the client has ended the stream."""
        return self._intake.is_whole

    @property
    def is_under_way(self) -> bool:
        """Whether there is an exchange whose answer has not ended."""
        return self._exchange is not None

    # From the connection.

    def start(self, section: Section) -> None:
        """The request's fields have arrived."""
        relay, peer, is_whole = self._client.relay, self._client.peer, self._intake.is_whole
        try:
            head, self._expects_continue = read_section(section, peer, is_whole=is_whole)
        except RouteError as error:
            self._exchange = relay.make_exchange(self, blank_head(section.fields, peer))
            self._refuse(error)
            return
        self._intake.expect(head.length)
        self._exchange = exchange = relay.make_exchange(self, head)
        if head.length or is_whole:
            exchange.start()
        else:
            # "Content-Length: 0", and the stream goes on: it may not be true.
            self._is_start_due = self._is_wanted = True
            self._wait_for_body()

    def receive(self, data: bytes, credit_bytes: int, *, is_end: bool) -> None:
        """Content has arrived (see ``Intake.add``); ``deliver`` gives it on."""
        if self._exchange is None or self._is_refused:
            self._intake.waste(credit_bytes, is_end=is_end)
            self.settle()
            return
        try:
            self._intake.add(data, credit_bytes, is_end=is_end)
        except RouteError as error:
            self._client.patience.count_reset()
            self._refuse(error)
            return
        if self._is_wanted:
            self._wait_for_body()

    def receive_trailers(self, fields: Fields) -> None:
        """The stream has ended with trailers, which go nowhere."""
        try:
            check_trailers(fields)
        except RouteError as error:
            self._intake.waste(0, is_end=True)
            self._refuse(error)
        else:
            self.receive(b"", 0, is_end=True)

    def deliver(self) -> None:
        """Give content on, as far as somebody wants it. A fault of ours is this stream's only."""
        if self._is_delivering:
            return
        self._is_delivering = True
        try:
            while self._is_wanted and self._exchange is not None and self._intake.is_ready:
                is_end = self._intake.is_whole
                if is_end:
                    self._is_wanted = False
                    self._wait_for_body()
                if self._is_start_due:
                    self._exchange.start()
                    break
                pieces, credit_bytes = self._intake.take()
                if credit_bytes:
                    self._client.acknowledge(self, credit_bytes)
                self._exchange.receive_content(pieces, is_end)
        except Exception as fault:
            self.fail(fault)
        finally:
            self._is_delivering = False

    def lost(self) -> None:
        """The stream is gone: reset, or with its connection."""
        exchange, self._exchange = self._exchange, None
        self._forget()
        if exchange is not None and not exchange.is_over:
            exchange.client_lost()

    def fail(self, fault: Exception) -> None:
        """A fault of our own: nothing goes on to anybody."""
        logger.error("a stream failed: %s", describe_fault(fault))
        exchange = self._exchange
        try:
            if exchange is not None and not exchange.is_over:
                exchange.fail()
                return
        except Exception as second:
            logger.error("and could not be refused: %s", describe_fault(second))
        self._reset(ErrorCodes.INTERNAL_ERROR)
        self.lost()

    def expire(self, now: float) -> None:
        """The client sends nothing, or takes nothing."""
        try:
            if self._send_due <= now:
                self._check_progress(now)
            if self._body_due <= now:
                self._give_up()
        except Exception as fault:
            self.fail(fault)
        self.deadline = min(self._body_due, self._send_due)

    def pause_answer(self) -> None:
        """The client does not read what is written."""
        if self._is_answering and self._exchange is not None:
            self._has_paused = True
            self._exchange.pause_answer()

    def resume_answer(self) -> None:
        """It reads again."""
        if self.unsent:
            self._client.outlet.pump(self)
        elif self._has_paused:
            self._has_paused = False
            if self._exchange is not None:
                self._exchange.resume_answer()

    # For the exchange.

    @property
    def sink(self) -> None:
        return None

    @property
    def client(self) -> connection.Client:
        return self._client.client

    def send_continue(self) -> None:
        if self._expects_continue and not self._intake.has_begun and not self._is_gone:
            self._client.outlet.send_fields(self.number, _CONTINUE, is_interim=True)

    def pause_content(self) -> None:
        self._is_wanted = False
        self._wait_for_body()

    def resume_content(self) -> None:
        if not self._is_refused:
            self._is_wanted = True
            self._wait_for_body()
            self.deliver()

    def send_head(
        self,
        status: int,
        reason: bytes | None,
        fields: Fields,
        length: int | None,
        pieces: list[bytes],
        is_end: bool,
    ) -> None:
        if self._is_gone:
            return
        self._is_answering = True
        is_all = is_end and not pieces
        block = build_block(status, fields, length)
        self._client.outlet.send_fields(self.number, block, is_end=is_all)
        if is_all:
            self.is_answer_whole = True
        elif pieces:
            self._send(pieces, is_end)

    def send_content(self, pieces: list[bytes], is_end: bool) -> None:
        if not self._is_gone:
            self._send(pieces, is_end)

    def cut(self) -> None:
        self._exchange = None
        self._reset(ErrorCodes.INTERNAL_ERROR)
        self._forget()

    def finish(self) -> None:
        self._exchange = None
        self._is_wanted = False
        self._set_due(NEVER, self._send_due)
        self.settle()

    def start_tunnel(
        self,
        fields: Fields,
        connection: UpstreamConnection,
        data: bytes,
        make_tunnel: TunnelMaker,
    ) -> None:
        """Never: extended CONNECT (RFC 8441) is not offered, so no handshake is let through."""
        connection.abandon()
        self.cut()

    # The answer.

    def _send(self, pieces: list[bytes], is_end: bool) -> None:
        self.is_answer_whole = is_end
        if pieces:
            self.unsent.append(memoryview(pieces[0] if len(pieces) == 1 else b"".join(pieces)))
        elif is_end and not self.unsent:
            self._client.outlet.send_end(self.number)
            return
        self._client.outlet.pump(self)
        if self.unsent:
            if self._send_due is NEVER:
                self.sent_bytes = 0
                self._set_due(self._body_due, self._client.in_s(self._limits.send_s))
            self._has_paused = True
            if self._exchange is not None:
                self._exchange.pause_answer()

    def settle(self) -> None:
        """All that there was has been sent, or the exchange is over: see what comes next."""
        if self.unsent:
            return
        if self._send_due is not NEVER:
            self._set_due(self._body_due, NEVER)
        if self._exchange is None:
            self._end()
        elif self._has_paused and not self._client.outlet.is_paused:
            self._has_paused = False
            self._exchange.resume_answer()

    def _check_progress(self, now: float) -> None:
        if self.sent_bytes >= _MIN_PROGRESS_BYTES:
            self.sent_bytes = 0
            self._send_due = self._client.in_s(self._limits.send_s)
        else:
            logger.info("cut: a client that does not take its answer")
            self._reset(ErrorCodes.CANCEL)
            self.lost()

    # The end.

    def _refuse(self, error: RouteError) -> None:
        """The request is not what it should be."""
        self._is_refused = True
        self._is_wanted = False
        self._wait_for_body()
        if self._exchange is not None:
            self._exchange.refuse(error)

    def _end(self) -> None:
        """The answer has been sent. What is missing of the request is for nobody."""
        if not self.is_answer_whole:
            self._reset(ErrorCodes.INTERNAL_ERROR)
        elif not self._intake.is_whole:
            if self._body_due is NEVER and not self._is_gone:
                self._set_due(self._client.in_s(_LINGERING_S), NEVER)
            return
        self._forget()

    def _give_up(self) -> None:
        """The request's content does not come, or not soon enough to be thrown away."""
        if self._exchange is None:
            # RFC 9113 8.1: the answer counts, and the client need not send the rest.
            self._reset(ErrorCodes.NO_ERROR)
            self._forget()
        else:
            self._refuse(RequestTimeout("content"))

    def _reset(self, code: ErrorCodes) -> None:
        if not self._is_gone:
            self._client.reset(self, code)

    def _forget(self) -> None:
        if self._is_gone:
            return
        self._is_gone = True
        self.unsent.clear()
        self._set_due(NEVER, NEVER)
        self._client.forget(self, self._intake.take().credit_bytes)

    # Deadlines.

    def _wait_for_body(self) -> None:
        if self._is_wanted and not self._intake.is_whole:
            self._set_due(self._client.in_s(self._limits.body_s), self._send_due)
        elif self._body_due is not NEVER:
            self._set_due(NEVER, self._send_due)

    def _set_due(self, body_due: float, send_due: float) -> None:
        if not self._is_timed and body_due is NEVER and send_due is NEVER:
            return
        self._body_due, self._send_due = body_due, send_due
        self.deadline = min(body_due, send_due)
        if (self.deadline is not NEVER) != self._is_timed:
            self._is_timed = not self._is_timed
            deadlines = self._client.relay.deadlines
            (deadlines.add if self._is_timed else deadlines.discard)(self)
