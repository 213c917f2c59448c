"""Bounds, timeouts and amounts of the carrier's, from their options."""

import os
import tempfile
from typing import Final

from route_addon.carry.limits import CacheLimits, DrainLimits, Limits, WatchLimits
from route_addon.config.values import OptionValues, is_none, split_list
from route_addon.core.httpcache_stored import Policy
from route_addon.core.locations import HERE, POD, Locations
from route_addon.options import BadOption

MAX_S: Final = 30 * 86400
"""The most that any time may be, in seconds."""
_MAX_BYTES: Final = 2**40
_MAX_CONNECTIONS: Final = 2**20

_TIMEOUTS: Final = {
    "tls_handshake_s": ("route_tls_handshake_timeout", 1),
    "head_s": ("route_head_timeout", 1),
    "body_s": ("route_body_timeout", 1),
    "send_s": ("route_send_timeout", 1),
    "keepalive_s": ("route_keepalive_timeout", 1),
    "connect_s": ("route_connect_timeout", 1),
    "websocket_s": ("route_websocket_timeout", 1),
}
"""Each timeout's option, and the least that it may be."""


def parse_limits(values: OptionValues) -> Limits:
    """The limits of connections and requests.

    Raises:
        BadOption: One that cannot be used.
    """
    folder = values.text("route_spool_dir")
    _check_folder(folder)
    seconds = {
        field: float(values.number(name, least, MAX_S))
        for field, (name, least) in _TIMEOUTS.items()
    }
    return Limits(
        **seconds,
        spool_folder=folder,
        spool_bytes=values.number("route_spool_bytes", 0, 2**62),
        max_connections=values.number("route_max_connections", 0, _MAX_CONNECTIONS),
        max_connections_per_client=values.number(
            "route_max_connections_per_client", 0, _MAX_CONNECTIONS
        ),
    )


def _check_folder(folder: str) -> None:
    if folder and not (os.path.isdir(folder) and os.access(folder, os.W_OK)):
        raise BadOption("route_spool_dir", folder, "must be a folder that can be written to")
    try:
        folder or tempfile.gettempdir()
    except OSError:
        raise BadOption(
            "route_spool_dir",
            "",
            "is not set, and no temporary folder can be written to: mount one, or name one",
        ) from None


def parse_cache_limits(values: OptionValues, locations: Locations) -> CacheLimits:
    """What the HTTP cache stores, and how much.

    Args:
        values: The options' values.
        locations: All locations; those without a token may be cached.

    Raises:
        BadOption: Something that cannot be used.
    """
    return CacheLimits(
        locations=_cached(values, locations),
        max_bytes=values.number("route_http_cache_bytes", 0, _MAX_BYTES),
        max_object_bytes=values.number("route_http_cache_object_bytes", 0, _MAX_BYTES),
        policy=Policy(
            heuristic_fraction=values.number("route_http_cache_heuristic", 0, 100) / 100,
            stale_if_error_s=values.number("route_http_cache_stale_if_error", 0, MAX_S),
        ),
    )


def parse_watch_limits(values: OptionValues) -> WatchLimits:
    """How much of what is watched is kept.

    Raises:
        BadOption: An amount that cannot be used.
    """
    return WatchLimits(
        body_bytes=values.number("route_watch_body_bytes", 0, _MAX_BYTES),
        history_messages=values.number("route_websocket_history", 1, 10_000_000),
        history_bytes=values.number("route_websocket_history_bytes", 1, _MAX_BYTES),
        record_payloads=values.flag("route_record_payloads"),
    )


def parse_drain_limits(values: OptionValues) -> DrainLimits:
    """How long a drain waits.

    Raises:
        BadOption: A time that cannot be used.
    """
    return DrainLimits(
        requests_s=values.number("route_drain", 0, MAX_S),
        websockets_s=values.number("route_drain_websockets", 0, MAX_S),
    )


def _cached(values: OptionValues, locations: Locations) -> frozenset[str]:
    name = "route_http_cache"
    value = values.text(name)
    paths = frozenset() if is_none(value) else frozenset(split_list(value))
    known = {
        location.location
        for location in locations.all
        if not location.token and location.upstream not in (POD, HERE)
    }
    for path in sorted(paths - known):
        raise BadOption(
            name, value, f"{path!r} must be a location without a token: {', '.join(sorted(known))}"
        )
    return paths
