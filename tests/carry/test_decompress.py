"""Compressed content, read within bounds."""

import gzip
import zlib

import brotli
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from route_addon.carry.decompress import IDENTITY, compress, decompress

PLAIN = b"some text " * 500
CODINGS = ["identity", "gzip", "x-gzip", "deflate", "br", "zstd"]
BOUND = 10_000


@pytest.mark.parametrize("coding", CODINGS)
def test_there_and_back(coding: str) -> None:
    """Each coding that is read is written too."""
    packed = compress(PLAIN, coding)
    assert (packed == PLAIN) is (coding == IDENTITY)
    assert decompress(packed, coding, BOUND) == PLAIN


@pytest.mark.parametrize("coding", CODINGS[1:])
def test_too_much(coding: str) -> None:
    """What unpacks to more than the bound is not read, and no more than the bound is unpacked."""
    packed = compress(bytes(2**26), coding)
    assert decompress(packed, coding, BOUND) is None
    exact = compress(bytes(BOUND), coding)
    assert decompress(exact, coding, BOUND) == bytes(BOUND)
    assert decompress(exact, coding, BOUND - 1) is None


@pytest.mark.parametrize(
    ("packed", "coding"),
    [
        pytest.param(gzip.compress(PLAIN)[:-20], "gzip", id="cut"),
        pytest.param(gzip.compress(PLAIN) * 2, "gzip", id="gzip, two members"),
        pytest.param(zlib.compress(PLAIN)[:-20], "deflate", id="deflate, cut"),
        pytest.param(brotli.compress(PLAIN)[:-20], "br", id="br, cut"),
        pytest.param(b"no such thing", "gzip", id="gzip, no such thing"),
        pytest.param(b"no such thing", "br", id="br, no such thing"),
        pytest.param(b"no such thing", "zstd", id="zstd, no such thing"),
        pytest.param(
            zstandard.ZstdCompressor(
                compression_params=zstandard.ZstdCompressionParameters(window_log=27)
            )
            .compressobj()
            .compress(bytes(2**27)),
            "zstd",
            id="zstd, too large a window",
        ),
        pytest.param(b"x", "aes128gcm", id="an unknown coding"),
        pytest.param(gzip.compress(gzip.compress(PLAIN)), "gzip,gzip", id="two codings"),
    ],
)
def test_unreadable(packed: bytes, coding: str) -> None:
    """It is said so, and nothing is raised."""
    assert decompress(packed, coding, BOUND) is None


@given(st.binary(max_size=200), st.sampled_from(CODINGS))
def test_any_bytes(packed: bytes, coding: str) -> None:
    """Any bytes are read or not."""
    plain = decompress(packed, coding, BOUND)
    assert plain is None or len(plain) <= BOUND
