"""The store: bounded in bytes, whole answers only, the least recently used out first."""

import random
from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from route_addon.carry.cache.store import MAX_VARIANTS, Filling, Store
from route_addon.core.httpcache_request import CacheKey
from route_addon.core.httpcache_stored import Stored
from tests.core.caching import make_request, make_stored

ROOM = 1024 * 1024
OBJECT = 64 * 1024


def _key(target: bytes = b"/a", upstream: str = "website", host: bytes = b"h") -> CacheKey:
    return CacheKey(upstream, target, host, ())


def _head(selected: bytes = b"") -> Stored:
    stored = make_stored((b"Cache-Control", b"max-age=60"), body=b"")
    return replace(stored, selected=((b"foo", selected),)) if selected else stored


def _put(store: Store, key: CacheKey, body: bytes = b"x", selected: bytes = b"") -> Stored:
    filling = store.begin(key)
    assert filling.start(_head(selected))
    filling.write([body])
    stored = filling.commit()
    assert stored is not None
    return stored


def _is_empty(store: Store) -> bool:
    nothing = not (store._answers or store._variants or store._keys or store._fillings)
    return nothing and store.used_bytes == store.filling_bytes == len(store) == 0


@pytest.fixture
def store() -> Store:
    return Store(ROOM, OBJECT)


def test_whole_answers_are_found(store: Store) -> None:
    """Piece by piece, and not before the end."""
    filling = store.begin(_key())
    assert filling.key == _key()
    assert filling.start(_head(), 6)
    for pieces in ([b"ab", b"c"], [], [b"def"]):
        filling.write(pieces)
        assert not store.find(_key())
    stored = filling.commit()
    assert stored is not None and stored.body == b"abcdef"
    assert list(store.find(_key())) == [stored]
    assert not store.find(_key(b"/b"))
    assert (len(store), store.filling_bytes, store.counters.stored) == (1, 0, 1)
    assert not filling.is_open


def test_an_empty_answer(store: Store) -> None:
    """A 204 has no content."""
    filling = store.begin(_key())
    assert filling.start(_head(), 0)
    stored = filling.commit()
    assert stored is not None and stored.body == b""


@pytest.mark.parametrize("is_started", [True, False])
def test_cut_answers_are_not_kept(store: Store, is_started: bool) -> None:
    """Neither their content nor their room."""
    filling = store.begin(_key())
    if is_started:
        assert filling.start(_head(), 6)
        filling.write([b"abc"])
        assert store.used_bytes > 3
    filling.abandon()
    filling.abandon()
    filling.write([b"def"])
    assert filling.commit() is None
    assert _is_empty(store)


def test_what_was_never_started_is_not_committed(store: Store) -> None:
    """An answer that may not be stored has no head here."""
    filling = store.begin(_key())
    filling.write([b"abc"])
    assert filling.commit() is None
    assert _is_empty(store)


def test_too_large_by_its_own_word(store: Store) -> None:
    """It is not even begun."""
    filling = store.begin(_key())
    assert not filling.start(_head(), OBJECT)
    assert not filling.is_open
    assert (_is_empty(store), store.counters.dropped) == (True, 1)


def test_too_large_in_the_end(store: Store) -> None:
    """It is let go in the midst of it, and so is what it held."""
    filling = store.begin(_key())
    assert filling.start(_head())
    for _ in range(OBJECT // 1024):
        filling.write([bytes(1024)])
    assert not filling.is_open
    assert filling.commit() is None
    assert (_is_empty(store), store.counters.dropped) == (True, 1)


def test_no_object_takes_all() -> None:
    """An eighth, whatever the limit for one says."""
    store = Store(ROOM, ROOM)
    assert store.max_object_bytes == ROOM // 8
    assert Store(0, 1).max_object_bytes == 0


def test_a_store_without_room() -> None:
    """Takes nothing."""
    store = Store(0, OBJECT)
    assert not store.begin(_key()).start(_head(), 0)
    assert _is_empty(store)


def test_what_is_being_filled_has_a_bound(store: Store) -> None:
    """A quarter; what is whole stays."""
    stored = _put(store, _key(), bytes(1024))
    fillings = [store.begin(_key(b"/%d" % number)) for number in range(100)]
    for filling in fillings:
        if filling.start(_head()):
            filling.write([bytes(16 * 1024)])
    assert store.filling_bytes <= ROOM // 4
    assert any(filling.is_open for filling in fillings)
    assert not all(filling.is_open for filling in fillings)
    assert list(store.find(_key())) == [stored]
    for filling in fillings:
        filling.abandon()
    assert store.filling_bytes == 0


def test_least_recently_used_leaves_first(store: Store) -> None:
    """What is used stays."""
    first = _put(store, _key(b"/first"))
    _put(store, _key(b"/second"))
    number = 0
    while store.counters.evicted == 0:
        store.touch(first)
        number += 1
        _put(store, _key(b"/%d" % number), bytes(32 * 1024))
    assert store.used_bytes <= ROOM
    assert store.find(_key(b"/first"))
    assert not store.find(_key(b"/second"))
    assert store.counters.hits == number


def test_touching_what_has_left(store: Store) -> None:
    """Does nothing but count."""
    stored = _put(store, _key())
    store.purge()
    store.touch(stored)
    assert (store.counters.hits, len(store)) == (1, 0)


def test_all_is_counted() -> None:
    """Fields, key and content: what is said to be held is at least what is."""
    plain, long = Store(ROOM, OBJECT), Store(ROOM, OBJECT)
    _put(plain, _key(b"/a"))
    filling = long.begin(CacheKey("website", b"/" + b"a" * 1000, b"h", ((b"x-a", b"1" * 1000),)))
    head = _head()
    filling.start(replace(head, fields=(*head.fields, (b"A", b"1" * 1000))))
    filling.write([bytes(1000)])
    filling.commit()
    assert long.used_bytes - plain.used_bytes > 4000


def test_variants(store: Store) -> None:
    """Several under one key; one that was selected for the same replaces another."""
    one, two = _put(store, _key(), b"1", b"one"), _put(store, _key(), b"2", b"two")
    assert list(store.find(_key())) == [one, two]
    again = _put(store, _key(), b"3", b"one")
    assert list(store.find(_key())) == [two, again]
    assert len(store) == 2


def test_variants_have_a_bound(store: Store) -> None:
    """The oldest leaves."""
    for number in range(MAX_VARIANTS + 5):
        _put(store, _key(), b"x", b"%d" % number)
    assert len(store.find(_key())) == MAX_VARIANTS
    assert store.counters.evicted == 5


def test_the_only_variant_is_replaced(store: Store) -> None:
    """And nothing of it stays."""
    _put(store, _key(), bytes(5000))
    stored = _put(store, _key(), b"x")
    assert list(store.find(_key())) == [stored]
    assert store.used_bytes < 5000


def test_replace(store: Store) -> None:
    """A freshened answer takes the place of what it was, with its key."""
    old = _put(store, _key(), b"abc")
    new = replace(old, fields=(*old.fields, (b"A", b"1" * 100)))
    used = store.used_bytes
    store.replace(old, new)
    assert list(store.find(_key())) == [new]
    assert store.used_bytes - used > 100
    store.replace(new, new)
    assert list(store.find(_key())) == [new]
    store.replace(old, old)
    store.replace(new, None)
    assert _is_empty(store)


def test_what_has_left_is_not_replaced(store: Store) -> None:
    """A 304 that comes after an invalidation brings nothing back."""
    old = _put(store, _key())
    store.invalidate("website", b"/a")
    store.replace(old, replace(old))
    assert _is_empty(store)


def test_invalidate(store: Store) -> None:
    """All keys of one target of one upstream."""
    _put(store, _key())
    _put(store, _key(host=b"other"))
    _put(store, _key(), b"x", b"variant")
    kept = [_key(b"/a?"), _key(b"/a/"), _key(b"/ab"), _key(upstream="pyos")]
    for key in kept:
        _put(store, key)
    assert store.invalidate("website", b"/a") == 3
    assert store.invalidate("website", b"/a") == 0
    assert all(store.find(key) for key in kept)
    assert (len(store), store.counters.invalidated) == (4, 3)


@pytest.mark.parametrize("is_started", [True, False])
def test_invalidate_what_is_on_its_way(store: Store, is_started: bool) -> None:
    """An answer from before must not be stored after."""
    filling, other = store.begin(_key()), store.begin(_key(b"/b"))
    if is_started:
        filling.start(_head())
        filling.write([b"abc"])
    assert store.invalidate("website", b"/a") == 0
    assert not filling.start(_head())
    filling.write([b"def"])
    assert filling.commit() is None
    assert other.is_open
    other.abandon()
    assert _is_empty(store)


@pytest.mark.parametrize(
    ("prefix", "gone"),
    [
        (b"/", [b"/", b"/?q", b"/x", b"/x?q", b"/x/", b"/x/y", b"/xy"]),
        (b"/x", [b"/x", b"/x?q", b"/x/", b"/x/y"]),
        (b"/x/", [b"/x/", b"/x/y"]),
        (b"/x/y", [b"/x/y"]),
        (b"/z", []),
    ],
)
def test_purge(store: Store, prefix: bytes, gone: list[bytes]) -> None:
    """Whole segments below a path, and what is on its way there."""
    targets = [b"/", b"/?q", b"/x", b"/x?q", b"/x/", b"/x/y", b"/xy"]
    fillings = [store.begin(_key(target)) for target in targets]
    for target in targets:
        _put(store, _key(target))
    assert store.purge(prefix) == len(gone)
    assert [target for target in targets if not store.find(_key(target))] == gone
    assert [one.key.target for one in fillings if not one.is_open] == gone


def test_purge_of_one_upstream(store: Store) -> None:
    """The others keep theirs."""
    _put(store, _key())
    _put(store, _key(upstream="pyos"))
    assert store.purge(b"/", "pyos") == 1
    assert store.find(_key())
    assert store.purge() == 1
    assert _is_empty(store)


def test_smaller_limits(store: Store) -> None:
    """What is too much leaves at once."""
    for number in range(20):
        _put(store, _key(b"/%d" % number), bytes(10_000))
    store.configure(50_000, OBJECT)
    assert 0 < store.used_bytes <= 50_000
    store.configure(0, 0)
    assert _is_empty(store)


def test_what_is_lent_takes_room(store: Store) -> None:
    """Until the last one who sends it has ended, though it has left the store meanwhile."""
    stored = _put(store, _key(), bytes(10_000))
    held = store.used_bytes
    for _ in range(2):
        store.lend(stored)
    store.purge()
    assert (store.used_bytes, len(store)) == (held, 0)
    store.take_back(stored)
    assert store.used_bytes == held
    store.take_back(stored)
    assert _is_empty(store)


def test_what_is_lent_and_stays(store: Store) -> None:
    """It counts once, before and after."""
    stored = _put(store, _key(), bytes(10_000))
    held = store.used_bytes
    store.lend(stored)
    store.take_back(stored)
    assert store.used_bytes == held
    store.purge()
    assert _is_empty(store)


def test_lenders_do_not_outgrow_the_store(store: Store) -> None:
    """Once all room is with clients that take their time, nothing more is stored, nor lent."""
    lent = 0
    for number in range(100):
        stored = _put(store, _key(b"/%d" % number), bytes(50_000))
        if store.find(_key(b"/%d" % number)):
            store.lend(stored)
            lent += len(stored.body)
    assert lent <= ROOM


def test_keys_are_those_of_requests(store: Store) -> None:
    """What the policy finds by, the store finds by."""
    _put(store, make_request(b"/x", (b"Accept", b"*/*")).key)
    assert store.find(make_request(b"/./x").key)
    assert not store.find(make_request(b"/x", (b"X-A", b"1")).key)


class Anything(RuleBasedStateMachine):
    """Whatever is done in whatever order, the bounds hold and the sums are right."""

    def __init__(self) -> None:
        super().__init__()
        self.store = Store(60_000, 7_000)
        self.fillings: list[Filling] = []
        self.lent: list[Stored] = []
        self.random = random.Random(0)

    targets = st.sampled_from([b"/a", b"/a/b", b"/c", b"/c?q"])

    @rule(path=targets, selected=st.sampled_from([b"", b"1", b"2"]), size=st.integers(0, 6000))
    def put(self, path: bytes, selected: bytes, size: int) -> None:
        filling = self.store.begin(_key(path))
        filling.start(_head(selected))
        filling.write([bytes(size)])
        filling.commit()

    @rule(path=targets)
    def begin(self, path: bytes) -> None:
        self.fillings.append(self.store.begin(_key(path)))

    @precondition(lambda self: self.fillings)
    @rule(size=st.integers(0, 6000), length=st.none() | st.integers(0, 9000))
    def fill(self, size: int, length: int | None) -> None:
        filling = self.random.choice(self.fillings)
        if filling._stored is None:
            filling.start(_head(), length)
        filling.write([bytes(size)])

    @precondition(lambda self: self.fillings)
    @rule(is_whole=st.booleans())
    def end(self, is_whole: bool) -> None:
        filling = self.fillings.pop(0)
        if is_whole:
            filling.commit()
        filling.abandon()

    @rule(path=targets)
    def invalidate(self, path: bytes) -> None:
        self.store.invalidate("website", path)

    @rule(path=targets)
    def purge(self, path: bytes) -> None:
        self.store.purge(path)

    @rule(path=targets, is_kept=st.booleans())
    def use(self, path: bytes, is_kept: bool) -> None:
        for stored in list(self.store.find(_key(path))):
            self.store.touch(stored)
            self.store.replace(stored, replace(stored) if is_kept else None)

    @rule(path=targets)
    def lend(self, path: bytes) -> None:
        for stored in self.store.find(_key(path)):
            self.store.lend(stored)
            self.lent.append(stored)

    @precondition(lambda self: self.lent)
    @rule()
    def take_back(self) -> None:
        self.store.take_back(self.lent.pop(self.random.randrange(len(self.lent))))

    @rule(max_bytes=st.sampled_from([0, 20_000, 60_000]))
    def configure(self, max_bytes: int) -> None:
        self.store.configure(max_bytes, 7_000)

    @invariant()
    def bounds(self) -> None:
        store = self.store
        whole = sum(cost for _, cost in store._answers.values())
        gone = sum(store._gone.values())
        assert store.used_bytes == whole + store.filling_bytes + gone
        assert store.used_bytes <= max(store.max_bytes, store.filling_bytes + gone)
        assert set(store._gone) <= set(store._lent) == set(self.lent)
        assert sum(len(stored.body) for stored in store._answers) <= whole

    @invariant()
    def indexes(self) -> None:
        store = self.store
        listed = [one for variants in store._variants.values() for one in variants]
        assert sorted(map(id, listed)) == sorted(map(id, store._answers))
        assert {key for keys in store._keys.values() for key in keys} == set(store._variants)
        assert all(store._variants.values()) and all(store._keys.values())
        assert all(one.is_open for among in store._fillings.values() for one in among)


TestAnything = Anything.TestCase
TestAnything.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
