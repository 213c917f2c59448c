"""Encodes field sections as HTTP/2 writes them (HPACK, RFC 7541), out of hyper-h2's sight.

What we send is encoded without a memory: names of HPACK's static table by their number, all else
as it is. That takes a tenth of the time of a full encoder, keeps no secret for a compression
oracle to find, and no client can make us keep a table of the size that it likes. nginx does so.
"""

from functools import lru_cache
from typing import Final

from hpack.hpack import encode_integer
from hpack.table import HeaderTable

from route_addon.core.framing import CHUNKED
from route_addon.core.messages import Fields

_EMPTY_TABLE: Final = b"\x20"
"""A table size update to nothing (RFC 7541 6.3). Said once, at the first section, it is true for
whatever table size a client announces later."""

_CONNECTION_FIELDS: Final = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"}
)
"""RFC 9113 8.2.2: an intermediary removes them."""

_LONG: Final = 127
_CACHED_NAME_BYTES: Final = 64


class FieldEncoder:
    """Stands where hyper-h2 has its encoder, and hands it sections that are encoded already."""

    def __init__(self) -> None:
        self.header_table_size = 0
        """What hyper-h2 sets to the client's table size, which we make no use of."""
        self.block = b""
        """The section to send next."""
        self._prefix = _EMPTY_TABLE

    def encode(self, headers: object, huffman: bool = True) -> bytes:
        """The section to send; whatever hyper-h2 thinks that it encodes."""
        prefix, self._prefix = self._prefix, b""
        return prefix + self.block


def build_block(status: int, fields: Fields, length: int | None) -> bytes:
    """Encode an answer's fields.

    Args:
        status: The status.
        fields: All fields but Content-Length, in any case; those of a connection are left out.
        length: The content's length, ``CHUNKED`` or None to say nothing of it.
    """
    parts = [_encode_status(status)]
    for name, value in fields:
        head = _encode_name(name) if len(name) <= _CACHED_NAME_BYTES else _encode_any_name(name)
        if head:
            size = len(value)
            parts += (head, _LENGTHS[size] if size < _LONG else _encode_length(size), value)
    if length is not None and length != CHUNKED:
        digits = b"%d" % length
        parts += (_LENGTH_NAME, _LENGTHS[len(digits)], digits)
    return b"".join(parts)


def _encode_length(length: int) -> bytes:
    return bytes(encode_integer(length, 7))


_LENGTHS: Final = tuple(map(_encode_length, range(_LONG)))


def _static_numbers() -> dict[bytes, int]:
    """The static table's numbers (RFC 7541 appendix A), the first one of each name."""
    numbers: dict[bytes, int] = {}
    for number, (name, _) in enumerate(HeaderTable.STATIC_TABLE, 1):
        numbers.setdefault(name, number)
    return numbers


_NUMBERS = _static_numbers()
_STATUS_NUMBERS = {
    value: number
    for number, (name, value) in enumerate(HeaderTable.STATIC_TABLE, 1)
    if name == b":status"
}


@lru_cache(maxsize=64)
def _encode_status(status: int) -> bytes:
    digits = b"%d" % status
    number = _STATUS_NUMBERS.get(digits)
    if number is not None:
        return bytes((0x80 | number,))  # an indexed field (RFC 7541 6.1)
    return bytes((_NUMBERS[b":status"], len(digits))) + digits


def _encode_any_name(name: bytes) -> bytes:
    """A literal field without indexing, as far as its value (RFC 7541 6.2.2); empty to drop it."""
    lower = name.lower()
    if lower in _CONNECTION_FIELDS:
        return b""
    number = _NUMBERS.get(lower)
    if number is not None:
        return bytes(encode_integer(number, 4))
    return b"\x00" + _encode_length(len(lower)) + lower


_encode_name = lru_cache(maxsize=1024)(_encode_any_name)
_LENGTH_NAME: Final = _encode_any_name(b"content-length")
