"""What the environment says of options: by their own names, or by those that are deployed."""

import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Final

from route_addon.options import OPTIONS, BadOption, Option, Value

_NAMES: Final = frozenset(option.name.upper() for option in OPTIONS)
_SERVICE_LINK: Final = re.compile(r"ROUTE_(\w+_)?(SERVICE_(HOST|PORT)|PORT)(_\w+)?")
"""What Kubernetes says of the Services of a namespace, as of one that is called ``route``."""


def default_values(environment: Mapping[str, str]) -> dict[str, Value]:
    """Every option's value where nobody sets it: from the environment, or else the default.

    Args:
        environment: The process environment. Empty values count as unset.

    Raises:
        BadOption: An environment value of the wrong type, or a name that no option has.
    """
    _refuse_unknown(environment)
    values = {option.name: _from_environment(option, environment) for option in OPTIONS}
    host = _first(environment, ("PYOS_FQDN", "PYOS_SERVICE_HOST"))
    port = environment.get("PYOS_SERVICE_PORT", "")
    if (host or port) and not environment.get("ROUTE_PYOS"):
        values["route_pyos"] = _with_port(host or "pyos", port or "8000")
    return values


def _refuse_unknown(environment: Mapping[str, str]) -> None:
    for name, value in environment.items():
        is_meant = name.startswith("ROUTE_") and not _SERVICE_LINK.fullmatch(name)
        if value and is_meant and name not in _NAMES:
            near = get_close_matches(name, _NAMES, 1) or ["ROUTE_CONFIG"]
            raise BadOption(name, "", f"is no option; did you mean {near[0]}? Else unset it")


def _with_port(host: str, port: str) -> str:
    """``host:port``; a URL, or a host with a port of its own, stays as it is."""
    if host.count(":") > 1 and "://" not in host and not host.startswith("["):
        host = f"[{host}]"
    has_port = re.search(r":[0-9]+\Z", host.rpartition("]")[2])
    return host if "://" in host or has_port else f"{host}:{port}"


def _first(environment: Mapping[str, str], names: tuple[str, ...]) -> str:
    return next((environment[name] for name in names if environment.get(name)), "")


def _from_environment(option: Option, environment: Mapping[str, str]) -> Value:
    text = _first(environment, option.environment_names)
    if not text:
        return option.default
    if isinstance(option.default, bool):
        if text.lower() not in ("true", "false", "1", "0"):
            raise BadOption(option.name.upper(), text, "must be true or false")
        return text.lower() in ("true", "1")
    if isinstance(option.default, int):
        if not re.fullmatch(r"[0-9]{1,18}", text):
            raise BadOption(option.name.upper(), text, f"must be a whole number of {option.unit}")
        return int(text)
    return text
