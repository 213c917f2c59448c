"""One request and its answer: decided, its content collected or streamed, sent, answered.

An exchange stands between the client's side, which knows how messages are framed there
(``ClientStream``), and one connection to an upstream. It is all callbacks: between the first
byte of a request and the last of its answer no task is made, unless something has to be waited
for that is not one of the two connections.
"""

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from route_addon.carry.account import Account
from route_addon.carry.cache.caching import Caching
from route_addon.carry.client_stream import ClientStream, Nobody
from route_addon.carry.compress import Encoder, encode_pieces, make_encoder
from route_addon.carry.faults import describe_fault
from route_addon.carry.http1.heads import RawAnswer
from route_addon.carry.http1.writer import build_request_head
from route_addon.carry.request_content import RequestContent
from route_addon.carry.tls.challenge import read_challenge
from route_addon.carry.tunnel import Tunnel, TunnelMaker, make_and_tell
from route_addon.carry.upstreams.approach import Approach
from route_addon.carry.upstreams.connection import UpstreamConnection
from route_addon.core.answers import (
    BODILESS_STATUS,
    SWITCHING_PROTOCOLS,
    answer_fields,
)
from route_addon.core.attempts import IDEMPOTENT
from route_addon.core.encodings import encode_head
from route_addon.core.errors import BadAnswer, InternalError, RouteError
from route_addon.core.framing import CHUNKED, UNTIL_END
from route_addon.core.httpcache import Asked, Use
from route_addon.core.messages import (
    Decision,
    Fields,
    Forward,
    RequestHead,
    Respond,
    Verify,
)
from route_addon.core.observer import Observer
from route_addon.core.router import Verdict

if TYPE_CHECKING:
    from route_addon.carry.relay import Relay

logger = logging.getLogger(__name__)


class Exchange:
    """One request and its answer.

    Args:
        relay: What all exchanges share.
        stream: The client's side.
        head: The request's head.
        observer: Told what becomes of it.
    """

    # What most exchanges never change stands in the class: to make one costs less.

    forward: Forward | None = None
    approach: Approach | None = None
    """The way to the upstream, once that is wanted."""
    connection: UpstreamConnection | None = None
    """The connection to it, as long as it is this exchange's."""
    is_over = False
    _now = 0.0
    _content: RequestContent | None = None
    """The request's; None where it has none, or nobody wants it any more."""
    _received_bytes = 0
    """What came of it, and was wanted."""
    _caching: Caching | None = None
    _encoder: Encoder | None = None
    _is_answer_begun = False
    _is_client_slow = False
    _account: Account | None = None

    def __init__(
        self,
        relay: "Relay",
        stream: ClientStream,
        head: RequestHead,
        observer: Observer | None = None,
    ) -> None:
        self.head = head
        self._relay = relay
        self._stream = stream
        self._router = relay.router
        if head.length:
            self._content = RequestContent(self, stream, head.length)
        if observer is not None:
            self._account = Account(observer, head)

    # Deciding.

    def start(self) -> None:
        """Decide, and go on from there. Content is held until somebody wants it."""
        self._now = time.time()
        self._decide()

    def _decide(self, verdict: Verdict | None = None) -> None:
        decision = self._router.decide(self.head, self._now, verdict)
        if self._account is not None:
            self._account.decide(decision, verdict is not None)
        self._act(decision)

    def _act(self, decision: Decision) -> None:
        if isinstance(decision, Forward):
            self.forward = decision
            self._admit(decision)
        elif isinstance(decision, Respond):
            self.respond(decision)
        elif isinstance(decision, Verify):
            try:
                self._relay.verifier.verify(
                    self._router,
                    decision.token,
                    self._now,
                    self.guarded(self._receive_verdict),
                    decision.client,
                )
            except RouteError as error:
                self.refuse(error)
        else:
            self.respond(read_challenge(decision))

    def _receive_verdict(self, verdict: Verdict) -> None:
        self._now = time.time()
        self._decide(verdict)

    def _admit(self, forward: Forward) -> None:
        """The request may pass: see to its content."""
        content, location = self._content, forward.location
        if content is None or content.length == 0:
            self.connect()
            return
        content.allow(location.body_limit_bytes)
        if location.body == "collect":
            content.collect(self._relay.spools.open())
        else:
            self.connect()

    # Answering here.

    def refuse(self, error: RouteError) -> None:
        """Answer with an error, if no answer has begun; else cut it."""
        if self.is_over:
            return
        location = self.forward.location if self.forward is not None else None
        if self._is_answer_begun:
            logger.info("cut: %s at %s", error, location.location if location else "no location")
            self._cut(error)
            return
        self.respond(self._router.refuse(self.head, error, location))

    def respond(self, answer: Respond) -> None:
        """Send an answer of our own."""
        self._drop()
        self._is_answer_begun = True
        if answer.error is not None:
            self._relay.report_refusal(answer)
        length = len(answer.body) if answer.status != 204 else None
        pieces = [answer.body] if answer.body and self.head.method != b"HEAD" else []
        if self._account is not None:
            self._account.respond(answer, pieces)
        self._stream.send_head(answer.status, None, answer.fields, length, pieces, True)
        self._finish()

    def _cut(self, error: RouteError) -> None:
        """End it where it is: no answer is begun, or finished."""
        self._drop()
        self.is_over = True
        if self._account is not None:
            self._account.cut(error, self._received_bytes)
        self._stream.cut()

    def fail(self) -> None:
        """A fault of our own: nothing goes on to anybody."""
        if self.is_over:
            return
        try:
            self.refuse(InternalError())
        except Exception as fault:
            logger.error("a refusal failed: %s", describe_fault(fault))
            self.is_over = True
            self._stream.cut()
            self._drop()
            if self._account is not None:
                self._account.cut(InternalError(), self._received_bytes)

    # The request's content, from the client.

    def receive_content(self, pieces: list[bytes], is_end: bool) -> None:
        """Content has arrived.

        Args:
            pieces: In order; none of them empty.
            is_end: Whether the request is whole with them.
        """
        if self._content is not None:
            self._content.receive(pieces, is_end)

    def pause_content(self) -> None:
        """The upstream does not read fast enough."""
        if self._content is not None:
            self._content.pause()

    def resume_content(self) -> None:
        """It does again."""
        if self._content is not None:
            self._content.resume()

    @property
    def may_be_repeated(self) -> bool:
        """Whether the request may have to be sent again, as a whole."""
        return self.approach is not None and self.approach.may_be_repeated

    # To the upstream.

    def connect(self) -> None:
        """All of the request is there that will be waited for: get its answer."""
        forward, cache = self.forward, self._relay.cache
        assert forward is not None
        if cache.locations and forward.location.location in cache.locations:
            self._caching = cache.open(forward, self.head.length)
            if self._caching is not None:
                self._look()
                return
        self._begin_approach(forward)

    def _look(self) -> None:
        """Answer from the store, or ask the upstream what the store lacks."""
        caching, forward = self._caching, self.forward
        assert caching is not None and forward is not None
        try:
            found = caching.look(self.guarded(self._look))
        except RouteError as error:
            self.refuse(error)
            return
        if isinstance(found, Use):
            self._serve(found)
        elif found is not None:
            self._begin_approach(_ask(forward, found))

    def begin_refresh(self, forward: Forward, caching: Caching, asked: Asked) -> None:
        """Ask the upstream for what the store has become stale of, and for nobody.

        Args:
            forward: The decision.
            caching: Its dealings with the cache.
            asked: What to ask.
        """
        self.forward = forward
        self._caching = caching
        self._begin_approach(_ask(forward, asked))

    def _begin_approach(self, forward: Forward) -> None:
        self.approach = Approach(self._relay, self, forward, self._is_repeatable)
        self.approach.begin()

    @property
    def _is_repeatable(self) -> bool:
        return self.head.length == 0 and self.head.method in IDEMPOTENT

    @property
    def _is_content_kept(self) -> bool:
        """Whether the request's content could be sent again."""
        return self.head.length == 0 or (self._content is not None and self._content.is_kept)

    def use(self, connection: UpstreamConnection, forward: Forward) -> None:
        """Send the request, or its head when its content streams."""
        self.forward = forward
        self.connection = connection
        if self._account is not None:
            self._account.use(forward)
        connection.begin(self, forward.method, forward.location.answer_within_s)
        content = self._content
        length = 0 if content is None else content.length
        head = build_request_head(
            forward.method, forward.path, forward.host, forward.fields, length
        )
        if content is None or length == 0:
            connection.write_last(head)
        else:
            content.send(connection, head)

    def lack(self, error: RouteError) -> None:
        """No connection is to be had."""
        self._go_on_after(error, is_sent=False)

    def _go_on_after(self, error: RouteError, *, is_sent: bool) -> None:
        """The upstream has failed: is there another server, or a stored answer, to go on with?"""
        approach, caching = self.approach, self._caching
        if not self._is_answer_begun:
            if approach is not None and approach.may_go_on(
                error, is_sent=is_sent, is_body_kept=self._is_content_kept
            ):
                approach.go_on()
                return
            found = caching.stand_in() if caching is not None else None
            if found is not None:
                self._serve(found)
                return
        self.refuse(error)

    # The answer, from the upstream.

    def receive_answer(self, answer: RawAnswer, pieces: list[bytes], is_end: bool) -> None:
        """The answer's head has arrived."""
        forward, approach = self.forward, self.approach
        assert forward is not None and approach is not None
        _, status, reason, fields, content, declared, _, plain = answer
        if is_end and status != SWITCHING_PROTOCOLS:
            self.connection = None
        if approach.is_in_pool and approach.judge(status, is_body_kept=self._is_content_kept):
            self._abandon_connection()
            approach.go_on()
            return
        if status == SWITCHING_PROTOCOLS:
            self._switch(forward, answer, pieces)
            return
        if self.head.method == b"HEAD" or status in BODILESS_STATUS:
            length = declared if status != 204 else None
        else:
            length = CHUNKED if content == UNTIL_END else content
        sent: Fields = fields
        encoded = encode_head(self._relay.encoding, self.head, forward, status, fields, length)
        if encoded is not None:
            sent = encoded.fields
            if encoded.coding is not None:
                declared = None
                length, pieces = self._encode(encoded.coding, pieces, is_end)
        caching = self._caching
        if caching is not None:
            found = caching.judge(answer, sent, declared)
            if isinstance(found, Use):
                self._abandon_connection()
                self._serve(found)
                return
            sent = [*sent, (b"Cache-Status", found)]
            caching.receive_content(pieces, is_end)
        if plain is not None and sent is fields:
            sent = plain.secure(forward.hsts) if forward.hsts else plain
        else:
            sent = answer_fields(status, sent, forward)
        self._send_answer(status, reason, sent, length, pieces, is_end)
        if not is_end:
            self._splice_rest()

    def _encode(
        self, coding: str, pieces: list[bytes], is_end: bool
    ) -> tuple[int | None, list[bytes]]:
        """Compress the answer's content from here on: its length now, and what there is of it."""
        if self.head.method == b"HEAD":
            return None, pieces
        self._encoder = make_encoder(coding)
        return CHUNKED, encode_pieces(self._encoder, pieces, is_end=is_end)

    def _serve(self, found: Use) -> None:
        """Answer from the store."""
        forward, caching, part = self.forward, self._caching, found.part
        assert forward is not None and caching is not None
        # No server is needed any more, and others may wait for it.
        self._close_approach()
        if found.refresh is not None:
            self._refresh(forward, caching, found.refresh)
        fields = answer_fields(part.status, part.fields, forward)
        pieces, is_end = caching.begin_to_play(found)
        self._send_answer(part.status, part.reason, fields, part.length, pieces, is_end)
        if not is_end:
            self._play()

    def _play(self) -> None:
        """Send what is left of a stored answer, as far as the client takes it."""
        caching = self._caching
        while caching is not None and caching.is_playing:
            if self._is_client_slow or self.is_over:
                return
            portion, is_end = caching.play()
            self._send_more([portion], is_end)

    def _refresh(self, forward: Forward, caching: Caching, asked: Asked) -> None:
        own = caching.refresh(asked)
        if own is not None:
            Exchange(self._relay, Nobody(), self.head).begin_refresh(forward, own, asked)

    def _send_answer(
        self,
        status: int,
        reason: bytes | None,
        fields: Fields,
        length: int | None,
        pieces: list[bytes],
        is_end: bool,
    ) -> None:
        self._is_answer_begun = True
        if self._account is not None:
            is_cached = self._caching is not None
            self._account.forward_answer(status, fields, pieces, is_cached)
        self._stream.send_head(status, reason, fields, length, pieces, is_end)
        if is_end:
            self._finish()

    def receive_answer_content(self, pieces: list[bytes], is_end: bool) -> None:
        """More of the answer has arrived."""
        if is_end:
            # It has gone back: it is nobody's to pause or to drop.
            self.connection = None
        if self._encoder is not None:
            pieces = encode_pieces(self._encoder, pieces, is_end=is_end)
        if self._caching is not None:
            self._caching.receive_content(pieces, is_end)
        self._send_more(pieces, is_end)
        if not is_end:
            self._splice_rest()

    def _splice_rest(self) -> None:
        """Let the kernel move what is left of the answer, where nobody here has to see it."""
        connection = self.connection
        if connection is not None and self._encoder is None and self._caching is None:
            sink = self._stream.sink
            if sink is not None:
                connection.splice_to(sink)

    def skip_answer_content(self, size: int) -> None:
        """So much of the answer was sent past this."""
        if self._account is not None:
            self._account.sent_bytes += size

    def _send_more(self, pieces: list[bytes], is_end: bool) -> None:
        if self._account is not None:
            self._account.send(pieces)
        self._stream.send_content(pieces, is_end)
        if is_end:
            self._finish()

    def upstream_failed(self, error: RouteError, *, is_untouched: bool) -> None:
        """The answer will not come, or not whole."""
        self.connection = None
        if is_untouched and self._is_repeatable and self.approach is not None:
            # The server closed a resting connection as we took it: it has not seen the request.
            self.approach.again()
        else:
            self._go_on_after(error, is_sent=True)

    def pause_answer(self) -> None:
        """The client does not read fast enough."""
        self._is_client_slow = True
        if self.connection is not None:
            self.connection.pause_reading()

    def resume_answer(self) -> None:
        """It does again."""
        self._is_client_slow = False
        if self.connection is not None:
            self.connection.resume_reading()
            self._splice_rest()
        else:
            self._play()

    def _switch(self, forward: Forward, answer: RawAnswer, pieces: list[bytes]) -> None:
        """The upstream has accepted a handshake: from here on bytes are only passed on."""
        connection = self.connection
        if not forward.is_websocket or connection is None:
            self.refuse(BadAnswer("101 that was not asked for"))
            return
        fields = answer_fields(answer.status, answer.fields, forward)
        self._start_tunnel(fields, connection, b"".join(pieces))

    def _start_tunnel(self, fields: Fields, connection: UpstreamConnection, data: bytes) -> None:
        self._open_tunnel_by(Tunnel, fields, connection, data)

    def _open_tunnel_by(
        self, make: TunnelMaker, fields: Fields, connection: UpstreamConnection, data: bytes
    ) -> None:
        self.connection = None
        self._is_answer_begun = True
        self._stream.start_tunnel(fields, connection, data, make_and_tell(make, self._seat))
        self.approach = None
        self.is_over = True

    def _seat(self, tunnel: Tunnel) -> None:
        """It is made; whoever counted the request counts it from here on."""
        if self.approach is not None:
            tunnel.on_upstream_lost = self.approach.close
        if self._account is not None:
            self._account.open_tunnel(tunnel)

    # The end.

    def client_lost(self) -> None:
        """The client has gone: nobody waits for the answer."""
        self.is_over = True
        self._drop()
        if self._account is not None:
            self._account.lose(self._received_bytes)

    def _finish(self) -> None:
        self._drop()
        if self._account is not None:
            self._account.end(self._received_bytes)
        self._stream.finish()
        self.is_over = True

    def _drop(self) -> None:
        """Let go of all that the request had but its client."""
        caching, content = self._caching, self._content
        if self.connection is not None:
            self._abandon_connection()
        self._close_approach()
        if caching is not None:
            self._caching = None
            caching.close()
        if content is not None:
            self._content, self._received_bytes = None, content.received_bytes
            content.close()

    def _close_approach(self) -> None:
        approach = self.approach
        if approach is not None:
            self.approach = None
            approach.close()

    def _abandon_connection(self) -> None:
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.abandon()

    def guarded[**P](self, call: Callable[P, None]) -> Callable[P, None]:
        """A callback for other hands: silent once the exchange is over, and failing closed."""

        def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
            if self.is_over:
                return
            try:
                call(*args, **kwargs)
            except Exception as fault:
                logger.error("an exchange failed: %s", describe_fault(fault))
                self.fail()

        return guarded


def _ask(forward: Forward, asked: Asked) -> Forward:
    """The decision with the fields that the cache asks with."""
    return forward if asked.fields is None else forward._replace(fields=asked.fields)
