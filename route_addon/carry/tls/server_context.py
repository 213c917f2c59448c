"""TLS towards clients: the context of a certificate, and what its sessions offer."""

import logging
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from OpenSSL import SSL

from route_addon.carry.faults import describe_fault

logger = logging.getLogger(__name__)

_CIPHERS: Final = (
    b"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
    b"ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
    b"ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
)
"""For TLS 1.2: forward secrecy and authenticated encryption only. All of TLS 1.3 has both."""


class Offer(NamedTuple):
    """What a TLS session of ours offers; that it is there says that the session is ours."""

    protocols: tuple[bytes, ...]
    """By ALPN, best first."""
    select: Callable[[str | None], SSL.Context]
    """The context of the certificate for the name that a client gives, if it gives one."""


def last_reason(error: BaseException) -> str:
    """What OpenSSL says is wrong, without its inner names."""
    entries = error.args[0] if error.args else None
    if isinstance(entries, list) and entries:
        return str(entries[-1][2]) or "no reason given"
    return str(error) or type(error).__name__


def build_context(
    chain: Sequence[x509.Certificate], key: CertificateIssuerPrivateKeyTypes
) -> SSL.Context:
    """A server's TLS context: TLS 1.2 at least, modern ciphers, session tickets.

    Args:
        chain: The certificate, then those that lead to its CA.
        key: Its private key.

    Raises:
        SSL.Error: OpenSSL does not take them; a key that is too short, for one.
    """
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_cipher_list(_CIPHERS)
    context.set_options(SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION)
    # Tickets hold all that a resumption needs: a cache here would only grow.
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    # A thousand silent WebSockets would hold 32 KiB of buffers each.
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    context.set_tlsext_servername_callback(_select_certificate)
    context.set_alpn_select_callback(_select_protocol)
    context.use_certificate(chain[0])
    for issuer in chain[1:]:
        context.add_extra_chain_cert(issuer)
    context.use_privatekey(key)
    context.check_privatekey()
    return context


def read_name(connection: SSL.Connection) -> str | None:
    """The name that a client gives (RFC 6066 3)."""
    name = connection.get_servername()
    return name.decode("ascii", "replace") if name else None


def _select_certificate(connection: SSL.Connection) -> None:
    """Choose by the name that the client gives; where that fails, there is none to go on with.

    A fault must not leave this: it is printed then, with all that is in it.
    """
    try:
        offer: Offer = connection.get_app_data()
        context = offer.select(read_name(connection))
        if context is not connection.get_context():
            connection.set_context(context)
    except Exception as fault:
        logger.error("no certificate was chosen: %s", describe_fault(fault))
        connection.set_context(SSL.Context(SSL.TLS_SERVER_METHOD))


def _select_protocol(connection: SSL.Connection, offered: list[bytes]) -> bytes:
    """Choose by ALPN.

    Raises:
        SSL.Error: Nothing in common. RFC 7301 3.2 ends the handshake then; going on would let
            another protocol's client talk to us.
    """
    offer: Offer = connection.get_app_data()
    for protocol in offer.protocols:
        if protocol in offered:
            return protocol
    raise SSL.Error("no application protocol in common")
