"""Tokens verified beside the loop."""

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator
from typing import cast

import pytest

from route_addon.carry import verify
from route_addon.carry.verify import Verifier
from route_addon.core.errors import (
    InternalError,
    RouteError,
    TokenExpired,
    TokenNotYetValid,
    TokenSignature,
    TooBusy,
)
from route_addon.core.router import Router, Verdict
from route_addon.core.targetmap import Verified


class Judge:
    """Stands in for a router: verifies when it may, and counts."""

    def __init__(self, judge: Callable[[bytes], Verdict]) -> None:
        self.calls: list[tuple[bytes, float]] = []
        self.may_judge = threading.Event()
        self._judge = judge

    def verify(self, token: bytes, now: float) -> Verdict:
        self.may_judge.wait(10)
        self.calls.append((token, now))
        return self._judge(token)


def _good(token: bytes) -> Verdict:
    return Verdict(token, Verified("10.0.0.1", 2.0))


def _judge(judge: Callable[[bytes], Verdict] = _good) -> tuple[Judge, Router]:
    one = Judge(judge)
    return one, cast(Router, one)


@pytest.fixture
def verifier() -> Iterator[Verifier]:
    """One with its threads."""
    verifier = Verifier()
    yield verifier
    verifier.close()


async def _wait_for(told: list[Verdict], count: int) -> None:
    for _ in range(500):
        if len(told) >= count:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"{len(told)} of {count} verdicts")


async def test_all_who_ask_are_told(verifier: Verifier) -> None:
    """A token is verified once, however many wait for it."""
    judge, router = _judge()
    told: list[Verdict] = []
    for _ in range(5):
        verifier.verify(router, b"t", 1.0, told.append)
    assert told == []
    judge.may_judge.set()
    await _wait_for(told, 5)
    assert told == [_good(b"t")] * 5
    assert judge.calls == [(b"t", 1.0)]


async def test_it_is_verified_again_later(verifier: Verifier) -> None:
    """What to remember is the router's to say."""
    judge, router = _judge()
    judge.may_judge.set()
    for count in (1, 2):
        told: list[Verdict] = []
        verifier.verify(router, b"t", 1.0, told.append)
        await _wait_for(told, 1)
        assert len(judge.calls) == count


async def test_each_router_judges_for_itself(verifier: Verifier) -> None:
    """After a change of the keys, the old ones do not speak for the new."""
    first, first_router = _judge()
    second, second_router = _judge(lambda token: Verdict(token, TokenSignature()))
    told: list[Verdict] = []
    verifier.verify(first_router, b"t", 1.0, told.append)
    verifier.verify(second_router, b"t", 1.0, told.append)
    first.may_judge.set()
    second.may_judge.set()
    await _wait_for(told, 2)
    assert len(first.calls) == len(second.calls) == 1
    assert {type(verdict.outcome) for verdict in told} == {Verified, TokenSignature}


async def test_a_fault(verifier: Verifier, caplog: pytest.LogCaptureFixture) -> None:
    """It is a refusal, and the log does not tell what was in its hands."""

    def fail(token: bytes) -> Verdict:
        raise RuntimeError(f"cannot read {token!r}")

    judge, router = _judge(fail)
    judge.may_judge.set()
    told: list[Verdict] = []
    with caplog.at_level(logging.ERROR):
        verifier.verify(router, b"not-to-be-told", 1.0, told.append)
        await _wait_for(told, 1)
    assert isinstance(told[0].outcome, InternalError)
    assert "not-to-be-told" not in caplog.text


async def test_a_flood(verifier: Verifier, monkeypatch: pytest.MonkeyPatch) -> None:
    """More tokens than a bound are refused; those under way may still be asked for."""
    monkeypatch.setattr(verify, "_MAX_WAITING", 3)
    judge, router = _judge()
    told: list[Verdict] = []
    for number in range(3):
        verifier.verify(router, b"%d" % number, 1.0, told.append)
    with pytest.raises(TooBusy):
        verifier.verify(router, b"3", 1.0, told.append)
    verifier.verify(router, b"0", 1.0, told.append)
    judge.may_judge.set()
    await _wait_for(told, 4)
    verifier.verify(router, b"3", 1.0, told.append)
    await _wait_for(told, 5)


async def test_each_client_in_its_turn(verifier: Verifier) -> None:
    """Many tokens of one client do not hold up the one of another."""
    judge, router = _judge()
    told: list[Verdict] = []
    for number in range(50):
        verifier.verify(router, b"many-%d" % number, 1.0, told.append, "many")
    verifier.verify(router, b"one", 1.0, told.append, "one")
    judge.may_judge.set()
    await _wait_for(told, 51)
    order = [token for token, _ in judge.calls]
    # Four are begun at once, and two threads note them in any order.
    assert order.index(b"one") <= 10
    assert sorted(order) == sorted([b"many-%d" % number for number in range(50)] + [b"one"])


async def test_a_flood_of_one_client(verifier: Verifier, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is refused what is over its own bound; another is not."""
    monkeypatch.setattr(verify, "_MAX_WAITING_PER_CLIENT", 3)
    judge, router = _judge()
    told: list[Verdict] = []
    begun = verify._MAX_BEGUN
    for number in range(begun + 3):
        verifier.verify(router, b"%d" % number, 1.0, told.append, "many")
    with pytest.raises(TooBusy):
        verifier.verify(router, b"over", 1.0, told.append, "many")
    verifier.verify(router, b"one", 1.0, told.append, "one")
    judge.may_judge.set()
    await _wait_for(told, begun + 4)


async def test_a_refused_signature_is_remembered(verifier: Verifier) -> None:
    """Only that, and only for the same token and the same router: all else is verified again."""
    outcomes: dict[bytes, Verified | RouteError] = {
        b"bad": TokenSignature(),
        b"late": TokenExpired(),
        b"early": TokenNotYetValid(),
        b"good": Verified("10.0.0.1", 2.0),
        b"x" * 5000: TokenSignature(),
    }
    judge, router = _judge(lambda token: Verdict(token, outcomes[token]))
    other, other_router = _judge(_good)
    judge.may_judge.set()
    other.may_judge.set()

    async def ask(of: Router, token: bytes) -> Verified | RouteError:
        told: list[Verdict] = []
        verifier.verify(of, token, 1.0, told.append)
        await _wait_for(told, 1)
        assert told[0].token == token
        return told[0].outcome

    for _ in range(2):
        for token, outcome in outcomes.items():
            assert type(await ask(router, token)) is type(outcome)
    assert sorted(token for token, _ in judge.calls) == sorted([*outcomes, *list(outcomes)[1:]])
    # Another router has other keys, and its word is not the first one's.
    assert isinstance(await ask(other_router, b"bad"), Verified)
    assert isinstance(await ask(router, b"bad"), TokenSignature)
    assert len(other.calls) == 1


async def test_few_are_remembered(verifier: Verifier, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that was asked for longest ago is forgotten first."""
    monkeypatch.setattr(verify, "_MAX_REFUSED", 2)
    judge, router = _judge(lambda token: Verdict(token, TokenSignature()))
    judge.may_judge.set()
    for token in (b"a", b"b", b"a", b"c", b"a", b"b"):
        told: list[Verdict] = []
        verifier.verify(router, token, 1.0, told.append)
        await _wait_for(told, 1)
    assert [token for token, _ in judge.calls] == [b"a", b"b", b"c", b"b"]


async def test_the_end(verifier: Verifier) -> None:
    """What has not begun is told to nobody, and nothing is raised."""
    judge, router = _judge()
    told: list[Verdict] = []
    for number in range(10):
        verifier.verify(router, b"%d" % number, 1.0, told.append)
    verifier.close()
    judge.may_judge.set()
    await asyncio.sleep(0.1)
    assert len(told) <= 2
