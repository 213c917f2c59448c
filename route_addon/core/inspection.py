"""A token looked at: each check in its turn, and what came of it.

The checks are those of ``Router.verify``, one by one; what is told of them holds no part of the
token that would be of use to anybody.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from route_addon.core.errors import RouteError, TokenSignature
from route_addon.core.router import Rules
from route_addon.core.steps import Step, Trace
from route_addon.core.targetmap import Verified
from route_addon.core.targets import TargetPolicy, decrypt_target, parse_address
from route_addon.core.tokens import (
    check_claims,
    check_grammar,
    check_header,
    read_claims,
    read_header,
    verify_signature,
)
from route_addon.core.wording import describe_time, printable

_DATES: Final = ("exp", "nbf", "iat", "nfb")
_MAX_WORD_CHARS: Final = 40
"""How much is shown of a word that whoever made the token chose."""
_MAX_MEMBERS: Final = 12


class Inspection(NamedTuple):
    """What was found of a token."""

    steps: tuple[Step, ...]
    """The checks up to the first that failed."""
    outcome: Verified | RouteError
    """The same as that of ``Router.verify``."""


def inspect_token(rules: Rules, token: bytes, now: float) -> Inspection:
    """Look at a token.

    Args:
        rules: The keys and the policy to judge it by.
        token: The token.
        now: The time to judge it at, in seconds since the epoch.
    """
    trace = Trace()
    try:
        outcome: Verified | RouteError = _check(trace, rules, token, now)
    except RouteError as error:
        outcome = error
    return Inspection(tuple(trace.steps), outcome)


def _check(trace: Trace, rules: Rules, token: bytes, now: float) -> Verified:
    keys = rules.keys
    trace.take(
        "token spelling",
        partial(check_grammar, token),
        lambda _: f"{len(token)} bytes, three parts of base64url",
    )
    trace.take(
        "token header",
        partial(check_header, token),
        lambda _: _describe_object(read_header(token)),
    )
    payload = trace.take(
        "token signature",
        partial(verify_signature, token, keys.signing),
        lambda _: f"signing key {_find_key(token, keys.signing)} of {len(keys.signing)} made it",
        f"{len(keys.signing)} signing keys were tried",
    )
    claims = trace.take(
        "token claims",
        partial(check_claims, payload, now, rules.leeway_s),
        lambda found: f"{found.exp - now:.0f} s left; {_describe_object(read_claims(payload))}",
        f"leeway {rules.leeway_s:g} s",
    )
    host = trace.take(
        "token target",
        partial(decrypt_target, claims.hash, keys.payload),
        lambda found: f"hash decrypts to {found}",
        f"{len(keys.payload)} payload keys were tried",
    )
    trace.take(
        "target policy",
        partial(rules.policy.check_host, host),
        lambda _: _describe_policy(rules.policy, host),
        f"{host}: by default or by route_target_deny, and route_target_allow does not let it in",
    )
    return Verified(host, claims.exp)


def _find_key(token: bytes, keys: Sequence[RSAPublicKey]) -> int:
    """Which of the keys made a good token, counted from 1."""
    return next(number for number, key in enumerate(keys, 1) if _is_made_by(token, key))


def _is_made_by(token: bytes, key: RSAPublicKey) -> bool:
    try:
        verify_signature(token, (key,))
    except TokenSignature:
        return False
    return True


def _describe_policy(policy: TargetPolicy, host: str) -> str:
    address = parse_address(host)
    if address is None:
        return f"{host} is judged again by the address that it resolves to"
    how = "let in by route_target_allow" if policy.is_allowed(host, address) else "not denied"
    return f"{host} is {how}"


def _describe_object(members: Mapping[str, Any]) -> str:
    """What a JSON object says, without what could be a secret."""
    words = [
        f"{printable(name, _MAX_WORD_CHARS)} {_describe(name, members[name])}" for name in members
    ]
    more = len(words) - _MAX_MEMBERS
    return ", ".join(words[:_MAX_MEMBERS]) + (f", {more} more" if more > 0 else "")


def _describe(name: str, value: object) -> str:
    if isinstance(value, int | float):
        return describe_time(value) if name in _DATES else printable(str(value), _MAX_WORD_CHARS)
    if name in ("alg", "typ"):
        return printable(str(value), _MAX_WORD_CHARS)
    return f"({len(value)} long)" if isinstance(value, str | list | dict) else str(value)
