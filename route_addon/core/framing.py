"""How long a request's content is (RFC 9112 6.3). The only place that reads Content-Length."""

from collections.abc import Sequence

from route_addon.core.errors import BadFraming, UnknownTransferCoding
from route_addon.core.messages import HTTP_2, HTTP_11

CHUNKED = -1
"""The length of content that is chunked."""

UNTIL_END = -2
"""The length of HTTP/2 content without a Content-Length: the stream's end says it."""

MAX_LENGTH_DIGITS = 18
"""More digits than any content has, and few enough for a 64-bit length in any upstream."""


def content_length(values: Sequence[bytes]) -> int | None:
    """The one Content-Length that all field lines give.

    Args:
        values: The values of all Content-Length lines.

    Returns:
        The length in bytes, or None without such a line.

    Raises:
        BadFraming: More than one line, a list, or anything but ASCII digits. RFC 9110 8.6 would
            allow a repeated equal value; we do not, because upstreams differ on it.
    """
    if not values:
        return None
    if len(values) > 1:
        raise BadFraming("Content-Length repeated")
    value = values[0]
    if not value.isdigit() or len(value) > MAX_LENGTH_DIGITS:
        raise BadFraming("Content-Length is not a number")
    return int(value)


def request_length(version: bytes, lengths: Sequence[bytes], codings: Sequence[bytes]) -> int:
    """How a request's content is framed.

    Args:
        version: The message's HTTP version.
        lengths: The values of its Content-Length lines.
        codings: The values of its Transfer-Encoding lines.

    Returns:
        The length in bytes (0 for none), ``CHUNKED`` or ``UNTIL_END``.

    Raises:
        BadFraming: Lengths that disagree, or chunked where HTTP/1.1 is not spoken.
        UnknownTransferCoding: A coding other than one ``chunked``.
    """
    length = content_length(lengths)
    if not codings:
        if length is not None:
            return length
        return UNTIL_END if version == HTTP_2 else 0
    if length is not None:
        raise BadFraming("Content-Length with Transfer-Encoding")
    if version != HTTP_11:
        raise BadFraming("Transfer-Encoding outside HTTP/1.1")
    if len(codings) > 1 or codings[0].lower() != b"chunked":
        raise UnknownTransferCoding
    return CHUNKED
