"""Why a request goes where it goes: a decision with its steps, for a person."""

from collections.abc import Iterator
from itertools import islice
from typing import Final, NamedTuple

from route_addon.core.errors import (
    BadHost,
    BadTarget,
    ContentTooLarge,
    NotFound,
    RouteError,
)
from route_addon.core.explain_fields import Hider, compare_fields
from route_addon.core.explain_location import describe_location, list_losers
from route_addon.core.fields import field_values
from route_addon.core.locations import POD, Body, HostSent, PathSent
from route_addon.core.messages import Forward, RequestHead, Respond, ServeFile, Verify
from route_addon.core.path import parse_target
from route_addon.core.router import Router, Rules
from route_addon.core.steps import Step
from route_addon.core.witness import Known, Witness
from route_addon.core.wording import (
    describe_error,
    describe_length,
    describe_size,
    printable,
)

_EARLY: Final = ("request line", "path", "host", "location")
"""The steps up to a location, in their order."""

_EARLY_ERRORS: Final = {BadTarget: "path", BadHost: "host", NotFound: "location"}
_LATE_ERRORS: Final = {ContentTooLarge: "content"}
"""Which step an error comes from."""

_PATHS: Final[dict[PathSent, str]] = {
    "as sent": "the canonical path",
    "/": "always / here, without the query",
    "/, query kept": "always / here, with the query",
    "/{rest}": "what stands behind the port",
    "prefix replaced": "without the location's prefix",
}
_HOSTS: Final[dict[HostSent, str]] = {
    "target:port": "the server's address",
    "client": "what the client calls us",
    "upstream": "the upstream's own name",
}
_BODIES: Final[dict[Body, str]] = {
    "collect": "collected first, then sent with a Content-Length",
    "stream": "passed on as it comes",
    "drop": "thrown away",
}


class Explanation(NamedTuple):
    """A decision and how it came about."""

    decision: Forward | Respond | ServeFile
    steps: tuple[Step, ...]


def explain(
    router: Router, head: RequestHead, now: float, hider: Hider, known: Known | None = None
) -> Explanation:
    """Decide, and say why. Nothing is counted by it, and nothing is kept.

    Args:
        router: The router to ask.
        head: The request.
        now: The time to judge it at, in seconds since the epoch.
        hider: Hides the secrets in what is told.
        known: What is known of a token that the request holds no more.
    """
    witness = Witness(router, known)
    decision = witness.decide(head, now, known.verdict if known is not None else None)
    assert not isinstance(decision, Verify)
    error = decision.error if isinstance(decision, Respond) else None
    is_early = witness.request is None
    told = _EARLY.index(_find_step(error, is_early)) if error and is_early else len(_EARLY)
    steps = [*islice(_tell_head(head, router.rules, hider), told), *witness.trace.steps]
    if error is None:
        steps += _tell_end(decision, head, router.rules, hider)
    elif not witness.trace.is_refused:
        steps.append(Step(_find_step(error, is_early), "refused", describe_error(error)))
    return Explanation(decision, tuple(steps))


def _find_step(error: RouteError, is_early: bool) -> str:
    """The step that an error comes from, where no step has said so itself."""
    steps = _EARLY_ERRORS if is_early else _LATE_ERRORS
    default = "request line" if is_early else "answer"
    return next((step for kind, step in steps.items() if isinstance(error, kind)), default)


def _tell_head(head: RequestHead, rules: Rules, hider: Hider) -> Iterator[Step]:
    """The steps up to a location; only those that were passed may be asked for."""
    line = b"%s %s %s" % (head.method, hider.hide_target(head.target), head.version)
    yield Step("request line", "passed", printable(line))
    target = parse_target(head.target)
    is_canonical = head.target.partition(b"?")[0] == target.path
    how = "as it came" if is_canonical else "made canonical"
    yield Step("path", "passed", f"{printable(hider.hide_target(target.path))}, {how}")
    hosts = field_values(head.fields, b"host")
    named = [said for said in (head.authority, target.authority, *hosts) if said is not None]
    yield Step("host", "passed", printable(named[0]) if named else "none, as HTTP/1.0 may")
    match = rules.locations.match(target.path)
    assert match is not None
    losers = tuple(list_losers(rules.locations, target.path, match[0]))
    yield Step("location", "passed", describe_location(match[0]), losers)


def _tell_end(
    decision: Forward | Respond | ServeFile, head: RequestHead, rules: Rules, hider: Hider
) -> Iterator[Step]:
    """What follows once nothing refuses."""
    if isinstance(decision, Forward):
        yield _tell_server(decision, rules)
        yield from _tell_sent(decision, head, hider)
        yield _tell_content(decision, head)
        yield _tell_answer(decision)
    elif isinstance(decision, ServeFile):
        yield Step("answer", "noted", f"the file {printable(decision.path)}, or 404 without it")
    else:
        how = "made here" if decision.status == 200 else "to the same place by https"
        yield Step("answer", "noted", f"{decision.status}, {how}")


def _tell_server(forward: Forward, rules: Rules) -> Step:
    server = forward.server.host_and_port.decode("ascii")
    if forward.upstream == POD:
        return Step("server", "noted", f"{server}, the target of the token")
    servers = rules.upstreams[forward.upstream]
    names = ", ".join(one.host_and_port.decode("ascii") for one in servers)
    more = (f"the pool chooses when it is sent, from {names}",) if len(servers) > 1 else ()
    return Step("server", "noted", f"{server}, of the upstream {forward.upstream}", more)


def _tell_sent(forward: Forward, head: RequestHead, hider: Hider) -> Iterator[Step]:
    location = forward.location
    line = printable(b"%s %s" % (forward.method, hider.hide_target(forward.path)))
    yield Step("path sent", "noted", f"{line}: {_PATHS[location.path]}")
    yield Step("host sent", "noted", f"{printable(forward.host)}: {_HOSTS[location.host]}")
    fields = [(b"Host", forward.host), *forward.fields]
    changes = tuple(compare_fields(head.fields, fields, hider))
    yield Step(
        "fields sent", "noted", f"{len(fields)}; the client's were {len(head.fields)}", changes
    )


def _tell_content(forward: Forward, head: RequestHead) -> Step:
    location = forward.location
    if forward.is_websocket:
        return Step("content", "noted", "a WebSocket: a tunnel in both directions")
    limit = f"at most {describe_size(location.body_limit_bytes)}"
    how = _BODIES[location.body]
    return Step("content", "noted", f"{describe_length(head.length)}; {limit}, {how}")


def _tell_answer(forward: Forward) -> Step:
    location = forward.location
    coding = "compressed where that is worth it" if location.is_compressed else "not compressed"
    hsts = (f"with Strict-Transport-Security: {printable(forward.hsts)}",) if forward.hsts else ()
    wait = f"504 after {location.answer_within_s:g} s of silence"
    return Step("answer", "noted", f"streamed, {coding}; {wait}", hsts)
