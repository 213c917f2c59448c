"""The stock carrier: a decision is written into the flow, and an answer mended in it."""

import ipaddress
import logging
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from mitmproxy import http
from mitmproxy.proxy.layers.http import _http1, _http2

from route_addon.carry.evidence import EVIDENCE
from route_addon.carry.guard import Guard
from route_addon.carry.stock import Stock, hide_tokens
from route_addon.carry.upstreams.resolve import Resolver
from route_addon.core.messages import Field, Server
from route_addon.core.router import Router
from route_addon.core.targets import HostSet, TargetPolicy
from tests.core.heads import UPSTREAMS, make_router
from tests.hosting import CLIENT, HOST, answer, make_client, make_flow, make_host
from tests.minting import mint

HTTP_2 = b"HTTP/2.0"


@pytest.fixture(scope="module")
def token() -> bytes:
    """A token that is good now: this carrier reads the clock."""
    return mint("10.0.0.1", now=time.time())


@pytest.fixture
def guard() -> Guard:
    """Who is told of decisions."""
    return Guard()


@pytest.fixture
async def stock(guard: Guard) -> AsyncIterator[Stock]:
    """The carrier, in a mitmproxy that does not listen."""
    make_host()
    resolver = Resolver()
    stock = Stock(guard, resolver)
    yield stock
    stock.close()
    resolver.close()


def _headers(flow: http.HTTPFlow) -> tuple[Field, ...]:
    fields: tuple[Field, ...] = flow.request.data.headers.fields
    return fields


def _refused(flow: http.HTTPFlow) -> tuple[int, str]:
    """Status and slug of a refusal, that has been stamped and takes no body."""
    assert flow.response is not None
    assert flow.request.stream is False
    return flow.response.status_code, flow.metadata[EVIDENCE]["slug"]


async def test_forwarded(stock: Stock, guard: Guard) -> None:
    """The destination and the whole head are what was decided; the body streams."""
    flow = make_flow(b"/a//b/../c?d", (b"Accept", b"*/*"), (b"X-Real-IP", b"192.0.2.9"))
    await stock.send_request(flow, make_router())
    data = flow.request.data
    assert (data.scheme, data.host, data.port) == (b"http", "website", 80)
    assert (data.method, data.path, data.authority) == (b"GET", b"/a/c?d", b"")
    request_id = flow.metadata[EVIDENCE]["request_id"].encode()
    assert _headers(flow) == (
        (b"Host", b"website"),
        (b"X-Real-IP", CLIENT.encode()),
        (b"X-Forwarded-For", CLIENT.encode()),
        (b"X-Forwarded-Proto", b"http"),
        (b"X-Forwarded-Host", HOST[1]),
        (b"X-Forwarded-Port", b"8080"),
        (b"X-Request-ID", request_id),
        (b"Accept", b"*/*"),
    )
    assert flow.request.stream is True
    assert flow.response is None
    assert flow.comment.startswith("/ -> website website:80 · request ")
    guard.requestheaders(flow)
    assert flow.response is None


async def test_forwarded_by_tls(stock: Stock) -> None:
    """An upstream may speak TLS."""
    upstreams = {**UPSTREAMS, "website": (Server(b"https", "website", 443),)}
    flow = make_flow(b"/a")
    await stock.send_request(flow, make_router(upstreams=upstreams))
    assert (flow.request.data.scheme, flow.request.data.port) == (b"https", 443)


async def test_forwarded_to_a_pod(stock: Stock, token: bytes) -> None:
    """A token is verified beside the loop, and remembered."""
    router = make_router()
    for misses in (1, 2):
        flow = make_flow(b"/websockify?jwt_token=" + token)
        await stock.send_request(flow, router)
        data = flow.request.data
        assert (data.host, data.port, data.path) == ("10.0.0.1", 6081, b"/")
        assert token not in data.path
        assert len(router.targets) == 1
        assert router.targets.hits == misses - 1


@pytest.mark.parametrize(
    ("target", "path"),
    [(b"/filer/x", b"/filer/x"), (b"/filer/x?jwt_token=%s&a=b", b"/filer/x?a=b")],
    ids=["header", "header and query"],
)
async def test_tokens_go_on(stock: Stock, token: bytes, target: bytes, path: bytes) -> None:
    """A token in a header goes on to the pod, one in the query does not."""
    filled = target % token if b"%s" in target else target
    flow = make_flow(filled, (b"ABCAuthorization", token))
    await stock.send_request(flow, make_router())
    assert flow.request.data.path == path
    assert (b"ABCAuthorization", token) in _headers(flow)


async def test_answered(stock: Stock, guard: Guard) -> None:
    """An answer of our own is there at once, and nothing streams."""
    flow = make_flow(b"/healthz")
    await stock.send_request(flow, make_router())
    assert flow.response is not None
    assert (flow.response.status_code, flow.response.content) == (200, b"OK\n")
    assert flow.request.stream is False
    response = flow.response
    guard.requestheaders(flow)
    assert flow.response is response


async def test_challenge(stock: Stock, tmp_path: Path) -> None:
    """So is the file of a challenge."""
    folder = tmp_path / ".well-known" / "acme-challenge"
    folder.mkdir(parents=True)
    (folder / "name").write_bytes(b"proof")
    router = make_router(acme_root=str(tmp_path))
    for name, status in ((b"name", 200), (b"nosuch", 404)):
        flow = make_flow(b"/.well-known/acme-challenge/" + name)
        await stock.send_request(flow, router)
        assert flow.response is not None
        assert flow.response.status_code == status


async def test_refused(stock: Stock, guard: Guard, caplog: pytest.LogCaptureFixture) -> None:
    """A refusal is an answer, and one line in the log."""
    caplog.set_level(logging.INFO)
    flow = make_flow(b"/filer")
    await stock.send_request(flow, make_router())
    assert _refused(flow) == (401, "token_missing")
    request_id = flow.metadata[EVIDENCE]["request_id"]
    assert caplog.messages == [f"401 token_missing · /filer · request {request_id}"]
    response = flow.response
    guard.requestheaders(flow)
    assert flow.response is response


REFUSALS: dict[str, tuple[http.HTTPFlow, tuple[int, str]]] = {
    "no token of ours": (
        make_flow(b"/filer", (b"ABCAuthorization", b"x")),
        (401, "token_malformed"),
    ),
    "two lengths": (
        make_flow(b"/", (b"Content-Length", b"5"), (b"Content-Length", b"5")),
        (400, "bad_framing"),
    ),
    "control byte": (make_flow(b"/", (b"X", b"a\rb")), (400, "bad_field")),
    "transfer coding": (
        make_flow(b"/", (b"Transfer-Encoding", b"gzip")),
        (501, "unknown_transfer_coding"),
    ),
    "too large": (
        make_flow(b"/", (b"Content-Length", b"2000000"), method=b"POST"),
        (413, "content_too_large"),
    ),
    "absolute-form of another host": (make_flow(b"/", authority=b"other"), (400, "bad_host")),
    "HTTP/1 that says HTTP/2": (make_flow(b"/", version=HTTP_2), (505, "unsupported_version")),
}


@pytest.mark.parametrize(("flow", "expected"), REFUSALS.values(), ids=list(REFUSALS.keys()))
async def test_refusals(stock: Stock, flow: http.HTTPFlow, expected: tuple[int, str]) -> None:
    """What is wrong with a request is refused, with its status."""
    await stock.send_request(flow, make_router())
    assert expected == _refused(flow)


@pytest.mark.parametrize(
    ("target", "fields", "version", "closes"),
    [
        (b"/filer", (), b"HTTP/1.1", False),
        (b"/healthz", (), b"HTTP/1.1", False),
        (b"/", ((b"Content-Length", b"x"),), b"HTTP/1.1", True),
        (b"/", ((b"Content-Length", b"x"),), HTTP_2, False),
    ],
)
async def test_closing(
    stock: Stock, target: bytes, fields: tuple[Field, ...], version: bytes, closes: bool
) -> None:
    """Where it is not certain where the next request begins, there is none."""
    client = make_client(alpn=b"h2") if version == HTTP_2 else make_client()
    flow = make_flow(target, *fields, version=version, authority=b"", client=client)
    if version == HTTP_2:
        flow.request.data.authority = b"desk.example"
    await stock.send_request(flow, make_router())
    assert flow.response is not None
    assert closes == (flow.response.headers.get("Connection") == "close")


SECRETS: dict[str, Callable[[bytes], http.HTTPFlow]] = {
    "query": lambda token: make_flow(b"/websockify?jwt_token=" + token),
    "whole query": lambda token: make_flow(b"/websockify?" + token),
    "path": lambda token: make_flow(b"/container/" + token + b"/0/x"),
    "header": lambda token: make_flow(b"/nosuch", (b"ABCAuthorization", token), method=b"TRACE"),
    "cookie": lambda token: make_flow(
        b"/filer", (b"Cookie", b"a=b; jwt_token=" + token), method=b"POST"
    ),
    "referer": lambda token: make_flow(b"/filer", (b"Referer", b"http://x/?jwt_token=" + token)),
}


@pytest.mark.parametrize("make", SECRETS.values(), ids=list(SECRETS.keys()))
async def test_no_token_in_a_refused_flow(
    stock: Stock,
    caplog: pytest.LogCaptureFixture,
    make: Callable[[bytes], http.HTTPFlow],
) -> None:
    """A flow that goes nowhere shows no token, nor does the log."""
    caplog.set_level(logging.DEBUG)
    expired = mint("10.0.0.1", now=time.time(), life_s=-5)
    flow = make(expired)
    await stock.send_request(flow, make_router())
    assert flow.response is not None
    for part in expired.split(b"."):
        assert part.decode() not in f"{flow.get_state()} {caplog.text}"


def test_hidden_tokens() -> None:
    """Tokens are taken out of the path and of every field; all else stays."""
    flow = make_flow(b"/a?jwt_token=x&b=c", (b"Cookie", b"jwt_token=x; d=e"), (b"X", b"\xff"))
    hide_tokens(flow)
    assert flow.request.data.path == b"/a?[token]&b=c"
    assert _headers(flow) == (HOST, (b"Cookie", b"[token]; d=e"), (b"X", b"\xff"))


def _http2_flow(method: bytes, *fields: Field) -> http.HTTPFlow:
    return make_flow(
        b"/a",
        *fields,
        method=method,
        version=HTTP_2,
        authority=b"desk.example",
        client=make_client(alpn=b"h2", timestamp_tls_setup=1.0),
    )


@pytest.mark.parametrize("method", [b"POST", b"PUT", b"PATCH", b"PROPFIND"])
async def test_http2_content_without_a_length(stock: Stock, method: bytes) -> None:
    """Content that mitmproxy would send unframed is refused: it would be a second request."""
    flow = _http2_flow(method)
    await stock.send_request(flow, make_router())
    assert _refused(flow) == (411, "length_required")


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"OPTIONS", b"DELETE"])
async def test_http2_without_content(stock: Stock, method: bytes) -> None:
    """A method that has no content sends none, whatever comes."""
    flow = _http2_flow(method)
    await stock.send_request(flow, make_router())
    stream: Any = flow.request.stream
    assert stream(b"GET /second HTTP/1.1\r\n\r\n") == b""
    assert _headers(flow)[0] == (b"Host", b"website")


async def test_http2_content_with_a_length(stock: Stock) -> None:
    """Content whose length is said streams."""
    flow = _http2_flow(b"POST", (b"content-length", b"5"))
    await stock.send_request(flow, make_router())
    assert flow.request.stream is True
    assert (b"content-length", b"5") in _headers(flow)


@pytest.mark.parametrize(
    ("fields", "version", "kept"),
    [
        pytest.param((), b"HTTP/1.1", [], id="none"),
        pytest.param(
            ((b"Content-Length", b"5"),), b"HTTP/1.1", [(b"Content-Length", b"5")], id="length"
        ),
        pytest.param(
            ((b"transfer-encoding", b"chunked"),),
            b"HTTP/1.1",
            [(b"transfer-encoding", b"chunked")],
            id="chunked",
        ),
        pytest.param(
            ((b"Connection", b"close"),), b"HTTP/1.1", [(b"Connection", b"close")], id="close"
        ),
        pytest.param(
            ((b"Connection", b"x"), (b"connection", b"Close")),
            b"HTTP/1.1",
            [(b"Connection", b"close")],
            id="close in another line",
        ),
        pytest.param(((b"Connection", b"keep-alive"),), b"HTTP/1.1", [], id="keep-alive"),
        pytest.param(
            ((b"Connection", b"close, upgrade"),), b"HTTP/1.1", [], id="close and upgrade"
        ),
        pytest.param(
            ((b"Expect", b"100-Continue"),),
            b"HTTP/1.1",
            [(b"Expect", b"100-continue")],
            id="expectation",
        ),
        pytest.param(
            ((b"Expect", b"100-continue"),), b"HTTP/1.0", [], id="expectation of HTTP/1.0"
        ),
        pytest.param(((b"Expect", b"other"),), b"HTTP/1.1", [], id="other expectation"),
        pytest.param(((b"Keep-Alive", b"5"), (b"TE", b"x")), b"HTTP/1.1", [], id="hop by hop"),
    ],
)
async def test_connection_fields(
    stock: Stock, fields: tuple[Field, ...], version: bytes, kept: list[Field]
) -> None:
    """The framing goes on as it came, and what mitmproxy reads of the connection."""
    flow = make_flow(b"/a", *fields, version=version, method=b"POST")
    await stock.send_request(flow, make_router())
    assert flow.response is None
    sent = list(_headers(flow))
    assert kept == sent[[name for name, _ in sent].index(b"X-Request-ID") + 1 :]


LOCALHOST = TargetPolicy(HostSet((), ("localhost",)))
LOOPBACK = TargetPolicy(HostSet((ipaddress.ip_network("127.0.0.0/8"),)))


async def test_name_of_a_pod(stock: Stock, guard: Guard) -> None:
    """A name is resolved here, so that what was checked is what is connected to."""
    token = mint("localhost", now=time.time())
    flow = make_flow(b"/filer", (b"ABCAuthorization", token))
    await stock.send_request(flow, make_router(policy=LOCALHOST))
    assert flow.request.data.host in ("127.0.0.1", "::1")
    assert dict(_headers(flow))[b"Host"] == b"localhost:29783"
    guard.requestheaders(flow)
    assert flow.response is None


async def test_own_listener(stock: Stock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token that names a listener of ours names no pod, unless that is allowed."""
    listening = [("0.0.0.0", 29783), ("::", 29783, 0, 0)]
    monkeypatch.setattr("route_addon.carry.stock.listen_addresses", lambda: listening)
    token = mint("127.0.0.1", now=time.time())
    nothing_is_denied = TargetPolicy()
    nothing_is_denied.deny = HostSet()
    for policy, is_refused in ((nothing_is_denied, True), (LOOPBACK, False)):
        flow = make_flow(b"/filer", (b"ABCAuthorization", token))
        await stock.send_request(flow, make_router(policy=policy))
        assert is_refused == (flow.response is not None)
        if is_refused:
            assert _refused(flow) == (401, "target_denied")


async def test_pod_without_an_address(stock: Stock) -> None:
    """A pod whose name has no address is a 502."""
    token = mint("nosuch.invalid", now=time.time())
    flow = make_flow(b"/filer", (b"ABCAuthorization", token))
    await stock.send_request(flow, make_router())
    assert _refused(flow) == (502, "upstream_unresolved")


async def _forwarded(stock: Stock, target: bytes, *fields: Field, router: Router) -> http.HTTPFlow:
    flow = make_flow(target, *fields)
    await stock.send_request(flow, router)
    assert flow.response is None
    return flow


async def test_mended_answer(stock: Stock) -> None:
    """An upstream's answer loses what tells of it, keeps its framing, and streams."""
    router = make_router()
    flow = await _forwarded(stock, b"/console/x", router=router)
    response = answer(
        flow,
        302,
        (b"Server", b"x"),
        (b"Location", b"http://console/y"),
        (b"Content-Length", b"5"),
        (b"Set-Cookie", b"a=b"),
    )
    stock.send_answer(flow, router)
    assert flow.response is response
    assert response.headers.fields == (
        (b"Location", b"http://desk.example:8080/console/y"),
        (b"Set-Cookie", b"a=b"),
        (b"X-Frame-Options", b"SAMEORIGIN"),
        (b"X-XSS-Protection", b"1; mode=block"),
        (b"Content-Length", b"5"),
    )
    assert response.stream is True


async def test_chunked_answer(stock: Stock) -> None:
    """So does one that is chunked."""
    router = make_router()
    flow = await _forwarded(stock, b"/", router=router)
    response = answer(flow, 200, (b"Transfer-Encoding", b"chunked"))
    stock.send_answer(flow, router)
    assert response.headers.fields[-1] == (b"Transfer-Encoding", b"chunked")


HANDSHAKE: tuple[Field, ...] = ((b"Connection", b"Upgrade"), (b"Upgrade", b"websocket"))


async def test_websocket(stock: Stock, token: bytes) -> None:
    """A handshake that was let through ends in a WebSocket."""
    router = make_router()
    flow = await _forwarded(stock, b"/websockify?" + token, *HANDSHAKE, router=router)
    assert set(HANDSHAKE) <= set(_headers(flow))
    response = answer(flow, 101, *HANDSHAKE, (b"Sec-WebSocket-Accept", b"x"))
    stock.send_answer(flow, router)
    assert response.status_code == 101
    assert set(HANDSHAKE) <= set(response.headers.fields)
    assert response.stream is False


async def test_switch_that_nobody_asked_for(stock: Stock, token: bytes) -> None:
    """Where none was let through, a 101 is no answer: the tunnel behind it would be a way in."""
    router = make_router()
    flow = await _forwarded(
        stock, b"/filer", (b"ABCAuthorization", token), *HANDSHAKE, router=router
    )
    assert b"Upgrade" not in dict(_headers(flow))
    response = answer(flow, 101, *HANDSHAKE)
    stock.send_answer(flow, router)
    assert flow.response is response
    assert (response.status_code, response.reason) == (502, "Bad Gateway")
    assert b"Upgrade" not in dict(response.headers.fields)
    assert dict(response.headers.fields)[b"Content-Length"] == b"0"
    assert dict(response.headers.fields)[b"Connection"] == b"close"


async def test_answers_of_others(stock: Stock) -> None:
    """Our own answers, and those to flows that we did not send, stay as they are."""
    router = make_router()
    own = make_flow(b"/healthz")
    await stock.send_request(own, router)
    foreign = make_flow(b"/")
    answer(foreign, 200, (b"Server", b"x"))
    unanswered = await _forwarded(stock, b"/", router=router)
    for flow in (own, foreign, unanswered):
        before = flow.get_state()
        stock.send_answer(flow, router)
        assert flow.get_state() == before


@pytest.mark.parametrize("module", [_http1, _http2], ids=lambda module: module.__name__)
async def test_error_pages(stock: Stock, module: Any) -> None:
    """mitmproxy's own error pages name no address and no fault."""
    page = module.format_error(502, "connect to 10.0.0.1:6081 refused")
    assert page == b"502 The request could not be carried.\n"


async def test_closed(stock: Stock, token: bytes) -> None:
    """At the end the threads go."""
    stock.close()
    with pytest.raises(RuntimeError):
        await stock.send_request(make_flow(b"/filer", (b"ABCAuthorization", token)), make_router())
