"""Counts what the carrier reports: plain numbers, read when somebody asks.

Nobody outside can make the label sets grow: methods and statuses that are unusual share a label,
locations are the table's, and there are no addresses, targets or users.
"""

import re
from bisect import bisect_left
from collections import Counter, defaultdict
from http import HTTPStatus
from typing import Final

from route_addon.core.messages import Forward
from route_addon.core.observer import CLIENT_CLOSED, Report
from route_addon.serve.metrics.families import BUCKETS_S
from route_addon.serve.metrics.joining import Labels

NONE: Final = "none"
"""The label of a request without a location, an upstream, or a status."""
OTHER: Final = "other"

_METHODS: Final = {
    name.encode(): name for name in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH")
}
_STATUSES: Final = {
    **{status.value: str(status.value) for status in HTTPStatus},
    CLIENT_CLOSED: str(CLIENT_CLOSED),
    0: NONE,
}
_CACHE_RESULT: Final = re.compile(rb"; *(?:fwd=)?(hit|(?<=fwd=)[a-z-]+)")


class Histogram:
    """How long something took, by buckets."""

    __slots__ = ("counts", "sum_s")

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS_S) + 1)
        """How many fell into each bucket, not cumulated; the last is for the rest."""
        self.sum_s = 0.0

    def add(self, duration_s: float) -> None:
        """Count one."""
        self.counts[bisect_left(BUCKETS_S, duration_s)] += 1
        self.sum_s += duration_s


class LocationTally:
    """What is counted for one location."""

    __slots__ = ("cuts", "durations", "first_bytes", "received_bytes", "sent_bytes")

    def __init__(self) -> None:
        self.cuts = 0
        self.received_bytes = 0
        self.sent_bytes = 0
        self.durations = Histogram()
        self.first_bytes = Histogram()


class Tally:
    """An observer that counts."""

    def __init__(self) -> None:
        self.requests: Counter[Labels] = Counter()
        """By location, upstream, method and status."""
        self.refusals: Counter[Labels] = Counter()
        """By location and slug."""
        self.cached: Counter[Labels] = Counter()
        """By location and what the HTTP cache said."""
        self.locations: defaultdict[str, LocationTally] = defaultdict(LocationTally)
        self.open: set[Report] = set()
        """Requests and WebSockets that have not ended."""

    def begin(self, report: Report) -> None:
        """A request has come."""
        self.open.add(report)

    def switch(self, report: Report) -> None:
        """A WebSocket is open."""
        self._count(report, location_name(report))

    def end(self, report: Report) -> None:
        """A request, or a WebSocket, is over."""
        self.open.discard(report)
        name = location_name(report)
        location = self.locations[name]
        location.received_bytes += report.received_bytes
        location.sent_bytes += report.sent_bytes
        if report.is_cut:
            location.cuts += 1
        began, first_byte, ended = report.began, report.first_byte, report.ended
        if first_byte is not None:
            location.first_bytes.add(first_byte - began)
        if report.tunnel is None:
            self._count(report, name)
            if ended is not None:
                location.durations.add(ended - began)
        if report.slug:
            self.refusals[name, report.slug] += 1
        if report.http_cache:
            self.cached[name, _cache_result(report.http_cache)] += 1

    def _count(self, report: Report, name: str) -> None:
        decision = report.decision
        upstream = decision.upstream if isinstance(decision, Forward) else NONE
        method = _METHODS.get(report.head.method, OTHER) if decision is not None else NONE
        status = _STATUSES.get(report.status) or f"{report.status // 100}xx"
        self.requests[name, upstream, method, status] += 1


def location_name(report: Report) -> str:
    """The label of a report's location."""
    decision = report.decision
    if decision is None or decision.location is None:
        return NONE
    return decision.location.location


def _cache_result(said: bytes) -> str:
    """The part of a Cache-Status (RFC 9211 2) that says what became of the request."""
    match = _CACHE_RESULT.search(said)
    return match[1].decode() if match is not None else OTHER
