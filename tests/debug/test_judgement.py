"""Flows of a recording, decided again: what is believed of it, and what is not."""

import pytest
from mitmproxy import http

from route_addon.carry.evidence import EVIDENCE, write_evidence
from route_addon.carry.masks.mask import Mask
from route_addon.core.errors import TargetDenied, TokenExpired
from route_addon.core.keys import NO_KEYS
from route_addon.core.messages import Field, Forward, Respond
from route_addon.core.router import Router
from route_addon.core.targetmap import Verified
from route_addon.debug.judgement import judge, recorded_time
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


@pytest.mark.parametrize("slug", ["token_missing", "token_repeated", "not_found", None])
def test_token_that_nobody_has_verified(slug: str | None) -> None:
    """A token that is looked at today, and was not then, is neither good nor bad."""
    flow = _flow(PLACEHOLDER)
    flow.metadata[EVIDENCE] = {"slug": slug}
    assert _slug(flow, make_router()) == "token_unrecorded"


def test_recorded_identifier_and_time() -> None:
    """What was made up for a request is not made up again."""
    flow = _flow()
    assert recorded_time(flow) == NOW
    flow.metadata[EVIDENCE] = {"request_id": "as-recorded", "time": NOW + 5}
    assert judge(flow, make_router(), NOW).request_id == b"as-recorded"
    assert recorded_time(flow) == NOW + 5


@pytest.mark.parametrize("url", [b"http://a/container/%b/80/x", b"http://a/?jwt_token=%b"])
def test_referer(url: bytes) -> None:
    """A Referer is cut for the token in it, whether that is there or hidden."""
    for token in (TOKEN, Mask().placeholder(TOKEN)):
        flow = make_flow(b"/x", (b"Referer", url % token), live=False)
        decision = judge(flow, make_router(), NOW)
        assert isinstance(decision, Forward)
        assert (b"Referer", b"http://a/") in decision.fields
