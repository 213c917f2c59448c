"""Upstreams, ports and locations: the configuration file's, beside what options say of them."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from route_addon.config.file import ConfigFile, read_config_file
from route_addon.config.limits import MAX_S
from route_addon.config.pool_spec import parse_pool
from route_addon.config.values import OptionValues, parse_port, split_list
from route_addon.core.locations import HERE, POD, BadLocation, Location, Locations
from route_addon.core.pool_config import PoolSpec
from route_addon.core.table import PORTS, build_locations
from route_addon.options import BadOption

_FILE: Final = "route_config"
_UPSTREAM_OPTIONS: Final = {
    "website": "route_website",
    "pyos": "route_pyos",
    "console": "route_console",
    "speedtest": "route_speedtest",
}


def load_config_file(values: OptionValues) -> ConfigFile:
    """What the configuration file says, where there is one.

    Raises:
        BadOption: It cannot be read, or cannot be used.
    """
    path = values.text(_FILE)
    try:
        return read_config_file(path) if path else ConfigFile()
    except OSError as error:
        raise BadOption(_FILE, path, f"cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise BadOption(_FILE, path, str(error)) from None


def build_pools(values: OptionValues, file: ConfigFile) -> dict[str, PoolSpec]:
    """The servers of every upstream, by its name.

    Raises:
        BadOption: One that cannot be used.
    """
    pools: dict[str, PoolSpec] = {}
    for upstream, pool in file.upstreams.items():
        if upstream in (POD, HERE):
            raise BadOption(_FILE, file.path, f"upstream.{upstream}: the name is taken")
        pools[upstream] = pool
    for upstream, name in _UPSTREAM_OPTIONS.items():
        if upstream not in pools or values.is_set(name):
            pools[upstream] = _parse_pool(values, upstream, name)
    return pools


def build_table(
    values: OptionValues, file: ConfigFile, upstreams: Mapping[str, object]
) -> Locations:
    """All locations, those of the configuration file among them.

    Args:
        values: The options' values.
        file: The configuration file.
        upstreams: All upstreams, by their names.

    Raises:
        BadOption: A port or a location that cannot be used.
    """
    own = _ports(values, file)
    first, last = (file.ports, own) if values.is_set("route_ports") else (own, file.ports)
    try:
        locations = build_locations({**PORTS, **first, **last}, file.rows)
    except BadLocation as error:
        raise BadOption(_FILE, file.path, str(error)) from None
    for location in locations.all:
        _check_upstream(location, file, upstreams)
    seconds = values.number("route_answer_timeout", 0, MAX_S)
    if not seconds:
        return locations
    return Locations(replace(one, answer_within_s=float(seconds)) for one in locations.all)


def _parse_pool(values: OptionValues, upstream: str, name: str) -> PoolSpec:
    value = values.text(name)
    try:
        return parse_pool(upstream, value)
    except ValueError as error:
        raise BadOption(name, value, str(error)) from None


def _ports(values: OptionValues, file: ConfigFile) -> dict[str, int]:
    value = values.text("route_ports")
    known = {**PORTS, **file.ports}
    ports: dict[str, int] = {}
    for item in split_list(value):
        name, _, text = item.partition("=")
        port = parse_port(text)
        if name not in known or port is None:
            raise BadOption(
                "route_ports", value, f"{item!r} must be NAME=PORT, NAME one of {', '.join(known)}"
            )
        ports[name] = port
    return ports


def _check_upstream(location: Location, file: ConfigFile, upstreams: Mapping[str, object]) -> None:
    if location.upstream not in (POD, HERE, *upstreams):
        raise BadOption(
            _FILE,
            file.path,
            f"location {location.location!r}: no upstream {location.upstream!r} is there; "
            f"add [upstream.{location.upstream}]",
        )
