"""A router that keeps what its steps found."""

import pytest

from route_addon.core.errors import TokenExpired
from route_addon.core.inspection import inspect_token
from route_addon.core.messages import Field, Forward, RequestHead, Respond
from route_addon.core.router import Router, Verdict
from route_addon.core.steps import Step
from route_addon.core.targetmap import Verified
from route_addon.core.witness import Known, Witness
from tests.core.heads import PROXY, make_head, make_router
from tests.minting import NOW, mint

TOKEN = mint("10.0.0.1")
HEADER: Field = (b"ABCAuthorization", TOKEN)
COOKIE: Field = (b"Cookie", b"jwt_token=" + TOKEN)


def watch(head: RequestHead, router: Router | None = None) -> dict[str, Step]:
    """The steps of a decision by their names."""
    witness = Witness(router or make_router(), None)
    witness.decide(head, NOW)
    return {step.title: step for step in witness.trace.steps}


def test_the_client() -> None:
    """Who asks, by which name, and who vouches for it."""
    assert watch(make_head())["client"] == (
        "client",
        "noted",
        "203.0.113.7, which calls us http://desk.example:8080",
        ("the connection came from 203.0.113.7: no trusted proxy",),
    )
    said = (b"X-Forwarded-For", b"198.51.100.1")
    step = watch(make_head(b"/", said, peer=PROXY))["client"]
    assert step.detail.startswith("198.51.100.1, ")
    assert step.more == ("the connection came from 10.9.9.9: a trusted proxy",)


@pytest.mark.parametrize(
    ("head", "outcome", "told", "hint"),
    [
        pytest.param(
            make_head(b"/filer", COOKIE),
            "passed",
            "in the cookie jwt_token; looked for in ABCAuthorization or Authorization, "
            "the cookie jwt_token",
            (),
            id="found",
        ),
        pytest.param(
            make_head(b"/websockify"),
            "refused",
            "401 token_missing: A desktop token is required.",
            ("looked for in the query, ABCAuthorization or Authorization, the cookie jwt_token",),
            id="missing",
        ),
    ],
)
def test_the_credential(head: RequestHead, outcome: str, told: str, hint: tuple[str, ...]) -> None:
    """Where it was looked for, and where it was."""
    assert watch(head)["credential"] == ("credential", outcome, told, hint)


@pytest.mark.parametrize(
    ("target", "changes", "outcome", "told", "hint"),
    [
        (b"/container/81", {}, "passed", "81, as the path says", ()),
        (
            b"/container/0",
            {},
            "refused",
            "404 port_not_allowed: Nothing is here.",
            ("0 is none of 1 to 65535",),
        ),
        (
            b"/container/81",
            {"container_ports": frozenset({90, 80})},
            "refused",
            "404 port_not_allowed: Nothing is here.",
            ("81 is none of 80, 90",),
        ),
    ],
)
def test_the_port(
    target: bytes, changes: dict[str, object], outcome: str, told: str, hint: tuple[str, ...]
) -> None:
    """Which port the path names, and which it may."""
    steps = watch(make_head(target, HEADER), make_router(**changes))
    assert steps["port"] == ("port", outcome, told, hint)


def test_the_origin() -> None:
    """A cookie's token is told apart from one that a page of ours sent."""
    steps = watch(make_head(b"/filer", COOKIE, method=b"POST"))
    assert steps["origin"].detail == "403 origin_denied: no Origin"
    origin = (b"Origin", b"http://desk.example:8080")
    steps = watch(make_head(b"/filer", COOKIE, origin, method=b"POST"))
    assert steps["origin"].outcome == "passed"
    assert "origin" not in watch(make_head(b"/filer", HEADER))


def test_the_console() -> None:
    """Whether the console is open to who asks."""
    assert watch(make_head(b"/console"))["console"].detail == "open to 203.0.113.7"
    closed = watch(make_head(b"/console"), make_router(console_allow=()))["console"]
    assert (closed.outcome, closed.more) == ("refused", ("route_console_allow",))


def test_a_token_that_is_not_cached() -> None:
    """It is verified, check by check, and kept nowhere."""
    router = make_router()
    witness = Witness(router, None)
    decision = witness.decide(make_head(b"/filer", HEADER), NOW)
    assert isinstance(decision, Forward)
    titles = [step.title for step in witness.trace.steps]
    assert titles.index("token cache") < titles.index("token signature")
    assert titles[-1] == "target policy"
    assert (len(router.targets), router.targets.misses) == (0, 0)


def test_a_token_that_is_cached() -> None:
    """It is told that nothing of it was checked; nothing is counted."""
    router = make_router()
    router.targets.put(TOKEN, Verified("10.0.0.9", NOW + 60), NOW)
    witness = Witness(router, None)
    decision = witness.decide(make_head(b"/filer", HEADER), NOW)
    assert isinstance(decision, Forward)
    assert decision.server.host == "10.0.0.9"
    step = witness.trace.steps[-1]
    assert step == (
        "token",
        "passed",
        "in the cache, so verified before: for 10.0.0.9, 60 s left",
        (),
    )
    assert router.targets.hits == 0


def test_a_token_that_is_known_of() -> None:
    """What a recording says of a token counts, and it is told how that is known."""
    known = Known(Verdict(None, Verified("10.0.0.9", NOW + 5)), "as recorded")
    witness = Witness(make_router(), known)
    decision = witness.decide(make_head(b"/filer", HEADER), NOW, known.verdict)
    assert isinstance(decision, Forward)
    assert witness.trace.steps[-1] == (
        "token",
        "passed",
        "for 10.0.0.9, 5 s left; as recorded",
        (),
    )


def test_a_refusal_that_is_known_of() -> None:
    """So does a refusal."""
    known = Known(Verdict(None, TokenExpired("12 s ago")), "as recorded")
    witness = Witness(make_router(), known)
    decision = witness.decide(make_head(b"/filer", HEADER), NOW, known.verdict)
    assert isinstance(decision, Respond)
    assert witness.trace.steps[-1] == (
        "token",
        "refused",
        "401 token_expired: 12 s ago",
        ("as recorded",),
    )


def test_a_token_that_is_found_elsewhere() -> None:
    """Its checks are told as if the request held it."""
    router = make_router()
    inspection = inspect_token(router.rules, TOKEN, NOW)
    known = Known(Verdict(None, inspection.outcome), "it is still cached", inspection.steps)
    witness = Witness(router, known)
    decision = witness.decide(make_head(b"/filer", (b"ABCAuthorization", b"x")), NOW, known.verdict)
    assert isinstance(decision, Forward)
    assert decision.server.host == "10.0.0.1"
    assert witness.trace.steps[-1].title == "target policy"
    assert ("token", "noted", "it is still cached", ()) in witness.trace.steps
