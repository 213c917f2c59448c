"""Encoders, each against a decoder that is not ours."""

import zlib
from collections.abc import Callable

import brotli
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from route_addon.carry.compress import encode_pieces, make_encoder
from route_addon.core.encodings import CODINGS

type Decode = Callable[[bytes], bytes]


def make_decoder(coding: str) -> Decode:
    """A decoder that takes bytes as they come."""
    if coding == "gzip":
        return zlib.decompressobj(31).decompress
    if coding == "br":
        decode: Decode = brotli.Decompressor().process
        return decode
    return zstandard.ZstdDecompressor().decompressobj().decompress


@pytest.mark.parametrize("coding", CODINGS)
def test_events_pass_at_once(coding: str) -> None:
    """Each is whole at the other end before the next one comes."""
    encoder, decode = make_encoder(coding), make_decoder(coding)
    for number in range(100):
        event = b"data: %d\n\n" % number
        assert decode(encoder.encode(event)) == event
    assert decode(encoder.finish()) == b""


@pytest.mark.parametrize("coding", CODINGS)
@given(parts=st.lists(st.binary(max_size=3000), max_size=8))
def test_round_trip(coding: str, parts: list[bytes]) -> None:
    """Any content in any parts, empty ones too."""
    encoder, decode = make_encoder(coding), make_decoder(coding)
    sent = [piece for part in parts for piece in encode_pieces(encoder, [part], is_end=False)]
    sent += encode_pieces(encoder, [], is_end=True)
    assert b"".join(map(decode, sent)) == b"".join(parts)
    assert all(sent)


@pytest.mark.parametrize("coding", CODINGS)
def test_it_gets_shorter(coding: str) -> None:
    """Text does; it is what this is for."""
    text = b"<li>a line of a page</li>\n" * 1000
    (encoded,) = encode_pieces(make_encoder(coding), [text[:9000], text[9000:]], is_end=True)
    assert len(encoded) < len(text) / 20
    assert make_decoder(coding)(encoded) == text


@pytest.mark.parametrize("coding", CODINGS)
def test_nothing_in_nothing_out(coding: str) -> None:
    """Until the end."""
    encoder = make_encoder(coding)
    assert encode_pieces(encoder, [], is_end=False) == []
    (end,) = encode_pieces(encoder, [], is_end=True)
    assert make_decoder(coding)(end) == b""
