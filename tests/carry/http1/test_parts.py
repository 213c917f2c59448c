"""Heads that arrive in parts: limits met on the way, and faults found before the end."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from route_addon.carry.http1.heads import AnswerReader, RequestReader
from route_addon.carry.http1.parts import HeadLimits
from route_addon.core.errors import (
    BadAnswer,
    BadField,
    BadRequest,
    FieldsTooLarge,
    RouteError,
    UnsupportedVersion,
    UriTooLong,
)

GET = b"GET / HTTP/1.1\r\n"
STATUS = b"HTTP/1.1 200 OK\r\n"

type Outcome = int | type[RouteError] | None
"""The number of fields read, a refusal, or None when more bytes are needed."""


def read_in_parts(
    parts: list[bytes], limits: HeadLimits | None = None, *, is_answer: bool = False
) -> Outcome:
    """What a reader says when it is given these parts one by one."""
    requests = RequestReader(limits) if limits else RequestReader()
    answers = AnswerReader(limits) if limits else AnswerReader()
    try:
        for part in parts:
            if is_answer:
                answered = answers.read(part, b"GET")
                if answered is not None:
                    return len(answered[0].fields)
            else:
                requested = requests.read(part)
                if requested is not None:
                    return len(requested[0].fields)
    except RouteError as error:
        return type(error)
    return None


def read_both_ways(
    wire: bytes, limits: HeadLimits | None = None, *, is_answer: bool = False
) -> Outcome:
    """What a reader says of bytes, whole and one at a time, which must be the same."""
    whole = read_in_parts([wire], limits, is_answer=is_answer)
    dribble = [wire[index : index + 1] for index in range(len(wire))]
    assert whole == read_in_parts(dribble, limits, is_answer=is_answer)
    return whole


KIB = 1024


def head_of(size: int, first_line: bytes = GET) -> bytes:
    """A head of so many bytes, none of its lines over 8 KiB."""
    lines = first_line + (b"A: " + b"a" * 7000 + b"\r\n") * 4 + b"B: "
    return lines.ljust(size - 4, b"b") + b"\r\n\r\n"


LIMITS = {
    "request line at the limit": (
        b"GET /" + b"a" * (8 * KIB - 14) + b" HTTP/1.1\r\nA: b\r\n\r\n",
        1,
    ),
    "request line over it": (b"GET /" + b"a" * (8 * KIB - 13) + b" HTTP/1.1\r\n\r\n", UriTooLong),
    "request line that never ends": (b"GET /" + b"a" * 8 * KIB, UriTooLong),
    "request line that may yet end": (b"G" * 8 * KIB + b"\r", None),
    "request line over it by a bare CR": (b"G" * 8 * KIB + b"\ra", BadRequest),
    "request line over it, bare LF": (b"G" * (8 * KIB + 1) + b"\n", UriTooLong),
    "request line at the limit, bare LF": (b"G" * 8 * KIB + b"\n", BadRequest),
    "field line at the limit": (GET + b"A: " + b"a" * (8 * KIB - 3) + b"\r\n\r\n", 1),
    "field line over it": (GET + b"A: " + b"a" * (8 * KIB - 2) + b"\r\n\r\n", FieldsTooLarge),
    "field line that never ends": (GET + b"A: " + b"a" * 8 * KIB, FieldsTooLarge),
    "field line over it by whitespace": (GET + b"A:" + b" " * 8 * KIB, FieldsTooLarge),
    "name that never ends": (GET + b"a" * 9 * KIB, FieldsTooLarge),
    "foul byte before the limit": (GET + b"A: \x00" + b"a" * 9 * KIB, BadField),
    "foul byte behind the limit": (GET + b"A: " + b"a" * 9 * KIB + b"\x00", FieldsTooLarge),
    "100 fields": (GET + b"A: b\r\n" * 100 + b"\r\n", 100),
    "101 fields": (GET + b"A: b\r\n" * 101 + b"\r\n", FieldsTooLarge),
    "fields that never end": (GET + b"A: b\r\n" * 102, FieldsTooLarge),
    "101 lines that are no fields": (GET + b"A\r\n" * 101 + b"\r\n", FieldsTooLarge),
    "100 lines that are no fields": (GET + b"A\r\n" * 100 + b"\r\n", BadField),
    "head at the limit": (head_of(32 * KIB), 5),
    "head over it": (head_of(32 * KIB + 1), FieldsTooLarge),
    "bare CR before the head's limit": (
        head_of(33 * KIB)[: 32 * KIB - 1] + b"\ra",
        BadField,
    ),
    "bare CR at the head's limit": (head_of(33 * KIB)[: 32 * KIB] + b"\ra", FieldsTooLarge),
    "head that never ends": (head_of(33 * KIB)[: 32 * KIB + 1], FieldsTooLarge),
    "empty lines before are not counted": (b"\r\n\r\n" + head_of(32 * KIB), 5),
    "version before the limit": (
        b"GET / HTTP/3.7\r\nA: " + b"a" * 9 * KIB,
        UnsupportedVersion,
    ),
}


@pytest.mark.parametrize(("wire", "outcome"), LIMITS.values(), ids=LIMITS.keys())
def test_request_limits(wire: bytes, outcome: Outcome) -> None:
    """What is as large as a limit passes, one byte more is refused, complete or not."""
    assert read_both_ways(wire) == outcome


ANSWER_CASES = {
    "line over 8 KiB": (STATUS + b"A: " + b"a" * 9 * KIB + b"\r\n\r\n", 1),
    "head at the limit": (head_of(32 * KIB, STATUS), 5),
    "head over it": (head_of(32 * KIB + 1, STATUS), BadAnswer),
    "head that never ends": (STATUS + b"A: " + b"a" * 32 * KIB, BadAnswer),
    "status line that never ends": (b"HTTP/1.1 200 " + b"a" * 32 * KIB, BadAnswer),
    "500 fields": (STATUS + b"A: b\r\n" * 500 + b"\r\n", 500),
    "501 fields": (STATUS + b"A: b\r\n" * 501 + b"\r\n", BadAnswer),
    "no status line, no end": (b"220 mail.example ESMTP\r\n", BadAnswer),
    "bare LF, no end": (b"HTTP/1.1 200 OK\n", BadAnswer),
    "bare LF behind a field, no end": (STATUS + b"A: b\n", BadAnswer),
    "half a head": (STATUS + b"A: b\r\n", None),
}


@pytest.mark.parametrize(("wire", "outcome"), ANSWER_CASES.values(), ids=ANSWER_CASES.keys())
def test_answer_limits(wire: bytes, outcome: Outcome) -> None:
    """An upstream's head is bounded too, and a bad one is refused before its end."""
    assert read_both_ways(wire, is_answer=True) == outcome


FAULTS_WITHOUT_END = {
    "HTTP/0.9": (b"GET /\r\n", BadRequest),
    "another version": (b"GET / HTTP/2.0\r\n", UnsupportedVersion),
    "bare LF": (b"GET / HTTP/1.1\n", BadRequest),
    "bare LF behind a field": (GET + b"A: b\n", BadField),
    "bare CR": (GET + b"A: b\rc", BadField),
    "control byte": (GET + b"A: b\x01", BadField),
    "whitespace first": (b" \r\n", BadRequest),
    "a TLS handshake": (b"\x16\x03\x01", BadRequest),
}


@pytest.mark.parametrize(
    ("wire", "error"), FAULTS_WITHOUT_END.values(), ids=FAULTS_WITHOUT_END.keys()
)
def test_fault_is_found_before_the_end(wire: bytes, error: type[RouteError]) -> None:
    """A client that will never send the empty line we wait for gets its answer at once."""
    assert read_both_ways(wire) is error


UNFINISHED = {
    "nothing": b"",
    "half an empty line": b"\r",
    "an empty line": b"\r\n",
    "half a second one": b"\r\n\r",
    "two empty lines": b"\r\n\r\n",
    "half a method": b"GE",
    "a request line without LF": b"GET / HTTP/1.1\r",
    "a request line": GET,
    "half an end": GET + b"\r",
    "a field": GET + b"A: b\r\n",
    "a line that will be refused": GET + b"A",
}


@pytest.mark.parametrize("wire", UNFINISHED.values(), ids=UNFINISHED.keys())
def test_unfinished_head_waits(wire: bytes) -> None:
    """What may still become a head is waited for."""
    assert read_both_ways(wire) is None


SMALL = st.builds(
    HeadLimits,
    line_bytes=st.integers(8, 24),
    head_bytes=st.integers(8, 64),
    fields=st.integers(0, 3),
)
WIRES = st.lists(
    st.sampled_from(
        [
            b"GET / HTTP/1.1",
            b"HTTP/1.1 200",
            b"GET /aaaaaaa HTTP/1.0",
            *3 * [b"\r\n"],
            b"\r\n\r\n",
            b"\r\nE: f",
            b"\r",
            b"\n",
            b"A: b",
            b"C:  d ",
            b"A",
            b"aaaaaaaa",
            b" ",
            b"\x00",
        ]
    ),
    max_size=12,
).map(b"".join)


@given(wire=WIRES, limits=SMALL, is_answer=st.booleans(), cut=st.integers(0, 80))
def test_verdict_does_not_depend_on_the_split(
    wire: bytes, limits: HeadLimits, is_answer: bool, cut: int
) -> None:
    """The first fault in the order of the bytes is the verdict, also where limits are small."""
    whole = read_both_ways(wire, limits, is_answer=is_answer)
    assert whole == read_in_parts([wire[:cut], wire[cut:]], limits, is_answer=is_answer)


def test_bytes_are_looked_at_once() -> None:
    """A head that dribbles in costs in proportion to its length, whatever its lines are like."""

    def cost(size: int) -> float:
        reader = RequestReader(HeadLimits(size, size, size))
        wire = GET + b"A: " + b"a" * (size - 100)
        began = time.process_time()
        for index in range(len(wire)):
            assert reader.read(wire[index : index + 1]) is None
        return time.process_time() - began

    # Four times the bytes: four times the work, where looking again would make it sixteen times.
    assert min(cost(64 * KIB) for _ in range(3)) < 8 * min(cost(16 * KIB) for _ in range(3))
