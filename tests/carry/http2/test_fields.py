"""Field sections, against HPACK's own decoder."""

import pytest
from hpack import Decoder
from hypothesis import given
from hypothesis import strategies as st

from route_addon.carry.http2.fields import FieldEncoder, build_block
from route_addon.core.framing import CHUNKED
from route_addon.core.messages import Field


def read(block: bytes) -> list[Field]:
    """What a client reads."""
    return [(bytes(name), bytes(value)) for name, value in Decoder().decode(block, raw=True)]


@pytest.mark.parametrize("status", [100, 200, 204, 304, 404, 418, 500, 599])
def test_status(status: int) -> None:
    """From the static table, or written out."""
    assert read(build_block(status, [], None)) == [(b":status", b"%d" % status)]


@pytest.mark.parametrize(
    ("length", "expected"), [(0, b"0"), (10**12, b"1000000000000"), (None, None), (CHUNKED, None)]
)
def test_length(length: int | None, expected: bytes | None) -> None:
    """Only a length that is known is told."""
    assert dict(read(build_block(200, [], length))).get(b"content-length") == expected


NAMES = st.text("abcXYZ0-", min_size=1, max_size=200).map(str.encode)
VALUES = st.binary(max_size=300)


@given(fields=st.lists(st.tuples(NAMES, VALUES), max_size=20))
def test_any_fields(fields: list[Field]) -> None:
    """They arrive as they are, names in lower case."""
    expected = [(name.lower(), value) for name, value in fields]
    assert read(build_block(200, fields, None))[1:] == expected


@pytest.mark.parametrize("name", [b"Connection", b"keep-alive", b"Transfer-Encoding", b"UPGRADE"])
def test_a_connections_own_fields(name: bytes) -> None:
    """They are left out."""
    assert read(build_block(200, [(name, b"x"), (b"a", b"b")], None))[1:] == [(b"a", b"b")]


def test_the_first_section_empties_the_table() -> None:
    """Whatever table size a client announces, it need not wait for a word of ours."""
    encoder = FieldEncoder()
    encoder.block = build_block(200, [], None)
    decoder = Decoder()
    decoder.decode(encoder.encode(()), raw=True)
    assert decoder.header_table_size == 0
    assert encoder.encode(()) == encoder.block
