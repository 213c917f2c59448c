"""A stored answer: what is kept of an upstream's answer, and what 304 changes in it."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

from route_addon.core.cache_control import Directives, parse_answer_directives
from route_addon.core.fields import HOP_BY_HOP, Spellings, connection_options
from route_addon.core.freshness import (
    HEURISTICALLY_CACHEABLE,
    build_date,
    explicit_lifetime,
    find_date,
    heuristic_lifetime,
    initial_age,
    parse_age,
)
from route_addon.core.httpcache_request import (
    CacheRequest,
    Selected,
    Values,
    find_selectors,
    select,
)
from route_addon.core.messages import Field, Fields

TARGETED: Final = (b"cdn-cache-control",)
"""The targeted fields that we obey (RFC 9213 3)."""


def _find_saying(name: bytes) -> bytes:
    """The name in lower case, if a field with it says how an answer is stored; else empty."""
    lower = name.lower()
    return lower if lower == b"cache-control" or lower in TARGETED else b""


_saying = Spellings(_find_saying)

_NEVER_STORED: Final = HOP_BY_HOP | {
    # RFC 9111 3.1: of a proxy's connection.
    *(b"proxy-authenticate", b"proxy-authentication-info", b"proxy-authorization"),
    # The carrier writes it anew; so does the cache.
    *(b"content-length", b"age"),
    # Said to one client about one request.
    *(b"authentication-info", b"x-request-id", b"set-cookie"),
}
_NOT_UPDATED: Final = frozenset(
    {b"content-encoding", b"content-range", b"content-md5", b"content-digest", b"etag"}
)
"""What says how the stored content is to be read. We ask about one entity tag at a time, so a
304 can speak of no other, whatever tag it carries."""


_ENTITY_TAG = re.compile(rb'(?:W/)?"[!#-~\x80-\xff]*+"')


class Policy(NamedTuple):
    """What an operator may choose."""

    heuristic_fraction: float = 0.0
    """How much of the time since Last-Modified an answer is fresh for where the origin does not
    say; 0 to store such an answer and validate it each time."""
    heuristic_longest_s: float = 86400.0
    stale_if_error_s: int = 0
    """For how long a stale answer stands in for an upstream that fails, where neither the origin
    says how long (RFC 5861) nor forbids it."""


DEFAULT_POLICY: Final = Policy()


@dataclass(frozen=True, slots=True, eq=False)
class Stored:
    """A stored answer. Two are the same only when they are one."""

    status: int
    reason: bytes
    fields: tuple[Field, ...]
    """As the upstream sent them, but for what is never stored; nothing of ours."""
    selected: Selected | None
    """None when no other request can match."""
    directives: Directives
    lifetime: float
    """The freshness lifetime; 0 where there is none."""
    has_lifetime: bool
    """Whether it is the origin's or a heuristic's."""
    initial_age: float
    received: float
    date: float
    """Its Date, or else when it arrived."""
    etag: bytes | None
    """Its entity tag, when it is a sound one."""
    modified: bytes | None
    """Its Last-Modified, when it is a date."""
    body: bytes = b""

    def age(self, now: float) -> float:
        """RFC 9111 4.2.3's current age."""
        return self.initial_age + max(0.0, now - self.received)

    @property
    def has_validator(self) -> bool:
        """Whether the upstream can be asked if it still holds."""
        return self.etag is not None or self.modified is not None


def sort_values(fields: Fields) -> Values:
    """Fields by name."""
    values: dict[bytes, list[bytes]] = {}
    for name, value in fields:
        values.setdefault(name.lower(), []).append(value)
    return values


def read_directives(values: Values) -> Directives:
    """What an answer says of its storing, in Cache-Control or in a field that is meant for us."""
    targeted = [values.get(name, ()) for name in TARGETED]
    return parse_answer_directives(values.get(b"cache-control", ()), targeted)


def find_directives(fields: Fields) -> Directives:
    """The same, of fields as they came: most answers say little, and many no more than that."""
    values: dict[bytes, list[bytes]] = {}
    for name, value in fields:
        if kept_as := _saying[name]:
            values.setdefault(kept_as, []).append(value)
    return read_directives(values)


def build_stored(
    request: CacheRequest,
    status: int,
    reason: bytes,
    fields: Fields,
    now: float,
    policy: Policy = DEFAULT_POLICY,
) -> Stored:
    """What would be stored of an answer.

    Args:
        request: What it answers.
        status: The answer's status.
        reason: Its reason phrase.
        fields: Its fields as they came.
        now: When it came.
        policy: What the operator chose.
    """
    values = sort_values(fields)
    selectors = find_selectors(values)
    directives = read_directives(values)
    date = find_date(values.get(b"date", ()), now)
    lines = values.get(b"last-modified", ())
    modified = find_date(lines, now)
    lifetime = explicit_lifetime(directives, values.get(b"expires", ()), date, now)
    # Nothing is guessed of an answer that may be one user's own.
    is_guessable = status in HEURISTICALLY_CACHEABLE or directives.public
    if lifetime is None and is_guessable and b"cookie" not in request.values:
        lifetime = heuristic_lifetime(
            policy.heuristic_fraction, policy.heuristic_longest_s, modified, date, now
        )
    kept = _kept_fields(fields, values, directives)
    if b"date" not in values:
        # RFC 9110 6.6.1: who has a clock says when an answer without a Date came.
        kept = (*kept, (b"Date", build_date(now)))
    return Stored(
        status,
        reason,
        kept,
        select(selectors, request) if selectors is not None else None,
        directives,
        lifetime or 0.0,
        lifetime is not None,
        initial_age(parse_age(values.get(b"age", ())), date, request.asked, now),
        now,
        now if date is None else date,
        find_entity_tag(values),
        lines[0] if modified is not None else None,
    )


def _kept_fields(fields: Fields, values: Values, directives: Directives) -> tuple[Field, ...]:
    dropped = _NEVER_STORED | directives.withheld
    if b"connection" in values:
        dropped |= connection_options(list(values[b"connection"]))
    # Without what else is known of them: a store keeps no more than it counts.
    return tuple((name, value) for name, value in fields if name.lower() not in dropped)


def find_entity_tag(values: Values) -> bytes | None:
    """The entity tag (RFC 9110 8.8.3); None when there is none, or not one that is sound."""
    tags = values.get(b"etag", ())
    return tags[0] if len(tags) == 1 and parse_entity_tags(tags) == [tags[0]] else None


def parse_entity_tags(lines: Iterable[bytes]) -> list[bytes]:
    """The sound entity tags of ETag or If-None-Match lines."""
    return [tag for line in lines for tag in _ENTITY_TAG.findall(line)]


def merge_fields(stored: Fields, update: Fields) -> list[Field]:
    """The stored fields with those of a newer answer in their place (RFC 9111 3.2).

    Args:
        stored: The stored answer's.
        update: A 304's, or those of an answer to HEAD, as they came.
    """
    values = sort_values(update)
    dropped = _NEVER_STORED | _NOT_UPDATED
    if b"connection" in values:
        dropped |= connection_options(list(values[b"connection"]))
    new = values.keys() - dropped
    kept = [field for field in stored if field[0].lower() not in new]
    return kept + [field for field in update if field[0].lower() in new]
