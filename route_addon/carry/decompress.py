"""Content that is read although it is compressed; what unpacks to too much is not."""

import zlib
from collections.abc import Callable
from typing import Any, Final

from mitmproxy.net import encoding

_GZIP_OR_ZLIB: Final = 47
"""zlib's window for both formats (RFC 1950, RFC 1952), whichever it is."""
_ZSTD_WINDOW_BYTES: Final = 8 * 2**20
"""What a decoder is asked to have room for (RFC 8878 3.1.1.1.2)."""
IDENTITY: Final = "identity"


def decompress(content: bytes, coding: str, max_bytes: int) -> bytes | None:
    """Content as it was before it was compressed.

    Args:
        content: The content, whole.
        coding: Its content coding (RFC 9110 8.4.1), in lower case.
        max_bytes: What it may become.

    Returns:
        None when it cannot be read, or becomes more.
    """
    if coding == IDENTITY:
        return content
    unpack = _CODINGS.get(coding)
    if unpack is None:
        return None
    try:
        plain = unpack(content, max_bytes + 1)
    except Exception:
        # Each library has its own errors; whatever it is, it is not to be read.
        return None
    return plain if plain is not None and len(plain) <= max_bytes else None


def compress(content: bytes, coding: str) -> bytes:
    """The same the other way, for a coding that ``decompress`` reads."""
    if coding == IDENTITY:
        return content
    return encoding.encode(content, coding.removeprefix("x-"))


def _gunzip(content: bytes, max_bytes: int) -> bytes | None:
    stream = zlib.decompressobj(_GZIP_OR_ZLIB)
    plain = stream.decompress(content, max_bytes)
    return plain if stream.eof and not stream.unused_data else None


def _unbrotli(content: bytes, max_bytes: int) -> bytes | None:
    import brotli

    stream: Any = brotli.Decompressor()
    plain = bytes(stream.process(content, output_buffer_limit=max_bytes))
    return plain if stream.is_finished() else None


def _unzstd(content: bytes, max_bytes: int) -> bytes | None:
    import zstandard

    decompressor = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_BYTES)
    with decompressor.stream_reader(content) as reader:
        return reader.read(max_bytes)


_CODINGS: Final[dict[str, Callable[[bytes, int], bytes | None]]] = {
    "gzip": _gunzip,
    "x-gzip": _gunzip,
    "deflate": _gunzip,
    "br": _unbrotli,
    "zstd": _unzstd,
}
