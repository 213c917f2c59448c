"""Requests, answers and a cache without a store, for the tests of the HTTP cache."""

from collections.abc import Sequence
from dataclasses import replace

from route_addon.core.answers import answer_fields
from route_addon.core.freshness import build_date
from route_addon.core.httpcache import (
    Amend,
    Freshen,
    Invalidate,
    Refuse,
    Store,
    Use,
    judge_answer,
    judge_request,
)
from route_addon.core.httpcache_request import CacheKey, CacheRequest, describe_request
from route_addon.core.httpcache_stored import DEFAULT_POLICY, Policy, Stored, build_stored
from route_addon.core.messages import Field, Fields, Forward
from tests.core.heads import forward, make_head, make_router, values

NOW = 1_800_000_000.0
"""Fri, 15 Jan 2027 08:00:00 GMT."""
ROUTER = make_router()


def date(offset: float = 0) -> bytes:
    """A date that far from now."""
    return build_date(NOW + offset)


def make_forward(
    target: bytes = b"/page", *fields: Field, method: bytes = b"GET", length: int = 0
) -> Forward:
    """The decision on a request."""
    return forward(ROUTER, make_head(target, *fields, method=method, length=length))


def make_request(
    target: bytes = b"/page",
    *fields: Field,
    method: bytes = b"GET",
    length: int = 0,
    now: float = NOW,
) -> CacheRequest:
    """A request to the website, as the cache sees it."""
    made = describe_request(
        make_forward(target, *fields, method=method, length=length), length, now
    )
    assert made is not None
    return made


def make_stored(
    *fields: Field,
    request: CacheRequest | None = None,
    status: int = 200,
    body: bytes = b"0123456789",
    now: float = NOW,
    policy: Policy = DEFAULT_POLICY,
) -> Stored:
    """A stored answer; it says when it was made unless it is given a Date."""
    if not values(fields, b"date"):
        fields = (*fields, (b"Date", build_date(now)))
    request = make_request(now=now) if request is None else request
    stored = build_stored(request, status, b"", fields, now, policy)
    return _with_body(stored, body)


def _with_body(stored: Stored, body: bytes) -> Stored:
    return replace(stored, body=body)


class Cache:
    """The verdicts joined by the shortest way: what the carriers do, without bytes."""

    def __init__(self, policy: Policy = DEFAULT_POLICY) -> None:
        self.policy = policy
        self.stored: dict[CacheKey, list[Stored]] = {}
        self.asked: list[Fields] = []
        """The fields of each request that the upstream got."""

    def ask(
        self,
        forward: Forward,
        answer: tuple[int, Sequence[Field], bytes],
        now: float = NOW,
        length: int = 0,
    ) -> tuple[int, list[Field], bytes]:
        """Send a request through.

        Args:
            forward: The decision on it.
            answer: What the upstream answers, if it is asked: status, fields, content.
            now: The time.
            length: The length of the request's content.

        Returns:
            What the client gets.
        """
        request = describe_request(forward, length, now)
        if request is None:
            self.asked.append(forward.fields)
            return answer[0], answer_fields(answer[0], answer[1], forward), answer[2]
        verdict = judge_request(request, self.stored.get(request.key, []), now)
        if isinstance(verdict, Refuse):
            return 504, [], b""
        if isinstance(verdict, Use):
            return _used(verdict, forward)
        self.asked.append(forward.fields if verdict.fields is None else verdict.fields)
        status, fields, body = answer
        judged = judge_answer(request, verdict, status, b"", fields, now, self.policy)
        if isinstance(judged, Use):
            return _used(judged, forward)
        if isinstance(judged, Freshen):
            self._replace(request.key, judged.old, judged.new)
            return _used(judged.use, forward)
        if isinstance(judged, Amend):
            self._replace(request.key, judged.old, judged.new)
        elif isinstance(judged, Invalidate):
            for key in [key for key in self.stored if key.target in judged.targets]:
                del self.stored[key]
        elif isinstance(judged, Store):
            self.stored.setdefault(request.key, []).append(_with_body(judged.stored, body))
        return status, answer_fields(status, fields, forward), body

    def _replace(self, key: CacheKey, old: Stored, new: Stored | None) -> None:
        self.stored[key].remove(old)
        if new is not None:
            self.stored[key].append(new)


def content(use: Use) -> bytes:
    """All of what is sent from the store."""
    whole = b""
    while portion := use.portion(len(whole)):
        whole += portion
    return whole


def _used(use: Use, forward: Forward) -> tuple[int, list[Field], bytes]:
    part = use.part
    return part.status, answer_fields(part.status, part.fields, forward), content(use)
