"""TLS where mitmproxy's layer makes the handshake with a client, with sessions of ours.

A connection that speaks TLS where no certificate is configured is refused. No certificate is
ever made up, and a session that is not ours never comes into use: see ``is_own_session``, which
the guard asks.
"""

import contextlib
import logging
import ssl
from collections.abc import Callable
from typing import Final

from mitmproxy import ctx
from mitmproxy.proxy import commands, context, events, layer
from mitmproxy.proxy.layers.tls import ClientTLSLayer, TlsStartClientHook
from mitmproxy.proxy.tunnel import TunnelState
from mitmproxy.tls import TlsData
from OpenSSL import SSL

from route_addon.carry.tls.certificates import Certificates
from route_addon.carry.tls.server_context import Offer

logger = logging.getLogger(__name__)

TLS_HANDSHAKE: Final = 0x16
"""The first byte of a TLS record that opens a handshake (RFC 8446 5.1)."""

HTTP1: Final = (b"http/1.1",)
HTTP2: Final = b"h2"
HTTP1_AND_2: Final = (HTTP2, b"http/1.1")

HANDSHAKE_FAILURE: Final = b"\x15\x03\x01\x00\x02\x02\x28"
"""A fatal alert (RFC 8446 6.2), so that the client need not guess why the connection closes."""

NO_CERTIFICATE: Final = "TLS refused: no certificate is configured (route_certs)"

BAD_HELLO: Final = "the ClientHello is too long, or in empty pieces"

_MAX_HELLO_BYTES: Final = 32 * 1024
"""Of a ClientHello; those of browsers, with post-quantum key shares, take 2 KiB."""
_MAX_HELLO_RECORDS: Final = 32
"""Of a ClientHello. It is taken apart again with each part that comes."""
_RECORD_HEADER_BYTES: Final = 5


def offer_protocols() -> tuple[bytes, ...]:
    """What to offer by ALPN, best first."""
    return HTTP1_AND_2 if ctx.options.http2 else HTTP1


def put_under_tls(
    chosen: context.Context,
    certificates: Certificates | None,
    protocols: tuple[bytes, ...],
    make_child: Callable[[context.Context], layer.Layer],
) -> layer.Layer:
    """The layers for a client that speaks TLS.

    Args:
        chosen: mitmproxy's context of the connection.
        certificates: Ours; none to refuse.
        protocols: What to offer by ALPN, best first.
        make_child: Makes the layer that gets what the client says under TLS.
    """
    if not certificates:
        return RefusalLayer(chosen)
    handshake = HandshakeLayer(chosen, certificates, protocols)
    handshake.child_layer = make_child(chosen)
    return handshake


class RefusalLayer(layer.Layer):
    """Closes a connection that speaks TLS, because we have no certificate to show."""

    def _handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        if isinstance(event, events.Start):
            client = self.context.client
            logger.info(NO_CERTIFICATE, extra={"client": client.peername})
            yield commands.SendData(client, HANDSHAKE_FAILURE)
            yield commands.CloseConnection(client)


class HandshakeLayer(ClientTLSLayer):
    """mitmproxy's TLS towards a client, with a session of ours from the first moment on.

    mitmproxy's own addon would make a certificate up before ours is asked. Nor does it bound a
    ClientHello, send the alert that tells a client why its handshake failed, send close_notify, or
    keep what a client sent out of the log.

    Args:
        chosen: mitmproxy's.
        certificates: Ours.
        protocols: What to offer by ALPN, best first.
    """

    def __init__(
        self, chosen: context.Context, certificates: Certificates, protocols: tuple[bytes, ...]
    ) -> None:
        super().__init__(chosen)
        self._certificates = certificates
        self._protocols = protocols

    def start_tls(self) -> layer.CommandGenerator[None]:
        session = self._certificates.open_session(self._protocols)
        data = TlsData(self.conn, self.context, ssl_conn=session)
        yield TlsStartClientHook(data)
        self.tls = data.ssl_conn or open_refusal()

    def receive_handshake_data(
        self, data: bytes
    ) -> layer.CommandGenerator[tuple[bool, str | None]]:
        if not self.client_hello_parsed and not is_bounded(bytes(self.recv_buffer) + data):
            return False, BAD_HELLO
        return (yield from super().receive_handshake_data(data))

    def send_close(self, command: commands.CloseConnection) -> layer.CommandGenerator[None]:
        """Close, after a close_notify (RFC 8446 6.1): else it looks like a connection cut."""
        if self.tls and self.tunnel_state is TunnelState.OPEN:
            with contextlib.suppress(SSL.Error):
                self.tls.shutdown()
            yield from self.tls_interact()
        yield from super().send_close(command)

    def on_handshake_error(self, err: str) -> layer.CommandGenerator[None]:
        if self.tls:
            yield from self.tls_interact()
        if err.startswith("Cannot parse ClientHello"):
            # What follows are the client's own bytes.
            err = "the ClientHello is malformed"
        logger.info("TLS handshake failed: %s", err, extra={"client": self.conn.peername})
        yield from super(ClientTLSLayer, self).on_handshake_error(err)
        self.event_to_child = self.errored  # type: ignore[method-assign]


def is_bounded(data: bytes) -> bool:
    """Whether the records that a connection begins with are neither too long nor too many.

    Nor may one be empty (RFC 8446 5.1).
    """
    at = records = 0
    while at + _RECORD_HEADER_BYTES <= len(data) and data[at] == TLS_HANDSHAKE:
        records += 1
        length = int.from_bytes(data[at + 3 : at + 5])
        at += _RECORD_HEADER_BYTES + length
        if not length or records > _MAX_HELLO_RECORDS or at > _MAX_HELLO_BYTES:
            return False
    return True


def is_own_session(session: object) -> bool:
    """Whether a TLS session was opened with a certificate of ours."""
    return isinstance(session, SSL.Connection) and isinstance(session.get_app_data(), Offer)


def open_refusal() -> SSL.Connection:
    """A session whose handshake fails, because it has no certificate.

    Without any session mitmproxy would close the connection twice, and thereby never.
    """
    session = SSL.Connection(SSL.Context(SSL.TLS_SERVER_METHOD))
    session.set_accept_state()
    return session


def build_upstream_context(ca: str = "") -> ssl.SSLContext:
    """The TLS context towards upstreams: certificates and names are verified.

    Args:
        ca: A PEM file of CAs to trust besides those of the system; empty for none.

    Raises:
        OSError: The file cannot be read, or holds no certificate.
    """
    context = ssl.create_default_context()
    # Python 3.13 asks more of a CA than 3.12, OpenSSL or nginx do: private ones often fail it.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    # RFC 9525 6.3: a common name proves nothing.
    context.hostname_checks_common_name = False
    if ca:
        context.load_verify_locations(cafile=ca)
    context.set_alpn_protocols(["http/1.1"])
    return context
