"""What is kept of an answer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from route_addon.core.cache_control import Directives
from route_addon.core.httpcache_stored import (
    Policy,
    build_stored,
    find_directives,
    find_entity_tag,
    merge_fields,
    parse_entity_tags,
)
from route_addon.core.messages import Field
from tests.core.caching import NOW, date, make_request, make_stored

GUESS = Policy(heuristic_fraction=0.1)
WEEK_S = 7 * 86400


def test_all_facts() -> None:
    """An answer and what follows from its fields."""
    fields = [
        (b"Date", date(-10)),
        (b"Cache-Control", b"max-age=60"),
        (b"ETag", b'"a"'),
        (b"Last-Modified", date(-100)),
        (b"Vary", b"Foo"),
    ]
    request = make_request(b"/page", (b"Foo", b"1"), now=NOW - 1)
    stored = build_stored(request, 203, b"Fine", fields, NOW)
    assert (stored.status, stored.reason, stored.fields) == (203, b"Fine", tuple(fields))
    assert stored.selected == ((b"foo", b"1"),)
    assert stored.directives == Directives(max_age=60)
    assert (stored.lifetime, stored.has_lifetime, stored.initial_age) == (60.0, True, 10.0)
    assert (stored.received, stored.date) == (NOW, NOW - 10)
    assert (stored.etag, stored.modified, stored.body) == (b'"a"', date(-100), b"")
    assert stored.has_validator
    assert [stored.age(NOW + delta) for delta in (-5, 0, 5)] == [10, 10, 15]


def test_nothing_to_go_by() -> None:
    """An answer that says nothing gets a Date, and has no lifetime."""
    stored = build_stored(make_request(), 200, b"", [(b"A", b"1")], NOW)
    assert stored.fields == ((b"A", b"1"), (b"Date", date()))
    assert (stored.lifetime, stored.has_lifetime, stored.date) == (0.0, False, NOW)
    assert not stored.has_validator


def test_a_bad_date_is_kept() -> None:
    """But it dates nothing."""
    stored = make_stored((b"Date", b"x"))
    assert (stored.fields, stored.date) == (((b"Date", b"x"),), NOW)


def test_vary_on_anything() -> None:
    """No request can match."""
    assert make_stored((b"Vary", b"*")).selected is None


@pytest.mark.parametrize(
    "name",
    [
        *(b"Connection", b"Keep-Alive", b"Proxy-Connection", b"TE", b"Trailer", b"Upgrade"),
        *(b"Transfer-Encoding", b"Proxy-Authenticate", b"Proxy-Authentication-Info"),
        *(b"Proxy-Authorization", b"Content-Length", b"Age", b"Authentication-Info"),
        *(b"X-Request-ID", b"Set-Cookie", b"SET-COOKIE"),
    ],
)
def test_never_stored(name: bytes) -> None:
    """Fields of a connection, of a proxy, and of one client."""
    stored = make_stored((name, b"5"), (b"Kept", b"1"))
    assert [field[0] for field in stored.fields] == [b"Kept", b"Date"]


@pytest.mark.parametrize(
    "field",
    [
        (b"Connection", b"close, X-A"),
        (b"Cache-Control", b'max-age=5, no-cache="x-a"'),
        (b"Cache-Control", b'max-age=5, private="x-a, x-b"'),
    ],
)
def test_fields_that_others_name(field: Field) -> None:
    """What Connection, and a qualified no-cache or private, name is not kept."""
    stored = make_stored(field, (b"X-A", b"1"), (b"X-C", b"2"))
    assert (b"X-A", b"1") not in stored.fields
    assert (b"X-C", b"2") in stored.fields


def test_connection_takes_no_directive_away() -> None:
    """Its field is not passed on; what it says is heard."""
    stored = make_stored((b"Connection", b"cache-control"), (b"Cache-Control", b"private"))
    assert stored.directives.private
    assert [field[0] for field in stored.fields] == [b"Date"]


def test_targeted() -> None:
    """CDN-Cache-Control is meant for us, and stays for those behind us."""
    stored = make_stored((b"CDN-Cache-Control", b"max-age=9"), (b"Cache-Control", b"no-store"))
    assert stored.directives == Directives(max_age=9, is_targeted=True)
    assert stored.lifetime == 9
    assert len(stored.fields) == 3


@pytest.mark.parametrize(
    "fields",
    [
        [],
        [(b"Date", date(0))],
        [(b"CACHE-control", b"no-store")],
        [(b"Cache-Control", b"max-age=9"), (b"X", b"private"), (b"cache-control", b"public")],
        [(b"CDN-Cache-Control", b"max-age=9"), (b"Cache-Control", b"no-store")],
    ],
)
def test_directives_at_first_look(fields: list[Field]) -> None:
    """They are those of the answer as it would be stored, in whatever case and order they stand."""
    assert find_directives(fields) == make_stored(*fields).directives


@pytest.mark.parametrize(
    ("status", "fields", "cookie", "expected"),
    [
        pytest.param(200, [], False, WEEK_S / 70, id="guessed"),
        pytest.param(404, [], False, WEEK_S / 70, id="any such status"),
        pytest.param(302, [], False, None, id="a status that says nothing"),
        pytest.param(302, [(b"Cache-Control", b"public")], False, WEEK_S / 70, id="public"),
        pytest.param(200, [(b"Cache-Control", b"max-age=3")], False, 3.0, id="said"),
        pytest.param(200, [], True, None, id="asked with a Cookie"),
    ],
)
def test_heuristic(status: int, fields: list[Field], cookie: bool, expected: float | None) -> None:
    """Only on wish, and never where it may be one user's own."""
    request = make_request(b"/page", *([(b"Cookie", b"a=b")] if cookie else []))
    fields = [*fields, (b"Last-Modified", date(-WEEK_S / 7))]
    stored = make_stored(*fields, request=request, status=status, policy=GUESS)
    assert (stored.has_lifetime, stored.lifetime) == (expected is not None, expected or 0.0)
    plain = make_stored(*fields, request=request, status=status)
    assert plain.has_lifetime is (expected == 3.0)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([b'"a"'], b'"a"'),
        ([b'W/"a"'], b'W/"a"'),
        ([b'""'], b'""'),
        ([b'"\xfc"'], b'"\xfc"'),
        ([], None),
        ([b"a"], None),
        ([b'w/"a"'], None),
        ([b'W\\"a"'], None),
        ([b'"a" '], None),
        ([b'"a b"'], None),
        ([b'"a", "b"'], None),
        ([b'"a"', b'"a"'], None),
        ([b"*"], None),
    ],
)
def test_entity_tag(lines: list[bytes], expected: bytes | None) -> None:
    """One, and a sound one."""
    assert find_entity_tag({b"etag": lines} if lines else {}) == expected


def test_entity_tags() -> None:
    """All sound ones of all lines."""
    assert parse_entity_tags([b'"a", W/"b,c"', b"d", b'"e"']) == [b'"a"', b'W/"b,c"', b'"e"']


@pytest.mark.parametrize(
    ("lines", "expected"),
    [([date(-5)], date(-5)), ([], None), ([b"0"], None), ([date(-5), date(-6)], None)],
)
def test_modified(lines: list[bytes], expected: bytes | None) -> None:
    """A date, or nothing to ask by."""
    assert make_stored(*((b"Last-Modified", line) for line in lines)).modified == expected


def test_merge() -> None:
    """All lines of a name are replaced by those of the newer answer; the rest stays."""
    old = [(b"A", b"1"), (b"a", b"2"), (b"B", b"3"), (b"ETag", b'"x"'), (b"Content-Encoding", b"y")]
    new = [
        *((b"a", b"9"), (b"C", b"4"), (b"C", b"5"), (b"ETag", b'"z"'), (b"Content-Encoding", b"z")),
        *((b"Content-Length", b"0"), (b"Connection", b"x-hop"), (b"X-Hop", b"1")),
        *((b"Set-Cookie", b"u=1"), (b"Content-Range", b"x"), (b"Content-MD5", b"x")),
    ]
    assert merge_fields(old, new) == [
        *((b"B", b"3"), (b"ETag", b'"x"'), (b"Content-Encoding", b"y")),
        *((b"a", b"9"), (b"C", b"4"), (b"C", b"5")),
    ]


def test_merge_without_connection() -> None:
    """Nothing in, nothing out."""
    assert merge_fields([(b"A", b"1")], []) == [(b"A", b"1")]


_NAMES = st.sampled_from(
    [
        b"Date",
        b"Age",
        b"Expires",
        b"Cache-Control",
        b"Vary",
        b"ETag",
        b"Last-Modified",
        b"Connection",
    ]
)


@given(st.lists(st.tuples(_NAMES, st.binary(max_size=30)), max_size=8), st.integers(200, 599))
def test_any_answer(fields: list[Field], status: int) -> None:
    """Any values make an answer that has an age and a lifetime."""
    stored = build_stored(make_request(), status, b"", fields, NOW, GUESS)
    assert stored.age(NOW) >= 0 and stored.lifetime >= 0
    assert merge_fields(fields, fields) is not None
