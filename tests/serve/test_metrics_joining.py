"""Several sources as one: gauges are what is there, counters never go back."""

from hypothesis import given
from hypothesis import strategies as st

from route_addon.serve.metrics.joining import Ledger, Snapshot, join

HITS = "route_token_cache_hits_total"
OPEN = "route_open_connections"
TIMES = "route_first_byte_seconds"


def counter(value: float) -> Snapshot:
    """A source that has counted so far."""
    return {HITS: {(): value}}


def test_join() -> None:
    """Numbers are added, histograms bucket by bucket; ages and bounds are the worst of all."""
    one: Snapshot = {
        OPEN: {(): 2},
        TIMES: {("/",): [0.5, 1, 0]},
        "route_pool_servers_up": {("website",): 2},
        "route_pool_servers": {("website",): 2},
    }
    two: Snapshot = {
        OPEN: {(): 3},
        TIMES: {("/",): [1.0, 1, 1], ("/filer",): [9.0, 0, 1]},
        "route_pool_servers_up": {("website",): 1},
        "route_pool_servers": {("website",): 3},
    }
    assert join([one, two]) == {
        OPEN: {(): 5},
        TIMES: {("/",): [1.5, 2, 1], ("/filer",): [9.0, 0, 1]},
        "route_pool_servers_up": {("website",): 1},
        "route_pool_servers": {("website",): 3},
    }
    assert one[TIMES] == {("/",): [0.5, 1, 0]}, "what was joined is left as it was"


def test_a_source_that_goes() -> None:
    """Its counters and histograms stay, its gauges go."""
    ledger = Ledger()
    ledger.add({"a": {**counter(5), OPEN: {(): 7}, TIMES: {("/",): [0.5, 1, 0]}}})
    left = ledger.add({"b": {**counter(1), OPEN: {(): 2}}})
    assert left == {**counter(6), OPEN: {(): 2}, TIMES: {("/",): [0.5, 1, 0]}}
    assert ledger.add({}) == {**counter(6), TIMES: {("/",): [0.5, 1, 0]}}


def test_a_source_that_begins_anew() -> None:
    """Under the same name it counts from nothing, and the sum does not."""
    ledger = Ledger()
    ledger.add({"a": counter(5)})
    assert ledger.add({"a": counter(2)}) == counter(7)
    assert ledger.add({"a": {}}) == counter(7)
    assert ledger.add({"a": counter(3)}) == counter(10)


steps = st.lists(
    st.dictionaries(st.sampled_from("abc"), st.integers(0, 9), max_size=3), min_size=1, max_size=12
)


@given(steps)
def test_counters_never_go_back(steps: list[dict[str, int]]) -> None:
    """Whatever sources come, go and begin anew."""
    ledger, last = Ledger(), 0.0
    for heard in steps:
        total = ledger.add({name: counter(value) for name, value in heard.items()})
        now = total.get(HITS, {}).get((), 0.0)
        assert isinstance(now, float | int)
        assert now >= last
        last = now
