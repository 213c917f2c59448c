"""The verdicts of the HTTP cache: RFC 9111, as a shared cache, and no more than it allows.

``judge_request`` says what becomes of a request, given the answers that are stored for its key;
``judge_answer`` what becomes of the upstream's answer, ``judge_failure`` what may stand in for one
that never came. All are total and pure: ``now`` is an argument, and the store is somebody else's.

::

    request ──> Use        answer from the store (and ask the upstream meanwhile: ``refresh``)
                Validate   ask the upstream whether a stored answer still holds
                Fetch      ask it as if there were no cache
                Refuse     504: the client wants nothing but a stored answer

    answer  ──> Store      pass it on, and keep it when it is whole
                DontStore  pass it on
                Freshen    304: answer from the store, and replace what is stored
                Amend      pass it on (it answers HEAD), and replace what is stored
                Use        answer from the store: the upstream has failed
                Invalidate pass it on, and forget what it has changed

What may be stored is in ``httpcache_rules``, the key in ``httpcache_request``.

**Why not hishel.** Its core (1.4) is a state machine for RFC 9111 too, and was the other choice.
But it reads the clock by itself, takes orders from ``X-Hishel-`` fields of a request, which in a
proxy are the client's, and knows neither targeted fields nor Cache-Status nor the restraint of
``httpcache_rules``; its functions are several screens long.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from route_addon.core.cache_control import MAX_SECONDS, Wishes
from route_addon.core.httpcache_content import Part, select_part
from route_addon.core.httpcache_request import CacheRequest, matches
from route_addon.core.httpcache_rules import (
    find_changed,
    why_not_at_all,
    why_not_kept,
    why_not_shared,
    why_of_no_use,
)
from route_addon.core.httpcache_stored import (
    DEFAULT_POLICY,
    Policy,
    Stored,
    build_stored,
    find_directives,
    merge_fields,
    sort_values,
)
from route_addon.core.messages import Field, Fields

NAME: Final = b"route-addon"
"""Who we are in Cache-Status (RFC 9211)."""
PORTION_BYTES: Final = 64 * 1024
"""How much of a stored answer is sent at once: a client that reads slowly costs no more."""

_CONDITIONS: Final = frozenset({b"if-none-match", b"if-modified-since"})
_OF_ONE_CLIENT: Final = _CONDITIONS | {b"range", b"if-range"}

_FAILURES: Final = frozenset({500, 502, 503, 504})
"""RFC 5861 4: what counts as an error that a stale answer may stand in for."""


class Validate(NamedTuple):
    """Ask the upstream whether a stored answer still holds."""

    stored: Stored
    fields: list[Field]
    """The request's fields to send, in place of the decision's."""
    is_conditional: bool
    """Whether a 304 speaks of the stored answer; without a validator it is the client's."""
    why: bytes
    """As RFC 9211 2.2 names it: ``stale`` or ``request``."""


class Use(NamedTuple):
    """Answer from the store."""

    stored: Stored
    part: Part
    """What to send; its fields are the upstream's, with Age and Cache-Status."""
    refresh: Validate | None = None
    """What to ask the upstream meanwhile (RFC 5861 3), for nobody."""

    @property
    def size_bytes(self) -> int:
        """The size of the content to send."""
        return self.part.stop - self.part.start

    def portion(self, at: int) -> bytes:
        """What to send next of the content, ``PORTION_BYTES`` at most: nothing at its end.

        Args:
            at: How much of it has been sent, in bytes.
        """
        start = self.part.start + at
        return self.stored.body[start : min(start + PORTION_BYTES, self.part.stop)]


class Fetch(NamedTuple):
    """Ask the upstream as if there were no cache."""

    why: bytes
    """As RFC 9211 2.2 names it."""
    fields: None = None
    """The decision's are sent."""


class Refuse(NamedTuple):
    """Answer 504 (RFC 9111 5.2.1.7)."""


type RequestVerdict = Use | Validate | Fetch | Refuse
type Asked = Validate | Fetch
"""The verdicts upon which the upstream is asked."""


class Store(NamedTuple):
    """Pass the answer on, and keep it once it is whole."""

    stored: Stored
    cache_status: bytes


class DontStore(NamedTuple):
    """Pass the answer on."""

    why: bytes
    cache_status: bytes


class Freshen(NamedTuple):
    """Answer from the store: the upstream's 304 says that the stored answer holds."""

    old: Stored
    new: Stored | None
    """What takes its place; None to forget it."""
    use: Use


class Amend(NamedTuple):
    """Pass an answer to HEAD on; it tells something of a stored answer (RFC 9111 4.3.5)."""

    old: Stored
    new: Stored | None
    """What takes its place; None to forget it."""
    cache_status: bytes


class Invalidate(NamedTuple):
    """Pass the answer on, and forget what it has changed (RFC 9111 4.4)."""

    targets: list[bytes]
    """The targets, as the upstream gets them: all that is stored of them, whatever their keys."""
    cache_status: bytes


type AnswerVerdict = Store | DontStore | Freshen | Amend | Use | Invalidate


def judge_request(
    request: CacheRequest,
    candidates: Sequence[Stored],
    now: float,
) -> RequestVerdict:
    """Say what becomes of a request.

    Args:
        request: The request.
        candidates: What is stored under its key.
        now: The time.
    """
    if request.bypass:
        is_refused = request.wishes.only_if_cached and request.bypass != b"method"
        return Refuse() if is_refused else Fetch(request.bypass)
    stored = _choose(request, candidates)
    if stored is None:
        if request.wishes.only_if_cached:
            return Refuse()
        if not candidates:
            return Fetch(b"uri-miss")
        return Fetch(b"bypass" if request.has_credentials else b"vary-miss")
    left = stored.lifetime - stored.age(now)
    wishes = request.wishes
    if not stored.directives.no_cache and _satisfies(wishes, stored, now):
        if left > 0 and left >= wishes.min_fresh:
            return _use(request, stored, now, b"hit; ttl=%d" % left)
        if _may_be_stale(stored, wishes):
            if 0 < wishes.max_stale >= -left:
                return _use(request, stored, now, b"hit; ttl=%d" % left)
            if 0 < stored.directives.stale_while_revalidate >= -left and request.method == b"GET":
                use = _use(request, stored, now, b"hit; ttl=%d" % left)
                return use._replace(refresh=_validate(request, stored, b"stale", _OF_ONE_CLIENT))
    if wishes.only_if_cached:
        return Refuse()
    return _validate(request, stored, b"request" if left > 0 else b"stale")


def judge_answer(
    request: CacheRequest,
    asked: Asked,
    status: int,
    reason: bytes,
    fields: Fields,
    now: float,
    policy: Policy = DEFAULT_POLICY,
) -> AnswerVerdict:
    """Say what becomes of an upstream's answer.

    Args:
        request: The request.
        asked: The verdict on it.
        status: The answer's status; never 1xx.
        reason: Its reason phrase.
        fields: Its fields, all of them, as they came.
        now: The time.
        policy: What the operator chose.
    """
    told = b"fwd=%b; fwd-status=%d" % (asked.why, status)
    if request.is_unsafe:
        if 200 <= status < 400:
            return Invalidate(find_changed(request, fields), _say(told))
        return DontStore(b"method", _say(told))
    if isinstance(asked, Validate):
        if status == 304 and asked.is_conditional:
            return _freshen(request, asked, fields, now, policy)
        if status in _FAILURES and _may_stand_in(request, asked.stored, now, policy):
            return _use(request, asked.stored, now, told + b"; detail=stale-if-error")
        if status == 200 and request.method == b"HEAD" and asked.stored.status == 200:
            new = _amend(request, asked.stored, reason, fields, now, policy)
            return Amend(asked.stored, new, _say(told))
    why = why_not_at_all(request, status) or why_not_kept(find_directives(fields), status)
    if not why:
        stored = build_stored(request, status, reason, fields, now, policy)
        why = why_not_shared(request, fields, stored) or why_of_no_use(stored)
        if not why:
            return Store(stored, _say(told + b"; stored"))
    return DontStore(why, _say(told + b"; detail=" + why))


def judge_failure(
    request: CacheRequest, asked: Asked, now: float, policy: Policy = DEFAULT_POLICY
) -> Use | None:
    """What may stand in for an answer that never came, or not as far as its head.

    Args:
        request: The request.
        asked: The verdict on it.
        now: The time.
        policy: What the operator chose.
    """
    if isinstance(asked, Fetch) or not _may_stand_in(request, asked.stored, now, policy):
        return None
    return _use(request, asked.stored, now, b"fwd=%b; detail=stale-if-error" % asked.why)


def _choose(request: CacheRequest, candidates: Iterable[Stored]) -> Stored | None:
    """The most recent of those that were selected for the same (RFC 9111 4.1).

    What a request with credentials may have is what an answer to one may be shared as.
    """
    found: Stored | None = None
    for stored in candidates:
        if (
            stored.selected is not None
            and matches(stored.selected, request)
            and (not request.has_credentials or stored.directives.is_shareable)
            and (found is None or stored.date >= found.date)
        ):
            found = stored
    return found


def _satisfies(wishes: Wishes, stored: Stored, now: float) -> bool:
    """Whether the client takes a stored answer of this age unasked."""
    if wishes.no_cache:
        return False
    if wishes.max_age is None or stored.age(now) <= wishes.max_age:
        return True
    # RFC 8246: a reload sends max-age=0, and there is nothing to reload.
    return stored.directives.immutable and stored.age(now) < stored.lifetime


def _may_be_stale(stored: Stored, wishes: Wishes) -> bool:
    return stored.has_lifetime and not stored.directives.forbids_stale and not wishes.min_fresh


def _may_stand_in(request: CacheRequest, stored: Stored, now: float, policy: Policy) -> bool:
    """Whether a stored answer may be used although the upstream failed (RFC 5861 4)."""
    wishes = request.wishes
    if wishes.no_cache or wishes.max_age is not None or not _may_be_stale(stored, wishes):
        return False
    grace = max(stored.directives.stale_if_error, policy.stale_if_error_s)
    return 0 < grace >= stored.age(now) - stored.lifetime


def _validate(
    request: CacheRequest, stored: Stored, why: bytes, dropped: frozenset[bytes] = frozenset()
) -> Validate:
    """Our validators take the place of the client's: what it holds is compared afterwards."""
    if stored.has_validator:
        dropped |= _CONDITIONS
    fields = [field for field in request.fields if field[0].lower() not in dropped]
    # RFC 9111 4.3.1: both, since a server may know but one of them.
    if stored.etag is not None:
        fields.append((b"If-None-Match", stored.etag))
    if stored.modified is not None:
        fields.append((b"If-Modified-Since", stored.modified))
    return Validate(stored, fields, stored.has_validator, why)


def _use(request: CacheRequest, stored: Stored, now: float, told: bytes, extra: Fields = ()) -> Use:
    part = select_part(request, stored, now)
    part.fields.append((b"Age", b"%d" % min(stored.age(now), MAX_SECONDS)))
    part.fields.extend(extra)
    part.fields.append((b"Cache-Status", _say(told)))
    return Use(stored, part)


def _freshen(
    request: CacheRequest, asked: Validate, fields: Fields, now: float, policy: Policy
) -> Freshen:
    """RFC 9111 4.3.4: the stored answer, with the fields of the 304."""
    stored = asked.stored
    new = _updated(request, stored, stored.reason, fields, now, policy)
    kept = _kept(request, stored, new, fields)
    told = b"fwd=%b; fwd-status=304" % asked.why
    if kept is new:
        told += b"; stored"
    # What is set on this client is nobody else's.
    cookies = [field for field in fields if field[0].lower() == b"set-cookie"]
    return Freshen(stored, kept, _use(request, new, now, told, cookies))


def _amend(
    request: CacheRequest, stored: Stored, reason: bytes, fields: Fields, now: float, policy: Policy
) -> Stored | None:
    """RFC 9111 4.3.5: an answer to HEAD that could be of the stored content freshens it."""
    values = sort_values(fields)
    for name, own in (
        (b"etag", stored.etag),
        (b"last-modified", stored.modified),
        (b"content-length", b"%d" % len(stored.body)),
    ):
        if name in values and list(values[name]) != [own]:
            return None
    new = _updated(request, stored, reason, fields, now, policy)
    return _kept(request, stored, new, fields)


def _updated(
    request: CacheRequest, stored: Stored, reason: bytes, fields: Fields, now: float, policy: Policy
) -> Stored:
    """The stored answer as a newer one says it is now; its content stays."""
    merged = merge_fields(stored.fields, fields)
    # Its age is told anew, too: by the newer answer or not at all.
    merged += [field for field in fields if field[0].lower() == b"age"]
    new = build_stored(request, stored.status, reason, merged, now, policy)
    return replace(new, body=stored.body)


def _kept(request: CacheRequest, old: Stored, new: Stored, fields: Fields) -> Stored | None:
    """What is kept of a stored answer after a newer one: that, the old one, or nothing.

    A newer answer that is for this client alone, since it was asked with a Cookie or sets one,
    says nothing against the old one. Any other that may not be stored does.
    """
    own = find_directives(fields)
    why = why_not_shared(request, fields, new)
    if own.no_store or own.private or why not in (b"", b"cookie", b"set-cookie"):
        return None
    return old if why else new


def _say(told: bytes) -> bytes:
    return b"%b; %b" % (NAME, told)
