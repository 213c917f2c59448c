"""Cache directives."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from route_addon.core.cache_control import (
    MAX_SECONDS,
    NO_DIRECTIVES,
    NO_WISHES,
    Directives,
    Wishes,
    parse_answer_directives,
    parse_seconds,
    parse_targeted,
    parse_wishes,
    split_list,
    unquote,
)


@pytest.mark.parametrize(
    ("value", "members"),
    [
        (b"", []),
        (b", ,\t,", []),
        (b"a", [b"a"]),
        (b" a , b,c\t", [b"a", b"b", b"c"]),
        (b'a="b, c", d', [b'a="b, c"', b"d"]),
        (rb'a="b\", c", d', [rb'a="b\", c"', b"d"]),
        (b'a="b, c', [b'a="b', b"c"]),
        (b'", no-store', [b'"', b"no-store"]),
    ],
)
def test_lists(value: bytes, members: list[bytes]) -> None:
    """Commas part members, but not inside quotes; a quote without an end hides nothing."""
    assert split_list(value) == members


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b'"a b"', b"a b"),
        (rb'"a\"b\\"', b'a"b\\'),
        (b"a", b"a"),
        (b'"a', b'"a'),
        (b'""', b""),
    ],
)
def test_unquote(value: bytes, expected: bytes) -> None:
    """Quotes and backslashes leave."""
    assert unquote(value) == expected


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"0", 0),
        (b"3600", 3600),
        (b"003600", 3600),
        (b"0" * 9000, 0),
        (b"2147483647", 2147483647),
        (b"2147483648", MAX_SECONDS),
        (b"99999999999", MAX_SECONDS),
        (b"9" * 9000, MAX_SECONDS),
        (b"", None),
        (b"-1", None),
        (b"+1", None),
        (b"1.0", None),
        (b"1s", None),
        (b" 1", None),
        (b"1_0", None),
        (b"\xd9\xa1", None),
    ],
)
def test_seconds(value: bytes, seconds: int | None) -> None:
    """Digits and nothing else; what is too large is as large as can be."""
    assert parse_seconds(value) == seconds


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        pytest.param([], NO_DIRECTIVES, id="none"),
        pytest.param([b""], NO_DIRECTIVES, id="empty"),
        pytest.param([b"foo, bar=1"], NO_DIRECTIVES, id="unknown"),
        pytest.param([b"max-age=60"], Directives(max_age=60), id="max-age"),
        pytest.param([b'MAX-Age="60"'], Directives(max_age=60), id="any case, quoted"),
        pytest.param([b"max-age='60'"], Directives(max_age=0), id="single quotes"),
        pytest.param([b"max-age =60"], Directives(max_age=0), id="space before ="),
        pytest.param([b"max-age= 60"], Directives(max_age=0), id="space after ="),
        pytest.param([b"max-age=-60"], Directives(max_age=0), id="negative"),
        pytest.param([b"max-age=60.5"], Directives(max_age=0), id="fraction"),
        pytest.param([b"max-age"], Directives(max_age=0), id="no number"),
        pytest.param([b"max-age=60, max-age=60"], Directives(max_age=60), id="twice the same"),
        pytest.param([b"max-age=60", b"max-age=1"], Directives(max_age=0), id="two that differ"),
        pytest.param([b"max-age=60, max-age=x"], Directives(max_age=0), id="one of two is none"),
        pytest.param([b'x="max-age=9", max-age=1'], Directives(max_age=1), id="inside quotes"),
        pytest.param(
            [b"max-age=1,s-maxage=2", b"stale-while-revalidate=3 , stale-if-error=4"],
            Directives(1, 2, 3, 4),
            id="all numbers",
        ),
        pytest.param(
            [b"stale-while-revalidate=x, stale-if-error=1, stale-if-error=2"],
            NO_DIRECTIVES,
            id="malformed grace is none",
        ),
        pytest.param(
            [b"No-Store, no-cache, private, public, must-revalidate, proxy-revalidate"],
            Directives(
                no_store=True,
                no_cache=True,
                private=True,
                public=True,
                must_revalidate=True,
                proxy_revalidate=True,
            ),
            id="all words",
        ),
        pytest.param(
            [b"must-understand, immutable"],
            Directives(must_understand=True, immutable=True),
            id="newer words",
        ),
        pytest.param([b"no-store=1"], Directives(no_store=True), id="a word with an argument"),
        pytest.param([b'", no-store'], Directives(no_store=True), id="behind half a quote"),
        pytest.param(
            [b'no-cache="A, b"', b"private=c"],
            Directives(withheld=frozenset({b"a", b"b", b"c"})),
            id="qualified",
        ),
        pytest.param(
            [b'no-cache="a", no-cache'],
            Directives(no_cache=True, withheld=frozenset({b"a"})),
            id="qualified and not",
        ),
        pytest.param([b'private=""'], Directives(private=True), id="names no field"),
        pytest.param([b'private=" , "'], Directives(private=True), id="names no field but commas"),
        pytest.param([b'private="a b"'], Directives(private=True), id="names what is no field"),
        pytest.param([b'private="a", '], Directives(withheld=frozenset({b"a"})), id="a comma more"),
        pytest.param([b"private= a"], Directives(private=True), id="qualified after a space"),
    ],
)
def test_answer_directives(lines: list[bytes], expected: Directives) -> None:
    """What is malformed is read to be stricter."""
    assert parse_answer_directives(lines) == expected


@pytest.mark.parametrize(
    ("line", "is_shareable", "forbids_stale"),
    [
        (b"max-age=1", False, False),
        (b"public", True, False),
        (b"must-revalidate", True, True),
        (b"s-maxage=1", True, True),
        (b"proxy-revalidate", False, True),
        (b"no-cache", False, True),
        (b'no-cache="a"', False, False),
    ],
)
def test_what_follows(line: bytes, is_shareable: bool, forbids_stale: bool) -> None:
    """Sharing what was asked with credentials, and using what is stale."""
    directives = parse_answer_directives([line])
    assert (is_shareable, forbids_stale) == (directives.is_shareable, directives.forbids_stale)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        pytest.param([b"max-age=60"], [(b"max-age", b"60")], id="a number"),
        pytest.param([b"no-store"], [(b"no-store", None)], id="a word"),
        pytest.param([b"no-store=?1"], [(b"no-store", None)], id="a word that is true"),
        pytest.param([b"no-store=?0"], [], id="a word that is not true"),
        pytest.param([b'private="a, b"'], [(b"private", b"a, b")], id="a string"),
        pytest.param([b'max-age="60"'], [(b"max-age", b'"60"')], id="a string for a number"),
        pytest.param([b"a;b;c=1;  d=?0, e"], [(b"a", None), (b"e", None)], id="parameters"),
        pytest.param([b"a=(1 2.5;x tok :YQ==: )"], [(b"a", b"(1 2.5;x tok :YQ==: )")], id="list"),
        pytest.param(
            [b"a=1", b"b \t,\t c"], [(b"a", b"1"), (b"b", None), (b"c", None)], id="lines"
        ),
        pytest.param([b"a=1, a=2"], [(b"a", b"2")], id="the last of two"),
        pytest.param([b" a=1 "], [(b"a", b"1")], id="spaces around"),
        pytest.param([b""], [], id="empty"),
        *(
            pytest.param([line], None, id=repr(line))
            for line in (
                *(b"MaX-aGe=3600", b"a =1", b"a= 1", b"a=", b"a,", b",a", b"a,,b", b"a b", b"1=2"),
                *(b'a="\xff"', b'a="x', b"a=(1", b"a=(1(2))", b"a=1.", b"a=1.2345", b"a=?2"),
                *(b"a=1234567890123456", b"a;B", b"\ta=1", b"a=1;"),
            )
        ),
    ],
)
def test_targeted(lines: list[bytes], expected: list[tuple[bytes, bytes | None]] | None) -> None:
    """A targeted field is a dictionary of structured fields, or nothing at all."""
    assert parse_targeted(lines) == expected


@pytest.mark.parametrize(
    ("targeted", "expected"),
    [
        pytest.param([[]], Directives(no_store=True), id="absent"),
        pytest.param([[b""]], Directives(no_store=True), id="empty"),
        pytest.param([[b"no-store=?0"]], Directives(no_store=True), id="says nothing"),
        pytest.param([[b"max-age=x"]], Directives(max_age=0, is_targeted=True), id="no number"),
        pytest.param([[b"Max-Age=1"]], Directives(no_store=True), id="malformed"),
        pytest.param([[b"max-age=60"]], Directives(max_age=60, is_targeted=True), id="sound"),
        pytest.param(
            [[b"A"], [b"max-age=1"]], Directives(max_age=1, is_targeted=True), id="the next"
        ),
        pytest.param(
            [[b"max-age=2"], [b"max-age=1"]],
            Directives(max_age=2, is_targeted=True),
            id="the first",
        ),
        pytest.param(
            [[b'private="a", no-cache']],
            Directives(no_cache=True, withheld=frozenset({b"a"}), is_targeted=True),
            id="qualified",
        ),
    ],
)
def test_targeted_comes_first(targeted: list[list[bytes]], expected: Directives) -> None:
    """The first targeted field that is sound is all that counts."""
    assert parse_answer_directives([b"no-store"], targeted) == expected


@pytest.mark.parametrize(
    ("lines", "pragma", "expected"),
    [
        pytest.param([], [], NO_WISHES, id="none"),
        pytest.param([b"no-transform"], [], NO_WISHES, id="unknown"),
        pytest.param(
            [b"max-age=1, max-stale=2", b"min-fresh=3"], [], Wishes(1, 2, 3), id="numbers"
        ),
        pytest.param([b"max-stale"], [], Wishes(max_stale=MAX_SECONDS), id="any staleness"),
        pytest.param([b"max-stale=x"], [], NO_WISHES, id="a staleness that is none"),
        pytest.param([b"max-age=x"], [], Wishes(max_age=0), id="an age that is none"),
        pytest.param(
            [b"No-Cache, no-store, only-if-cached"],
            [],
            Wishes(no_cache=True, no_store=True, only_if_cached=True),
            id="words",
        ),
        pytest.param([], [b"foo, No-Cache"], Wishes(no_cache=True), id="pragma"),
        pytest.param([], [b"foo"], NO_WISHES, id="another pragma"),
        pytest.param([b"max-age=5"], [b"no-cache"], Wishes(max_age=5), id="pragma beside it"),
    ],
)
def test_wishes(lines: list[bytes], pragma: list[bytes], expected: Wishes) -> None:
    """What a client wishes; Pragma counts where there is no Cache-Control."""
    assert parse_wishes(lines, pragma) == expected


_LINES = st.lists(
    st.one_of(
        st.binary(max_size=40),
        st.text('nosteragx-m=",\\ 09', max_size=40).map(str.encode),
        st.sampled_from([b"no-store", b"max-age=1", b'private="a"', b'"']),
    ),
    max_size=4,
)


@given(_LINES, st.lists(_LINES, max_size=2), _LINES)
def test_total(lines: list[bytes], targeted: list[list[bytes]], pragma: list[bytes]) -> None:
    """Any bytes say something."""
    directives = parse_answer_directives(lines, targeted)
    for seconds in (directives.max_age, directives.s_maxage):
        assert seconds is None or 0 <= seconds <= MAX_SECONDS
    assert 0 <= parse_wishes(lines, pragma).min_fresh <= MAX_SECONDS


@given(_LINES, st.sampled_from([b"no-store", b"private", b"no-cache", b"max-age=0"]))
def test_no_line_hides_another(lines: list[bytes], strict: bytes) -> None:
    """A line that says to be careful is heard, whatever stands before and behind it."""
    directives = parse_answer_directives([*lines, strict, *lines])
    if strict == b"max-age=0":
        assert directives.max_age == 0
    else:
        assert getattr(directives, strict.decode().replace("-", "_"))
