"""Recorded flows, decided again at the time they were recorded."""

from typing import Final

from mitmproxy import http

from route_addon.carry.evidence import EVIDENCE
from route_addon.carry.flows import check_head, read_head, read_verdict
from route_addon.carry.request_id import make_request_id
from route_addon.core.errors import RouteError, TokenMissing, TokenRepeated, TokenUnrecorded
from route_addon.core.messages import Decision, Field, RequestHead, Verify
from route_addon.core.router import Router, Verdict
from route_addon.core.targetmap import TargetMap
from route_addon.core.tokens import PLACEHOLDER

_TOKEN_SHAPE: Final = b".".join((b"x" * 16, b"x" * 8, b"x" * 64))
"""Looks like a token, and is none."""

_OF_NO_TOKEN: Final = (TokenMissing, TokenRepeated)
"""Refusals that say nothing of any token, should one be found today."""


def judge(flow: http.HTTPFlow, router: Router, now: float) -> Decision:
    """Decide a recorded flow.

    A verdict that was recorded with it stands: it needs no key. A flow that the router has
    recorded holds placeholders, which nobody can verify; of any other flow the token is verified.
    What a recording says is believed of that recording alone, so the cache in force stays as it
    is.

    Args:
        flow: The recorded flow.
        router: Decides.
        now: The time to judge it at, in seconds since the epoch.
    """
    head = recorded_head(flow)
    try:
        head = check_head(head)
    except RouteError as error:
        return router.refuse(head, error)
    router = Router(router.rules, TargetMap(1, 0))
    decision = router.decide(head, now, recorded_verdict(flow))
    if isinstance(decision, Verify):
        decision = router.decide(head, now, router.verify(decision.token, now))
    return decision


def recorded_head(flow: http.HTTPFlow) -> RequestHead:
    """The request head of a flow that holds placeholders, as it is to be decided again."""
    head = read_head(flow, _recorded_id(flow))
    return head._replace(fields=[_with_token_shape(field) for field in head.fields])


def _with_token_shape(field: Field) -> Field:
    """A Referer is cut where it holds a token, so what stands for one must look like one."""
    name, value = field
    is_referer = name.lower() == b"referer"
    return (name, PLACEHOLDER.sub(_TOKEN_SHAPE, value)) if is_referer else field


def recorded_time(flow: http.HTTPFlow) -> float:
    """When a flow was decided, in seconds since the epoch: where it was edited, after it came."""
    recorded = _said(flow).get("time")
    return recorded if isinstance(recorded, float) else flow.request.timestamp_start


def _said(flow: http.HTTPFlow) -> dict[object, object]:
    evidence = flow.metadata.get(EVIDENCE)
    return evidence if isinstance(evidence, dict) else {}


def _recorded_id(flow: http.HTTPFlow) -> bytes:
    """The identifier that a flow was given; a fresh one where none is known."""
    recorded = _said(flow).get("request_id")
    return recorded.encode("ascii") if isinstance(recorded, str) else make_request_id()


def recorded_verdict(flow: http.HTTPFlow) -> Verdict | None:
    """What is known of a flow's token without looking at it; None where nobody has decided it."""
    verdict = read_verdict(flow)
    is_of_token = verdict is not None and not isinstance(verdict.outcome, _OF_NO_TOKEN)
    if is_of_token or not _said(flow):
        return verdict
    return Verdict(None, TokenUnrecorded())
