"""Connections that come straight to the relay, past mitmproxy: see ``Door``, which lets them.

A connection costs two small objects then, no task and no hook.
"""

import asyncio
import logging
import time
from typing import Final, cast

from mitmproxy import connection
from mitmproxy.proxy import mode_specs
from mitmproxy.proxy.server_hooks import ClientDisconnectedHook
from OpenSSL import SSL

from route_addon.carry.faults import describe_fault
from route_addon.carry.flows import make_peer
from route_addon.carry.listen.arrivals import Arrival
from route_addon.carry.listen.listener import DEAD_END
from route_addon.carry.reading import BoundedProtocol
from route_addon.carry.relay import Relay
from route_addon.carry.tls.certificates import Certificates
from route_addon.carry.tls.handshake import Handshake, HandshakeFault
from route_addon.carry.tls.layer import (
    HANDSHAKE_FAILURE,
    NO_CERTIFICATE,
    TLS_HANDSHAKE,
    offer_protocols,
)
from route_addon.carry.tls.server_context import read_name
from route_addon.carry.watched.firing import trigger
from route_addon.carry.wire import TlsWire, Wire

logger = logging.getLogger(__name__)

_TLS: Final = bytes((TLS_HANDSHAKE,))
_MODE: Final = mode_specs.ProxyMode.parse(DEAD_END)


class Visitor(BoundedProtocol, Arrival):
    """A client's connection.

    Until it has said what it speaks, and has made the handshake of TLS, this is the transport's
    protocol. Then a wire is, which this holds.

    Args:
        relay: What all connections share.
    """

    __slots__ = (
        "_client",
        "_handshake",
        "_has_ended",
        "_relay",
        "_said",
        "_secure_since",
        "_transport",
        "_waiting",
    )

    is_wire_reading = True

    def __init__(self, relay: Relay) -> None:
        super().__init__()
        self._relay = relay
        self._transport: asyncio.Transport | None = None
        self._handshake: Handshake | None = None
        self._waiting: asyncio.Task[None] | None = None
        self._secure_since: float | None = None
        self._client: connection.Client | None = None
        self._said = b""
        """What it has said before it was let in."""
        self._has_ended = False
        """Whether it will say no more."""

    # As the transport's protocol.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's.
        self._transport = made = cast(asyncio.Transport, transport)
        try:
            self._arrive(made)
        except Exception as fault:
            self._fail(fault, made)

    def data_received(self, data: bytes) -> None:
        transport = self._transport
        assert transport is not None
        try:
            if self._handshake is not None:
                self._shake_hands(transport, self._handshake, data)
            elif self._said:
                # It waits for its turn, and is heard no further.
                self._said += data
                transport.pause_reading()
            else:
                self._said = data
                self._relay.turns.let_in(transport.get_extra_info("peername")[0], self)
        except Exception as fault:
            self._fail(fault, transport)

    def eof_received(self) -> bool:
        """Whoever waits for its turn may have asked for something; a handshake is in vain."""
        self._has_ended = self._said[:1] not in (b"", _TLS)
        return self._has_ended

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost(exc)

    def _arrive(self, transport: asyncio.Transport) -> None:
        ask = transport.get_extra_info
        if self._relay.accept(self, ask("peername"), ask("sockname"), self) is not None:
            transport.close()

    def _open(self, transport: asyncio.Transport, wire: Wire, protocol: bytes | None) -> Wire:
        """Let a wire bring to the relay what comes from now on."""
        ask = transport.get_extra_info
        is_tls = self._handshake is not None
        transport.set_protocol(wire)
        peer = make_peer(ask("peername"), ask("sockname"), is_tls=is_tls)
        self._relay.open(wire, peer, protocol)
        # Now, not before: until then its time as an arrival counts.
        self._relay.arrivals.begin(self)
        return wire

    def _fail(self, fault: Exception, transport: asyncio.Transport) -> None:
        """A fault of ours ends the connection and nothing else."""
        logger.error("a connection failed: %s", describe_fault(fault))
        transport.abort()

    # When it is its turn.

    def come_in(self) -> None:
        transport, data = self._transport, self._said
        self._said = b""
        # It may have gone meanwhile.
        if transport is not None and not transport.is_closing():
            try:
                transport.resume_reading()
                self._enter(transport, data)
            except Exception as fault:
                self._fail(fault, transport)

    def _enter(self, transport: asyncio.Transport, data: bytes) -> None:
        if data[0] == TLS_HANDSHAKE:
            self._begin_handshake(transport, data)
        else:
            wire = self._open(transport, Wire(transport, self), None)
            wire.deliver(data)
            if self._has_ended:
                wire.eof_received()

    # TLS.

    def _begin_handshake(self, transport: asyncio.Transport, data: bytes) -> None:
        relay = self._relay
        relay.arrivals.begin_handshake(self, relay.limits)
        certificates = relay.certificates
        if not certificates:
            logger.info(NO_CERTIFICATE)
            transport.write(HANDSHAKE_FAILURE)
            transport.close()
        elif certificates.is_fresh:
            self._welcome(transport, certificates, data)
        else:
            transport.pause_reading()
            work = self._refresh(transport, certificates, data)
            self._waiting = asyncio.get_running_loop().create_task(work)

    async def _refresh(
        self, transport: asyncio.Transport, certificates: Certificates, data: bytes
    ) -> None:
        """Take changed certificates before a handshake uses them."""
        try:
            await certificates.refresh()
            if not transport.is_closing():
                transport.resume_reading()
                self._welcome(transport, certificates, data)
        except Exception as fault:
            self._fail(fault, transport)
        finally:
            self._waiting = None

    def _welcome(
        self, transport: asyncio.Transport, certificates: Certificates, data: bytes
    ) -> None:
        self._handshake = handshake = Handshake(certificates, offer_protocols())
        self._shake_hands(transport, handshake, data)

    def _shake_hands(self, transport: asyncio.Transport, handshake: Handshake, data: bytes) -> None:
        try:
            handshake.receive(data)
        except HandshakeFault as fault:
            logger.info("TLS handshake failed: %s", fault)
            transport.write(handshake.take())
            transport.close()
            return
        answer = handshake.take()
        if answer:
            transport.write(answer)
        if handshake.is_over:
            self._secure_since = time.time()
            session = handshake.session
            wire = TlsWire(transport, self, session)
            self._open(transport, wire, session.get_alpn_proto_negotiated())
            wire.read_session()

    # As one that no carrier has yet.

    def abort(self) -> bool:
        if self._transport is None or self._transport.is_closing():
            return False
        self._transport.abort()
        return True

    # As the wire's holder.

    @property
    def client(self) -> connection.Client:
        if self._client is None:
            assert self._transport is not None
            self._client = self._describe(self._transport)
        return self._client

    def begin(self, wire: Wire) -> None:
        """It is the transport's protocol already."""

    def closed(self) -> None:
        """The transport tells when it is."""

    def lost(self, exc: Exception | None) -> None:
        self._relay.arrivals.leave(self)
        client, watch = self._client, self._relay.watch
        self._transport = self._handshake = None
        if client is not None:
            client.state = connection.ConnectionState.CLOSED
            client.timestamp_end = time.time()
            if watch is not None:
                watch.run(trigger(ClientDisconnectedHook, client))

    def _describe(self, transport: asyncio.Transport) -> connection.Client:
        """What mitmproxy would know of the connection, if it had accepted it."""
        age_s = asyncio.get_running_loop().time() - self.since
        client = connection.Client(
            peername=transport.get_extra_info("peername"),
            sockname=transport.get_extra_info("sockname"),
            timestamp_start=time.time() - age_s,
            proxy_mode=_MODE,
            state=connection.ConnectionState.OPEN,
        )
        if self._handshake is not None:
            self._describe_tls(client, self._handshake.session)
        return client

    def _describe_tls(self, client: connection.Client, session: SSL.Connection) -> None:
        client.tls = True
        client.timestamp_tls_setup = self._secure_since
        client.sni = read_name(session)
        client.alpn = session.get_alpn_proto_negotiated()
        client.cipher = session.get_cipher_name()
        client.tls_version = session.get_protocol_version_name()  # type: ignore[assignment]
