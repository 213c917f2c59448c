"""Flows that have been decided, as the relay leaves them."""

from typing import Any

from mitmproxy import connection, http

from route_addon.carry.evidence import EVIDENCE, write_evidence
from route_addon.core.recorded import Recorded
from route_addon.core.router import Router
from route_addon.debug.judgement import judge
from tests.core.heads import make_router
from tests.hosting import answer, make_flow
from tests.minting import NOW, mint


def decided_flow(host: str = "10.0.0.1", target: bytes = b"/filer/x") -> http.HTTPFlow:
    """A flow to a pod, or to another host."""
    flow = make_flow(target, (b"ABCAuthorization", mint(host)))
    router: Router = make_router()
    decision = judge(flow, router, NOW)
    write_evidence(flow, decision, NOW)
    flow.metadata[EVIDENCE]["decision"] = Recorded.of(decision).to_plain()
    flow.server_conn = connection.Server(address=(host, 29783), peername=(host, 29783))
    flow.server_conn.sockname = ("10.7.7.7", 5)
    flow.request.data.host = host
    answer(flow)
    return flow


def read_evidence(flow: http.HTTPFlow) -> dict[str, Any]:
    """What it says of its decision."""
    evidence: dict[str, Any] = flow.metadata[EVIDENCE]
    return evidence
