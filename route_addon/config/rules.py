"""The rules that the core decides by, from their options."""

import os
import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from route_addon.config.networks import parse_host_set, parse_networks
from route_addon.config.values import OptionValues, parse_port, split_list
from route_addon.core.credentials import full_authority, parse_origin
from route_addon.core.forwarded import TrustedProxies
from route_addon.core.keys import Keys
from route_addon.core.locations import Locations
from route_addon.core.messages import Origin, Server
from route_addon.core.router import Rules
from route_addon.core.targets import Network, TargetPolicy
from route_addon.options import BadOption

_COOKIE_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]*")
_MAX_HSTS_S: Final = 10 * 365 * 86400


def build_rules(
    values: OptionValues,
    locations: Locations,
    upstreams: Mapping[str, tuple[Server, ...]],
    keys: Keys,
) -> Rules:
    """All rules.

    Args:
        values: The options' values.
        locations: All locations.
        upstreams: The servers of each upstream, in the order in which they are asked.
        keys: The keys in force.

    Raises:
        BadOption: Something that cannot be used.
    """
    return Rules(
        locations=locations,
        upstreams=upstreams,
        proxies=TrustedProxies(parse_networks(values, "route_trusted_proxies")),
        policy=TargetPolicy(
            parse_host_set(values, "route_target_allow"),
            parse_host_set(values, "route_target_deny"),
        ),
        keys=keys,
        leeway_s=values.number("route_leeway", 0, 3600),
        cookie=_cookie(values),
        allowed_origins=_origins(values),
        container_ports=_container_ports(values),
        console_allow=_console_allow(values),
        node_name=values.text("route_node_name"),
        acme_root=_acme_root(values),
        hsts_s=values.number("route_hsts", 0, _MAX_HSTS_S),
        https_redirect_port=values.number("route_https_redirect", 0, 65535),
    )


def _cookie(values: OptionValues) -> bytes:
    value = values.text("route_cookie")
    if not _COOKIE_NAME.fullmatch(value):
        raise BadOption("route_cookie", value, "must be a cookie name (RFC 6265)")
    return value.encode("ascii")


def _origins(values: OptionValues) -> frozenset[Origin]:
    value = values.text("route_allowed_origins")
    origins: set[Origin] = set()
    for item in split_list(value):
        parsed = parse_origin(item.encode("utf-8"))
        if parsed is None or urlsplit(item).path not in ("", "/"):
            raise BadOption(
                "route_allowed_origins", value, f"{item!r} must be scheme://host[:port]"
            )
        scheme, authority = parsed
        origins.add(Origin(scheme, full_authority(scheme, authority)))
    return frozenset(origins)


def _container_ports(values: OptionValues) -> frozenset[int] | None:
    value = values.text("route_container_ports")
    if not value.strip():
        return None
    ports: set[int] = set()
    for item in split_list(value):
        first, dash, last = item.partition("-")
        least = parse_port(first)
        most = parse_port(last) if dash else least
        if least is None or most is None or least > most:
            raise BadOption(
                "route_container_ports", value, f"{item!r} must be a port or a range (9000-9100)"
            )
        ports.update(range(least, most + 1))
    return frozenset(ports)


def _console_allow(values: OptionValues) -> tuple[Network, ...] | None:
    name = "route_console_allow"
    return parse_networks(values, name) if values.text(name).strip() else None


def _acme_root(values: OptionValues) -> str:
    folder = values.text("route_acme_root")
    if folder and not os.path.isdir(folder):
        raise BadOption("route_acme_root", folder, "must be a folder that is there")
    return folder
