"""What is counted of a request, and that nobody outside makes the label sets grow."""

import pytest

from route_addon.core.observer import Report
from route_addon.serve.metrics.families import BUCKETS_S
from route_addon.serve.metrics.tally import Histogram, Tally
from tests.serve.reports import TOKEN, Traffic, make_report, make_unread


def count(*reports: Report) -> Tally:
    """A tally of requests that came and went."""
    tally = Tally()
    for report in reports:
        tally.begin(report)
        tally.end(report)
    return tally


def test_a_request() -> None:
    """It counts once, by what it was; its content and its times by its location."""
    tally = count(make_report(b"/API/x", method=b"POST", received_bytes=3, sent_bytes=5))
    assert tally.requests == {("/API", "pyos", "POST", "200"): 1}
    location = tally.locations["/API"]
    assert (location.received_bytes, location.sent_bytes, location.cuts) == (3, 5, 0)
    assert location.durations.sum_s == 0.25
    assert location.first_bytes.sum_s == 0.125
    assert sum(location.durations.counts) == sum(location.first_bytes.counts) == 1
    assert not tally.refusals and not tally.cached and not tally.open


def test_a_refusal() -> None:
    """It counts by its reason; it went to no upstream."""
    tally = count(make_report(b"/filer"), make_report(b"/filer"))
    assert tally.requests == {("/filer", "none", "GET", "401"): 2}
    assert tally.refusals == {("/filer", "token_missing"): 2}


def test_a_head_that_could_not_be_read() -> None:
    """It has neither location nor method."""
    tally = count(make_unread())
    assert tally.requests == {("none", "none", "none", "400"): 1}
    assert tally.refusals == {("none", "bad_request"): 1}
    assert sum(tally.locations["none"].first_bytes.counts) == 0


def test_a_cut() -> None:
    """An answer that is not whole counts, also when there was none."""
    tally = count(make_report(is_cut=True, status=499, first_byte=None), make_report(is_cut=True))
    assert tally.locations["/"].cuts == 2
    assert tally.requests["/", "website", "GET", "499"] == 1


def test_a_websocket() -> None:
    """It counts when it opens; at its end only its bytes do, and its first byte."""
    target = b"/websockify?jwt_token=" + TOKEN
    report = make_report(target, status=101, ended=None, tunnel=Traffic(1, 2))
    tally = Tally()
    tally.begin(report)
    tally.switch(report)
    assert tally.requests == {("/websockify", "pod", "GET", "101"): 1}
    assert tally.open == {report}
    report.received_bytes, report.sent_bytes, report.ended = 7, 9, 3600.0
    tally.end(report)
    assert not tally.open
    location = tally.locations["/websockify"]
    assert (location.received_bytes, location.sent_bytes) == (7, 9)
    assert sum(location.durations.counts) == 0
    assert sum(location.first_bytes.counts) == 1
    assert sum(tally.requests.values()) == 1


@pytest.mark.parametrize(
    ("status", "label"),
    [(0, "none"), (200, "200"), (418, "418"), (499, "499"), (299, "2xx"), (999, "9xx")],
)
def test_statuses(status: int, label: str) -> None:
    """A status that nobody has registered shares a label with its class."""
    assert list(count(make_report(status=status)).requests) == [("/", "website", "GET", label)]


@pytest.mark.parametrize(("method", "label"), [(b"PATCH", "PATCH"), (b"PROPFIND", "other")])
def test_methods(method: bytes, label: str) -> None:
    """A method that is unusual shares a label with all others."""
    assert list(count(make_report(method=method)).requests) == [("/", "website", label, "200")]


@pytest.mark.parametrize(
    ("said", "result"),
    [
        (b"route-addon; hit; ttl=5", "hit"),
        (b"route-addon; fwd=uri-miss; fwd-status=200; stored", "uri-miss"),
        (b"route-addon; fwd=stale; fwd-status=304", "stale"),
        (b"something else", "other"),
    ],
)
def test_the_http_cache(said: bytes, result: str) -> None:
    """What Cache-Status says counts by its first word, whatever follows."""
    assert count(make_report(http_cache=said)).cached == {("/", result): 1}


@pytest.mark.parametrize(
    ("duration_s", "bucket"),
    [(0.0, 0), (0.002, 0), (0.0021, 1), (1.0, 8), (600.0, 15), (601.0, 16)],
)
def test_histograms(duration_s: float, bucket: int) -> None:
    """A bucket holds what is at most its bound; the last one holds the rest."""
    histogram = Histogram()
    histogram.add(duration_s)
    assert histogram.counts.index(1) == bucket
    assert len(histogram.counts) == len(BUCKETS_S) + 1
