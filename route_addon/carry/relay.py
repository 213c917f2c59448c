"""The relay carrier: what all its connections share.

On each of them: bytes -> ``RequestHead`` -> ``decide`` -> ``Decision`` -> upstream.
"""

import logging
import ssl
from collections.abc import Callable, Hashable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from mitmproxy import connection

from route_addon.carry.cache.caching import HttpCache
from route_addon.carry.client_stream import ClientStream
from route_addon.carry.deadlines import Deadlines
from route_addon.carry.evidence import describe_answer
from route_addon.carry.exchange import Exchange
from route_addon.carry.http1.client import ClientHttp1
from route_addon.carry.http1.heads import RawRequest
from route_addon.carry.http1.lines import KnownLines
from route_addon.carry.http2.client import ClientHttp2
from route_addon.carry.limits import CacheLimits, Limits
from route_addon.carry.listen.arrivals import Arrival, Arrivals
from route_addon.carry.listen.listener import listen_addresses
from route_addon.carry.listen.turns import Turns
from route_addon.carry.log_readers import is_read
from route_addon.carry.spool import Spools
from route_addon.carry.tls.certificates import Certificates
from route_addon.carry.tls.layer import HTTP2
from route_addon.carry.upstreams.connection import Upstreams
from route_addon.carry.upstreams.pools import Pools
from route_addon.carry.upstreams.resolve import Resolver
from route_addon.carry.verify import Verifier
from route_addon.carry.wire import Wire
from route_addon.core.encodings import DEFAULT_ENCODING, EncodingPolicy
from route_addon.core.messages import Peer, RequestHead, Respond
from route_addon.core.observer import Observer
from route_addon.core.pool_config import PoolSpec
from route_addon.core.router import Router

if TYPE_CHECKING:
    from route_addon.carry.watched.watch import Watch

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
        self.watch: Watch | None = None
        """Who makes flows of exchanges, when somebody watches."""
        self.known_lines = KnownLines[RawRequest]()
        """What the field lines of HTTP/1 requests mean."""
        self.deadlines = Deadlines()
        self.turns = Turns()
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

    def accept(
        self,
        key: Hashable,
        peername: connection.Address | None,
        sockname: connection.Address,
        arrival: Arrival,
    ) -> str | None:
        """A connection has been accepted.

        Args:
            key: Stands for it until it is gone.
            peername: The client's address; None if it is gone already.
            sockname: Ours.
            arrival: Closes it when it is silent for too long.

        Returns:
            Why it must be closed, or None.
        """
        if not peername:
            # Reset before anybody could ask whose it was.
            return "gone"
        port = sockname[1]
        if port not in self.own_ports:
            # All of them: a pod's address may be one of ours at which nobody has come yet.
            self.own_ports |= {port, *(address[1] for address in listen_addresses())}
        refusal = self.arrivals.accept(key, peername[0], arrival, self.limits)
        if refusal is not None:
            logger.info("closed: a connection too many (%s)", refusal)
        return refusal

    def open(self, wire: Wire, peer: Peer, protocol: bytes | None) -> None:
        """Carry what comes on a wire from now on.

        Args:
            wire: The client's.
            peer: Who is at its other end.
            protocol: What was agreed on by ALPN, if anything was.
        """
        speak = ClientHttp2 if protocol == HTTP2 else ClientHttp1
        wire.begin(speak(self, wire, peer))

    def _make_exchange(self, stream: ClientStream, head: RequestHead) -> Exchange:
        return Exchange(self, stream, head, self.observer)

    @property
    def is_watched(self) -> bool:
        """Whether somebody watches."""
        return self.watch is not None

    def watch_by(self, watch: "Watch | None") -> None:
        """Let exchanges be made by whoever watches them, from the next request on."""
        self.watch = watch
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
