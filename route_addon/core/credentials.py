"""Where a token sits in a request, and how it is taken out again.

Nothing is percent-decoded: a token has one spelling. A credential that is present and bad is
refused later; the next source is tried only when this one holds none.
"""

import re
from collections.abc import Callable, Container, Sequence
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from route_addon.core.authority import (
    DEFAULT_PORTS,
    Authority,
    parse_authority,
    same_authority,
)
from route_addon.core.errors import OriginDenied, TokenRepeated
from route_addon.core.locations import Captures, Source
from route_addon.core.messages import Origin
from route_addon.core.tokens import has_token_shape

ARGUMENT = b"jwt_token"
"""The query argument's name, in any case."""

_ARGUMENT_VALUE = re.compile(rb"(?i)(?:\A|&)%s=([^&]*)" % ARGUMENT)
_ARGUMENT = re.compile(rb"(?i)%s=" % ARGUMENT)
_DOT = rb"(?:\.|%2[Ee])"
_TOKEN_IN_TEXT = re.compile(
    rb"(?P<name>(?i:%s(?:=|%%3d)))(?P<value>[^&;#\s]*)" % ARGUMENT
    + rb"|(?<![A-Za-z0-9_-])[A-Za-z0-9_-]{16,}%s[A-Za-z0-9_-]{8,}%s[A-Za-z0-9_-]{64,}"
    % (_DOT, _DOT)
)
"""A token anywhere in a text; a host name never looks so, its labels have 63 letters at most.

The look-behind changes no verdict; without it a long word costs the square of its length.
"""
_PLACEHOLDER = b"[token]"

_ORIGIN = re.compile(rb"(https?)://([^/?#]+)", re.IGNORECASE)

SAFE_METHODS = frozenset({b"GET", b"HEAD", b"OPTIONS"})
"""Methods that change nothing (RFC 9110 9.2.1)."""


class Credential(NamedTuple):
    """A token and the place where it was found."""

    token: bytes
    source: Source


class Carriers(NamedTuple):
    """Everything in a request that can carry a token, as values in the order received."""

    abc_authorization: Sequence[bytes]
    authorization: Sequence[bytes]
    cookie: Sequence[bytes]
    query: bytes | None
    captures: Captures


def find_credential(
    sources: Sequence[Source], carriers: Carriers, cookie_name: bytes
) -> Credential | None:
    """Find the first credential that is present.

    Args:
        sources: Where to look, first to last.
        carriers: Where tokens may be.
        cookie_name: The cookie's name; empty to look at no cookie.

    Raises:
        TokenRepeated: Two credentials in one source, which another reader might choose from
            differently.
    """
    for source in sources:
        token = _FINDERS[source](carriers, cookie_name)
        if token is not None:
            return Credential(token, source)
    return None


def _from_header(carriers: Carriers, _cookie_name: bytes) -> bytes | None:
    lines = carriers.abc_authorization
    if lines:
        if len(lines) > 1:
            raise TokenRepeated("ABCAuthorization")
        bearer = _bearer(lines[0])
        return lines[0].strip() if bearer is None else bearer
    bearers = [token for token in map(_bearer, carriers.authorization) if token is not None]
    if bearers and len(carriers.authorization) > 1:
        raise TokenRepeated("Authorization")
    return bearers[0] if bearers else None


def _bearer(value: bytes) -> bytes | None:
    """The token of ``Bearer TOKEN`` (RFC 6750 2.1); None for any other scheme."""
    scheme, _, token = value.partition(b" ")
    return token.strip() if scheme.lower() == b"bearer" else None


def _from_query(carriers: Carriers, _cookie_name: bytes) -> bytes | None:
    query = carriers.query
    if not query:
        return None
    argument = _ARGUMENT_VALUE.search(query)
    if argument is not None:
        return argument[1]
    return query if has_token_shape(query) else None


def _from_path(carriers: Carriers, _cookie_name: bytes) -> bytes | None:
    return carriers.captures.get("token")


def _from_cookie(carriers: Carriers, cookie_name: bytes) -> bytes | None:
    if not carriers.cookie or not cookie_name:
        return None
    is_token = _cookie_pair(cookie_name)
    values = {value for line in carriers.cookie for value in is_token.findall(line)}
    if len(values) > 1:
        raise TokenRepeated("cookie")
    return values.pop() if values else None


_FINDERS: dict[Source, Callable[[Carriers, bytes], bytes | None]] = {
    "header": _from_header,
    "query": _from_query,
    "path": _from_path,
    "cookie": _from_cookie,
}


@lru_cache(maxsize=8)
def _cookie_pair(name: bytes) -> re.Pattern[bytes]:
    """Matches the cookie pairs of that name (RFC 6265 4.2.1)."""
    return re.compile(rb"(?:\A|;)[ \t]*%s=([^;]*)" % re.escape(name))


def remove_from_query(query: bytes, *, whole: bool) -> bytes | None:
    """Take every token argument out of a query; the rest stays byte for byte.

    Args:
        query: The query as sent.
        whole: Whether a query that is nothing but a token is one to this location.

    Returns:
        What is left, or None when nothing is.
    """
    if whole and has_token_shape(query):
        return None
    if _ARGUMENT.search(query) is None:
        return query
    kept = [part for part in query.split(b"&") if _ARGUMENT.match(part) is None]
    return b"&".join(kept) or None


def remove_cookie(line: bytes, name: bytes) -> bytes | None:
    """Take the pairs of one name out of a Cookie line.

    Returns:
        What is left, or None when nothing is.
    """
    kept = [pair for pair in line.split(b";") if pair.partition(b"=")[0].strip() != name]
    return b";".join(kept).strip() or None


def holds_token(text: bytes) -> bool:
    """Whether a token stands anywhere in a text, with escapes or without."""
    if b"%" not in text:
        return _TOKEN_IN_TEXT.search(text) is not None
    return _TOKEN_IN_TEXT.search(unquote_to_bytes(text)) is not None


def redact(text: bytes) -> bytes:
    """A text that can be shown: with a placeholder in the place of every token."""
    return _TOKEN_IN_TEXT.sub(_PLACEHOLDER, text)


def replace_tokens(text: bytes, replace: Callable[[bytes], bytes]) -> bytes:
    """A text with something else in the place of every token; an argument keeps its name.

    Args:
        text: Any text.
        replace: Told a token, gives what shall stand there.
    """

    def replace_match(match: re.Match[bytes]) -> bytes:
        name = match["name"]
        return replace(match[0]) if name is None else bytes(name + replace(match["value"]))

    return _TOKEN_IN_TEXT.sub(replace_match, text)


def cut_referer(referer: bytes) -> bytes | None:
    """A Referer that can be shown to an upstream: cut to its origin when it holds a token.

    Returns:
        The Referer, its origin, or None when it holds a token and no origin.
    """
    if not holds_token(referer):
        return referer
    origin = _ORIGIN.match(referer)
    if origin is None or holds_token(origin[0]):
        return None
    return origin[0] + b"/"


def parse_origin(text: bytes) -> tuple[bytes, Authority] | None:
    """Parse an Origin (RFC 6454 6.2), or the origin of a URL.

    Returns:
        Scheme in lower case and authority, or None for ``null`` and anything else.
    """
    match = _ORIGIN.match(text)
    authority = parse_authority(match[2]) if match is not None else None
    return (match[1].lower(), authority) if match and authority else None


def check_same_origin(
    origins: Sequence[bytes],
    referers: Sequence[bytes],
    own: Origin,
    allowed: Container[Origin],
) -> None:
    """Check that a request with ambient authority was made by a page of ours.

    A cookie is sent by the browser whoever asks; only Origin, or else Referer, says who did.

    Args:
        origins: The values of all Origin lines.
        referers: The values of all Referer lines.
        own: What the client calls us.
        allowed: Other origins that may, each with its authority in full: with the port.

    Raises:
        OriginDenied: Neither field, ``null``, more than one, or a foreign origin.
    """
    lines = origins or referers
    claimed = parse_origin(lines[0]) if len(lines) == 1 else None
    if claimed is None:
        raise OriginDenied("no Origin")
    scheme, authority = claimed
    if Origin(scheme, full_authority(scheme, authority)) in allowed:
        return
    own_authority = parse_authority(own.authority)
    # Where TLS ends before us and nobody says so, our own scheme reads http: https is no less.
    if (
        own_authority is None
        or scheme not in (own.scheme, b"https")
        or not same_authority(scheme, authority, own_authority)
    ):
        raise OriginDenied("a foreign Origin")


def full_authority(scheme: bytes, authority: Authority) -> bytes:
    """An authority with its port, for comparison."""
    return b"%s:%d" % (authority.host, authority.port or DEFAULT_PORTS[scheme])
