"""The cache token -> target: a good token is verified once, not at every request.

Bounded, least recently used leaves first. Refusals are never kept. The only state in ``core``.
"""

from collections import OrderedDict
from typing import NamedTuple

MIN_LIFE_S = 1.0
"""A token with no more life than this is not worth an entry."""


class Verified(NamedTuple):
    """What a good token stands for."""

    host: str
    """The pod: an IP address (IPv6 without brackets) or a DNS name."""
    expires: float
    """``exp`` (NumericDate)."""


class TargetMap:
    """Token -> ``Verified``, in this process.

    Args:
        max_entries: Above this the least recently used entry leaves.
        ttl_s: The longest life of an entry, in seconds.
    """

    def __init__(self, max_entries: int, ttl_s: float) -> None:
        self.max_entries = max_entries
        self.ttl_s = ttl_s
        self.hits = 0
        self.misses = 0
        self.evictions = 0
        self._entries: OrderedDict[bytes, tuple[float, Verified]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, token: bytes, now: float) -> Verified | None:
        """The entry of a token, when it is there and alive at ``now``."""
        entry = self._entries.get(token)
        if entry is None:
            self.misses += 1
            return None
        if entry[0] <= now:
            del self._entries[token]
            self.misses += 1
            return None
        self._entries.move_to_end(token)
        self.hits += 1
        return entry[1]

    def peek(self, token: bytes, now: float) -> Verified | None:
        """The same for who only looks: nothing is counted, and no entry becomes younger."""
        entry = self._entries.get(token)
        return entry[1] if entry is not None and entry[0] > now else None

    def put(self, token: bytes, verified: Verified, now: float) -> None:
        """Keep a good token for its life, but no longer than ``ttl_s`` and never past ``exp``."""
        until = min(verified.expires, now + self.ttl_s)
        if until - now <= MIN_LIFE_S:
            return
        self._entries[token] = (until, verified)
        self._entries.move_to_end(token)
        while len(self._entries) > self.max_entries:
            self._entries.popitem(last=False)
            self.evictions += 1

    def tokens(self) -> list[bytes]:
        """The tokens of all entries, also of those that are over and were not asked for since."""
        return list(self._entries)

    def forget(self, host: str) -> int:
        """Drop every entry of one target.

        Returns:
            How many entries left.
        """
        tokens = self.tokens_of(host)
        for token in tokens:
            del self._entries[token]
        return len(tokens)

    def hosts(self) -> list[str]:
        """The targets of all entries, each once, in order."""
        return sorted({entry.host for _, entry in self._entries.values()})

    def tokens_of(self, host: str) -> list[bytes]:
        """The tokens of one target."""
        return [token for token, (_, entry) in self._entries.items() if entry.host == host]

    def clear(self) -> None:
        """Drop all entries."""
        self._entries.clear()
