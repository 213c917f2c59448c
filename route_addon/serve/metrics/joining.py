"""Joins what several sources count, so that no counter ever goes back.

Sources are worker processes, and inside one the things that may be replaced: a cache, a server of
a pool. A gauge is what those are that are there; of a counter's source that has gone the last that
was heard stays.
"""

from collections.abc import Hashable, Mapping

from route_addon.serve.metrics.families import BY_NAME, Joined

type Labels = tuple[str, ...]
type Value = float | list[float]
"""A number; of a histogram the sum, then how many fell into each bucket."""
type Samples = dict[Labels, Value]
type Snapshot = dict[str, Samples]
"""By family, then by the values of its labels."""


def join(snapshots: list[Snapshot]) -> Snapshot:
    """What several snapshots are together."""
    joined: Snapshot = {}
    for snapshot in snapshots:
        for name, samples in snapshot.items():
            known = joined.setdefault(name, {})
            how = BY_NAME[name].joined
            for labels, value in samples.items():
                old = known.get(labels)
                known[labels] = value if old is None else _join_values(how, old, value)
    return joined


def _join_values(how: Joined, one: Value, other: Value) -> Value:
    if isinstance(one, list):
        assert isinstance(other, list)
        return [a + b for a, b in zip(one, other, strict=True)]
    assert not isinstance(other, list)
    if how == "sum":
        return one + other
    return min(one, other) if how == "min" else max(one, other)


class Ledger:
    """Sources that come and go."""

    def __init__(self) -> None:
        self._heard: dict[Hashable, Snapshot] = {}
        """What each source said last."""
        self._gone: Snapshot = {}
        """The counters of those that have gone."""

    def add(self, heard: Mapping[Hashable, Snapshot]) -> Snapshot:
        """Take in what all sources say that are there.

        Returns:
            What all of them are together, with those that have gone.
        """
        for source, last in self._heard.items():
            now = heard.get(source)
            if now is None or _has_gone_back(last, now):
                self._gone = join([self._gone, counters(last)])
        self._heard = dict(heard)
        return join([self._gone, *heard.values()])


def counters(snapshot: Snapshot) -> Snapshot:
    """What stays of a source that has gone."""
    return {name: samples for name, samples in snapshot.items() if BY_NAME[name].kind != "gauge"}


def _has_gone_back(last: Snapshot, now: Snapshot) -> bool:
    """Whether a source has begun anew under the same name."""
    return any(
        isinstance(value, float | int) and _number(now, name, labels) < value
        for name, samples in counters(last).items()
        for labels, value in samples.items()
    )


def _number(snapshot: Snapshot, name: str, labels: Labels) -> float:
    value = snapshot.get(name, {}).get(labels, 0)
    return value if isinstance(value, float | int) else 0
