"""Reads the content of HTTP/1 messages (RFC 9112 6 and 7), with no I/O.

Three readers, one for each way in which content ends: by its length, by a last chunk, with the
connection. Each takes the bytes of the connection as they arrive and gives pieces of content, and
the bytes behind it once it has ended. A piece is a slice of what arrived, or that object itself
where all of it is content; slices are ``bytes``, since copying one is cheap next to reading it
from a socket, and ``memoryview`` saves nothing below some ten KiB.

Chunked content is framed anew by the writer, so chunk extensions and trailers end here. They are
read strictly, since what one reader of a message ignores, another takes for the next message.
"""

import re
from typing import ClassVar, Final

from route_addon.carry.http1.heads import parse_fields
from route_addon.carry.http1.parts import HeadBuffer, HeadLimits, HeadRules
from route_addon.core.errors import BadFraming, ContentTooLarge, RouteError
from route_addon.core.framing import CHUNKED, UNTIL_END

MAX_EXTENSION_BYTES: Final = 1024
"""The chunk extensions of a whole message, in bytes. RFC 9112 7.1.1 asks for a bound; nobody is
known to use any, and a megabyte of them around each byte is an attack (CVE-2023-39326)."""

TRAILER_LIMITS: Final = HeadLimits()

type Content = tuple[list[bytes], bytes | None]
"""Pieces, none of them empty; and once the content has ended, the bytes behind it (else None)."""


class LengthReader:
    """Content with a Content-Length.

    Args:
        length: Its length in bytes.
    """

    __slots__ = ("remaining",)

    ends_with_connection: ClassVar[bool] = False

    def __init__(self, length: int) -> None:
        self.remaining = length
        """The bytes that are yet to come."""

    def read(self, data: bytes) -> Content:
        """Takes the next bytes of the connection.

        Args:
            data: What arrived.

        Returns:
            Pieces, and the bytes behind the content once it has ended.
        """
        remaining = self.remaining
        size = len(data)
        if size < remaining:
            self.remaining = remaining - size
            return ([data] if size else []), None
        self.remaining = 0
        return ([data[:remaining]] if remaining else []), data[remaining:]


class UntilEndReader:
    """An answer's content that ends with the connection (RFC 9112 6.3, rule 8)."""

    __slots__ = ()

    ends_with_connection: ClassVar[bool] = True

    def read(self, data: bytes) -> Content:
        """Takes the next bytes of the connection, which are content all of them.

        Args:
            data: What arrived.

        Returns:
            Pieces; never an end.
        """
        return ([data] if data else []), None


_SIZE = rb"([0-9A-Fa-f]{1,16}+)(;[\t -~\x80-\xff]*+)?"
_SIZE_LINE = re.compile(_SIZE + rb"\r\n")
_NEXT_SIZE_LINE = re.compile(rb"\r\n" + _SIZE + rb"\r\n")
# What can still become such a line.
_SIZE_LINE_PART = re.compile(rb"(?:%b\r?)?" % _SIZE)
_NEXT_SIZE_LINE_PART = re.compile(rb"\r?|\r\n(?:%b\r?)?" % _SIZE)

_NOTHING = re.compile(rb"")
_FRAMING_NAMES = frozenset((b"content-length", b"transfer-encoding"))

_MAX_SIZE_LINE = len(b"\r\n\r\n") + 16 + MAX_EXTENSION_BYTES


class ChunkedReader:
    """Chunked content (RFC 9112 7.1).

    Args:
        limit: The most bytes of content that may come; None for no limit.
        error: What to raise for anything malformed.
    """

    __slots__ = (
        "_error",
        "_extension_bytes",
        "_held",
        "_is_first",
        "_left",
        "_limit",
        "_remaining",
        "_trailers",
    )

    ends_with_connection: ClassVar[bool] = False

    def __init__(self, limit: int | None = None, error: type[RouteError] = BadFraming) -> None:
        self._limit = limit
        self._error = error
        self._left = limit  # how many bytes of content may still be announced
        self._extension_bytes = 0
        self._held = b""  # an incomplete size line, with the CRLF before it
        self._is_first = True  # whether no chunk has begun
        self._remaining = 0  # the current chunk's bytes that are yet to come
        self._trailers: HeadBuffer | None = None  # what comes behind the last chunk

    def read(self, data: bytes) -> Content:
        """Takes the next bytes of the connection.

        Args:
            data: What arrived.

        Returns:
            Pieces, and the bytes behind the content once it has ended.

        Raises:
            ContentTooLarge: A chunk's size passes the limit (413).
            BadFraming: Anything malformed (400), or what ``error`` says instead.
        """
        size = len(data)
        stop = self._remaining  # where the current chunk ends
        if stop and size <= stop:
            self._remaining = stop - size
            return ([data] if size else []), None
        if self._trailers is not None:
            return [], self._read_trailers(self._trailers, data)
        if self._held:
            data = self._held + data
            self._held = b""
            size = len(data)
        pieces = [data[:stop]] if stop else []
        self._remaining = 0
        while line := (_SIZE_LINE if self._is_first else _NEXT_SIZE_LINE).match(data, stop):
            start = line.end()
            stop = start + self._begin_chunk(line)
            if stop == start:
                return pieces, self._end(data, start)
            if stop > size:
                self._remaining = stop - size
                if start < size:
                    pieces.append(data[start:])
                return pieces, None
            pieces.append(data[start:stop])
        self._hold_size_line(data[stop:])
        return pieces, None

    def _begin_chunk(self, line: re.Match[bytes]) -> int:
        """The size of the chunk whose size line this is."""
        digits, extension = line.groups()
        if extension:
            self._extension_bytes += len(extension)
            if self._extension_bytes > MAX_EXTENSION_BYTES:
                raise self._error("chunk extensions")
        self._is_first = False
        size = int(digits, 16)
        if self._left is not None:
            self._left -= size
            if self._left < 0:
                raise ContentTooLarge(f"more than {self._limit} bytes in chunks")
        return size

    def _hold_size_line(self, part: bytes) -> None:
        """Keeps what may yet become a size line."""
        pattern = _SIZE_LINE_PART if self._is_first else _NEXT_SIZE_LINE_PART
        if len(part) > _MAX_SIZE_LINE or pattern.fullmatch(part) is None:
            raise self._error("chunk size")
        self._held = part

    def _end(self, data: bytes, start: int) -> bytes | None:
        """The bytes behind the content, when the last chunk's size line ends at ``start``."""
        if data.startswith(b"\r\n", start):
            return data[start + 2 :]
        # A trailer section is a head whose first line is the last chunk's size line.
        error = self._error
        rules = HeadRules(_NOTHING, _accept, error, error, error, error)
        trailers = self._trailers = HeadBuffer(TRAILER_LIMITS, rules)
        return self._read_trailers(trailers, b"0\r\n" + data[start:])

    def _read_trailers(self, trailers: HeadBuffer, data: bytes) -> bytes | None:
        """The bytes behind the trailer section; None when it is not complete."""
        taken = trailers.take(data)
        if taken is None:
            return None
        section, rest = taken
        fields = parse_fields(section, section.index(b"\n"))
        if fields is None:
            trailers.refuse(section)
        if any(name.lower() in _FRAMING_NAMES for name, _ in fields):
            # RFC 9110 6.5.1 forbids them; who puts them here wants them to be believed.
            raise self._error("framing in trailers")
        return rest


def _accept(line: bytes) -> None:
    """Checks nothing: the line has been read."""


type ContentReader = LengthReader | ChunkedReader | UntilEndReader


def content_reader(
    length: int, limit: int | None = None, error: type[RouteError] = BadFraming
) -> ContentReader:
    """The reader for a message's content.

    Args:
        length: What the head's reader said.
        limit: The most bytes of content that may come, for chunked content; a length has been
            compared before, when the location was found.
        error: What to raise for malformed chunks: ``BadAnswer`` for an upstream's.

    Returns:
        A fresh reader.
    """
    if length == CHUNKED:
        return ChunkedReader(limit, error)
    if length == UNTIL_END:
        return UntilEndReader()
    return LengthReader(length)
