"""An explanation as text, for a person."""

from collections.abc import Iterable, Iterator
from typing import Final

from route_addon.carry.evidence import (
    ADDON,
    CACHE,
    ROUTE,
    UPSTREAM,
    Evidence,
    build_evidence,
    describe,
)
from route_addon.carry.http1.writer import build_request_head
from route_addon.carry.masks.mask import Mask, Masked
from route_addon.carry.watched.flow import record_decision
from route_addon.core.forwarding import with_server
from route_addon.core.messages import Decision, Forward, Server
from route_addon.core.recorded import Recorded, find_differences
from route_addon.core.router import Router
from route_addon.core.steps import Outcome, Step
from route_addon.core.wording import describe_time, printable
from route_addon.debug.explaining import Case, explain_case
from route_addon.debug.replay import show_difference

_SIGNS: Final[dict[Outcome, str]] = {"passed": "✓", "refused": "✗", "noted": "·"}
_TITLE_CHARS: Final = 16
_INDENT: Final = " " * (_TITLE_CHARS + 3)

_TIMINGS: Final = (
    ("connect", "connected in"),
    ("first_byte", "first byte after"),
    ("total", "whole after"),
)
_ANSWERERS: Final = {
    UPSTREAM: "the upstream",
    CACHE: "the HTTP cache",
    ROUTE: "us",
    ADDON: "an addon",
}


def build_explanation(case: Case, router: Router, mask: Mask) -> str:
    """Explain a request, in text without secrets.

    Args:
        case: The request.
        router: The router in force.
        mask: Makes the placeholders.
    """
    explanation = explain_case(case, router, mask)
    decision = explanation.decision
    anew = Recorded.read(record_decision(decision, Masked(mask)))
    parts = (
        _tell_outcome(case.evidence),
        _tell_verdict(case, decision),
        _tell_differences(case.recorded, anew),
        _tell_steps(explanation.steps),
        _tell_request(case, decision, case.recorded or anew),
    )
    return "\n\n".join(filter(None, map("\n".join, parts)))


def build_steps_text(steps: Iterable[Step]) -> str:
    """Steps, one below the other."""
    return "\n".join(_tell_steps(steps))


def _tell_steps(steps: Iterable[Step]) -> Iterator[str]:
    for step in steps:
        yield f"{_SIGNS[step.outcome]} {step.title:{_TITLE_CHARS}} {step.detail}"
        for line in step.more:
            yield _INDENT + line


def _tell_outcome(evidence: Evidence) -> Iterator[str]:
    """What became of it: that is what whoever asks has seen."""
    if not evidence:
        return
    yield printable(describe(evidence))
    timings = evidence.get("timings") or {}
    told = [f"{word} {timings[name] * 1000:.1f} ms" for name, word in _TIMINGS if timings.get(name)]
    if evidence.get("answered_by"):
        told.insert(0, f"answered by {_ANSWERERS.get(evidence['answered_by'], 'somebody')}")
    if told:
        yield ", ".join(told)


def _tell_verdict(case: Case, decision: Decision) -> Iterator[str]:
    """The decision, where it is not all that became of it."""
    evidence = build_evidence(decision, case.now)
    verdict = describe(evidence)
    rules = f"by the rules in force, as of {describe_time(case.now)}"
    if not case.evidence:
        yield from (verdict, rules)
    elif describe({**evidence, **_find_rest(case.evidence)}) == describe(case.evidence):
        yield rules
    else:
        yield from (f"{rules}:", verdict)


def _find_rest(evidence: Evidence) -> Evidence:
    """What became of a request beside its decision."""
    return {name: evidence.get(name) for name in ("http_cache", "answered_by", "edited")}


def _tell_differences(recorded: Recorded | None, anew: Recorded) -> Iterator[str]:
    """Where the rules in force say otherwise than those of then."""
    differences = find_differences(recorded, anew) if recorded is not None else []
    if differences:
        yield "this is not what was decided then:"
    for difference in differences:
        yield from (f"  {line}" for line in show_difference(difference))


def _tell_request(case: Case, decision: Decision, sent: Recorded) -> Iterator[str]:
    """The request as its upstream gets it."""
    evidence = case.evidence
    if sent.path is None or sent.host is None or sent.target is None or sent.port is None:
        return
    name = Server(b"http", sent.target, sent.port).host_and_port.decode("ascii")
    host = sent.host.encode("latin-1")
    chosen = evidence.get("server") if evidence.get("upstream") == sent.upstream else None
    if chosen not in (None, name) and isinstance(decision, Forward):
        # The pool has chosen another server than its first.
        server = decision.server._replace(host=evidence["host"], port=evidence["port"])
        name, host = str(chosen), with_server(decision, server).host
    yield f"what {printable(name)} {_find_verb(evidence)}, with placeholders for secrets:"
    fields = [(one.encode("latin-1"), value.encode("latin-1")) for one, value in sent.fields]
    path, length = sent.path.encode("latin-1"), _find_length(case, decision)
    head = build_request_head(case.head.method, path, host, fields, length)
    yield from (f"  {printable(line)}" for line in head.rstrip().split(b"\r\n"))


def _find_verb(evidence: Evidence) -> str:
    """Whether the upstream got the request: an answer of ours may mean that nobody did."""
    if evidence.get("upstream") is None:
        return "would get"
    return {UPSTREAM: "got", CACHE: "would get"}.get(str(evidence.get("answered_by")), "was to get")


def _find_length(case: Case, decision: Decision) -> int:
    """The length that the upstream is told: of what was collected, it is known."""
    location, received = decision.location, case.evidence.get("request_bytes")
    is_collected = location is not None and location.body == "collect"
    return received if is_collected and isinstance(received, int) else case.head.length
