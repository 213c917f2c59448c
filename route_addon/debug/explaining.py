"""Explanations of flows, and of requests that nobody has sent.

A flow keeps a placeholder in the place of its token. As long as the token is in the cache it is
verified again, as of when the flow was decided. Else it is told what was found then. A flow that
came from elsewhere, with the token in it, is verified where there are keys.
"""

from typing import Final, NamedTuple

from mitmproxy import http

from route_addon.carry.evidence import EVIDENCE, Evidence
from route_addon.carry.flows import check_head
from route_addon.carry.masks.mask import Mask, Masked
from route_addon.core.errors import RouteError
from route_addon.core.explain import Explanation, explain
from route_addon.core.inspection import inspect_token
from route_addon.core.messages import RequestHead
from route_addon.core.recorded import BadRecord, Recorded
from route_addon.core.router import Router, Verdict
from route_addon.core.steps import Step
from route_addon.core.tokens import PLACEHOLDER
from route_addon.core.witness import Known
from route_addon.core.wording import describe_error
from route_addon.debug.judgement import recorded_head, recorded_time, recorded_verdict
from route_addon.debug.recording import read_recorded

_AS_RECORDED: Final = "as recorded: there is no key to verify it with"
_STILL_THERE: Final = "it is still in the cache, so its checks are these"
_NOT_AGAIN: Final = "the flow keeps a placeholder of the token, so it is not verified again"


class Case(NamedTuple):
    """A request to explain."""

    head: RequestHead
    fault: RouteError | None
    """Why the head cannot be decided: its end is not certain, say."""
    now: float
    """The time to judge it at, in seconds since the epoch."""
    evidence: Evidence
    """What became of it; empty where nothing has."""
    verdict: Verdict | None = None
    """What is known of its token without looking at it."""
    recorded: Recorded | None = None
    """The decision that was taken then."""


def read_case(flow: http.HTTPFlow) -> Case:
    """The request of a flow, live, ended or recorded."""
    found = flow.metadata.get(EVIDENCE)
    try:
        recorded = read_recorded(flow)
    except BadRecord:
        recorded = None
    return Case(
        *examine(recorded_head(flow)),
        recorded_time(flow),
        found if isinstance(found, dict) else {},
        recorded_verdict(flow),
        recorded,
    )


def examine(head: RequestHead) -> tuple[RequestHead, RouteError | None]:
    """A head that nobody has checked, with its length; or what is wrong with it."""
    try:
        return check_head(head), None
    except RouteError as error:
        return head, error


def explain_case(case: Case, router: Router, mask: Mask) -> Explanation:
    """Decide a request by the rules in force, and say why.

    Args:
        case: The request.
        router: The router in force.
        mask: Makes the placeholders.
    """
    if case.fault is not None:
        step = Step("framing", "refused", describe_error(case.fault))
        return Explanation(router.refuse(case.head, case.fault), (step,))
    return explain(router, case.head, case.now, Masked(mask), _find_known(case, router, mask))


def _find_known(case: Case, router: Router, mask: Mask) -> Known | None:
    """What is known of the token without looking at it; None where it is there to look at."""
    if case.verdict is None:
        return None
    values = [case.head.target, *(value for _, value in case.head.fields)]
    placeholders = {found for value in values for found in PLACEHOLDER.findall(value)}
    if not placeholders:
        return None if router.rules.keys.signing else Known(_detail(case), _AS_RECORDED)
    was = "from the cache then" if case.evidence.get("token_cached") else "verified then"
    for token in router.targets.tokens_of(str(case.evidence.get("host"))):
        if mask.placeholder(token) in placeholders:
            found = inspect_token(router.rules, token, case.now)
            return Known(Verdict(None, found.outcome), f"{was}; {_STILL_THERE}", found.steps)
    return Known(_detail(case), f"{was}; {_NOT_AGAIN}")


def _detail(case: Case) -> Verdict:
    """What is known of a token: of a refusal, what was told of it too."""
    assert case.verdict is not None
    outcome, said = case.verdict.outcome, case.evidence
    if isinstance(outcome, RouteError) and outcome.slug == said.get("slug"):
        return Verdict(None, type(outcome)(str(said.get("detail") or "")))
    return case.verdict
