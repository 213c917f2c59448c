"""Between mitmproxy's flows and the core's values."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mitmproxy import connection, http

from route_addon.carry.evidence import EVIDENCE, write_evidence
from route_addon.carry.flows import (
    build_response,
    check_head,
    read_head,
    read_peer,
    read_verdict,
)
from route_addon.core.errors import (
    BadField,
    BadFraming,
    BadHost,
    RouteError,
    TargetDenied,
    TokenExpired,
    Unauthorized,
    UnknownTransferCoding,
)
from route_addon.core.framing import CHUNKED, UNTIL_END
from route_addon.core.messages import (
    HTTP_2,
    HTTP_10,
    HTTP_11,
    Decision,
    Field,
    Peer,
    RequestHead,
    Respond,
)
from route_addon.core.router import Verdict
from route_addon.core.targetmap import Verified
from tests.core.heads import decide, make_head, make_router, values
from tests.hosting import CLIENT, HOST, PORT, make_client, make_flow
from tests.minting import NOW, mint

REQUEST_ID = b"made-by-us"
ROUTER = make_router()
TOKEN = mint("10.0.0.1")


def _http2_client() -> connection.Client:
    return make_client(alpn=b"h2")


@pytest.mark.parametrize(
    ("details", "expected"),
    [
        pytest.param({}, Peer(CLIENT, b"http", PORT), id="plain"),
        pytest.param({"timestamp_tls_setup": NOW}, Peer(CLIENT, b"https", PORT), id="TLS"),
        pytest.param(
            {"peername": ("2001:db8::1", 5, 0, 0), "sockname": ("::", 81, 0, 0)},
            Peer("2001:db8::1", b"http", 81),
            id="IPv6",
        ),
        pytest.param(
            {"peername": ("fe80::1%eth0", 5, 0, 2)}, Peer("fe80::1", b"http", PORT), id="zone"
        ),
        pytest.param(
            {"peername": ("::ffff:192.0.2.1", 5, 0, 0)},
            Peer("192.0.2.1", b"http", PORT),
            id="IPv4 in IPv6",
        ),
        pytest.param(
            {"peername": None, "sockname": None}, Peer("0.0.0.0", b"http", 0), id="nobody"
        ),
    ],
)
def test_peer(details: dict[str, Any], expected: Peer) -> None:
    """Who is at the other end, in the one form that networks are compared in."""
    assert expected == read_peer(make_client(**details))


FIELDS: tuple[Field, ...] = ((b"Accept", b"*/*"), (b"X-a", b"1"), (b"X-A", b"\xff"))


@pytest.mark.parametrize("version", [HTTP_11, HTTP_10, b"HTTP/0.9", b"HTTP/3.0"])
def test_http1_head(version: bytes) -> None:
    """As the client sent it: method, target, version, and each field line apart, in order."""
    flow = make_flow(b"/a//b?c", *FIELDS, method=b"PUT", version=version)
    assert read_head(flow, REQUEST_ID) == RequestHead(
        b"PUT",
        b"/a//b?c",
        version,
        None,
        (HOST, *FIELDS),
        0,
        Peer(CLIENT, b"http", PORT),
        REQUEST_ID,
    )


def test_absolute_form() -> None:
    """An absolute-form target is put together again: its authority must agree with Host."""
    flow = make_flow(b"/a?b", authority=b"Other.example:81")
    head = read_head(flow, REQUEST_ID)
    assert head.target == b"http://Other.example:81/a?b"
    assert head.authority is None
    decision = decide(ROUTER, head)
    assert isinstance(decision, Respond)
    assert isinstance(decision.error, BadHost)


def test_http2_head() -> None:
    """HTTP/2's authority stands beside the target, and no Host is needed."""
    client = _http2_client()
    flow = make_flow(b"/a", version=b"HTTP/2.0", authority=b"desk.example", client=client)
    head = read_head(flow, REQUEST_ID)
    assert (head.target, head.version, head.authority) == (b"/a", HTTP_2, b"desk.example")
    assert head.fields == ()
    flow.request.data.authority = b""
    assert read_head(flow, REQUEST_ID).authority is None


def test_http1_that_says_http2() -> None:
    """A request line may say any version; HTTP/2 is what was negotiated."""
    flow = make_flow(b"/a", version=b"HTTP/2.0", authority=b"desk.example")
    head = read_head(flow, REQUEST_ID)
    assert head.version == b"HTTP/2.0"
    assert head.authority is None
    decision = decide(ROUTER, head)
    assert isinstance(decision, Respond)
    assert decision.status == 505


@pytest.mark.parametrize(
    ("version", "fields", "length"),
    [
        (HTTP_11, (), 0),
        (HTTP_11, ((b"content-LENGTH", b"7"),), 7),
        (HTTP_11, ((b"TRANSFER-encoding", b"Chunked"),), CHUNKED),
        (HTTP_10, ((b"Content-Length", b"7"),), 7),
        (HTTP_2, (), UNTIL_END),
        (HTTP_2, ((b"content-length", b"7"),), 7),
    ],
)
def test_lengths(version: bytes, fields: tuple[Field, ...], length: int) -> None:
    """The content's length, once it is certain; nothing else of the head changes."""
    head = make_head(b"/", *fields, version=version)
    assert head._replace(length=length) == check_head(head)


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        (((b"X", b"a\rb"),), BadField),
        (((b"X", b"a\nb"),), BadField),
        (((b"X", b"a\0b"),), BadField),
        (((b"Content-Length", b"7"), (b"content-length", b"7")), BadFraming),
        (((b"Content-Length", b"7"), (b"transfer-encoding", b"chunked")), BadFraming),
        (((b"Transfer-Encoding", b"gzip"),), UnknownTransferCoding),
    ],
)
def test_never_lengths(fields: tuple[Field, ...], error: type[RouteError]) -> None:
    """A head that two readers might understand differently is refused."""
    with pytest.raises(error):
        check_head(make_head(b"/", *fields))


@pytest.mark.parametrize("method", [b"GET", b"POST", b"HEAD"])
@pytest.mark.parametrize("target", [b"/healthz", b"/filer"])
def test_response(method: bytes, target: bytes) -> None:
    """An answer of our own in mitmproxy's form; one to HEAD says the length and holds nothing."""
    decision = decide(ROUTER, make_head(target, method=method))
    assert isinstance(decision, Respond)
    response = build_response(decision, method)
    assert (response.status_code, response.http_version) == (decision.status, "HTTP/1.1")
    assert response.reason == {200: "OK", 401: "Unauthorized"}[decision.status]
    assert response.headers["Content-Length"] == str(len(decision.body))
    assert response.raw_content == (b"" if method == b"HEAD" else decision.body)
    for name, value in decision.fields:
        assert value in [line.encode() for line in response.headers.get_all(name.decode())]


def _decide(target: bytes, *fields: Field) -> Decision:
    return decide(ROUTER, make_head(target, *fields))


def _recorded(decision: Decision) -> http.HTTPFlow:
    """A flow with its evidence, written to a file and read again."""
    flow = make_flow()
    write_evidence(flow, decision, NOW)
    recorded = http.HTTPFlow.from_state(flow.get_state())
    assert isinstance(recorded, http.HTTPFlow)
    return recorded


def test_verdict_of_a_good_token() -> None:
    """A recorded target stands for the token that led to it."""
    flow = _recorded(_decide(b"/filer/x", (b"ABCAuthorization", TOKEN)))
    assert read_verdict(flow) == Verdict(None, Verified("10.0.0.1", NOW + 420))


def _all_refusals(base: type[RouteError]) -> list[type[RouteError]]:
    return [base] + [one for child in base.__subclasses__() for one in _all_refusals(child)]


@pytest.mark.parametrize("error", _all_refusals(Unauthorized), ids=lambda error: error.slug)
def test_verdict_of_a_bad_token(error: type[RouteError]) -> None:
    """Every recorded refusal of a token is that refusal again."""
    verdict = read_verdict(_recorded(ROUTER.refuse(make_head(b"/filer"), error())))
    assert verdict is not None
    assert type(verdict.outcome) is error


@pytest.mark.parametrize(
    "error", [TokenExpired("a detail"), TargetDenied("a detail")], ids=lambda error: error.slug
)
def test_verdict_decides(error: RouteError) -> None:
    """What a recording says decides the request again, whatever its token says now."""
    head = make_head(b"/filer", (b"ABCAuthorization", b"[token]"))
    verdict = read_verdict(_recorded(ROUTER.refuse(head, error)))
    again = make_router().decide(head, NOW, verdict)
    assert isinstance(again, Respond)
    assert type(again.error) is type(error)


METADATA: dict[str, Any] = {
    "nothing": None,
    "no data": "text",
    "empty": {},
    "another upstream": {"upstream": "website", "host": "website", "expires": None},
    "no host": {"upstream": "pod", "expires": NOW},
    "host no text": {"upstream": "pod", "host": 5, "expires": NOW},
    "no expiry": {"upstream": "pod", "host": "10.0.0.1"},
    "expiry no number": {"upstream": "pod", "host": "10.0.0.1", "expires": "x"},
    "no slug": {"status": 200, "slug": None},
    "unknown slug": {"status": 401, "slug": "nosuch"},
    "a slug of another kind": {"status": 404, "slug": "not_found"},
    "slug no text": {"status": 401, "slug": ["token_expired"]},
}


@pytest.mark.parametrize("metadata", METADATA.values(), ids=list(METADATA.keys()))
def test_no_verdict(metadata: Any) -> None:
    """A recording that does not say what became of a token says nothing."""
    flow = make_flow()
    if metadata is not None:
        flow.metadata[EVIDENCE] = metadata
    assert read_verdict(flow) is None


@given(
    st.dictionaries(
        st.sampled_from(["upstream", "host", "expires", "slug"]),
        st.recursive(
            st.one_of(
                st.sampled_from(["pod", "token_expired", "10.0.0.1"]), st.floats(), st.none()
            ),
            lambda inner: st.lists(inner, max_size=2),
        ),
    )
)
def test_any_metadata(metadata: dict[str, Any]) -> None:
    """Any metadata says something or nothing."""
    flow = make_flow()
    flow.metadata[EVIDENCE] = metadata
    verdict = read_verdict(flow)
    assert verdict is None or isinstance(verdict.outcome, Verified | Unauthorized)


@given(st.binary(max_size=30), st.lists(st.tuples(st.binary(min_size=1), st.binary()), max_size=3))
def test_any_head(target: bytes, fields: list[Field]) -> None:
    """Any bytes are a head that can be decided, or a route error."""
    head = read_head(make_flow(target, *fields), REQUEST_ID)
    try:
        head = check_head(head)
    except RouteError:
        return
    decision = decide(ROUTER, head)
    write_evidence(make_flow(), decision, NOW)
    assert values(head.fields, b"host")
