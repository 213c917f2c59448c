"""The content of HTTP/1 messages: by length, in chunks, until the end."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from route_addon.carry.http1.content import (
    MAX_EXTENSION_BYTES,
    ChunkedReader,
    ContentReader,
    LengthReader,
    UntilEndReader,
    content_reader,
)
from route_addon.carry.http1.writer import LAST_CHUNK, build_chunk
from route_addon.core.errors import BadAnswer, BadFraming, ContentTooLarge, RouteError
from route_addon.core.framing import CHUNKED, UNTIL_END

BEHIND = b"GET /next HTTP/1.1\r\n\r\n"

type Outcome = tuple[bytes, bytes | None] | type[RouteError]
"""All content and the bytes behind it (None before its end), or a refusal."""


def read_in_parts(reader: ContentReader, parts: list[bytes]) -> Outcome:
    """What a reader says when it is given these parts one by one."""
    content = b""
    for index, part in enumerate(parts):
        try:
            pieces, rest = reader.read(part)
        except RouteError as error:
            return type(error)
        assert all(pieces)
        content += b"".join(pieces)
        if rest is not None:
            return content, rest + b"".join(parts[index + 1 :])
    return content, None


def read_chunked(wire: bytes) -> Outcome:
    """What all three ways of reading chunked content say, which must be the same."""
    dribble = [wire[index : index + 1] for index in range(len(wire))]
    whole = read_in_parts(ChunkedReader(), [wire])
    assert whole == read_in_parts(ChunkedReader(), dribble)
    behind = read_in_parts(ChunkedReader(), [wire + BEHIND])
    if isinstance(whole, tuple) and whole[1] is not None:
        assert behind == (whole[0], whole[1] + BEHIND)
    elif isinstance(whole, type):
        assert behind is whole
    return whole


CHUNKED_CONTENT = {
    "nothing": (b"0\r\n\r\n", b""),
    "one chunk": (b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
    "two chunks": (b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", b"hello world"),
    "digits in both cases": (b"a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n", b"0123456789" * 2),
    "leading zeros": (b"0000000000000005\r\nhello\r\n0\r\n\r\n", b"hello"),
    "last chunk of many zeros": (b"0000000000000000\r\n\r\n", b""),
    "content that looks like framing": (b"7\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n", b"\r\n0\r\n\r\n"),
    "extensions": (b'5;a=b\r\nhello\r\n0;c="d\t\xff";e\r\n\r\n', b"hello"),
    "extensions up to their bound": (
        b"1;" + b"a" * (MAX_EXTENSION_BYTES - 1) + b"\r\nx\r\n0\r\n\r\n",
        b"x",
    ),
    "trailers": (b"1\r\nx\r\n0\r\nA: b\r\nC:\td \r\n\r\n", b"x"),
    "100 trailers": (b"0\r\n" + b"A: b\r\n" * 100 + b"\r\n", b""),
}


@pytest.mark.parametrize(("wire", "content"), CHUNKED_CONTENT.values(), ids=CHUNKED_CONTENT.keys())
def test_chunked_content_is_read(wire: bytes, content: bytes) -> None:
    """Chunks give their content; extensions and trailers end here."""
    assert read_chunked(wire) == (content, b"")


BAD_CHUNKS = {
    "no size": b"\r\nhello\r\n0\r\n\r\n",
    "signed size": b"+5\r\nhello\r\n0\r\n\r\n",
    "negative size": b"-5\r\nhello\r\n0\r\n\r\n",
    "hexadecimal prefix": b"0x5\r\nhello\r\n0\r\n\r\n",
    "underscore": b"1_0\r\n0123456789abcdef\r\n0\r\n\r\n",
    "size of letters": b"g\r\nhello\r\n0\r\n\r\n",
    "size of 17 digits": b"00000000000000005\r\nhello\r\n0\r\n\r\n",
    "space before the size": b" 5\r\nhello\r\n0\r\n\r\n",
    "space behind the size": b"5 \r\nhello\r\n0\r\n\r\n",
    "space before an extension": b"5 ;a\r\nhello\r\n0\r\n\r\n",
    "tab behind the size": b"5\t\r\nhello\r\n0\r\n\r\n",
    "bare LF behind the size": b"5\nhello\r\n0\r\n\r\n",
    "bare CR behind the size": b"5\rhello\r\n0\r\n\r\n",
    "bare LF behind the data": b"5\r\nhello\n0\r\n\r\n",
    "bare CR behind the data": b"5\r\nhello\r0\r\n\r\n",
    "data longer than its size": b"5\r\nhello!\r\n0\r\n\r\n",
    "data shorter than its size": b"5\r\nhell\r\n0\r\n\r\n",
    "empty line between chunks": b"5\r\nhello\r\n\r\n0\r\n\r\n",
    "bare LF in an extension": b"5;a\nb\r\nhello\r\n0\r\n\r\n",
    "bare CR in an extension": b"5;a\rb\r\nhello\r\n0\r\n\r\n",
    "NUL in an extension": b"5;\x00\r\nhello\r\n0\r\n\r\n",
    "extension over the bound": b"1;" + b"a" * MAX_EXTENSION_BYTES + b"\r\nx\r\n0\r\n\r\n",
    "extensions over the bound together": b"1;aaaa\r\nx\r\n" * 300 + b"0\r\n\r\n",
    "extension that never ends": b"1;" + b"a" * 2 * MAX_EXTENSION_BYTES,
    "bare LF behind the last chunk": b"0\r\n\n\r\n\r\n",
    "bare LF behind a trailer": b"0\r\nA: b\n\r\n",
    "length in a trailer": b"0\r\nA: b\r\nContent-length: 5\r\n\r\n",
    "coding in a trailer": b"0\r\ntransfer-Encoding: chunked\r\n\r\n",
    "folded trailer": b"0\r\nA: b\r\n c\r\n\r\n",
    "trailer without a colon": b"0\r\nA\r\n\r\n",
    "space before a trailer's colon": b"0\r\nA : b\r\n\r\n",
    "control byte in a trailer": b"0\r\nA: \x01\r\n\r\n",
    "101 trailers": b"0\r\n" + b"A: b\r\n" * 101 + b"\r\n",
    "trailer over 8 KiB": b"0\r\nA: " + b"a" * 8192 + b"\r\n\r\n",
    "trailers over 32 KiB": b"0\r\n" + (b"A: " + b"a" * 8000 + b"\r\n") * 5 + b"\r\n",
    "trailer that never ends": b"0\r\nA: " + b"a" * 9000,
}


@pytest.mark.parametrize("wire", BAD_CHUNKS.values(), ids=BAD_CHUNKS.keys())
def test_malformed_chunks_are_refused(wire: bytes) -> None:
    """What is not chunked content to the letter is not read at all."""
    assert read_chunked(wire) is BadFraming


UNFINISHED_CHUNKS = {
    "nothing": (b"", b""),
    "half a size": (b"5", b""),
    "half a line end": (b"5\r", b""),
    "half an extension": (b"5;a", b""),
    "half an extension's line end": (b"5;a\r", b""),
    "a size line": (b"5\r\n", b""),
    "half a chunk": (b"5\r\nhel", b"hel"),
    "a chunk's data": (b"5\r\nhello", b"hello"),
    "half the line end behind it": (b"5\r\nhello\r", b"hello"),
    "a whole chunk": (b"5\r\nhello\r\n", b"hello"),
    "half a second size": (b"5\r\nhello\r\n1", b"hello"),
    "a last chunk without its end": (b"0\r\n", b""),
    "half the end": (b"0\r\n\r", b""),
    "half a trailer": (b"0\r\nA: b", b""),
    "a trailer": (b"0\r\nA: b\r\n", b""),
}


@pytest.mark.parametrize(
    ("wire", "content"), UNFINISHED_CHUNKS.values(), ids=UNFINISHED_CHUNKS.keys()
)
def test_unfinished_chunks_wait(wire: bytes, content: bytes) -> None:
    """Content goes on as it comes; its end is not guessed."""
    assert read_chunked(wire) == (content, None)


@pytest.mark.parametrize(
    "wire", [b"x", b"5x", b"5\r\nhellox", b"5\r\nhello\rx", b"5\r\nhello\r\nx", b"0\r\n\rx"]
)
def test_malformed_chunk_is_found_before_its_end(wire: bytes) -> None:
    """A client that waits for our answer gets it at the first byte that cannot be right."""
    assert read_chunked(wire) is BadFraming
    assert read_chunked(wire[:-1]) is not BadFraming


def test_large_chunks_pass_whole() -> None:
    """What is content from end to end is not copied."""
    data = b"x" * 4096
    reader = ChunkedReader()
    assert reader.read(b"3000\r\n") == ([], None)
    for _ in range(3):
        pieces, rest = reader.read(data)
        assert pieces[0] is data
        assert rest is None
    assert reader.read(b"\r\n0\r\n\r\n") == ([], b"")


@pytest.mark.parametrize("size", [1, 5, 16])
def test_chunked_limit_is_exact(size: int) -> None:
    """The limit passes, one byte more is refused when its chunk is announced."""
    wire = build_chunk([b"x" * (size - 1)]) + build_chunk([b"y"])
    assert read_in_parts(ChunkedReader(size), [wire, LAST_CHUNK]) == (
        b"x" * (size - 1) + b"y",
        b"",
    )
    assert read_in_parts(ChunkedReader(size - 1), [wire]) is ContentTooLarge
    assert read_in_parts(ChunkedReader(size), [wire, b"1\r\n"]) is ContentTooLarge


def test_chunked_limit_of_nothing() -> None:
    """A limit of 0 lets an empty content pass."""
    assert read_in_parts(ChunkedReader(0), [LAST_CHUNK]) == (b"", b"")
    assert read_in_parts(ChunkedReader(0), [b"1\r\n"]) is ContentTooLarge


@pytest.mark.parametrize("wire", [b"x", b"1;" + b"a" * 1024 + b"\r\n", b"0\r\nA\r\n\r\n"])
def test_upstream_chunks_have_their_own_error(wire: bytes) -> None:
    """A bad chunk from an upstream is not the client's fault."""
    assert read_in_parts(ChunkedReader(error=BadAnswer), [wire]) is BadAnswer


@given(
    pieces=st.lists(st.binary(max_size=40), max_size=6),
    extension=st.sampled_from([b"", b";a", b";a=b"]),
    trailers=st.sampled_from([b"", b"A: b\r\n"]),
    cuts=st.lists(st.integers(0, 300), max_size=8),
    behind=st.binary(max_size=5),
)
def test_chunks_are_read_from_any_split(
    pieces: list[bytes], extension: bytes, trailers: bytes, cuts: list[int], behind: bytes
) -> None:
    """However chunks arrive, their content and what is behind them are the same."""
    chunks = [build_chunk([piece]).replace(b"\r\n", extension + b"\r\n", 1) for piece in pieces]
    wire = b"".join(chunks) + b"0" + extension + b"\r\n" + trailers + b"\r\n" + behind
    edges = sorted({0, len(wire), *(min(cut, len(wire)) for cut in cuts)})
    parts = [wire[a:b] for a, b in itertools.pairwise(edges)]
    assert read_in_parts(ChunkedReader(), parts) == (b"".join(pieces), behind)


@given(
    wire=st.lists(
        st.sampled_from([b"0", b"1", b"2", b"\r\n", b"\r\n", b"\r", b"\n", b";a", b"ab", b"A: b"])
    ).map(b"".join),
    cut=st.integers(0, 40),
)
def test_verdict_on_chunks_does_not_depend_on_the_split(wire: bytes, cut: int) -> None:
    """Any bytes give content, a refusal or a wish for more, and the same however they arrive."""
    whole = read_chunked(wire)
    assert whole == read_in_parts(ChunkedReader(), [wire[:cut], wire[cut:]])


@pytest.mark.parametrize("length", [0, 1, 5])
@pytest.mark.parametrize("behind", [b"", BEHIND])
def test_length(length: int, behind: bytes) -> None:
    """So many bytes are content, the next ones are not."""
    wire = b"x" * length + behind
    assert read_in_parts(LengthReader(length), [wire]) == (b"x" * length, behind)
    dribble = [wire[index : index + 1] for index in range(len(wire))]
    assert read_in_parts(LengthReader(length), [b"", *dribble]) == (b"x" * length, behind)


def test_length_counts_down() -> None:
    """What is yet to come is known, and what is content from end to end is not copied."""
    reader = LengthReader(9)
    assert reader.read(b"") == ([], None)
    data = b"hello"
    pieces, rest = reader.read(data)
    assert pieces[0] is data
    assert (rest, reader.remaining) == (None, 4)
    pieces, rest = reader.read(b"moon!")
    assert (pieces, rest, reader.remaining) == ([b"moon"], b"!", 0)


def test_until_end() -> None:
    """Only the connection's end ends this content."""
    reader = UntilEndReader()
    assert reader.read(b"hello") == ([b"hello"], None)
    assert reader.read(b"") == ([], None)


def test_reader_for_a_length() -> None:
    """Each way of framing has its reader, which says whether the connection's end is its end."""
    by_length = content_reader(3)
    assert isinstance(by_length, LengthReader)
    assert (by_length.remaining, by_length.ends_with_connection) == (3, False)
    chunked = content_reader(CHUNKED, 2, BadAnswer)
    assert isinstance(chunked, ChunkedReader)
    assert not chunked.ends_with_connection
    assert read_in_parts(chunked, [b"x"]) is BadAnswer
    assert read_in_parts(content_reader(CHUNKED, 2), [b"3\r\n"]) is ContentTooLarge
    until_end = content_reader(UNTIL_END)
    assert isinstance(until_end, UntilEndReader)
    assert until_end.ends_with_connection
