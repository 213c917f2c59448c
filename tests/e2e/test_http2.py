"""HTTP/2 over TLS, on the port that speaks HTTP/1 too."""

import contextlib
import ssl
from collections.abc import Iterator

import pytest

from tests.e2e.harness import (
    HOST,
    Field,
    Fleet,
    Http2Client,
    Router,
    StreamRefused,
    build_request,
    check_refusal,
)


@pytest.fixture
def client(router: Router, fleet: Fleet, tls_h2: ssl.SSLContext) -> Iterator[Http2Client]:
    """A connection to the router."""
    with Http2Client(router.address, tls_h2) as client:
        yield client


def test_tls_on_the_same_port(router: Router, fleet: Fleet, tls: ssl.SSLContext) -> None:
    """HTTP/1.1 over TLS is answered as without."""
    with router.connect(tls=tls) as client:
        assert client.ask(build_request(b"/API/x")).body == b"pyos"
        token = (b"ABCAuthorization", fleet.alice.token)
        assert client.ask(build_request(b"/filer", token)).status == 200
        assert client.ask(build_request(b"/filer")).status == 401


def test_upstreams_get_http_1(client: Http2Client, router: Router, fleet: Fleet) -> None:
    """The pseudo-fields become a request line and a Host; cookie crumbs are one line."""
    token = fleet.alice.token
    answer = client.ask(
        b"/filer/x?a=1",
        (b"abcauthorization", token),
        (b"x-request-id", b"id-2"),
        (b"cookie", b"a=1"),
        (b"cookie", b"b=2"),
    )
    assert answer.status == 200
    assert answer.body == f"file_service at {fleet.alice.address}".encode()
    backend = fleet.alice["file_service"]
    lines = [
        b"GET /filer/x?a=1 HTTP/1.1",
        b"Host: " + backend.authority.encode(),
        b"X-Real-IP: 127.0.0.1",
        b"X-Forwarded-For: 127.0.0.1",
        b"X-Forwarded-Proto: https",
        b"X-Forwarded-Host: desk.example",
        b"X-Forwarded-Port: %d" % router.port,
        b"X-Request-ID: id-2",
        b"abcauthorization: " + token,
        b"cookie: a=1; b=2",
        b"",
        b"",
    ]
    assert backend.received == b"\r\n".join(lines)


def test_many_streams(client: Http2Client, fleet: Fleet) -> None:
    """Streams of one connection go to different pods, and refusals stand beside them."""
    streams = []
    for _ in range(5):
        for pod in (fleet.alice, fleet.bob):
            head = client.start(b"/filer", (b"abcauthorization", pod.token))
            streams.append((head, pod.address))
        streams.append((client.start(b"/filer"), "token is required"))
    for stream, text in streams:
        assert text.encode() in client.read_answer(stream).body
    assert len(fleet.alice["file_service"].requests) == 5


@pytest.mark.parametrize("size", [0, 5, 200_000])
def test_content_with_a_length(size: int, client: Http2Client, fleet: Fleet) -> None:
    """It arrives whole."""
    length = (b"content-length", b"%d" % size)
    answer = client.ask(b"/API/x", length, method=b"POST", body=b"x" * size)
    assert answer.status == 200
    assert fleet.pyos.request.body == b"x" * size


@pytest.mark.parametrize("target", [b"/API/x", b"/speedtest/x"])
def test_content_without_a_length_is_never_sent_unframed(
    target: bytes, client: Http2Client, fleet: Fleet
) -> None:
    """What stands in it cannot become a second request to the upstream."""
    smuggled = build_request(b"/API/smuggled")
    answer = client.ask(target, method=b"POST", body=smuggled)
    backend = fleet.pyos if target == b"/API/x" else fleet.speedtest
    if answer.status == 411:
        check_refusal(answer, 411, fleet)
    else:
        assert backend.request.body == smuggled
    assert client.ask(b"/healthz").body == b"OK\n"


def test_a_body_with_get_is_never_sent_unframed(client: Http2Client, fleet: Fleet) -> None:
    """Nor does it when the method usually has no content."""
    smuggled = build_request(b"/API/smuggled")
    answer = client.ask(b"/API/x", body=smuggled)
    assert answer.status in (200, 411)
    assert [request.target for request in fleet.pyos.requests] in ([b"/API/x"], [])
    if fleet.pyos.requests:
        assert fleet.pyos.request.body in (smuggled, b"")


def test_a_refused_upload(client: Http2Client, fleet: Fleet) -> None:
    """It is answered, and the connection goes on."""
    length = (b"content-length", b"300000")
    stream = client.start(b"/filer", length, method=b"POST", ends=False)
    client.send(stream, bytes(60_000))
    client.reset(stream)
    assert fleet.is_untouched
    assert client.ask(b"/healthz").body == b"OK\n"


HEAD: list[Field] = [
    (b":method", b"GET"),
    (b":scheme", b"https"),
    (b":path", b"/API/x"),
    (b":authority", HOST),
]


def _with(*changes: Field) -> list[Field]:
    """The usual head with pseudo-fields changed, and fields behind them."""
    own = dict(change for change in changes if change[0].startswith(b":"))
    head = [(name, own.get(name, value)) for name, value in HEAD]
    return [*head, *(change for change in changes if not change[0].startswith(b":"))]


REFUSED = {
    "a path without a slash": _with((b":path", b"API/x")),
    "an empty path": _with((b":path", b"")),
    "a bad escape": _with((b":path", b"/API/%zz")),
    "above the root": _with((b":path", b"/../API/x")),
    "a control byte in the path": _with((b":path", b"/API/\x01")),
    "a space in the path": _with((b":path", b"/API/x HTTP/1.1\x0d\x0aX: y")),
    "OPTIONS *": _with((b":method", b"OPTIONS"), (b":path", b"*")),
    "a lower-case method": _with((b":method", b"get")),
    "a method with a space": _with((b":method", b"GET /API/smuggled")),
    "TRACE": _with((b":method", b"TRACE")),
    "CONNECT": [(b":method", b"CONNECT"), (b":authority", b"desk.example:80")],
    "no authority": [field for field in HEAD if field[0] != b":authority"],
    "an empty authority": _with((b":authority", b"")),
    "a user in the authority": _with((b":authority", b"u@desk.example")),
    "Host against authority": _with((b"host", b"evil.example")),
    "two Hosts": _with((b"host", HOST), (b"host", HOST)),
    "an upper-case name": _with((b"X-A", b"1")),
    "Connection": _with((b"connection", b"close")),
    "Transfer-Encoding": _with((b"transfer-encoding", b"chunked")),
    "a pseudo-field behind a field": [(b"x-a", b"1"), *HEAD],
    "two paths": [*HEAD, (b":path", b"/API/y")],
    "an unknown pseudo-field": [*HEAD, (b":x", b"y")],
    "NUL in a value": _with((b"x-a", b"a\x00b")),
    "CR LF in a value": _with((b"x-a", b"a\r\nX-Real-IP: 127.0.0.1")),
    "LF in a name": _with((b"x\na", b"b")),
    "a colon in a name": _with((b"x:a", b"b")),
    "two lengths": _with((b"content-length", b"0"), (b"content-length", b"0")),
    "a length that is none": _with((b"content-length", b"+0")),
}


@pytest.mark.parametrize("head", REFUSED.values(), ids=REFUSED)
def test_a_malformed_request(
    head: list[Field],
    client: Http2Client,
    router: Router,
    fleet: Fleet,
    tls_h2: ssl.SSLContext,
) -> None:
    """It is refused by a status, a reset, or the end of the connection; others are served."""
    try:
        answer = client.read_answer(client.start_raw(head))
    except (StreamRefused, ConnectionError):
        assert fleet.is_untouched
    else:
        check_refusal(answer, answer.status, fleet)
        assert answer.status in (400, 405)
    with Http2Client(router.address, tls_h2) as other:
        assert other.ask(b"/API/x").body == b"pyos"


def test_content_that_is_longer_than_its_length(client: Http2Client, fleet: Fleet) -> None:
    """The surplus does not become another request."""
    smuggled = b"hello" + build_request(b"/API/smuggled")
    with contextlib.suppress(StreamRefused):
        client.ask(b"/API/x", (b"content-length", b"5"), method=b"POST", body=smuggled)
    assert b"smuggled" not in fleet.pyos.received


def test_a_websocket_handshake_in_http_2(client: Http2Client, fleet: Fleet) -> None:
    """Upgrade is no field of HTTP/2: no tunnel comes of it."""
    target = b"/websockify?" + fleet.alice.token
    try:
        answer = client.ask(target, (b"upgrade", b"websocket"), (b"sec-websocket-version", b"13"))
    except StreamRefused:
        assert fleet.is_untouched
    else:
        assert answer.status != 101
