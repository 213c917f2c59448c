"""Writes HTTP/1.1 heads and chunks, each in one piece, with no I/O.

**Contract.** Nothing is checked here: names, values, targets and methods must be free of CR, LF
and NUL when they arrive. The readers promise that for all that came over a wire (``heads``, and
the HTTP/2 side alike), ``core`` for all that it makes; checking once, at the source, is what
lets a head be written in a single join.
"""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Final

from route_addon.core.answers import PlainFields
from route_addon.core.messages import Fields
from route_addon.core.sender import SentFields

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
"""The interim answer that a client with ``Expect: 100-continue`` waits for (RFC 9110 15.2.1)."""

LAST_CHUNK: Final = b"0\r\n\r\n"
"""The end of chunked content, without trailers (RFC 9112 7.1)."""

# RFC 9110 8.6: for these a length of 0 says that there is no content; others say it by silence.
_METHODS_WITH_CONTENT = frozenset((b"POST", b"PUT", b"PATCH"))

_REASONS = {status.value: status.phrase.encode("ascii") for status in HTTPStatus}
_STATUS_LINES = {
    status: b"HTTP/1.1 %d %b" % (status, reason) for status, reason in _REASONS.items()
}


def build_request_head(
    method: bytes,
    target: bytes,
    host: bytes,
    fields: Fields,
    length: int,
    connection: bytes | None = None,
) -> bytes:
    """The head of a request to an upstream.

    Args:
        method: The method.
        target: The request target, in origin-form.
        host: The Host field, which goes first (RFC 9110 7.2).
        fields: All fields but Host, Content-Length, Transfer-Encoding and Connection.
        length: The content's length in bytes, or a mark of ``core.framing``. Content of a length
            that is not known is chunked: no request ends with its connection.
        connection: The Connection field, if any.

    Returns:
        The head with its empty line.
    """
    first = b"%b %b HTTP/1.1\r\nHost: %b" % (method, target, host)
    if isinstance(fields, SentFields):
        lines = [first, fields.lines]
    else:
        lines = [first, *map(b": ".join, fields)]
    if length > 0:
        lines.append(b"Content-Length: %d" % length)
    elif length < 0:
        lines.append(b"Transfer-Encoding: chunked")
    elif method in _METHODS_WITH_CONTENT:
        lines.append(b"Content-Length: 0")
    if connection is not None:
        lines.append(b"Connection: " + connection)
    lines.append(b"\r\n")
    return b"\r\n".join(lines)


def build_answer_head(
    status: int,
    fields: Fields,
    length: int | None,
    connection: bytes | None = None,
    reason: bytes | None = None,
) -> bytes:
    """The head of an answer to a client.

    Args:
        status: The status code.
        fields: All fields but Content-Length, Transfer-Encoding and Connection.
        length: The content's length in bytes (for HEAD and 304 what GET would have),
            ``CHUNKED``, or None to say nothing: for 1xx and 204, and where the content ends with
            the connection.
        connection: The Connection field, if any.
        reason: The reason phrase, where it is not the usual one.

    Returns:
        The head with its empty line.
    """
    said = status, length, connection, reason
    if isinstance(fields, PlainFields) and fields.written is not None and fields.written[0] == said:
        return fields.written[1]
    if status in _REASONS and reason in (None, _REASONS[status]):
        line = _STATUS_LINES[status]
    else:
        line = b"HTTP/1.1 %d %b" % (status, reason or b"")
    if isinstance(fields, PlainFields):
        lines = [line, fields.lines]
    else:
        lines = [line, *map(b": ".join, fields)]
    if length is not None:
        if length < 0:
            lines.append(b"Transfer-Encoding: chunked")
        else:
            lines.append(b"Content-Length: %d" % length)
    if connection is not None:
        lines.append(b"Connection: " + connection)
    lines.append(b"\r\n")
    head = b"\r\n".join(lines)
    if isinstance(fields, PlainFields):
        fields.written = said, head
    return head


def build_chunk(pieces: Sequence[bytes]) -> bytes:
    """One chunk of all pieces together (RFC 9112 7.1).

    Args:
        pieces: Content, in order.

    Returns:
        The chunk with its size; nothing for no content, since an empty chunk would be the last.
    """
    size = sum(map(len, pieces))
    return b"".join((b"%x\r\n" % size, *pieces, b"\r\n")) if size else b""
