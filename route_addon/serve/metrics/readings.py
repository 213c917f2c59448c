"""What this process counts and holds, read when somebody asks."""

import os
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from route_addon.carry.relay import Relay
from route_addon.carry.tls.certificates import Certificates
from route_addon.config.reloads import Reloads
from route_addon.core.keys import NO_KEYS, Keys, fingerprint
from route_addon.serve.metrics.joining import Labels, Ledger, Samples, Snapshot
from route_addon.serve.metrics.tally import Histogram, Tally, location_name
from route_addon.serve.open_files import count_open_files
from route_addon.version import find_version

NO_LABELS: Final = ()
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
_PROC: Final = Path("/proc/self")
_STARTED: Final = time.time()
_VERSION: Final = find_version()


class LogCounts(NamedTuple):
    """What became of the access log's lines."""

    written: int
    dropped: int


class Readings:
    """Reads a process that carries requests.

    Args:
        tally: What the carrier has reported.
        relay: What its connections share.
        reloads: What became of changed files.
        log_counts: What became of the access log's lines; None where there is no log.
    """

    def __init__(
        self,
        tally: Tally,
        relay: Relay,
        reloads: Reloads,
        log_counts: Callable[[], LogCounts | None],
    ) -> None:
        self._tally = tally
        self._relay = relay
        self._reloads = reloads
        self._log_counts = log_counts
        self._replaced = Ledger()
        self._keys = NO_KEYS
        self._fingerprints: tuple[str, ...] = ()
        self._keys_since = 0.0
        self._read_keys(relay.router.rules.keys)

    def read(self) -> Snapshot:
        """All of it. Counters never go back while the process lives."""
        relay = self._relay
        return {
            **_read_requests(self._tally),
            **_read_open(self._tally),
            **self._replaced.add(_read_replaceable(relay)),
            **_read_relay(relay),
            **_read_pools(relay),
            **self._read_keys(relay.router.rules.keys),
            **_read_reloads(self._reloads, relay.certificates),
            **_read_certificates(relay.certificates),
            **_read_log(self._log_counts()),
            **_read_process(),
        }

    def _read_keys(self, keys: Keys) -> Snapshot:
        if keys is not self._keys:
            # Every change of an option reads the files again: what counts is what is in them.
            self._keys = keys
            fingerprints = (*map(fingerprint, keys.signing), *map(fingerprint, keys.payload))
            if fingerprints != self._fingerprints:
                self._fingerprints, self._keys_since = fingerprints, time.time()
        return {
            "route_keys": {("signing",): len(keys.signing), ("payload",): len(keys.payload)},
            "route_keys_loaded_timestamp_seconds": {NO_LABELS: self._keys_since},
        }


def _read_requests(tally: Tally) -> Snapshot:
    locations = tally.locations.items()
    return {
        "route_requests_total": {**tally.requests},
        "route_refusals_total": {**tally.refusals},
        "route_http_cache_requests_total": {**tally.cached},
        "route_cuts_total": {(name,): one.cuts for name, one in locations},
        "route_request_duration_seconds": {
            (name,): _flatten(one.durations) for name, one in locations
        },
        "route_first_byte_seconds": {(name,): _flatten(one.first_bytes) for name, one in locations},
    }


def _flatten(histogram: Histogram) -> list[float]:
    return [histogram.sum_s, *histogram.counts]


def _read_open(tally: Tally) -> Snapshot:
    """What is open, and the bytes of all: of WebSockets that go on too."""
    received, sent = Counter[Labels](), Counter[Labels]()
    requests, websockets = Counter[Labels](), Counter[Labels]()
    for name, one in tally.locations.items():
        received[name,], sent[name,] = one.received_bytes, one.sent_bytes
        requests[name,] = websockets[name,] = 0
    for report in tally.open:
        labels = (location_name(report),)
        tunnel = report.tunnel
        (requests if tunnel is None else websockets)[labels] += 1
        if tunnel is not None:
            received[labels] += tunnel.client_bytes
            sent[labels] += tunnel.upstream_bytes
    return {
        "route_received_bytes_total": {**received},
        "route_sent_bytes_total": {**sent},
        "route_open_requests": {**requests},
        "route_open_websockets": {**websockets},
    }


def _read_replaceable(relay: Relay) -> dict[object, Snapshot]:
    """Counters of what a new configuration may replace."""
    targets = relay.router.targets
    read: dict[object, Snapshot] = {
        targets: {
            "route_token_cache_hits_total": {NO_LABELS: targets.hits},
            "route_token_cache_misses_total": {NO_LABELS: targets.misses},
            "route_token_cache_evictions_total": {NO_LABELS: targets.evictions},
        }
    }
    for pool in relay.pools.snapshot():
        labels = (pool.name,)
        read[pool.name] = {"route_pool_overflows_total": {labels: pool.overflows}}
        for server in pool.servers:
            read[pool.name, server.server] = {
                "route_pool_requests_total": {labels: server.requests},
                "route_pool_failures_total": {labels: server.fails},
            }
    return read


def _read_relay(relay: Relay) -> Snapshot:
    store = relay.cache.store
    numbers: Mapping[str, float] = {
        "route_token_cache_entries": len(relay.router.targets),
        "route_http_cache_stored_total": store.counters.stored,
        "route_http_cache_evictions_total": store.counters.evicted,
        "route_http_cache_entries": len(store),
        "route_http_cache_bytes": store.used_bytes,
        "route_open_connections": len(relay.arrivals),
        "route_refused_connections_total": relay.arrivals.refused,
        "route_spool_bytes": relay.spools.used_bytes,
        "route_spool_limit_bytes": relay.spools.max_bytes,
        "route_draining": int(relay.is_draining),
        "route_workers": 1,
    }
    return {
        **{name: {NO_LABELS: number} for name, number in numbers.items()},
        "route_info": {(_VERSION,): 1},
    }


def _read_pools(relay: Relay) -> Snapshot:
    servers: Samples = {}
    up: Samples = {}
    waiting: Samples = {}
    for pool in relay.pools.snapshot():
        labels = (pool.name,)
        servers[labels] = len(pool.servers)
        up[labels] = sum(server.state == "up" for server in pool.servers)
        waiting[labels] = pool.waiting
    return {
        "route_pool_servers": servers,
        "route_pool_servers_up": up,
        "route_pool_waiting": waiting,
    }


def _read_reloads(reloads: Reloads, certificates: Certificates | None) -> Snapshot:
    is_failing = reloads.has_failed or (certificates is not None and certificates.has_failed)
    return {
        "route_reloads_total": {
            ("succeeded",): reloads.succeeded,
            ("failed",): reloads.failed,
        },
        "route_reload_failing": {NO_LABELS: int(is_failing)},
    }


def _read_certificates(certificates: Certificates | None) -> Snapshot:
    expires = certificates.first_expiry if certificates is not None else None
    if expires is None:
        return {}
    return {"route_certificate_expiry_timestamp_seconds": {NO_LABELS: expires}}


def _read_log(counts: LogCounts | None) -> Snapshot:
    if counts is None:
        return {}
    return {
        "route_access_log_lines_total": {
            ("written",): counts.written,
            ("dropped",): counts.dropped,
        }
    }


def _read_process() -> Snapshot:
    times = os.times()
    numbers: dict[str, float] = {
        "process_cpu_seconds_total": times.user + times.system,
        "process_start_time_seconds": _STARTED,
    }
    if _PROC.is_dir():
        resident_pages = int((_PROC / "statm").read_text().split()[1])
        numbers["process_resident_memory_bytes"] = resident_pages * _PAGE_BYTES
        numbers["process_open_fds"] = count_open_files()
        numbers["process_max_fds"] = os.sysconf("SC_OPEN_MAX")
    return {name: {NO_LABELS: number} for name, number in numbers.items()}
