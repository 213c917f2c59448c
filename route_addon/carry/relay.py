"""The relay carrier: a layer of our own in mitmproxy, and what all its connections share.

mitmproxy listens, asks its hooks and makes the TLS handshake. Then the layer takes the
connection's transport over: bytes -> ``RequestHead`` -> ``decide`` -> ``Decision`` -> upstream.
"""

import asyncio
import logging
import ssl
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from mitmproxy import connection, ctx
from mitmproxy.proxy import commands, context, events, layer
from mitmproxy.proxy.layers.tls import ClientTLSLayer
from mitmproxy.proxy.server import ConnectionHandler

from route_addon.carry.arrivals import Arrivals
from route_addon.carry.caching import HttpCache
from route_addon.carry.certificates import Certificates
from route_addon.carry.client_http1 import ClientHttp1
from route_addon.carry.client_http2 import ClientHttp2
from route_addon.carry.client_stream import ClientStream
from route_addon.carry.deadlines import Deadlines
from route_addon.carry.evidence import describe_answer
from route_addon.carry.exchange import Exchange
from route_addon.carry.faults import describe_fault
from route_addon.carry.flows import read_peer
from route_addon.carry.http1 import RawRequest
from route_addon.carry.http1_lines import KnownLines
from route_addon.carry.limits import CacheLimits, Limits
from route_addon.carry.listener import listen_addresses
from route_addon.carry.log_readers import is_read
from route_addon.carry.pools import Pools
from route_addon.carry.resolve import Resolver
from route_addon.carry.spool import Spools
from route_addon.carry.tls import HTTP1, HTTP1_AND_2, HTTP2, TLS_HANDSHAKE, put_under_tls
from route_addon.carry.upstream import Upstreams
from route_addon.carry.verify import Verifier
from route_addon.carry.wire import TlsWire, Wire
from route_addon.core.encodings import DEFAULT_ENCODING, EncodingPolicy
from route_addon.core.messages import RequestHead, Respond
from route_addon.core.observer import Observer
from route_addon.core.pool_config import PoolSpec
from route_addon.core.router import Router

if TYPE_CHECKING:
    from route_addon.carry.watch import Watch

logger = logging.getLogger(__name__)


class Relay:
    """What all connections of a process share.

    Args:
        limits: What clients and upstreams may take.
        router: The router in force.
    """

    def __init__(self, limits: Limits, router: Router) -> None:
        self.limits = limits
        self.router = router
        self.own_ports: frozenset[int] = frozenset()
        """The ports that we listen on."""
        self.certificates: Certificates | None = None
        self.is_draining = False
        self.observer: Observer | None = None
        """Told of every request that comes from now on."""
        self.make_exchange: Callable[[ClientStream, RequestHead], Exchange] = self._make_exchange
        self.is_watched = False
        self.known_lines = KnownLines[RawRequest]()
        """What the field lines of HTTP/1 requests mean."""
        self.deadlines = Deadlines()
        self.resolver = Resolver()
        self.verifier = Verifier()
        self.arrivals = Arrivals(
            self.deadlines, lambda address: self.router.rules.proxies.trusts(address)
        )
        self.spools = Spools(limits.spool_folder, limits.spool_bytes)
        self.upstreams = Upstreams(self.deadlines, limits.connect_s)
        self.pools = Pools(self.deadlines, self.resolver, self.upstreams)
        self.cache = HttpCache(CacheLimits())
        self.encoding = DEFAULT_ENCODING

    def configure(
        self,
        limits: Limits,
        router: Router,
        pools: Mapping[str, PoolSpec],
        cache: CacheLimits,
        encoding: EncodingPolicy,
        certificates: Certificates | None = None,
        upstream_tls: ssl.SSLContext | None = None,
    ) -> None:
        """Take new settings: they hold for what begins from now on."""
        self.limits = limits
        self.router = router
        self.certificates = certificates
        self.upstreams.tls = upstream_tls
        self.spools.configure(limits.spool_folder, limits.spool_bytes)
        self.upstreams.connect_timeout_s = limits.connect_s
        self.pools.configure(pools)
        self.cache.configure(cache)
        self.encoding = encoding

    def accept(self, client: connection.Client) -> str | None:
        """A connection has been accepted.

        Returns:
            Why it must be closed, or None.
        """
        if not client.peername:
            # Reset before anybody could ask whose it was.
            return "gone"
        port = client.sockname[1]
        if port not in self.own_ports:
            # All of them: a pod's address may be one of ours at which nobody has come yet.
            self.own_ports |= {port, *(address[1] for address in listen_addresses())}
        refusal = self.arrivals.accept(client, self.limits)
        if refusal is not None:
            logger.info("closed: a connection too many (%s)", refusal)
        return refusal

    def _make_exchange(self, stream: ClientStream, head: RequestHead) -> Exchange:
        return Exchange(self, stream, head, self.observer)

    def watch_by(self, watch: "Watch | None") -> None:
        """Let exchanges be made by whoever watches them, from the next request on."""
        self.is_watched = watch is not None
        self.make_exchange = (
            self._make_exchange if watch is None else partial(watch.make_exchange, self)
        )

    def report_refusal(self, answer: Respond) -> None:
        """One line for each refusal, where somebody reads it."""
        if is_read(logging.INFO):
            logger.info("%s", describe_answer(answer))

    def close(self) -> None:
        """Let threads and resting connections go."""
        self.pools.close()
        self.upstreams.close()
        self.deadlines.close()
        self.resolver.close()
        self.verifier.close()
        self.spools.close()


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
            self._wire = self._open(client)
        elif isinstance(event, events.DataReceived) and self._wire is not None:
            self._wire.receive_event(event.data)
        elif isinstance(event, events.ConnectionClosed):
            wire = self._wire
            if wire is not None and not wire.is_taken_over:
                wire.receive_eof_event()
            if wire is None or wire.is_closing:
                yield commands.CloseConnection(client)
        yield from ()

    def _open(self, client: connection.Client) -> Wire:
        handler = _handler(client)
        transport = _transport(client)
        tls_layer = self.context.layers[-2]
        if isinstance(tls_layer, ClientTLSLayer):
            wire: Wire = TlsWire(handler, transport, tls_layer.tls)
        else:
            wire = Wire(handler, transport)
        speak = ClientHttp2 if client.alpn == HTTP2 else ClientHttp1
        wire.begin(speak(self._relay, wire, read_peer(client)))
        # Now, not before: until then its time as an arrival counts.
        self._relay.arrivals.begin(client)
        return wire


def _handler(client: connection.Client) -> ConnectionHandler:
    handler: ConnectionHandler = ctx.master.addons.get("proxyserver").connections[client.id]
    return handler


def _transport(client: connection.Client) -> asyncio.Transport:
    handler: Any = _handler(client)
    transport: asyncio.Transport = handler.transports[client].writer.transport
    return transport


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
        protocols = HTTP1_AND_2 if ctx.options.http2 else HTTP1
        nextlayer.layer = put_under_tls(
            chosen, relay.certificates, protocols, lambda context: RelayLayer(context, relay)
        )
    else:
        nextlayer.layer = RelayLayer(chosen, relay)
