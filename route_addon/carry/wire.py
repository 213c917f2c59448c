"""A client's transport, taken over from mitmproxy: plain, or under the TLS that it set up.

mitmproxy accepts the connection, asks its hooks, and reads the first bytes. From then on its
read loop is parked and the bytes come here, as an asyncio protocol gets them: no task, no event
and no copy between the socket and the reader. mitmproxy's own protocol is told when the
connection is lost, so that its registry, hooks and UIs stay true.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Any, Protocol

from mitmproxy.connection import ConnectionState
from mitmproxy.proxy.server import ConnectionHandler
from OpenSSL import SSL

from route_addon.carry.faults import describe_fault
from route_addon.carry.kernel import count_unread, count_unsent, reset_at_close
from route_addon.carry.reading import BoundedProtocol, hold_little

logger = logging.getLogger(__name__)

_RETRY_S = 0.001
_MAX_RETRY_S = 0.1
_PLAINTEXT_BYTES = 64 * 1024
_CIPHERTEXT_BYTES = 256 * 1024


class Receiver(Protocol):
    """Who reads what a wire brings."""

    def receive(self, data: bytes) -> None:
        """Bytes have arrived."""

    def receive_eof(self) -> None:
        """The client will send no more, but it may still read."""

    def lost(self) -> None:
        """The connection is gone."""

    def pause_writing(self) -> None:
        """What was written is not read fast enough: write no more for now."""

    def resume_writing(self) -> None:
        """There is room again."""

    def fail(self) -> None:
        """A fault of our own: end the connection."""


class Wire(BoundedProtocol):
    """A client's transport.

    Args:
        handler: mitmproxy's handler of the connection.
        transport: The connection's transport.
    """

    def __init__(self, handler: ConnectionHandler, transport: asyncio.Transport) -> None:
        self.handler = handler
        """mitmproxy's handler of the connection."""
        self._transport = transport
        self._old = transport.get_protocol()
        self._receiver: Receiver | None = None
        self._wants_pause = False
        self._is_lost = False
        self._has_ended = False
        self.is_taken_over = False
        hold_little(transport)
        # From here on the relay has deadlines of its own.
        handler.timeout_watchdog.timeout = 10**9

    def begin(self, receiver: Receiver) -> None:
        """Bring everything to a receiver from now on."""
        self._receiver = receiver
        self._listen_in()
        asyncio.get_running_loop().call_soon(self._take_over)

    def switch(self, receiver: Receiver) -> None:
        """Bring everything to another receiver: the connection has become a tunnel."""
        self._receiver = receiver

    @property
    def transport(self) -> asyncio.Transport:
        """The transport itself; under TLS it carries ciphertext."""
        return self._transport

    @property
    def is_closing(self) -> bool:
        """Whether nothing more can be written."""
        return self._is_lost or self._transport.is_closing()

    @property
    def buffered_bytes(self) -> int:
        """How much has been written and not been sent."""
        return self._transport.get_write_buffer_size()

    @property
    def unsent_bytes(self) -> int:
        """How much has been written and has not reached the client: the kernel holds some, too."""
        return self.buffered_bytes + count_unsent(self._transport)

    @property
    def has_unread(self) -> bool:
        """Whether the client has sent what nobody has read yet."""
        return count_unread(self._transport) > 0

    def write(self, data: bytes) -> None:
        """Send bytes; to nobody, once the connection is gone."""
        if not self._transport.is_closing():
            self._transport.write(data)

    def write_eof(self) -> None:
        """Send the end; the client may go on sending."""
        if not self.is_closing:
            # One that was reset in this moment says so itself.
            with contextlib.suppress(OSError):
                self._transport.write_eof()

    def close(self) -> None:
        """Send what is buffered, then close."""
        self._transport.close()
        self._release_handler()

    def abort(self) -> None:
        """Close at once; what is buffered is lost."""
        self._transport.abort()
        self._release_handler()

    def reset(self) -> None:
        """Close at once, and let the client see that it was no orderly end."""
        reset_at_close(self._transport)
        self.abort()

    def pause_reading(self) -> None:
        """Let the client wait."""
        self._wants_pause = True
        if self.is_taken_over and not self.is_closing:
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Let the client go on."""
        if not self._wants_pause:
            return
        self._wants_pause = False
        if self.is_taken_over and not self.is_closing:
            self._transport.resume_reading()

    # What mitmproxy's layer brings, before the takeover.

    def receive_event(self, data: bytes) -> None:
        """Bytes that mitmproxy's read loop still had."""
        self._deliver(data)

    def receive_eof_event(self) -> None:
        """The end, as mitmproxy's read loop saw it; it waits to be released."""
        self._has_ended = True
        self._guard(lambda receiver: receiver.receive_eof())

    # What the transport brings, after it.

    def data_received(self, data: bytes) -> None:
        self._deliver(data)

    def eof_received(self) -> bool:
        self._guard(lambda receiver: receiver.receive_eof())
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self.lose()
        if self.is_taken_over:
            # mitmproxy's task ends by itself once nothing can be written either; under TLS its
            # layer would keep the word of the end from ours when a close_notify came before.
            self.handler.client.state &= ~ConnectionState.CAN_WRITE
            self._old.connection_lost(exc)

    def pause_writing(self) -> None:
        self._guard(lambda receiver: receiver.pause_writing())

    def resume_writing(self) -> None:
        self._guard(lambda receiver: receiver.resume_writing())

    def lose(self) -> None:
        """The connection is gone: say so, once."""
        if not self._is_lost:
            self._is_lost = True
            self._guard(lambda receiver: receiver.lost())
            self._receiver = None

    def _deliver(self, data: bytes) -> None:
        receiver = self._receiver
        if receiver is not None:
            try:
                receiver.receive(data)
            except Exception as fault:
                self._fail(receiver, fault)

    def _guard(self, call: Callable[[Receiver], None]) -> None:
        """Call the receiver; a fault of ours ends the connection and nothing else."""
        receiver = self._receiver
        if receiver is not None:
            try:
                call(receiver)
            except Exception as fault:
                self._fail(receiver, fault)

    def _fail(self, receiver: Receiver, fault: Exception) -> None:
        logger.error("a connection failed: %s", describe_fault(fault))
        try:
            receiver.fail()
        except Exception as second:
            logger.error("and could not be ended well: %s", describe_fault(second))
            self._transport.abort()

    def _release_handler(self) -> None:
        """mitmproxy's task waits for a close of its own when the client has ended first."""
        if self._has_ended and not self.is_taken_over:
            io = self.handler.transports.get(self.handler.client)
            if io is not None and io.handler is not None:
                io.handler.cancel("closed by the relay")
            self.lose()

    def _listen_in(self) -> None:
        """Hear what mitmproxy's protocol is told of the room for writing, before the takeover.

        Its read loop waits for that room, so with a client that does not read the takeover waits.
        """
        old: Any = self._old
        old_pause, old_resume = old.pause_writing, old.resume_writing

        def pause() -> None:
            old_pause()
            self.pause_writing()

        def resume() -> None:
            old_resume()
            self.resume_writing()

        old.pause_writing, old.resume_writing = pause, resume

    def _take_over(self, retry_s: float = _RETRY_S) -> None:
        self._guard(lambda receiver: self._try_to_take_over(retry_s))

    def _try_to_take_over(self, retry_s: float) -> None:
        """Become the transport's protocol, once mitmproxy's read loop waits with nothing read.

        Any other moment would let a chunk that the loop still holds come late.
        """
        if self.is_taken_over or self.is_closing or self._has_ended:
            return
        reader = self.handler.transports[self.handler.client].reader
        waiter = reader._waiter  # type: ignore[union-attr]
        if waiter is None or waiter.done() or reader._buffer:  # type: ignore[union-attr]
            # Not from the timer itself: it runs behind the socket, which may always have more.
            loop = asyncio.get_running_loop()
            later_s = min(2 * retry_s, _MAX_RETRY_S)
            loop.call_later(retry_s, loop.call_soon, self._take_over, later_s)
            return
        self._transport.set_protocol(self)
        self.is_taken_over = True
        if self._wants_pause:
            self._transport.pause_reading()


class TlsWire(Wire):
    """A client's transport under TLS, whose handshake mitmproxy's layer has made.

    Args:
        handler: mitmproxy's handler of the connection.
        transport: The connection's transport.
        tls: The layer's TLS session.
    """

    def __init__(
        self, handler: ConnectionHandler, transport: asyncio.Transport, tls: SSL.Connection
    ) -> None:
        super().__init__(handler, transport)
        self._tls = tls
        self._is_shut = False

    def write(self, data: bytes) -> None:
        if data and not self._is_shut:
            try:
                self._tls.sendall(data)
            except SSL.Error:
                self._transport.abort()
                return
            self._flush()

    def write_eof(self) -> None:
        """Send close_notify (RFC 8446 6.1): TCP's own end would cut what the client still sends."""
        if not self._is_shut:
            self._is_shut = True
            with contextlib.suppress(SSL.Error):
                self._tls.shutdown()
            self._flush()

    def close(self) -> None:
        if not self.is_closing:
            self.write_eof()
        super().close()

    def data_received(self, data: bytes) -> None:
        plaintext: list[bytes] = []
        has_ended = False
        try:
            self._tls.bio_write(data)
            while True:
                plaintext.append(self._tls.recv(_PLAINTEXT_BYTES))
        except SSL.WantReadError:
            pass
        except SSL.ZeroReturnError:
            has_ended = True
        except SSL.Error:
            self._transport.abort()
            return
        # Reading may have moved the session on (a key update), and that has to be answered.
        self._flush()
        if plaintext:
            self._deliver(plaintext[0] if len(plaintext) == 1 else b"".join(plaintext))
        if has_ended:
            self._guard(lambda receiver: receiver.receive_eof())

    def _flush(self) -> None:
        """Hand over what the session wants sent."""
        pieces: list[bytes] = []
        try:
            while True:
                pieces.append(self._tls.bio_read(_CIPHERTEXT_BYTES))
        except SSL.WantReadError:
            pass
        if pieces and not self._transport.is_closing():
            self._transport.write(pieces[0] if len(pieces) == 1 else b"".join(pieces))
