"""One request's way through a pool: the server it is with, those it has tried, and what follows.

A request has been sent to a server or it has not, and that decides nearly all: what no server has
seen may go to the next one whatever it is; what one may have acted upon may go only if to act
twice is the same as once (RFC 9110 9.2.2), if there is still something to send, and if
``proxy_next_upstream`` names the failure.
"""

from collections.abc import Collection
from typing import Final

from route_addon.core.errors import BadAnswer, BadGateway, RouteError, UpstreamTimeout
from route_addon.core.members import Member
from route_addon.core.pool_config import Failure
from route_addon.core.pools import Pool

IDEMPOTENT: Final = frozenset({b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE"})
"""RFC 9110 9.2.2; TRACE is refused."""

_STATUS_FAILURES: Final = {502: Failure.HTTP_502, 503: Failure.HTTP_503, 504: Failure.HTTP_504}


def may_go_on(
    failure: Failure,
    next_upstream: Collection[Failure],
    method: bytes,
    *,
    is_sent: bool,
    is_body_kept: bool,
) -> bool:
    """Whether a request may go to the next server after a failure.

    Args:
        failure: What happened, before anything of an answer went to the client.
        next_upstream: The failures after which it may (``proxy_next_upstream``).
        method: The request's method. nginx's ``non_idempotent`` does not exist here.
        is_sent: Whether anything of the request has been sent. If not, it may go on always.
        is_body_kept: Whether its content could be sent again: there is none, or all of it is
            still spooled.
    """
    if not is_sent:
        return True
    return failure in next_upstream and method in IDEMPOTENT and is_body_kept


def failure_of(error: RouteError) -> Failure | None:
    """What an error says of the server; None when it says nothing of it."""
    if isinstance(error, UpstreamTimeout):
        return Failure.TIMEOUT
    if isinstance(error, BadAnswer):
        return Failure.INVALID_HEADER
    return Failure.ERROR if isinstance(error, BadGateway) else None


class Attempts:
    """One request's way through a pool.

    Args:
        pool: The pool.
        method: The request's method.
    """

    __slots__ = ("_error", "_is_trial", "_method", "_since", "member", "pool", "tried")

    def __init__(self, pool: Pool, method: bytes) -> None:
        self.pool = pool
        self.member: Member | None = None
        """The server that the request is with."""
        self.tried: set[Member] = set()
        self._method = method
        self._since: float | None = None
        self._is_trial = False
        self._error: RouteError | None = None

    def pick(self, now: float) -> Member | None:
        """The server to send the request to.

        Returns:
            None when it must wait: ``Pool.serve`` will name it when that is over, and then this
            has the answer.

        Raises:
            PoolDown: No server is available: 503.
            PoolBusy: Too many wait, or this one has waited too long: 503.
        """
        error, self._error = self._error, None
        if error is not None:
            raise error
        if self.member is None:
            # Nobody overtakes those who wait.
            member = None if self.pool.is_waited_for else self.pool.pick(now, self.tried)
            if member is None:
                self.pool.join(self, now)
            else:
                self.seat(member, now)
        return self.member

    def fail(self, error: RouteError, now: float, *, is_sent: bool, is_body_kept: bool) -> bool:
        """The server has failed, before anything of an answer went to the client.

        Args:
            error: How.
            now: The time.
            is_sent: Whether anything of the request has been sent.
            is_body_kept: Whether its content could be sent again.

        Returns:
            Whether to ``pick`` again. If not, the error is the request's.
        """
        failure = failure_of(error)
        if failure is None or self.member is None:
            return False
        return self._fail(failure, now, is_sent=is_sent, is_body_kept=is_body_kept)

    def judge(self, status: int, now: float, *, is_body_kept: bool) -> bool:
        """Judge an answer by its status.

        Args:
            status: The status.
            now: The time.
            is_body_kept: Whether the request's content could be sent again.

        Returns:
            Whether to drop the answer and ``pick`` again. If not, it is the request's.
        """
        failure = _STATUS_FAILURES.get(status)
        if failure is not None and failure in self.pool.spec.next_upstream:
            return self._fail(failure, now, is_sent=True, is_body_kept=is_body_kept)
        if self._is_trial and self.member is not None:
            self.member.recover()
            # The answer may take its time, and a tunnel hours.
            self._end_trial(self.member)
        return False

    def finish(self) -> None:
        """The request is over, however it ended. If it waited, it waits no more."""
        self.pool.leave(self)
        member, self.member = self.member, None
        if member is not None:
            member.release()
            self._end_trial(member)

    def _fail(self, failure: Failure, now: float, *, is_sent: bool, is_body_kept: bool) -> bool:
        pool, member = self.pool, self.member
        assert member is not None and self._since is not None
        spec = pool.spec
        pool.fail(member, now)
        self._end_trial(member)
        self.tried.add(member)
        is_in_time = not 0 < spec.next_upstream_timeout_s <= now - self._since
        is_next = (
            is_in_time
            and len(self.tried) != spec.tries
            and may_go_on(
                failure,
                spec.next_upstream,
                self._method,
                is_sent=is_sent,
                is_body_kept=is_body_kept,
            )
            and pool.has_next(now, self.tried)
        )
        if is_next:
            self.finish()
        return is_next

    def _end_trial(self, member: Member) -> None:
        if self._is_trial:
            member.end_trial()
            self._is_trial = False

    # For the pool.

    def seat(self, member: Member, now: float) -> None:
        """The request is given a server."""
        self.member = member
        self._is_trial = member.take()
        if self._since is None:
            self._since = now

    def turn_away(self, error: RouteError) -> None:
        """It will get none."""
        self._error = error
