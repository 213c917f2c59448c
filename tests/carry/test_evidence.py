"""What a flow says of its decision: as data, in one line, and by a mark."""

import json
from typing import Any

import pytest
from mitmproxy import connection, flow, flowfilter, http
from mitmproxy.utils import emoji

from route_addon.carry import evidence as module
from route_addon.carry.evidence import (
    ADDON,
    CACHE,
    EVIDENCE,
    UPSTREAM,
    amend_evidence,
    build_evidence,
    choose_mark,
    describe,
    describe_answer,
    keep_evidence,
    measure,
    write_evidence,
)
from route_addon.core.errors import (
    ContentTooLarge,
    InternalError,
    RouteError,
    UnsupportedVersion,
    UpstreamRefused,
)
from route_addon.core.messages import Decision, Field, Forward, Respond, Verify
from tests.core.heads import decide, make_head, make_router
from tests.hosting import answer, make_flow
from tests.minting import NOW, mint

ROUTER = make_router()
TOKEN = mint("10.0.0.1")
OWN: Field = (b"ABCAuthorization", TOKEN)
NOTHING: dict[str, Any] = {
    "time": NOW,
    "request_id": "made-by-us",
    "location": None,
    "upstream": None,
    "host": None,
    "port": None,
    "server": None,
    "token_source": None,
    "token_cached": None,
    "expires": None,
    "status": None,
    "slug": None,
    "detail": None,
    "http_cache": None,
    "edited": False,
    "answered_by": None,
    "timings": {"connect": None, "first_byte": None, "total": None},
}
POD = {
    "location": "/filer",
    "upstream": "pod",
    "host": "10.0.0.1",
    "port": 29783,
    "server": "10.0.0.1:29783",
    "token_source": "header",
    "token_cached": False,
    "expires": NOW + 420,
}


def _decide(target: bytes, *fields: Field, times: int = 1) -> Decision:
    router = make_router()
    for _ in range(times):
        decision = decide(router, make_head(target, *fields))
    return decision


def _refuse(error: RouteError) -> Respond:
    return ROUTER.refuse(make_head(b"/filer"), error)


DECISIONS: dict[str, tuple[Decision, dict[str, object], str]] = {
    "forwarded": (
        _decide(b"/x"),
        {
            "location": "/",
            "upstream": "website",
            "host": "website",
            "port": 80,
            "server": "website:80",
        },
        "/ -> website website:80 · request made-by-us",
    ),
    "forwarded to a pod": (
        _decide(b"/filer/x", OWN),
        POD,
        "/filer -> pod 10.0.0.1:29783 · token from header, verified, 420 s left"
        " · request made-by-us",
    ),
    "forwarded again": (
        _decide(b"/filer/x", (b"Cookie", b"jwt_token=" + TOKEN), times=2),
        {**POD, "token_source": "cookie", "token_cached": True},
        "/filer -> pod 10.0.0.1:29783 · token from cookie, cached, 420 s left · request made-by-us",
    ),
    "answered": (
        _decide(b"/healthz"),
        {"location": "/healthz", "status": 200, "answered_by": "route"},
        "200 answered here · /healthz · request made-by-us",
    ),
    "refused": (
        _decide(b"/filer/x"),
        {"location": "/filer", "status": 401, "slug": "token_missing", "answered_by": "route"},
        "401 token_missing · /filer · request made-by-us",
    ),
    "refused with a token": (
        _decide(b"/filer/x", (b"ABCAuthorization", mint(life_s=-12))),
        {
            "location": "/filer",
            "token_source": "header",
            "status": 401,
            "slug": "token_expired",
            "detail": "expired 12 s ago",
            "answered_by": "route",
        },
        "401 token_expired: expired 12 s ago · token from header · /filer · request made-by-us",
    ),
    "refused without a location": (
        _decide(b"/%zz"),
        {"status": 400, "slug": "bad_target", "detail": "bad escape", "answered_by": "route"},
        "400 bad_target: bad escape · no location · request made-by-us",
    ),
    "not decided yet": (
        Verify(ROUTER.rules.locations.all[0], TOKEN, b"made-by-us"),
        {"location": "/healthz"},
        "/healthz · request made-by-us",
    ),
}


@pytest.mark.parametrize(
    ("decision", "expected", "comment"), DECISIONS.values(), ids=list(DECISIONS.keys())
)
def test_evidence(decision: Decision, expected: dict[str, object], comment: str) -> None:
    """A decision is kept as plain data for a program, and in one line for a person."""
    flow = make_flow()
    write_evidence(flow, decision, NOW)
    evidence = flow.metadata[EVIDENCE]
    assert evidence == {**NOTHING, **expected}
    assert json.loads(json.dumps(evidence)) == evidence
    assert comment == flow.comment
    if isinstance(decision, Respond):
        assert describe_answer(decision) == comment


def test_failure_says_where_the_request_went() -> None:
    """Our answer in the place of the upstream's keeps the way of the decision before it."""
    sent = _decide(b"/filer/x", OWN)
    assert isinstance(sent, Forward)
    failed = ROUTER.refuse(make_head(b"/filer/x"), UpstreamRefused(), sent.location)
    flow = make_flow()
    keep_evidence(flow, build_evidence(failed, NOW, sent))
    evidence = flow.metadata[EVIDENCE]
    expected = {"status": 502, "slug": "upstream_refused", "answered_by": "route"}
    assert evidence == {**NOTHING, **POD, **expected}
    assert flow.comment == (
        "502 upstream_refused · token from header, verified, 420 s left"
        " · /filer -> pod 10.0.0.1:29783 · request made-by-us"
    )


def test_amendments_are_told() -> None:
    """What becomes known later is in the data, the comment and the mark alike."""
    flow = make_flow()
    write_evidence(flow, _decide(b"/x"), NOW)
    answer(flow)
    amend_evidence(flow, answered_by=CACHE, http_cache="route-addon; hit; ttl=9", edited=True)
    assert flow.metadata[EVIDENCE]["http_cache"] == "route-addon; hit; ttl=9"
    assert flow.comment == (
        "/ -> website website:80 · route-addon; hit; ttl=9 · edited · request made-by-us"
    )
    assert flow.marked == module.MARK_FROM_CACHE
    amend_evidence(flow, answered_by=ADDON)
    assert "answered by an addon" in flow.comment


def test_sizes_and_times_are_not_told() -> None:
    """The comment is not written anew for what it says nothing of."""
    flow = make_flow()
    write_evidence(flow, _decide(b"/x"), NOW)
    comment, evidence = flow.comment, flow.metadata[EVIDENCE]
    amend_evidence(flow, **dict.fromkeys(module._UNTOLD, 7))
    assert all(evidence[key] == 7 for key in module._UNTOLD)
    assert describe(evidence) == flow.comment == comment


def test_a_persons_notes_stay() -> None:
    """A comment or a mark that is not ours is left alone."""
    flow = make_flow()
    write_evidence(flow, _decide(b"/x"), NOW)
    answer(flow)
    flow.comment, flow.marked = "look here", ":grapes:"
    amend_evidence(flow, answered_by=UPSTREAM)
    assert (flow.comment, flow.marked) == ("look here", ":grapes:")
    assert flow.metadata[EVIDENCE]["answered_by"] == UPSTREAM


@pytest.mark.parametrize("metadata", [None, "text", []])
def test_evidence_that_is_gone_is_not_amended(metadata: object) -> None:
    """Another addon may have taken it away."""
    flow = make_flow()
    if metadata is not None:
        flow.metadata[EVIDENCE] = metadata
    amend_evidence(flow, answered_by=UPSTREAM)
    assert flow.metadata.get(EVIDENCE) == metadata
    assert (flow.comment, flow.marked) == ("", "")


def _own(error: RouteError) -> dict[str, Any]:
    return build_evidence(_refuse(error), NOW)


@pytest.mark.parametrize(
    ("evidence", "status", "expected"),
    [
        pytest.param(NOTHING, None, "", id="under way"),
        pytest.param({**NOTHING, "answered_by": UPSTREAM}, 200, "✅", id="passed"),
        pytest.param({**NOTHING, "answered_by": UPSTREAM}, 404, "⚠", id="a complaint"),
        pytest.param({**NOTHING, "answered_by": UPSTREAM}, 101, "🔌", id="a WebSocket"),
        pytest.param({**NOTHING, "answered_by": CACHE}, 404, "⚡", id="from the cache"),
        pytest.param({**NOTHING, "answered_by": ADDON}, 200, "✏", id="an addon's"),
        pytest.param(build_evidence(_decide(b"/healthz"), NOW), 200, "🏠", id="our own"),
        pytest.param(build_evidence(_decide(b"/filer"), NOW), 401, "🔒", id="401"),
        pytest.param(_own(ContentTooLarge()), 413, "⛔", id="413"),
        pytest.param(_own(UnsupportedVersion()), 505, "⛔", id="505"),
        pytest.param(_own(UpstreamRefused()), 502, "💥", id="502"),
        pytest.param(_own(InternalError()), 500, "🐞", id="500"),
    ],
)
def test_marks(evidence: dict[str, Any], status: int | None, expected: str) -> None:
    """An emoji by outcome, by a name that mitmproxy knows."""
    flow = make_flow()
    if status is not None:
        answer(flow, status)
    mark = choose_mark(flow, evidence)
    assert emoji.emoji.get(mark, mark) == expected


def test_mark_of_what_was_cut() -> None:
    """However it was answered."""
    cut = make_flow()
    cut.error = flow.Error("the client has gone")
    assert emoji.emoji[choose_mark(cut, {**NOTHING, "answered_by": UPSTREAM})] == "✂"


def test_all_marks_are_known() -> None:
    """To mitmproxy, which shows the name of any other as it is; and to us, as our own."""
    marks = {value for name, value in vars(module).items() if name.startswith("MARK_")}
    assert marks <= set(emoji.emoji)
    assert marks | {""} == module._MARKS


@pytest.mark.parametrize(
    ("expression", "is_found"),
    [
        ("~comment 'token from header, verified'", True),
        ("~comment cached", False),
        ("~meta \"'upstream': 'pod'\"", True),
        ("~meta \"'slug': 'token_expired'\"", False),
        ("~marked", True),
        ("~marker white_check_mark", True),
        ("~marker lock", False),
    ],
)
def test_mitmproxys_filters_find_it(expression: str, is_found: bool) -> None:
    """By comment, by data, and by mark."""
    flow = make_flow()
    write_evidence(flow, _decide(b"/filer/x", OWN), NOW)
    answer(flow)
    amend_evidence(flow, answered_by=UPSTREAM)
    assert bool(flowfilter.match(expression, flow)) is is_found


def _timed(asked: float | None, connected: float | None, answered: float | None) -> http.HTTPFlow:
    flow = make_flow()
    flow.server_conn = connection.Server(address=("10.0.0.1", 1))
    flow.server_conn.timestamp_start, flow.server_conn.timestamp_tcp_setup = asked, connected
    if answered is not None:
        answer(flow).timestamp_start = answered
    return flow


@pytest.mark.parametrize(
    ("asked", "connected", "answered", "expected"),
    [
        pytest.param(NOW + 1, NOW + 3, NOW + 4, (2.0, 4.0), id="a fresh connection"),
        pytest.param(NOW - 9, NOW - 9, NOW + 4, (None, 4.0), id="one that rested"),
        pytest.param(None, None, NOW, (None, 0.0), id="none"),
        pytest.param(NOW, None, None, (None, None), id="one that failed"),
        pytest.param(NOW + 1, NOW + 3, NOW - 60, (2.0, 0.0), id="a clock that was set back"),
    ],
)
def test_times(
    asked: float | None,
    connected: float | None,
    answered: float | None,
    expected: tuple[float | None, float | None],
) -> None:
    """Seconds: of the connect, to the answer's head, and in all."""
    connect, first_byte = expected
    assert measure(_timed(asked, connected, answered), NOW + 7) == {
        "connect": connect,
        "first_byte": first_byte,
        "total": 7.0,
    }


TARGETS = {
    "query": (b"/websockify?jwt_token=" + TOKEN, ()),
    "whole query": (b"/websockify?" + TOKEN, ()),
    "path": (b"/container/" + TOKEN + b"/80/x", ()),
    "header": (b"/filer", (OWN,)),
    "bearer": (b"/filer", ((b"Authorization", b"Bearer " + TOKEN),)),
    "cookie": (b"/filer", ((b"Cookie", b"jwt_token=" + TOKEN),)),
    "bad token": (b"/filer", ((b"ABCAuthorization", TOKEN + b"x"),)),
    "bad target": (b"/filer?jwt_token=" + TOKEN + b"\x01", ()),
}


@pytest.mark.parametrize(("target", "fields"), TARGETS.values(), ids=list(TARGETS.keys()))
def test_no_token_in_evidence(target: bytes, fields: tuple[Field, ...]) -> None:
    """No part of a token is kept."""
    flow = make_flow()
    write_evidence(flow, _decide(target, *fields), NOW)
    kept = f"{flow.metadata} {flow.comment}"
    for part in TOKEN.decode().split("."):
        assert part not in kept
