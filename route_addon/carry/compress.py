"""Encoders of content: streams that hold nothing back.

Whatever is put in comes out with the same call, so that an event passes as soon as it arrives. All
run on the loop: it hands over 256 KiB at most at a time, and text costs some 10 ms a MiB.

============ ============================= ================
coding       as                            memory, a stream
============ ============================= ================
``gzip``     level 5, ``gzip_comp_level``  270 KiB
``br``       quality 4, a window of 2^18   740 KiB
``zstd``     level 3, a window of 2^18     250 KiB
============ ============================= ================
"""

import zlib
from collections.abc import Callable
from typing import Any, Final, Protocol

_GZIP_LEVEL: Final = 5
_GZIP_WINDOW: Final = 31
"""2^15 bytes, in gzip's own format (RFC 1952)."""
_BROTLI_QUALITY: Final = 4
_ZSTD_LEVEL: Final = 3
_WINDOW_LOG: Final = 18


class Encoder(Protocol):
    """Encodes one answer's content."""

    def encode(self, data: bytes) -> bytes:
        """Encode more content.

        Returns:
            All of it, so that a decoder has it whole.
        """

    def finish(self) -> bytes:
        """The end."""


class _Gzip:
    """RFC 1952."""

    def __init__(self) -> None:
        self._stream = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP_WINDOW)

    def encode(self, data: bytes) -> bytes:
        return self._stream.compress(data) + self._stream.flush(zlib.Z_SYNC_FLUSH)

    def finish(self) -> bytes:
        return self._stream.flush()


class _Brotli:
    """RFC 7932."""

    def __init__(self) -> None:
        import brotli

        self._stream: Any = brotli.Compressor(
            mode=brotli.MODE_TEXT, quality=_BROTLI_QUALITY, lgwin=_WINDOW_LOG
        )

    def encode(self, data: bytes) -> bytes:
        encoded: bytes = self._stream.process(data) + self._stream.flush()
        return encoded

    def finish(self) -> bytes:
        encoded: bytes = self._stream.finish()
        return encoded


class _Zstd:
    """RFC 8878; its window is one that RFC 9659 lets every client read."""

    def __init__(self) -> None:
        import zstandard

        parameters = zstandard.ZstdCompressionParameters.from_level(
            _ZSTD_LEVEL, window_log=_WINDOW_LOG
        )
        self._stream = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
        self._flush_block = zstandard.COMPRESSOBJ_FLUSH_BLOCK

    def encode(self, data: bytes) -> bytes:
        return self._stream.compress(data) + self._stream.flush(self._flush_block)

    def finish(self) -> bytes:
        return self._stream.flush()


_ENCODERS: Final[dict[str, Callable[[], Encoder]]] = {
    "gzip": _Gzip,
    "br": _Brotli,
    "zstd": _Zstd,
}


def make_encoder(coding: str) -> Encoder:
    """An encoder for one answer.

    Args:
        coding: One of ``core.encodings.CODINGS``.
    """
    return _ENCODERS[coding]()


def encode_pieces(encoder: Encoder, pieces: list[bytes], *, is_end: bool) -> list[bytes]:
    """Encode what has arrived together.

    Args:
        encoder: The answer's.
        pieces: In order.
        is_end: Whether the content is whole with them.

    Returns:
        What to send; empty when there is nothing.
    """
    data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
    encoded = encoder.encode(data) if data else b""
    if is_end:
        encoded += encoder.finish()
    return [encoded] if encoded else []
