"""From text to pools: the value of an option, or a table of the configuration file.

::

    route_pyos=http://a:8000,http://b:8000;weight=2,http://c:8000;backup
    route_website=http://website;resolve

    [upstream.pyos]
    servers = ["http://a:8000", "http://b:8000;weight=2", {url = "http://c:8000", backup = true}]
    method = "least_conn"
    tries = 2
    next_upstream = ["error", "timeout", "http_503"]
    next_upstream_timeout = "10s"
    queue = 100
    queue_timeout = 30
    health = {path = "/healthz", interval = 5, status = "200-399", rise = 2, fall = 3}

The parameters of a server are those of nginx's ``server``: weight, max_fails, fail_timeout,
max_conns, backup, down, and resolve. Times are in seconds, or in nginx's units (``500ms``,
``1m``).
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from route_addon.config.server_url import parse_server
from route_addon.core.pool_config import Failure, HealthSpec, PoolSpec, ServerSpec
from route_addon.core.targets import parse_address

_UNITS: Final = {"ms": 0.001, "s": 1.0, "": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_TIME: Final = re.compile(r"([0-9]{1,9})(ms|[smhd]|)")
_MAX_S: Final = 30 * 86400.0
_STATUS_RANGE: Final = re.compile(r"([1-5][0-9]{2})(?:-([1-5][0-9]{2}))?")
_HEALTH_PATH: Final = re.compile(r"/[!-~]*")

type Read = Callable[[Any], Any]


def parse_pool(name: str, text: str) -> PoolSpec:
    """Parse an option's value: servers with their parameters, separated by commas.

    Args:
        name: The upstream's name.
        text: The value.

    Raises:
        ValueError: It cannot be used; the text says what is wanted, and of which server.
    """
    items = [item.strip() for item in text.split(",")]
    if len(items) == 1 and ";" not in text:
        return PoolSpec(name, (ServerSpec(parse_server(text)),))
    return _checked(PoolSpec(name, tuple(_about(repr(item), _parse_spec, item) for item in items)))


def read_pool(name: str, table: Mapping[str, Any]) -> PoolSpec:
    """Read an upstream's table of the configuration file.

    Args:
        name: The upstream's name.
        table: The table.

    Raises:
        ValueError: It cannot be used; the text names the key, and says what is wanted.
    """
    where = f"upstream.{name}"
    _check_keys(where, table, ("servers", *_POOL_KEYS))
    servers = table.get("servers")
    if not isinstance(servers, list) or not servers:
        raise ValueError(f"key '{where}.servers' must be a list of URLs")
    specs = tuple(
        _read_server(f"{where}.servers[{index}]", server) for index, server in enumerate(servers)
    )
    columns = _read_keys(where, table, _POOL_KEYS)
    return _about(f"key '{where}.servers'", _checked, PoolSpec(name, specs, **columns))


def _checked(pool: PoolSpec) -> PoolSpec:
    """The pool, if its servers can be one.

    Raises:
        ValueError: They cannot.
    """
    servers = [spec.server for spec in pool.servers]
    twice = next((server for server in servers if servers.count(server) > 1), None)
    if twice is not None:
        name = f"{twice.scheme.decode()}://{twice.authority.decode()}"
        raise ValueError(f"{name} must stand there once only; give it a weight")
    if all(spec.is_backup for spec in pool.servers):
        raise ValueError("must have a server that is not a backup")
    return pool


def _about[T](what: str, read: Callable[[Any], T], value: object) -> T:
    """What ``read`` makes of a value; its refusal begins with what it is about."""
    try:
        return read(value)
    except ValueError as error:
        raise ValueError(f"{what} {error}") from None


def _check_keys(where: str, table: Mapping[str, Any], known: tuple[str, ...]) -> None:
    for key in table:
        if key not in known:
            raise ValueError(f"key '{where}.{key}' is unknown; known here: {', '.join(known)}")


def _read_keys(
    where: str, table: Mapping[str, Any], known: Mapping[str, tuple[str, Read]]
) -> dict[str, Any]:
    """The columns that keys stand for, those that are there."""
    return {
        column: _about(f"key '{where}.{key}'", read, table[key])
        for key, (column, read) in known.items()
        if key in table
    }


# A server.


def _parse_spec(text: str) -> ServerSpec:
    """``URL[;parameter[=value]]...``."""
    url, *parameters = (part.strip() for part in text.split(";"))
    values: dict[str, Any] = {}
    for parameter in parameters:
        key, equals, value = parameter.partition("=")
        if key in values or key not in _SERVER_KEYS or bool(equals) is (key in _FLAGS):
            raise ValueError(f"has {parameter!r}: must be, once each, of {_PARAMETERS}")
        values[key] = value if equals else True
    server = parse_server(url)
    columns = {
        column: _about(f"has {key}={values[key]}: it", read, values[key])
        for key, (column, read) in _SERVER_KEYS.items()
        if key in values
    }
    return _check_name(ServerSpec(server, **columns))


def _read_server(where: str, server: Any) -> ServerSpec:
    if isinstance(server, str):
        return _about(f"key '{where}' {server!r}", _parse_spec, server)
    if not isinstance(server, dict):
        raise ValueError(f"key '{where}' must be a URL, or a table with one")
    _check_keys(where, server, ("url", *_SERVER_KEYS))
    if not isinstance(server.get("url"), str):
        raise ValueError(f"key '{where}.url' must be a URL")
    url = _about(f"key '{where}.url' {server['url']!r}", parse_server, server["url"])
    spec = ServerSpec(url, **_read_keys(where, server, _SERVER_KEYS))
    return _about(f"key '{where}'", _check_name, spec)


def _check_name(spec: ServerSpec) -> ServerSpec:
    if spec.is_resolved and parse_address(spec.server.host) is not None:
        raise ValueError("has resolve: must be a DNS name, not an address")
    return spec


# Values: of a TOML type, or the text after the equals sign.


def _whole(least: int, most: int) -> Read:
    def read(value: Any) -> int:
        if isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}", value):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise ValueError(f"must be a whole number from {least} to {most}")
        return value

    return read


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def _seconds(value: Any) -> float:
    match = _TIME.fullmatch(value) if isinstance(value, str) else None
    if match is not None:
        value = int(match[1]) * _UNITS[match[2]]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _MAX_S:
        raise ValueError("must be a time: seconds, or 500ms, 10s, 1m, at most 30d")
    return float(value)


def _positive_seconds(value: Any) -> float:
    seconds = _seconds(value)
    if seconds < 1:
        raise ValueError("must be a time of one second or more")
    return seconds


def _method(value: Any) -> str:
    if value not in ("round_robin", "least_conn"):
        raise ValueError("must be round_robin or least_conn")
    return str(value)


def _next_upstream(value: Any) -> frozenset[Failure]:
    names = tuple(Failure)
    if not isinstance(value, list) or not all(name in names for name in value):
        raise ValueError(f"must be a list of {', '.join(names)}")
    return frozenset(map(Failure, value))


def _status(value: Any) -> frozenset[int]:
    """A status, a range of them as text, or a list of both."""
    statuses: set[int] = set()
    for item in value if isinstance(value, list) and value else [value]:
        text = str(item) if type(item) is int and 0 < item < 1000 else item
        match = _STATUS_RANGE.fullmatch(text) if isinstance(text, str) else None
        if match is None or int(match[2] or match[1]) < int(match[1]):
            raise ValueError("must be a status, a range (200-399), or a list of them")
        statuses.update(range(int(match[1]), int(match[2] or match[1]) + 1))
    return frozenset(statuses)


def _path(value: Any) -> str:
    if not isinstance(value, str) or _HEALTH_PATH.fullmatch(value) is None or "#" in value:
        raise ValueError("must be a path that begins with /")
    return value


def _health(value: Any) -> HealthSpec:
    if not isinstance(value, dict):
        raise ValueError("must be a table: {path = ..., interval = 5, rise = 2, fall = 3}")
    for key in value:
        if key not in _HEALTH_KEYS:
            raise ValueError(
                f"has {key!r}, which is unknown; known here: {', '.join(_HEALTH_KEYS)}"
            )
    if "path" not in value:
        raise ValueError("must have a path")
    columns = {
        column: _about(f"has a {key} that", read, value[key])
        for key, (column, read) in _HEALTH_KEYS.items()
        if key in value
    }
    return HealthSpec(**columns)


_SERVER_KEYS: Final[Mapping[str, tuple[str, Read]]] = {
    "weight": ("weight", _whole(1, 65535)),
    "max_fails": ("max_fails", _whole(0, 1000)),
    "fail_timeout": ("fail_timeout_s", _seconds),
    "max_conns": ("max_conns", _whole(0, 2**20)),
    "backup": ("is_backup", _flag),
    "down": ("is_down", _flag),
    "resolve": ("is_resolved", _flag),
}
_FLAGS: Final = ("backup", "down", "resolve")
_PARAMETERS: Final = ", ".join(key if key in _FLAGS else f"{key}=" for key in _SERVER_KEYS)
_POOL_KEYS: Final[Mapping[str, tuple[str, Read]]] = {
    "method": ("method", _method),
    "tries": ("tries", _whole(0, 1000)),
    "next_upstream": ("next_upstream", _next_upstream),
    "next_upstream_timeout": ("next_upstream_timeout_s", _seconds),
    "queue": ("queue", _whole(0, 65536)),
    "queue_timeout": ("queue_timeout_s", _seconds),
    "health": ("health", _health),
}
_HEALTH_KEYS: Final[Mapping[str, tuple[str, Read]]] = {
    "path": ("path", _path),
    "interval": ("interval_s", _positive_seconds),
    "status": ("status", _status),
    "rise": ("rise", _whole(1, 1000)),
    "fall": ("fall", _whole(1, 1000)),
}
