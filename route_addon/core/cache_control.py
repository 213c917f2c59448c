r"""Cache directives: Cache-Control (RFC 9111 5.2) and CDN-Cache-Control (RFC 9213).

**What is malformed is read to be stricter, never laxer** (RFC 9111 4.2.1 encourages it): a
lifetime that is not a number, or is given twice with two values, is 0; a quote that never ends
hides nothing of what follows it; a list of fields that names none stands for all of them.

**Why not the parsers that are there.** Those of werkzeug and hishel take text and keep one value
for a name: of two ``max-age`` the last wins, and ``max-age=abc`` looks as if there were none.
Neither knows targeted fields. Whatever parser stood here would need this page's rules around it.
"""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

MAX_SECONDS: Final = 2**31
"""RFC 9111 1.2.2: what any larger number of seconds is taken for."""

type Members = list[tuple[bytes, bytes | None]]
"""Directives in their order: names in lower case, arguments without quotes, None without one."""

_MEMBER = re.compile(rb'(?:[^",]++|"(?:[^"\\]|\\.)*+"|")++', re.DOTALL)
"""A member of a comma-separated list. A quote that never ends is an ordinary byte: it must not
hide a no-store behind it."""

_QUOTED = re.compile(rb'"((?:[^"\\]|\\.)*+)"', re.DOTALL)
_QUOTED_PAIR = re.compile(rb"\\(.)", re.DOTALL)
_FIELD_NAMES = re.compile(rb"[ \t,]*+(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]++[ \t]*+(?:,[ \t,]*+|\Z))++")

_MAX_REMEMBERED_BYTES: Final = 128
"""Sites have a few Cache-Control lines; longer ones are read each time, so memory stays small."""

_MALFORMED: Final = b"\x00"
"""An argument with whitespace around its ``=``: no number, and no name of a field."""


class Directives(NamedTuple):
    """What an answer says of its storing."""

    max_age: int | None = None
    s_maxage: int | None = None
    stale_while_revalidate: int = 0
    stale_if_error: int = 0
    no_store: bool = False
    no_cache: bool = False
    """Unqualified: nothing of it may be used without validation."""
    private: bool = False
    """Unqualified: nothing of it may be stored here."""
    public: bool = False
    must_revalidate: bool = False
    proxy_revalidate: bool = False
    must_understand: bool = False
    immutable: bool = False
    withheld: frozenset[bytes] = frozenset()
    """The fields that a qualified ``no-cache`` or ``private`` names, in lower case."""
    is_targeted: bool = False
    """Whether a targeted field said it; Cache-Control and Expires are then not looked at."""

    @property
    def is_shareable(self) -> bool:
        """Whether it says that others than who asked may have it (RFC 9111 3.5)."""
        return self.public or self.must_revalidate or self.s_maxage is not None

    @property
    def forbids_stale(self) -> bool:
        """Whether it must never be used stale (RFC 9111 4.2.4)."""
        return (
            self.no_cache
            or self.must_revalidate
            or self.proxy_revalidate
            or self.s_maxage is not None
        )


class Wishes(NamedTuple):
    """What a request says of stored answers (RFC 9111 5.2.1)."""

    max_age: int | None = None
    max_stale: int = 0
    min_fresh: int = 0
    no_cache: bool = False
    no_store: bool = False
    only_if_cached: bool = False


NO_DIRECTIVES: Final = Directives()
NO_WISHES: Final = Wishes()


def split_list(value: bytes) -> list[bytes]:
    """The members of a comma-separated list (RFC 9110 5.6.1), but for the empty ones."""
    members = (member.strip(b" \t") for member in _MEMBER.findall(value))
    return [member for member in members if member]


def unquote(value: bytes) -> bytes:
    """The content of a quoted-string (RFC 9110 5.6.4); anything else as it is."""
    match = _QUOTED.fullmatch(value)
    return value if match is None else _QUOTED_PAIR.sub(rb"\1", match[1])


def parse_members(lines: Iterable[bytes]) -> Members:
    """The directives of all Cache-Control lines. Each line is read for itself."""
    members: Members = []
    for line in lines:
        for member in split_list(line):
            name, mark, argument = member.partition(b"=")
            if not mark:
                members.append((name.lower(), None))
            elif name[-1:] in (b" ", b"\t") or argument[:1] in (b" ", b"\t"):
                members.append((name.strip(b" \t").lower(), _MALFORMED))
            else:
                members.append((name.lower(), unquote(argument)))
    return members


def parse_seconds(value: bytes) -> int | None:
    """RFC 9111 1.2.2's delta-seconds; None for anything else."""
    if not value.isdigit():
        return None
    digits = value.lstrip(b"0")
    return min(int(digits or b"0"), MAX_SECONDS) if len(digits) <= 10 else MAX_SECONDS


def parse_answer_directives(
    lines: Sequence[bytes], targeted: Sequence[Sequence[bytes]] = ()
) -> Directives:
    """What an answer says of its storing.

    Args:
        lines: The values of its Cache-Control lines.
        targeted: The values of the lines of each targeted field that we obey, most important
            first. The first that is sound and not empty is all that counts (RFC 9213 2.2).
    """
    for target in targeted:
        said = parse_targeted(target) if target else None
        if said:
            return _build(said)._replace(is_targeted=True)
    if not lines:
        return NO_DIRECTIVES
    if len(lines) == 1 and len(lines[0]) <= _MAX_REMEMBERED_BYTES:
        return _build_remembered(lines[0])
    return _build(parse_members(lines))


def parse_wishes(lines: Sequence[bytes], pragma: Sequence[bytes] = ()) -> Wishes:
    """What a request wishes.

    Args:
        lines: The values of its Cache-Control lines.
        pragma: The values of its Pragma lines, which count where there is no Cache-Control
            (RFC 7234 5.4): some clients still mean it.
    """
    if not lines:
        names = [member.lower() for line in pragma for member in split_list(line)]
        return Wishes(no_cache=True) if b"no-cache" in names else NO_WISHES
    members = parse_members(lines)
    names = [name for name, _ in members]
    # A max-stale that names no number accepts any age.
    stale: Members = [(name, b"9" * 11 if value is None else value) for name, value in members]
    return Wishes(
        _seconds(members, b"max-age"),
        _seconds(stale, b"max-stale") or 0,
        _seconds(members, b"min-fresh") or 0,
        b"no-cache" in names,
        b"no-store" in names,
        b"only-if-cached" in names,
    )


@lru_cache(maxsize=512)
def _build_remembered(line: bytes) -> Directives:
    return _build(parse_members([line]))


def _build(members: Members) -> Directives:
    names = {name for name, _ in members}
    caches, no_cache = _fields_named(members, b"no-cache")
    privates, private = _fields_named(members, b"private")
    return Directives(
        _seconds(members, b"max-age"),
        _seconds(members, b"s-maxage"),
        _seconds(members, b"stale-while-revalidate") or 0,
        _seconds(members, b"stale-if-error") or 0,
        b"no-store" in names,
        no_cache,
        private,
        b"public" in names,
        b"must-revalidate" in names,
        b"proxy-revalidate" in names,
        b"must-understand" in names,
        b"immutable" in names,
        caches | privates,
    )


def _seconds(members: Members, wanted: bytes) -> int | None:
    """A directive's number; 0 where it is none or there are several that differ."""
    found = {parse_seconds(value or b"") for name, value in members if name == wanted}
    if not found:
        return None
    return (found.pop() or 0) if len(found) == 1 else 0


def _fields_named(members: Members, wanted: bytes) -> tuple[frozenset[bytes], bool]:
    """The fields that a directive names, and whether it holds for the whole answer."""
    fields: set[bytes] = set()
    is_whole = False
    for name, value in members:
        if name != wanted:
            continue
        if value is None or _FIELD_NAMES.fullmatch(value) is None:
            is_whole = True
        else:
            fields.update(field.lower() for field in split_list(value))
    return frozenset(fields), is_whole


# Structured fields (RFC 8941 3.2): a dictionary, as far as directives need it. Keys are in lower
# case, there is nothing around the equals sign, and one fault spoils the whole.

_KEY = rb"[a-z*][a-z0-9_.*-]*+"
_STRING = rb'"(?:[ !#-\[\]-~]|\\["\\])*+"'
_BARE_ITEM = (
    rb"(?:-?(?:[0-9]{1,12}\.[0-9]{1,3}|[0-9]{1,15})(?![0-9.])|%b|[A-Za-z*][!#$%%&'*+.^_`|~:/0-9A-Za-z-]*+"
    rb"|:[A-Za-z0-9+/=]*+:|\?[01])" % _STRING
)
_PARAMETERS = rb"(?:;[ ]*+%b(?:=%b)?)*+" % (_KEY, _BARE_ITEM)
_INNER_LIST = rb"\([ ]*+(?:%b%b(?:[ ]++|(?=\))))*+\)" % (_BARE_ITEM, _PARAMETERS)
_DICTIONARY_MEMBER = re.compile(
    rb"(%b)(?:=(%b|%b))?%b(?:[ \t]*+(,)[ \t]*+|[ ]*+\Z)"
    % (_KEY, _BARE_ITEM, _INNER_LIST, _PARAMETERS)
)


def parse_targeted(lines: Sequence[bytes]) -> Members | None:
    """The directives of a targeted field (RFC 9213 2.1).

    Returns:
        None when it is no dictionary; a false boolean stands for no directive at all.
    """
    value = b", ".join(lines).strip(b" ")
    found: dict[bytes, bytes | None] = {}
    position, is_open = 0, bool(value)
    while is_open:
        match = _DICTIONARY_MEMBER.match(value, position)
        if match is None:
            return None
        key, item, comma = match.groups()
        found[key] = item
        position, is_open = match.end(), comma is not None
    # A structured number is written without quotes: a string is none.
    return [
        (key, None if item in (None, b"?1") else _argument(key, item or b""))
        for key, item in found.items()
        if item != b"?0"
    ]


def _argument(key: bytes, item: bytes) -> bytes:
    return unquote(item) if key in (b"no-cache", b"private") else item
