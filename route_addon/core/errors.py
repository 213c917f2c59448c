"""Every way in which a request is refused: one class, one status, one reason slug each.

::

    RouteError
    ├── BadRequest                    400
    │   ├── BadTarget                 request target that has no canonical path
    │   ├── BadMethod
    │   ├── BadHost                   missing, repeated or malformed authority
    │   ├── BadField                  control bytes in a field value
    │   └── BadFraming                Content-Length and Transfer-Encoding that disagree
    ├── Unauthorized                  401, RFC 6750
    │   ├── TokenMissing
    │   ├── TokenRepeated
    │   ├── TokenMalformed            grammar, base64url or JSON
    │   ├── TokenAlgorithm            any JOSE header but plain RS256
    │   ├── TokenSignature
    │   ├── TokenClaims               exp, nbf or hash missing or of the wrong type
    │   ├── TokenExpired
    │   ├── TokenNotYetValid
    │   ├── TokenUnrecorded           only where a recording is judged
    │   └── TargetRefused             the three below look alike from outside
    │       ├── TargetUndecryptable
    │       ├── TargetMalformed
    │       └── TargetDenied
    ├── OriginDenied                  403, a cookie's token used from a foreign site
    ├── ConsoleDenied                 403, an address that may not see the console
    ├── NotFound                      404
    │   └── PortNotAllowed
    ├── MethodNotAllowed              405
    ├── LengthRequired                411
    ├── ContentTooLarge               413
    ├── UriTooLong                    414
    ├── ExpectationFailed             417
    ├── RequestTimeout                408, a client that sends too slowly
    ├── FieldsTooLarge                431
    ├── UnknownTransferCoding         501
    ├── BadGateway                    502
    │   ├── BadAnswer                 an upstream's message that we do not understand
    │   ├── UpstreamUnresolved        an upstream's name that has no address
    │   ├── UpstreamRefused           it does not take the connection
    │   ├── UpstreamUntrusted         its certificate is not one to believe
    │   └── UpstreamReset             it closed before its answer was whole
    ├── Unavailable                   503, with Retry-After
    │   ├── Draining                  the router ends
    │   ├── SpoolFull                 no room to collect a body in
    │   ├── TooBusy                   more at once than a limit allows
    │   ├── PoolDown                  no server of a pool is available
    │   └── PoolBusy                  all that are have as many requests as they may
    ├── UpstreamTimeout               504, no connection or no answer in time
    ├── NotCached                     504, only-if-cached and nothing is
    ├── UnsupportedVersion            505
    └── InternalError                 500, our own bug
        └── Undecided                 a request that nobody has decided: the guard's word

The *text* of an error is made of its class alone, so that nothing of the request (a token, a
host name, an address) can reach the client or a log through it. ``detail`` is for our own
eyes: the log line and the developer's view; it is held to the same rule by those who raise.
"""

from typing import ClassVar


class RouteError(Exception):
    """A refusal. Never raised directly.

    Args:
        detail: For the log: facts about the refusal, with no secret in it.
    """

    status: ClassVar[int]
    slug: ClassVar[str]
    reason: ClassVar[str]

    def __init__(self, detail: str = "") -> None:
        super().__init__(detail)
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.status} {self.slug}" + (f": {self.detail}" if self.detail else "")

    @property
    def fields(self) -> list[tuple[bytes, bytes]]:
        """Header fields that an answer with this status must carry."""
        return []


class BadRequest(RouteError):
    """The client's message is not one that we understand."""

    status = 400
    slug = "bad_request"
    reason = "The request is malformed."


class BadTarget(BadRequest):
    """The request target has no canonical path (RFC 3986, RFC 9112 3.2)."""

    slug = "bad_target"
    reason = "The request target is malformed."


class BadMethod(BadRequest):
    """The method is not a token in upper case."""

    slug = "bad_method"
    reason = "The method is malformed."


class BadHost(BadRequest):
    """There is not exactly one valid authority (RFC 9112 3.2)."""

    slug = "bad_host"
    reason = "The Host field is missing or malformed."


class BadField(BadRequest):
    """A field value holds control bytes (RFC 9110 5.5)."""

    slug = "bad_field"
    reason = "A header field is malformed."


class BadFraming(BadRequest):
    """The length of the message is not certain (RFC 9112 6.3)."""

    slug = "bad_framing"
    reason = "The length of the message is not certain."


class Unauthorized(RouteError):
    """No usable credential (RFC 9110 15.5.2, RFC 6750 3)."""

    status = 401
    slug = "unauthorized"
    reason = "A valid desktop token is required."
    challenge: ClassVar[bytes] = b'Bearer error="invalid_token"'

    @property
    def fields(self) -> list[tuple[bytes, bytes]]:
        return [(b"WWW-Authenticate", self.challenge)]


class TokenMissing(Unauthorized):
    """No source holds a credential: RFC 6750 3.1 wants no error code then."""

    slug = "token_missing"
    reason = "A desktop token is required."
    challenge = b"Bearer"


class TokenRepeated(Unauthorized):
    """A source holds more than one credential."""

    slug = "token_repeated"
    reason = "More than one desktop token was sent."


class TokenMalformed(Unauthorized):
    """Not a compact JWS of JSON (RFC 7515 3.1)."""

    slug = "token_malformed"
    reason = "The desktop token is malformed."


class TokenAlgorithm(Unauthorized):
    """A JOSE header other than plain RS256 (RFC 8725 3.1)."""

    slug = "token_algorithm"
    reason = "The desktop token's algorithm is not accepted."


class TokenSignature(Unauthorized):
    """No signing key verifies the token."""

    slug = "token_signature"
    reason = "The desktop token's signature is not valid."


class TokenClaims(Unauthorized):
    """A claim is missing or of the wrong type."""

    slug = "token_claims"
    reason = "The desktop token's claims are not complete."


class TokenExpired(Unauthorized):
    """``exp`` is not later than now (RFC 7519 4.1.4)."""

    slug = "token_expired"
    reason = "The desktop token has expired."


class TokenNotYetValid(Unauthorized):
    """``nbf`` is later than now (RFC 7519 4.1.5)."""

    slug = "token_not_yet_valid"
    reason = "The desktop token is not valid yet."


class TokenUnrecorded(Unauthorized):
    """A token that nobody verified when this was recorded, and that nobody can verify now."""

    slug = "token_unrecorded"
    reason = "Whether this desktop token was good has not been recorded."


class TargetRefused(Unauthorized):
    """The token is good, but what it names cannot be used; only the log says why."""

    slug = "target_refused"
    reason = "The desktop token names no usable desktop."


class TargetUndecryptable(TargetRefused):
    """No payload key decrypts ``hash`` to anything."""

    slug = "target_undecryptable"


class TargetMalformed(TargetRefused):
    """What ``hash`` decrypts to is neither an address nor a host name."""

    slug = "target_malformed"


class TargetDenied(TargetRefused):
    """The target policy forbids this target."""

    slug = "target_denied"


class OriginDenied(RouteError):
    """A cookie's token came with a request that another site may have made."""

    status = 403
    slug = "origin_denied"
    reason = "The request does not come from this site."


class ConsoleDenied(RouteError):
    """The client's address may not see the console (nginx's ``allow`` and ``deny``)."""

    status = 403
    slug = "console_denied"
    reason = "The console is not open to this address."


class NotFound(RouteError):
    """Nothing is here."""

    status = 404
    slug = "not_found"
    reason = "Nothing is here."


class PortNotAllowed(NotFound):
    """A container port of 0, above 65535 or outside the allow-list."""

    slug = "port_not_allowed"


class MethodNotAllowed(RouteError):
    """TRACE, CONNECT, or a method that an answer of our own does not have."""

    status = 405
    slug = "method_not_allowed"
    reason = "The method is not allowed here."

    def __init__(self, detail: str = "", *, allow: bytes = b"") -> None:
        super().__init__(detail)
        self.allow = allow

    @property
    def fields(self) -> list[tuple[bytes, bytes]]:
        return [(b"Allow", self.allow)]


class LengthRequired(RouteError):
    """A body whose length the carrier cannot frame."""

    status = 411
    slug = "length_required"
    reason = "A Content-Length is required."


class ContentTooLarge(RouteError):
    """A body over the location's limit."""

    status = 413
    slug = "content_too_large"
    reason = "The request's content is too large."


class RequestTimeout(RouteError):
    """A client that sends its request too slowly (RFC 9110 15.5.9)."""

    status = 408
    slug = "request_timeout"
    reason = "The request took too long."


class UriTooLong(RouteError):
    """A request line over the limit (RFC 9110 15.5.15)."""

    status = 414
    slug = "uri_too_long"
    reason = "The request target is too long."


class ExpectationFailed(RouteError):
    """An ``Expect`` other than ``100-continue`` (RFC 9110 15.5.18)."""

    status = 417
    slug = "expectation_failed"
    reason = "The expectation cannot be met."


class FieldsTooLarge(RouteError):
    """A header section with too long a line, too many bytes or too many lines (RFC 6585 5)."""

    status = 431
    slug = "fields_too_large"
    reason = "The request's header fields are too large."


class InternalError(RouteError):
    """Our own bug: the request goes nowhere."""

    status = 500
    slug = "internal_error"
    reason = "The router failed."


class Undecided(InternalError):
    """No decision stands behind this request, so it goes nowhere."""

    slug = "undecided"


class UnknownTransferCoding(RouteError):
    """A transfer coding other than chunked (RFC 9112 6.1)."""

    status = 501
    slug = "unknown_transfer_coding"
    reason = "The transfer coding is not supported."


class BadGateway(RouteError):
    """The upstream failed (RFC 9110 15.6.3)."""

    status = 502
    slug = "bad_gateway"
    reason = "The upstream failed."


class BadAnswer(BadGateway):
    """An upstream's message is not one that we understand, or its length is not certain."""

    slug = "upstream_bad_answer"
    reason = "The upstream's answer is malformed."


class UpstreamUnresolved(BadGateway):
    """An upstream's name has no address."""

    slug = "upstream_unresolved"
    reason = "The upstream cannot be found."


class UpstreamRefused(BadGateway):
    """An upstream does not take the connection."""

    slug = "upstream_refused"
    reason = "The upstream cannot be reached."


class UpstreamUntrusted(BadGateway):
    """An upstream's certificate does not prove that it is the one that was configured."""

    slug = "upstream_untrusted"
    reason = "The upstream cannot be reached safely."


class UpstreamReset(BadGateway):
    """An upstream closed the connection before its answer was whole."""

    slug = "upstream_reset"
    reason = "The upstream closed the connection."


class Unavailable(RouteError):
    """Not now (RFC 9110 15.6.4)."""

    status = 503
    slug = "unavailable"
    reason = "The service is not available at the moment."
    retry_after_s: ClassVar[int] = 5

    @property
    def fields(self) -> list[tuple[bytes, bytes]]:
        return [(b"Retry-After", b"%d" % self.retry_after_s)]


class Draining(Unavailable):
    """The router ends: who asks for a sign of life shall send nobody here any more."""

    slug = "draining"
    reason = "The router is about to end."


class SpoolFull(Unavailable):
    """No room to collect a body in: the bound is used up, or the disk is full."""

    slug = "spool_full"


class TooBusy(Unavailable):
    """More at once than a limit allows."""

    slug = "too_busy"


class PoolDown(Unavailable):
    """No server of a pool is available."""

    slug = "pool_down"


class PoolBusy(Unavailable):
    """All that are available have ``max_conns`` requests; too many wait, or one for too long."""

    slug = "pool_busy"


class UpstreamTimeout(RouteError):
    """An upstream did not connect or answer in time (RFC 9110 15.6.5)."""

    status = 504
    slug = "upstream_timeout"
    reason = "The upstream did not answer in time."


class NotCached(RouteError):
    """The client wants nothing but a stored answer, and there is none (RFC 9111 5.2.1.7)."""

    status = 504
    slug = "not_cached"
    reason = "No stored answer is there, and the request asks for no other."


class UnsupportedVersion(RouteError):
    """An HTTP version other than 1.0, 1.1 and 2."""

    status = 505
    slug = "unsupported_version"
    reason = "The HTTP version is not supported."
