"""A client's transport, plain or under TLS: bytes come in as an asyncio protocol gets them.

No task, no event and no copy stands between the socket and the reader. Who holds the connection
besides is told when it is lost: the relay, or mitmproxy with its registry, hooks and UIs.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Protocol

from mitmproxy import connection
from OpenSSL import SSL

from route_addon.carry.faults import describe_fault
from route_addon.carry.kernel import count_unread, count_unsent, lend_socket, reset_at_close
from route_addon.carry.reading import BoundedProtocol, hold_little, hold_more

logger = logging.getLogger(__name__)

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


class Holder(Protocol):
    """Who has a client's connection, besides its wire."""

    is_wire_reading: bool
    """Whether the wire is the transport's protocol already."""

    @property
    def client(self) -> connection.Client:
        """The connection as mitmproxy describes it, for who watches."""

    def begin(self, wire: "Wire") -> None:
        """The wire has a receiver."""

    def closed(self) -> None:
        """The wire is being closed from our side."""

    def lost(self, exc: Exception | None) -> None:
        """The transport is gone."""


class Wire(BoundedProtocol):
    """A client's transport.

    Args:
        transport: The connection's transport.
        holder: Who has the connection besides.
    """

    __slots__ = ("_is_lost", "_receiver", "_transport", "_wants_pause", "holder")

    def __init__(self, transport: asyncio.Transport, holder: Holder) -> None:
        self.holder = holder
        """Who has the connection besides."""
        self._transport = transport
        self._receiver: Receiver | None = None
        self._wants_pause = False
        self._is_lost = False
        hold_little(transport)

    def begin(self, receiver: Receiver) -> None:
        """Bring everything to a receiver from now on."""
        self._receiver = receiver
        self.holder.begin(self)

    def switch(self, receiver: Receiver) -> None:
        """Bring everything to another receiver: the connection has become a tunnel."""
        self._receiver = receiver

    @property
    def client(self) -> connection.Client:
        """The connection as mitmproxy describes it, for who watches."""
        return self.holder.client

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

    def lend_socket(self) -> int | None:
        """A descriptor to write to past the transport (see ``kernel``); to be closed."""
        return lend_socket(self._transport)

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
        self.holder.closed()

    def abort(self) -> None:
        """Close at once; what is buffered is lost."""
        self._transport.abort()
        self.holder.closed()

    def reset(self) -> None:
        """Close at once, and let the client see that it was no orderly end."""
        reset_at_close(self._transport)
        self.abort()

    def pause_reading(self) -> None:
        """Let the client wait."""
        self._wants_pause = True
        self.obey_pause()

    def obey_pause(self) -> None:
        """Read nothing, if the client has to wait and reading is the wire's."""
        if self._wants_pause and self.holder.is_wire_reading and not self.is_closing:
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Let the client go on."""
        if not self._wants_pause:
            return
        self._wants_pause = False
        if self.holder.is_wire_reading and not self.is_closing:
            self._transport.resume_reading()

    # What the transport brings.

    def data_received(self, data: bytes) -> None:
        self.deliver(data)

    def eof_received(self) -> bool:
        self._guard(lambda receiver: receiver.receive_eof())
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self.lose()
        self.holder.lost(exc)

    def pause_writing(self) -> None:
        self._guard(lambda receiver: receiver.pause_writing())

    def resume_writing(self) -> None:
        hold_more(self._transport)
        self._guard(lambda receiver: receiver.resume_writing())

    def lose(self) -> None:
        """The connection is gone: say so, once."""
        if not self._is_lost:
            self._is_lost = True
            self._guard(lambda receiver: receiver.lost())
            self._receiver = None

    def deliver(self, data: bytes) -> None:
        """Give the receiver what the client says."""
        receiver = self._receiver
        if receiver is not None:
            try:
                receiver.receive(data)
            except Exception as fault:
                self.fail(fault)

    def _guard(self, call: Callable[[Receiver], None]) -> None:
        """Call the receiver; a fault of ours ends the connection and nothing else."""
        receiver = self._receiver
        if receiver is not None:
            try:
                call(receiver)
            except Exception as fault:
                self.fail(fault)

    def fail(self, fault: Exception) -> None:
        """A fault of ours: end the connection as well as can be."""
        logger.error("a connection failed: %s", describe_fault(fault))
        receiver = self._receiver
        try:
            if receiver is None:
                self._transport.abort()
            else:
                receiver.fail()
        except Exception as second:
            logger.error("and could not be ended well: %s", describe_fault(second))
            self._transport.abort()


class TlsWire(Wire):
    """A client's transport under TLS.

    Args:
        transport: The connection's transport.
        holder: Who has the connection besides.
        tls: The TLS session, whose handshake is over.
    """

    __slots__ = ("_is_shut", "_tls")

    def __init__(self, transport: asyncio.Transport, holder: Holder, tls: SSL.Connection) -> None:
        super().__init__(transport, holder)
        self._tls = tls
        self._is_shut = False

    def lend_socket(self) -> int | None:
        return None

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
        try:
            self._tls.bio_write(data)
        except SSL.Error:
            self._transport.abort()
            return
        self.read_session()

    def read_session(self) -> None:
        """Give the receiver what the session holds."""
        plaintext: list[bytes] = []
        has_ended = False
        try:
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
            self.deliver(plaintext[0] if len(plaintext) == 1 else b"".join(plaintext))
        if has_ended:
            self._guard(lambda receiver: receiver.receive_eof())

    def _flush(self) -> None:
        """Hand over what the session wants sent."""
        pieces: list[bytes] = []
        try:
            while True:
                pieces.append(self._tls.bio_read(_CIPHERTEXT_BYTES))
                if len(pieces[-1]) < _CIPHERTEXT_BYTES:
                    break  # all there was: to ask on, and be told so, costs as much as to encrypt
        except SSL.WantReadError:
            pass
        if pieces and not self._transport.is_closing():
            self._transport.write(pieces[0] if len(pieces) == 1 else b"".join(pieces))
