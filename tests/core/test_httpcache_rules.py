"""What may be stored, and what an unsafe request has changed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from route_addon.core.httpcache_rules import (
    find_changed,
    why_not_at_all,
    why_not_shared,
    why_of_no_use,
)
from route_addon.core.messages import Field
from tests.core.caching import NOW, date, make_request, make_stored

FRESH = (b"Cache-Control", b"max-age=60")
COOKIE = (b"Cookie", b"session=1")
AUTHORIZATION = (b"Authorization", b"Basic eDp5")


@pytest.mark.parametrize(
    "status", [200, 203, 204, 299, 300, 301, 302, 303, 307, 308, 404, 405, 410, 414, 451, 499]
)
def test_statuses_that_are_stored(status: int) -> None:
    """They speak of the resource."""
    assert why_not_at_all(make_request(), status) == b""


@pytest.mark.parametrize("status", [500, 501, 502, 503, 504, 599])
def test_failures_that_are_stored(status: int) -> None:
    """A failure that says how long it lasts may be believed."""
    assert why_not_at_all(make_request(), status) == b""


@pytest.mark.parametrize(
    "status",
    [100, 101, 199, 206, 304, 400, 401, 403, 407, 408, 412, 413, 416, 417, 421, 429, 431, 511, 600],
)
def test_statuses_never_stored(status: int) -> None:
    """No answer yet, part of one, or one that tells what was wrong with this request."""
    assert why_not_at_all(make_request(), status) == b"status"


@pytest.mark.parametrize(
    ("method", "length", "why"),
    [
        *((b"HEAD", 0, b"method"), (b"POST", 0, b"method"), (b"OPTIONS", 0, b"method")),
        (b"GET", 9, b"bypass"),
    ],
)
def test_requests_whose_answers_are_never_stored(method: bytes, length: int, why: bytes) -> None:
    """Anything but a plain GET."""
    assert why_not_at_all(make_request(method=method, length=length), 200) == why


@pytest.mark.parametrize(
    ("request_fields", "fields", "status", "why"),
    [
        pytest.param([], [FRESH], 200, b"", id="fresh"),
        pytest.param([], [(b"Cache-Control", b"no-store, public")], 200, b"no-store", id="never"),
        pytest.param([], [(b"Cache-Control", b"private, max-age=60")], 200, b"private", id="one"),
        pytest.param([], [(b"Cache-Control", b'private="a"'), FRESH], 200, b"", id="of one field"),
        pytest.param([], [FRESH, (b"Set-Cookie", b"a=b")], 200, b"set-cookie", id="set-cookie"),
        pytest.param(
            [], [FRESH, (b"sEt-CookiE", b""), (b"Cache-Control", b"public")], 200, b"set-cookie",
            id="even public",
        ),
        pytest.param(
            [], [FRESH, (b"Set-Cookie", b"a"), (b"Cache-Control", b'no-cache="set-cookie"')], 200,
            b"set-cookie", id="even withheld",
        ),
        pytest.param(
            [], [FRESH, (b"Set-Cookie", b"a=b"), (b"Connection", b"set-cookie")], 200,
            b"set-cookie", id="even not passed on",
        ),
        pytest.param([], [FRESH, (b"Vary", b"*")], 200, b"vary", id="any"),
        pytest.param([AUTHORIZATION], [FRESH], 200, b"authorization", id="credentials"),
        pytest.param(
            [AUTHORIZATION], [(b"Expires", date(60))], 200, b"authorization", id="and Expires"
        ),
        pytest.param(
            [(b"ABCAuthorization", b"x")], [FRESH], 200, b"authorization", id="pyos' token"
        ),
        *(
            pytest.param([AUTHORIZATION], [(b"Cache-Control", value)], 200, b"", id=repr(value))
            for value in (b"public", b"must-revalidate", b"s-maxage=5")
        ),
        pytest.param([COOKIE], [FRESH], 200, b"", id="cookie, and told how long"),
        pytest.param([COOKIE], [(b"Cache-Control", b"public")], 200, b"", id="cookie and public"),
        pytest.param([COOKIE], [(b"ETag", b'"a"')], 200, b"cookie", id="cookie, and nothing told"),
        pytest.param([COOKIE], [FRESH, (b"Vary", b"Cookie")], 200, b"vary-cookie", id="varies"),
        pytest.param([], [FRESH, (b"Vary", b"Cookie")], 200, b"", id="varies, and none sent"),
        pytest.param(
            [], [(b"Cache-Control", b"no-store, must-understand")], 200, b"", id="understood"
        ),
        pytest.param(
            [], [(b"Cache-Control", b"max-age=9, must-understand")], 599, b"not-understood",
            id="not understood",
        ),
    ],
)  # fmt: skip
def test_sharing(request_fields: list[Field], fields: list[Field], status: int, why: bytes) -> None:
    """What is one client's own stays so."""
    request = make_request(b"/page", *request_fields)
    stored = make_stored(*fields, request=request, status=status)
    assert why_not_shared(request, fields, stored) == why


@pytest.mark.parametrize(
    ("status", "fields", "why"),
    [
        pytest.param(200, [FRESH], b"", id="fresh"),
        pytest.param(299, [FRESH], b"", id="fresh, with any status"),
        pytest.param(302, [(b"ETag", b'"a"')], b"no-lifetime", id="nothing told"),
        pytest.param(302, [(b"ETag", b'"a"'), (b"Cache-Control", b"public")], b"", id="public"),
        pytest.param(200, [(b"ETag", b'"a"')], b"", id="can be validated"),
        pytest.param(200, [(b"Last-Modified", date(-9))], b"", id="can be validated by date"),
        pytest.param(200, [], b"no-lifetime", id="nothing"),
        pytest.param(200, [(b"Cache-Control", b"max-age=0")], b"stale", id="stale"),
        pytest.param(200, [FRESH, (b"Age", b"61")], b"stale", id="old"),
        pytest.param(200, [(b"Cache-Control", b"no-cache, max-age=60")], b"stale", id="no-cache"),
        pytest.param(
            200, [(b"Cache-Control", b"max-age=0, stale-if-error=9")], b"", id="for bad times"
        ),
        pytest.param(
            200, [(b"Cache-Control", b"max-age=0, stale-while-revalidate=9")], b"", id="meanwhile"
        ),
    ],
)
def test_use(status: int, fields: list[Field], why: bytes) -> None:
    """What could never be used takes no room."""
    assert why_of_no_use(make_stored(*fields, status=status)) == why


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param([], [], id="nothing more"),
        pytest.param([(b"Location", b"/other")], [b"/other"], id="a path"),
        pytest.param([(b"Location", b"sub?x=1")], [b"/a/sub?x=1"], id="a relative path"),
        pytest.param([(b"content-location", b"?x=1")], [b"/a/b?x=1"], id="a query"),
        pytest.param([(b"Content-Location", b"")], [b"/a/b?q"], id="itself"),
        pytest.param([(b"Location", b"/x/../%61//b#f")], [b"/a/b"], id="canonical"),
        pytest.param([(b"Location", b"http://website/x")], [b"/x"], id="the upstream"),
        pytest.param([(b"Location", b"https://WEBSITE")], [b"/"], id="the upstream's root"),
        pytest.param([(b"Location", b"//desk.example:8080/x")], [b"/x"], id="what clients call us"),
        pytest.param([(b"Location", b"http://evil.example/x")], [], id="another host"),
        pytest.param([(b"Location", b"http://website:81/x")], [], id="another port"),
        pytest.param([(b"Location", b"ftp://website/x")], [], id="another scheme"),
        pytest.param([(b"Location", b"mailto:x")], [], id="no place at all"),
        pytest.param([(b"Location", b"http://[/x")], [], id="malformed"),
        pytest.param([(b"Location", b"/\xff")], [], id="not ASCII"),
        pytest.param([(b"Location", b"/%zz")], [], id="bad escape"),
        pytest.param([(b"X-Location", b"/x")], [], id="another field"),
    ],
)
def test_changed(fields: list[Field], expected: list[bytes]) -> None:
    """The request's own target, and those on the same host that the answer names."""
    request = make_request(b"/a/b?q", method=b"POST")
    assert find_changed(request, fields) == [b"/a/b?q", *expected]


@given(
    st.lists(
        st.tuples(st.sampled_from([b"Location", b"Content-Location"]), st.binary()), max_size=3
    )
)
def test_any_location(fields: list[Field]) -> None:
    """Whatever it says, it names paths."""
    targets = find_changed(make_request(method=b"POST", now=NOW), fields)
    assert all(target.startswith(b"/") for target in targets)
