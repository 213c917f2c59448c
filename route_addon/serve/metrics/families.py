"""Every metric that there is, as data: the scrape, the joining of workers and docs/metrics.md."""

from typing import Final, Literal, NamedTuple

type Kind = Literal["counter", "gauge", "histogram"]
type Joined = Literal["sum", "min", "max"]
"""What several workers' values are together."""


class Family(NamedTuple):
    """One metric."""

    name: str
    """As a query names it: a counter's ends in ``_total``."""
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    joined: Joined = "sum"


BUCKETS_S: Final = (
    *(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 180.0, 600.0),
)
"""The upper bounds of all histograms, in seconds; behind them comes one for the rest."""

_BY_LOCATION: Final = ("location",)
_BY_UPSTREAM: Final = ("upstream",)

FAMILIES: Final = (
    Family(
        "route_requests_total",
        "counter",
        "Requests that have ended; a WebSocket counts when it is open, with status 101.",
        ("location", "upstream", "method", "status"),
    ),
    Family(
        "route_refusals_total",
        "counter",
        "Requests that were refused, or cut by an error, by reason.",
        ("location", "slug"),
    ),
    Family(
        "route_cuts_total",
        "counter",
        "Answers that are not whole: the client left, the upstream failed, a WebSocket was lost.",
        _BY_LOCATION,
    ),
    Family(
        "route_request_duration_seconds",
        "histogram",
        "From a request's head to the end of its answer; WebSockets are left out.",
        _BY_LOCATION,
    ),
    Family(
        "route_first_byte_seconds",
        "histogram",
        "From a request's head to the head of its answer; for WebSockets too.",
        _BY_LOCATION,
    ),
    Family(
        "route_received_bytes_total",
        "counter",
        "Content that clients sent: bodies, and all that passes in WebSockets.",
        _BY_LOCATION,
    ),
    Family(
        "route_sent_bytes_total",
        "counter",
        "Content that was sent to clients: bodies, and all that passes in WebSockets.",
        _BY_LOCATION,
    ),
    Family("route_open_requests", "gauge", "Requests under way.", _BY_LOCATION),
    Family("route_open_websockets", "gauge", "WebSockets that are open.", _BY_LOCATION),
    Family("route_open_connections", "gauge", "Connections of clients."),
    Family(
        "route_refused_connections_total",
        "counter",
        "Connections closed because there were too many (route_max_connections).",
    ),
    Family("route_token_cache_hits_total", "counter", "Tokens that had been verified before."),
    Family(
        "route_token_cache_misses_total", "counter", "Tokens that were not, or not kept any more."
    ),
    Family(
        "route_token_cache_evictions_total",
        "counter",
        "Verified tokens that left to make room (route_cache_entries).",
    ),
    Family("route_token_cache_entries", "gauge", "Verified tokens that are kept."),
    Family(
        "route_http_cache_requests_total",
        "counter",
        "Requests that the HTTP cache was asked about: hit, or why it went on (RFC 9211's fwd).",
        ("location", "result"),
    ),
    Family("route_http_cache_stored_total", "counter", "Answers that were stored."),
    Family(
        "route_http_cache_evictions_total",
        "counter",
        "Stored answers that left to make room (route_http_cache_bytes).",
    ),
    Family("route_http_cache_entries", "gauge", "Stored answers."),
    Family("route_http_cache_bytes", "gauge", "What they take in memory."),
    Family(
        "route_pool_servers",
        "gauge",
        "Servers of a pool: in the worker that knows most.",
        _BY_UPSTREAM,
        "max",
    ),
    Family(
        "route_pool_servers_up",
        "gauge",
        "Servers of a pool that take requests: in the worker that finds fewest.",
        _BY_UPSTREAM,
        "min",
    ),
    Family(
        "route_pool_requests_total",
        "counter",
        "Requests given to a pool's servers, each try counted.",
        _BY_UPSTREAM,
    ),
    Family("route_pool_failures_total", "counter", "Those tries that failed.", _BY_UPSTREAM),
    Family("route_pool_waiting", "gauge", "Requests that wait for a pool's server.", _BY_UPSTREAM),
    Family(
        "route_pool_overflows_total",
        "counter",
        "Requests turned away: too many waited, or too long.",
        _BY_UPSTREAM,
    ),
    Family("route_spool_bytes", "gauge", "What collected bodies hold on the disk."),
    Family(
        "route_spool_limit_bytes", "gauge", "What they may hold (route_spool_bytes).", (), "sum"
    ),
    Family(
        "route_keys",
        "gauge",
        "Keys in force: signing or payload. More than one is a rotation that goes on.",
        ("kind",),
        "max",
    ),
    Family(
        "route_keys_loaded_timestamp_seconds",
        "gauge",
        "Since when the keys are in force: in the worker whose keys are oldest.",
        (),
        "min",
    ),
    Family(
        "route_reloads_total",
        "counter",
        "Changed keys, configuration files and CAs that were read again; as one worker did.",
        ("outcome",),
        "max",
    ),
    Family(
        "route_reload_failing",
        "gauge",
        "1 while what is in force is older than the files, because they cannot be used.",
        (),
        "max",
    ),
    Family(
        "route_certificate_expiry_timestamp_seconds",
        "gauge",
        "When the first of our certificates expires.",
        (),
        "min",
    ),
    Family(
        "route_access_log_lines_total",
        "counter",
        "Lines of the access log: written, or dropped because nothing took them.",
        ("outcome",),
    ),
    Family("route_draining", "gauge", "Workers that drain: they end with their last request."),
    Family("route_workers", "gauge", "Processes that carry requests."),
    Family("route_info", "gauge", "1, with the version.", ("version",), "max"),
    Family("process_cpu_seconds_total", "counter", "CPU time, user and system; all workers."),
    Family("process_resident_memory_bytes", "gauge", "Memory in use; all workers."),
    Family(
        "process_open_fds", "gauge", "Open files and sockets: in the worker with most.", (), "max"
    ),
    Family("process_max_fds", "gauge", "What one worker may open.", (), "min"),
    Family("process_start_time_seconds", "gauge", "When the first worker began.", (), "min"),
)
"""All metrics, in the order of the documentation."""

BY_NAME: Final = {family.name: family for family in FAMILIES}
