"""The same requests whole and byte by byte: status, what goes upstream, whether it goes on.

Each case is sent to a running relay in both ways. What reaches the back end is compared byte for
byte, and afterwards the connection is asked for a sign of life: it has to be there, in step, or
closed, as the case says.
"""

import contextlib
import re
import socket
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import pytest

from tests.e2e.footprint import run_relay
from tests.e2e.harness import (
    HOST,
    Answer,
    Client,
    Field,
    Fleet,
    Router,
    build_chunks,
    build_request,
)
from tests.e2e.test_http1 import REFUSED

CHUNKED = (b"Transfer-Encoding", b"chunked")
CLOSE = (b"Connection", b"close")
KEEP_ALIVE = (b"Connection", b"keep-alive")
PIECE_BYTES = 512
"""How large the pieces of a request are that is too long to be sent byte by byte."""


@pytest.fixture(scope="module")
def router(shared_fleet: Fleet, key_options: Mapping[str, str]) -> Iterator[Router]:
    """A relay."""
    with run_relay(shared_fleet, key_options) as relay:
        yield relay


class Case(NamedTuple):
    """A request, and what becomes of it."""

    raw: bytes
    status: int
    sent: bytes | None = None
    """What reaches the back end; None for nothing."""
    is_kept: bool = True
    """Whether the connection is open afterwards, and in step."""


def sent(
    target: bytes = b"/API/x",
    *fields: Field,
    method: bytes = b"GET",
    host: bytes | None = HOST,
    framing: bytes = b"",
    body: bytes = b"",
) -> bytes:
    """What a back end gets: the client's own fields between ours and the framing's."""
    said = b"X-Forwarded-Host: %b\r\n" % host if host is not None else b""
    return b"".join(
        (
            b"%b %b HTTP/1.1\r\n" % (method, target),
            b"Host: %b\r\n" % (host if host is not None else b"UPSTREAM"),
            b"X-Real-IP: 127.0.0.1\r\nX-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http\r\n",
            said,
            b"X-Forwarded-Port: PORT\r\nX-Request-ID: ID\r\n",
            *(b"%b: %b\r\n" % field for field in fields),
            framing,
            b"\r\n",
            body,
        )
    )


def _with_line(line: bytes) -> bytes:
    """A request with one more line in its head."""
    return b"GET /API/x HTTP/1.1\r\nHost: desk.example\r\n%b\r\n\r\n" % line


def _length(size: int) -> bytes:
    return b"Content-Length: %d\r\n" % size


def _post(framing: Field, body: bytes, *fields: Field) -> bytes:
    return build_request(b"/API/x", framing, *fields, method=b"POST") + body


def _posted(body: bytes, *fields: Field) -> bytes:
    return sent(b"/API/x", *fields, method=b"POST", framing=_length(len(body)), body=body)


def _chunks(raw: bytes, body: bytes | None) -> Case:
    """Chunked content; None for content that is refused."""
    if body is None:
        return Case(_post(CHUNKED, raw), 400, None, False)
    return Case(_post(CHUNKED, raw), 200, _posted(body))


def _names() -> Iterator[tuple[str, Case]]:
    """Targets that are written anew, and those that are not."""
    for asked, becomes in {
        b"/API/x": b"/API/x",
        b"/API": b"/API",
        b"/API/": b"/API/",
        b"/API//x": b"/API/x",
        b"//API/x": b"/API/x",
        b"/API/./x": b"/API/x",
        b"/API/y/../x": b"/API/x",
        b"/y/../API/x": b"/API/x",
        b"/API/x/..": b"/API/",
        b"/API/%78": b"/API/x",
        b"/%41PI/x": b"/API/x",
        b"/API/%2e%2e/API/x": b"/API/x",
        b"/API/a%2Fb": b"/API/a%2Fb",
        b"/API/a%2fb": b"/API/a%2fb",
        b"/API/%20": b"/API/%20",
        b"/API/%0d%0aX:%20y": b"/API/%0d%0aX:%20y",
        b"/API/x?": b"/API/x?",
        b"/API/x?a=%zz&b": b"/API/x?a=%zz&b",
        b"/API/x?a=/../y//z": b"/API/x?a=/../y//z",
        b"/API/x#y": b"/API/x",
        b"/API/x?a#y?b": b"/API/x?a",
        b"/API/x;p=1": b"/API/x;p=1",
        b"/API/~x!$&'()*+,=:@": b"/API/~x!$&'()*+,=:@",
        b"/API/\xc3\xa9": b"/API/\xc3\xa9",
        b'/API/"<>^`{|}': b'/API/"<>^`{|}',
        b"http://desk.example/API/x": b"/API/x",
        b"HTTP://DESK.example:80/API/x": b"/API/x",
        b"http://desk.example/API/x?y#z": b"/API/x?y",
    }.items():
        yield f"target {asked!r}", Case(build_request(asked), 200, sent(becomes))


def _hosts() -> Iterator[tuple[str, Case]]:
    for asked, becomes in {
        b"desk.example:8443": b"desk.example:8443",
        b"DESK.Example": b"desk.example",
        b"desk.example.": b"desk.example",
        b"127.0.0.1": b"127.0.0.1",
        b"[::1]:80": b"[::1]:80",
        b"desk_1.example": b"desk_1.example",
        b" desk.example\t": b"desk.example",
    }.items():
        yield f"Host {asked!r}", Case(build_request(b"/API/x", host=asked), 200, sent(host=becomes))


_SENT_FIELDS: dict[str, tuple[bytes, tuple[Field, ...]]] = {
    "a field": (b"X-A: 1", ((b"X-A", b"1"),)),
    "no space": (b"X-A:1", ((b"X-A", b"1"),)),
    "padding": (b"X-A: \t 1 2\t ", ((b"X-A", b"1 2"),)),
    "a tab inside": (b"X-A: 1\t2", ((b"X-A", b"1\t2"),)),
    "an empty value": (b"X-A:", ((b"X-A", b""),)),
    "spaces alone": (b"X-A:   ", ((b"X-A", b""),)),
    "bytes above ASCII": (b"X-A: \xff\xe9", ((b"X-A", b"\xff\xe9"),)),
    "colons": (b"X-A: b: c", ((b"X-A", b"b: c"),)),
    "the same twice": (b"X-A: 1\r\nX-A: 2", ((b"X-A", b"1"), (b"X-A", b"2"))),
    "upper case": (b"X-UPPER: 1", ((b"X-UPPER", b"1"),)),
    "digits": (b"X-1-2: 1", ((b"X-1-2", b"1"),)),
    "ABCAuthorization": (b"ABCAuthorization: a b", ((b"ABCAuthorization", b"a b"),)),
    "Cookie": (b"Cookie: a=1; b=2", ((b"Cookie", b"a=1; b=2"),)),
    "a plain Referer": (b"Referer: http://x/y", ((b"Referer", b"http://x/y"),)),
    "Expect without content": (b"Expect: 100-continue", ()),
    "an underscore": (b"X_A: 1", ()),
    "a dot": (b"X.A: 1", ()),
    "a tilde": (b"X~A: 1", ()),
    "all token letters": (b"!#$%&'*+-.^_`|~: 1", ()),
    "X-Real-IP": (b"X-Real-IP: 9.9.9.9", ()),
    "X-Forwarded-For in underscores": (b"X_Forwarded_For: 9.9.9.9", ()),
    "Keep-Alive": (b"Keep-Alive: timeout=5", ()),
    "Proxy-Connection": (b"Proxy-Connection: keep-alive", ()),
    "TE": (b"TE: trailers", ()),
    "Trailer": (b"Trailer: X-A", ()),
    "Upgrade": (b"Upgrade: h2c", ()),
    "a WebSocket where there is none": (b"Connection: Upgrade\r\nUpgrade: websocket", ()),
    "HTTP2-Settings": (b"Connection: HTTP2-Settings\r\nHTTP2-Settings: AAMAAABk", ()),
    "named by Connection": (
        b"Connection: X-A, x-b\r\nX-A: 1\r\nX-B: 2\r\nX-C: 3",
        ((b"X-C", b"3"),),
    ),
    "named before": (b"X-A: 1\r\nConnection: x-a", ()),
    "naming what must stay": (
        b"Connection: Cookie, ABCAuthorization, Host, X-Forwarded-For\r\nCookie: a=1",
        ((b"Cookie", b"a=1"),),
    ),
    "an empty Connection": (b"Connection: ", ()),
    "commas in Connection": (b"Connection: , ,keep-alive,,", ()),
}

_BAD_LINES = {
    "obs-fold": b"X-A: 1\r\n 2",
    "obs-fold by a tab": b"X-A: 1\r\n\t2",
    "obs-fold of Transfer-Encoding": b"Transfer-Encoding:\r\n chunked",
    "a bare LF": b"X-A: 1\nX-B: 2",
    "a bare CR": b"X-A: 1\rX-B: 2",
    "two CR": b"X-A: 1\r\r\nX-B: 2",
    "CR at the end": b"X-A: 1\r",
    "NUL in a name": b"X\0A: 1",
    "NUL in a value": b"X-A: \0",
    "a vertical tab": b"X-A: \x0b",
    "a form feed at the edge": b"X-A:\x0c1",
    "ESC": b"X-A: \x1b[2J",
    "DEL": b"X-A: \x7f",
    "a space in a name": b"X A: 1",
    "a tab before the colon": b"X-A\t: 1",
    "a space before the name": b" X-A: 1",
    "a name in quotes": b'"X": 1',
    "a name above ASCII": b"X\xe9: 1",
    "a slash in a name": b"X/A: 1",
    "a brace in a name": b"X{A: 1",
    "no colon": b"X-A",
    "a colon alone": b":",
    "Content-Length before a tab": b"Content-Length\t: 5",
    "Transfer-Encoding before a space": b"Transfer-Encoding : chunked",
    "a vertical tab before chunked": b"Transfer-Encoding: \x0bchunked",
    "NUL behind chunked": b"Transfer-Encoding: chunked\0",
}


def _fields() -> Iterator[tuple[str, Case]]:
    for name, (line, fields) in _SENT_FIELDS.items():
        yield name, Case(_with_line(line), 200, sent(b"/API/x", *fields))
    for name, line in _BAD_LINES.items():
        yield name, Case(_with_line(line), 400, None, False)


def _first_lines() -> Iterator[tuple[str, Case]]:
    good = build_request(b"/API/x")
    yield "an empty line first", Case(b"\r\n" + good, 200, sent())
    yield "two empty lines first", Case(b"\r\n\r\n" + good, 200, sent())
    for name, raw in {
        "three empty lines first": b"\r\n\r\n\r\n" + good,
        "a bare LF first": b"\n" + good,
        "a space first": b" " + good,
        "NUL first": b"\0" + good,
        "a byte order mark first": b"\xef\xbb\xbf" + good,
        "two spaces": good.replace(b"GET ", b"GET  "),
        "a tab": good.replace(b"GET ", b"GET\t"),
        "two spaces before the version": good.replace(b" HTTP", b"  HTTP"),
        "a space behind the version": good.replace(b"1.1\r", b"1.1 \r"),
        "a vertical tab": good.replace(b"GET ", b"GET\x0b"),
        "a bare LF behind the request line": good.replace(b"1.1\r\n", b"1.1\n"),
        "a CR behind the request line": good.replace(b"1.1\r\n", b"1.1\r\r\n"),
        "HTTP/0.9": b"GET /API/x\r\n",
        "HTTP/0.9 with a bare LF": b"GET /API/x\n",
        "HTTP/1.": good.replace(b"HTTP/1.1", b"HTTP/1."),
        "HTTP/01.1": good.replace(b"HTTP/1.1", b"HTTP/01.1"),
        "HTTPS/1.1": good.replace(b"HTTP/1.1", b"HTTPS/1.1"),
        "an answer": b"HTTP/1.1 200 OK\r\n\r\n",
        "a method above ASCII": good.replace(b"GET", b"G\xc9T"),
    }.items():
        yield name, Case(raw, 400, None, False)
    for version in (b"0.9", b"1.2", b"1.9", b"2.0", b"3.7", b"9.9"):
        raw = good.replace(b"HTTP/1.1", b"HTTP/" + version)
        yield f"HTTP/{version.decode()}", Case(raw, 505, None, False)
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    yield "the preface of HTTP/2", Case(preface, 505, None, False)


def _methods() -> Iterator[tuple[str, Case]]:
    for method in (b"GET", b"DELETE", b"OPTIONS", b"PROPFIND", b"M-SEARCH", b"X"):
        raw = build_request(b"/API/x", method=method)
        yield f"method {method.decode()}", Case(raw, 200, sent(method=method))
    for method in (b"POST", b"PUT", b"PATCH"):
        raw = build_request(b"/API/x", method=method)
        expected = sent(method=method, framing=_length(0))
        yield f"method {method.decode()} without content", Case(raw, 200, expected)


def _versions() -> Iterator[tuple[str, Case]]:
    old = b"HTTP/1.0"
    yield "HTTP/1.0", Case(build_request(b"/API/x", version=old), 200, sent(), False)
    kept = build_request(b"/API/x", KEEP_ALIVE, version=old)
    yield "HTTP/1.0 kept", Case(kept, 200, sent())
    kept = build_request(b"/API/x", (b"Connection", b"Keep-Alive, X"), version=old)
    yield "HTTP/1.0 kept, in upper case", Case(kept, 200, sent())
    bare = build_request(b"/API/x", version=old, host=None)
    yield "HTTP/1.0 without Host", Case(bare, 200, sent(host=None), False)
    waiting = build_request(b"/API/x", (b"Expect", b"100-continue"), KEEP_ALIVE, body=b"x")
    yield (
        "HTTP/1.0 with Expect",
        Case(
            waiting.replace(b"HTTP/1.1", old).replace(b"GET", b"POST"),
            200,
            sent(method=b"POST", framing=_length(1), body=b"x"),
        ),
    )
    yield "closing", Case(build_request(b"/API/x", CLOSE), 200, sent(), False)
    both = build_request(b"/API/x", (b"Connection", b"keep-alive, close"))
    yield "closing and not", Case(both, 200, sent(), False)
    two = build_request(b"/API/x", KEEP_ALIVE, (b"Connection", b"Close"))
    yield "closing in a second line", Case(two, 200, sent(), False)


def _content() -> Iterator[tuple[str, Case]]:
    for value, body in {b"5": b"hello", b"0": b"", b"005": b"hello", b" 5 ": b"hello"}.items():
        raw = _post((b"Content-Length", value), body)
        yield f"Content-Length {value!r}", Case(raw, 200, _posted(body))
    got = build_request(b"/API/x", body=b"hello")
    yield "GET with content", Case(got, 200, sent(framing=_length(5), body=b"hello"))
    for value in (b"chunked", b"CHUNKED", b" Chunked\t"):
        raw = _post((b"Transfer-Encoding", value), build_chunks(b"hello"))
        yield f"Transfer-Encoding {value!r}", Case(raw, 200, _posted(b"hello"))
    huge = b"9" * 18
    for value in (huge, b"9" * 19, b"9" * 400):
        status = 413 if value == huge else 400
        raw = _post((b"Content-Length", value), b"")
        yield f"a length of {len(value)} digits", Case(raw, status, None, False)
    for name, field in {
        "another Expect": (b"Expect", b"200-ok"),
        "two expectations": (b"Expect", b"100-continue, x"),
        "an empty Expect": (b"Expect", b""),
    }.items():
        yield name, Case(_post((b"Content-Length", b"0"), b"", field), 417, None, False)
    expecting = _post((b"Content-Length", b"5"), b"hello", (b"Expect", b"100-Continue"))
    yield "Expect with content behind it", Case(expecting, 200, _posted(b"hello"))


_GOOD_CHUNKS = {
    "one chunk": (b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
    "two chunks": (b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", b"hello"),
    "no content": (b"0\r\n\r\n", b""),
    "a size with zeros": (b"0005\r\nhello\r\n000\r\n\r\n", b"hello"),
    "a size in capitals": (b"A\r\nhellohello\r\n0\r\n\r\n", b"hellohello"),
    "an extension": (b'5;a=b;c="d e"\r\nhello\r\n0;x\r\n\r\n', b"hello"),
    "trailers": (b"5\r\nhello\r\n0\r\nX-A: 1\r\nX-B: 2\r\n\r\n", b"hello"),
    "chunks in content": (b"a\r\n0\r\n\r\n5\r\nxx\r\n0\r\n\r\n", b"0\r\n\r\n5\r\nxx"),
    "1024 bytes of extensions": (b"5;%b\r\nhello\r\n0\r\n\r\n" % (b"x" * 1023), b"hello"),
}

_BAD_CHUNKS = {
    "no size": b"\r\nhello\r\n0\r\n\r\n",
    "a size in words": b"five\r\nhello\r\n0\r\n\r\n",
    "a sign": b"+5\r\nhello\r\n0\r\n\r\n",
    "a negative size": b"-5\r\nhello\r\n0\r\n\r\n",
    "0x": b"0x5\r\nhello\r\n0\r\n\r\n",
    "an underscore": b"1_0\r\nhello\r\n0\r\n\r\n",
    "a space before the size": b" 5\r\nhello\r\n0\r\n\r\n",
    "a space behind the size": b"5 \r\nhello\r\n0\r\n\r\n",
    "17 digits": b"00000000000000005\r\nhello\r\n0\r\n\r\n",
    "a bare LF behind the size": b"5\nhello\r\n0\r\n\r\n",
    "a bare CR behind the size": b"5\rhello\r\n0\r\n\r\n",
    "a bare LF in an extension": b"5;a\nb\r\nhello\r\n0\r\n\r\n",
    "NUL in an extension": b"5;\0\r\nhello\r\n0\r\n\r\n",
    "a bare LF behind the content": b"5\r\nhello\n0\r\n\r\n",
    "too little content": b"9\r\nhello\r\n0\r\n\r\n0\r\n\r\n",
    "too much content": b"2\r\nhello\r\n0\r\n\r\n",
    "a bare LF at the end": b"5\r\nhello\r\n0\n\n",
    "a framing field in trailers": b"5\r\nhello\r\n0\r\nContent-Length: 5\r\n\r\n",
    "a coding in trailers": b"5\r\nhello\r\n0\r\nTransfer-Encoding: x\r\n\r\n",
    "no field in trailers": b"5\r\nhello\r\n0\r\nX-A\r\n\r\n",
    "NUL in trailers": b"5\r\nhello\r\n0\r\nX-A: \0\r\n\r\n",
    "a fold in trailers": b"5\r\nhello\r\n0\r\nX-A: 1\r\n 2\r\n\r\n",
    "1025 bytes of extensions": b"5;%b\r\nhello\r\n0\r\n\r\n" % (b"x" * 1024),
    "extensions of many chunks": b"1;%b\r\nx\r\n" % (b"x" * 300) * 4 + b"0\r\n\r\n",
}


def _chunked() -> Iterator[tuple[str, Case]]:
    for name, (raw, body) in _GOOD_CHUNKS.items():
        yield f"chunks: {name}", _chunks(raw, body)
    for name, raw in _BAD_CHUNKS.items():
        yield f"chunks: {name}", _chunks(raw, None)


def _limits() -> Iterator[tuple[str, Case]]:
    """What is as large as a limit passes."""
    line = 8 * 1024
    room = line - len(b"GET  HTTP/1.1")
    target = b"/API/" + b"x" * (room - len(b"/API/"))
    yield "a request line of 8 KiB", Case(build_request(target), 200, sent(target))
    yield "a longer request line", Case(build_request(target + b"x"), 414, None, False)
    value = b"x" * (line - len(b"X-A: "))
    raw = build_request(b"/API/x", (b"X-A", value))
    yield "a line of 8 KiB", Case(raw, 200, sent(b"/API/x", (b"X-A", value)))
    raw = build_request(b"/API/x", (b"X-A", value + b"x"))
    yield "a longer line", Case(raw, 431, None, False)
    fields = [(b"X-%d" % number, b"") for number in range(99)]
    yield "100 fields", Case(build_request(b"/API/x", *fields), 200, sent(b"/API/x", *fields))
    raw = build_request(b"/API/x", *fields, (b"X-A", b""))
    yield "101 fields", Case(raw, 431, None, False)
    lines = [(b"X-%d" % number, b"x" * 8000) for number in range(4)]
    room = 32 * 1024 - len(build_request(b"/API/x", *lines, (b"X-A", b"")))
    for more, status in ((0, 200), (1, 431)):
        last = (b"X-A", b"x" * (room + more))
        expected = sent(b"/API/x", *lines, last) if status == 200 else None
        raw = build_request(b"/API/x", *lines, last)
        yield f"a head of 32 KiB + {more}", Case(raw, status, expected, status == 200)


_REFUSED_AND_KEPT = re.compile(
    r"Host|escape|root|target|query|slash|OPTIONS|TRACE|method|percent|scheme"
)
"""In a message that can be read, these are refused by their meaning: the next one is read."""

_REFUSED_AND_CLOSED = frozenset(
    {
        "NUL in Host",
        "a control byte in the target",
        "NUL in the target",
        "DEL in the target",
        "a control byte in the query",
        "an empty target",
        "a space in the target",
        "an odd method",
    }
)


def _refused() -> Iterator[tuple[str, Case]]:
    """The refusals that all carriers share."""
    for name, (status, raw) in REFUSED.items():
        is_kept = name not in _REFUSED_AND_CLOSED and bool(_REFUSED_AND_KEPT.search(name))
        yield f"refused: {name}", Case(raw, status, None, is_kept)


CASES = {
    name: case
    for cases in (
        _names(),
        _hosts(),
        _fields(),
        _first_lines(),
        _methods(),
        _versions(),
        _content(),
        _chunked(),
        _limits(),
        _refused(),
    )
    for name, case in cases
}


def _send(client: Client, raw: bytes, *, is_whole: bool) -> None:
    if is_whole:
        client.send(raw)
    elif len(raw) < 4 * PIECE_BYTES:
        client.send_slowly(raw, 0.0001)
    else:
        for at in range(0, len(raw), PIECE_BYTES):
            client.send(raw[at : at + PIECE_BYTES])


def _read_final(client: Client, method: bytes) -> Answer:
    answer = client.read_answer(method)
    while answer.status == 100:
        answer = client.read_answer(method)
    return answer


@pytest.mark.parametrize("is_whole", [True, False], ids=["whole", "byte by byte"])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_request(case: Case, is_whole: bool, router: Router, fleet: Fleet) -> None:
    """It has its status, its bytes upstream, and leaves its connection as it should."""
    with router.connect() as client:
        try:
            _send(client, case.raw, is_whole=is_whole)
        except ConnectionError:
            assert not is_whole, "the answer was on its way"
        answer = _read_final(client, case.raw.partition(b" ")[0])
        assert answer.status == case.status, answer.raw
        if case.is_kept:
            assert answer.get(b"Connection") in (None, b"keep-alive")
            assert client.ask(build_request(b"/healthz")).body == b"OK\n"
        else:
            assert answer.get(b"Connection") == b"close"
            client.socket.shutdown(socket.SHUT_WR)
            assert client.is_closed()
    received = re.sub(rb"(X-Request-ID: )[0-9a-f]{24}", rb"\1ID", fleet.pyos.received)
    received = received.replace(b"Port: %d" % router.port, b"Port: PORT")
    received = received.replace(fleet.pyos.authority.encode(), b"UPSTREAM")
    assert received == (case.sent or b"")
    assert not fleet.touched_but(fleet.pyos)


# --- several requests


def _ids(answers: list[Answer]) -> list[int]:
    return [answer.status for answer in answers]


@pytest.mark.parametrize("target", [b"/healthz", b"/API/x", b"/filer/x"])
def test_pipelining(target: bytes, router: Router, fleet: Fleet) -> None:
    """Hundreds in one piece, content among them: as many answers, in order."""
    count = 300
    requests = [
        build_request(target, (b"X-Request-ID", b"%d" % number), body=b"x" * (number % 3) or None)
        for number in range(count)
    ]
    with router.connect() as client:
        client.send(b"".join(requests))
        answers = [client.read_answer() for _ in range(count)]
    statuses = {b"/healthz": 200, b"/API/x": 200, b"/filer/x": 401}
    assert _ids(answers) == [statuses[target]] * count
    if target != b"/API/x":
        assert [answer.get(b"X-Request-ID") for answer in answers] == [
            b"%d" % number for number in range(count)
        ]
    else:
        sent_ids = [request.get(b"X-Request-ID") for request in fleet.pyos.requests]
        assert sent_ids == [b"%d" % number for number in range(count)]


def test_requests_before_the_end_of_the_connection(router: Router, fleet: Fleet) -> None:
    """A client that ends its side after three requests gets three answers, and then the end."""
    with router.connect() as client:
        client.send(build_request(b"/API/x") * 2 + build_request(b"/healthz"))
        client.socket.shutdown(socket.SHUT_WR)
        assert _ids([client.read_answer() for _ in range(3)]) == [200] * 3
        assert client.is_closed()


def test_many_that_end_behind_their_first_request(router: Router) -> None:
    """Each of a rush is answered, whose end came before it was its turn."""
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(router.connect()) for _ in range(300)]
        for client in clients:
            client.send(build_request(b"/healthz"))
            client.socket.shutdown(socket.SHUT_WR)
        assert {client.read_answer().status for client in clients} == {200}
        assert all(client.is_closed() for client in clients)


def test_half_a_request_before_the_end_of_the_connection(router: Router, fleet: Fleet) -> None:
    """What is not whole is not answered, and reaches nobody."""
    for half in (b"GET / HT", build_request(b"/API/x", (b"Content-Length", b"9")) + b"x"):
        with router.connect() as client:
            client.send(build_request(b"/healthz") + half)
            client.socket.shutdown(socket.SHUT_WR)
            assert client.read_answer().status == 200
            assert client.is_closed()
    assert fleet.is_untouched


def test_a_bad_request_behind_a_good_one(router: Router, fleet: Fleet) -> None:
    """The good one is answered first; nothing behind the bad one is read."""
    with router.connect() as client:
        client.send(build_request(b"/API/1") + b"GET bad\r\n\r\n" + build_request(b"/API/2"))
        assert _ids([client.read_answer() for _ in range(2)]) == [200, 400]
        client.socket.shutdown(socket.SHUT_WR)
        assert client.is_closed()
    assert fleet.pyos.request.target == b"/API/1"


def test_requests_behind_the_last_one(router: Router, fleet: Fleet) -> None:
    """Behind a request that closes nothing is read, and its answer arrives in spite of them."""
    with router.connect() as client:
        client.send(build_request(b"/API/1", CLOSE) + build_request(b"/API/2") * 1000)
        assert client.read_answer().status == 200
        assert client.is_closed()
    assert fleet.pyos.request.target == b"/API/1"


def test_refusals_keep_the_connection(router: Router, fleet: Fleet) -> None:
    """A 401 to a request that is whole is no reason to part."""
    with router.connect() as client:
        for _ in range(5):
            assert client.ask(build_request(b"/filer/x")).status == 401
            assert client.ask(build_request(b"/filer/x", method=b"PUT", body=b"x")).status == 401
            assert client.ask(build_request(b"/API/x")).status == 200


# --- answers

_HEAD = b"HTTP/1.1 200 OK\r\n"
_SECURITY = b"X-Frame-Options: SAMEORIGIN\r\nX-XSS-Protection: 1; mode=block\r\n"
_LENGTH = b"Content-Length: 2\r\n"
_CODING = b"Transfer-Encoding: chunked\r\n"


class Passed(NamedTuple):
    """An upstream's answer, and what the client gets of it."""

    raw: bytes
    received: bytes
    method: bytes = b"GET"
    ends: bool = False
    """Whether the upstream closes behind it."""


ANSWERS = {
    "a length": Passed(
        _HEAD + _LENGTH + b"\r\nok",
        _HEAD + _SECURITY + _LENGTH + b"\r\nok",
    ),
    "chunks": Passed(
        _HEAD + _CODING + b"\r\n2;x\r\nok\r\n0\r\nX-A: 1\r\n\r\n",
        _HEAD + _SECURITY + _CODING + b"\r\n2\r\nok\r\n0\r\n\r\n",
    ),
    "until the end": Passed(
        _HEAD + b"\r\nok", _HEAD + _SECURITY + _CODING + b"\r\n2\r\nok\r\n0\r\n\r\n", ends=True
    ),
    "HTTP/1.0": Passed(
        b"HTTP/1.0 200 OK\r\n" + _LENGTH + b"\r\nok",
        _HEAD + _SECURITY + _LENGTH + b"\r\nok",
    ),
    "no reason": Passed(
        b"HTTP/1.1 200\r\n" + _LENGTH + b"\r\nok",
        b"HTTP/1.1 200 \r\n" + _SECURITY + _LENGTH + b"\r\nok",
    ),
    "another reason": Passed(
        b"HTTP/1.1 299 Fa\xe7on\r\n" + _LENGTH + b"\r\nok",
        b"HTTP/1.1 299 Fa\xe7on\r\n" + _SECURITY + _LENGTH + b"\r\nok",
    ),
    "no content": Passed(
        _HEAD + b"Content-Length: 0\r\n\r\n", _HEAD + _SECURITY + b"Content-Length: 0\r\n\r\n"
    ),
    "HEAD with a length": Passed(
        _HEAD + _LENGTH + b"\r\n", _HEAD + _SECURITY + _LENGTH + b"\r\n", b"HEAD"
    ),
    "HEAD with chunks": Passed(_HEAD + _CODING + b"\r\n", _HEAD + _SECURITY + b"\r\n", b"HEAD"),
    "HEAD with content": Passed(
        _HEAD + _LENGTH + b"\r\nok", _HEAD + _SECURITY + _LENGTH + b"\r\n", b"HEAD"
    ),
    "204": Passed(
        b"HTTP/1.1 204 No Content\r\n\r\n", b"HTTP/1.1 204 No Content\r\n" + _SECURITY + b"\r\n"
    ),
    "204 with content": Passed(
        b"HTTP/1.1 204 No Content\r\n" + _LENGTH + b"\r\nok",
        b"HTTP/1.1 204 No Content\r\n" + _SECURITY + b"\r\n",
    ),
    "204 with chunks": Passed(
        b"HTTP/1.1 204 No Content\r\n" + _CODING + b"\r\n2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n" + _SECURITY + b"\r\n",
    ),
    "304 with a length": Passed(
        b"HTTP/1.1 304 Not Modified\r\n" + _LENGTH + b"\r\n",
        b"HTTP/1.1 304 Not Modified\r\n" + _SECURITY + _LENGTH + b"\r\n",
    ),
    "304 with content": Passed(
        b"HTTP/1.1 304 Not Modified\r\n" + _LENGTH + b"\r\nok",
        b"HTTP/1.1 304 Not Modified\r\n" + _SECURITY + _LENGTH + b"\r\n",
    ),
    "connection fields": Passed(
        _HEAD + b"Connection: X-A, keep-alive\r\nX-A: 1\r\nKeep-Alive: x\r\n" + _LENGTH + b"\r\nok",
        _HEAD + _SECURITY + _LENGTH + b"\r\nok",
    ),
    "software": Passed(
        _HEAD + b"Server: x\r\nX-Powered-By: x\r\nX-Accel-Redirect: /x\r\n" + _LENGTH + b"\r\nok",
        _HEAD + _SECURITY + _LENGTH + b"\r\nok",
    ),
    "a second answer behind it": Passed(
        _HEAD + _LENGTH + b"\r\nok" + _HEAD + b"Content-Length: 6\r\n\r\npoison",
        _HEAD + _SECURITY + _LENGTH + b"\r\nok",
    ),
}


@pytest.mark.parametrize("passed", ANSWERS.values(), ids=ANSWERS)
def test_an_answer(passed: Passed, router: Router, fleet: Fleet) -> None:
    """Its framing is written anew, and the next answer on the connection is the next request's."""

    def script(wire: Client, request: object) -> None:
        wire.send(passed.raw)
        if passed.ends:
            wire.close()

    fleet.pyos.play(script)  # type: ignore[arg-type]
    with router.connect() as client:
        answer = client.ask(build_request(b"/API/x", method=passed.method))
        assert answer.raw == passed.received
        assert client.ask(build_request(b"/healthz")).body == b"OK\n"
        fleet.pyos.forget()
        assert client.ask(build_request(b"/API/x")).body == b"pyos"


@pytest.mark.parametrize(
    "line",
    [
        b"Location: /x\rSet-Cookie: a=1",
        b"Location: /x\nSet-Cookie: a=1",
        b"Location: /x\r\n\tSet-Cookie: a=1",
        b"Location: /x\0",
        b"Set-Cookie\r\n: a=1",
    ],
)
def test_a_split_answer(line: bytes, router: Router, fleet: Fleet) -> None:
    """What one reader takes for a field of its own, and another does not, goes to nobody."""
    fleet.pyos.play(b"HTTP/1.1 302 Found\r\n%b\r\nContent-Length: 0\r\n\r\n" % line)
    answer = router.ask(build_request(b"/API/x"))
    assert answer.status == 502
    assert b"a=1" not in answer.raw


@pytest.mark.parametrize("framing", [_CODING + b"\r\n2\r\nok\r\n0\r\n\r\n", b"\r\nok"])
def test_an_old_client(framing: bytes, router: Router, fleet: Fleet) -> None:
    """HTTP/1.0 knows no chunks: its answer ends with the connection."""
    is_chunked = framing.startswith(_CODING)

    def script(wire: Client, request: object) -> None:
        wire.send(_HEAD + framing)
        if not is_chunked:
            wire.close()

    fleet.pyos.play(script)  # type: ignore[arg-type]
    with router.connect() as client:
        client.send(build_request(b"/API/x", KEEP_ALIVE, version=b"HTTP/1.0"))
        assert client.read_to_end() == _HEAD + _SECURITY + b"Connection: close\r\n\r\nok"
