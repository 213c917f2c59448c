"""A token looked at, check by check."""

import ipaddress
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from route_addon.core.errors import RouteError
from route_addon.core.inspection import Inspection, inspect_token
from route_addon.core.keys import NO_KEYS, Keys
from route_addon.core.targets import HostSet, TargetPolicy
from tests.core.heads import make_router, make_rules
from tests.minting import NOW, encrypt, key_pair, keys_in_force, mint, sign

RULES = make_rules()
CHECKS = [
    "token spelling",
    "token header",
    "token signature",
    "token claims",
    "token target",
    "target policy",
]
HEADER = {"alg": "RS256", "typ": "JWT"}


def inspect(token: bytes, **changes: object) -> Inspection:
    """Look at a token by the usual rules, with changes."""
    return inspect_token(make_rules(**changes) if changes else RULES, token, NOW)


def test_a_good_token() -> None:
    """Each check is told, and what it found."""
    found = inspect(mint("10.0.0.1"))
    assert [step.title for step in found.steps] == CHECKS
    assert {step.outcome for step in found.steps} == {"passed"}
    told = [step.detail for step in found.steps]
    assert told[0].endswith("bytes, three parts of base64url")
    assert told[1] == "alg RS256, typ JWT"
    assert told[2] == "signing key 1 of 1 made it"
    assert told[3] == (
        "420 s left; key 0, nfb 2023-11-14 22:13:20 UTC, exp 2023-11-14 22:20:20 UTC, "
        "hash (344 long)"
    )
    assert told[4] == "hash decrypts to 10.0.0.1"
    assert told[5] == "10.0.0.1 is not denied"


@pytest.mark.parametrize(
    ("token", "title", "detail"),
    [
        pytest.param(
            b"a.b.c",
            "token spelling",
            "token_malformed: not a compact JWS: part 1 does not end as base64url does; "
            "is it whole?",
            id="a.b.c",
        ),
        pytest.param(
            sign({"alg": "HS256"}, {}),
            "token header",
            "token_algorithm: alg is not RS256",
            id="HS256",
        ),
        pytest.param(
            mint(signing=key_pair("stranger")),
            "token signature",
            "token_signature: The desktop token's signature is not valid.",
            id="a stranger's",
        ),
        pytest.param(
            mint(life_s=-12), "token claims", "token_expired: expired 12 s ago", id="expired"
        ),
        pytest.param(
            mint(b"no host!"),
            "token target",
            "target_malformed: neither an address nor a host name",
            id="for no host",
        ),
        pytest.param(
            mint("127.0.0.1"), "target policy", "target_denied: the address is denied", id="denied"
        ),
    ],
)
def test_a_bad_token(token: bytes, title: str, detail: str) -> None:
    """The check that fails is the last one told, and says why."""
    steps = inspect(token).steps
    assert [step.title for step in steps] == CHECKS[: CHECKS.index(title) + 1]
    assert [step.outcome for step in steps[:-1]] == ["passed"] * (len(steps) - 1)
    assert (steps[-1].outcome, steps[-1].detail) == ("refused", f"401 {detail}")


def test_hints() -> None:
    """A refusal says what it was measured against, where that helps."""
    assert inspect(mint(), keys=NO_KEYS).steps[-1].more == ("0 signing keys were tried",)
    denied = inspect(mint("127.0.0.1")).steps[-1].more
    assert denied[0].startswith("127.0.0.1: by default or by route_target_deny")


def test_which_key() -> None:
    """During a rotation it is told which key signed."""
    keys = keys_in_force()
    two = Keys((key_pair("stranger").public, *keys.signing), keys.payload)
    assert inspect(mint(), keys=two).steps[2].detail == "signing key 2 of 2 made it"


def test_policy() -> None:
    """Whether a target is let in by name, or by nobody's leave, is told apart."""
    allow = HostSet((ipaddress.ip_network("127.0.0.0/8"),))
    let_in = inspect(mint("127.0.0.1"), policy=TargetPolicy(allow))
    assert let_in.steps[-1].detail == "127.0.0.1 is let in by route_target_allow"
    named = inspect(mint("pod.example")).steps[-1].detail
    assert named == "pod.example is judged again by the address that it resolves to"


def test_a_strangers_words() -> None:
    """What the maker of a token chose is bounded, stays on its line, and hides long values."""
    claims = {
        "exp": NOW + 9,
        "hash": encrypt("10.0.0.1"),
        "iat": 10**300,
        "a\nb": None,
        "secret": "hunter2",
        "x" * 99: [1, 2],
        "flag": True,
        "é": 1.5,
    }
    claims |= {f"more{number}": number for number in range(9)}
    header = {**HEADER, "typ": "\x1b[31m" + "y" * 99, "kid": "k"}
    steps = inspect(sign(header, claims)).steps
    assert steps[1].detail == f"alg RS256, typ \\x1b[31m{'y' * 35}..., kid (1 long)"
    assert steps[3].detail == (
        "9 s left; exp 2023-11-14 22:13:29 UTC, hash (344 long), "
        f"iat 1{'0' * 39}... s since the epoch, a\\nb None, secret (7 long), "
        f"{'x' * 40}... (2 long), "
        "flag True, é 1.5, more0 0, more1 1, more2 2, more3 3, 5 more"
    )
    assert "hunter2" not in json.dumps(steps)


@given(
    st.one_of(
        st.binary(max_size=60),
        st.from_regex(rb"[\w-]{2,8}\.[\w-]{2,8}\.[\w-]{2,8}", fullmatch=True),
        st.sampled_from(
            [mint(), mint(life_s=-1), mint("127.0.0.1"), mint(signing=key_pair("stranger"))]
        ),
        st.builds(sign, st.just(HEADER), st.dictionaries(st.text(), st.integers() | st.text())),
    )
)
@settings(max_examples=150, deadline=None)
def test_same_as_the_router(token: bytes) -> None:
    """What is told ends as the router's own verification does."""
    found = inspect(token)
    outcome = make_router().verify(token, NOW).outcome
    if isinstance(outcome, RouteError):
        assert isinstance(found.outcome, RouteError)
        assert (type(found.outcome), found.outcome.detail) == (type(outcome), outcome.detail)
        assert found.steps[-1].outcome == "refused"
    else:
        assert found.outcome == outcome
        assert found.steps[-1].outcome == "passed"
