"""From the fields of an HTTP/2 request to a ``RequestHead``, or to why it is refused.

All rules of RFC 9113 8.2 and 8.3 for requests are here, beside the limits that HTTP/1 has as
well. What they find is the fault of one stream: its request is refused, and the others go on.
"""

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from route_addon.carry.http1.parts import HeadLimits
from route_addon.carry.http2.sections import Section
from route_addon.carry.request_id import make_request_id
from route_addon.core.errors import (
    BadField,
    BadFraming,
    BadRequest,
    BadTarget,
    ExpectationFailed,
    FieldsTooLarge,
    UriTooLong,
)
from route_addon.core.fields import check_values
from route_addon.core.framing import UNTIL_END, content_length
from route_addon.core.messages import HTTP_2, Fields, Peer, RequestHead
from route_addon.core.sender import RequestFields

LIMITS: Final = HeadLimits()

_FIELD_OVERHEAD: Final = 32
"""What each field counts beyond its bytes (RFC 9113 6.5.2)."""

_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]++")
"""A token without upper case (RFC 9113 8.2.1)."""

_REQUIRED: Final = (b":method", b":scheme", b":path")
_PSEUDO: Final = frozenset({*_REQUIRED, b":authority"})
"""RFC 9113 8.3.1. Not ``:protocol``: extended CONNECT (RFC 8441) is not offered."""

_SCHEMES: Final = frozenset({b"http", b"https"})

_CONNECTION_FIELDS: Final = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"}
)
"""RFC 9113 8.2.2: they make a request malformed."""

_COMMON_NAMES: Final = frozenset(
    {
        b"accept",
        b"accept-encoding",
        b"accept-language",
        b"abcauthorization",
        b"authorization",
        b"cache-control",
        b"content-type",
        b"origin",
        b"priority",
        b"referer",
        b"sec-fetch-dest",
        b"sec-fetch-mode",
        b"sec-fetch-site",
        b"user-agent",
    }
)
"""Names that no rule but those on all values concerns: most of what a browser sends."""

_BLANK = b" \t"

_SOUND_PATH = re.compile(rb"/[^\x00-\x08\x0a-\x1f\x7f]{0,1023}+")
"""A ``:path`` in origin-form that meets no limit."""


class Request(NamedTuple):
    """A request that is well-formed."""

    head: RequestHead
    expects_continue: bool
    """Whether the client waits to be told that its content is wanted (RFC 9110 10.1.1)."""


def read_section(section: Section, peer: Peer, *, is_whole: bool) -> Request:
    """Read a request, or only its path where all else of it has been read before.

    Args:
        section: Its field section.
        peer: Who sent it: always the same with sections of one connection.
        is_whole: Whether the stream ended with it.

    Raises:
        RouteError: What ``read_request`` raises.
    """
    known = section.known
    if known is None or not is_whole:
        return read_request(section.fields, peer, is_whole=is_whole)
    if known.head is not None and _SOUND_PATH.fullmatch(section.path) is not None:
        method, _, version, authority, fields, length, _, _, memory = known.head
        head = RequestHead(
            method,
            section.path,
            version,
            authority,
            fields,
            length,
            peer,
            make_request_id(),
            memory,
        )
        return Request(head, False)
    request = read_request(section.fields, peer, is_whole=True)
    if request.head.method != b"CONNECT":  # its path is not its target
        known.head = request.head
    return request


def read_request(fields: Fields, peer: Peer, *, is_whole: bool) -> Request:
    """Read a request's fields.

    Args:
        fields: As they were decoded, the pseudo-fields among them.
        peer: Who sent it.
        is_whole: Whether the stream ended with them: there is no content.

    Raises:
        BadRequest: A pseudo-field that is missing, repeated, unknown or behind others (400).
        BadField: A name or a value that must not be, or a field of a connection (400).
        BadFraming: A Content-Length that is none, or that the stream's end contradicts (400).
        BadTarget: ``:path`` is not in origin-form (400).
        UriTooLong: ``:path`` is over the limit (414).
        ExpectationFailed: An ``Expect`` other than ``100-continue`` (417).
        FieldsTooLarge: A field, their number or all of them together are (431).
    """
    pseudo, parted = _part(fields)
    regular = RequestFields(parted)
    _check_size(fields, regular, pseudo.get(b":path", b""))
    lengths, expectations = _check_fields(regular)
    check_values(fields)
    target = _check_pseudo(pseudo)
    length = content_length(lengths)
    if is_whole:
        if length:
            raise BadFraming("shorter than Content-Length")
        length = 0
    if any(value.lower() != b"100-continue" for value in expectations):
        raise ExpectationFailed
    head = RequestHead(
        pseudo[b":method"],
        target,
        HTTP_2,
        pseudo.get(b":authority"),
        regular,
        UNTIL_END if length is None else length,
        peer,
        make_request_id(),
        regular.memory,
    )
    return Request(head, bool(expectations) and not is_whole)


def blank_head(fields: Fields, peer: Peer) -> RequestHead:
    """A head to answer by where the request has none that can be used.

    Of the request it keeps whether it is a HEAD, whose answer must not have content.
    """
    method = b"HEAD" if (b":method", b"HEAD") in fields else b"GET"
    return RequestHead(method, b"/", HTTP_2, None, (), 0, peer, make_request_id())


def check_trailers(fields: Fields) -> None:
    """Check a trailer section: it goes nowhere, but a malformed one makes the request so.

    Raises:
        BadField: A name or value that must not be, a pseudo-field among them (RFC 9113 8.1).
    """
    for name, value in fields:
        if _NAME.fullmatch(name) is None or value.strip(_BLANK) != value:
            raise BadField("trailer")
    check_values(fields)


def _part(fields: Fields) -> tuple[Mapping[bytes, bytes], Fields]:
    """Part the pseudo-fields from the others, which must follow them."""
    pseudo: dict[bytes, bytes] = {}
    count = 0
    for name, value in fields:
        if not name.startswith(b":"):
            break
        if name in pseudo or name not in _PSEUDO:
            raise BadRequest("pseudo-field repeated or unknown")
        pseudo[name] = value
        count += 1
    return pseudo, fields[count:]


def _check_size(fields: Fields, regular: Fields, path: bytes) -> None:
    if len(path) > LIMITS.line_bytes:
        raise UriTooLong
    total = cookie_bytes = cookies = longest = 0
    for name, value in fields:
        size = len(name) + len(value)
        total += size + _FIELD_OVERHEAD
        if name == b"cookie":
            # Clients part one Cookie into crumbs (RFC 9113 8.2.3), which are joined again.
            cookie_bytes += size
            cookies += 1
        elif size > longest:
            longest = size
    count = len(regular) - max(cookies - 1, 0)
    if (
        total > LIMITS.head_bytes
        or max(longest, cookie_bytes) > LIMITS.line_bytes
        or count > LIMITS.fields
    ):
        raise FieldsTooLarge


def _check_fields(regular: Fields) -> tuple[list[bytes], list[bytes]]:
    """Check names, and the blanks around values.

    Returns:
        The values of Content-Length and of Expect.
    """
    lengths: list[bytes] = []
    expectations: list[bytes] = []
    for name, value in regular:
        if value[:1] in _BLANKS or value[-1:] in _BLANKS:
            raise BadField("blank around a value")
        if name in _COMMON_NAMES:
            continue
        if name == b"content-length":
            lengths.append(value)
        elif name == b"expect":
            expectations.append(value)
        elif name in _CONNECTION_FIELDS or (name == b"te" and value.lower() != b"trailers"):
            raise BadField("field of a connection")
        elif _NAME.fullmatch(name) is None:
            raise BadField("name")
    return lengths, expectations


_BLANKS: Final = frozenset({b" ", b"\t"})


def _check_pseudo(pseudo: Mapping[bytes, bytes]) -> bytes:
    """Check that all pseudo-fields are there and can be used.

    Returns:
        The target.
    """
    if pseudo.get(b":method") == b"CONNECT":
        # It has no :path (RFC 9113 8.5), and is refused for what it is.
        return b"/"
    if any(name not in pseudo for name in _REQUIRED):
        raise BadRequest("pseudo-field missing")
    if pseudo[b":scheme"] not in _SCHEMES:
        raise BadRequest("scheme")
    target = pseudo[b":path"]
    if not target.startswith(b"/"):
        raise BadTarget("not in origin-form")
    return target
