"""The verdicts of the HTTP cache."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from route_addon.core.httpcache import (
    PORTION_BYTES,
    Amend,
    Asked,
    DontStore,
    Fetch,
    Freshen,
    Invalidate,
    Refuse,
    Store,
    Use,
    Validate,
    judge_answer,
    judge_failure,
    judge_request,
)
from route_addon.core.httpcache_request import CacheRequest
from route_addon.core.httpcache_stored import Policy, Stored
from route_addon.core.messages import Field, Fields
from tests.core.caching import NOW, content, date, make_request, make_stored
from tests.core.heads import values

AGE_60 = (b"Cache-Control", b"max-age=60")
TAG = (b"ETag", b'"a"')
MODIFIED = (b"Last-Modified", date(-1000))


def _ask(*fields: Field, method: bytes = b"GET", now: float = NOW) -> CacheRequest:
    return make_request(b"/page", *fields, method=method, now=now)


def _wish(text: bytes) -> Field:
    return (b"Cache-Control", text)


def _told(verdict: object) -> bytes:
    """What a verdict says in Cache-Status, but for our name."""
    if isinstance(verdict, Use):
        said = values(verdict.part.fields, b"Cache-Status")[-1]
    else:
        said = getattr(verdict, "cache_status", b"")
    return said.removeprefix(b"route-addon; ")


# Requests.


def test_hit() -> None:
    """A fresh answer is used: its fields, its age, and how long it will stay fresh."""
    stored = make_stored(AGE_60)
    use = judge_request(_ask(), [stored], NOW + 20.5)
    assert isinstance(use, Use)
    assert (use.stored, use.refresh, content(use)) == (stored, None, stored.body)
    assert use.part.fields == [
        AGE_60,
        (b"Date", date()),
        (b"Age", b"20"),
        (b"Cache-Status", b"route-addon; hit; ttl=39"),
    ]


def test_content() -> None:
    """A part is a part; of nothing there is nothing."""
    stored = make_stored(AGE_60)
    part = judge_request(_ask((b"Range", b"bytes=2-3")), [stored], NOW)
    assert isinstance(part, Use) and (part.size_bytes, content(part)) == (2, b"23")
    head = judge_request(_ask(method=b"HEAD"), [stored], NOW)
    assert isinstance(head, Use) and (head.size_bytes, content(head)) == (0, b"")
    empty = judge_request(_ask(), [make_stored(AGE_60, body=b"")], NOW)
    assert isinstance(empty, Use) and (empty.size_bytes, content(empty)) == (0, b"")


@pytest.mark.parametrize("size", [PORTION_BYTES - 1, PORTION_BYTES, PORTION_BYTES + 1])
def test_portions(size: int) -> None:
    """A portion is bounded, whole answers and ranges alike, and nothing is lost between two."""
    body = bytes(index % 251 for index in range(size + 9))
    for fields, start in (((), 0), (((b"Range", b"bytes=9-"),), 9)):
        use = judge_request(_ask(*fields), [make_stored(AGE_60, body=body)], NOW)
        assert isinstance(use, Use)
        first = use.portion(0)
        assert len(first) == min(use.size_bytes, PORTION_BYTES)
        assert first + use.portion(len(first)) == content(use) == body[start:]


def test_age_has_a_bound() -> None:
    """RFC 9111 1.2.2."""
    stored = make_stored(AGE_60, (b"Age", b"99999999999"))
    use = judge_request(_ask(_wish(b"max-stale")), [stored], NOW + 10)
    assert isinstance(use, Use) and values(use.part.fields, b"Age") == [b"2147483648"]


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        pytest.param(_ask(), b"uri-miss", id="GET"),
        pytest.param(_ask(method=b"POST"), b"method", id="POST"),
        pytest.param(_ask(_wish(b"no-store")), b"request", id="no-store"),
        pytest.param(_ask((b"If-Match", b"*")), b"bypass", id="precondition"),
    ],
)
def test_nothing_stored(request_: CacheRequest, why: bytes) -> None:
    """The upstream is asked, as RFC 9211 names it."""
    assert judge_request(request_, [], NOW) == Fetch(why)


@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
def test_only_if_cached(method: bytes) -> None:
    """Nothing usable is a 504; POST is not the cache's to refuse."""
    wish = _wish(b"only-if-cached")
    fresh, stale = make_stored(AGE_60), make_stored(TAG)
    assert judge_request(_ask(wish, method=method), [], NOW) == Refuse()
    assert judge_request(_ask(wish, method=method), [stale], NOW) == Refuse()
    assert isinstance(judge_request(_ask(wish, method=method), [fresh], NOW), Use)
    no_store = _wish(b"only-if-cached, no-store")
    assert judge_request(_ask(no_store, method=method), [fresh], NOW) == Refuse()
    assert judge_request(_ask(wish, method=b"POST"), [fresh], NOW) == Fetch(b"method")


def test_variants() -> None:
    """The most recent of those that match."""
    vary = (b"Vary", b"Foo")
    one = _ask((b"Foo", b"1"))
    old = make_stored(AGE_60, vary, (b"Date", date(-20)), request=one)
    new = make_stored(AGE_60, vary, (b"Date", date(-10)), request=one)
    other = make_stored(AGE_60, vary, request=_ask((b"Foo", b"2")))
    never = make_stored(AGE_60, (b"Vary", b"*"), request=one)
    for candidates in ([old, new, other, never], [never, other, new, old]):
        use = judge_request(one, candidates, NOW)
        assert isinstance(use, Use) and use.stored is new
    assert judge_request(_ask((b"Foo", b"3")), [old, new, other, never], NOW) == Fetch(b"vary-miss")


@pytest.mark.parametrize(
    ("control", "is_used"),
    [
        (b"max-age=60", False),
        (b"max-age=60, public", True),
        (b"s-maxage=60", True),
        (b"max-age=60, must-revalidate", True),
    ],
)
def test_credentials(control: bytes, is_used: bool) -> None:
    """Who says who he is gets only what may be shared with anybody."""
    stored = make_stored((b"Cache-Control", control))
    verdict = judge_request(_ask((b"Authorization", b"x")), [stored], NOW)
    assert isinstance(verdict, Use) if is_used else verdict == Fetch(b"bypass")


@pytest.mark.parametrize(
    ("control", "wish", "age", "told"),
    [
        pytest.param(b"max-age=60", b"", 59, b"hit; ttl=1", id="fresh"),
        pytest.param(b"max-age=60", b"", 60, None, id="stale"),
        pytest.param(b"", b"", 0, None, id="nothing told"),
        pytest.param(b"max-age=60, no-cache", b"", 0, None, id="no-cache"),
        pytest.param(b'max-age=60, no-cache="a"', b"", 0, b"hit; ttl=60", id="of one field"),
        pytest.param(b"max-age=60", b"no-cache", 0, None, id="no-cache wished"),
        pytest.param(b"max-age=60", b"max-age=0", 0, b"hit; ttl=60", id="no older than 0"),
        pytest.param(b"max-age=60", b"max-age=5", 5, b"hit; ttl=55", id="no older"),
        pytest.param(b"max-age=60", b"max-age=5", 6, None, id="older"),
        pytest.param(b"max-age=60", b"max-age=x", 1, None, id="a wish that is none"),
        pytest.param(b"max-age=60, immutable", b"max-age=0", 6, b"hit; ttl=54", id="immutable"),
        pytest.param(b"max-age=60, immutable", b"max-age=0", 60, None, id="but stale"),
        pytest.param(b"max-age=60, immutable", b"no-cache", 6, None, id="but told to"),
        pytest.param(b"max-age=60", b"min-fresh=50", 10, b"hit; ttl=50", id="fresh enough"),
        pytest.param(b"max-age=60", b"min-fresh=50", 11, None, id="not fresh enough"),
        pytest.param(b"max-age=60", b"max-stale=5", 65, b"hit; ttl=-5", id="stale enough"),
        pytest.param(b"max-age=60", b"max-stale=5", 66, None, id="too stale"),
        pytest.param(b"max-age=60", b"max-stale", 9999, b"hit; ttl=-9939", id="any staleness"),
        pytest.param(b"max-age=60", b"max-stale, max-age=9", 70, None, id="stale, but not so old"),
        pytest.param(b"max-age=60", b"max-stale, min-fresh=1", 60, None, id="stale and fresh"),
        pytest.param(b"", b"max-stale", 0, None, id="any staleness of nothing"),
        pytest.param(b"max-age=60, must-revalidate", b"max-stale", 61, None, id="must-revalidate"),
        pytest.param(b"max-age=60, proxy-revalidate", b"max-stale", 61, None, id="proxy-revalid."),
        pytest.param(b"s-maxage=60", b"max-stale", 61, None, id="s-maxage"),
        pytest.param(b"no-cache, max-age=1", b"max-stale", 0, None, id="no-cache, max-stale"),
    ],
)
def test_freshness(control: bytes, wish: bytes, age: float, told: bytes | None) -> None:
    """Used, or validated."""
    stored = make_stored((b"Cache-Control", control), TAG)
    request = _ask(*([_wish(wish)] if wish else []))
    verdict = judge_request(request, [stored], NOW + age)
    if told is None:
        assert isinstance(verdict, Validate)
    else:
        assert isinstance(verdict, Use) and _told(verdict) == told


def test_stale_while_revalidate() -> None:
    """Used at once, and asked for behind the client's back: not for what it has, nor for a part."""
    stored = make_stored((b"Cache-Control", b"max-age=60, stale-while-revalidate=30"), TAG)
    own = [(b"Foo", b"1"), (b"Range", b"bytes=0-1"), (b"If-None-Match", b'"x"')]
    use = judge_request(_ask(*own), [stored], NOW + 90)
    assert isinstance(use, Use) and use.part.status == 206 and _told(use) == b"hit; ttl=-30"
    refresh = use.refresh
    assert refresh is not None and refresh.is_conditional and refresh.why == b"stale"
    sent = [name for name, _ in refresh.fields if not name.startswith(b"X-")]
    assert sent == [b"Foo", b"If-None-Match"]
    assert isinstance(judge_request(_ask(), [stored], NOW + 91), Validate)
    assert isinstance(judge_request(_ask(method=b"HEAD"), [stored], NOW + 90), Validate)
    plain = make_stored((b"Cache-Control", b"max-age=60, stale-while-revalidate=30"))
    use = judge_request(_ask(*own), [plain], NOW + 90)
    assert isinstance(use, Use) and use.refresh is not None and not use.refresh.is_conditional
    assert values(use.refresh.fields, b"If-None-Match") == []


@pytest.mark.parametrize(
    ("stored", "sent", "is_conditional"),
    [
        pytest.param(make_stored(TAG), [(b"If-None-Match", b'"a"')], True, id="tag"),
        pytest.param(make_stored(MODIFIED), [(b"If-Modified-Since", MODIFIED[1])], True, id="date"),
        pytest.param(
            make_stored(TAG, MODIFIED),
            [(b"If-None-Match", b'"a"'), (b"If-Modified-Since", MODIFIED[1])],
            True,
            id="both",
        ),
        pytest.param(
            make_stored(_wish(b"max-age=0")),
            [(b"if-none-match", b'"c"'), (b"If-Modified-Since", b"d")],
            False,
            id="none: the client's own",
        ),
    ],
)
def test_validate(stored: Stored, sent: list[Field], is_conditional: bool) -> None:
    """Our validators take the place of the client's; a range stays, for what has changed."""
    own = [(b"if-none-match", b'"c"'), (b"If-Modified-Since", b"d"), (b"Range", b"bytes=0-1")]
    verdict = judge_request(_ask(*own), [stored], NOW + 1)
    assert isinstance(verdict, Validate)
    assert (verdict.stored, verdict.is_conditional, verdict.why) == (
        stored,
        is_conditional,
        b"stale",
    )
    names = (b"if-none-match", b"if-modified-since")
    assert [field for field in verdict.fields if field[0].lower() in names] == sent
    assert values(verdict.fields, b"Range") == [b"bytes=0-1"]


def test_validate_what_is_fresh() -> None:
    """Since the request wants it."""
    verdict = judge_request(_ask(_wish(b"no-cache")), [make_stored(AGE_60, TAG)], NOW)
    assert isinstance(verdict, Validate) and verdict.why == b"request"


# Answers.


def _answer(
    asked: Asked,
    status: int,
    *fields: Field,
    request: CacheRequest | None = None,
    now: float = NOW,
    policy: Policy | None = None,
) -> object:
    request = _ask() if request is None else request
    return judge_answer(request, asked, status, b"", fields, now, policy or Policy())


def _validate(stored: Stored, *fields: Field, method: bytes = b"GET", now: float) -> Validate:
    verdict = judge_request(_ask(*fields, method=method, now=now), [stored], now)
    assert isinstance(verdict, Validate)
    return verdict


def test_store() -> None:
    """What may be stored is."""
    verdict = _answer(Fetch(b"uri-miss"), 200, AGE_60)
    assert isinstance(verdict, Store)
    assert verdict.stored.lifetime == 60
    assert _told(verdict) == b"fwd=uri-miss; fwd-status=200; stored"


@pytest.mark.parametrize(
    ("request_", "status", "fields", "why"),
    [
        pytest.param(_ask(), 206, [AGE_60], b"status", id="a part"),
        pytest.param(_ask(), 304, [AGE_60], b"status", id="the client's own 304"),
        pytest.param(_ask(), 200, [_wish(b"no-store")], b"no-store", id="no-store"),
        pytest.param(_ask(), 200, [], b"no-lifetime", id="no use"),
        pytest.param(_ask(), 404, [], b"no-lifetime", id="404 that says nothing"),
        pytest.param(_ask(), 200, [_wish(b"max-age=0")], b"stale", id="stale on arrival"),
        pytest.param(_ask(_wish(b"no-store")), 200, [AGE_60], b"request", id="not wished"),
        pytest.param(_ask(method=b"HEAD"), 200, [AGE_60], b"method", id="HEAD"),
        pytest.param(_ask(method=b"OPTIONS"), 200, [AGE_60], b"method", id="OPTIONS"),
    ],
)
def test_dont_store(request_: CacheRequest, status: int, fields: list[Field], why: bytes) -> None:
    """What may not, is passed on."""
    verdict = _answer(Fetch(b"uri-miss"), status, *fields, request=request_)
    assert isinstance(verdict, DontStore) and verdict.why == why
    assert _told(verdict) == b"fwd=uri-miss; fwd-status=%d; detail=%b" % (status, why)


@pytest.mark.parametrize("status", [200, 201, 204, 303, 399])
def test_invalidate(status: int) -> None:
    """What an unsafe method did is forgotten as it was before."""
    request = _ask(method=b"PUT")
    verdict = _answer(Fetch(b"method"), status, (b"Location", b"/x"), request=request)
    assert isinstance(verdict, Invalidate) and verdict.targets == [b"/page", b"/x"]
    assert _told(verdict) == b"fwd=method; fwd-status=%d" % status


@pytest.mark.parametrize("status", [400, 404, 500, 503])
def test_what_failed_changes_nothing(status: int) -> None:
    """RFC 9111 4.4: a non-error status invalidates."""
    verdict = _answer(Fetch(b"method"), status, request=_ask(method=b"DELETE"))
    assert isinstance(verdict, DontStore) and verdict.why == b"method"


def test_freshen() -> None:
    """A 304 answers from the store, with its own fields in the place of the old."""
    stored = make_stored(AGE_60, TAG, (b"A", b"1"), (b"B", b"1"), (b"Age", b"5"))
    later = NOW + 100
    asked = _validate(stored, now=later)
    update = [(b"A", b"2"), (b"Date", date(100)), (b"Cache-Control", b"max-age=90")]
    verdict = _answer(asked, 304, *update, request=_ask(now=later), now=later)
    assert isinstance(verdict, Freshen) and verdict.old is stored
    new = verdict.new
    assert new is not None and new.body is stored.body
    assert (new.lifetime, new.age(later)) == (90, 0)
    assert verdict.use.stored is new
    assert verdict.use.part.fields == [
        TAG,
        (b"B", b"1"),
        *update,
        (b"Age", b"0"),
        (b"Cache-Status", b"route-addon; fwd=stale; fwd-status=304; stored"),
    ]
    assert isinstance(judge_request(_ask(), [new], later + 89), Use)


def test_freshen_tells_an_age() -> None:
    """A 304 may be old itself."""
    asked = _validate(make_stored(TAG), now=NOW)
    verdict = _answer(asked, 304, AGE_60, (b"Age", b"50"))
    assert isinstance(verdict, Freshen) and verdict.new is not None
    assert verdict.new.age(NOW) == 50


def test_freshen_for_what_the_client_has() -> None:
    """Its own condition is judged by what we have now."""
    stored = make_stored(TAG)
    request = _ask((b"If-None-Match", b'"a"'))
    verdict = _answer(_validate(stored, now=NOW), 304, request=request)
    assert isinstance(verdict, Freshen) and verdict.use.part.status == 304
    request = _ask((b"If-None-Match", b'"old"'))
    verdict = _answer(_validate(stored, now=NOW), 304, request=request)
    assert isinstance(verdict, Freshen) and verdict.use.part.status == 200


@pytest.mark.parametrize(
    ("request_fields", "fields", "fate"),
    [
        pytest.param([], [], "new", id="nothing told"),
        pytest.param([], [_wish(b"no-store")], "gone", id="no-store"),
        pytest.param([], [_wish(b"private")], "gone", id="private"),
        pytest.param([], [_wish(b"no-store, must-understand")], "gone", id="no-store, understood"),
        pytest.param([], [(b"Vary", b"*")], "gone", id="varies on anything"),
        pytest.param([], [(b"Set-Cookie", b"a=b")], "old", id="sets a cookie"),
        pytest.param([(b"Cookie", b"a=b")], [], "old", id="asked with a cookie"),
        pytest.param([(b"Cookie", b"a=b")], [AGE_60], "new", id="and told how long"),
        pytest.param(
            [(b"Cookie", b"a=b")], [AGE_60, (b"Vary", b"Cookie")], "gone", id="and varies"
        ),
    ],
)
def test_what_304_leaves(request_fields: list[Field], fields: list[Field], fate: str) -> None:
    """What is told to one client alone leaves what others get as it was; the rest replaces it."""
    stored = make_stored(TAG, (b"A", b"1"))
    request = _ask(*request_fields)
    asked = judge_request(request, [stored], NOW)
    assert isinstance(asked, Validate)
    verdict = _answer(asked, 304, *fields, (b"A", b"mine"), request=request)
    assert isinstance(verdict, Freshen)
    found = "gone" if verdict.new is None else "old" if verdict.new is stored else "new"
    assert found == fate
    # The client gets all of it in any case, and its cookie.
    assert values(verdict.use.part.fields, b"A") == [b"mine"]
    assert values(verdict.use.part.fields, b"Set-Cookie") == values(fields, b"Set-Cookie")
    assert _told(verdict.use).endswith(b"; stored") is (fate == "new")


def test_shared_credentials_that_are_shared_no_more() -> None:
    """A 304 that takes ``public`` back."""
    stored = make_stored(_wish(b"public, no-cache"), TAG)
    request = _ask((b"Authorization", b"x"))
    asked = judge_request(request, [stored], NOW)
    assert isinstance(asked, Validate)
    verdict = _answer(asked, 304, AGE_60, request=request)
    assert isinstance(verdict, Freshen) and verdict.new is None


def test_304_that_is_not_ours() -> None:
    """Without a validator of ours the condition was the client's."""
    asked = _validate(make_stored(AGE_60), (b"If-None-Match", b'"c"'), now=NOW + 60)
    assert isinstance(_answer(asked, 304), DontStore)


def test_validation_that_fails() -> None:
    """Something new: stored in the place of the old."""
    asked = _validate(make_stored(TAG), now=NOW)
    verdict = _answer(asked, 200, AGE_60)
    assert isinstance(verdict, Store)
    assert _told(verdict) == b"fwd=stale; fwd-status=200; stored"


@pytest.mark.parametrize("status", [500, 502, 503, 504])
@pytest.mark.parametrize(
    ("control", "wish", "age", "grace", "is_used"),
    [
        pytest.param(b"max-age=60, stale-if-error=30", b"", 90, 0, True, id="in time"),
        pytest.param(b"max-age=60, stale-if-error=30", b"", 91, 0, False, id="too late"),
        pytest.param(b"max-age=60", b"", 60.5, 0, False, id="not told to"),
        pytest.param(b"max-age=60", b"", 90, 30, True, id="the operator's word"),
        pytest.param(b"s-maxage=60, stale-if-error=30", b"", 61, 30, False, id="s-maxage"),
        pytest.param(
            b"max-age=60, must-revalidate, stale-if-error=30", b"", 61, 30, False, id="must-reval."
        ),
        pytest.param(b"stale-if-error=30", b"", 1, 30, False, id="never was fresh"),
        pytest.param(b"max-age=60, stale-if-error=30", b"no-cache", 0, 0, False, id="no-cache"),
        pytest.param(b"max-age=60, stale-if-error=30", b"max-age=9", 10, 0, False, id="too old"),
        pytest.param(
            b"max-age=60, stale-if-error=30", b"min-fresh=9", 55, 0, False, id="not fresh"
        ),
    ],
)
def test_stale_if_error(
    control: bytes, wish: bytes, age: float, grace: int, is_used: bool, status: int
) -> None:
    """A stale answer stands in for an upstream that fails, if anybody allows it."""
    stored = make_stored((b"Cache-Control", control), TAG)
    request, later = _ask(*([_wish(wish)] if wish else [])), NOW + age
    asked = judge_request(request, [stored], later)
    assert isinstance(asked, Validate)
    policy = Policy(stale_if_error_s=grace)
    verdict = _answer(asked, status, request=request, now=later, policy=policy)
    failure = judge_failure(request, asked, later, policy)
    assert isinstance(verdict, Use) is is_used
    assert isinstance(failure, Use) is is_used
    if is_used:
        assert _told(verdict) == b"fwd=stale; fwd-status=%d; detail=stale-if-error" % status
        assert _told(failure) == b"fwd=stale; detail=stale-if-error"


def test_nothing_stands_in() -> None:
    """Where there is nothing stored, and for what is no failure."""
    assert judge_failure(_ask(), Fetch(b"uri-miss"), NOW) is None
    stored = make_stored(_wish(b"max-age=60, stale-if-error=30"), TAG)
    asked = _validate(stored, now=NOW + 61)
    assert isinstance(_answer(asked, 404, now=NOW + 61), DontStore | Store)


HEAD = _ask(method=b"HEAD")


@pytest.mark.parametrize(
    ("fields", "fate"),
    [
        pytest.param([AGE_60, TAG, MODIFIED, (b"Content-Length", b"10")], "new", id="the same"),
        pytest.param([AGE_60], "new", id="nothing to compare"),
        pytest.param([AGE_60, (b"ETag", b'"b"')], "gone", id="another tag"),
        pytest.param([AGE_60, (b"Last-Modified", date(-9))], "gone", id="another date"),
        pytest.param([AGE_60, (b"Content-Length", b"11")], "gone", id="another length"),
        pytest.param([_wish(b"private")], "gone", id="private"),
        pytest.param([(b"Vary", b"*")], "gone", id="varies on anything"),
        pytest.param([AGE_60, (b"Set-Cookie", b"a=b")], "old", id="sets a cookie"),
    ],
)
def test_head(fields: list[Field], fate: str) -> None:
    """An answer to HEAD freshens what is stored, or shows that it is something else."""
    stored = make_stored(TAG, MODIFIED, (b"A", b"1"))
    verdict = _answer(_validate(stored, method=b"HEAD", now=NOW), 200, *fields, request=HEAD)
    assert isinstance(verdict, Amend) and verdict.old is stored
    found = "gone" if verdict.new is None else "old" if verdict.new is stored else "new"
    assert found == fate
    if fate == "new":
        assert verdict.new is not None and verdict.new.lifetime == 60
        assert (b"A", b"1") in verdict.new.fields
    assert _told(verdict) == b"fwd=stale; fwd-status=200"


def test_head_of_something_else() -> None:
    """Any other status tells nothing of the stored answer."""
    asked = _validate(make_stored(TAG), method=b"HEAD", now=NOW)
    assert isinstance(_answer(asked, 404, request=HEAD), DontStore)
    asked = _validate(make_stored(TAG, status=404), method=b"HEAD", now=NOW)
    assert isinstance(_answer(asked, 200, request=HEAD), DontStore)


# Anything.

_NAMES = st.sampled_from(
    [
        *(b"Cache-Control", b"CDN-Cache-Control", b"Vary", b"Age", b"Date", b"Expires", b"ETag"),
        *(b"Last-Modified", b"Set-Cookie", b"Cookie", b"Authorization", b"Range", b"If-Range"),
        *(b"If-None-Match", b"If-Modified-Since", b"Pragma", b"Connection", b"Location", b"X-A"),
    ]
)
_VALUES = st.one_of(
    st.binary(max_size=30),
    st.sampled_from(
        [
            *(b"max-age=60", b"no-store", b"private", b"public", b"*", b'"a"', b"bytes=0-1"),
            *(b"stale-while-revalidate=9", b"max-stale", b"only-if-cached", date(), date(60)),
        ]
    ),
)
_FIELDS = st.lists(st.tuples(_NAMES, _VALUES), max_size=6)


@given(
    _FIELDS,
    _FIELDS,
    _FIELDS,
    st.sampled_from([b"GET", b"HEAD", b"POST"]),
    st.sampled_from([200, 204, 206, 301, 304, 404, 416, 500, 599]),
    st.floats(-1e6, 1e6),
)
def test_any_bytes(
    asked: Fields, held: Fields, told: Fields, method: bytes, status: int, later: float
) -> None:
    """Whatever the fields hold there is a verdict, and the strict rules hold."""
    request = make_request(b"/page", method=method)
    by_name: dict[bytes, list[bytes]] = {}
    for name, value in asked:
        by_name.setdefault(name.lower(), []).append(value)
    request = request._replace(values=by_name, fields=asked)
    stored = replace(make_stored(*held, request=request), body=b"x" * 9)
    verdict = judge_request(request, [stored], NOW + later)
    if isinstance(verdict, Use):
        assert not stored.directives.no_cache
        assert b"*" not in values(held, b"vary")
        assert b"authorization" not in by_name or stored.directives.is_shareable
        assert content(verdict) in stored.body
    if isinstance(verdict, Use | Refuse):
        verdict = Fetch(b"uri-miss")
    judge_failure(request, verdict, NOW + later)
    answer = judge_answer(request, verdict, status, b"", told, NOW + later)
    if isinstance(answer, Store):
        assert method == b"GET" and status not in (206, 304)
        assert not values(told, b"set-cookie")
        assert not answer.stored.directives.private
        assert b"authorization" not in by_name or answer.stored.directives.is_shareable
