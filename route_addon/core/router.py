"""The decision: a request head and a time go in, a ``Decision`` comes out.

``Router.decide`` is total: whatever is known to be wrong with a request is a ``Respond``. It
reads no clock, touches no socket, and does no RSA work: for a token that is not in the cache it
returns ``Verify``, and the carrier runs ``Router.verify`` where it likes and decides again.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from route_addon.core.authority import parse_authority
from route_addon.core.credentials import (
    SAFE_METHODS,
    Carriers,
    Credential,
    check_same_origin,
    find_credential,
)
from route_addon.core.error_pages import SECURITY_FIELDS, respond_error
from route_addon.core.errors import (
    BadMethod,
    ConsoleDenied,
    ContentTooLarge,
    Draining,
    InternalError,
    MethodNotAllowed,
    NotFound,
    PortNotAllowed,
    RouteError,
    TokenExpired,
    TokenMissing,
    UnsupportedVersion,
)
from route_addon.core.fields import field_values
from route_addon.core.forwarded import (
    Forwarded,
    ForwardedFields,
    TrustedProxies,
    is_within,
)
from route_addon.core.forwarding import Located, build_forward
from route_addon.core.keys import NO_KEYS, Keys
from route_addon.core.locations import HERE, NO_PORT, POD, Captures, Location, Locations
from route_addon.core.messages import (
    HTTP_2,
    HTTP_10,
    HTTP_11,
    Decision,
    Field,
    Forward,
    Origin,
    RequestHead,
    Respond,
    ServeFile,
    Server,
    Verify,
    pod_server,
)
from route_addon.core.sender import Sender, trusted_id
from route_addon.core.targetmap import TargetMap, Verified
from route_addon.core.targets import Network, TargetPolicy, decrypt_target
from route_addon.core.tokens import check_grammar, check_header, verify_token

_METHOD = re.compile(rb"[A-Z][A-Z_-]*")
_COMMON_METHODS = frozenset({b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH"})
_REFUSED_METHODS = frozenset({b"TRACE", b"CONNECT"})
_VERSIONS = frozenset({HTTP_10, HTTP_11, HTTP_2})
_ALLOW = b"GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH"
_CHALLENGE = re.compile(r"[A-Za-z0-9_-]+")
"""The name of an ACME challenge's file (RFC 8555 8.3: base64url)."""

_NONE: tuple[bytes, ...] = ()
_CONSOLE = "console"
_HTTPS_PORT = 443


@dataclass(frozen=True, slots=True)
class Rules:
    """All that a decision depends on besides the request, the time and the cache."""

    locations: Locations
    upstreams: Mapping[str, tuple[Server, ...]]
    """The servers of each upstream that a location names."""
    proxies: TrustedProxies
    policy: TargetPolicy
    keys: Keys = NO_KEYS
    leeway_s: float = 0.0
    cookie: bytes = b"jwt_token"
    """The cookie that may hold a token; empty for none."""
    allowed_origins: frozenset[Origin] = frozenset()
    """Origins that may use a cookie's token besides our own; with their ports."""
    container_ports: frozenset[int] | None = None
    """The ports that ``{port}`` may name; None for all."""
    console_allow: tuple[Network, ...] | None = None
    """Where the clients are that may see the console; None for all."""
    node_name: str = ""
    acme_root: str = ""
    hsts_s: int = 0
    """How long browsers shall speak https only to this host (RFC 6797), in seconds; 0 to say
    nothing of it."""
    https_redirect_port: int = 0
    """Where clients that came by http are sent by https; 0 to serve them."""
    is_draining: bool = False
    """Whether the router is about to end, so that ``/healthz`` tells who sends to it."""


class Verdict(NamedTuple):
    """What became of a token's verification."""

    token: bytes | None
    """None for whichever token the request holds: a recorded one holds placeholders."""
    outcome: Verified | RouteError


class Router:
    """Decides. One is built for each configuration; the cache may outlive it.

    Args:
        rules: The configuration.
        targets: The cache of verified tokens.
    """

    def __init__(self, rules: Rules, targets: TargetMap) -> None:
        self.rules = rules
        self.targets = targets
        self._hsts = b"max-age=%d" % rules.hsts_s if rules.hsts_s else b""

    def decide(self, head: RequestHead, now: float, verdict: Verdict | None = None) -> Decision:
        """Decide what becomes of a request.

        Args:
            head: The request head.
            now: The time to judge it at, in seconds since the epoch.
            verdict: What ``verify`` said, after a ``Verify``.
        """
        location: Location | None = None
        try:
            if head.method not in _COMMON_METHODS or head.version not in _VERSIONS:
                _check_request_line(head)
            target, location, captures = self.rules.locations.find(head.target)
            sender = self._find_sender(head, target.authority)
            if location is None:
                raise NotFound
            sender.visit(location)
            return self._decide_located(
                Located(head, target, sender, location, captures), now, verdict
            )
        except RouteError as error:
            return self.refuse(head, error, location)

    def verify(self, token: bytes, now: float) -> Verdict:
        """Verify a token and find its target: a fraction of a millisecond of RSA. Thread-safe.

        Args:
            token: As a ``Verify`` holds it.
            now: The time to judge it at, in seconds since the epoch.
        """
        rules = self.rules
        try:
            claims = verify_token(token, rules.keys.signing, now, rules.leeway_s)
            host = decrypt_target(claims.hash, rules.keys.payload)
            rules.policy.check_host(host)
        except RouteError as error:
            return Verdict(token, error)
        return Verdict(token, Verified(host, claims.exp))

    def refuse(
        self, head: RequestHead, error: RouteError, location: Location | None = None
    ) -> Respond:
        """The answer to a request that is refused, by a decision or by a carrier."""
        # Its frames may hold the answer, and that holds the error: a cycle for each refusal.
        error.__traceback__ = None
        said = field_values(head.fields, b"x-request-id")
        request_id = trusted_id(said, head.peer, self.rules.proxies) or head.request_id
        accept = b", ".join(field_values(head.fields, b"accept"))
        answer = respond_error(error, request_id, accept, location)
        if self._hsts:
            proto = ForwardedFields(proto=tuple(field_values(head.fields, b"x-forwarded-proto")))
            answer.fields.extend(
                self._hsts_fields(self.rules.proxies.resolve(head.peer, b"", proto))
            )
        return answer

    def _find_sender(self, head: RequestHead, named: bytes | None) -> Sender:
        """Who sends a request, perhaps the one who sent the last with these fields.

        Raises:
            BadHost: The request does not name one authority.
        """
        proxies, cookie = self.rules.proxies, self.rules.cookie
        if head.memory is None or named is not None:
            return Sender(head, proxies, cookie, named)
        return head.memory.find(head, proxies, cookie)

    def _decide_located(self, request: Located, now: float, verdict: Verdict | None) -> Decision:
        head, location = request.head, request.location
        forwarded = self._forwarded(request)
        request_id = request.sender.request_id or head.request_id
        if self.rules.https_redirect_port and _is_redirected(location, forwarded.origin):
            return self._redirect(request, forwarded.origin, request_id)
        if head.length > location.body_limit_bytes:
            raise ContentTooLarge(f"Content-Length over {location.body_limit_bytes}")
        if location.upstream == HERE:
            return self._answer(request, forwarded, request_id)
        if location.upstream != POD:
            if location.upstream == _CONSOLE:
                self._check_console(forwarded)
            server = self.rules.upstreams[location.upstream][0]
            return self._secured(build_forward(request, server, request_id))
        port = location.port or self._captured_port(request.captures)
        credential = self._credential(request)
        try:
            if credential.source == "cookie":
                self._check_origin(request, forwarded)
            verified = self.targets.get(credential.token, now) if verdict is None else None
            is_cached = verified is not None
            if verified is None:
                found = self._find_target(request, credential, now, verdict, request_id)
                if isinstance(found, Verify):
                    return found
                verified = found
        except RouteError as error:
            refusal = self.refuse(head, error, location)
            return refusal._replace(token_source=credential.source)
        server = pod_server(verified.host, port)
        return self._secured(
            build_forward(request, server, request_id, credential, verified.expires, is_cached)
        )

    def _check_console(self, forwarded: Forwarded) -> None:
        """Check where a client of the console is.

        Raises:
            ConsoleDenied: Not where one may be.
        """
        allowed = self.rules.console_allow
        if allowed is not None and not is_within(forwarded.client, allowed):
            raise ConsoleDenied

    def _find_target(
        self,
        request: Located,
        credential: Credential,
        now: float,
        verdict: Verdict | None,
        request_id: bytes,
    ) -> Verified | Verify:
        """What a token stands for that is not in the cache, if its verification is over.

        Raises:
            RouteError: It is a bad one.
        """
        token = credential.token
        if verdict is None or verdict.token not in (None, token):
            check_grammar(token)
            check_header(token)
            client = request.sender.forwarded.client
            return Verify(request.location, token, request_id, client)
        if isinstance(verdict.outcome, RouteError):
            raise verdict.outcome
        verified = verdict.outcome
        if verified.expires <= now - self.rules.leeway_s:
            raise TokenExpired("while it was verified")
        self.targets.put(token, verified, now)
        return verified

    def _captured_port(self, captures: Captures) -> int:
        """The port that the path names.

        Raises:
            PortNotAllowed: 0, above 65535, or outside the allow-list.
        """
        digits = captures["port"].lstrip(b"0")
        port = int(digits) if 0 < len(digits) <= 5 else NO_PORT
        allowed = self.rules.container_ports
        if not 0 < port < 65536 or (allowed is not None and port not in allowed):
            raise PortNotAllowed
        return port

    def _credential(self, request: Located) -> Credential:
        """The request's credential.

        Raises:
            TokenMissing: No source holds one.
            TokenRepeated: A source holds two.
        """
        sender, location = request.sender, request.location
        is_in_target = request.captures or (
            request.target.query is not None and "query" in location.token
        )
        if sender.credential is not None and not is_in_target:
            return sender.credential
        noted = sender.noted
        carriers = Carriers(
            noted.get(b"abcauthorization", _NONE),
            noted.get(b"authorization", _NONE),
            noted.get(b"cookie", _NONE),
            request.target.query,
            request.captures,
        )
        credential = find_credential(location.token, carriers, self.rules.cookie)
        if credential is None:
            raise TokenMissing
        if not is_in_target:
            sender.credential = credential
        return credential

    def _check_origin(self, request: Located, forwarded: Forwarded) -> None:
        """A credential from a cookie must come from a page of ours.

        Raises:
            OriginDenied: Another site may have made this request.
        """
        if request.is_websocket or request.head.method not in SAFE_METHODS:
            noted = request.sender.noted
            origins, referers = noted.get(b"origin", _NONE), noted.get(b"referer", _NONE)
            check_same_origin(origins, referers, forwarded.origin, self.rules.allowed_origins)

    def _secured(self, forward: Forward) -> Forward:
        """The decision, with what its answer says of https to a client that came by https."""
        if self._hsts and forward.origin.scheme == b"https":
            return forward._replace(hsts=self._hsts)
        return forward

    def _hsts_fields(self, forwarded: Forwarded) -> list[Field]:
        """RFC 6797 7.2: over http it must not be said."""
        if self._hsts and forwarded.origin.scheme == b"https":
            return [(b"Strict-Transport-Security", self._hsts)]
        return []

    def _redirect(self, request: Located, origin: Origin, request_id: bytes) -> Respond:
        """To the same place by https; 308 keeps the method and the content (RFC 9110 15.4.9)."""
        target, port = request.target, self.rules.https_redirect_port
        authority = parse_authority(origin.authority)
        assert authority is not None
        url = b"https://" + authority.host + (b"" if port == _HTTPS_PORT else b":%d" % port)
        url += target.path if target.query is None else b"%s?%s" % (target.path, target.query)
        fields = [
            (b"Location", url),
            # A redirect that nobody may keep is gone as soon as the option is.
            (b"Cache-Control", b"no-store"),
            *SECURITY_FIELDS,
            (b"X-Request-ID", request_id),
        ]
        return Respond(request.location, 308, fields, b"", None, request_id)

    def _answer(
        self, request: Located, forwarded: Forwarded, request_id: bytes
    ) -> Respond | ServeFile:
        location = request.location
        if location.answer == "acme":
            return self._serve_challenge(request, forwarded, request_id)
        if location.answer == "healthz" and self.rules.is_draining:
            raise Draining
        body = b"OK\n" if location.answer == "healthz" else f"{self.rules.node_name}\n".encode()
        fields = [
            (b"Content-Type", b"text/plain"),
            *SECURITY_FIELDS,
            (b"X-Request-ID", request_id),
            *self._hsts_fields(forwarded),
        ]
        return Respond(location, 200, fields, body, None, request_id)

    def _serve_challenge(
        self, request: Located, forwarded: Forwarded, request_id: bytes
    ) -> ServeFile:
        head, location = request.head, request.location
        name = request.target.path[len(location.location) :].decode("latin-1")
        if head.method not in (b"GET", b"HEAD"):
            raise MethodNotAllowed(allow=b"GET, HEAD")
        if not self.rules.acme_root or _CHALLENGE.fullmatch(name) is None:
            raise NotFound
        path = f"{self.rules.acme_root.rstrip('/')}{location.location}{name}"
        missing = self.refuse(head, NotFound(), location)
        return ServeFile(location, path, missing, request_id, self._hsts_fields(forwarded))

    def _forwarded(self, request: Located) -> Forwarded:
        return request.sender.forwarded


def _check_request_line(head: RequestHead) -> None:
    """Check a first line that is not one of the common ones."""
    if head.method in _REFUSED_METHODS:
        raise MethodNotAllowed(allow=_ALLOW)
    if _METHOD.fullmatch(head.method) is None:
        raise BadMethod
    if head.version not in _VERSIONS:
        raise UnsupportedVersion


def _is_redirected(location: Location, origin: Origin) -> bool:
    """Whether a client that came by http is sent to https.

    Not where it did not say what it calls us; not who asks for a sign of life, or for an ACME
    challenge: RFC 8555 8.3 has it fetched by http, and it must be there before a certificate is.
    """
    return (
        origin.scheme == b"http"
        and bool(origin.authority)
        and location.answer not in ("healthz", "acme")
    )


def internal_error(request_id: bytes) -> Respond:
    """The answer where a decision itself failed: the one that needs no router."""
    return respond_error(InternalError(), request_id)
