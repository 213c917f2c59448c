"""Concurrent misses on one key become one request."""

import tracemalloc

from route_addon.carry.cache.fills import MAX_UNSTORED, UNSTORED_S, Fills
from tests.core.caching import make_request

KEY = make_request(b"/a").key
OTHER = make_request(b"/b").key


def test_one_leads_and_the_others_wait() -> None:
    """They are woken once, in their order, when the answer is stored."""
    fills, woken = Fills(), list[str]()
    fill = fills.lead(KEY, 0)
    assert fill is not None
    assert fills.lead(KEY, 0) is None
    assert fills.find(KEY) is fill
    fill.add(lambda: woken.append("one"))
    fill.add(lambda: woken.append("two"))
    assert (fill.waiting, woken) == (2, [])
    fill.end(1, is_storable=True)
    assert (fill.waiting, woken) == (0, ["one", "two"])
    fill.end(2, is_storable=False)
    assert woken == ["one", "two"]
    assert fills.find(KEY) is None
    assert fills.lead(KEY, 3) is not None


def test_keys_do_not_wait_for_each_other() -> None:
    """Each has its own."""
    fills = Fills()
    assert fills.lead(KEY, 0) is not None
    assert fills.lead(OTHER, 0) is not None


def test_who_leaves_is_not_woken() -> None:
    """A client that has gone."""
    fills, woken = Fills(), list[str]()
    fill = fills.lead(KEY, 0)
    assert fill is not None

    def resume() -> None:
        woken.append("x")

    fill.add(resume)
    fill.leave(resume)
    fill.leave(resume)
    fill.end(0, is_storable=True)
    assert woken == []


def test_who_is_woken_may_lead() -> None:
    """The key is free by then."""
    fills, led = Fills(), list[object]()
    fill = fills.lead(KEY, 0)
    assert fill is not None
    fill.add(lambda: led.append(fills.lead(KEY, 0)))
    fill.end(0, is_storable=True)
    assert led == [fills.find(KEY)]


def test_nobody_waits_for_what_is_not_stored() -> None:
    """For a while: then it is tried again."""
    fills = Fills()
    fill = fills.lead(KEY, 10)
    assert fill is not None
    fill.end(11, is_storable=False)
    assert fills.lead(KEY, 12) is None
    assert fills.find(KEY) is None
    again = fills.lead(KEY, 11 + UNSTORED_S)
    assert again is not None
    again.end(80, is_storable=True)
    assert fills.lead(KEY, 81) is not None


def test_what_is_remembered_has_a_bound() -> None:
    """The oldest is forgotten."""
    fills = Fills()
    for number in range(MAX_UNSTORED + 1):
        fill = fills.lead(KEY._replace(target=b"/%d" % number), 0)
        assert fill is not None
        fill.end(0, is_storable=False)
    assert fills.lead(KEY._replace(target=b"/0"), 1) is not None
    assert fills.lead(KEY._replace(target=b"/1"), 1) is None


def test_what_is_remembered_of_them_is_small() -> None:
    """Not the key: what a client sends in it is as long as it likes."""
    fills = Fills()
    tracemalloc.start()
    try:
        for number in range(1024):
            value = b"%08d" % number * 2048
            fill = fills.lead(make_request(b"/a", (b"x-a", value)).key, 0)
            assert fill is not None
            fill.end(0, is_storable=False)
        held_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held_bytes < 2**20
