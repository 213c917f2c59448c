"""Compact JWS -> claims (RFC 7515, RFC 7519, RFC 8725).

The checks stand in the order in which they decide: grammar, JOSE header, signature, claims.
RS256 is the only algorithm there is; nothing in a token can choose another, name a key or fetch
one.
"""

import json
import math
import re
from collections.abc import Iterable
from typing import Any, NamedTuple, NoReturn

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from jwt import InvalidTokenError
from jwt.algorithms import RSAAlgorithm
from jwt.api_jws import PyJWS
from jwt.utils import base64url_decode

from route_addon.core.errors import (
    TokenAlgorithm,
    TokenClaims,
    TokenExpired,
    TokenMalformed,
    TokenNotYetValid,
    TokenSignature,
)

MAX_TOKEN_BYTES = 8 * 1024
PLACEHOLDER = re.compile(rb"hidden\.[0-9a-f]{16}\.token")
"""What stands for a secret in flows. Three base64url parts, as a token has: so it is found wherever
a token is looked for when a recording is judged. It is no token to anybody: its first part is no
JOSE header."""

_PART = (
    rb"(?:[A-Za-z0-9_-]{4})*"
    rb"(?:[A-Za-z0-9_-]{4}|[A-Za-z0-9_-]{2}[AEIMQUYcgkosw048]|[A-Za-z0-9_-][AQgw])"
)
"""Base64url without padding whose unused bits are zero (RFC 4648 3.5): one spelling only."""
_TOKEN = re.compile(rb"%s\.%s\.%s" % (_PART, _PART, _PART))
_STRANGE = re.compile(rb"[^A-Za-z0-9_.-]")
_SHAPE = re.compile(rb"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")

_ALGORITHM = "RS256"
_REFUSED_PARAMETERS = frozenset({"enc", "zip", "crit"})
"""Header parameters that change what the token means; ``kid``, ``jku``... are not looked at."""


class _Rs256(RSAAlgorithm):
    """RS256 that does not warn of a short key at every token: the start warned once."""

    def check_key_length(self, key: RSAPrivateKey | RSAPublicKey) -> str | None:
        return None


_jws = PyJWS(algorithms=[])
_jws.register_algorithm(_ALGORITHM, _Rs256(RSAAlgorithm.SHA256))


class Claims(NamedTuple):
    """The claims of a verified token that the router uses."""

    exp: float
    hash: str


def has_token_shape(text: bytes) -> bool:
    """Whether a text is three base64url parts, and so means to be a token."""
    return _SHAPE.fullmatch(text) is not None


def check_grammar(token: bytes) -> None:
    """Check a token's spelling, before any work is spent on it.

    Raises:
        TokenMalformed: Too long, or not three non-empty parts of canonical base64url.
    """
    if len(token) > MAX_TOKEN_BYTES:
        raise TokenMalformed(f"{len(token)} bytes; {MAX_TOKEN_BYTES} at most")
    if _TOKEN.fullmatch(token) is None:
        raise TokenMalformed(f"not a compact JWS: {_find_misspelling(token)}")


def _find_misspelling(token: bytes) -> str:
    """What is wrong with a spelling, without any of it: whoever pasted it wants to know."""
    if PLACEHOLDER.fullmatch(token) is not None:
        return "a placeholder, and nobody here knows what it stands for"
    strange = _STRANGE.search(token)
    if strange is not None:
        return f"byte {strange.start() + 1} is no letter of base64url"
    parts = token.split(b".")
    if len(parts) != 3 or not all(parts):
        return f"parts: {sum(map(bool, parts))} instead of 3"
    number = next(place for place, part in enumerate(parts, 1) if not re.fullmatch(_PART, part))
    return f"part {number} does not end as base64url does; is it whole?"


def check_header(token: bytes) -> None:
    """Check the JOSE header of a token whose grammar is good.

    Raises:
        TokenMalformed: Not a JSON object.
        TokenAlgorithm: ``alg`` is not RS256, or a parameter changes the token's meaning.
    """
    header = read_header(token)
    if header.get("alg") != _ALGORITHM:
        raise TokenAlgorithm("alg is not RS256")
    refused = _REFUSED_PARAMETERS.intersection(header)
    if refused:
        raise TokenAlgorithm(f"{', '.join(sorted(refused))} in the header")


def read_header(token: bytes) -> dict[str, Any]:
    """The JOSE header of a token whose grammar is good.

    Raises:
        TokenMalformed: Not a JSON object.
    """
    return _load_object(base64url_decode(token.partition(b".")[0]), "header")


def read_claims(payload: bytes) -> dict[str, Any]:
    """All that a payload claims, checked or not.

    Raises:
        TokenMalformed: Not a JSON object.
    """
    return _load_object(payload, "payload")


def verify_token(
    token: bytes, signing_keys: Iterable[RSAPublicKey], now: float, leeway_s: float = 0.0
) -> Claims:
    """Verify a token.

    Args:
        token: The token, in compact serialization.
        signing_keys: The keys to try, in turn.
        now: The time to judge it at, in seconds since the epoch.
        leeway_s: Clock skew to allow for, in seconds.

    Raises:
        Unauthorized: The first check that failed, as its class.
    """
    check_grammar(token)
    check_header(token)
    return check_claims(verify_signature(token, signing_keys), now, leeway_s)


def verify_signature(token: bytes, signing_keys: Iterable[RSAPublicKey]) -> bytes:
    """The payload of a token whose header is good, once one key verifies it.

    Raises:
        TokenSignature: None does.
    """
    for key in signing_keys:
        try:
            payload: bytes = _jws.decode(token, key, algorithms=[_ALGORITHM])
        except InvalidTokenError:
            continue
        return payload
    raise TokenSignature


def check_claims(payload: bytes, now: float, leeway_s: float) -> Claims:
    """Check the claims of a payload that a key has verified.

    Args:
        payload: The payload.
        now: The time to judge it at, in seconds since the epoch.
        leeway_s: Clock skew to allow for, in seconds.

    Raises:
        Unauthorized: The first check that failed, as its class.
    """
    claims = read_claims(payload)
    exp = _numeric_date(claims, "exp")
    if exp is None:
        raise TokenClaims("exp is missing")
    if exp <= now - leeway_s:
        raise TokenExpired(f"expired {now - exp:.0f} s ago")
    nbf = _numeric_date(claims, "nbf")
    if nbf is not None and nbf > now + leeway_s:
        raise TokenNotYetValid(f"valid in {nbf - now:.0f} s")
    hash_claim = claims.get("hash")
    if not isinstance(hash_claim, str):
        raise TokenClaims("hash is not a string")
    return Claims(exp, hash_claim)


def _numeric_date(claims: dict[str, Any], name: str) -> float | None:
    """A claim of RFC 7519's NumericDate; None when it is not there."""
    if name not in claims:
        return None
    value = claims[name]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TokenClaims(f"{name} is not a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise TokenClaims(f"{name} is not finite")
    return number


def _load_object(text: bytes, what: str) -> dict[str, Any]:
    try:
        value = json.loads(text.decode("utf-8"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise TokenMalformed(f"the {what} is not JSON") from None
    if not isinstance(value, dict):
        raise TokenMalformed(f"the {what} is not an object")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
