"""One server of a pool: when it is available, when it is tried again, and what it is called."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from route_addon.core.members import Member
from route_addon.core.messages import Server
from route_addon.core.pool_config import HealthSpec, ServerSpec
from tests.core.pooling import server, state

HEALTH = HealthSpec("/healthz", rise=2, fall=3)


def _failed(*times: float, **parameters: object) -> Member:
    member = Member(server("a", **parameters))
    for now in times:
        member.fail(now, is_alone=False)
    return member


def _available(member: Member, now: float) -> bool:
    return member.is_available(now, is_alone=False)


@pytest.mark.parametrize(
    ("times", "max_fails", "fail_timeout_s", "now", "is_available"),
    [
        pytest.param((), 1, 10.0, 0.0, True, id="never failed"),
        pytest.param((5.0,), 1, 10.0, 5.0, False, id="one failure is enough"),
        pytest.param((5.0,), 1, 10.0, 15.0, False, id="as long as fail_timeout"),
        pytest.param((5.0,), 1, 10.0, 15.1, True, id="then it may be tried"),
        pytest.param((5.0, 6.0), 3, 10.0, 6.0, True, id="too few failures"),
        pytest.param((5.0, 6.0, 15.0), 3, 10.0, 15.0, False, id="three within the time"),
        pytest.param((5.0, 6.0, 15.1), 3, 10.0, 15.1, True, id="three, but not within it"),
        pytest.param((5.0, 6.0, 15.1, 16.0), 3, 10.0, 16.0, False, id="the last three count"),
        pytest.param((5.0, 12.0), 1, 10.0, 20.0, False, id="a late failure prolongs it"),
        pytest.param((5.0,) * 99, 0, 10.0, 5.0, True, id="max_fails=0 counts nothing"),
        pytest.param((5.0,), 1, 0.0, 5.0, False, id="fail_timeout=0: not at once"),
        pytest.param((5.0,), 1, 0.0, 5.1, True, id="fail_timeout=0: but soon"),
    ],
)
def test_max_fails_within_fail_timeout(
    times: tuple[float, ...], max_fails: int, fail_timeout_s: float, now: float, is_available: bool
) -> None:
    """nginx: so many unsuccessful attempts within the time, and unavailable for that time."""
    member = _failed(*times, max_fails=max_fails, fail_timeout_s=fail_timeout_s)
    assert is_available is _available(member, now)
    assert member.fails == len(times)


@given(st.lists(st.floats(0, 100), max_size=30).map(sorted), st.integers(1, 5))
def test_any_failures(times: list[float], max_fails: int) -> None:
    """Unavailable is who has failed so often within the time before, or since."""
    member = Member(server("a", max_fails=max_fails))
    until = -1.0
    for index, now in enumerate(times):
        member.fail(now, is_alone=False)
        first = index - max_fails + 1
        is_many = first >= 0 and now - times[first] <= 10.0
        if until >= 0 or is_many:
            until = now + 10.0
        assert (member.state == "up") is (until < 0)
        assert _available(member, now) is (until < 0)


@pytest.mark.parametrize(
    ("weight", "max_fails", "expected"),
    [(5, 1, [0, 0]), (5, 2, [3, 1, 0]), (5, 5, [4, 3, 2, 1, 0, 0]), (1, 3, [1, 1]), (9, 0, [9])],
)
def test_effective_weight(weight: int, max_fails: int, expected: list[int]) -> None:
    """nginx: each failure takes weight / max_fails, in whole numbers, and never below nothing."""
    member = Member(server("a", weight=weight, max_fails=max_fails))
    seen = []
    for _ in expected:
        member.fail(0.0, is_alone=False)
        seen.append(member.effective_weight)
    assert expected == seen


def test_alone() -> None:
    """The only one is available whatever it has done, unless it is down by configuration."""
    member = Member(server("a"))
    member.fail(1.0, is_alone=True)
    assert (member.state, member.fails, member.effective_weight) == ("up", 1, 1)
    member.fail(1.0, is_alone=False)
    assert not _available(member, 1.0)
    assert member.is_available(1.0, is_alone=True)
    assert not Member(server("a", is_down=True)).is_available(1.0, is_alone=True)


def test_one_trial_at_a_time() -> None:
    """When its time is over, one request tries it; the next one only when that is over."""
    member = _failed(0.0)
    assert state(member) == "unavail"
    assert _available(member, 10.1)
    assert member.take()
    assert state(member) == "checking"
    assert not _available(member, 1000.0)
    assert not member.take()
    member.end_trial()
    assert _available(member, 1000.0)
    assert member.take()
    member.recover()
    member.end_trial()
    assert (member.state, member.conns, member.requests) == ("up", 3, 3)
    assert _available(member, 1000.0)


def test_a_failed_trial() -> None:
    """It is unavailable for another time; it became so once."""
    member = _failed(0.0)
    member.take()
    member.fail(20.0, is_alone=False)
    member.end_trial()
    assert not _available(member, 30.0)
    assert _available(member, 30.1)
    assert (member.unavails, member.fails) == (1, 2)


def test_recovered_is_forgiven() -> None:
    """After a trial that succeeded, failures are counted from the first again."""
    member = _failed(0.0, 0.0, max_fails=2)
    member.recover()
    member.fail(0.1, is_alone=False)
    assert state(member) == "up"
    member.fail(0.2, is_alone=False)
    assert (member.state, member.unavails) == ("unavail", 2)


def test_full() -> None:
    """``max_conns`` requests, and not one more; 0 is no bound."""
    member = Member(server("a", max_conns=2))
    seen = []
    for _ in range(2):
        seen.append(member.is_full)
        member.take()
    assert [*seen, member.is_full] == [False, False, True]
    member.release()
    assert not member.is_full
    assert not Member(server("a")).is_full


def test_configure() -> None:
    """Other parameters are taken; what is known of its health stays."""
    member = _failed(0.0, weight=4)
    assert member.effective_weight == 0
    member.configure(member.spec)
    assert member.effective_weight == 0
    member.configure(server("a", weight=6, max_fails=2))
    assert (member.effective_weight, member.state) == (6, "unavail")
    member.configure(server("a", max_fails=0))
    assert state(member) == "up"


@pytest.mark.parametrize(
    ("answers", "is_healthy"),
    [
        pytest.param([], True, id="healthy until it is found not to be"),
        pytest.param([500, None], True, id="fewer than fall"),
        pytest.param([500, None, 404], False, id="fall in a row"),
        pytest.param([500, 500, 200, 500, 500], True, id="a good one between"),
        pytest.param([500] * 3 + [200], False, id="fewer than rise"),
        pytest.param([500] * 3 + [200, 500, 200], False, id="a bad one between"),
        pytest.param([500] * 9 + [200, 302], True, id="rise in a row"),
        pytest.param([500] * 3 + [200, 200, 500, 500], True, id="counted from the first again"),
    ],
)
def test_probes(answers: list[int | None], is_healthy: bool) -> None:
    """``fall`` bad answers in a row and it is unhealthy, ``rise`` good ones and it is not."""
    member = Member(server("a"))
    for status in answers:
        member.receive_probe(HEALTH, status)
    assert is_healthy is member.is_healthy
    assert is_healthy is _available(member, 0.0)
    assert state(member) == ("up" if is_healthy else "unhealthy")


def test_forget_probes() -> None:
    """Without probes nothing that they have seen counts."""
    member = Member(server("a"))
    for _ in range(5):
        member.receive_probe(HEALTH, None)
    member.forget_probes()
    assert state(member) == "up"


@pytest.mark.parametrize(
    ("spec", "address", "name"),
    [
        (server("a"), "", "http://a:80"),
        (server("a"), "10.0.0.1", "http://a:80 (10.0.0.1)"),
        (ServerSpec(Server(b"https", "fd00::1", 8443)), "", "https://[fd00::1]:8443"),
    ],
)
def test_names(spec: ServerSpec, address: str, name: str) -> None:
    """A server is called by its URL."""
    member = Member(spec, address)
    assert name == member.name
    assert repr(member) == f"<{name} up>"


def test_down() -> None:
    """What is down by configuration is so whatever else is known."""
    member = Member(server("a", is_down=True))
    member.fail(0.0, is_alone=False)
    assert state(member) == "down"
    assert not _available(member, 99.0)
