"""Networks and DNS suffixes, as options list them."""

import ipaddress
import re
from typing import Final

from route_addon.config.values import OptionValues, is_none, split_list
from route_addon.core.targets import HostSet, Network, parse_address, parse_target_host
from route_addon.options import BadOption

_SUFFIX: Final = re.compile(r"(?:\*?\.)?([A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*)\.?")


def parse_networks(values: OptionValues, name: str) -> tuple[Network, ...]:
    """Networks, or ``none``.

    Raises:
        BadOption: One that is not a network.
    """
    value = values.text(name)
    if is_none(value):
        return ()
    return tuple(_network(name, value, item) for item in split_list(value))


def parse_host_set(values: OptionValues, name: str) -> HostSet:
    """Networks, and DNS suffixes: ``.pods.example``, ``*.pods.example`` or ``pods.example``.

    Raises:
        BadOption: One that is neither.
    """
    value = values.text(name)
    networks: list[Network] = []
    suffixes: list[str] = []
    for item in split_list(value):
        suffix = _SUFFIX.fullmatch(item)
        host = parse_target_host(suffix[1].encode()) if suffix is not None else None
        if host is None or parse_address(host) is not None:
            networks.append(_network(name, value, item, " or a DNS suffix"))
        else:
            suffixes.append(host)
    return HostSet(tuple(networks), tuple(suffixes))


def _network(name: str, value: str, item: str, other: str = "") -> Network:
    try:
        return ipaddress.ip_network(item)
    except ValueError:
        raise BadOption(
            name, value, f"{item!r} must be a network (10.0.0.0/8, without host bits){other}"
        ) from None
