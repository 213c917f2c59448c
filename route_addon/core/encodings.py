"""Which content coding an answer gets on its way out, and what that makes of its head.

nginx's ``gzip`` module is the model (types, lengths, statuses); RFC 9110 8.4, 8.8.1 and 12.5.3 are
the rules. A coding makes another representation: its entity tag is a weak one, ranges are not
offered of it, and digests of the plain one are withheld. A client that comes back with the weak tag
is understood upstream as it is: If-None-Match compares weakly (RFC 9110 13.1.2).
"""

import re
from functools import lru_cache
from typing import Final, NamedTuple

from route_addon.core.fields import field_values
from route_addon.core.messages import HTTP_10, Field, Fields, Forward, RequestHead

CODINGS: Final = ("gzip", "br", "zstd")
"""What there are encoders for."""

MIN_BYTES: Final = 2048
"""Shorter content stays as it is (``gzip_min_length``); a length that is not known is long."""

TYPES: Final = frozenset(
    {
        *(b"text/html", b"text/plain", b"text/css", b"text/xml", b"text/javascript"),
        *(b"application/json", b"application/javascript", b"application/x-javascript"),
        *(b"application/xml", b"application/xml+rss", b"image/svg+xml"),
    }
)
"""``gzip_types``."""

_STATUSES: Final = frozenset({200, 403, 404})
"""Those that nginx's gzip looks at; a 206 is a part of what it is a part of."""

_OF_PLAIN_CONTENT: Final = frozenset(
    {
        *(b"content-length", b"accept-ranges", b"content-md5"),
        *(b"content-digest", b"repr-digest", b"digest"),
    }
)
_NO_TRANSFORM = re.compile(rb"(?:^|[,\s])no-transform(?:$|[,\s])", re.IGNORECASE)
_REMEMBERED_BYTES: Final = 256
"""A longer Accept-Encoding is worked out each time, so that memory stays small."""
_WEIGHT = re.compile(rb"q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)", re.IGNORECASE)
"""RFC 9110 12.4.2."""


class EncodingPolicy(NamedTuple):
    """What an operator may choose."""

    codings: tuple[str, ...] = ("gzip",)
    """Those that are on; of two that a client likes as much, the first."""
    is_behind_tokens: bool = True
    """Whether answers of locations with a token are encoded, too: docs/compression.md on BREACH."""


DEFAULT_ENCODING: Final = EncodingPolicy()


class Encoded(NamedTuple):
    """What becomes of an answer that can be encoded."""

    coding: str | None
    """None when this client takes none of them."""
    fields: list[Field]
    """The answer's fields; Vary says that they differ."""


def encode_head(
    policy: EncodingPolicy,
    head: RequestHead,
    forward: Forward,
    status: int,
    fields: Fields,
    length: int | None,
) -> Encoded | None:
    """Choose an answer's coding.

    Args:
        policy: What the operator chose.
        head: The request.
        forward: The decision on it.
        status: The answer's status.
        fields: Its fields.
        length: Its content's length in bytes, or a mark of ``core.framing``; for HEAD and 304 the
            one that its Content-Length tells, None without one.

    Returns:
        None when it goes as it is, for every client.
    """
    location = forward.location
    is_long = length is None or length < 0 or length >= MIN_BYTES
    if not is_long or not policy.codings or not location.is_compressed:
        return None
    if location.token and not policy.is_behind_tokens:
        return None
    if status == 304:
        return _weaken_known(head, fields)
    if status not in _STATUSES or not _is_compressible(fields):
        return None
    coding = None
    if head.version != HTTP_10:
        lines = field_values(head.fields, b"accept-encoding")
        coding = negotiate(policy.codings, b",".join(lines)) if lines else None
    sent = list(fields) if coding is None else _encode_fields(coding, fields)
    return Encoded(coding, _with_vary(sent))


def negotiate(codings: tuple[str, ...], accepted: bytes) -> str | None:
    """The coding that a client likes best (RFC 9110 12.5.3).

    Args:
        codings: Those that are on, best first.
        accepted: Accept-Encoding; several lines joined by commas. What is malformed is not
            accepted, nor is ``*``: who means gzip says so (nginx).

    Returns:
        None for the content as it is.
    """
    if len(accepted) <= _REMEMBERED_BYTES:
        return _negotiate_remembered(codings, accepted)
    return _negotiate(codings, accepted)


def _negotiate(codings: tuple[str, ...], accepted: bytes) -> str | None:
    weights: dict[bytes, float] = {}
    for item in accepted.split(b","):
        name, *parameters = (part.strip(b" \t").lower() for part in item.split(b";"))
        match = _WEIGHT.fullmatch(parameters[0]) if len(parameters) == 1 else None
        if parameters and match is None:
            weights[name] = 0.0
        else:
            weights.setdefault(name, float(match[1]) if match is not None else 1.0)
    best, weight = None, max(0.0, weights.get(b"identity", 0.0) if len(weights) > 1 else 0.0)
    for coding in codings:
        own = weights.get(coding.encode("ascii"), 0.0)
        if own > weight or (best is None and own == weight > 0):
            best, weight = coding, own
    return best


_negotiate_remembered = lru_cache(maxsize=1024)(_negotiate)


def _is_compressible(fields: Fields) -> bool:
    is_typed = False
    for name, value in fields:
        match name.lower():
            case b"content-type":
                is_typed = value.partition(b";")[0].strip(b" \t").lower() in TYPES
            case b"content-encoding" | b"content-range":
                return False
            case b"cache-control" if _NO_TRANSFORM.search(value) is not None:
                return False
    return is_typed


def _encode_fields(coding: str, fields: Fields) -> list[Field]:
    sent: list[Field] = []
    for field in fields:
        name = field[0].lower()
        if name == b"etag":
            sent.append((field[0], _weaken(field[1])))
        elif name not in _OF_PLAIN_CONTENT:
            sent.append(field)
    sent.append((b"Content-Encoding", coding.encode("ascii")))
    return sent


def _weaken(tag: bytes) -> bytes:
    return tag if tag.startswith(b"W/") else b"W/" + tag


def _weaken_known(head: RequestHead, fields: Fields) -> Encoded | None:
    """A 304 speaks of what the client has: when that was encoded, its tag is weak.

    Its type is not told here, but what the client has was tagged by us, or by nobody.
    """
    known = b",".join(field_values(head.fields, b"if-none-match"))
    sent = [
        (name, _weaken(value))
        if name.lower() == b"etag" and not value.startswith(b"W/") and b"W/" + value in known
        else (name, value)
        for name, value in fields
    ]
    return Encoded(None, _with_vary(sent)) if sent != list(fields) else None


def _with_vary(fields: list[Field]) -> list[Field]:
    """Say that another client may get it otherwise, unless that is said already."""
    for name, value in fields:
        if name.lower() == b"vary":
            names = {one.strip(b" \t").lower() for one in value.split(b",")}
            if names & {b"accept-encoding", b"*"}:
                return fields
    fields.append((b"Vary", b"Accept-Encoding"))
    return fields
