"""Connections to servers: opened, used by one exchange at a time, kept for the next.

A connection is never used for two targets: it belongs to one scheme, address, port and name.
"""

import asyncio
import errno
import logging
import os
import ssl
import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final, NamedTuple, Protocol, cast

from route_addon.carry.deadlines import NEVER, Deadlines, clock
from route_addon.carry.faults import describe_fault, describe_refusal
from route_addon.carry.http1.content import ContentReader, LengthReader, content_reader
from route_addon.carry.http1.heads import AnswerReader, RawAnswer
from route_addon.carry.kernel import lend_socket
from route_addon.carry.reading import BoundedProtocol, hold_little, hold_nothing, read_unread
from route_addon.carry.splice import MOST_AT_ONCE, Sink, Splice, start_splice
from route_addon.core.errors import (
    BadAnswer,
    RouteError,
    TooBusy,
    UpstreamRefused,
    UpstreamReset,
    UpstreamTimeout,
    UpstreamUntrusted,
)
from route_addon.core.messages import Server
from route_addon.core.targets import Address

logger = logging.getLogger(__name__)

IDLE_LIFE_S: Final = 4.0
"""How long a connection may rest and be used again: pods' servers close after 5 s."""
IDLE_LIFE_UNSAFE_S: Final = 1.0
"""The same for a request that cannot be sent twice."""
_MAX_IDLE: Final = 1024
"""Idle connections kept in all."""
_MAX_IDLE_PER_SERVER: Final = 64
_REST_BYTES: Final = 64 * 1024
_SWITCHING_PROTOCOLS: Final = 101
_NO_ROOM: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
"""What the system says where the fault is not the server's."""


class ServerKey(NamedTuple):
    """What a connection is good for."""

    scheme: bytes
    address: str
    port: int
    name: str
    """The host as configured or as a token named it: TLS verifies it, and targets never mix."""


@lru_cache(maxsize=4096)
def server_key(server: Server, address: str) -> ServerKey:
    """What a connection to one of a server's addresses is good for."""
    return ServerKey(server.scheme, address, server.port, server.host)


class Requester(Protocol):
    """Whoever has a request under way on a connection."""

    def receive_answer(self, answer: RawAnswer, pieces: list[bytes], is_end: bool) -> None:
        """The answer's head, with what has come of its content; of a tunnel's, after a 101."""

    def receive_answer_content(self, pieces: list[bytes], is_end: bool) -> None:
        """More of its content."""

    def skip_answer_content(self, size: int) -> None:
        """So many bytes of its content went to the client past this."""

    def upstream_failed(self, error: RouteError, *, is_untouched: bool) -> None:
        """The answer will not come, or not whole.

        Args:
            error: Why.
            is_untouched: Whether the server may never have seen the request: the connection was
                a used one, and not one byte came back.
        """

    def pause_content(self) -> None:
        """The server does not read fast enough."""

    def resume_content(self) -> None:
        """It does again."""

    def fail(self) -> None:
        """A fault of our own: refuse the request, or cut the answer."""


class UpstreamConnection(BoundedProtocol):
    """One connection to a server, HTTP/1.1.

    Args:
        upstreams: Where it goes back to.
        key: What it is good for.
    """

    def __init__(self, upstreams: "Upstreams", key: ServerKey) -> None:
        self.key = key
        self.deadline = NEVER
        self.rested_since = 0.0
        self.opened_at = 0.0
        """When it was connected, in seconds since the epoch."""
        self._upstreams = upstreams
        self._transport: asyncio.Transport = None  # type: ignore[assignment]
        self._reader = AnswerReader()
        self._requester: Requester | None = None
        self._method = b""
        self._content: ContentReader | None = None
        self._patience_s = 0.0
        self._is_used = False
        self._is_silent = True
        self._is_sent = False
        self._keeps_alive = False
        self._splice: Splice | None = None
        self._may_splice = True
        """Once for each answer."""
        self.is_lost = False
        self.is_paused = False
        """Whether the server does not read fast enough."""

    # For the requester.

    @property
    def transport(self) -> asyncio.Transport:
        """The transport itself."""
        return self._transport

    def begin(self, requester: Requester, method: bytes, patience_s: float) -> None:
        """Take the connection for one request.

        Args:
            requester: Who is told of the answer.
            method: The request's method, which says how the answer is framed.
            patience_s: The longest silence before the answer and between its parts, in seconds.
        """
        self._requester = requester
        self._method = method
        self._patience_s = patience_s
        self._is_silent = True
        self._is_sent = False
        self._content = None
        self._may_splice = True

    def write(self, data: bytes) -> None:
        """Send a part of the request, framed: the head, content, or both."""
        self._is_sent = False
        self._expect_server()
        # What follows may be sent past the transport.
        hold_nothing(self._transport)
        self._transport.write(data)

    def write_last(self, data: bytes) -> None:
        """Send what makes the request whole."""
        self._is_sent = True
        self._expect_server()
        self._transport.write(data)

    def lend_socket(self) -> int | None:
        """A descriptor to use past the transport (see ``kernel``); to be closed."""
        return lend_socket(self._transport)

    def splice_to(self, sink: Sink) -> None:
        """Let the kernel move what is left of the answer's content, if that is much."""
        content, upstreams = self._content, self._upstreams
        if not self._may_splice or not isinstance(content, LengthReader):
            return
        if upstreams.splice_count < MOST_AT_ONCE:
            self._splice = start_splice(self, sink, content.remaining)
        if self._splice is not None:
            self._may_splice = False
            upstreams.splice_count += 1
            self._transport.pause_reading()

    # For what the kernel moves.

    def guard(self, call: Callable[[], None]) -> None:
        self._guard(call)

    def skip(self, size: int) -> None:
        content, requester = self._content, self._requester
        assert isinstance(content, LengthReader) and requester is not None
        content.remaining -= size
        if self.deadline is not NEVER:
            # Else it is the client that is waited for, though it has taken some.
            self._expect_server()
        requester.skip_answer_content(size)

    def take_back(self) -> None:
        self._end_splice()
        self.resume_reading()

    def _end_splice(self) -> None:
        splice, self._splice = self._splice, None
        if splice is not None:
            self._upstreams.splice_count -= 1
            splice.let_go()

    def pause_reading(self) -> None:
        """The client does not read: let the server wait. Its silence is our doing then."""
        self.deadline = NEVER
        if not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """The client reads again."""
        self._expect_server()
        if self._splice is None and not self._transport.is_closing():
            self._transport.resume_reading()

    def abandon(self) -> None:
        """The requester has gone: what still comes is for nobody."""
        self._requester = None
        self._upstreams.discard(self)
        self._end_splice()
        if self._transport is not None:
            self._transport.abort()

    def detach(self) -> asyncio.Transport:
        """Give the transport to a tunnel; this connection is no more."""
        self._requester = None
        self._upstreams.discard(self)
        return self._transport

    # For asyncio.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's.
        self._transport = cast(asyncio.Transport, transport)
        hold_little(self._transport)
        self.opened_at = time.time()

    def data_received(self, data: bytes) -> None:
        requester = self._requester
        try:
            self._receive(requester, data)
        except Exception as fault:
            self._break(fault, requester)

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost = True
        self._end_splice()
        self._guard(self._end, exc)

    def pause_writing(self) -> None:
        self.is_paused = True
        self._expect_server()
        if self._requester is not None:
            self._guard(self._requester.pause_content)

    def resume_writing(self) -> None:
        self.is_paused = False
        self._expect_server()
        if self._requester is not None:
            self._guard(self._requester.resume_content)

    def expire(self, now: float) -> None:
        """No answer in time, or rested too long."""
        self._guard(self._fail, UpstreamTimeout(), self._requester)

    def _expect_server(self) -> None:
        """From now on the server may be silent for so long; not while it waits for the client."""
        is_its_turn = self._is_sent or self.is_paused
        self.deadline = self._upstreams.time() + self._patience_s if is_its_turn else NEVER

    def _guard[**P](self, call: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
        """Call; whatever is wrong, the requester hears of it."""
        requester = self._requester
        try:
            call(*args, **kwargs)
        except Exception as fault:
            self._break(fault, requester)

    def _break(self, fault: Exception, requester: Requester | None) -> None:
        """Something is wrong, with the server's answer or with us."""
        try:
            if isinstance(fault, RouteError):
                self._fail(fault, requester)
                return
        except Exception as second:
            fault = second
        logger.error("an upstream connection failed: %s", describe_fault(fault))
        try:
            self.abandon()
        finally:
            if requester is not None:
                requester.fail()

    # Reading the answer.

    def _receive(self, requester: Requester | None, data: bytes) -> None:
        if requester is None:
            # A server has nothing to say between two requests.
            self.abandon()
            return
        self._is_silent = False
        if self._content is not None:
            pieces, rest = self._content.read(data)
            if rest is not None:
                self._finish(rest)
            else:
                self._expect_server()
            requester.receive_answer_content(pieces, rest is not None)
            return
        while True:
            read = self._reader.read(data, self._method)
            if read is None:
                self._expect_server()
                return
            answer, data = read
            if answer.status >= 200:
                break
            if answer.status == _SWITCHING_PROTOCOLS:
                # What follows is no message any more.
                requester.receive_answer(answer, [data] if data else [], True)
                return
            # Any other 1xx is not passed on (RFC 9110 15.2 lets a gateway that asked for none).
        self._keeps_alive = answer.keep_alive
        length = answer.length
        if 0 <= length == len(data):
            # Nearly always a short answer is whole with its head.
            self._finish(b"")
            requester.receive_answer(answer, [data] if data else [], True)
            return
        self._content = content_reader(length, error=BadAnswer)
        pieces, rest = self._content.read(data)
        if rest is not None:
            self._finish(rest)
        else:
            self._expect_server()
        requester.receive_answer(answer, pieces, rest is not None)

    def _finish(self, rest: bytes) -> None:
        """The answer is whole: rest, if the connection is good for another request."""
        self._requester = None
        self._content = None
        self._is_used = True
        if rest or not self._keeps_alive or not self._is_sent or self._transport.is_closing():
            self.abandon()
        else:
            self._upstreams.put_back(self)

    def _end(self, exc: Exception | None) -> None:
        """The server has closed."""
        while exc is not None and self._requester is not None and (data := self._read_rest()):
            self._receive(self._requester, data)
        for data in read_unread(self._transport):
            if self._requester is not None:
                self._receive(self._requester, data)
        requester, content = self._requester, self._content
        self._requester = None
        self._upstreams.discard(self)
        if requester is None:
            return
        if content is not None and content.ends_with_connection and exc is None:
            requester.receive_answer_content([], True)
            return
        requester.upstream_failed(UpstreamReset(), is_untouched=self._is_used and self._is_silent)

    def _read_rest(self) -> bytes:
        """What a server has said before it closed, though a write that failed came first.

        It may have refused an upload that it does not want to read to the end.
        """
        sock = self._transport.get_extra_info("socket")
        if sock is None or self._transport.get_extra_info("sslcontext") is not None:
            return b""
        try:
            return os.read(sock.fileno(), _REST_BYTES)
        except OSError:
            return b""

    def _fail(self, error: RouteError, requester: Requester | None) -> None:
        self.abandon()
        if requester is not None:
            requester.upstream_failed(error, is_untouched=False)


class Upstreams:
    """All connections to servers of this process, shared by all clients.

    Args:
        deadlines: Watches them.
        connect_timeout_s: The longest time to connect, in seconds.
        tls: The context for servers that speak TLS.
    """

    def __init__(
        self, deadlines: Deadlines, connect_timeout_s: float, tls: ssl.SSLContext | None = None
    ) -> None:
        self._deadlines = deadlines
        self.connect_timeout_s = connect_timeout_s
        self.tls = tls
        self._idle: dict[ServerKey, list[UpstreamConnection]] = {}
        self._idle_count = 0
        self.splice_count = 0
        """How many answers the kernel moves now."""
        self.time: Callable[[], float] = clock

    def take(self, key: ServerKey, is_repeatable: bool) -> UpstreamConnection | None:
        """A connection that rests, fresh enough for this request.

        Args:
            key: Where to.
            is_repeatable: Whether the request could be sent again, if the server has just closed.
        """
        idle = self._idle.get(key)
        if not idle:
            return None
        oldest = self.time() - (IDLE_LIFE_S if is_repeatable else IDLE_LIFE_UNSAFE_S)
        # The last one in has rested least.
        connection = idle[-1]
        if connection.rested_since <= oldest or connection.transport.is_closing():
            return None
        # Its place stays, even empty: it comes back, or is discarded.
        idle.pop()
        self._idle_count -= 1
        return connection

    async def open(self, key: ServerKey, addresses: Sequence[Address]) -> UpstreamConnection:
        """Connect to the first of some addresses that answers.

        Args:
            key: Where to; its address is the first of them.
            addresses: The addresses to try in turn.

        Raises:
            UpstreamRefused: None of them takes the connection.
            UpstreamReset: It takes it, and is gone.
            UpstreamUntrusted: It shows a certificate that does not prove its name.
            UpstreamTimeout: Not in time.
            TooBusy: This process has no room for one more connection.
        """
        error: RouteError = UpstreamRefused()
        for address in addresses:
            try:
                connection = await self._connect(key._replace(address=str(address)))
            except RouteError as fault:
                error = fault
            else:
                self._deadlines.add(connection)
                return connection
        raise error

    async def _connect(self, key: ServerKey) -> UpstreamConnection:
        connection = UpstreamConnection(self, key)
        context = self.tls if key.scheme == b"https" else None
        if context is None and key.scheme == b"https":
            raise AssertionError("an https upstream without a TLS context")
        try:
            async with asyncio.timeout(self.connect_timeout_s):
                await asyncio.get_running_loop().create_connection(
                    lambda: connection,
                    key.address,
                    key.port,
                    ssl=context,
                    server_hostname=key.name if context is not None else None,
                )
        except TimeoutError:
            # Packets that are dropped in silence look like this.
            raise UpstreamTimeout("connect; does a NetworkPolicy forbid it?") from None
        except ssl.SSLCertVerificationError as fault:
            raise UpstreamUntrusted(f"{key.name}: {fault.verify_message}") from None
        except ConnectionResetError:
            raise UpstreamReset from None
        except OSError as fault:
            is_ours = fault.errno in _NO_ROOM
            raise (TooBusy if is_ours else UpstreamRefused)(describe_refusal(fault)) from None
        if connection.is_lost:
            raise UpstreamReset
        return connection

    def put_back(self, connection: UpstreamConnection) -> None:
        """Let a connection rest."""
        idle = self._idle.get(connection.key)
        if idle is None:
            idle = self._idle[connection.key] = []
        if len(idle) >= _MAX_IDLE_PER_SERVER or self._idle_count >= _MAX_IDLE:
            connection.abandon()
            return
        connection.rested_since = self.time()
        connection.deadline = connection.rested_since + IDLE_LIFE_S
        idle.append(connection)
        self._idle_count += 1

    def discard(self, connection: UpstreamConnection) -> None:
        """Forget a connection that is closed, or about to be."""
        self._deadlines.discard(connection)
        idle = self._idle.get(connection.key)
        if idle is None:
            return
        if connection in idle:
            idle.remove(connection)
            self._idle_count -= 1
        if not idle:
            del self._idle[connection.key]

    def close(self) -> None:
        """Close all that rest."""
        for idle in list(self._idle.values()):
            for connection in list(idle):
                connection.abandon()
