"""Heads and chunks as they are written, to the byte."""

from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from route_addon.carry.http1.content import ChunkedReader
from route_addon.carry.http1.heads import AnswerReader, RequestReader
from route_addon.carry.http1.writer import (
    CONTINUE,
    LAST_CHUNK,
    build_answer_head,
    build_chunk,
    build_request_head,
)
from route_addon.core.answers import PlainFields
from route_addon.core.framing import CHUNKED, UNTIL_END

FIELDS = [(b"Accept", b"*/*"), (b"X-Empty", b"")]


def test_request_head() -> None:
    """Host goes first, then the fields in order, then the framing, then Connection."""
    assert build_request_head(b"POST", b"/a?b", b"desk:81", FIELDS, 5, b"close") == (
        b"POST /a?b HTTP/1.1\r\n"
        b"Host: desk:81\r\n"
        b"Accept: */*\r\n"
        b"X-Empty: \r\n"
        b"Content-Length: 5\r\n"
        b"Connection: close\r\n"
        b"\r\n"
    )


REQUEST_FRAMING = {
    "no content": (b"GET", 0, b""),
    "no content where some is usual": (b"POST", 0, b"Content-Length: 0\r\n"),
    "no content to PUT": (b"PUT", 0, b"Content-Length: 0\r\n"),
    "no content to PATCH": (b"PATCH", 0, b"Content-Length: 0\r\n"),
    "no content to DELETE": (b"DELETE", 0, b""),
    "content with GET": (b"GET", 7, b"Content-Length: 7\r\n"),
    "chunked": (b"POST", CHUNKED, b"Transfer-Encoding: chunked\r\n"),
    "never without framing": (b"POST", UNTIL_END, b"Transfer-Encoding: chunked\r\n"),
}


@pytest.mark.parametrize(
    ("method", "length", "line"), REQUEST_FRAMING.values(), ids=REQUEST_FRAMING.keys()
)
def test_request_framing(method: bytes, length: int, line: bytes) -> None:
    """A request's content always has an end."""
    assert build_request_head(method, b"/", b"h", [], length) == (
        method + b" / HTTP/1.1\r\nHost: h\r\n" + line + b"\r\n"
    )


def test_answer_head() -> None:
    """The usual reason phrase, the fields in order, then the framing, then Connection."""
    assert build_answer_head(404, FIELDS, 5, b"keep-alive") == (
        b"HTTP/1.1 404 Not Found\r\n"
        b"Accept: */*\r\n"
        b"X-Empty: \r\n"
        b"Content-Length: 5\r\n"
        b"Connection: keep-alive\r\n"
        b"\r\n"
    )


ANSWER_HEADS: dict[str, tuple[tuple[Any, ...], bytes]] = {
    "nothing": ((204, [], None), b"HTTP/1.1 204 No Content\r\n\r\n"),
    "empty": ((200, [], 0), b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    "chunked": ((200, [], CHUNKED), b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
    "status without a phrase": ((299, [], None), b"HTTP/1.1 299 \r\n\r\n"),
    "own phrase": ((299, [], None, None, b"Fine"), b"HTTP/1.1 299 Fine\r\n\r\n"),
    "own phrase in place of the usual": (
        (200, [], None, None, b"Fine"),
        b"HTTP/1.1 200 Fine\r\n\r\n",
    ),
    "empty phrase": ((200, [], None, None, b""), b"HTTP/1.1 200 \r\n\r\n"),
}


@pytest.mark.parametrize(("arguments", "head"), ANSWER_HEADS.values(), ids=ANSWER_HEADS.keys())
def test_answer_head_variants(arguments: tuple[Any, ...], head: bytes) -> None:
    """An answer says how its content ends, or nothing where there is nothing to say."""
    assert build_answer_head(*arguments) == head


def test_a_head_that_is_kept() -> None:
    """It counts again where all that it says is the same, and nowhere else."""
    fields = PlainFields([(b"A", b"b"), (b"Server", b"x")], b"A: b")
    rests = ((None, b"close"), (None, b"Fine"))
    for said in product((200, 404), (0, 5, CHUNKED, None), *rests):
        expected = build_answer_head(said[0], list(fields), *said[1:])
        assert build_answer_head(said[0], fields, *said[1:]) == expected
        assert build_answer_head(said[0], fields, *said[1:]) == expected


def test_chunk() -> None:
    """All pieces go into one chunk, and no content into none: it would be the last."""
    assert build_chunk([b"hello", b" world"]) == b"b\r\nhello world\r\n"
    assert build_chunk([b""]) == b""
    assert build_chunk([]) == b""
    assert LAST_CHUNK == b"0\r\n\r\n"


NAMES = st.from_regex(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,12}", fullmatch=True).filter(
    lambda name: (
        name.lower() not in (b"connection", b"content-length", b"transfer-encoding", b"expect")
    )
)
VALUES = st.from_regex(rb"(?:[!-~\x80-\xff](?:[\t -~\x80-\xff]*[!-~\x80-\xff])?)?", fullmatch=True)
FIELD_LISTS = st.lists(st.tuples(NAMES, VALUES), max_size=8)


@given(fields=FIELD_LISTS, length=st.sampled_from([0, 1, 10**9, CHUNKED]))
def test_request_is_read_as_it_was_written(fields: list[tuple[bytes, bytes]], length: int) -> None:
    """The strict reader takes what the writer gives, and finds it unchanged."""
    taken = RequestReader().read(build_request_head(b"PUT", b"/\xff?", b"h", fields, length))
    assert taken is not None
    request, rest = taken
    assert (request.method, request.target, request.length) == (b"PUT", b"/\xff?", length)
    assert request.fields[: len(fields) + 1] == [(b"Host", b"h"), *fields]
    assert rest == b""


@given(
    status=st.integers(200, 599).filter(lambda status: status not in (204, 304)),
    fields=FIELD_LISTS,
    length=st.sampled_from([0, 1, 10**9, CHUNKED]),
)
def test_answer_is_read_as_it_was_written(
    status: int, fields: list[tuple[bytes, bytes]], length: int
) -> None:
    """The strict reader takes what the writer gives, and finds it unchanged."""
    taken = AnswerReader().read(build_answer_head(status, fields, length), b"GET")
    assert taken is not None
    answer, rest = taken
    assert (answer.status, answer.length) == (status, length)
    assert list(answer.fields[: len(fields)]) == fields
    assert rest == b""


def test_interim_answer_is_sound() -> None:
    """What we send to a waiting client is an answer."""
    taken = AnswerReader().read(CONTINUE, b"POST")
    assert taken is not None
    assert (taken[0].status, taken[1]) == (100, b"")


@given(pieces=st.lists(st.binary(max_size=99)))
def test_chunks_are_read_as_they_were_written(pieces: list[bytes]) -> None:
    """The strict reader takes what the writer gives, and finds it unchanged."""
    read, rest = ChunkedReader().read(build_chunk(pieces) + LAST_CHUNK)
    assert (b"".join(read), rest) == (b"".join(pieces), b"")
