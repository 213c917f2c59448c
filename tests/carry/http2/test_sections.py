"""Field sections, decoded: always as HPACK's own decoder would, whatever is known of them."""

from collections.abc import Iterable

import pytest
from hpack import Decoder, Encoder, HPACKDecodingError
from hpack.hpack import encode_integer
from hypothesis import example, given
from hypothesis import strategies as st

from route_addon.carry.http2.request import read_request, read_section
from route_addon.carry.http2.sections import MAX_KNOWN, MAX_KNOWN_BYTES, FieldDecoder, Section
from route_addon.core.errors import RouteError
from route_addon.core.framing import UNTIL_END
from route_addon.core.messages import Field, RequestHead
from tests.carry.http2_peer import PEER

GET = b"\x82"
HTTPS = b"\x87"
HUFFMAN = b"\x04\x87\x60\xd5\x48\x5f\x2b\xce\x9a"
"""A path that is Huffman-coded, its end cut off."""


def number(value: int, bits: int, mark: int) -> bytes:
    """An integer, with a mark above its bits (RFC 7541 5.1)."""
    data = encode_integer(value, bits)
    data[0] |= mark
    return bytes(data)


def text(value: bytes) -> bytes:
    """A string as it is."""
    return number(len(value), 7, 0) + value


def path(value: bytes, mark: int = 0) -> bytes:
    """A path that is not indexed, as all clients write it."""
    return number(4, 4, mark) + text(value)


def literal(name: bytes, value: bytes, mark: int = 0) -> bytes:
    """A field with a name of its own."""
    return bytes((mark,)) + text(name) + text(value)


WORDS = st.sampled_from(
    [b"", b"a", b"/", b"/x", b"/y z", b"x-a", b":path", b"GET", b"\x00", b"k" * 99]
)
NAMES = st.sampled_from([b"a", b"b", b":path", b"cookie", b"te", b"n" * 40])
FIELDS = st.one_of(
    st.builds(number, st.integers(1, 70), st.just(7), st.just(0x80)),
    st.builds(path, WORDS, st.sampled_from([0x00, 0x10])),
    st.builds(literal, NAMES, WORDS, st.sampled_from([0x00, 0x10, 0x40])),
    st.builds(lambda at, value: number(at, 6, 0x40) + text(value), st.integers(1, 64), WORDS),
    st.builds(number, st.sampled_from([0, 50, 200, 4096, 5000]), st.just(5), st.just(0x20)),
    st.sampled_from([HUFFMAN, b"\x04\xff\x00", b"\x04\x82\xff\xff"]),
    st.binary(max_size=3),
)
SECTIONS = st.one_of(
    st.lists(FIELDS, max_size=6).map(b"".join),
    st.builds(
        lambda one, other: GET + HTTPS + path(one) + other,
        WORDS,
        st.lists(FIELDS, max_size=2).map(b"".join),
    ),
)


def decode(decoder: Decoder, section: bytes) -> list[Field] | str:
    """A section's fields, or what is wrong with it."""
    try:
        fields: Iterable[Field] = decoder.decode(section, raw=True)
    except HPACKDecodingError as error:
        return type(error).__name__
    if isinstance(decoder, FieldDecoder):
        fields = decoder.section.fields
    return [(bytes(name), bytes(value)) for name, value in fields]


@given(
    pool=st.lists(SECTIONS, min_size=1, max_size=4), picks=st.lists(st.integers(0, 3), max_size=12)
)
@example(pool=[GET + path(b"/x"), (GET + path(b"/x"))[:-1]], picks=[0, 1])
@example(pool=[b"\x84" + path(b"/"), b"\x84" + path(b"/x")], picks=[0, 1])
@example(
    pool=[path(b"/") + b"\xbe", literal(b"a", b"b", 0x40), b"\x20\x3f\xe1\x1f"],
    picks=[1, 0, 0, 2, 0],
)
@example(pool=[path(b"/") + b"\xbe", b"\x40\x01a\x01b", b"\x40\x01a\x01c"], picks=[1, 0, 2, 0])
def test_any_sections(pool: list[bytes], picks: list[int]) -> None:
    """One after another, the same ones again: nothing differs from a decoder that knows none."""
    ours, plain = FieldDecoder(), Decoder()
    for pick in picks:
        section = pool[pick % len(pool)]
        expected = decode(plain, section)
        assert decode(ours, section) == expected
        if isinstance(expected, str):
            break  # the connection ends there


def read(section: Section, *, is_again: bool) -> RequestHead | str:
    """A request's head, or what is wrong with it."""
    try:
        if is_again:
            return read_section(section, PEER, is_whole=True).head
        return read_request(section.fields, PEER, is_whole=True).head
    except RouteError as error:
        return error.slug


@given(
    picks=st.lists(
        st.tuples(
            st.sampled_from([GET, b"\x83", literal(b":method", b"CONNECT"), b""]),
            WORDS
            | st.binary(max_size=4)
            | st.sampled_from([b"/" + b"x" * 1023, b"/" + b"x" * 1024]),
            st.sampled_from([b"", literal(b"a", b"b"), literal(b"A", b"b"), literal(b"te", b"x")]),
        ),
        max_size=8,
    )
)
def test_any_requests(picks: list[tuple[bytes, bytes, bytes]]) -> None:
    """A request of which all but the path is known is judged as one that is read whole."""
    decoder = FieldDecoder()
    for method, target, field in picks:
        decoder.decode(HTTPS + b"\x81" + path(target) + method + field, raw=True)
        expected = read(decoder.section, is_again=False)
        found = read(decoder.section, is_again=True)
        if isinstance(expected, RequestHead) and isinstance(found, RequestHead):
            found = found._replace(request_id=expected.request_id, memory=expected.memory)
        assert found == expected


def test_it_shows_nobody() -> None:
    """hyper-h2 sees no field."""
    fields = [(b":path", b"/"), (b"x-a", b"b")]
    decoder = FieldDecoder()
    assert decoder.decode(Encoder().encode(fields), raw=True) == ()
    assert [tuple(field) for field in decoder.section.fields] == fields


def test_a_section_is_known_again() -> None:
    """Around another path; what was found out about its fields is found out once."""
    decoder = FieldDecoder()
    heads = []
    for target in (b"/a", b"/b" * 100):
        decoder.decode(GET + HTTPS + b"\x81" + path(target) + literal(b"a", b"b"), raw=True)
        heads.append(read_section(decoder.section, PEER, is_whole=True).head)
    first, second = heads
    assert (first.target, second.target) == (b"/a", b"/b" * 100)
    assert first.fields is second.fields
    assert first.memory is second.memory is not None
    assert first.request_id != second.request_id


def test_content_is_no_part_of_it() -> None:
    """A request whose content is to come is read whole."""
    decoder = FieldDecoder()
    lengths = []
    for is_whole in (True, False, True):
        decoder.decode(GET + HTTPS + b"\x81" + path(b"/a"), raw=True)
        lengths.append(read_section(decoder.section, PEER, is_whole=is_whole).head.length)
    assert lengths == [0, UNTIL_END, 0]


@pytest.mark.parametrize("size", [0, MAX_KNOWN_BYTES])
def test_few_and_short_ones_are_kept(size: int) -> None:
    """A client cannot make us keep what it likes."""
    decoder = FieldDecoder()
    known = []
    for name in range(MAX_KNOWN + 1):
        decoder.decode(path(b"/") + literal(b"%d" % name, b"x" * size), raw=True)
        known.append(decoder.section.known)
    decoder.decode(path(b"/") + literal(b"1", b"x" * size), raw=True)
    assert decoder.section.known is known[1]
    decoder.decode(path(b"/") + literal(b"0", b"x" * size), raw=True)
    assert decoder.section.known is not known[0] or size
    assert (decoder.section.known is None) == bool(size)


def test_a_long_path_is_decoded_with_all() -> None:
    """So the limit on the whole of a section holds for it, too."""
    decoder = FieldDecoder()
    decoder.decode(path(b"/"), raw=True)
    with pytest.raises(HPACKDecodingError):
        decoder.decode(path(b"/" * 65536), raw=True)
