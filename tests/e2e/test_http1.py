"""HTTP/1: connections that are kept, and messages that are refused."""

import contextlib

import pytest

from tests.e2e.harness import (
    Answer,
    Fleet,
    Router,
    build_chunks,
    build_request,
    check_refusal,
)

OWN = (b"Host", b"desk.example")


# --- connections


def test_a_connection_is_kept(router: Router, fleet: Fleet) -> None:
    """One connection serves requests to any upstream, and refusals between them."""
    with router.connect() as client:
        for _ in range(3):
            assert client.ask(build_request(b"/API/x")).body == b"pyos"
            assert client.ask(build_request(b"/filer")).status == 401
            for pod in (fleet.alice, fleet.bob):
                token = (b"ABCAuthorization", pod.token)
                answer = client.ask(build_request(b"/filer", token))
                assert answer.body.decode() == f"file_service at {pod.address}"
            assert client.ask(build_request(b"/healthz")).body == b"OK\n"
    assert len(fleet.pyos.requests) == 3
    assert len(fleet.bob["file_service"].requests) == 3


def test_pipelining(router: Router, fleet: Fleet) -> None:
    """Requests sent in one go are answered in their order, whoever answers them."""
    alice, bob = ((b"ABCAuthorization", pod.token) for pod in (fleet.alice, fleet.bob))
    with router.connect() as client:
        client.send(
            build_request(b"/API/x", method=b"POST", body=b"one")
            + build_request(b"/filer", bob)
            + build_request(b"/filer")
            + build_request(b"/healthz")
            + build_request(b"/filer", alice)
        )
        answers = [client.read_answer() for _ in range(5)]
    assert [answer.status for answer in answers] == [200, 200, 401, 200, 200]
    assert answers[0].body == b"pyos"
    assert answers[1].body.endswith(fleet.bob.address.encode())
    assert answers[3].body == b"OK\n"
    assert answers[4].body.endswith(fleet.alice.address.encode())
    assert fleet.pyos.request.body == b"one"


def test_byte_by_byte(router: Router, fleet: Fleet) -> None:
    """A request may come in any pieces, also right behind another."""
    with router.connect() as client:
        client.send_slowly(build_request(b"/API/1", method=b"POST", body=b"abc") * 2)
        assert [client.read_answer().status for _ in range(2)] == [200, 200]
    assert [request.body for request in fleet.pyos.requests] == [b"abc", b"abc"]


def test_connection_close(router: Router, fleet: Fleet) -> None:
    """A client that says close gets its answer and a closed connection."""
    with router.connect() as client:
        answer = client.ask(build_request(b"/API/x", (b"Connection", b"close")))
        assert answer.body == b"pyos"
        assert client.is_closed()


def test_http_1_0(router: Router, fleet: Fleet) -> None:
    """It needs no Host, the upstream gets HTTP/1.1 and its own name, and the connection ends."""
    with router.connect() as client:
        answer = client.ask(build_request(b"/API/x", version=b"HTTP/1.0", host=None))
        assert answer.body == b"pyos"
        assert client.is_closed()
    request = fleet.pyos.request
    assert request.get(b"Host") == fleet.pyos.authority.encode()
    assert request.get(b"X-Forwarded-Host") is None


def test_http_1_0_kept(router: Router, fleet: Fleet) -> None:
    """A client that asks for it may go on, when the answer says so."""
    request = build_request(b"/API/x", (b"Connection", b"keep-alive"), version=b"HTTP/1.0")
    with router.connect() as client:
        answer = client.ask(request)
        assert answer.body == b"pyos"
        if answer.get(b"Connection") == b"keep-alive":
            assert client.ask(request).body == b"pyos"
        else:
            assert client.is_closed()


def test_a_client_that_leaves(router: Router, fleet: Fleet) -> None:
    """Cut heads and cut bodies do no harm to anybody else."""
    whole = build_request(b"/API/x", method=b"POST", body=b"x" * 1000)
    for length in (1, 10, 40, len(whole) - 500):
        with router.connect() as client:
            client.send(whole[:length])
        with router.connect() as client:
            client.send(whole[:length])
            client.reset()
    assert router.ask(build_request(b"/healthz")).status == 200
    assert fleet.pyos.requests == []


# --- refused messages


def _host(value: bytes) -> bytes:
    return build_request(b"/API/x", host=value)


def _field(name: bytes, value: bytes) -> bytes:
    return build_request(b"/API/x", (name, value))


def _posted(*fields: tuple[bytes, bytes], body: bytes = b"5\r\nhello\r\n0\r\n\r\n") -> bytes:
    """A request with doubtful framing; what another reader takes for a second one follows it."""
    smuggled = build_request(b"/API/smuggled")
    return build_request(b"/API/x", *fields, method=b"POST") + body + smuggled


REFUSED: dict[str, tuple[int, bytes]] = {
    "no Host": (400, build_request(b"/API/x", host=None)),
    "an empty Host": (400, _host(b"")),
    "two Hosts": (400, build_request(b"/API/x", OWN)),
    "two Hosts that differ": (400, build_request(b"/API/x", (b"host", b"evil.example"))),
    "a list in Host": (400, _host(b"desk.example, evil.example")),
    "a space in Host": (400, _host(b"desk example")),
    "a path in Host": (400, _host(b"desk.example/x")),
    "a user in Host": (400, _host(b"evil@desk.example")),
    "a query in Host": (400, _host(b"desk.example?x")),
    "a fragment in Host": (400, _host(b"desk.example#x")),
    "a backslash in Host": (400, _host(b"desk.example\\x")),
    "two dots in Host": (400, _host(b"desk..example")),
    "a star for Host": (400, _host(b"*")),
    "NUL in Host": (400, _host(b"desk\x00.example")),
    "bytes above ASCII in Host": (400, _host(b"desk\xe9.example")),
    "an open bracket in Host": (400, _host(b"[::1")),
    "a zone in Host": (400, _host(b"[fe80::1%25eth0]")),
    "a large port in Host": (400, _host(b"desk.example:65536")),
    "a port in letters in Host": (400, _host(b"desk.example:http")),
    "a Host of 301 letters": (400, _host(b"a" * 301)),
    "NUL in a value": (400, _field(b"X-A", b"a\x00b")),
    "CR in a value": (400, _field(b"X-A", b"a\rb")),
    "CR and a field in a value": (400, _field(b"X-A", b"a\rX-Real-IP: 127.0.0.1")),
    "DEL in a value": (400, _field(b"X-A", b"a\x7fb")),
    "a control byte in a value": (400, _field(b"X-A", b"a\x01b")),
    "a bad escape": (400, build_request(b"/API/%zz")),
    "half an escape": (400, build_request(b"/API/%2")),
    "a lone percent": (400, build_request(b"/API/%")),
    "an IIS escape": (400, build_request(b"/API/%u0041")),
    "an escaped NUL": (400, build_request(b"/API/%00")),
    "above the root": (400, build_request(b"/../API")),
    "above the root later": (400, build_request(b"/API/../../x")),
    "above the root in escapes": (400, build_request(b"/%2e%2E/API")),
    "a control byte in the target": (400, build_request(b"/API/\x01")),
    "NUL in the target": (400, build_request(b"/API/\x00")),
    "DEL in the target": (400, build_request(b"/API/\x7f")),
    "a control byte in the query": (400, build_request(b"/API/x?\x1f")),
    "no slash": (400, build_request(b"API/x")),
    "an empty target": (400, build_request(b"")),
    "a query alone": (400, build_request(b"?x")),
    "OPTIONS *": (400, build_request(b"*", method=b"OPTIONS")),
    "another host in the target": (400, build_request(b"http://evil.example/API/x")),
    "another port in the target": (400, build_request(b"http://desk.example:81/API/x")),
    "a user in the target": (400, build_request(b"http://u@desk.example/API/x")),
    "another scheme": (400, build_request(b"ftp://desk.example/API/x")),
    "TRACE": (405, build_request(b"/API/x", method=b"TRACE")),
    "a lower-case method": (400, build_request(b"/API/x", method=b"get")),
    "an odd method": (400, build_request(b"/API/x", method=b"GE(T")),
    "a method that begins with a dash": (400, build_request(b"/API/x", method=b"-GET")),
    "HTTP/1.2": (505, build_request(b"/API/x", version=b"HTTP/1.2")),
    "HTTP/2.0 in HTTP/1": (505, build_request(b"/API/x", version=b"HTTP/2.0")),
    "HTTP/3.7": (505, build_request(b"/API/x", version=b"HTTP/3.7")),
    "a lower-case version": (400, build_request(b"/API/x", version=b"http/1.1")),
    "no version": (400, b"GET /API/x\r\n\r\n"),
    "a version too long": (400, build_request(b"/API/x", version=b"HTTP/1.10")),
    "a space in the target": (400, build_request(b"/API/x y")),
    "a line without a colon": (
        400,
        b"GET /API/x HTTP/1.1\r\nHost: desk.example\r\nnothing\r\n\r\n",
    ),
    "a field without a name": (400, _field(b"", b"x")),
    "a space before the colon": (400, _field(b"X-A ", b"x")),
    "a space before the first field": (400, b"GET /API/x HTTP/1.1\r\n Host: desk.example\r\n\r\n"),
    # What another reader could take for two requests.
    "a length and chunks": (
        400,
        _posted((b"Content-Length", b"4"), (b"Transfer-Encoding", b"chunked")),
    ),
    "chunks and a length": (
        400,
        _posted((b"Transfer-Encoding", b"chunked"), (b"Content-Length", b"4")),
    ),
    "chunked twice": (
        501,
        _posted((b"Transfer-Encoding", b"chunked"), (b"Transfer-Encoding", b"chunked")),
    ),
    "chunked, chunked": (501, _posted((b"Transfer-Encoding", b"chunked, chunked"))),
    "chunked, identity": (501, _posted((b"Transfer-Encoding", b"chunked, identity"))),
    "gzip, chunked": (501, _posted((b"Transfer-Encoding", b"gzip, chunked"))),
    "identity": (501, _posted((b"Transfer-Encoding", b"identity"))),
    "xchunked": (501, _posted((b"Transfer-Encoding", b"xchunked"))),
    "chunked;": (501, _posted((b"Transfer-Encoding", b"chunked;"))),
    "quoted chunked": (501, _posted((b"Transfer-Encoding", b'"chunked"'))),
    "an empty coding": (501, _posted((b"Transfer-Encoding", b""))),
    "a space behind Transfer-Encoding": (400, _posted((b"Transfer-Encoding ", b"chunked"))),
    "a tab behind Content-Length": (400, _posted((b"Content-Length\t", b"5"), body=b"hello")),
    "two lengths": (400, _posted((b"Content-Length", b"5"), (b"Content-Length", b"6"))),
    "the same length twice": (
        400,
        _posted((b"Content-Length", b"5"), (b"Content-Length", b"5"), body=b"hello"),
    ),
    "a list of lengths": (400, _posted((b"Content-Length", b"5, 5"), body=b"hello")),
    "a sign": (400, _posted((b"Content-Length", b"+5"), body=b"hello")),
    "a negative length": (400, _posted((b"Content-Length", b"-1"), body=b"")),
    "a length in hex": (400, _posted((b"Content-Length", b"0x5"), body=b"hello")),
    "an empty length": (400, _posted((b"Content-Length", b""), body=b"")),
    "two numbers": (400, _posted((b"Content-Length", b"5 5"), body=b"hello")),
    "an underscore in a length": (400, _posted((b"Content-Length", b"1_0"), body=b"hellohello")),
    "digits above ASCII": (400, _posted((b"Content-Length", b"\xef\xbc\x95"), body=b"hello")),
    "chunked in HTTP/1.0": (
        400,
        build_request(
            b"/API/x", (b"Transfer-Encoding", b"chunked"), method=b"POST", version=b"HTTP/1.0"
        )
        + build_chunks(b"hello")
        + build_request(b"/API/smuggled"),
    ),
}

STOCK_SAYS = {
    # mitmproxy refuses these itself, before its hooks can say anything better.
    501: 400,
    505: 400,
}


@pytest.mark.parametrize(("status", "raw"), REFUSED.values(), ids=REFUSED)
def test_a_malformed_request(status: int, raw: bytes, router: Router, fleet: Fleet) -> None:
    """It is refused, whatever follows it on the connection, and no upstream gets a byte."""
    with router.connect() as client:
        client.send(raw)
        answer = client.read_answer()
        check_refusal(answer, answer.status, fleet)
        assert answer.status in (status, STOCK_SAYS.get(status))
        with contextlib.suppress(EOFError, OSError):
            # The connection ends, or what follows is refused as well.
            client.socket.settimeout(0.05)
            while True:
                assert _is_refusal(client.read_answer())
    assert b"smuggled" not in b"".join(backend.received for backend in fleet)


def _is_refusal(answer: Answer) -> bool:
    return answer.status >= 400


def test_connect(router: Router, fleet: Fleet) -> None:
    """The router is no forward proxy."""
    for target in (b"127.0.0.1:%d" % fleet.pyos.port, b"/API/x", b"desk.example:80"):
        answer = router.ask(build_request(target, method=b"CONNECT"))
        check_refusal(answer, answer.status, fleet)
        assert answer.status in (400, 405)


@pytest.mark.parametrize(
    "chunks",
    [
        pytest.param(b"zz\r\nhello\r\n0\r\n\r\n", id="no number"),
        pytest.param(b"-5\r\nhello\r\n0\r\n\r\n", id="a sign"),
        pytest.param(b"0x5\r\nhello\r\n0\r\n\r\n", id="0x"),
        pytest.param(b"5\r\nhelloX\r\n0\r\n\r\n", id="too long"),
        pytest.param(b"6\r\nhello\r\n0\r\n\r\n", id="too short"),
        pytest.param(b"\r\nhello\r\n0\r\n\r\n", id="no size"),
        pytest.param(b"5\rhello\r\n0\r\n\r\n", id="CR alone"),
        pytest.param(b"ffffffffffffffffff\r\nhello\r\n0\r\n\r\n", id="a size past 64 bits"),
    ],
)
def test_malformed_chunks(chunks: bytes, router: Router, fleet: Fleet) -> None:
    """The upstream never gets a request that looks whole."""
    head = build_request(b"/API/x", (b"Transfer-Encoding", b"chunked"), method=b"POST")
    with router.connect() as client:
        client.send(head + chunks)
        client.socket.settimeout(0.5)
        with contextlib.suppress(EOFError, OSError):
            assert client.read_answer().status == 400
    assert fleet.pyos.requests == []


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"GET /API/x HTTP/1.1\nHost: desk.example\n\n", id="LF alone"),
        pytest.param(b"GET\t/API/x\tHTTP/1.1\r\nHost: desk.example\r\n\r\n", id="tabs"),
        pytest.param(b"GET  /API/x  HTTP/1.1\r\nHost: desk.example\r\n\r\n", id="two spaces"),
        pytest.param(
            b"GET /API/x HTTP/1.1\r\nHost: desk.example\r\nX-A: a\r\n b\r\n\r\n", id="a folded line"
        ),
        pytest.param(
            b"GET /API/x HTTP/1.1 \r\nHost: desk.example\r\n\r\n", id="a space at the end"
        ),
    ],
)
def test_a_request_that_can_be_read_in_one_way(raw: bytes, router: Router, fleet: Fleet) -> None:
    """It is refused, or its upstream gets it in the one proper form."""
    answer = router.ask(raw)
    if answer.status == 400:
        check_refusal(answer, 400, fleet)
    else:
        assert fleet.pyos.request.start_line == b"GET /API/x HTTP/1.1"
        received = fleet.pyos.received
        assert received.count(b"\r\n") == received.count(b"\n") == received.count(b"\r")
        assert b"\r\n " not in received and b"\r\n\t" not in received


def test_a_folded_line_hides_nothing(router: Router, fleet: Fleet) -> None:
    """A field that is folded away is not another reader's length."""
    raw = (
        b"POST /API/x HTTP/1.1\r\nHost: desk.example\r\nX-A: a\r\n Transfer-Encoding: chunked\r\n"
        b"Content-Length: 5\r\n\r\nhello"
    )
    answer = router.ask(raw)
    if answer.status == 400:
        check_refusal(answer, 400, fleet)
    else:
        assert fleet.pyos.request.body == b"hello"
        assert b"\r\n " not in fleet.pyos.received


@pytest.mark.parametrize(
    "framing",
    [
        pytest.param(b"Transfer-Encoding: \x0bchunked", id="VT before chunked"),
        pytest.param(b"Transfer-Encoding: chunked\x0b", id="VT behind chunked"),
        pytest.param(b"Transfer-Encoding: \rchunked", id="CR before chunked"),
        pytest.param(b"Transfer-Encoding:\tchunked", id="a tab before chunked"),
        pytest.param(b"Content-Length: \x0b10", id="VT before a length"),
        pytest.param(b"Content-Length: 10\x0c", id="FF behind a length"),
    ],
)
def test_control_bytes_around_a_framing_field(framing: bytes, router: Router, fleet: Fleet) -> None:
    """The request is refused, or its upstream gets them without."""
    head = b"POST /API/x HTTP/1.1\r\nHost: desk.example\r\n%b\r\n\r\n" % framing
    answer = router.ask(head + b"0\r\n\r\nabcde")
    if answer.status == 400:
        check_refusal(answer, 400, fleet)
    else:
        request = fleet.pyos.request
        assert (request.get(b"Transfer-Encoding") or request.get(b"Content-Length")) in (
            b"chunked",
            b"10",
            b"0",  # collected
        )


def test_a_length_that_nobody_can_send(router: Router, fleet: Fleet) -> None:
    """Nothing of it reaches an upstream."""
    length = (b"Content-Length", b"9" * 40)
    with router.connect() as client:
        client.send(build_request(b"/API/x", length, method=b"POST") + b"hello")
        client.socket.settimeout(0.2)
        with contextlib.suppress(TimeoutError):
            check_refusal(client.read_answer(), 400, fleet)
    assert fleet.is_untouched


@pytest.mark.parametrize("size", [9_000, 200_000])
def test_a_head_that_is_large(size: int, router: Router, fleet: Fleet) -> None:
    """It is passed on whole, or refused as too large."""
    for raw, too_large in (
        (build_request(b"/API/x?" + b"a" * size), 414),
        (build_request(b"/API/x", (b"X-A", b"a" * size)), 431),
    ):
        fleet.forget()
        answer = router.ask(raw)
        if answer.status == 200:
            assert b"a" * size in fleet.pyos.received
        else:
            check_refusal(answer, too_large, fleet)
