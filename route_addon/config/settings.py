"""The values of all options, as they are used: frozen, and checked before they are here."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from route_addon.carry.limits import CacheLimits, DrainLimits, Limits, WatchLimits
from route_addon.carry.listen.sockets import ListenAddress
from route_addon.carry.tls.certificate import CertificateFiles
from route_addon.config.workers import Worker
from route_addon.core.encodings import EncodingPolicy
from route_addon.core.pool_config import PoolSpec
from route_addon.core.router import Rules


class MetricsAddress(NamedTuple):
    """Where to listen."""

    host: str
    """An IP address; IPv6 without brackets."""
    port: int
    is_default: bool = False
    """Whether nobody asked for it."""

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class AccessLogSettings(NamedTuple):
    """What the access log is."""

    format: str
    """``json``, ``combined`` or ``off``."""
    path: str
    """The file; empty for standard output."""
    shows_target: bool
    """Whether lines name the server that a request went to."""


@dataclass(frozen=True, slots=True)
class Settings:
    """A configuration that is complete and checked."""

    rules: Rules
    pools: Mapping[str, PoolSpec]
    """The servers of each upstream, with all that is configured of them."""
    carrier: str
    """``relay`` or ``stock``."""
    limits: Limits
    cache_limits: CacheLimits
    encoding: EncodingPolicy
    watch: str
    """``auto``, ``always`` or ``never``."""
    watch_limits: WatchLimits
    listen: tuple[ListenAddress, ...]
    """Empty for where mitmproxy's own options say."""
    workers: int
    """0 for as many as there is room for."""
    drain: DrainLimits
    record: str
    """The file to record in, or empty."""
    certificates: tuple[CertificateFiles, ...]
    upstream_ca: str
    """A PEM file of CAs, or empty."""
    files: Mapping[str, object]
    """What it was made of besides the options' values: keys, CAs, the configuration file. By path,
    what they looked like before they were read."""
    cache_ttl_s: int
    cache_entries: int
    metrics: MetricsAddress | None
    access_log: AccessLogSettings
    signing_fingerprints: tuple[str, ...]
    payload_fingerprints: tuple[str, ...]
    warnings: tuple[str, ...]
    """What an operator should be told at the start."""

    @property
    def cache_key(self) -> object:
        """What verified tokens depend on: when it changes, they are forgotten."""
        rules = self.rules
        return (
            self.signing_fingerprints,
            self.payload_fingerprints,
            rules.policy.allow,
            rules.policy.deny,
            rules.leeway_s,
            self.cache_ttl_s,
            self.cache_entries,
        )

    def share(self, worker: Worker) -> "Settings":
        """What one of several processes gets: of all that is bounded in all, its part."""
        share, limits, cache = worker.share, self.limits, self.cache_limits
        return dataclasses.replace(
            self,
            pools={name: _share_pool(pool, worker) for name, pool in self.pools.items()},
            limits=dataclasses.replace(
                limits,
                spool_bytes=share(limits.spool_bytes),
                max_connections=share(limits.max_connections),
                max_connections_per_client=share(limits.max_connections_per_client),
            ),
            cache_limits=dataclasses.replace(cache, max_bytes=share(cache.max_bytes)),
            cache_entries=share(self.cache_entries),
        )

    def describe(self) -> str:
        """One line for the start of the log."""
        upstreams = " ".join(
            f"{name}={server.scheme.decode()}://{server.authority.decode()}"
            for name, servers in self.rules.upstreams.items()
            for server in servers
        )
        proxies = ",".join(map(str, self.rules.proxies.networks)) or "none"
        signing = ",".join(self.signing_fingerprints) or "none"
        payload = ",".join(self.payload_fingerprints) or "none"
        return (
            f"upstreams {upstreams}; trusted proxies {proxies}; "
            f"signing key sha256 {signing}; payload key sha256 {payload}"
        )


def _share_pool(pool: PoolSpec, worker: Worker) -> PoolSpec:
    servers = (
        dataclasses.replace(server, max_conns=worker.share(server.max_conns))
        for server in pool.servers
    )
    return dataclasses.replace(pool, servers=tuple(servers))
