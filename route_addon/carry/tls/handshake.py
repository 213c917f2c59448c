"""A TLS handshake with a client: bytes in, bytes out."""

from typing import Final

from OpenSSL import SSL

from route_addon.carry.tls.certificates import Certificates
from route_addon.carry.tls.layer import BAD_HELLO, is_bounded
from route_addon.carry.tls.server_context import last_reason

_OUTGOING_BYTES: Final = 64 * 1024


class HandshakeFault(Exception):
    """It has failed. Its message may be logged: nothing of the client's is in it."""


class Handshake:
    """One handshake, with a session of ours.

    Args:
        certificates: Ours.
        protocols: What to offer by ALPN, best first.
    """

    __slots__ = ("_hello", "is_over", "session")

    def __init__(self, certificates: Certificates, protocols: tuple[bytes, ...]) -> None:
        self.session = certificates.open_session(protocols)
        self.is_over = False
        """Whether both sides have agreed."""
        self._hello: bytes | None = b""
        """The ClientHello, as long as it is not whole."""

    def receive(self, data: bytes) -> None:
        """Take what the client says.

        Raises:
            HandshakeFault: It is nothing that one can agree with. ``take`` has the alert.
        """
        if self._hello is not None:
            self._hello += data
            if not is_bounded(self._hello):
                raise HandshakeFault(BAD_HELLO)
        try:
            self.session.bio_write(data)
            self.session.do_handshake()
        except SSL.WantReadError:
            return
        except SSL.Error as error:
            raise HandshakeFault(last_reason(error)) from None
        self.is_over = True

    def take(self) -> bytes:
        """What is to be sent to the client."""
        pieces: list[bytes] = []
        try:
            while True:
                pieces.append(self.session.bio_read(_OUTGOING_BYTES))
        except SSL.WantReadError:
            pass
        if pieces:
            # Who is answered has been understood.
            self._hello = None
        return b"".join(pieces)
