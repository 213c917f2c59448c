"""Recorded decisions, made again: what is the same, and what is not."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from mitmproxy import http

from route_addon.core.credentials import replace_tokens
from route_addon.core.recorded import Difference, Recorded, find_differences
from route_addon.core.router import Router
from route_addon.core.tokens import PLACEHOLDER
from route_addon.debug.judgement import judge, recorded_time
from route_addon.debug.recording import BadRecording, read_recorded, read_recording

SAME: Final = "same"
DIFFERENT: Final = "different"
UNDECIDED: Final = "undecided"
"""Nothing was decided when it was recorded: the client left before, say, or it was no request."""

_MAX_SHOWN: Final = 500
"""Characters of a value in a report."""


class Comparison(NamedTuple):
    """A flow's decision, as it was recorded and as it is made now."""

    request: str
    """The request line, without the version."""
    recorded: Recorded | None
    anew: Recorded
    differences: list[Difference]

    @property
    def verdict(self) -> str:
        """In one word: ``SAME``, ``DIFFERENT`` or ``UNDECIDED``."""
        if self.recorded is None:
            return UNDECIDED
        return DIFFERENT if self.differences else SAME

    def lines(self, number: int) -> Iterator[str]:
        """The report on it.

        Args:
            number: The flow's, counted from 1.
        """
        decision = self.recorded or self.anew
        yield f"{self.verdict:9} {number:4}  {self.request}  {show(decision.describe())}"
        for difference in self.differences:
            yield from (f"{'':14}{line}" for line in show_difference(difference))

    def describe(self) -> str:
        """The same in one line, for a flow's comment."""
        names = ", ".join(name.removesuffix(":") for name, *_ in self.differences)
        return f"{self.verdict} in {show(names)}; now {show(self.anew.describe())}"


def show_difference(difference: Difference) -> Iterator[str]:
    """What is gone, and what has come."""
    name = show(difference.name)
    label = "" if name == "decision" else f"{name.removesuffix(':')}: "
    for sign, value in (("-", difference.recorded), ("+", difference.anew)):
        if value is not None:
            yield f"{sign} {label}{show(value)}"


def show(text: str) -> str:
    """A text of a recording, safe for a terminal, without tokens, no longer than a person reads."""
    text = replace_tokens(text.encode("utf-8", "replace"), _hide_token).decode("utf-8", "replace")
    text = "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in text)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."


def _hide_token(token: bytes) -> bytes:
    return token if PLACEHOLDER.fullmatch(token) is not None else b"[token]"


def compare(flow: http.HTTPFlow, router: Router) -> Comparison:
    """Decide a recorded flow again, at its time, and compare.

    Raises:
        BadRecord: What was recorded is not a decision of ours.
    """
    recorded = read_recorded(flow)
    anew = Recorded.of(judge(flow, router, recorded_time(flow)))
    differences = find_differences(recorded, anew) if recorded is not None else []
    data = flow.request.data
    line = b"%b %b" % (data.method, data.path)
    return Comparison(show(line.decode("latin-1")), recorded, anew, differences)


def compare_all(path: str | Path, router: Router) -> Iterator[Comparison]:
    """Compare all flows of a recording, once all of it has been seen to be in order.

    Raises:
        BadRecording: It cannot be read, holds no decision, or something that cannot be judged.
    """
    decisions = 0
    for comparison in _compare_all(path, router):
        decisions += comparison.recorded is not None
    if not decisions:
        raise BadRecording(path, None, "holds no decision of the router: record with route.record")
    yield from _compare_all(path, router)


def report(path: str | Path, router: Router, counts: Counter[str]) -> Iterator[str]:
    """The report on a recording, line by line.

    Args:
        path: The recording.
        router: Decides.
        counts: Told how many flows there are of each verdict.

    Raises:
        BadRecording: As ``compare_all``.
    """
    for number, comparison in enumerate(compare_all(path, router), 1):
        counts[comparison.verdict] += 1
        yield from comparison.lines(number)


def sum_up(counts: Counter[str]) -> str:
    """The last line of a report."""
    told = ", ".join(f"{counts[verdict]} {verdict}" for verdict in (SAME, DIFFERENT))
    undecided = f", {counts[UNDECIDED]} {UNDECIDED}" if counts[UNDECIDED] else ""
    return f"{counts.total()} flows: {told}{undecided}"


def _compare_all(path: str | Path, router: Router) -> Iterator[Comparison]:
    for offset, flow in read_recording(path):
        try:
            comparison = compare(flow, router)
        except Exception as fault:
            kind = type(fault).__name__
            raise BadRecording(path, offset, f"this flow cannot be judged ({kind})") from None
        yield comparison
