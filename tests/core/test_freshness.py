"""Ages, lifetimes and dates."""

import calendar
import email.utils

import pytest
from hypothesis import given
from hypothesis import strategies as st

from route_addon.core.cache_control import MAX_SECONDS, Directives
from route_addon.core.freshness import (
    build_date,
    explicit_lifetime,
    find_date,
    heuristic_lifetime,
    initial_age,
    parse_age,
    parse_date,
)
from tests.core.caching import NOW, date

NOVEMBER_1994 = float(calendar.timegm((1994, 11, 6, 8, 49, 37)))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"Sun, 06 Nov 1994 08:49:37 GMT", NOVEMBER_1994),
        (b"Sunday, 06-Nov-94 08:49:37 GMT", NOVEMBER_1994),
        (b"Sun Nov  6 08:49:37 1994", NOVEMBER_1994),
        (b"Sun Nov 06 08:49:37 1994", NOVEMBER_1994),
        (b"SUN, 06 nOV 1994 08:49:37 gmt", NOVEMBER_1994),
        (b"Mon, 06 Nov 1994 08:49:37 GMT", NOVEMBER_1994),  # The day's name is not looked at.
        (b"Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        (b"Thu, 29 Feb 2024 23:59:60 GMT", calendar.timegm((2024, 3, 1, 0, 0, 0))),
        (b"Tue, 29 Feb 2000 00:00:00 GMT", calendar.timegm((2000, 2, 29, 0, 0, 0))),
        (b"Fri, 31 Dec 9999 23:59:59 GMT", 253402300799.0),
        # Two digits: more than 50 years ahead is the century before (now is 2027).
        (b"Thursday, 18-Aug-50 02:01:18 GMT", calendar.timegm((2050, 8, 18, 2, 1, 18))),
        (b"Thursday, 18-Aug-77 02:01:18 GMT", calendar.timegm((2077, 8, 18, 2, 1, 18))),
        (b"Thursday, 18-Aug-78 02:01:18 GMT", calendar.timegm((1978, 8, 18, 2, 1, 18))),
    ],
)
def test_dates(value: bytes, expected: float) -> None:
    """The three forms of RFC 9110 5.6.7, in any case."""
    assert parse_date(value, NOW) == expected


def test_two_digits_at_the_end_of_a_century() -> None:
    """In 2090, 05 is 2105."""
    in_2090 = float(calendar.timegm((2090, 1, 1, 0, 0, 0)))
    value = b"Monday, 01-Jan-05 00:00:00 GMT"
    assert parse_date(value, in_2090) == calendar.timegm((2105, 1, 1, 0, 0, 0))


@pytest.mark.parametrize(
    "value",
    [
        *(b"", b"0", b"-1", b"now", b"1994", b"Sun, 06 Nov 1994", b"784111777"),
        *(b"Sun, 06 Nov 1994 08:49:37 UTC", b"Sun, 06 Nov 1994 08:49:37 +0000"),
        *(
            b"Sun, 06 Nov 1994 08:49:37",
            b"06 Nov 1994 08:49:37 GMT",
            b"Sun 06 Nov 1994 08:49:37 GMT",
        ),
        *(b"Sun, 6 Nov 1994 08:49:37 GMT", b"Sun, 06 Nov 94 08:49:37 GMT"),
        *(b"Sun, 06-Nov-1994 08:49:37 GMT", b"Sun, 06 Nov 1994 8:49:37 GMT"),
        *(b"Sun, 06 Nov 1994 08.49.37 GMT", b"Sun, 06  Nov  1994 08:49:37 GMT"),
        *(b"Sun, 00 Nov 1994 08:49:37 GMT", b"Sun, 31 Nov 1994 08:49:37 GMT"),
        *(b"Wed, 29 Feb 1900 00:00:00 GMT", b"Wed, 29 Feb 2023 00:00:00 GMT"),
        *(b"Sun, 06 Nov 1994 24:00:00 GMT", b"Sun, 06 Nov 1994 08:60:00 GMT"),
        *(b"Sun, 06 Nov 1994 08:49:61 GMT", b"Sun, 06 Nov 0000 08:49:37 GMT"),
        *(b"Xxx, 06 Nov 1994 08:49:37 GMT", b"Sun, 06 Xxx 1994 08:49:37 GMT"),
        b"Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT",
    ],
)
def test_never_a_date(value: bytes) -> None:
    """RFC 9111 5.3: what is no date is in the past, so it must not be taken for one."""
    assert parse_date(value, NOW) is None


@given(st.integers(-62135596800, 253402300799))
def test_dates_there_and_back(time: int) -> None:
    """Every second from year 1 to 9999 is written as the standard library writes it."""
    text = build_date(time)
    assert text == email.utils.formatdate(time, usegmt=True).encode()
    assert parse_date(text, NOW) == time


@given(st.binary(max_size=40), st.floats(0, 1e11))
def test_any_bytes(value: bytes, now: float) -> None:
    """Anything is a date or not."""
    found = parse_date(value, now)
    assert found is None or isinstance(found, float)


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], None),
        ([date()], NOW),
        ([date(), date()], NOW),
        ([date(), date(1)], None),
        ([date(), b"0"], None),
        ([b"0"], None),
    ],
)
def test_one_date(lines: list[bytes], expected: float | None) -> None:
    """Lines that do not agree give no date."""
    assert find_date(lines, NOW) == expected


@pytest.mark.parametrize(
    ("lines", "age"),
    [
        ([], 0),
        ([b"0"], 0),
        ([b"7200"], 7200),
        ([b"99999999999"], MAX_SECONDS),
        *(
            (lines, MAX_SECONDS)
            for lines in (
                *([b"abc"], [b""], [b"-7200"], [b"7200.0"], [b"7200,0"], [b"0, 7200"], [b"0, 0"]),
                *([b"7200", b"0"], [b"0", b"7200"], [b"0", b"0"], [b"7200;foo=bar"]),
            )
        ),
    ],
)
def test_age(lines: list[bytes], age: int) -> None:
    """What is not one number makes an answer as old as can be."""
    assert parse_age(lines) == age


@pytest.mark.parametrize(
    ("age", "made", "requested", "expected"),
    [
        pytest.param(0, NOW, NOW, 0, id="new"),
        pytest.param(0, None, NOW, 0, id="no date"),
        pytest.param(0, NOW - 10, NOW, 10, id="apparent"),
        pytest.param(0, NOW + 10, NOW, 0, id="a clock that is fast"),
        pytest.param(30, NOW - 10, NOW, 30, id="told"),
        pytest.param(5, NOW - 10, NOW, 10, id="told less than apparent"),
        pytest.param(30, NOW, NOW - 4, 34, id="on its way"),
        pytest.param(30, NOW, NOW + 4, 30, id="our clock went back"),
    ],
)
def test_initial_age(age: int, made: float | None, requested: float, expected: float) -> None:
    """RFC 9111 4.2.3."""
    assert initial_age(age, made, requested, NOW) == expected


@pytest.mark.parametrize(
    ("directives", "expires", "made", "expected"),
    [
        pytest.param(Directives(), [], NOW, None, id="nothing"),
        pytest.param(Directives(max_age=5), [date(9)], NOW, 5, id="max-age before Expires"),
        pytest.param(Directives(max_age=0), [date(9)], NOW, 0, id="max-age of 0"),
        pytest.param(Directives(max_age=5, s_maxage=7), [], NOW, 7, id="s-maxage before max-age"),
        pytest.param(Directives(s_maxage=0, max_age=5), [], NOW, 0, id="s-maxage of 0"),
        pytest.param(Directives(), [date(9)], NOW, 9, id="Expires"),
        pytest.param(Directives(), [date(9)], NOW - 10, 19, id="Expires by its own clock"),
        pytest.param(Directives(), [date(9)], None, 9, id="Expires by ours"),
        pytest.param(Directives(), [date(-9)], NOW, 0, id="Expires in the past"),
        pytest.param(Directives(), [b"0"], NOW, 0, id="Expires that is no date"),
        pytest.param(Directives(), [date(9), date(9)], NOW, 9, id="Expires twice the same"),
        pytest.param(Directives(), [date(9), date(8)], NOW, 0, id="two that differ"),
        pytest.param(Directives(is_targeted=True), [date(9)], NOW, None, id="targeted: no Expires"),
    ],
)
def test_explicit_lifetime(
    directives: Directives, expires: list[bytes], made: float | None, expected: float | None
) -> None:
    """RFC 9111 4.2.1, for a shared cache."""
    assert explicit_lifetime(directives, expires, made, NOW) == expected


@pytest.mark.parametrize(
    ("fraction", "modified", "made", "expected"),
    [
        pytest.param(0.0, NOW - 1000, NOW, None, id="off"),
        pytest.param(0.1, None, NOW, None, id="not known"),
        pytest.param(0.1, NOW - 1000, NOW, 100, id="a tenth"),
        pytest.param(0.1, NOW - 1000, None, 100, id="no date"),
        pytest.param(0.1, NOW - 1e9, NOW, 3600, id="at most"),
        pytest.param(0.1, NOW + 1, NOW, None, id="modified after it was made"),
    ],
)
def test_heuristic_lifetime(
    fraction: float, modified: float | None, made: float | None, expected: float | None
) -> None:
    """RFC 9111 4.2.2."""
    assert heuristic_lifetime(fraction, 3600, modified, made, NOW) == expected
