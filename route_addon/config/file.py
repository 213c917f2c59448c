"""The configuration file (``route_config``): TOML with ports, upstreams and locations.

::

    [ports]
    my_service = 5000

    [upstream.wiki]
    servers = ["http://wiki:8080", "http://wiki-2:8080;backup"]

    [[location]]
    location = "/my"
    kind = "prefix"
    upstream = "pod:my_service"
    token = ["header", "cookie"]
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from route_addon.config.pool_spec import read_pool
from route_addon.core.pool_config import PoolSpec
from route_addon.core.table import Row

_SECTIONS = ("ports", "upstream", "location")
_REQUIRED = ("location", "kind", "upstream")


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """What a configuration file says; its types are checked, its meaning is not yet."""

    path: str = ""
    ports: Mapping[str, int] = field(default_factory=dict)
    upstreams: Mapping[str, PoolSpec] = field(default_factory=dict)
    rows: tuple[Row, ...] = ()


def read_config_file(path: str) -> ConfigFile:
    """Read and check a configuration file.

    Raises:
        OSError: It cannot be read.
        ValueError: It is not TOML, or a key is unknown, missing, or of the wrong type; the text
            names the key.
    """
    try:
        document = tomllib.loads(Path(path).read_text("utf-8"))
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8 text") from None
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"is not TOML: {error}") from None
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    _check_keys("", document, _SECTIONS)
    return ConfigFile(
        path,
        {name: _port(name, port) for name, port in _table("ports", document).items()},
        {name: _pool(name, upstream) for name, upstream in _table("upstream", document).items()},
        tuple(_rows(document.get("location", []))),
    )


def _check_keys(where: str, table: Mapping[str, Any], known: tuple[str, ...]) -> None:
    for key in table:
        if key not in known:
            name = f"{where}.{key}" if where else key
            raise ValueError(f"key {name!r} is unknown; known here: {', '.join(known)}")


def _table(name: str, document: Mapping[str, Any]) -> Mapping[str, Any]:
    table = document.get(name, {})
    if not isinstance(table, dict):
        raise ValueError(f"key {name!r} must be a table")
    return table


def _port(name: str, port: Any) -> int:
    if not isinstance(port, int) or isinstance(port, bool) or not 0 < port < 65536:
        raise ValueError(f"key 'ports.{name}' must be a port, not {port!r}")
    return port


def _pool(name: str, upstream: Any) -> PoolSpec:
    if not isinstance(upstream, dict):
        raise ValueError(f"key 'upstream.{name}' must be a table")
    return read_pool(name, upstream)


def _rows(locations: Any) -> list[Row]:
    if not isinstance(locations, list):
        raise ValueError("key 'location' must be a list of tables: [[location]]")
    return [_row(f"location[{index}]", location) for index, location in enumerate(locations)]


def _row(where: str, location: Any) -> Row:
    if not isinstance(location, dict):
        raise ValueError(f"key {where!r} must be a table")
    _check_keys(where, location, Row._fields)
    for key in _REQUIRED:
        if key not in location:
            raise ValueError(f"key '{where}.{key}' is missing")
    columns = dict(location)
    token = columns.get("token", [])
    if not isinstance(token, list) or not all(isinstance(source, str) for source in token):
        raise ValueError(f"key '{where}.token' must be a list of sources")
    columns["token"] = tuple(token)
    for key in ("location", "kind", "upstream", "path", "host", "headers", "body"):
        if not isinstance(columns.get(key, ""), str):
            raise ValueError(f"key '{where}.{key}' must be text")
    return Row(**columns)
