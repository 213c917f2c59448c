"""Recorded flows, decided again at the time they were recorded."""

import logging
from pathlib import Path
from typing import Any

import pytest
from mitmproxy import http

from route_addon.carry.evidence import EVIDENCE, write_evidence
from route_addon.core.errors import TargetDenied, TokenExpired
from route_addon.core.keys import NO_KEYS
from route_addon.core.messages import Field, Forward, Respond
from route_addon.core.router import Router
from route_addon.core.targetmap import Verified
from route_addon.debug.judge import Judge, judge
from tests.core.heads import make_head, make_router
from tests.hosting import make_flow
from tests.minting import NOW, mint

TOKEN = mint("10.0.0.1")
PLACEHOLDER = b"[token]"


def _flow(token: bytes = TOKEN, target: bytes = b"/filer/x", *fields: Field) -> http.HTTPFlow:
    return make_flow(target, (b"ABCAuthorization", token), *fields, live=False)


def _slug(flow: http.HTTPFlow, router: Router) -> str:
    decision = judge(flow, router, NOW)
    assert isinstance(decision, Respond)
    assert decision.error is not None
    return decision.error.slug


def test_token_of_the_recording() -> None:
    """A recording with a real token is judged as the request was, at the time it was made."""
    decision = judge(_flow(), make_router(), NOW)
    assert isinstance(decision, Forward)
    assert decision.server.host == "10.0.0.1"
    assert _slug(_flow(mint(life_s=-1)), make_router()) == "token_expired"
    late = judge(_flow(), make_router(), NOW + 421)
    assert isinstance(late, Respond)


def test_recorded_target() -> None:
    """A verdict that was recorded needs no key, and no token."""
    router = make_router(keys=NO_KEYS)
    assert _slug(_flow(), router) == "token_signature"
    flow = _flow(PLACEHOLDER)
    write_evidence(flow, judge(_flow(), make_router(), NOW), NOW)
    decision = judge(flow, router, NOW)
    assert isinstance(decision, Forward)
    assert decision.server.host == "10.0.0.1"
    assert decision.expires == NOW + 420


@pytest.mark.parametrize("error", [TokenExpired(), TargetDenied()], ids=lambda error: error.slug)
def test_recorded_refusal(error: TokenExpired | TargetDenied) -> None:
    """So does a refusal."""
    router = make_router(keys=NO_KEYS)
    flow = _flow(PLACEHOLDER)
    write_evidence(flow, router.refuse(make_head(b"/filer/x"), error), NOW)
    assert _slug(flow, router) == error.slug


def test_missing_token() -> None:
    """A token that was missing is missing."""
    flow = make_flow(b"/filer/x", live=False)
    write_evidence(flow, judge(_flow(), make_router(), NOW), NOW)
    assert _slug(flow, make_router()) == "token_missing"


def test_cache_in_force() -> None:
    """What a recording says is believed of itself alone, and what we know counts for none."""
    router = make_router(keys=NO_KEYS)
    flow = _flow(TOKEN)
    write_evidence(flow, judge(_flow(), make_router(), NOW), NOW)
    assert isinstance(judge(flow, router, NOW), Forward)
    assert len(router.targets) == 0
    router.targets.put(TOKEN, Verified("10.0.0.1", NOW + 420), NOW)
    assert _slug(_flow(), router) == "token_signature"


def test_bad_head() -> None:
    """A head that is not certain is refused."""
    flow = _flow(TOKEN, b"/filer/x", (b"Content-Length", b"5"), (b"Content-Length", b"6"))
    assert _slug(flow, make_router()) == "bad_framing"


def test_challenge(tmp_path: Path) -> None:
    """The file of a challenge is read as it is now."""
    folder = tmp_path / ".well-known" / "acme-challenge"
    folder.mkdir(parents=True)
    (folder / "name").write_bytes(b"proof")
    flow = make_flow(b"/.well-known/acme-challenge/name", live=False)
    decision = judge(flow, make_router(acme_root=str(tmp_path)), NOW)
    assert isinstance(decision, Respond)
    assert decision.body == b"proof"


def test_hook(caplog: pytest.LogCaptureFixture) -> None:
    """The decision stays with the flow, is told in one line, and changes nothing else."""
    caplog.set_level(logging.INFO)
    router = make_router()
    flow = _flow()
    before: dict[str, Any] = flow.get_state()
    Judge(lambda: router).request(flow)
    assert flow.comment.startswith(
        "/filer -> pod 10.0.0.1:29783 · token from header, verified, 420 s left · request "
    )
    assert flow.metadata[EVIDENCE]["time"] == NOW
    assert caplog.messages == [f"judged: {flow.comment}"]
    after: dict[str, Any] = flow.get_state()
    for changed in ("comment", "metadata"):
        del before[changed], after[changed]
    assert after == before


@pytest.mark.parametrize("live", [True, False])
def test_nothing_to_judge(live: bool) -> None:
    """Live flows are not judged, nor any before there is a configuration."""
    flow = make_flow(live=live)
    Judge(lambda: make_router() if live else None).request(flow)
    assert flow.comment == ""
    assert EVIDENCE not in flow.metadata


def test_fault(caplog: pytest.LogCaptureFixture) -> None:
    """What cannot be judged is logged, without what it holds."""
    flow = _flow()
    flow.client_conn.peername = ("a-secret", 50000)
    Judge(make_router).request(flow)
    assert caplog.text.count("judging failed: ValueError at ") == 1
    assert "a-secret" not in caplog.text
    assert flow.comment == ""


@pytest.mark.parametrize(
    "evidence",
    [
        {"upstream": "pod", "host": "é", "expires": NOW + 5},
        {"upstream": "pod", "host": "x" * 1000, "expires": float("nan")},
        {"upstream": ["pod"], "slug": {}},
        "text",
    ],
    ids=str,
)
def test_any_recording(evidence: Any) -> None:
    """A file that somebody made up ends nothing."""
    flow = _flow(PLACEHOLDER)
    flow.metadata[EVIDENCE] = evidence
    Judge(make_router).request(flow)
