"""Recorded flows, decided again at the time they were recorded (``mitmdump -nr FILE``)."""

import logging
from collections.abc import Callable

from mitmproxy import http

from route_addon.carry.challenge import read_challenge
from route_addon.carry.evidence import write_evidence
from route_addon.carry.faults import describe_fault
from route_addon.carry.flows import check_head, read_head, read_verdict
from route_addon.carry.request_id import make_request_id
from route_addon.core.errors import RouteError
from route_addon.core.messages import Decision, ServeFile, Verify
from route_addon.core.router import Router
from route_addon.core.targetmap import TargetMap

logger = logging.getLogger(__name__)


class Judge:
    """Judges flows that were read from a file; nothing is sent anywhere.

    Args:
        router: The router in force; None while there is none.
    """

    name = "route_judge"

    def __init__(self, router: Callable[[], Router | None]) -> None:
        self._router = router

    def request(self, flow: http.HTTPFlow) -> None:
        """Judge a flow, and keep the decision with it."""
        router = self._router()
        if flow.live or router is None:
            return
        try:
            now = flow.request.timestamp_start
            write_evidence(flow, judge(flow, router, now), now)
            logger.info("judged: %s", flow.comment)
        except Exception as fault:
            logger.error("judging failed: %s", describe_fault(fault))


def judge(flow: http.HTTPFlow, router: Router, now: float) -> Decision:
    """Decide a recorded flow.

    A verdict that was recorded with it stands: it needs no key. Else the token is verified. What
    a recording says is believed of that recording alone, so the cache in force stays as it is.

    Args:
        flow: The recorded flow.
        router: Decides.
        now: The time to judge it at, in seconds since the epoch.
    """
    head = read_head(flow, make_request_id())
    try:
        head = check_head(head)
    except RouteError as error:
        return router.refuse(head, error)
    router = Router(router.rules, TargetMap(1, 0))
    decision = router.decide(head, now, read_verdict(flow))
    if isinstance(decision, Verify):
        decision = router.decide(head, now, router.verify(decision.token, now))
    return read_challenge(decision) if isinstance(decision, ServeFile) else decision
