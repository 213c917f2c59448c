"""A router that keeps what each of its steps found.

It decides by the very code that every router decides by; so what is told of a decision cannot
differ from what is done.
"""

from functools import partial
from typing import Final, NamedTuple

from route_addon.core.credentials import Credential
from route_addon.core.forwarded import Forwarded
from route_addon.core.forwarding import Located
from route_addon.core.inspection import inspect_token
from route_addon.core.locations import Captures
from route_addon.core.messages import Verify
from route_addon.core.router import Router, Verdict
from route_addon.core.steps import Step, Trace
from route_addon.core.targetmap import TargetMap, Verified
from route_addon.core.wording import printable

_PLACES: Final = {
    "header": "ABCAuthorization or Authorization",
    "query": "the query",
    "path": "the path",
}


class Known(NamedTuple):
    """What became of a token when it was there to look at."""

    verdict: Verdict
    how: str
    """How this is known, in words."""
    checks: tuple[Step, ...] = ()
    """The checks of the token, where it has been found elsewhere."""


class Witness(Router):
    """Decides, and remembers; it counts nothing, and leaves the cache of tokens as it is.

    Args:
        router: The one to decide like.
        known: What is known of a token that the request holds no more.
    """

    def __init__(self, router: Router, known: Known | None) -> None:
        self.trace = Trace()
        super().__init__(router.rules, _Glance(router.targets, self.trace))
        self.request: Located | None = None
        """The request, once its location is known."""
        self._known = known

    def _forwarded(self, request: Located) -> Forwarded:
        self.request = request
        forwarded = super()._forwarded(request)
        peer = request.head.peer.address
        belief = "a trusted proxy" if forwarded.is_peer_trusted else "no trusted proxy"
        origin = b"%s://%s" % forwarded.origin
        self.trace.note(
            "client",
            f"{forwarded.client}, which calls us {printable(origin)}",
            [f"the connection came from {peer}: {belief}"],
        )
        return forwarded

    def _check_console(self, forwarded: Forwarded) -> None:
        self.trace.take(
            "console",
            partial(super()._check_console, forwarded),
            lambda _: f"open to {forwarded.client}",
            "route_console_allow",
        )

    def _captured_port(self, captures: Captures) -> int:
        allowed = self.rules.container_ports
        known = "1 to 65535" if allowed is None else ", ".join(map(str, sorted(allowed)))
        return self.trace.take(
            "port",
            partial(super()._captured_port, captures),
            lambda port: f"{port}, as the path says",
            f"{printable(captures['port'])} is none of {known}",
        )

    def _credential(self, request: Located) -> Credential:
        places = ", ".join(map(self._name_place, request.location.token))
        return self.trace.take(
            "credential",
            partial(super()._credential, request),
            lambda found: f"in {self._name_place(found.source)}; looked for in {places}",
            f"looked for in {places}",
        )

    def _name_place(self, source: str) -> str:
        return _PLACES.get(source) or f"the cookie {printable(self.rules.cookie)}"

    def _check_origin(self, request: Located, forwarded: Forwarded) -> None:
        self.trace.take(
            "origin",
            partial(super()._check_origin, request, forwarded),
            lambda _: "a page of ours asks, or the method is a safe one",
            "a cookie is sent by the browser whoever asks: Origin or Referer must name this site",
        )

    def _find_target(
        self,
        request: Located,
        credential: Credential,
        now: float,
        verdict: Verdict | None,
        request_id: bytes,
    ) -> Verified | Verify:
        known, find = self._known, partial(super()._find_target, request, credential, now)
        if known is None:
            inspection = inspect_token(self.rules, credential.token, now)
            self.trace.note("token cache", "not in it: the token is verified")
            self.trace.steps += inspection.steps
            return find(Verdict(credential.token, inspection.outcome), request_id)
        if known.checks:
            self.trace.note("token", known.how)
            self.trace.steps += known.checks
            return find(known.verdict, request_id)
        return self.trace.take(
            "token",
            partial(find, known.verdict, request_id),
            lambda found: f"{_describe(found, now)}; {known.how}",
            known.how,
        )


class _Glance(TargetMap):
    """A cache of tokens, looked at.

    Args:
        targets: The cache.
        trace: Told of what is found.
    """

    def __init__(self, targets: TargetMap, trace: Trace) -> None:
        super().__init__(targets.max_entries, targets.ttl_s)
        self._targets = targets
        self._trace = trace

    def get(self, token: bytes, now: float) -> Verified | None:
        found = self._targets.peek(token, now)
        if found is not None:
            told = f"in the cache, so verified before: {_describe(found, now)}"
            self._trace.add_passed("token", told)
        return found

    def put(self, token: bytes, verified: Verified, now: float) -> None:
        """Nothing is kept."""


def _describe(found: Verified | Verify, now: float) -> str:
    assert isinstance(found, Verified)
    return f"for {found.host}, {found.expires - now:.0f} s left"
