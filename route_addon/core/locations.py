"""Locations, as nginx means them: exact, pattern (its regular expressions) and prefix.

A location is compiled once from a row of text columns; ``Locations.match`` then chooses one by
the canonical path: exact first, then patterns in their order, then the longest prefix.
Prefixes match whole segments.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal, NamedTuple

from route_addon.core.path import Target, parse_target

EXACT: Final = "exact"
PATTERN: Final = "pattern"
PREFIX: Final = "prefix"
type Kind = Literal["exact", "pattern", "prefix"]
type Source = Literal["query", "header", "cookie", "path"]
type PathSent = Literal["as sent", "/", "/, query kept", "/{rest}", "prefix replaced"]
type HostSent = Literal["target:port", "client", "upstream"]
type Headers = Literal["P", "WS"]
type Body = Literal["drop", "collect", "stream"]

POD = "pod"
"""The upstream whose server a token names."""
PYOS = "pyos"
"""The upstream that passwords and tokens are given to, and that makes them."""
HERE = "here"
"""The upstream of answers that are made here."""

NO_PORT = 0
"""The port of a captured ``{port}``: the path says it."""

_PLACEHOLDERS = {
    "port": rb"(?P<port>[0-9]+)",
    "rest": rb"(?P<rest>.*)",
}
PLACEHOLDER = re.compile(r"\{([a-z]+)\}")


class BadLocation(ValueError):
    """A location that cannot be compiled, or one that stands there twice."""


@dataclass(frozen=True, slots=True)
class Location:
    """One row of the location table. The columns are those of the documentation's table."""

    location: str
    kind: Kind
    upstream: str
    """``pod``, ``here``, or an upstream's name."""
    port: int = NO_PORT
    """A pod's port; ``NO_PORT`` when the path names it, and on all other upstreams."""
    answer: str = ""
    """Which answer is made here: ``healthz``, ``node`` or ``acme``."""
    token: tuple[Source, ...] = ()
    """Where a credential is looked for, first to last; empty on a location without a token."""
    path: PathSent = "as sent"
    host: HostSent = "upstream"
    headers: Headers = "P"
    body: Body = "collect"
    body_limit_bytes: int = 2**20
    answer_within_s: float = 60.0

    @property
    def is_websocket(self) -> bool:
        """Whether an opening handshake is let through."""
        return self.headers == "WS"

    @property
    def is_compressed(self) -> bool:
        """Whether answers may get a content coding: a speed test measures what it sends."""
        return self.headers != "WS" and self.upstream != "speedtest"


type Captures = Mapping[str, bytes]
NO_CAPTURES: Captures = {}


class Found(NamedTuple):
    """Where a request target leads."""

    target: Target
    location: Location | None
    """None when nothing matches."""
    captures: Captures
    """What the location's placeholders hold."""


_MAX_REMEMBERED: Final = 1024
_MAX_REMEMBERED_BYTES: Final = 128
"""Targets are remembered that are short: a token is longer, and is nobody's to keep."""


class Locations:
    """A set of locations, compiled for matching. Immutable.

    Args:
        locations: In the order of the table; the order matters among patterns only.

    Raises:
        BadLocation: Two of the same kind and text, or a malformed pattern.
    """

    def __init__(self, locations: Iterable[Location]) -> None:
        self.all = tuple(locations)
        self._exact: dict[bytes, Location] = {}
        self._patterns: dict[bytes, list[tuple[re.Pattern[bytes], Location]]] = {}
        self._prefixes: dict[bytes, list[tuple[bytes, bytes, Location]]] = {}
        self._root: Location | None = None
        seen: set[tuple[str, str]] = set()
        for location in self.all:
            key = (location.kind, location.location)
            if key in seen:
                raise BadLocation(f"{location.location!r} ({location.kind}) stands there twice")
            seen.add(key)
            self._add(location)
        for prefixes in self._prefixes.values():
            prefixes.sort(key=lambda entry: (len(entry[0]), len(entry[1])), reverse=True)
        self._remembered = lru_cache(_MAX_REMEMBERED)(self._find)

    def _add(self, location: Location) -> None:
        text = location.location.encode("utf-8")
        first = first_segment(text)
        if location.kind == EXACT:
            self._exact[text] = location
        elif location.kind == PATTERN:
            if b"{" in first:
                raise BadLocation(f"{location.location!r}: the first segment must be literal")
            entry = (compile_pattern(location.location), location)
            self._patterns.setdefault(first, []).append(entry)
        elif text == b"/":
            self._root = location
        else:
            # ``/x`` matches /x and /x/..., ``/x/`` only what is below it.
            bare = text.rstrip(b"/")
            whole = text if text.endswith(b"/") else bare
            self._prefixes.setdefault(first, []).append((bare + b"/", whole, location))

    def find(self, target: bytes) -> Found:
        """Take a request target apart, and choose its location.

        Raises:
            BadTarget: As ``parse_target`` does.
        """
        if len(target) <= _MAX_REMEMBERED_BYTES:
            return self._remembered(target)
        return self._find(target)

    def _find(self, text: bytes) -> Found:
        target = parse_target(text)
        match = self.match(target.path)
        return Found(target, None, NO_CAPTURES) if match is None else Found(target, *match)

    def match(self, path: bytes) -> tuple[Location, Captures] | None:
        """Choose the location of a canonical path.

        Returns:
            The location and what its placeholders hold, or None when nothing matches.
        """
        location = self._exact.get(path)
        if location is not None:
            return location, NO_CAPTURES
        first = first_segment(path)
        for pattern, location in self._patterns.get(first, ()):
            match = pattern.fullmatch(path)
            if match is not None:
                return location, match.groupdict()
        for below, whole, location in self._prefixes.get(first, ()):
            if path.startswith(below) or path == whole:
                return location, NO_CAPTURES
        return None if self._root is None else (self._root, NO_CAPTURES)


def first_segment(path: bytes) -> bytes:
    """``b"filer"`` of ``b"/filer/x"``; empty for ``b"/"``."""
    end = path.find(b"/", 1)
    return path[1:] if end < 0 else path[1:end]


def compile_pattern(text: str) -> re.Pattern[bytes]:
    """Compile ``/a/{token}/{port}/{rest}``; a match is always of the whole path.

    Raises:
        BadLocation: A placeholder twice, or ``{rest}`` anywhere but at the end.
    """
    parts: list[bytes] = []
    names: list[str] = []
    position = 0
    for placeholder in PLACEHOLDER.finditer(text):
        name = placeholder[1]
        if name in names or "rest" in names:
            raise BadLocation(f"{text!r}: {{{name}}} cannot stand there")
        names.append(name)
        parts.append(re.escape(text[position : placeholder.start()].encode("utf-8")))
        parts.append(_PLACEHOLDERS.get(name, rb"(?P<%s>[^/]+)" % name.encode("ascii")))
        position = placeholder.end()
    parts.append(re.escape(text[position:].encode("utf-8")))
    if "rest" in names and not text.endswith("{rest}"):
        raise BadLocation(f"{text!r}: {{rest}} stands at the end only")
    return re.compile(b"".join(parts), re.DOTALL)
