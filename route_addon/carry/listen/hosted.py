"""Connections that mitmproxy hosts: a layer of ours in it, which takes the transport over.

mitmproxy accepts the connection, asks its hooks, reads the first bytes and makes the TLS
handshake. From then on its read loop is parked and the bytes come to a wire. mitmproxy's own
protocol is told when the connection is lost, so that its registry, hooks and UIs stay true.
"""

import asyncio
import logging
from typing import Any

from mitmproxy import connection, ctx
from mitmproxy.connection import ConnectionState
from mitmproxy.proxy import commands, context, events, layer
from mitmproxy.proxy.layers.tls import ClientTLSLayer
from mitmproxy.proxy.server import ConnectionHandler

from route_addon.carry.faults import describe_fault
from route_addon.carry.flows import read_peer
from route_addon.carry.listen.arrivals import Arrival
from route_addon.carry.relay import Relay
from route_addon.carry.tls.layer import TLS_HANDSHAKE, offer_protocols, put_under_tls
from route_addon.carry.wire import TlsWire, Wire

logger = logging.getLogger(__name__)

_RETRY_S = 0.001
_MAX_RETRY_S = 0.1


class HostedArrival(Arrival):
    """One that no carrier has yet.

    Args:
        client: mitmproxy's.
    """

    __slots__ = ("_client",)

    def __init__(self, client: connection.Client) -> None:
        super().__init__()
        self._client = client

    def abort(self) -> bool:
        handler = ctx.master.addons.get("proxyserver").connections.get(self._client.id)
        io = handler.transports.get(self._client) if handler is not None else None
        if io is None or io.writer is None:
            return False
        io.writer.transport.abort()
        return True


class Hosted:
    """Holds a connection whose wire takes the transport over as soon as that can be done.

    Args:
        handler: mitmproxy's handler of the connection.
        transport: The connection's transport.
    """

    def __init__(self, handler: ConnectionHandler, transport: asyncio.Transport) -> None:
        self.is_wire_reading = False
        self.has_ended = False
        """Whether the client has sent its end before the takeover."""
        self._handler = handler
        self._transport = transport
        self._old = transport.get_protocol()
        self._wire: Wire | None = None
        # From here on the relay has deadlines of its own.
        handler.timeout_watchdog.timeout = 10**9

    @property
    def client(self) -> connection.Client:
        return self._handler.client

    def begin(self, wire: Wire) -> None:
        self._wire = wire
        self._listen_in(wire)
        asyncio.get_running_loop().call_soon(self._take_over)

    def closed(self) -> None:
        """mitmproxy's task waits for a close of its own when the client has ended first."""
        if self.has_ended and not self.is_wire_reading:
            io = self._handler.transports.get(self.client)
            if io is not None and io.handler is not None:
                io.handler.cancel("closed by the relay")
            if self._wire is not None:
                self._wire.lose()

    def lost(self, exc: Exception | None) -> None:
        self._wire = None
        # mitmproxy's task ends by itself once nothing can be written either; under TLS its layer
        # would keep the word of the end from ours when a close_notify came before.
        self.client.state &= ~ConnectionState.CAN_WRITE
        self._old.connection_lost(exc)

    def _listen_in(self, wire: Wire) -> None:
        """Let the wire hear of the room for writing, and of the loss, before the takeover.

        mitmproxy's read loop waits for that room: with a client that does not read so does the
        takeover. There is none any more once the client has sent its end.
        """
        old: Any = self._old
        old_pause, old_resume = old.pause_writing, old.resume_writing
        old_lost = old.connection_lost

        def pause() -> None:
            old_pause()
            wire.pause_writing()

        def resume() -> None:
            old_resume()
            wire.resume_writing()

        def lose(exc: Exception | None) -> None:
            old_lost(exc)
            wire.lose()
            self.closed()

        old.pause_writing, old.resume_writing = pause, resume
        old.connection_lost = lose

    def _take_over(self, retry_s: float = _RETRY_S) -> None:
        wire = self._wire
        if wire is not None:
            try:
                self._try_to_take_over(wire, retry_s)
            except Exception as fault:
                wire.fail(fault)

    def _try_to_take_over(self, wire: Wire, retry_s: float) -> None:
        """Let the wire be the transport's protocol, once mitmproxy's read loop has read nothing.

        Any other moment would let a chunk that the loop still holds come late.
        """
        if self.is_wire_reading or self.has_ended or wire.is_closing:
            return
        reader: Any = self._handler.transports[self.client].reader
        waiter = reader._waiter
        if waiter is None or waiter.done() or reader._buffer:
            # Not from the timer itself: it runs behind the socket, which may always have more.
            loop = asyncio.get_running_loop()
            later_s = min(2 * retry_s, _MAX_RETRY_S)
            loop.call_later(retry_s, loop.call_soon, self._take_over, later_s)
            return
        self._transport.set_protocol(wire)
        self.is_wire_reading = True
        wire.obey_pause()


class RelayLayer(layer.Layer):
    """The layer on top of a client's TCP connection, or of its TLS.

    Args:
        context: mitmproxy's.
        relay: What all connections share.
    """

    def __init__(self, context: context.Context, relay: Relay) -> None:
        super().__init__(context)
        self._relay = relay
        self._wire: Wire | None = None
        self._hosted: Hosted | None = None

    def _handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        try:
            yield from self._carry(event)
        except Exception as fault:
            logger.error("the layer failed: %s", describe_fault(fault))
            # mitmproxy does not always close what it is told to: its task may be cancelled where
            # that skips the end of it.
            _transport(self.context.client).abort()
            yield commands.CloseConnection(self.context.client)

    def _carry(self, event: events.Event) -> layer.CommandGenerator[None]:
        client = self.context.client
        if isinstance(event, events.Start):
            self._open(client)
        elif isinstance(event, events.DataReceived) and self._wire is not None:
            # Bytes that mitmproxy's read loop still had.
            self._wire.deliver(event.data)
        elif isinstance(event, events.ConnectionClosed):
            if self._wire is not None and self._hosted is not None:
                self._end(self._wire, self._hosted)
            if self._wire is None or self._wire.is_closing:
                yield commands.CloseConnection(client)
        yield from ()

    def _end(self, wire: Wire, hosted: Hosted) -> None:
        """The end, as mitmproxy's read loop saw it; it waits to be released."""
        if not hosted.is_wire_reading:
            hosted.has_ended = True
            wire.eof_received()

    def _open(self, client: connection.Client) -> None:
        transport = _transport(client)
        hosted = Hosted(_handler(client), transport)
        tls_layer = self.context.layers[-2]
        if isinstance(tls_layer, ClientTLSLayer):
            wire: Wire = TlsWire(transport, hosted, tls_layer.tls)
        else:
            wire = Wire(transport, hosted)
        self._relay.open(wire, read_peer(client), client.alpn)
        # Now, not before: until then its time as an arrival counts.
        self._relay.arrivals.begin(client)
        self._wire, self._hosted = wire, hosted


def _handler(client: connection.Client) -> ConnectionHandler:
    handler: ConnectionHandler = ctx.master.addons.get("proxyserver").connections[client.id]
    return handler


def _transport(client: connection.Client) -> asyncio.Transport:
    handler: Any = _handler(client)
    transport: asyncio.Transport = handler.transports[client].writer.transport
    return transport


def accept_hosted(client: connection.Client, relay: Relay) -> str | None:
    """mitmproxy has accepted a connection.

    Returns:
        Why it must be closed, or None.
    """
    return relay.accept(client, client.peername, client.sockname, HostedArrival(client))


def choose_layers(nextlayer: layer.NextLayer, relay: Relay) -> None:
    """Put the relay on top of a client's connection, under TLS when that is what it speaks."""
    data = nextlayer.data_client()
    if not data:
        return
    chosen = nextlayer.context
    # mitmproxy's own choice, made before ours, has left its layers behind.
    del chosen.layers[1:]
    if data[0] == TLS_HANDSHAKE:
        relay.arrivals.begin_handshake(chosen.client, relay.limits)
        nextlayer.layer = put_under_tls(
            chosen,
            relay.certificates,
            offer_protocols(),
            lambda context: RelayLayer(context, relay),
        )
    else:
        nextlayer.layer = RelayLayer(chosen, relay)
