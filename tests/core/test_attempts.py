"""One request's way through a pool: which failures send it on, and how often."""

import itertools

import pytest

from route_addon.core import errors
from route_addon.core.attempts import IDEMPOTENT, Attempts, failure_of, may_go_on
from route_addon.core.errors import (
    BadAnswer,
    InternalError,
    PoolBusy,
    PoolDown,
    RouteError,
    UpstreamRefused,
    UpstreamReset,
    UpstreamTimeout,
    UpstreamUnresolved,
    UpstreamUntrusted,
)
from route_addon.core.pool_config import Failure
from route_addon.core.pools import Pool
from tests.core.pooling import begin, host, hosts, pool, server, state

METHODS = (b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE", b"POST", b"PATCH", b"PROPFIND")
DEFAULT = frozenset({Failure.ERROR, Failure.TIMEOUT})
ALL = frozenset(Failure)


@pytest.mark.parametrize("failure", Failure)
@pytest.mark.parametrize("method", METHODS)
def test_may_go_on(failure: Failure, method: bytes) -> None:
    """The whole table: what was not sent goes on always; else all three must hold."""
    for named, is_sent, is_body_kept in itertools.product(
        (frozenset[Failure](), DEFAULT, ALL), (False, True), (False, True)
    ):
        expected = not is_sent or (failure in named and method in IDEMPOTENT and is_body_kept)
        assert expected is may_go_on(
            failure, named, method, is_sent=is_sent, is_body_kept=is_body_kept
        )


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (UpstreamRefused(), Failure.ERROR),
        (UpstreamReset(), Failure.ERROR),
        (UpstreamUnresolved(), Failure.ERROR),
        (UpstreamUntrusted(), Failure.ERROR),
        (UpstreamTimeout(), Failure.TIMEOUT),
        (BadAnswer(), Failure.INVALID_HEADER),
        (InternalError(), None),
        (PoolDown(), None),
        (errors.TargetDenied(), None),
        (errors.ContentTooLarge(), None),
        (errors.SpoolFull(), None),
        (errors.RequestTimeout(), None),
    ],
    ids=lambda value: getattr(value, "slug", str(value)),
)
def test_what_an_error_says(error: RouteError, failure: Failure | None) -> None:
    """Only what the server did is held against it."""
    assert failure == failure_of(error)


def _fail(attempts: Attempts, error: RouteError, now: float = 0.0, *, sent: bool = True) -> bool:
    return attempts.fail(error, now, is_sent=sent, is_body_kept=True)


def test_the_next_server() -> None:
    """A server that refuses is left for the next one, and both know it."""
    two = pool("a", "b")
    attempts = begin(two)
    first = attempts.member
    assert first is not None
    assert _fail(attempts, UpstreamRefused(), sent=False)
    assert (attempts.member, first.conns, first.state) == (None, 0, "unavail")
    assert host(attempts.pick(0.0)) == "b"
    assert {first} == attempts.tried
    assert attempts.judge(200, 0.0, is_body_kept=True) is False
    attempts.finish()
    assert hosts(two, 3) == "b b b"


def test_no_server_twice() -> None:
    """Each server is tried once; the last one's failure is the request's."""
    attempts = begin(pool("a", "b", "c"))
    names = [host(attempts.member)]
    while _fail(attempts, UpstreamReset()):
        names.append(host(attempts.pick(0.0)))
    assert names == ["a", "b", "c"]
    assert attempts.member is not None
    attempts.finish()


def test_where_else_to_go() -> None:
    """With nobody else in service, the failure that there was is the request's."""
    attempts = begin(pool("a", server("b", is_down=True)))
    assert not _fail(attempts, UpstreamReset())


@pytest.mark.parametrize(
    ("method", "sent", "kept", "goes_on"),
    [
        pytest.param(b"GET", True, True, True, id="GET that was sent"),
        pytest.param(b"POST", False, False, True, id="POST that was not sent"),
        pytest.param(b"POST", True, True, False, id="POST that was sent"),
        pytest.param(b"PUT", True, True, True, id="PUT whose body is spooled"),
        pytest.param(b"PUT", True, False, False, id="PUT whose body is gone"),
    ],
)
def test_by_request(method: bytes, sent: bool, kept: bool, goes_on: bool) -> None:
    """Whether or not the request goes on, the failure counts."""
    attempts = begin(pool("a", "b"), method=method)
    member = attempts.member
    assert member is not None
    assert goes_on is attempts.fail(UpstreamReset(), 0.0, is_sent=sent, is_body_kept=kept)
    assert state(member) == "unavail"


@pytest.mark.parametrize(("tries", "expected"), [(0, 4), (1, 1), (2, 2), (9, 4)])
def test_tries(tries: int, expected: int) -> None:
    """``proxy_next_upstream_tries``: so many servers, the first one counted; 0 for all."""
    attempts = begin(pool("a", "b", "c", "d", tries=tries))
    count = 1
    while _fail(attempts, UpstreamReset(), sent=False):
        attempts.pick(0.0)
        count += 1
    assert expected == count


@pytest.mark.parametrize(
    ("timeout_s", "now", "goes_on"),
    [(10.0, 9.9, True), (10.0, 10.0, False), (10.0, 99.0, False), (0.0, 1e9, True)],
)
def test_next_upstream_timeout(timeout_s: float, now: float, goes_on: bool) -> None:
    """``proxy_next_upstream_timeout``: from the first try on; 0 for ever."""
    attempts = begin(pool("a", "b", next_upstream_timeout_s=timeout_s))
    assert goes_on is _fail(attempts, UpstreamTimeout(), now)


def test_the_time_of_the_first_try() -> None:
    """Waiting for the first server is not counted; the second try does not start it anew."""
    balanced = pool("a", "b", "c", next_upstream_timeout_s=10.0)
    attempts = Attempts(balanced, b"GET")
    attempts.pick(100.0)
    assert _fail(attempts, UpstreamReset(), 109.0)
    attempts.pick(109.0)
    assert not _fail(attempts, UpstreamReset(), 110.0)


@pytest.mark.parametrize(
    ("status", "named", "goes_on", "expected"),
    [
        (200, ALL, False, "up"),
        (404, ALL, False, "up"),
        (500, ALL, False, "up"),
        (502, ALL, True, "unavail"),
        (503, ALL, True, "unavail"),
        (504, ALL, True, "unavail"),
        (502, DEFAULT, False, "up"),
        (503, {Failure.HTTP_502}, False, "up"),
        (101, ALL, False, "up"),
    ],
)
def test_answers(status: int, named: set[Failure], goes_on: bool, expected: str) -> None:
    """A status that is named sends the request on, and counts; another is the answer."""
    attempts = begin(pool("a", "b", next_upstream=frozenset(named)))
    member = attempts.member
    assert member is not None
    assert goes_on is attempts.judge(status, 0.0, is_body_kept=True)
    assert state(member) == expected


def test_an_answer_that_cannot_be_dropped() -> None:
    """A 503 that is all there is goes to the client, and counts."""
    attempts = begin(pool("a", "b", next_upstream=ALL), method=b"POST")
    member = attempts.member
    assert member is not None
    assert not attempts.judge(503, 0.0, is_body_kept=True)
    assert (attempts.member, member.state) == (member, "unavail")


@pytest.mark.parametrize("error", [InternalError(), errors.TargetDenied(), errors.SpoolFull()])
def test_what_is_not_the_servers_fault(error: RouteError) -> None:
    """Nothing is counted, and nobody else is tried."""
    attempts = begin(pool("a", "b"))
    assert not _fail(attempts, error)
    assert attempts.member is not None
    assert attempts.member.state == "up"


def test_before_there_is_a_server() -> None:
    """A name that does not resolve is nobody's failure: no server has been picked."""
    attempts = Attempts(pool(server("a", is_resolved=True)), b"GET")
    assert not _fail(attempts, UpstreamUnresolved())


def _with_trial(method: bytes = b"GET") -> tuple[Pool, Attempts]:
    """A pool whose first server has failed at 0, and a request that tries it at 20."""
    balanced = pool("a", "b", next_upstream=ALL)
    _fail(begin(balanced), UpstreamReset())
    while True:
        attempts = begin(balanced, 20.0, method)
        if host(attempts.member) == "a":
            return balanced, attempts
        attempts.finish()


def test_a_trial_that_succeeds() -> None:
    """With the answer's head the server is up again, however long the answer takes."""
    balanced, attempts = _with_trial()
    member = attempts.member
    assert member is not None
    assert state(member) == "checking"
    assert set(hosts(balanced, 4, 21.0).split()) == {"b"}
    attempts.judge(101, 22.0, is_body_kept=True)
    assert state(member) == "up"
    assert set(hosts(balanced, 4, 22.0).split()) == {"a", "b"}
    # While the tunnel lasts it may fail, and be tried again.
    member.fail(30.0, is_alone=False)
    assert state(member) == "unavail"
    assert member.is_available(41.0, is_alone=False)
    attempts.finish()
    assert state(member) == "unavail"


def test_a_trial_that_fails() -> None:
    """It is out for another time, from the moment that it failed."""
    balanced, attempts = _with_trial()
    member = attempts.member
    assert member is not None
    assert _fail(attempts, UpstreamTimeout(), 25.0)
    assert state(member) == "unavail"
    assert set(hosts(balanced, 4, 35.0).split()) == {"b"}
    assert "a" in hosts(balanced, 4, 35.1).split()


def test_a_trial_that_fails_for_good() -> None:
    """Even while its answer still goes to the client, another may try."""
    balanced, attempts = _with_trial(b"POST")
    member = attempts.member
    assert member is not None
    assert not attempts.judge(503, 20.0, is_body_kept=True)
    assert (attempts.member, member.state) == (member, "unavail")
    assert "a" in hosts(balanced, 4, 30.1).split()


def test_a_trial_that_says_nothing() -> None:
    """The client went away: the next request tries."""
    balanced, attempts = _with_trial()
    attempts.finish()
    assert "a" in hosts(balanced, 4, 20.0).split()


def test_finish_is_said_once() -> None:
    """To say it again changes nothing."""
    attempts = begin(pool("a"))
    member = attempts.member
    assert member is not None
    attempts.finish()
    attempts.finish()
    assert (member.conns, attempts.member) == (0, None)


def test_waiting() -> None:
    """A request that must wait has no server, until it is served; then ``pick`` has the answer."""
    balanced = pool(server("a", max_conns=1))
    first, second = begin(balanced), begin(balanced)
    assert second.member is None
    first.finish()
    assert balanced.serve(0.0) == [second]
    assert host(second.pick(0.0)) == host(second.member) == "a"


def test_turned_away() -> None:
    """Or it has the refusal, once."""
    balanced = pool(server("a", max_conns=1), queue_timeout_s=5.0)
    begin(balanced)
    second = begin(balanced)
    assert balanced.serve(5.0) == [second]
    with pytest.raises(PoolBusy):
        second.pick(5.0)


def test_gone_while_waiting() -> None:
    """A client that went away waits no more."""
    balanced = pool(server("a", max_conns=1))
    first, second = begin(balanced), begin(balanced)
    second.finish()
    first.finish()
    assert not balanced.is_waited_for
    assert balanced.serve(0.0) == []


def test_all_down() -> None:
    """Nobody to go to: the caller's 503."""
    with pytest.raises(PoolDown):
        begin(pool(server("a", is_down=True)))
