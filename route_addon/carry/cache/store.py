"""Stored answers of the HTTP cache: in memory, bounded in bytes, least recently used out first.

What is stored is whole: a ``Filling`` takes an answer's content piece by piece, and only its
``commit`` makes an answer of it that can be found. It begins before the upstream is asked, so that
what is invalidated meanwhile cannot come in by an answer from before. All that is held counts, what
is still being filled too: content, fields, keys, and what Python needs around them (``_COST_...``).
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from route_addon.core.httpcache_request import CacheKey
from route_addon.core.httpcache_stored import Stored

_COST_ANSWER_BYTES: Final = 1200
"""An answer without its fields and content, with its places in the indexes."""
_COST_FIELD_BYTES: Final = 130
"""A pair of bytes objects, beside what they hold."""

MAX_VARIANTS: Final = 32
"""Answers under one key: all are looked at for each request, so there cannot be many."""

_FILLING_SHARE: Final = 4
"""A quarter of the room is for what is still being filled: clients who read slowly, or ask for
much at once, cannot push all out that is whole."""
_OBJECT_SHARE: Final = 8
"""No answer takes more than this part of the room, whatever the limit for one."""


@dataclass(slots=True)
class Counters:
    """What has happened since the start."""

    hits: int = 0
    """Requests answered from the store."""
    misses: int = 0
    """Requests that went to the upstream: for an answer, or to ask whether ours is still good."""
    stored: int = 0
    evicted: int = 0
    """Answers that left to make room."""
    invalidated: int = 0
    """Answers that an unsafe method or a purge took away."""
    dropped: int = 0
    """Answers for which there was no room, or not enough."""


class Filling:
    """An answer that may come into the store. Ends with one ``commit`` or ``abandon``.

    Args:
        store: The store.
        key: What the answer will be found by.
    """

    __slots__ = ("_cost", "_key", "_pieces", "_store", "_stored", "is_open")

    def __init__(self, store: "Store", key: CacheKey) -> None:
        self._store = store
        self._key = key
        self._stored: Stored | None = None
        self._cost = 0
        self._pieces: list[bytes] = []
        self.is_open = True
        """Whether it may still come to something; when not, what follows is not kept."""

    @property
    def key(self) -> CacheKey:
        """What the answer will be found by."""
        return self._key

    def start(self, stored: Stored, length: int | None = None) -> bool:
        """The answer's head is there, and may be stored.

        Args:
            stored: The answer, without content.
            length: The length of its content in bytes, where it is known.

        Returns:
            Whether there is room for it; when not, the filling is over.
        """
        cost = _cost(self._key, stored)
        if not self.is_open or not self._store.take_room(cost + (length or 0), cost):
            self.abandon()
            return False
        self._stored = stored
        self._cost = cost
        return True

    def write(self, pieces: Sequence[bytes]) -> None:
        """Add content. What is too large for the store is given up at once."""
        if self._stored is None:
            return
        added = sum(map(len, pieces))
        if not self._store.take_room(self._cost + added, added):
            self.abandon()
            return
        self._cost += added
        self._pieces.extend(pieces)

    def commit(self) -> Stored | None:
        """The content is whole.

        Returns:
            The answer as it is stored, or None when it is not.
        """
        head, self._stored = self._stored, None
        if head is None:
            self.abandon()
            return None
        pieces, self._pieces = self._pieces, []
        stored = replace(head, body=pieces[0] if len(pieces) == 1 else b"".join(pieces))
        self.is_open = False
        self._store.end(self, self._cost)
        self._store.add(self._key, stored, self._cost)
        return stored

    def abandon(self) -> None:
        """It will not be whole, or may not be stored. Later calls do nothing."""
        if self.is_open:
            self.is_open = False
            self._stored = None
            self._pieces = []
            self._store.end(self, self._cost)


class Store:
    """All stored answers of this process.

    Args:
        max_bytes: What they may take together.
        max_object_bytes: What one may take; never more than an eighth of all.
    """

    def __init__(self, max_bytes: int, max_object_bytes: int) -> None:
        self.max_bytes = 0
        self.max_object_bytes = 0
        self.used_bytes = 0
        """What is taken now, by what is whole and what is being filled."""
        self.filling_bytes = 0
        """How much of it by what is being filled."""
        self.counters = Counters()
        self._answers: OrderedDict[Stored, tuple[CacheKey, int]] = OrderedDict()
        """All that are whole, least recently used first, with key and cost."""
        self._variants: dict[CacheKey, list[Stored]] = {}
        self._keys: dict[tuple[str, bytes], set[CacheKey]] = {}
        """The keys of each target of an upstream: invalidation knows no more than that."""
        self._fillings: dict[tuple[str, bytes], set[Filling]] = {}
        self._lent: dict[Stored, int] = {}
        """How many send each answer to a client that takes its time."""
        self._gone: dict[Stored, int] = {}
        """What has left meanwhile: memory is taken until the last of them has ended."""
        self.configure(max_bytes, max_object_bytes)

    def __len__(self) -> int:
        return len(self._answers)

    def configure(self, max_bytes: int, max_object_bytes: int) -> None:
        """Take new limits; what is too much leaves."""
        self.max_bytes = max_bytes
        self.max_object_bytes = min(max_object_bytes, max_bytes // _OBJECT_SHARE)
        self._make_room()

    # Finding.

    def find(self, key: CacheKey) -> Sequence[Stored]:
        """All answers under a key."""
        return self._variants.get(key, ())

    def touch(self, stored: Stored) -> None:
        """An answer has been used."""
        self.counters.hits += 1
        if stored in self._answers:
            self._answers.move_to_end(stored)

    def lend(self, stored: Stored) -> None:
        """Somebody begins to send an answer's content. Ends with one ``take_back``."""
        self._lent[stored] = self._lent.get(stored, 0) + 1

    def take_back(self, stored: Stored) -> None:
        """And has ended. Its room is free, when it has left the store and nobody else sends it."""
        self._lent[stored] -= 1
        if not self._lent[stored]:
            del self._lent[stored]
            self.used_bytes -= self._gone.pop(stored, 0)

    # Storing.

    def begin(self, key: CacheKey) -> Filling:
        """The upstream is about to be asked for something that may be stored.

        Args:
            key: What it will be found by.
        """
        filling = Filling(self, key)
        self._fillings.setdefault(_target(key), set()).add(filling)
        return filling

    def replace(self, old: Stored, new: Stored | None) -> None:
        """Put a freshened answer in the place of what it was; None to forget it.

        Does nothing when the old one has left the store meanwhile.
        """
        if old is new or old not in self._answers:
            return
        key, _ = self._answers[old]
        self._remove(old)
        if new is not None:
            self._insert(key, new, _cost(key, new) + len(new.body))
            self._make_room()

    # Forgetting.

    def invalidate(self, upstream: str, target: bytes) -> int:
        """Forget all answers of one target, and let none of those on their way be stored.

        Args:
            upstream: The upstream's name.
            target: Its path with the query, as the upstream gets it.

        Returns:
            How many they were.
        """
        self._abandon(self._fillings.get((upstream, target), ()))
        return self._forget(self._keys.get((upstream, target), ()))

    def purge(self, prefix: bytes = b"/", upstream: str | None = None) -> int:
        """Forget all answers below a path, and let none of those on their way be stored.

        Args:
            prefix: Whole segments, as in a location: ``/x`` is /x and /x/y, never /xy; ``/`` is
                everything. The path is the one that the upstream gets.
            upstream: Of which upstream; None for all.

        Returns:
            How many they were.
        """
        whole = prefix.rstrip(b"/")
        below = whole + b"/"

        def is_below(key: CacheKey) -> bool:
            path = key.target.partition(b"?")[0]
            is_named = path.startswith(below) or (path == whole and prefix == whole)
            return is_named and upstream in (None, key.upstream)

        fillings = [one for among in self._fillings.values() for one in among]
        self._abandon([one for one in fillings if is_below(one.key)])
        return self._forget([key for key in self._variants if is_below(key)])

    def _abandon(self, fillings: Iterable[Filling]) -> None:
        for filling in list(fillings):
            filling.abandon()

    def _forget(self, keys: Iterable[CacheKey]) -> int:
        gone = [stored for key in keys for stored in self._variants[key]]
        for stored in gone:
            self._remove(stored)
        self.counters.invalidated += len(gone)
        return len(gone)

    # For fillings.

    def take_room(self, cost: int, added: int) -> bool:
        """Take room for a filling.

        Args:
            cost: What its answer takes then, as far as it is known.
            added: What is taken now.

        Returns:
            Whether there is any.
        """
        if (
            cost > self.max_object_bytes
            or self.filling_bytes + added > self.max_bytes // _FILLING_SHARE
        ):
            self.counters.dropped += 1
            return False
        self.filling_bytes += added
        self.used_bytes += added
        self._make_room()
        return True

    def end(self, filling: Filling, cost: int) -> None:
        """A filling is over: give its room back."""
        target = _target(filling.key)
        among = self._fillings[target]
        among.discard(filling)
        if not among:
            del self._fillings[target]
        self.filling_bytes -= cost
        self.used_bytes -= cost

    def add(self, key: CacheKey, stored: Stored, cost: int) -> None:
        """A filling is whole: it takes the place of what was selected for the same."""
        variants = self._variants.get(key, [])
        for other in [one for one in variants if one.selected == stored.selected]:
            self._remove(other)
        if len(variants) >= MAX_VARIANTS:
            self._remove(variants[0])
            self.counters.evicted += 1
        self.counters.stored += 1
        self._insert(key, stored, cost)
        self._make_room()

    # The indexes.

    def _insert(self, key: CacheKey, stored: Stored, cost: int) -> None:
        self._answers[stored] = (key, cost)
        self._variants.setdefault(key, []).append(stored)
        self._keys.setdefault(_target(key), set()).add(key)
        self.used_bytes += cost

    def _remove(self, stored: Stored) -> None:
        key, cost = self._answers.pop(stored)
        if stored in self._lent:
            self._gone[stored] = cost
        else:
            self.used_bytes -= cost
        variants = self._variants[key]
        variants.remove(stored)
        if variants:
            return
        del self._variants[key]
        target = _target(key)
        keys = self._keys[target]
        keys.discard(key)
        if not keys:
            del self._keys[target]

    def _make_room(self) -> None:
        while self.used_bytes > self.max_bytes and self._answers:
            self._remove(next(iter(self._answers)))
            self.counters.evicted += 1


def _target(key: CacheKey) -> tuple[str, bytes]:
    """As far as an invalidation knows a key."""
    return key.upstream, key.target


def _cost(key: CacheKey, stored: Stored) -> int:
    """What an answer takes without its content."""
    pairs: list[tuple[bytes, bytes | None]] = [*key.inputs, *stored.fields]
    pairs += stored.selected or ()
    held = sum(len(name) + len(value or b"") for name, value in pairs)
    held += len(key.target) + len(key.host) + len(stored.reason)
    return _COST_ANSWER_BYTES + _COST_FIELD_BYTES * len(pairs) + held
