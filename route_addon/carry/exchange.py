"""One request and its answer: decided, its content collected or streamed, sent, answered.

An exchange stands between the client's side, which knows how messages are framed there
(``ClientStream``), and one connection to an upstream. It is all callbacks: between the first
byte of a request and the last of its answer no task is made, unless something has to be waited
for that is not one of the two connections.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Sequence
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Final, Protocol

from mitmproxy.proxy.server import ConnectionHandler

from route_addon.carry.challenge import read_challenge
from route_addon.carry.faults import describe_fault
from route_addon.carry.http1 import RawAnswer
from route_addon.carry.http1_writer import build_chunk, build_request_head
from route_addon.carry.resolve import check_pod_address
from route_addon.carry.spool import Spool
from route_addon.carry.tunnel import Tunnel, TunnelMaker
from route_addon.carry.upstream import ServerKey, UpstreamConnection
from route_addon.core.answers import SWITCHING_PROTOCOLS, answer_fields
from route_addon.core.errors import (
    BadAnswer,
    ContentTooLarge,
    InternalError,
    RouteError,
)
from route_addon.core.framing import CHUNKED, UNTIL_END
from route_addon.core.locations import POD
from route_addon.core.messages import (
    Decision,
    Fields,
    Forward,
    RequestHead,
    Respond,
    Verify,
)
from route_addon.core.router import Verdict
from route_addon.core.targets import Address, parse_address

if TYPE_CHECKING:
    from route_addon.carry.relay import Relay

logger = logging.getLogger(__name__)

_LAST_CHUNK: Final = b"0\r\n\r\n"
_IDEMPOTENT: Final = frozenset({b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE"})
"""RFC 9110 9.2.2."""
_BODILESS_STATUS: Final = frozenset({204, 304})


class ClientStream(Protocol):
    """The client's side of one exchange."""

    def send_continue(self) -> None:
        """The content is wanted (RFC 9110 15.2.1), if the client waits for that word."""

    def send_head(
        self,
        status: int,
        reason: bytes | None,
        fields: Fields,
        length: int | None,
        pieces: list[bytes],
        is_end: bool,
    ) -> None:
        """Send the answer's head, and what there is of its content.

        Args:
            status: The status.
            reason: The reason phrase where it is not the usual one.
            fields: All fields but the framing's.
            length: The content's length in bytes, ``CHUNKED`` when it is not known, None to say
                nothing.
            pieces: Content.
            is_end: Whether the answer is whole with them.
        """

    def send_content(self, pieces: list[bytes], is_end: bool) -> None:
        """Send more content."""

    def cut(self) -> None:
        """The answer cannot be finished: let the client see that it is not whole."""

    def finish(self) -> None:
        """The exchange is over; what still comes of the request's content is for nobody."""

    def pause_content(self) -> None:
        """Let the client wait with its content."""

    def resume_content(self) -> None:
        """Let it go on."""

    def start_tunnel(
        self,
        fields: Fields,
        connection: UpstreamConnection,
        data: bytes,
        make_tunnel: TunnelMaker,
    ) -> None:
        """Answer 101, and pass all that follows on, in both directions.

        Args:
            fields: The answer's fields.
            connection: The upstream's side of the tunnel.
            data: What the upstream has sent already.
            make_tunnel: Makes the tunnel.
        """

    @property
    def handler(self) -> ConnectionHandler:
        """mitmproxy's handler of the client's connection."""


class Content(Enum):
    """What becomes of the request's content."""

    HELD = auto()
    """Nothing yet: the client waits."""
    COLLECTED = auto()
    STREAMED = auto()
    DROPPED = auto()


class Exchange:
    """One request and its answer.

    Args:
        relay: What all exchanges share.
        stream: The client's side.
        head: The request's head.
    """

    def __init__(self, relay: "Relay", stream: ClientStream, head: RequestHead) -> None:
        self.head = head
        self.forward: Forward | None = None
        self.is_over = False
        self._relay = relay
        self._stream = stream
        self._router = relay.router
        self._now = 0.0
        self._content = Content.HELD
        self._received_bytes = 0
        self._spool: Spool | None = None
        self._connection: UpstreamConnection | None = None
        self._addresses: tuple[Address, ...] = ()
        self._key: ServerKey | None = None
        self._is_request_whole = head.length == 0
        self._is_answer_begun = False
        self._is_answer_paused = False
        self._waiting: asyncio.Task[None] | None = None

    # Deciding.

    def start(self) -> None:
        """Decide, and go on from there. Content is held until somebody wants it."""
        self._now = time.time()
        self._decide()

    def _decide(self) -> None:
        self._act(self._router.decide(self.head, self._now))

    def _act(self, decision: Decision) -> None:
        if isinstance(decision, Forward):
            self.forward = decision
            self._admit(decision)
        elif isinstance(decision, Respond):
            self.respond(decision)
        elif isinstance(decision, Verify):
            try:
                self._relay.verifier.verify(
                    self._router, decision.token, self._now, self._guarded(self._receive_verdict)
                )
            except RouteError as error:
                self.refuse(error)
        else:
            self.respond(read_challenge(decision))

    def _receive_verdict(self, verdict: Verdict) -> None:
        self._now = time.time()
        self._act(self._router.decide(self.head, self._now, verdict))

    def _admit(self, forward: Forward) -> None:
        """The request may pass: see to its content."""
        if self.head.length == 0:
            self._connect()
        elif forward.location.body == "collect":
            self._spool = self._relay.spools.open()
            self._content = Content.COLLECTED
            self._stream.send_continue()
            self._stream.resume_content()
        else:
            self._connect()

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
        self._drop_upstream()
        self._content = Content.DROPPED
        self._is_answer_begun = True
        if answer.error is not None:
            self._relay.report_refusal(answer)
        length = len(answer.body) if answer.status != 204 else None
        pieces = [answer.body] if answer.body and self.head.method != b"HEAD" else []
        self._stream.send_head(answer.status, None, answer.fields, length, pieces, True)
        self._finish()

    def _cut(self, error: RouteError) -> None:
        """End it where it is: no answer is begun, or finished."""
        self._drop_upstream()
        self.is_over = True
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
            self._drop_upstream()

    # The request's content, from the client.

    def receive_content(self, pieces: list[bytes], is_end: bool) -> None:
        """Content has arrived.

        Args:
            pieces: In order; none of them empty.
            is_end: Whether the request is whole with them.
        """
        self._is_request_whole = is_end
        forward = self.forward
        if self._content is Content.DROPPED:
            return
        if forward is None or self._content is Content.HELD:
            raise AssertionError("content that is held was delivered")
        self._received_bytes += sum(map(len, pieces))
        if self._received_bytes > forward.location.body_limit_bytes:
            self.refuse(ContentTooLarge(f"over {forward.location.body_limit_bytes}"))
        elif self._content is Content.COLLECTED:
            self._collect(pieces, is_end)
        else:
            self._send_content(pieces, is_end)

    def _collect(self, pieces: list[bytes], is_end: bool) -> None:
        assert self._spool is not None
        try:
            is_taken = self._spool.write(pieces, self._guarded(self._collected))
        except RouteError as error:
            self.refuse(error)
            return
        if not is_taken:
            self._stream.pause_content()
        elif is_end:
            self._connect()

    def _collected(self, error: RouteError | None) -> None:
        """A block is on the disk, or it is not."""
        if error is not None:
            self.refuse(error)
        elif self._is_request_whole:
            self._connect()
        else:
            self._stream.resume_content()

    def _send_content(self, pieces: list[bytes], is_end: bool) -> None:
        connection = self._connection
        if connection is None:
            return
        if self.head.length >= 0:
            data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        else:
            data = build_chunk(pieces) + (_LAST_CHUNK if is_end else b"")
        connection.write(data, is_end=is_end)

    def pause_content(self) -> None:
        """The upstream does not read fast enough."""
        if self._content is Content.STREAMED:
            self._stream.pause_content()

    def resume_content(self) -> None:
        """It does again."""
        if self._content is Content.STREAMED:
            self._stream.resume_content()
        elif self._content is Content.COLLECTED and self._spool is not None:
            self._pump()

    # To the upstream.

    def _connect(self) -> None:
        """Find the server's addresses, check them, and use a connection to the first."""
        forward = self.forward
        assert forward is not None
        server = forward.server
        address = parse_address(server.host)
        if address is None:
            self._wait(self._resolve(forward))
        else:
            # The policy has checked an address already, when it verified the token.
            self._addresses = (address,)
            is_suspect = server.port in self._relay.own_ports
            try:
                self._reach(forward, (server.host,), is_checked=not is_suspect)
            except RouteError as error:
                self.refuse(error)

    async def _resolve(self, forward: Forward) -> None:
        self._addresses = await self._relay.resolver.resolve(forward.server.host)
        self._reach(forward, tuple(map(str, self._addresses)), is_checked=False)

    def _reach(self, forward: Forward, addresses: Sequence[str], *, is_checked: bool) -> None:
        """The addresses are known: use a connection that rests, or open one to the first.

        Raises:
            TargetDenied: The target policy, on what will really be connected to.
        """
        server = forward.server
        if forward.upstream == POD and not is_checked:
            policy, own_ports = self._router.rules.policy, self._relay.own_ports
            for one in self._addresses:
                check_pod_address(policy, server.host, one, server.port, own_ports)
        upstreams, is_repeatable = self._relay.upstreams, self._is_repeatable
        for address in addresses:
            self._key = ServerKey(server.scheme, address, server.port, server.host)
            connection = upstreams.take(self._key, is_repeatable=is_repeatable)
            if connection is not None:
                self._send(connection)
                return
        self._wait(self._open())

    @property
    def _is_repeatable(self) -> bool:
        return self.head.length == 0 and self.head.method in _IDEMPOTENT

    async def _open(self) -> None:
        assert self._key is not None
        connection = await self._relay.upstreams.open(self._key, self._addresses)
        if self.is_over:
            connection.abandon()
        else:
            self._send(connection)

    def _send(self, connection: UpstreamConnection) -> None:
        """Send the request, or its head when its content streams."""
        forward = self.forward
        assert forward is not None
        self._connection = connection
        patience_s = self._relay.limits.answer_s or forward.location.answer_within_s
        connection.begin(self, forward.method, patience_s)
        spool = self._spool
        length = spool.size if spool is not None else self.head.length
        head = build_request_head(
            forward.method, forward.path, forward.host, forward.fields, length
        )
        if length == 0:
            connection.write(head, is_end=True)
        elif spool is None:
            connection.write(head, is_end=False)
            self._content = Content.STREAMED
            self._stream.send_continue()
            self._stream.resume_content()
        elif spool.is_in_memory:
            connection.write(head + spool.take_memory(), is_end=True)
            self._close_spool()
        else:
            connection.write(head, is_end=False)
            self._pump()

    def _pump(self) -> None:
        """Send the next block of a collected body, once the last has been read."""
        if self._spool is not None and not self._spool.is_busy:
            self._spool.read(self._guarded(self._pumped))

    def _pumped(self, block: bytes, error: RouteError | None) -> None:
        connection, spool = self._connection, self._spool
        if connection is None or spool is None:
            return
        if error is not None:
            self.refuse(error)
        elif block:
            connection.write(block, is_end=False)
            if not connection.is_paused:
                self._pump()
        else:
            connection.write(spool.take_memory(), is_end=True)
            self._close_spool()

    def _wait(self, work: Coroutine[Any, Any, None]) -> None:
        """Wait for something that is not one of the two connections."""
        self._waiting = asyncio.get_running_loop().create_task(self._finish_waiting(work))

    async def _finish_waiting(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except RouteError as error:
            self.refuse(error)
        except Exception as fault:
            logger.error("an exchange failed: %s", describe_fault(fault))
            self.fail()

    # The answer, from the upstream.

    def receive_answer(self, answer: RawAnswer, pieces: list[bytes], is_end: bool) -> None:
        """The answer's head has arrived."""
        forward = self.forward
        assert forward is not None
        if is_end and answer.status != SWITCHING_PROTOCOLS:
            self._connection = None
        status = answer.status
        if status == SWITCHING_PROTOCOLS:
            self._switch(forward, answer, pieces)
            return
        fields = answer_fields(status, answer.fields, forward)
        if self.head.method == b"HEAD" or status in _BODILESS_STATUS:
            length = answer.content_length if status != 204 else None
        else:
            length = CHUNKED if answer.length == UNTIL_END else answer.length
        self._send_answer(status, answer.reason, fields, length, pieces, is_end)

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
        self._stream.send_head(status, reason, fields, length, pieces, is_end)
        if is_end:
            self._finish()

    def receive_answer_content(self, pieces: list[bytes], is_end: bool) -> None:
        """More of the answer has arrived."""
        if is_end:
            self._connection = None
        self._stream.send_content(pieces, is_end)
        if is_end:
            self._finish()

    def upstream_failed(self, error: RouteError, *, is_untouched: bool) -> None:
        """The answer will not come, or not whole."""
        self._connection = None
        if is_untouched and self._is_repeatable:
            # The server closed a resting connection as we took it: it has not seen the request.
            self._wait(self._open())
        else:
            self.refuse(error)

    def pause_answer(self) -> None:
        """The client does not read fast enough."""
        if self._connection is not None:
            self._connection.pause_reading()

    def resume_answer(self) -> None:
        """It does again."""
        if self._connection is not None:
            self._connection.resume_reading()

    def _switch(self, forward: Forward, answer: RawAnswer, pieces: list[bytes]) -> None:
        """The upstream has accepted a handshake: from here on bytes are only passed on."""
        connection = self._connection
        if not forward.is_websocket or connection is None:
            self.refuse(BadAnswer("101 that was not asked for"))
            return
        fields = answer_fields(answer.status, answer.fields, forward)
        self._start_tunnel(fields, connection, b"".join(pieces))

    def _start_tunnel(self, fields: Fields, connection: UpstreamConnection, data: bytes) -> None:
        self._connection = None
        self._is_answer_begun = True
        self._stream.start_tunnel(fields, connection, data, Tunnel)
        self.is_over = True

    # The end.

    def client_lost(self) -> None:
        """The client has gone: nobody waits for the answer."""
        self.is_over = True
        self._drop_upstream()

    def _finish(self) -> None:
        self._drop_upstream()
        self._content = Content.DROPPED
        self._stream.finish()
        self.is_over = True

    def _drop_upstream(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.abandon()
        waiting, self._waiting = self._waiting, None
        if waiting is not None and waiting is not asyncio.current_task():
            waiting.cancel()
        self._close_spool()

    def _close_spool(self) -> None:
        spool, self._spool = self._spool, None
        if spool is not None:
            spool.close()

    def _guarded[**P](self, call: Callable[P, None]) -> Callable[P, None]:
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
