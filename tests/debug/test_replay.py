"""Reports on recorded decisions."""

from typing import Any

import pytest
from mitmproxy import http

from route_addon.carry.evidence import EVIDENCE
from route_addon.carry.masks.mask import Mask
from route_addon.core.recorded import Recorded
from route_addon.debug.judgement import judge
from route_addon.debug.replay import compare, show
from tests.core.heads import make_router
from tests.hosting import make_flow
from tests.minting import NOW, mint

HIDDEN = Mask().placeholder(b"a-token")


def _flow(target: bytes = b"/x", **changes: Any) -> http.HTTPFlow:
    """A flow with its decision, as the router records it; changes are put over that."""
    flow = make_flow(target, live=False)
    flow.metadata[EVIDENCE] = {"request_id": "as-recorded", "time": NOW}
    recorded = Recorded.of(judge(flow, make_router(), NOW))
    flow.metadata[EVIDENCE]["decision"] = recorded._replace(**changes).to_plain()
    return flow


def test_same() -> None:
    """One line, with where it went."""
    lines = list(compare(_flow(), make_router()).lines(7))
    assert lines == ["same         7  GET /x  / -> website website:80"]


def test_different() -> None:
    """What is gone and what has come, a line each."""
    flow = _flow(b"/x?a", port=8000, fields=(("X-Real-IP", "203.0.113.7"), ("X-Old", "")))
    comparison = compare(flow, make_router())
    lines = list(comparison.lines(12))
    assert lines[0] == "different   12  GET /x?a  / -> website website:8000"
    assert [line.strip() for line in lines[1:4]] == ["- port: 8000", "+ port: 80", "- x-old:"]
    assert "+ x-request-id: as-recorded" in lines[-1]
    assert comparison.describe().startswith("different in port, x-old, x-forwarded-for, ")


def test_decided_otherwise() -> None:
    """Where a request goes nowhere any more, that is all there is to say."""
    flow = _flow()
    flow.request.path = "/filer"
    lines = [line.strip() for line in compare(flow, make_router()).lines(1)]
    assert lines[1:] == ["- / -> website website:80", "+ /filer = 401 token_missing"]


def test_undecided() -> None:
    """A flow without a decision has nothing to be compared with."""
    comparison = compare(make_flow(live=False), make_router())
    assert comparison.differences == []
    assert next(comparison.lines(1)).startswith("undecided    1  GET /  / -> website")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/x", "/x"),
        ("\x1b[2J\n\x9b", "\\x1b[2J\\x0a\\x9b"),
        ("é", "é"),
        ("/container/" + mint().decode(), "/container/[token]"),
        ("?jwt_token=short", "?jwt_token=[token]"),
        ("?jwt_token=" + HIDDEN.decode(), "?jwt_token=" + HIDDEN.decode()),
        ("x" * 501, "x" * 500 + "..."),
        ("\ud800", "?"),
    ],
    ids=range(8),
)
def test_text_of_anybody(text: str, shown: str) -> None:
    """What a terminal would obey is spelt out, what is secret is hidden, what is long is cut."""
    assert show(text) == shown
