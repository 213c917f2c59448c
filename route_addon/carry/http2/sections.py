"""Decodes field sections (HPACK, RFC 7541), and knows again those that it has seen.

hyper-h2 answers a malformed field with the end of the whole connection, and its own checks
cannot be told otherwise. So it is given a decoder and an encoder that show it none: it guards
frames, streams and windows; ``request`` judges fields, one stream at a time.

The requests of a client differ in their ``:path``, and seldom in anything else. All clients that
we know of write a path out and index the rest (a literal field without indexing, RFC 7541 6.2.2).
So a section is kept as it stood around its path: the same bytes around another path mean the same
fields, for as long as the table that they are read by has not changed.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final, NamedTuple

from hpack import Decoder, HeaderTuple
from hpack.exceptions import HPACKDecodingError
from hpack.hpack import decode_integer
from hpack.huffman_table import decode_huffman
from hpack.table import HeaderTable, table_entry_size

from route_addon.core.messages import Field, Fields, RequestHead

MAX_LIST_BYTES: Final = 64 * 1024
"""The longest field section, as SETTINGS_MAX_HEADER_LIST_SIZE counts it, that is read at all:
one that is longer ends the connection, because its table is lost (RFC 9113 10.5.1)."""

MAX_KNOWN: Final = 16
"""How many sections are known of a connection: a page's requests have six or so."""
MAX_KNOWN_BYTES: Final = 4096
"""One of them as it came; and its fields, as SETTINGS_MAX_HEADER_LIST_SIZE counts them."""

# Fields of one byte each, all from the table, and then a path: index 4 of the static table, to be
# indexed by nobody or by nobody ever. The byte behind it begins the length.
_HEAD = re.compile(rb"[\x81-\xfe]*+[\x04\x14](?=(.))", re.DOTALL)
_RESIZES = re.compile(rb"[\x20-\x3f]")
"""A table's size is changed at a section's start only (RFC 7541 4.2)."""
_LONG: Final = 127
_INTEGER_BYTES: Final = 6

_decode_short = lru_cache(maxsize=1024)(decode_huffman)
"""For paths of less than ``_LONG`` bytes: the same ones are asked for again and again."""


class Known:
    """A section, but for its path.

    Args:
        before: The fields before the path.
        after: Those behind it.
    """

    __slots__ = ("after", "before", "head")

    def __init__(self, before: Fields, after: Fields) -> None:
        self.before = before
        self.after = after
        self.head: RequestHead | None = None
        """The head of a request without content that had it and was well-formed."""


class Section(NamedTuple):
    """A field section, decoded."""

    fields: Fields
    """Names and values are bytes."""
    path: bytes = b""
    """The path, where ``known`` has none."""
    known: Known | None = None
    """What the next request with the same bytes around its path will have again."""


class _Parted(NamedTuple):
    """A section's bytes, in two parts."""

    around: bytes
    """What stands around its path."""
    at: int
    """How many fields stand before that."""
    path: bytes


class _Table(HeaderTable):
    """A dynamic table that tells when something has been added."""

    def __init__(self) -> None:
        super().__init__()
        self.has_grown = False

    def add(self, name: bytes, value: bytes) -> None:
        self.has_grown = True
        super().add(name, value)


class FieldDecoder(Decoder):
    """Decodes field sections, shows hyper-h2 none of them, and keeps the last one."""

    def __init__(self) -> None:
        super().__init__(MAX_LIST_BYTES)
        self.header_table = self._table = _Table()
        self._known: dict[bytes, Known] = {}
        self._parted: _Parted | None = None
        self.section = Section(())
        """The section decoded last."""

    def recall(self, data: bytes) -> bool:
        """Take a section that is known, but for its path.

        Returns:
            Whether it is one: the table is as it was then.
        """
        self._parted = parted = _part(data)
        known = self._known.get(parted.around) if parted is not None else None
        if parted is None or known is None:
            return False
        fields = [*known.before, (b":path", parted.path), *known.after]
        self.section = Section(fields, parted.path, known)
        return True

    def decode(self, data: bytes, raw: bool = False) -> Iterable[HeaderTuple]:
        if not self.recall(data):
            self.section = self._decode_anew(data)
        return ()

    def _decode_anew(self, data: bytes) -> Section:
        parted = self._parted
        self._table.has_grown = False
        fields: list[Field] = list(super().decode(data, raw=True))
        if self._table.has_grown or _RESIZES.match(data) is not None:
            self._known.clear()
        elif parted is not None and sum(map(_size, fields)) <= MAX_KNOWN_BYTES:
            known = Known(fields[: parted.at], fields[parted.at + 1 :])
            self._known[parted.around] = known
            if len(self._known) > MAX_KNOWN:
                del self._known[next(iter(self._known))]
            return Section(fields, parted.path, known)
        return Section(fields)


def _part(section: bytes) -> _Parted | None:
    """Part a section's bytes; None where they do not stand as in most sections."""
    head = _HEAD.match(section)
    if head is None or len(section) > MAX_KNOWN_BYTES:
        return None
    start, length = head.end(), head[1][0]
    is_huffman, length = length & 0x80, length & _LONG
    begin = start + 1
    try:
        if length == _LONG:
            length, size = decode_integer(section[start : start + _INTEGER_BYTES], 7)
            begin = start + size
        end = begin + length
        if end > len(section):
            return None
        path = section[begin:end]
        if is_huffman:
            path = _decode_short(path) if length < _LONG else decode_huffman(path)
    except HPACKDecodingError:
        return None
    return _Parted(section[:start] + section[end:], start - 1, path)


def _size(field: Field) -> int:
    return table_entry_size(*field)
