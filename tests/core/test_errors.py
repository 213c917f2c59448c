"""The tree of refusals: one class, one status, one reason slug each."""

import re
from collections.abc import Iterator

import pytest

from route_addon.core import errors
from route_addon.core.errors import (
    MethodNotAllowed,
    RouteError,
    TargetDenied,
    TargetMalformed,
    TargetRefused,
    TargetUndecryptable,
    TokenMissing,
    Unauthorized,
    Unavailable,
)

EXPECTED = {
    "BadRequest": (400, "bad_request"),
    "BadTarget": (400, "bad_target"),
    "BadMethod": (400, "bad_method"),
    "BadHost": (400, "bad_host"),
    "BadField": (400, "bad_field"),
    "BadFraming": (400, "bad_framing"),
    "Unauthorized": (401, "unauthorized"),
    "TokenMissing": (401, "token_missing"),
    "TokenRepeated": (401, "token_repeated"),
    "TokenMalformed": (401, "token_malformed"),
    "TokenAlgorithm": (401, "token_algorithm"),
    "TokenSignature": (401, "token_signature"),
    "TokenClaims": (401, "token_claims"),
    "TokenExpired": (401, "token_expired"),
    "TokenNotYetValid": (401, "token_not_yet_valid"),
    "TokenUnrecorded": (401, "token_unrecorded"),
    "TargetRefused": (401, "target_refused"),
    "TargetUndecryptable": (401, "target_undecryptable"),
    "TargetMalformed": (401, "target_malformed"),
    "TargetDenied": (401, "target_denied"),
    "OriginDenied": (403, "origin_denied"),
    "ConsoleDenied": (403, "console_denied"),
    "NotFound": (404, "not_found"),
    "PortNotAllowed": (404, "port_not_allowed"),
    "MethodNotAllowed": (405, "method_not_allowed"),
    "LengthRequired": (411, "length_required"),
    "RequestTimeout": (408, "request_timeout"),
    "ContentTooLarge": (413, "content_too_large"),
    "UriTooLong": (414, "uri_too_long"),
    "ExpectationFailed": (417, "expectation_failed"),
    "FieldsTooLarge": (431, "fields_too_large"),
    "InternalError": (500, "internal_error"),
    "Undecided": (500, "undecided"),
    "UnknownTransferCoding": (501, "unknown_transfer_coding"),
    "BadGateway": (502, "bad_gateway"),
    "BadAnswer": (502, "upstream_bad_answer"),
    "UpstreamUnresolved": (502, "upstream_unresolved"),
    "UpstreamRefused": (502, "upstream_refused"),
    "UpstreamUntrusted": (502, "upstream_untrusted"),
    "UpstreamReset": (502, "upstream_reset"),
    "Unavailable": (503, "unavailable"),
    "Draining": (503, "draining"),
    "SpoolFull": (503, "spool_full"),
    "TooBusy": (503, "too_busy"),
    "PoolDown": (503, "pool_down"),
    "PoolBusy": (503, "pool_busy"),
    "UpstreamTimeout": (504, "upstream_timeout"),
    "NotCached": (504, "not_cached"),
    "UnsupportedVersion": (505, "unsupported_version"),
}


def _all(parent: type[RouteError]) -> Iterator[type[RouteError]]:
    for child in parent.__subclasses__():
        yield child
        yield from _all(child)


ALL = list(_all(RouteError))


def test_every_class() -> None:
    """Every class has its status and its slug."""
    assert {error.__name__: (error.status, error.slug) for error in ALL} == EXPECTED


def test_a_slug_is_one_class() -> None:
    """Logs, metrics and tests tell classes apart by their slug."""
    assert len(ALL) == len({error.slug for error in ALL})


def test_the_tree_in_the_docstring() -> None:
    """The drawing at the top of the module names every class, with its status."""
    drawing = errors.__doc__ or ""
    drawn = dict(re.findall(r"── (\w+) +([0-9]{3})?", drawing))
    assert set(EXPECTED) == set(re.findall(r"── (\w+)", drawing))
    assert all(str(EXPECTED[name][0]) == status for name, status in drawn.items() if status)


@pytest.mark.parametrize("error", ALL, ids=lambda error: error.slug)
def test_what_a_client_reads(error: type[RouteError]) -> None:
    """The reason is one short sentence, and the detail is not part of any field."""
    made = error("a secret")
    assert re.fullmatch(r"[A-Z][A-Za-z ,'-]{5,60}\.", made.reason)
    assert all(b"secret" not in value for _, value in made.fields)
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", made.slug)


def test_text() -> None:
    """For a log the text is status, slug and detail."""
    assert str(TokenMissing()) == "401 token_missing"
    assert str(TargetDenied("the name is denied")) == "401 target_denied: the name is denied"


@pytest.mark.parametrize(
    "error", [error for error in ALL if error.status == 401], ids=lambda error: error.slug
)
def test_every_401_has_a_challenge(error: type[RouteError]) -> None:
    """RFC 6750 3.1: an error code where a token was sent, none where there was none."""
    challenge = b"Bearer" if error is TokenMissing else b'Bearer error="invalid_token"'
    assert issubclass(error, Unauthorized)
    assert [(b"WWW-Authenticate", challenge)] == error().fields


def test_refused_targets_look_alike() -> None:
    """From outside nobody can tell why a target is refused."""
    seen = {
        (error.status, error.reason, tuple(error().fields))
        for error in (TargetRefused, TargetUndecryptable, TargetMalformed, TargetDenied)
    }
    assert len(seen) == 1


def test_a_405_names_the_methods() -> None:
    """RFC 9110 15.5.6: an Allow field must be there."""
    assert MethodNotAllowed(allow=b"GET").fields == [(b"Allow", b"GET")]
    assert MethodNotAllowed().fields == [(b"Allow", b"")]


@pytest.mark.parametrize(
    "error", [error for error in ALL if error.status == 503], ids=lambda error: error.slug
)
def test_every_503_says_when_to_come_back(error: type[RouteError]) -> None:
    """RFC 9110 10.2.3: a Retry-After field, in seconds."""
    assert issubclass(error, Unavailable)
    assert error().fields == [(b"Retry-After", b"5")]
