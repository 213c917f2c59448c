"""The location table and the port table, as data.

A row has the columns of the documentation's table; a row of the configuration file has the same
columns as keys. ``compile_row`` turns either into a ``Location``, or says what is wrong with it.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple, cast, get_args

from route_addon.core.errors import BadTarget
from route_addon.core.locations import (
    EXACT,
    HERE,
    NO_PORT,
    PATTERN,
    PLACEHOLDER,
    POD,
    PREFIX,
    PYOS,
    BadLocation,
    Body,
    Headers,
    HostSent,
    Kind,
    Location,
    Locations,
    PathSent,
    Source,
)
from route_addon.core.path import parse_target

KIB: Final = 2**10
MIB: Final = 2**20
GIB: Final = 2**30

PORTS: Final[Mapping[str, int]] = MappingProxyType(
    {
        "pulseaudio_http": 4714,
        "ws_tcp_bridge": 6081,
        "xterm": 29781,
        "printerfile_service": 29782,
        "file_service": 29783,
        "broadcast": 29784,
        "snapshot_service": 29785,
        "spawner_service": 29786,
        "signalling_service": 29787,
        "sound_service": 29788,
        "microphone_service": 29789,
        "gamepad_service": 29790,
    }
)
"""The named ports of a pod; each one can be set otherwise."""


class Row(NamedTuple):
    """One line of the location table, in text."""

    location: str
    kind: str
    upstream: str
    """``pod:PORT_NAME``, ``pod:{port}``, ``here:ANSWER`` or an upstream's name."""
    token: tuple[str, ...] = ()
    path: str = "as sent"
    host: str = "client"
    headers: str = "P"
    body: str = "collect"
    body_limit: int | str = MIB
    """In bytes, or text such as ``8 MiB``."""
    answer_within: float | str = 60
    """In seconds, or text such as ``60 s``."""


_QHC = ("query", "header", "cookie")
_HC = ("header", "cookie")
_POD = "target:port"

ROWS: Final = (
    Row("/healthz", EXACT, "here:healthz", body="drop"),
    Row("/node", EXACT, "here:node", body="drop"),
    Row("/websockify", EXACT, "pod:ws_tcp_bridge", _QHC, "/", _POD, "WS", "stream"),
    Row("/signalling", EXACT, "pod:signalling_service", _QHC, "/", _POD, "WS", "stream"),
    Row("/broadcast", PREFIX, "pod:broadcast", _QHC, "as sent", _POD, "WS", "stream", MIB, 1800),
    Row("/sound", EXACT, "pod:sound_service", _QHC, "/", _POD, "WS", "stream"),
    Row("/sound/", EXACT, "pod:sound_service", _QHC, "/", _POD, "WS", "stream"),
    Row("/microphone", EXACT, "pod:microphone_service", _QHC, "/", _POD, "WS", "stream"),
    Row("/microphone/", EXACT, "pod:microphone_service", _QHC, "/", _POD, "WS", "stream"),
    Row("/gamepad", EXACT, "pod:gamepad_service", _QHC, "/", _POD, "WS", "stream"),
    Row("/gamepad/", EXACT, "pod:gamepad_service", _QHC, "/", _POD, "WS", "stream"),
    Row("/terminals/", PREFIX, "pod:xterm", _QHC, "as sent", _POD, "WS", "stream", MIB, 1800),
    Row("/terminals/{id}/size", PATTERN, "pod:xterm", _HC, "as sent", _POD, "P", "stream"),
    Row("/terminals", EXACT, "pod:xterm", _HC, "as sent", _POD, "P", "stream"),
    Row("/filer", PREFIX, "pod:file_service", _HC, "as sent", _POD, "P", "collect", 8 * GIB),
    Row("/printerfiler", PREFIX, "pod:printerfile_service", _HC, "as sent", _POD),
    Row("/spawner", PREFIX, "pod:spawner_service", _HC, body_limit=8 * MIB),
    Row("/snapshot", PREFIX, "pod:snapshot_service", _HC, "as sent", _POD),
    Row(
        "/container/{token}/{port}/{rest}",
        PATTERN,
        "pod:{port}",
        ("path",),
        "/{rest}",
        "client",
        "WS",
        "stream",
    ),
    Row(
        "/container/{token}/{port}",
        PATTERN,
        "pod:{port}",
        ("path",),
        "/, query kept",
        "client",
        "WS",
        "stream",
    ),
    Row("/container/{port}", PATTERN, "pod:{port}", _HC, body="stream"),
    Row("/API/composer/launchdesktop", EXACT, PYOS, answer_within=600),
    Row("/API/manager/image", PREFIX, PYOS, body_limit=16 * MIB, answer_within=360),
    *(
        Row(prefix, PREFIX, PYOS, answer_within=360)
        for prefix in ("/API", "/status", "/moauth", "/fauth", "/gauth", "/oauth", "/autologin")
    ),
    Row("/console", PREFIX, "console", path="prefix replaced"),
    Row(
        "/speedtest",
        PREFIX,
        "speedtest",
        path="prefix replaced",
        host="upstream",
        body="stream",
        body_limit=256 * MIB,
    ),
    Row("/.well-known/acme-challenge/", PREFIX, "here:acme", body="drop"),
    Row("/", PREFIX, "website", host="upstream"),
)
"""The location table."""

_UNITS = {"B": 1, "KIB": KIB, "MIB": MIB, "GIB": GIB, "S": 1, "MIN": 60, "H": 3600}
_QUANTITY = re.compile(r"([0-9]+(?:\.[0-9]+)?) *([A-Za-z]+)")
_ANSWERS = ("healthz", "node", "acme")


def compile_row(row: Row, ports: Mapping[str, int]) -> Location:
    """Compile one row.

    Args:
        row: The row.
        ports: Port by name.

    Raises:
        BadLocation: A column holds something that does not belong there.
    """
    name, _, port = row.upstream.partition(":")
    location = Location(
        location=_canonical(row),
        kind=_choice(row, "kind", Kind),
        upstream=name,
        port=_pod_port(row, port, ports) if name == POD else NO_PORT,
        answer=_answer(row, port) if name == HERE else "",
        token=_sources(row),
        path=_choice(row, "path", PathSent),
        host=_choice(row, "host", HostSent),
        headers=_choice(row, "headers", Headers),
        body=_choice(row, "body", Body),
        body_limit_bytes=int(_quantity(row, "body_limit", ("B", "KIB", "MIB", "GIB"))),
        answer_within_s=_quantity(row, "answer_within", ("S", "MIN", "H")),
    )
    _check_together(row, location)
    return location


def build_locations(ports: Mapping[str, int] = PORTS, own_rows: tuple[Row, ...] = ()) -> Locations:
    """Compile the table, with rows of one's own behind it.

    Raises:
        BadLocation: A bad row, or a location that stands there twice.
    """
    return Locations(compile_row(row, ports) for row in (*ROWS, *own_rows))


def _canonical(row: Row) -> str:
    """A location that is not canonical would never match: refuse it."""
    text = row.location
    filled = PLACEHOLDER.sub("x", text)
    try:
        target = parse_target(filled.encode("ascii"))
    except (UnicodeEncodeError, BadTarget):
        target = None
    if target is None or target.query is not None or target.path.decode() != filled:
        raise BadLocation(f"location {text!r} is not a canonical path")
    if "{" in filled or "}" in filled:
        raise BadLocation(f"location {text!r}: a placeholder is small letters in braces")
    if row.kind != PATTERN and filled != text:
        raise BadLocation(f"location {text!r} has placeholders: kind must be 'pattern'")
    return text


def _choice(row: Row, column: str, kind: Any) -> Any:
    value = getattr(row, column)
    choices = get_args(kind.__value__)
    if value not in choices:
        wanted = ", ".join(repr(choice) for choice in choices)
        raise BadLocation(f"location {row.location!r}: {column} {value!r} is none of {wanted}")
    return value


def _sources(row: Row) -> tuple[Source, ...]:
    known = get_args(Source.__value__)
    if any(source not in known for source in row.token) or len(set(row.token)) < len(row.token):
        raise BadLocation(
            f"location {row.location!r}: token {list(row.token)!r} must name each of "
            f"{', '.join(known)} once at most"
        )
    return cast("tuple[Source, ...]", tuple(row.token))


def _pod_port(row: Row, port: str, ports: Mapping[str, int]) -> int:
    if port == "{port}":
        return NO_PORT
    if port not in ports:
        raise BadLocation(
            f"location {row.location!r}: upstream {row.upstream!r} names no port of the port "
            f"table ({', '.join(ports)})"
        )
    return ports[port]


def _answer(row: Row, answer: str) -> str:
    if answer not in _ANSWERS:
        raise BadLocation(f"location {row.location!r}: no answer {row.upstream!r} is known")
    return answer


def _quantity(row: Row, column: str, units: tuple[str, ...]) -> float:
    value = getattr(row, column)
    number: float | None = None
    if isinstance(value, str):
        match = _QUANTITY.fullmatch(value)
        if match is not None and match[2].upper() in units:
            number = float(match[1]) * _UNITS[match[2].upper()]
    elif isinstance(value, int | float) and not isinstance(value, bool):
        number = value
    if number is None or not 0 < number < 2**63:
        raise BadLocation(
            f"location {row.location!r}: {column} {value!r} must be a number above 0, "
            f"or text with a unit of {', '.join(unit.lower() for unit in units)}"
        )
    return number


def _check_together(row: Row, location: Location) -> None:
    """Columns that are good each, but not with one another."""
    needs_port = location.upstream == POD and location.port == NO_PORT
    faults = {
        "upstream 'pod' needs a token": location.upstream == POD and not location.token,
        "only upstream 'pod' reads a token": location.upstream != POD and location.token,
        "host 'target:port' is for upstream 'pod'": location.host == "target:port"
        and location.upstream != POD,
        "token source 'path' needs {token}": ("path" in location.token)
        != ("{token}" in location.location),
        "upstream 'pod:{port}' needs {port}": needs_port != ("{port}" in location.location),
        "path '/{rest}' needs {rest}": location.path == "/{rest}"
        and "{rest}" not in location.location,
        "path 'prefix replaced' is for kind 'prefix'": location.path == "prefix replaced"
        and location.kind != PREFIX,
        "body 'drop' is for answers made here": (location.body == "drop")
        != (location.upstream == HERE),
        f"upstream {row.upstream!r} has a ':'": location.upstream not in (POD, HERE)
        and location.upstream != row.upstream,
    }
    for fault, is_so in faults.items():
        if is_so:
            raise BadLocation(f"location {row.location!r}: {fault}")
