"""What a flow says of its decision: in one line for a person, by a mark, and as data.

::

    /filer -> pod 10.1.2.3:29783 · token from cookie, cached, 143 s left · request 5f0c
    401 token_expired: expired 12 s ago · token from header · /filer · request 5f0d

Nothing here holds a secret: whose pod, never which token.
"""

from typing import Any, Final

from mitmproxy import http

from route_addon.core.answers import SWITCHING_PROTOCOLS
from route_addon.core.messages import Decision, Forward, Respond, Server

EVIDENCE: Final = "route"
"""The key of a flow's metadata under which a decision is kept."""

type Evidence = dict[str, Any]
"""Plain data, which a recording keeps:

=============== ==================================================================
key             value
=============== ==================================================================
time            when it was decided, in seconds since the epoch
request_id      the identifier in the answer and in the log
location        the location's path; None where there is none
upstream        the upstream's name, ``pod`` for a server that a token names
host, port      the server
server          the same in one
token_source    where the credential was found
token_cached    whether its token was known already
expires         when that expires (NumericDate)
status          of an answer of our own; None of an upstream's
slug            why it was refused
detail          the same, closer
http_cache      what the answer's Cache-Status says of us (RFC 9211)
edited          whether somebody changed the request, so that it was decided again
answered_by     who: ``upstream``, ``cache``, ``route`` (we), ``addon`` (another); None before
decision        the decision as a recording keeps it (``core.recorded``), when it was watched
timings         ``connect`` (None where none was needed), ``first_byte`` of the answer and
                ``total``, in seconds; the latter two since the request's head was there
=============== ==================================================================

None where there is nothing to say. At the end there are also, each with ``answer_`` beside it,
``request_bytes``, ``request_cut`` (more has passed than was kept) and ``request_withheld`` (nothing
was kept, because it cannot be read and may hold secrets); and ``websocket`` (messages and their
bytes, those not shown, those cut, and why it ``stopped``).
"""

ADDON: Final = "addon"
CACHE: Final = "cache"
ROUTE: Final = "route"
UPSTREAM: Final = "upstream"
"""Who answered."""

MARK_PASSED: Final = ":white_check_mark:"
MARK_FROM_CACHE: Final = ":zap:"
MARK_WEBSOCKET: Final = ":electric_plug:"
MARK_COMPLAINT: Final = ":warning:"
"""The upstream's own answer says that something is wrong: 4xx and 5xx."""
MARK_OWN: Final = ":house:"
"""An answer of our own that is no refusal."""
MARK_LOCKED: Final = ":lock:"
"""401 and 403: the credential."""
MARK_REFUSED: Final = ":no_entry:"
"""Any other fault of the client's."""
MARK_UPSTREAM: Final = ":boom:"
"""The upstream failed, or there is no room: 502 to 504."""
MARK_FAULT: Final = ":beetle:"
"""A fault of our own."""
MARK_ADDON: Final = ":pencil2:"
"""Another addon's answer."""
MARK_CUT: Final = ":scissors:"
"""Cut, killed, or the client has gone."""

_REFUSALS: Final[dict[object, str]] = {
    401: MARK_LOCKED,
    403: MARK_LOCKED,
    500: MARK_FAULT,
    **dict.fromkeys((502, 503, 504), MARK_UPSTREAM),
}
_MARKS: Final = frozenset(
    {
        "",
        MARK_PASSED,
        MARK_FROM_CACHE,
        MARK_WEBSOCKET,
        MARK_COMPLAINT,
        MARK_OWN,
        MARK_REFUSED,
        MARK_ADDON,
        MARK_CUT,
        *_REFUSALS.values(),
    }
)
_UNTOLD: Final = frozenset(
    {
        "request_bytes",
        "request_cut",
        "request_withheld",
        "answer_bytes",
        "answer_cut",
        "answer_withheld",
        "timings",
    }
)
"""Keys of which the comment says nothing."""


def build_evidence(decision: Decision, now: float, sent: Forward | None = None) -> Evidence:
    """What a decision says.

    Args:
        decision: The decision.
        now: When it was taken, in seconds since the epoch.
        sent: The decision before it, when this one is the answer to its failure: it stays known
            where the request went.
    """
    forward = decision if isinstance(decision, Forward) else sent
    answer = decision if isinstance(decision, Respond) else None
    error = answer.error if answer is not None else None
    source = answer.token_source if forward is None and answer is not None else None
    return {
        "time": now,
        "request_id": decision.request_id.decode("ascii"),
        "location": decision.location.location if decision.location is not None else None,
        "upstream": None,
        "host": None,
        "port": None,
        "server": None,
        "token_source": source,
        "token_cached": None,
        "expires": None,
        **(_build_way(forward) if forward is not None else {}),
        "status": answer.status if answer is not None else None,
        "slug": error.slug if error is not None else None,
        "detail": (error.detail or None) if error is not None else None,
        "http_cache": None,
        "edited": False,
        "answered_by": ROUTE if answer is not None else None,
        "timings": {"connect": None, "first_byte": None, "total": None},
    }


def _build_way(forward: Forward) -> Evidence:
    has_token = forward.token_source is not None
    return {
        "upstream": forward.upstream,
        **name_server(forward.server),
        "token_source": forward.token_source,
        "token_cached": forward.is_token_cached if has_token else None,
        "expires": forward.expires,
    }


def name_server(server: Server) -> Evidence:
    """What evidence says of a server."""
    name = server.host_and_port.decode("ascii")
    return {"host": server.host, "port": server.port, "server": name}


def write_evidence(flow: http.HTTPFlow, decision: Decision, now: float) -> None:
    """Keep a decision with its flow.

    Args:
        flow: The flow.
        decision: The decision.
        now: When it was taken, in seconds since the epoch.
    """
    keep_evidence(flow, build_evidence(decision, now))


def keep_evidence(flow: http.HTTPFlow, evidence: Evidence) -> None:
    """Keep evidence with its flow, and let its comment and its mark say the same."""
    flow.metadata[EVIDENCE] = evidence
    flow.comment, flow.marked = describe(evidence), choose_mark(flow, evidence)


def amend_evidence(flow: http.HTTPFlow, **more: object) -> None:
    """Let a flow say more; what somebody else has noted in it stays.

    Args:
        flow: The flow.
        more: Keys of its evidence, and their values.
    """
    evidence = flow.metadata.get(EVIDENCE)
    if not isinstance(evidence, dict):
        return
    is_own_comment = not _UNTOLD.issuperset(more) and flow.comment == describe(evidence)
    is_own_mark = flow.marked in _MARKS
    evidence |= more
    if is_own_comment:
        flow.comment = describe(evidence)
    if is_own_mark:
        flow.marked = choose_mark(flow, evidence)


def measure(flow: http.HTTPFlow, now: float) -> dict[str, float | None]:
    """The times that an exchange took, by the flow's timestamps; see ``Evidence``."""
    since, server = flow.request.timestamp_start, flow.server_conn
    begun = flow.response.timestamp_start if flow.response is not None else None
    asked, connected = server.timestamp_start, server.timestamp_tcp_setup
    # A connection that rested was asked for by somebody else.
    is_own = asked is not None and connected is not None and asked < connected
    return {
        "connect": _between(asked, connected) if is_own else None,
        "first_byte": _between(since, begun),
        "total": _between(since, now),
    }


def _between(since: float | None, until: float | None) -> float | None:
    """Clocks may be set back; no time is less than none."""
    return None if since is None or until is None else round(max(0.0, until - since), 6)


def describe(evidence: Evidence) -> str:
    """Evidence in one line."""
    said = evidence.get
    way = said("location") or "no location"
    if said("server") is not None:
        way += f" -> {said('upstream')} {said('server')}"
    if said("status") is None:
        parts = [way, _describe_token(evidence), said("http_cache")]
    else:
        detail = f": {said('detail')}" if said("detail") else ""
        verdict = f"{said('status')} {said('slug') or 'answered here'}{detail}"
        parts = [verdict, _describe_token(evidence), way]
    parts.append("answered by an addon" if said("answered_by") == ADDON else None)
    parts.append("edited" if said("edited") else None)
    parts.append(f"request {said('request_id')}")
    return " · ".join(part for part in parts if part)


def _describe_token(evidence: Evidence) -> str | None:
    source, expires = evidence.get("token_source"), evidence.get("expires")
    if source is None or expires is None:
        return f"token from {source}" if source else None
    how = "cached" if evidence.get("token_cached") else "verified"
    return f"token from {source}, {how}, {expires - evidence['time']:.0f} s left"


def describe_answer(answer: Respond) -> str:
    """An answer of our own in one line, for the log."""
    return describe(build_evidence(answer, 0.0))


def choose_mark(flow: http.HTTPFlow, evidence: Evidence) -> str:
    """The mark of what became of a flow; empty while it is under way."""
    by, response = evidence.get("answered_by"), flow.response
    if flow.error is not None:
        return MARK_CUT
    if by == ROUTE:
        return _mark_answer(evidence)
    if by == ADDON:
        return MARK_ADDON
    if by == CACHE:
        return MARK_FROM_CACHE
    if by is None or response is None:
        return ""
    if response.status_code == SWITCHING_PROTOCOLS:
        return MARK_WEBSOCKET
    return MARK_COMPLAINT if response.status_code >= 400 else MARK_PASSED


def _mark_answer(evidence: Evidence) -> str:
    if evidence.get("slug") is None:
        return MARK_OWN
    return _REFUSALS.get(evidence.get("status"), MARK_REFUSED)
