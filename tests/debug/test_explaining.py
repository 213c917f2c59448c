"""Explanations of flows, and of requests that nobody has sent."""

import re
from typing import Any

import pytest
from mitmproxy import http
from mitmproxy.contentviews import Metadata, registry

from route_addon.carry.evidence import EVIDENCE, keep_evidence, name_server, write_evidence
from route_addon.carry.masks.mask import Mask, Masked
from route_addon.carry.watched.flow import record_decision
from route_addon.core.errors import UpstreamRefused
from route_addon.core.keys import NO_KEYS
from route_addon.core.locations import PREFIX, Location, Locations
from route_addon.core.messages import Field, Server
from route_addon.core.router import Router
from route_addon.core.targetmap import Verified
from route_addon.debug.dry_run import read_request
from route_addon.debug.explaining import read_case
from route_addon.debug.explanation_text import build_explanation
from route_addon.debug.judgement import judge
from route_addon.debug.views.explanation import ExplanationView
from tests.core.heads import UPSTREAMS, decide, make_head, make_router
from tests.hosting import make_flow, make_host
from tests.minting import LIFE_S, NOW, key_pair, mint

TOKEN = mint("10.0.0.1")
OTHER = b"sesame-open-up"
HEADER: Field = (b"ABCAuthorization", TOKEN)
COOKIE: Field = (b"Cookie", b"session=" + OTHER)
MASK = Mask()


def make_live(
    router: Router, *fields: Field, target: bytes = b"/filer/x", **evidence: Any
) -> http.HTTPFlow:
    """A flow as a watched relay leaves it: decided, with placeholders for secrets."""
    flow, masked = make_flow(target, *fields), Masked(MASK)
    decision = decide(router, make_head(target, *fields))
    write_evidence(flow, decision, NOW)
    evidence = {"decision": record_decision(decision, masked), **evidence}
    flow.request.data.path = masked.hide_target(flow.request.data.path)
    flow.request.data.headers = http.Headers(masked.hide_fields(flow.request.data.headers.fields))
    keep_evidence(flow, flow.metadata[EVIDENCE] | evidence)
    return flow


def explain(flow: http.HTTPFlow, router: Router) -> str:
    """The explanation, which holds no secret."""
    text = build_explanation(read_case(flow), router, MASK)
    for secret in (*TOKEN.split(b"."), OTHER):
        assert secret.decode() not in text
    return text


def find_step(text: str, title: str) -> str:
    """What the text says of a step."""
    match = re.search(rf"^. {title} +(.*)$", text, re.MULTILINE)
    assert match is not None, text
    return match[1]


def test_a_live_flow() -> None:
    """A placeholder is not verified: what was found then counts, and it is said so."""
    router = make_router(keys=NO_KEYS)
    timings = {"connect": 0.001, "first_byte": 0.02, "total": 0.1}
    more: dict[str, Any] = {"answered_by": "upstream", "timings": timings}
    flow = make_live(make_router(), HEADER, COOKIE, **more)
    text = explain(flow, router)
    lines = text.split("\n")
    told = "/filer -> pod 10.0.0.1:29783 · token from header, verified, 420 s left"
    assert lines[0] == f"{told} · request made-by-us"
    assert lines[1] == (
        "answered by the upstream, connected in 1.0 ms, first byte after 20.0 ms, "
        "whole after 100.0 ms"
    )
    assert lines[2:4] == ["", "by the rules in force, as of 2023-11-14 22:13:20 UTC"]
    assert find_step(text, "token") == (
        "for 10.0.0.1, 420 s left; verified then; "
        "the flow keeps a placeholder of the token, so it is not verified again"
    )
    assert (
        "what 10.0.0.1:29783 got, with placeholders for secrets:\n  GET /filer/x HTTP/1.1" in text
    )
    token = MASK.placeholder(TOKEN).decode()
    cookie = MASK.placeholder(OTHER).decode()
    assert f"\n  ABCAuthorization: {token}\n  Cookie: session={cookie}" in text
    assert "\n  X-Request-ID: made-by-us\n" in text


def test_a_token_that_was_refused() -> None:
    """Why is told as it is of a token that is there, and the verdict once."""
    stranger = (b"ABCAuthorization", mint("10.0.0.1", signing=key_pair("stranger")))
    text = explain(make_live(make_router(), stranger), make_router())
    assert find_step(text, "token") == (
        "401 token_signature: The desktop token's signature is not valid."
    )
    assert text.count("token_signature") == 2
    assert text.startswith("401 token_signature · ")


def test_a_verdict_is_told_once() -> None:
    """What the cache said of itself, say, changes no decision."""
    more = {"http_cache": "route-addon; hit; ttl=9", "answered_by": "cache", "edited": True}
    text = explain(make_live(make_router(), target=b"/x", **more), make_router())
    first, second, _, rules, after, *_ = text.split("\n")
    assert first == (
        "/ -> website website:80 · route-addon; hit; ttl=9 · edited · request made-by-us"
    )
    assert second == "answered by the HTTP cache"
    assert (rules[-4:], after) == (" UTC", "")


def test_a_token_from_the_cache() -> None:
    """It is said that it came from the cache then."""
    text = explain(make_live(make_router(), HEADER, token_cached=True), make_router())
    assert "; from the cache then; the flow keeps" in find_step(text, "token")


def test_a_token_that_is_still_cached() -> None:
    """Whose placeholder it is can be told, so each check is; another's token does not serve."""
    router = make_router()
    flow = make_live(make_router(), HEADER)
    router.targets.put(mint("10.0.0.1", life_s=9), Verified("10.0.0.1", NOW + 9), NOW)
    assert "token signature" not in explain(flow, router)
    router.targets.put(TOKEN, Verified("10.0.0.1", NOW + LIFE_S), NOW)
    text = explain(flow, router)
    assert find_step(text, "token") == (
        "verified then; it is still in the cache, so its checks are these"
    )
    assert find_step(text, "token signature") == "signing key 1 of 1 made it"
    assert (router.targets.hits, router.targets.misses) == (0, 0)


def test_a_refused_flow() -> None:
    """Why it was refused is told as it was found."""
    expired = (b"ABCAuthorization", mint(life_s=-12))
    text = explain(make_live(make_router(), expired), make_router())
    assert text.startswith("401 token_expired: expired 12 s ago · token from header · /filer · ")
    assert find_step(text, "token") == "401 token_expired: expired 12 s ago"
    assert "with placeholders" not in text


def test_a_flow_that_failed_later() -> None:
    """What became of it comes first, and then the decision."""
    router = make_router()
    flow = make_live(router, target=b"/x")
    answer = router.refuse(make_head(b"/x"), UpstreamRefused())
    keep_evidence(flow, flow.metadata[EVIDENCE] | {"status": 502, "slug": "upstream_refused"})
    assert answer.status == 502
    text = explain(flow, router)
    assert text.startswith("502 upstream_refused · ")
    assert ":\n/ -> website website:80 · " in text
    assert "not what was decided then" not in text
    assert "what website:80 was to get" in text


def test_from_the_http_cache() -> None:
    """What was answered from the cache was not sent."""
    text = explain(make_live(make_router(), target=b"/x", answered_by="cache"), make_router())
    assert "what website:80 would get" in text
    assert "\nanswered by the HTTP cache\n" in text


def test_the_server_of_a_pool() -> None:
    """Of a pool, the server is told that it was sent to."""
    servers = (Server(b"http", "a", 80), Server(b"http", "b", 8080))
    router = make_router(upstreams={**UPSTREAMS, "website": servers})
    more = {"answered_by": "upstream", **name_server(servers[1])}
    text = explain(make_live(router, target=b"/x", **more), router)
    assert "what b:8080 got, with placeholders for secrets:\n  GET /x HTTP/1.1\n" in text
    assert "\n  Host: b:8080\n" in text


@pytest.mark.parametrize(
    ("target", "field", "framing"),
    [
        (b"/x", (b"Content-Length", b"5"), "Content-Length: 5"),
        (b"/x", (b"Transfer-Encoding", b"chunked"), "Content-Length: 7"),
        (b"/speedtest", (b"Transfer-Encoding", b"chunked"), "Transfer-Encoding: chunked"),
    ],
)
def test_framing_of_what_is_sent(target: bytes, field: Field, framing: str) -> None:
    """Content that was collected has a length, however it came; what streams goes as it came."""
    received = 5 if field[0] == b"Content-Length" else 7
    flow = make_live(make_router(), field, target=target, request_bytes=received)
    flow.request.data.method = b"POST"
    assert f"\n  {framing}" in explain(flow, make_router())


def test_rules_that_have_changed() -> None:
    """Where the rules in force say otherwise, both are told."""
    flow = make_live(make_router(), target=b"/x")
    router = make_router(locations=Locations([Location("/x", PREFIX, "pyos")]))
    text = explain(flow, router)
    assert text.startswith("/ -> website website:80 · ")
    assert ":\n/x -> pyos pyos:8000 · " in text
    different = text.partition("\nthis is not what was decided then:\n")[2].split("\n")
    assert "  - location: /" in different
    assert "  + location: /x" in different
    assert "what website:80 was to get" in text


def test_a_placeholder_of_which_nothing_is_known() -> None:
    """It is not taken for a token that is bad."""
    open_then = make_router(locations=Locations([Location("/", PREFIX, "website")]))
    text = explain(make_live(open_then, HEADER), make_router())
    assert ":\n401 token_unrecorded · token from header · " in text


def test_a_recording_with_the_token_in_it() -> None:
    """Where the token is there and a key is, it is verified; and it is shown nowhere."""
    flow = make_flow(b"/filer/x", HEADER, COOKIE, live=False)
    text = explain(flow, make_router())
    assert find_step(text, "token signature") == "signing key 1 of 1 made it"
    assert "would get, with placeholders" in text
    assert "answered by" not in text
    write_evidence(flow, judge(flow, make_router(), NOW), NOW)
    assert find_step(explain(flow, make_router()), "token claims").startswith("420 s left; ")
    without = explain(flow, make_router(keys=NO_KEYS))
    assert find_step(without, "token").endswith("as recorded: there is no key to verify it with")
    assert MASK.placeholder(TOKEN).decode() in without


def test_framing() -> None:
    """A request whose end is not certain is refused before anything is decided."""
    flow = make_flow(b"/x", (b"Content-Length", b"1"), (b"Transfer-Encoding", b"chunked"))
    text = explain(flow, make_router())
    assert text.startswith("400 bad_framing")
    assert "\n✗ framing" in text
    assert "✓" not in text


def test_a_request_that_nobody_sent() -> None:
    """It is decided as of now; nothing is kept of it."""
    router = make_router()
    case = read_request("GET", "https://desk.example/filer/x?a", [])._replace(now=NOW)
    text = build_explanation(case, router, MASK)
    assert text.startswith("401 token_missing · /filer · ")
    assert find_step(text, "client") == "127.0.0.1, which calls us https://desk.example"
    assert text.split("\n")[-1].strip().startswith("looked for in")
    head = case.head._replace(fields=(*case.head.fields, HEADER))
    text = build_explanation(case._replace(head=head), router, MASK)
    assert text.startswith("/filer -> pod 10.0.0.1:29783 · ")
    assert (len(router.targets), router.targets.misses) == (0, 0)
    assert TOKEN.decode() not in text


@pytest.mark.parametrize(
    ("url", "target", "host", "scheme"),
    [
        ("/x?y", b"/x?y", b"localhost", b"http"),
        ("HTTP://desk:81", b"/", b"desk:81", b"http"),
        ("https://desk?y", b"/?y", b"desk", b"https"),
        ("https://desk/é", "/é".encode(), b"desk", b"https"),
        ("", b"/", b"localhost", b"http"),
        ("*", b"*", b"localhost", b"http"),
    ],
)
def test_urls(url: str, target: bytes, host: bytes, scheme: bytes) -> None:
    """A URL says whom it is asked of; what is no URL is taken as the target that it is."""
    head = read_request("GET", url, []).head
    assert (head.target, head.fields, head.peer.scheme) == (target, [(b"Host", host)], scheme)


def test_typed_fields() -> None:
    """A field has a colon; a Host that is typed is the one that counts."""
    lines = ["Host: other", "X-A:1", "Content-Length: 5"]
    head = read_request("POST", "http://desk/", lines).head
    assert head.fields == [(b"Host", b"other"), (b"X-A", b"1"), (b"Content-Length", b"5")]
    with pytest.raises(ValueError, match="'Name: value'"):
        read_request("GET", "/", ["X-A"])


@pytest.fixture
def view() -> ExplanationView:
    """The view, with a router."""
    router = make_router()
    return ExplanationView(lambda: router, MASK)


def answer(flow: http.HTTPFlow) -> Metadata:
    """What mitmproxy says of a flow's answer."""
    flow.response = http.Response.make(401, b"no")
    return Metadata(flow=flow, http_message=flow.response)


async def test_view_is_chosen(view: ExplanationView) -> None:
    """In a user interface, for a refusal of ours and for a request without content."""
    refused = answer(make_live(make_router()))
    passed = answer(make_live(make_router(), HEADER))
    request = Metadata(flow=refused.flow, http_message=make_flow().request)
    host = make_host()
    assert view.render_priority(b"no", refused) < 0
    assert view.render_priority(b"", request) < 0
    host.master.addons.add(_UserInterface())
    assert view.render_priority(b"no", refused) > registry["json"].render_priority(b"no", refused)
    assert view.render_priority(b"no", passed) < 0
    assert view.render_priority(b"no", request) < 0
    assert view.render_priority(b"", request) > registry["query"].render_priority(b"", request)
    assert view.render_priority(b"", Metadata(flow=refused.flow)) < 0


class _UserInterface:
    name = "view"


def test_view(view: ExplanationView) -> None:
    """It shows the explanation, and then the content."""
    metadata = answer(make_live(make_router(), HEADER, COOKIE))
    shown = view.prettify(b"no " + TOKEN, metadata)
    assert shown.startswith("/filer -> pod 10.0.0.1:29783 · ")
    assert "\nthe content:\nno " in shown
    assert TOKEN.split(b".")[1].decode() not in shown
    assert "the content" not in view.prettify(b"", metadata)


def test_view_without_a_router() -> None:
    """It does not pretend."""
    view = ExplanationView(lambda: None, MASK)
    with pytest.raises(ValueError, match="no request"):
        view.prettify(b"", answer(make_flow()))
    with pytest.raises(ValueError, match="no request"):
        ExplanationView(make_router, MASK).prettify(b"", Metadata())


def test_a_cached_token_of_today() -> None:
    """A recording's token that happens to be cached is told to be."""
    router = make_router()
    router.targets.put(TOKEN, Verified("10.0.0.1", NOW + LIFE_S), NOW)
    text = explain(make_flow(b"/filer", HEADER, live=False), router)
    assert find_step(text, "token").startswith("in the cache, so verified before")
