"""The cache token -> target."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from route_addon.core.targetmap import TargetMap, Verified

POD = Verified("10.0.0.1", 1420.0)


def test_a_hit() -> None:
    """What was put is found, and counted."""
    targets = TargetMap(10, 600)
    targets.put(b"t", POD, 1000.0)
    assert targets.get(b"t", 1000.0) == POD
    assert (targets.hits, targets.misses, targets.evictions) == (1, 0, 0)
    assert len(targets) == 1


def test_a_miss() -> None:
    """What was not put is not found, and counted."""
    targets = TargetMap(10, 600)
    assert targets.get(b"t", 1000.0) is None
    assert (targets.hits, targets.misses, targets.evictions) == (0, 1, 0)


@pytest.mark.parametrize(
    ("expires", "ttl_s", "now", "is_there"),
    [
        pytest.param(1420.0, 600.0, 1419.9, True, id="just before exp"),
        pytest.param(1420.0, 600.0, 1420.0, False, id="at exp"),
        pytest.param(1420.0, 600.0, 1420.1, False, id="after exp"),
        pytest.param(9999.0, 600.0, 1599.9, True, id="just before its life ends"),
        pytest.param(9999.0, 600.0, 1600.0, False, id="when its life ends"),
        pytest.param(1001.1, 600.0, 1000.5, True, id="more than a second to live"),
        pytest.param(1001.0, 600.0, 1000.0, False, id="a second to live is too little"),
        pytest.param(9999.0, 1.0, 1000.0, False, id="a life of a second is too little"),
        pytest.param(900.0, 600.0, 1000.0, False, id="over already"),
    ],
)
def test_the_life_of_an_entry(expires: float, ttl_s: float, now: float, is_there: bool) -> None:
    """An entry put at 1000 lives for its time, and never past the token's end."""
    targets = TargetMap(10, ttl_s)
    targets.put(b"t", Verified("h", expires), 1000.0)
    assert is_there is (targets.get(b"t", now) is not None)


@given(st.floats(0, 1e10), st.floats(0, 1e10), st.floats(0.1, 1e6))
def test_never_past_exp(now: float, expires: float, ttl_s: float) -> None:
    """At ``exp`` sharp nothing is found, whatever the numbers round to."""
    targets = TargetMap(10, ttl_s)
    targets.put(b"t", Verified("h", expires), now)
    assert targets.get(b"t", expires) is None


def test_a_look() -> None:
    """Who only looks finds what ``get`` would, and changes nothing by it."""
    targets = TargetMap(2, 600)
    targets.put(b"a", POD, 1000.0)
    targets.put(b"b", POD, 1000.0)
    assert targets.peek(b"a", 1419.0) == POD
    assert targets.peek(b"a", 1420.0) is None
    assert targets.peek(b"z", 1000.0) is None
    assert (targets.hits, targets.misses, len(targets)) == (0, 0, 2)
    targets.put(b"c", POD, 1000.0)
    assert targets.peek(b"a", 1000.0) is None


def test_a_dead_entry_leaves() -> None:
    """An entry that is found dead is a miss and takes no room."""
    targets = TargetMap(10, 600)
    targets.put(b"t", POD, 1000.0)
    assert targets.get(b"t", 2000.0) is None
    assert (len(targets), targets.misses) == (0, 1)


def test_the_least_recently_used_entry_leaves_first() -> None:
    """Above the bound the entry leaves that was not asked for the longest."""
    targets = TargetMap(2, 600)
    targets.put(b"a", POD, 1000.0)
    targets.put(b"b", POD, 1000.0)
    targets.get(b"a", 1000.0)
    targets.put(b"c", POD, 1000.0)
    assert [targets.get(token, 1000.0) is not None for token in (b"a", b"b", b"c")] == [
        True,
        False,
        True,
    ]
    assert (len(targets), targets.evictions) == (2, 1)


def test_an_entry_put_again_is_used() -> None:
    """To put a token again renews it; nothing leaves for it."""
    targets = TargetMap(2, 600)
    targets.put(b"a", POD, 1000.0)
    targets.put(b"b", POD, 1000.0)
    targets.put(b"a", Verified("other", 1420.0), 1000.0)
    targets.put(b"c", POD, 1000.0)
    assert targets.get(b"b", 1000.0) is None
    assert Verified("other", 1420.0) == targets.get(b"a", 1000.0)


def test_the_bound_holds() -> None:
    """However many tokens come, no more than the bound are kept."""
    targets = TargetMap(100, 600)
    for number in range(1000):
        targets.put(b"%d" % number, POD, 1000.0)
    assert (len(targets), targets.evictions) == (100, 900)


def test_clear() -> None:
    """Nothing is left."""
    targets = TargetMap(10, 600)
    targets.put(b"a", POD, 1000.0)
    targets.clear()
    assert targets.get(b"a", 1000.0) is None


def test_hosts() -> None:
    """Each target is named once, however many tokens it has."""
    targets = TargetMap(10, 600)
    targets.put(b"a", Verified("10.0.0.2", 1420.0), 1000.0)
    targets.put(b"b", POD, 1000.0)
    targets.put(b"c", POD, 1000.0)
    assert targets.hosts() == ["10.0.0.1", "10.0.0.2"]
    assert targets.tokens_of("10.0.0.1") == [b"b", b"c"]
    assert targets.tokens_of("10.0.0.3") == []


def test_forget() -> None:
    """The tokens of one target leave, and no other does."""
    targets = TargetMap(10, 600)
    targets.put(b"a", POD, 1000.0)
    targets.put(b"b", POD, 1000.0)
    targets.put(b"c", Verified("10.0.0.2", 1420.0), 1000.0)
    assert targets.forget("10.0.0.1") == 2
    assert [targets.get(token, 1000.0) is not None for token in (b"a", b"b", b"c")] == [
        False,
        False,
        True,
    ]


def test_tokens() -> None:
    """All that are there can be gone through."""
    targets = TargetMap(10, 600)
    targets.put(b"one", POD, 1000.0)
    targets.put(b"two", POD, 1000.0)
    assert targets.tokens() == [b"one", b"two"]
