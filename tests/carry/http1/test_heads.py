"""Heads of HTTP/1 messages: what is read from them, and what is refused.

Every sample is read three ways: whole, one byte at a time, and with bytes behind it.
"""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from route_addon.carry.http1.heads import (
    ANSWER_LIMITS,
    REQUEST_LIMITS,
    AnswerReader,
    RawAnswer,
    RawRequest,
    RequestReader,
    parse_fields,
)
from route_addon.core.answers import PlainFields
from route_addon.core.errors import (
    BadAnswer,
    BadField,
    BadFraming,
    BadRequest,
    ExpectationFailed,
    RouteError,
    UnknownTransferCoding,
    UnsupportedVersion,
)
from route_addon.core.framing import CHUNKED, UNTIL_END
from route_addon.core.messages import HTTP_10, HTTP_11, Peer, RequestHead

BEHIND = b"\x00\r\n\r\nGET /next HTTP/1.1\r\n\r\n"
"""What may stand behind a head: it belongs to somebody else, whatever it is."""


def read_request(wire: bytes) -> RawRequest | type[RouteError] | None:
    """What all three ways of reading a request say, which must be the same."""
    verdicts = [_read_whole(wire, b""), _read_dribbled(wire), _read_whole(wire, BEHIND)]
    assert verdicts[0] == verdicts[1] == verdicts[2]
    return verdicts[0]


def _read_whole(wire: bytes, behind: bytes) -> RawRequest | type[RouteError] | None:
    try:
        taken = RequestReader().read(wire + behind)
    except RouteError as error:
        return type(error)
    if taken is None:
        return None
    assert taken[1] == behind
    return taken[0]


def _read_dribbled(wire: bytes) -> RawRequest | type[RouteError] | None:
    reader = RequestReader()
    try:
        for index in range(len(wire)):
            taken = reader.read(wire[index : index + 1])
            if taken is not None:
                assert (index, taken[1]) == (len(wire) - 1, b"")
                assert not reader.has_part
                return taken[0]
            assert reader.has_part
    except RouteError as error:
        return type(error)
    return None


def read_answer(wire: bytes, method: bytes = b"GET") -> RawAnswer | type[RouteError] | None:
    """What all three ways of reading an answer say, which must be the same."""
    verdicts: list[RawAnswer | type[RouteError] | None] = []
    for behind in (b"", BEHIND):
        try:
            taken = AnswerReader().read(wire + behind, method)
        except RouteError as error:
            verdicts.append(type(error))
        else:
            assert taken is not None
            assert taken[1] == behind
            verdicts.append(taken[0])
    reader = AnswerReader()
    try:
        for index in range(len(wire)):
            taken = reader.read(wire[index : index + 1], method)
            assert reader.has_part is (taken is None)
        assert taken is not None
        assert taken[1] == b""
        verdicts.append(taken[0])
    except RouteError as error:
        verdicts.append(type(error))
    assert verdicts[0] == verdicts[1] == verdicts[2]
    return verdicts[0]


def request_with(*lines: bytes, version: bytes = b"HTTP/1.1") -> bytes:
    """A POST with these field lines."""
    return b"\r\n".join((b"POST / " + version, b"Host: desk", *lines, b"", b""))


def answer_with(*lines: bytes, status: bytes = b"200 OK", version: bytes = b"HTTP/1.1") -> bytes:
    """An answer with these field lines."""
    return b"\r\n".join((version + b" " + status, *lines, b"", b""))


GET = b"GET / HTTP/1.1\r\n"

REQUESTS = {
    "no fields": (GET + b"\r\n", RawRequest(b"GET", b"/", HTTP_11, [], 0, True, False)),
    "one field": (
        GET + b"Host: desk\r\n\r\n",
        RawRequest(b"GET", b"/", HTTP_11, [(b"Host", b"desk")], 0, True, False),
    ),
    "names keep their case, fields their order": (
        GET + b"B: 1\r\na: 2\r\nB: 3\r\n\r\n",
        RawRequest(
            b"GET", b"/", HTTP_11, [(b"B", b"1"), (b"a", b"2"), (b"B", b"3")], 0, True, False
        ),
    ),
    "whitespace around values is not theirs, inside it is": (
        GET + b"A:1\r\nB:  2\r\nC:\t3 \t\r\nD: 4 \t 4\r\nE: \t\r\nF:\r\n\r\n",
        RawRequest(
            b"GET",
            b"/",
            HTTP_11,
            [
                (b"A", b"1"),
                (b"B", b"2"),
                (b"C", b"3"),
                (b"D", b"4 \t 4"),
                (b"E", b""),
                (b"F", b""),
            ],
            0,
            True,
            False,
        ),
    ),
    "colons in values": (
        GET + b"A: b: c:d\r\n\r\n",
        RawRequest(b"GET", b"/", HTTP_11, [(b"A", b"b: c:d")], 0, True, False),
    ),
    "every token character": (
        b"!#$%&'*+-.^_`|~0aZ / HTTP/1.1\r\n!#$%&'*+-.^_`|~0aZ: x\r\n\r\n",
        RawRequest(
            b"!#$%&'*+-.^_`|~0aZ",
            b"/",
            HTTP_11,
            [(b"!#$%&'*+-.^_`|~0aZ", b"x")],
            0,
            True,
            False,
        ),
    ),
    "obs-text in target and value": (
        b"GET /\x80\xff HTTP/1.1\r\nA: \x80\xff\r\n\r\n",
        RawRequest(b"GET", b"/\x80\xff", HTTP_11, [(b"A", b"\x80\xff")], 0, True, False),
    ),
    "any target without whitespace": (
        b'GET http://[::1]:80/a?b#c\\"<>^`{|} HTTP/1.1\r\n\r\n',
        RawRequest(b"GET", b'http://[::1]:80/a?b#c\\"<>^`{|}', HTTP_11, [], 0, True, False),
    ),
    "HTTP/1.0": (
        b"HEAD / HTTP/1.0\r\n\r\n",
        RawRequest(b"HEAD", b"/", HTTP_10, [], 0, False, False),
    ),
    "one empty line before": (
        b"\r\n" + GET + b"\r\n",
        RawRequest(b"GET", b"/", HTTP_11, [], 0, True, False),
    ),
    "two empty lines before": (
        b"\r\n\r\n" + GET + b"\r\n",
        RawRequest(b"GET", b"/", HTTP_11, [], 0, True, False),
    ),
}


@pytest.mark.parametrize(("wire", "request_read"), REQUESTS.values(), ids=REQUESTS.keys())
def test_request_is_read(wire: bytes, request_read: RawRequest) -> None:
    """A sound head gives its parts, unchanged."""
    assert request_read == read_request(wire)


REFUSED = {
    "bare LF after the request line": (b"GET / HTTP/1.1\nHost: a\r\n\r\n", BadRequest),
    "bare LF after a field": (GET + b"Host: a\nB: c\r\n\r\n", BadField),
    "bare LF for the empty line": (GET + b"Host: a\r\n\n\r\n\r\n", BadField),
    "bare LF before the request line": (b"\n" + GET + b"\r\n", BadRequest),
    "bare CR in a value": (GET + b"A: b\rc\r\n\r\n", BadField),
    "bare CR before the line's end": (GET + b"A: b\r\r\n\r\n", BadField),
    "bare CR in the target": (b"GET /\ra HTTP/1.1\r\n\r\n", BadRequest),
    "bare CR before the request line": (b"\r" + GET + b"\r\n", BadRequest),
    "bare CR hides a field line": (GET + b"A: b\rjunk\nC: d\r\n\r\n", BadField),
    "NUL in a value": (GET + b"A: b\x00\r\n\r\n", BadField),
    "NUL in a name": (GET + b"A\x00: b\r\n\r\n", BadField),
    "NUL in the target": (b"GET /\x00 HTTP/1.1\r\n\r\n", BadRequest),
    "DEL in a value": (GET + b"A: \x7f\r\n\r\n", BadField),
    "DEL in the target": (b"GET /\x7f HTTP/1.1\r\n\r\n", BadRequest),
    "vertical tab before a value": (GET + b"A:\x0bb\r\n\r\n", BadField),
    "form feed behind a value": (GET + b"A: b\x0c\r\n\r\n", BadField),
    "obs-fold with a space": (GET + b"A: b\r\n c\r\n\r\n", BadField),
    "obs-fold with a tab": (GET + b"A: b\r\n\tc: d\r\n\r\n", BadField),
    "fold before the first field": (GET + b" A: b\r\n\r\n", BadField),
    "whitespace for the empty line": (GET + b"A: b\r\n \r\n\r\n", BadField),
    "space before the colon": (GET + b"A : b\r\n\r\n", BadField),
    "tab before the colon": (GET + b"A\t: b\r\n\r\n", BadField),
    "no colon": (GET + b"A\r\n\r\n", BadField),
    "no colon in the last line": (GET + b"A: b\r\nC\r\n\r\n", BadField),
    "empty name": (GET + b": b\r\n\r\n", BadField),
    "space in a name": (GET + b"A B: c\r\n\r\n", BadField),
    "obs-text in a name": (GET + b"A\xff: c\r\n\r\n", BadField),
    "separators in a name": (GET + b"A(b): c\r\n\r\n", BadField),
    "two spaces after the method": (b"GET  / HTTP/1.1\r\n\r\n", BadRequest),
    "two spaces after the target": (b"GET /  HTTP/1.1\r\n\r\n", BadRequest),
    "tab after the method": (b"GET\t/ HTTP/1.1\r\n\r\n", BadRequest),
    "tab after the target": (b"GET /\tHTTP/1.1\r\n\r\n", BadRequest),
    "tab in the target": (b"GET /a\tb HTTP/1.1\r\n\r\n", BadRequest),
    "space in the target": (b"GET /a b HTTP/1.1\r\n\r\n", BadRequest),
    "space before the method": (b" GET / HTTP/1.1\r\n\r\n", BadRequest),
    "space behind the version": (b"GET / HTTP/1.1 \r\n\r\n", BadRequest),
    "no target": (b"GET HTTP/1.1\r\n\r\n", BadRequest),
    "empty target": (b"GET  HTTP/1.1\r\n\r\n", BadRequest),
    "empty method": (b" / HTTP/1.1\r\n\r\n", BadRequest),
    "method that is no token": (b"G(T / HTTP/1.1\r\n\r\n", BadRequest),
    "three empty lines before": (b"\r\n\r\n\r\n" + GET + b"\r\n", BadRequest),
    "whitespace line before": (b" \r\n" + GET + b"\r\n", BadRequest),
    "only empty lines": (b"\r\n\r\n\r\n\r\n", BadRequest),
    "HTTP/0.9": (b"GET /\r\n\r\n", BadRequest),
    "HTTP/0.9 without an end": (b"GET /\r\n", BadRequest),
    "version in lower case": (b"GET / http/1.1\r\n\r\n", BadRequest),
    "version of two digits": (b"GET / HTTP/1.10\r\n\r\n", BadRequest),
    "version without a minor": (b"GET / HTTP/1\r\n\r\n", BadRequest),
    "version without a dot": (b"GET / HTTP/11\r\n\r\n", BadRequest),
    "version of letters": (b"GET / HTTP/1.x\r\n\r\n", BadRequest),
    "another protocol": (b"GET / RTSP/1.0\r\n\r\n", BadRequest),
    "HTTP/1.2": (b"GET / HTTP/1.2\r\n\r\n", UnsupportedVersion),
    "HTTP/0.9 spelled out": (b"GET / HTTP/0.9\r\n\r\n", UnsupportedVersion),
    "HTTP/3.7": (b"GET / HTTP/3.7\r\n\r\n", UnsupportedVersion),
    "HTTP/2's preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", UnsupportedVersion),
    "an answer": (b"HTTP/1.1 200 OK\r\n\r\n", BadRequest),
    "a TLS handshake": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(32), BadRequest),
    "the first fault counts, version": (b"GET / HTTP/3.7\r\nA\x00\r\n\r\n", UnsupportedVersion),
    "the first fault counts, byte": (b"GET /\x00 HTTP/3.7\r\nA: b\n\r\n", BadRequest),
}


@pytest.mark.parametrize(("wire", "error"), REFUSED.values(), ids=REFUSED.keys())
def test_malformed_request_is_refused(wire: bytes, error: type[RouteError]) -> None:
    """A malformed head is refused in the same words, however it is split."""
    assert error is read_request(wire)


@pytest.mark.parametrize("byte", [b for b in range(256) if b not in b"\t\r\n"])
def test_bytes_of_values(byte: int) -> None:
    """Values hold HTAB, SP, VCHAR and obs-text, and nothing else."""
    is_sound = byte >= 0x20 and byte != 0x7F
    verdict = read_request(GET + b"A: b%bc\r\n\r\n" % bytes([byte]))
    assert isinstance(verdict, RawRequest) if is_sound else verdict is BadField


FRAMED = {
    "nothing": ((), 0),
    "length": ((b"Content-Length: 5",), 5),
    "length of nothing": ((b"Content-Length: 0",), 0),
    "length in any case, with whitespace": ((b"cONTENT-lENGTH:\t 5 \t",), 5),
    "length with leading zeros": ((b"Content-Length: 007",), 7),
    "length among others": ((b"Connection: keep-alive", b"Content-Length: 5"), 5),
    "chunked": ((b"Transfer-Encoding: chunked",), CHUNKED),
    "chunked in any case": ((b"transfer-ENCODING: ChunKED ",), CHUNKED),
    "names that only look like it": (
        (b"Content-Lengths: x", b"X-Content-Length: x", b"Content_Length: x", b"Contens-Length: x"),
        0,
    ),
    "names as long as the true ones": (
        (b"Accept: x", b"User-Agent: x", b"Contens-Length: x", b"Content-Length: 5"),
        5,
    ),
    "two lengths": ((b"Content-Length: 5", b"Content-Length: 6"), BadFraming),
    "the same length twice": ((b"Content-Length: 5", b"content-length: 5"), BadFraming),
    "list of lengths": ((b"Content-Length: 5, 5",), BadFraming),
    "empty length": ((b"Content-Length:",), BadFraming),
    "signed length": ((b"Content-Length: +5",), BadFraming),
    "negative length": ((b"Content-Length: -5",), BadFraming),
    "hexadecimal length": ((b"Content-Length: 0x5",), BadFraming),
    "underscores in the length": ((b"Content-Length: 1_0",), BadFraming),
    "length with a space inside": ((b"Content-Length: 1 0",), BadFraming),
    "digits outside ASCII": ((b"Content-Length: \xb2",), BadFraming),
    "endless length": ((b"Content-Length: " + b"1" * 19,), BadFraming),
    "length and coding": ((b"Content-Length: 5", b"Transfer-Encoding: chunked"), BadFraming),
    "coding and length": ((b"Transfer-Encoding: chunked", b"Content-Length: 5"), BadFraming),
    "bad length and coding": ((b"Content-Length: x", b"Transfer-Encoding: chunked"), BadFraming),
    "space before the colon": ((b"Transfer-Encoding : chunked",), BadField),
    "control byte before chunked": ((b"Transfer-Encoding:\x0bchunked",), BadField),
    "folded chunked": ((b"Transfer-Encoding:\r\n chunked",), BadField),
    "chunked twice": ((b"Transfer-Encoding: chunked, chunked",), UnknownTransferCoding),
    "chunked on two lines": (
        (b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
        UnknownTransferCoding,
    ),
    "identity": ((b"Transfer-Encoding: identity",), UnknownTransferCoding),
    "empty coding": ((b"Transfer-Encoding:",), UnknownTransferCoding),
    "xchunked": ((b"Transfer-Encoding: xchunked",), UnknownTransferCoding),
    "chunkedx": ((b"Transfer-Encoding: chunkedx",), UnknownTransferCoding),
    "quoted": ((b'Transfer-Encoding: "chunked"',), UnknownTransferCoding),
    "chunked with a parameter": ((b"Transfer-Encoding: chunked;q=1",), UnknownTransferCoding),
    "empty element": ((b"Transfer-Encoding: ,chunked",), UnknownTransferCoding),
    "gzip, chunked": ((b"Transfer-Encoding: gzip, chunked",), UnknownTransferCoding),
    "chunked, gzip": ((b"Transfer-Encoding: chunked, gzip",), UnknownTransferCoding),
    "obs-text behind": ((b"Transfer-Encoding: chunked\xa0",), UnknownTransferCoding),
    "obs-text that folds to k": (
        (b"Transfer-Encoding: chun\xe2\x84\xaaed",),
        UnknownTransferCoding,
    ),
}


@pytest.mark.parametrize(("lines", "length"), FRAMED.values(), ids=FRAMED.keys())
def test_request_framing(lines: tuple[bytes, ...], length: int | type[RouteError]) -> None:
    """A request's length is certain, or the request is refused; never is it guessed."""
    verdict = read_request(request_with(*lines))
    assert length == (verdict.length if isinstance(verdict, RawRequest) else verdict)


def test_transfer_encoding_outside_http_11_is_refused() -> None:
    """An HTTP/1.0 message has no transfer coding (RFC 9112 6.1)."""
    wire = request_with(b"Transfer-Encoding: chunked", version=b"HTTP/1.0")
    assert BadFraming is read_request(wire)


KEPT = {
    "1.1": (b"HTTP/1.1", (), True),
    "1.1, close": (b"HTTP/1.1", (b"Connection: close",), False),
    "1.1, close in any case": (b"HTTP/1.1", (b"connection: ClosE",), False),
    "1.1, keep-alive": (b"HTTP/1.1", (b"Connection: keep-alive",), True),
    "1.1, upgrade": (b"HTTP/1.1", (b"Connection: Upgrade",), True),
    "1.1, close in a list": (b"HTTP/1.1", (b"Connection: Upgrade,\tclose ",), False),
    "1.1, close on a second line": (b"HTTP/1.1", (b"Connection: a", b"Connection: close"), False),
    "1.1, close beats keep-alive": (b"HTTP/1.1", (b"Connection: keep-alive, close",), False),
    "1.1, a word like close": (b"HTTP/1.1", (b"Connection: closed, x-close",), True),
    "1.1, empty": (b"HTTP/1.1", (b"Connection:",), True),
    "1.0": (b"HTTP/1.0", (), False),
    "1.0, keep-alive": (b"HTTP/1.0", (b"Connection: keep-alive",), True),
    "1.0, keep-alive in any case": (b"HTTP/1.0", (b"Connection: Keep-Alive",), True),
    "1.0, both": (b"HTTP/1.0", (b"Connection: close, keep-alive",), False),
    "1.0, something else": (b"HTTP/1.0", (b"Connection: upgrade",), False),
    "1.0, Proxy-Connection says nothing": (
        b"HTTP/1.0",
        (b"Proxy-Connection: keep-alive",),
        False,
    ),
}


@pytest.mark.parametrize(("version", "lines", "is_kept"), KEPT.values(), ids=KEPT.keys())
def test_keep_alive(version: bytes, lines: tuple[bytes, ...], is_kept: bool) -> None:
    """Requests and answers say by the same rule whether the connection lives on."""
    request = read_request(request_with(*lines, version=version))
    answer = read_answer(answer_with(*lines, b"Content-Length: 0", version=version))
    assert isinstance(request, RawRequest)
    assert isinstance(answer, RawAnswer)
    assert (is_kept, is_kept) == (request.keep_alive, answer.keep_alive)


EXPECTED = {
    "with content": (b"HTTP/1.1", (b"Content-Length: 1", b"Expect: 100-continue"), True),
    "in any case": (b"HTTP/1.1", (b"Transfer-Encoding: chunked", b"expect: 100-Continue"), True),
    "without content": (b"HTTP/1.1", (b"Expect: 100-continue",), False),
    "HTTP/1.0": (b"HTTP/1.0", (b"Content-Length: 1", b"Expect: 100-continue"), False),
    "no expectation": (b"HTTP/1.1", (b"Content-Length: 1",), False),
    "another": (b"HTTP/1.1", (b"Content-Length: 1", b"Expect: 200-ok"), ExpectationFailed),
    "one more": (b"HTTP/1.1", (b"Expect: 100-continue", b"Expect: x"), ExpectationFailed),
    "a list": (b"HTTP/1.1", (b"Expect: 100-continue, x",), ExpectationFailed),
    "empty": (b"HTTP/1.1", (b"Expect:",), ExpectationFailed),
    "another in HTTP/1.0": (b"HTTP/1.0", (b"Expect: x",), ExpectationFailed),
}


@pytest.mark.parametrize(("version", "lines", "expects"), EXPECTED.values(), ids=EXPECTED.keys())
def test_expect(version: bytes, lines: tuple[bytes, ...], expects: bool | type[RouteError]) -> None:
    """The one known expectation is a fact on the request, any other a 417."""
    verdict = read_request(request_with(*lines, version=version))
    assert expects == (verdict.expects_continue if isinstance(verdict, RawRequest) else verdict)


def test_request_makes_a_request_head() -> None:
    """What was read is what ``core`` asks for, with nothing to convert."""
    taken = RequestReader().read(GET + b"Host: desk\r\n\r\n")
    assert taken is not None
    raw = taken[0]
    head = RequestHead(
        raw.method,
        raw.target,
        raw.version,
        None,
        raw.fields,
        raw.length,
        Peer("192.0.2.1", b"http", 80),
        b"id",
    )
    assert (
        head.method,
        head.target,
        head.fields,
        head.length,
    ) == (b"GET", b"/", [(b"Host", b"desk")], 0)


def test_pipelined_requests_come_one_by_one() -> None:
    """The bytes behind a head are left to the caller, who reads on with them."""
    reader = RequestReader()
    rest: bytes = b"".join(b"GET /%d HTTP/1.1\r\nA: b\r\n\r\n" % n for n in range(3))
    targets = []
    while taken := reader.read(rest):
        request, rest = taken
        targets.append(request.target)
    assert (targets, rest) == ([b"/0", b"/1", b"/2"], b"")
    assert not reader.has_part


def test_reader_is_used_again() -> None:
    """After a head that came in parts, the reader begins anew."""
    reader = RequestReader()
    for _ in range(3):
        assert reader.read(b"GET / HTT") is None
        assert reader.has_part
        assert reader.read(b"P/1.1\r\n\r\nxyz") == (
            RawRequest(b"GET", b"/", HTTP_11, [], 0, True, False),
            b"xyz",
        )
        assert not reader.has_part


def test_nothing_is_nothing() -> None:
    """No bytes begin no head."""
    request_reader, answer_reader = RequestReader(), AnswerReader()
    assert request_reader.read(b"") is None
    assert answer_reader.read(b"", b"GET") is None
    assert not request_reader.has_part
    assert not answer_reader.has_part


ANSWERS = {
    "plain": (
        answer_with(b"Content-Length: 5", b"A: b"),
        RawAnswer(HTTP_11, 200, b"OK", ((b"Content-Length", b"5"), (b"A", b"b")), 5, 5, True),
    ),
    "no reason phrase": (
        answer_with(b"Content-Length: 0", status=b"200 "),
        RawAnswer(HTTP_11, 200, b"", ((b"Content-Length", b"0"),), 0, 0, True),
    ),
    "no space behind the status code": (
        answer_with(b"Content-Length: 0", status=b"200"),
        RawAnswer(HTTP_11, 200, b"", ((b"Content-Length", b"0"),), 0, 0, True),
    ),
    "reason phrase of several words": (
        answer_with(b"Content-Length: 0", status=b"404 Not \t F\xf6und"),
        RawAnswer(HTTP_11, 404, b"Not \t F\xf6und", ((b"Content-Length", b"0"),), 0, 0, True),
    ),
    "lowest status": (
        answer_with(status=b"100 Continue"),
        RawAnswer(HTTP_11, 100, b"Continue", (), 0, None, True),
    ),
    "highest status": (
        answer_with(b"Content-Length: 0", status=b"599 x"),
        RawAnswer(HTTP_11, 599, b"x", ((b"Content-Length", b"0"),), 0, 0, True),
    ),
    "until the end": (
        answer_with(),
        RawAnswer(HTTP_11, 200, b"OK", (), UNTIL_END, None, False),
    ),
    "HTTP/1.0 until the end, in spite of keep-alive": (
        answer_with(b"Connection: keep-alive", version=b"HTTP/1.0"),
        RawAnswer(HTTP_10, 200, b"OK", ((b"Connection", b"keep-alive"),), UNTIL_END, None, False),
    ),
    "padded value": (
        answer_with(b"Content-Length: 5 \t"),
        RawAnswer(HTTP_11, 200, b"OK", ((b"Content-Length", b"5"),), 5, 5, True),
    ),
    "an Expect is nothing to us": (
        answer_with(b"Expect: x", b"Content-Length: 0"),
        RawAnswer(HTTP_11, 200, b"OK", ((b"Expect", b"x"), (b"Content-Length", b"0")), 0, 0, True),
    ),
}


@pytest.mark.parametrize(("wire", "answer"), ANSWERS.values(), ids=ANSWERS.keys())
def test_answer_is_read(wire: bytes, answer: RawAnswer) -> None:
    """A sound answer's head gives its parts, unchanged."""
    read = read_answer(wire)
    assert isinstance(read, RawAnswer)
    assert read._replace(plain=None) == answer


@pytest.mark.parametrize(
    ("lines", "plain"),
    [
        ((b"A: b", b"Content-Length: 5", b"C:d "), b"A: b\r\nC: d"),
        ((b"Connection: close", b"A: b"), b"A: b"),
        ((b"Connection: close", b"A: b", b"Connection: A"), None),
        ((b"Connection: A", b"A: b"), None),
        ((b"A: b", b"Location: /"), None),
        ((), b""),
    ],
)
def test_plain_lines(lines: tuple[bytes, ...], plain: bytes | None) -> None:
    """Lines that are sent by themselves, joined as they are written; none where one is not."""
    read = read_answer(answer_with(*lines))
    assert isinstance(read, RawAnswer)
    expected = None if plain is None else PlainFields(read.fields, plain).lines
    assert (read.plain.lines if read.plain is not None else None) == expected


LENGTH = b"Content-Length: 5"
CODED = b"Transfer-Encoding: chunked"

ANSWER_FRAMING = {
    # id: method, status, field lines; length of the content, Content-Length, keep-alive
    "GET": (b"GET", b"200", (LENGTH,), (5, 5, True)),
    "GET, chunked": (b"GET", b"200", (CODED,), (CHUNKED, None, True)),
    "GET, no length": (b"GET", b"200", (), (UNTIL_END, None, False)),
    "HEAD": (b"HEAD", b"200", (LENGTH,), (0, 5, True)),
    "HEAD, chunked": (b"HEAD", b"200", (CODED,), (0, None, True)),
    "HEAD, no length": (b"HEAD", b"200", (), (0, None, True)),
    "304": (b"GET", b"304", (LENGTH,), (0, 5, True)),
    "304, no length": (b"GET", b"304", (), (0, None, True)),
    "204": (b"GET", b"204", (), (0, None, True)),
    "204 with a length": (b"GET", b"204", (LENGTH,), (0, 5, False)),
    "204 chunked": (b"GET", b"204", (CODED,), (0, None, False)),
    "100": (b"POST", b"100", (), (0, None, True)),
    "103 with a length": (b"GET", b"103", (LENGTH,), (0, 5, False)),
    "101": (b"GET", b"101", (b"Connection: upgrade",), (0, None, True)),
    "205 has a length like any other": (b"GET", b"205", (LENGTH,), (5, 5, True)),
}


@pytest.mark.parametrize(
    ("method", "status", "lines", "framing"), ANSWER_FRAMING.values(), ids=ANSWER_FRAMING.keys()
)
def test_answer_framing(
    method: bytes,
    status: bytes,
    lines: tuple[bytes, ...],
    framing: tuple[int, int | None, bool],
) -> None:
    """Method and status come before the fields (RFC 9112 6.3)."""
    answer = read_answer(answer_with(*lines, status=status), method)
    assert isinstance(answer, RawAnswer)
    assert framing == (answer.length, answer.content_length, answer.keep_alive)


def test_an_answer_that_comes_again() -> None:
    """What is kept of a head counts for that head alone, and not for the answer to a HEAD."""
    reader, known = AnswerReader(), answer_with(LENGTH)
    for method, length in ((b"GET", 5), (b"GET", 5), (b"HEAD", 0), (b"POST", 5)):
        read = reader.read(known + b"hello", method)
        assert read is not None
        assert (read[0].length, read[0].content_length, read[1]) == (length, 5, b"hello")
    read = reader.read(answer_with(b"Content-Length: 6"), b"GET")
    assert read is not None
    assert (read[0].length, read[1]) == (6, b"")


BAD_ANSWERS = {
    "no status line": b"hello\r\n\r\n",
    "HTTP/0.9": b"<html>\r\n</html>\r\n\r\n",
    "empty line first": b"\r\n" + answer_with(LENGTH),
    "another version": answer_with(LENGTH, version=b"HTTP/2.0"),
    "version in lower case": answer_with(LENGTH, version=b"http/1.1"),
    "another protocol": answer_with(LENGTH, version=b"ICY"),
    "two digits": answer_with(LENGTH, status=b"20 OK"),
    "four digits": answer_with(LENGTH, status=b"2000 OK"),
    "status below 100": answer_with(LENGTH, status=b"099 x"),
    "status above 599": answer_with(LENGTH, status=b"600 x"),
    "status of letters": answer_with(LENGTH, status=b"2xx x"),
    "two spaces before the status code": answer_with(LENGTH, status=b" 200 OK"),
    "tab before the reason phrase": answer_with(LENGTH, status=b"200\tOK"),
    "control byte in the reason phrase": answer_with(LENGTH, status=b"200 O\x08K"),
    "bare CR in the reason phrase": answer_with(LENGTH, status=b"200 O\rK"),
    "bare LF": b"HTTP/1.1 200 OK\nContent-Length: 0\n\r\n\r\n",
    "bare LF after a field": b"HTTP/1.1 200 OK\r\nA: b\nContent-Length: 0\r\n\r\n",
    "NUL in a value": answer_with(LENGTH, b"A: \x00"),
    "bare CR in a value": answer_with(LENGTH, b"A: b\rSet-Cookie: c"),
    "obs-fold": answer_with(LENGTH, b"A: b", b" c"),
    "space before the colon": answer_with(b"Content-Length : 5"),
    "no colon": answer_with(LENGTH, b"nonsense"),
    "two lengths": answer_with(LENGTH, b"Content-Length: 6"),
    "the same length twice": answer_with(LENGTH, LENGTH),
    "list of lengths": answer_with(b"Content-Length: 5, 5"),
    "negative length": answer_with(b"Content-Length: -1"),
    "empty length": answer_with(b"Content-Length:"),
    "length and coding": answer_with(LENGTH, CODED),
    "length and coding, for HEAD's sake": answer_with(LENGTH, CODED, status=b"304"),
    "unknown coding": answer_with(b"Transfer-Encoding: gzip"),
    "unknown coding before chunked": answer_with(b"Transfer-Encoding: gzip, chunked"),
    "identity": answer_with(b"Transfer-Encoding: identity"),
    "empty coding": answer_with(b"Transfer-Encoding:"),
    "chunked twice": answer_with(CODED, CODED),
    "chunked in HTTP/1.0": answer_with(CODED, version=b"HTTP/1.0"),
}


@pytest.mark.parametrize("wire", BAD_ANSWERS.values(), ids=BAD_ANSWERS.keys())
def test_malformed_answer_is_refused(wire: bytes) -> None:
    """Whatever is wrong with an upstream's answer is a 502."""
    assert BadAnswer is read_answer(wire)


def test_interim_answers_come_before_the_final_one() -> None:
    """A 1xx is reported, and the next head is in the bytes behind it."""
    reader = AnswerReader()
    rest = answer_with(status=b"100 Continue") + answer_with(status=b"103 Early Hints")
    rest += answer_with(LENGTH) + b"hello"
    statuses = []
    while taken := reader.read(rest, b"POST"):
        answer, rest = taken
        statuses.append(answer.status)
        if answer.status >= 200:
            break
    assert (statuses, rest) == ([100, 103, 200], b"hello")


def test_trailing_fields_are_parsed_like_heads() -> None:
    """``parse_fields`` begins at the LF before the first field line."""
    assert parse_fields(b"0\r\nA: b \r\nC:d\r\n\r\n", 2) == [(b"A", b"b"), (b"C", b"d")]
    assert parse_fields(b"0\r\n\r\n", 2) == []
    assert parse_fields(b"0\r\nA b\r\n\r\n", 2) is None


LINES = st.lists(
    st.sampled_from(
        [
            b"Host: a",
            b"A:",
            b"B: \t",
            b"C: c \xff",
            b"Content-Length: 3",
            b"D : d",
            b" e",
            b"",
            b"F",
            b"Connection: close",
            b"Transfer-Encoding: chunked",
            b"Expect: 100-continue",
            b"g\x00: h",
        ]
    ),
    max_size=6,
)
FIRST_LINES = st.sampled_from(
    [
        b"GET / HTTP/1.1",
        b"GET / HTTP/1.0",
        b"",
        b"GET /",
        b"GET / HTTP/2.0",
        b"HTTP/1.1 200 OK",
        b"HTTP/1.0 304",
        b"HTTP/1.1 204 \x7f",
    ]
)
WIRES = st.binary(max_size=64) | st.builds(
    lambda first, lines, end, rest: end.join([first, *lines, b"", b""]) + rest,
    FIRST_LINES,
    LINES,
    st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r"]),
    st.binary(max_size=8),
)


def _read_in_parts(
    reader: RequestReader | AnswerReader, parts: list[bytes]
) -> tuple[RawRequest | RawAnswer, bytes] | type[RouteError] | None:
    for index, part in enumerate(parts):
        try:
            taken = (
                reader.read(part)
                if isinstance(reader, RequestReader)
                else reader.read(part, b"GET")
            )
        except RouteError as error:
            return type(error)
        if taken is not None:
            return taken[0], taken[1] + b"".join(parts[index + 1 :])
    return None


@given(wire=WIRES, cuts=st.lists(st.integers(0, 80), max_size=5))
def test_verdict_does_not_depend_on_the_split(wire: bytes, cuts: list[int]) -> None:
    """Any bytes give a head, a refusal or a wish for more, and the same however they arrive."""
    edges = [0, *sorted(cuts), len(wire)]
    parts = [wire[a:b] for a, b in itertools.pairwise(edges)]
    for make in (RequestReader, AnswerReader):
        assert _read_in_parts(make(), [wire]) == _read_in_parts(make(), parts)


SECTIONS = [
    b"\r\n",
    b"A: b\r\n\r\n",
    b"Content-Length: 3\r\n\r\n",
    b"Transfer-Encoding: chunked\r\n\r\n",
    b"Connection: close\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n",
    b"A: %b\r\n\r\n" % (b"b" * (REQUEST_LIMITS.quick_bytes - 30)),
]


@given(
    heads=st.lists(
        st.tuples(
            st.sampled_from([GET, b"PUT /a HTTP/1.0\r\n", b"GET /%b HTTP/1.1\r\n" % (b"a" * 60)]),
            st.sampled_from(SECTIONS),
            st.sampled_from([b"", b"abc", b"\r\n", GET + b"\r\n"]),
        ),
        max_size=6,
    )
)
def test_verdict_does_not_depend_on_the_heads_before(
    heads: list[tuple[bytes, bytes, bytes]],
) -> None:
    """Lines that a connection has seen before mean what they mean on a fresh one."""
    reader = RequestReader()
    for line, lines, behind in heads:
        fresh = RequestReader()
        try:
            expected = fresh.read(line + lines + behind)
        except RouteError as error:
            with pytest.raises(type(error)):
                reader.read(line + lines + behind)
            # What is refused ends its connection.
            reader = RequestReader()
        else:
            assert expected == reader.read(line + lines + behind)


def test_the_same_lines_are_read_once() -> None:
    """Where the field lines are those of the head before, so is the list of fields."""
    reader = RequestReader()
    first = reader.read(GET + b"A: b\r\n\r\n")
    again = reader.read(b"HEAD /c HTTP/1.1\r\nA: b\r\n\r\n" + BEHIND)
    assert first is not None and again is not None
    assert again == (first[0]._replace(method=b"HEAD", target=b"/c"), BEHIND)
    assert again[0].fields is first[0].fields


@given(wire=WIRES)
def test_what_is_read_is_clean(wire: bytes) -> None:
    """The readers' promise to the writers: no control byte but HTAB leaves them."""
    for make in (RequestReader, AnswerReader):
        verdict = _read_in_parts(make(), [wire])
        if not isinstance(verdict, tuple):
            continue
        head = verdict[0]
        texts = [text for field in head.fields for text in field]
        texts += [head.method, head.target] if isinstance(head, RawRequest) else [head.reason]
        assert not {byte for text in texts for byte in text} & {*range(9), *range(10, 32), 127}


def test_default_limits() -> None:
    """8 KiB a line, 32 KiB in all, 100 fields; an upstream may send longer lines and more."""
    assert REQUEST_LIMITS == (8192, 32768, 100)
    assert ANSWER_LIMITS == (32768, 32768, 500)
