"""The cache's key, and what answers vary on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from route_addon.core.cache_control import Wishes
from route_addon.core.httpcache_request import (
    CacheKey,
    describe_request,
    find_selectors,
    matches,
    select,
)
from route_addon.core.messages import Field
from tests.core.caching import NOW, make_forward, make_request
from tests.core.heads import PROXY, forward, make_head, make_router
from tests.minting import mint

TOKEN = (b"ABCAuthorization", mint("10.0.0.1"))
KEY = make_request().key
OURS = (
    (b"x-forwarded-host", b"desk.example:8080"),
    (b"x-forwarded-port", b"8080"),
    (b"x-forwarded-proto", b"http"),
)


def test_key() -> None:
    """Where the request goes, and what the upstream is told of where it came to."""
    assert CacheKey("website", b"/page", b"website", OURS) == KEY


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(make_request(b"/other"), id="path"),
        pytest.param(make_request(b"/Page"), id="case of the path"),
        pytest.param(make_request(b"/page/"), id="slash"),
        pytest.param(make_request(b"/pa%2Fge"), id="escaped slash"),
        pytest.param(make_request(b"/page?"), id="empty query"),
        pytest.param(make_request(b"/page?a=1"), id="query"),
        pytest.param(make_request(b"/console/page"), id="upstream"),
    ],
)
def test_other_targets_are_other_keys(request_: object) -> None:
    """Whatever the upstream could tell apart is apart."""
    assert getattr(request_, "key", None) not in (KEY, None)


@pytest.mark.parametrize("target", [b"/page", b"//page", b"/./page", b"/x/../page", b"/p%61ge"])
def test_one_path_is_one_key(target: bytes) -> None:
    """What the upstream gets is what counts: the canonical path."""
    assert make_request(target).key == KEY


@pytest.mark.parametrize(
    "name",
    [
        *(b"X-Forwarded-Scheme", b"X-Forwarded-Server", b"X-Forwarded-Prefix", b"X-Forwarded-Ssl"),
        *(b"X-Host", b"X-Original-URL", b"X-Rewrite-URL", b"X-Original-Host", b"X-Scheme"),
        *(b"X-Requested-With", b"X-Anything", b"x-lower", b"X-Http-Method-Override"),
        *(b"Front-End-Https", b"Client-IP", b"True-Client-IP", b"Base-URL", b"CF-Visitor"),
    ],
)
def test_what_may_change_an_answer_unseen(name: bytes) -> None:
    """A field that servers read and Vary never names makes a key of its own, by its value."""
    one, other = make_request(b"/page", (name, b"1")), make_request(b"/page", (name, b"2"))
    assert len({KEY, one.key, other.key}) == 3


def test_order_between_names_does_not_matter() -> None:
    """Between the lines of one name it does."""
    one, two = (b"X-A", b"1"), (b"X-B", b"2")
    assert make_request(b"/page", one, two).key == make_request(b"/page", two, one).key
    again = (b"X-A", b"3")
    assert make_request(b"/page", one, again).key != make_request(b"/page", again, one).key


@pytest.mark.parametrize(
    "field",
    [
        (b"X-Forwarded-Host", b"evil.example"),
        (b"X-Forwarded-Proto", b"https"),
        (b"X-Forwarded-Port", b"1"),
        (b"X-Forwarded-For", b"1.2.3.4"),
        (b"X-Real-IP", b"1.2.3.4"),
        (b"X-Request-ID", b"1"),
        (b"X_Forwarded_Host", b"evil.example"),
        (b"Forwarded", b"host=evil.example"),
        (b"X-Amzn-Trace-Id", b"1"),
        (b"Accept-Language", b"de"),
        (b"User-Agent", b"x"),
        (b"Cookie", b"a=b"),
    ],
)
def test_what_is_not_in_the_key(field: Field) -> None:
    """What the upstream does not get, what names one request, and what is for Vary."""
    assert make_request(b"/page", field).key == KEY


def test_what_a_trusted_proxy_says_is_in_the_key() -> None:
    """It goes upstream, so it counts."""
    router = make_router()
    for field in [
        (b"X-Forwarded-Host", b"other.example"),
        (b"X-Forwarded-Proto", b"https"),
        (b"X-Forwarded-Port", b"1"),
        (b"Forwarded", b"host=other.example"),
    ]:
        decision = forward(router, make_head(b"/page", field, peer=PROXY))
        described = describe_request(decision, 0, NOW)
        assert described is not None and described.key != KEY, field


@pytest.mark.parametrize(
    ("target", "fields"),
    [
        (b"/filer/x", (TOKEN,)),
        (b"/terminals/1", (TOKEN,)),
        (b"/container/%b/80/x" % TOKEN[1], ()),
        (b"/container/80", (TOKEN,)),
        (
            b"/broadcast",
            (TOKEN, (b"Upgrade", b"websocket"), (b"Connection", b"upgrade")),
        ),
    ],
)
def test_never_behind_a_token(target: bytes, fields: tuple[Field, ...]) -> None:
    """Pods' answers are their users'."""
    assert describe_request(make_forward(target, *fields), 0, NOW) is None


@pytest.mark.parametrize(
    ("method", "length", "fields", "bypass"),
    [
        pytest.param(b"GET", 0, [], b"", id="GET"),
        pytest.param(b"HEAD", 0, [], b"", id="HEAD"),
        pytest.param(b"GET", 0, [(b"If-None-Match", b"*")], b"", id="our own precondition"),
        pytest.param(b"POST", 0, [], b"method", id="POST"),
        pytest.param(b"OPTIONS", 0, [], b"method", id="OPTIONS"),
        pytest.param(b"GET", 5, [], b"bypass", id="fat GET"),
        pytest.param(b"GET", -1, [], b"bypass", id="chunked GET"),
        pytest.param(b"GET", 0, [(b"If-Match", b'"x"')], b"bypass", id="If-Match"),
        pytest.param(b"GET", 0, [(b"If-Unmodified-Since", b"x")], b"bypass", id="If-Unm.-Since"),
        pytest.param(b"GET", 0, [(b"X-HTTP-Method", b"PUT")], b"bypass", id="override"),
        pytest.param(b"GET", 0, [(b"Cache-Control", b"no-store")], b"request", id="no-store"),
    ],
)
def test_bypass(method: bytes, length: int, fields: list[Field], bypass: bytes) -> None:
    """What is none of the cache's business."""
    assert make_request(b"/page", *fields, method=method, length=length).bypass == bypass


@pytest.mark.parametrize(
    ("method", "fields", "is_unsafe"),
    [
        (b"GET", [], False),
        (b"HEAD", [], False),
        (b"OPTIONS", [], False),
        (b"POST", [], True),
        (b"M-SEARCH", [], True),
        (b"FROBNICATE", [], True),
        (b"GET", [(b"X-HTTP-Method-Override", b"DELETE")], True),
    ],
)
def test_unsafe(method: bytes, fields: list[Field], is_unsafe: bool) -> None:
    """A method that nobody knows may change things."""
    assert make_request(b"/page", *fields, method=method).is_unsafe is is_unsafe


@pytest.mark.parametrize("name", [b"Authorization", b"ABCAuthorization", b"proxy-authorization"])
def test_credentials(name: bytes) -> None:
    """The fields that are made for them; pyos' user token among them."""
    assert make_request(b"/page", (name, b"x")).has_credentials
    assert not make_request(b"/page", (b"Cookie", b"x")).has_credentials


def test_wishes() -> None:
    """All lines count."""
    fields = [(b"Cache-Control", b"max-age=5"), (b"cache-control", b"min-fresh=2")]
    assert make_request(b"/page", *fields).wishes == Wishes(max_age=5, min_fresh=2)
    assert make_request(b"/page", (b"Pragma", b"no-cache")).wishes == Wishes(no_cache=True)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param({}, set(), id="none"),
        pytest.param({b"vary": [b""]}, set(), id="empty"),
        pytest.param({b"vary": [b"Foo, BAR ,", b"baz"]}, {b"foo", b"bar", b"baz"}, id="names"),
        pytest.param({b"vary": [b"Host, X-Forwarded-Proto"]}, set(), id="what the key holds"),
        *(
            pytest.param({b"vary": lines}, None, id=repr(lines))
            for lines in (
                *([b"*"], [b"*, *"], [b"*", b"*"], [b", *"], [b"", b"*"], [b"*, Foo"], [b"Foo, *"]),
                *([b"Foo Bar"], [b'"Foo"'], [b"Foo;q=1"], [b"F\xc3\xb6o"]),
            )
        ),
        pytest.param({b"content-encoding": [b"gzip"]}, {b"accept-encoding"}, id="encoded"),
        pytest.param({b"access-control-allow-origin": [b"*"]}, set(), id="any origin"),
        pytest.param({b"access-control-allow-origin": [b"http://a"]}, {b"origin"}, id="an origin"),
    ],
)
def test_selectors(fields: dict[bytes, list[bytes]], expected: set[bytes] | None) -> None:
    """What Vary names, and what the answer's fields prove."""
    assert find_selectors(fields) == expected


@pytest.mark.parametrize(
    ("name", "one", "other", "is_same"),
    [
        pytest.param(b"Foo", [], [], True, id="both without"),
        pytest.param(b"Foo", [b""], [], False, id="empty is not absent"),
        pytest.param(b"Foo", [b"1"], [b"2"], False, id="values"),
        pytest.param(b"Foo", [b"a"], [b"A"], False, id="case"),
        pytest.param(b"Foo", [b"1, 2"], [b"1", b"2"], True, id="lines"),
        pytest.param(b"Foo", [b"1,2"], [b" 1 ,\t2 "], True, id="whitespace around commas"),
        pytest.param(b"Foo", [b'"1, 2"'], [b'"1,2"'], False, id="whitespace inside quotes"),
        pytest.param(b"Foo", [b"1,2"], [b"2,1"], False, id="order"),
        pytest.param(b"Accept-Language", [b"en, de"], [b"DE,en"], True, id="order of languages"),
        pytest.param(b"Accept-Language", [b"en;q=1"], [b"en; q=1"], True, id="space in weights"),
        pytest.param(b"Accept-Language", [b"en"], [b"en, de"], False, id="languages"),
        pytest.param(b"Cookie", [b"a=1; b=2"], [b"b=2; a=1"], False, id="cookies"),
    ],
)
def test_selection(name: bytes, one: list[bytes], other: list[bytes], is_same: bool) -> None:
    """Values are compared once what says nothing is gone."""
    first = make_request(b"/page", *((name, line) for line in one))
    second = make_request(b"/page", *((name, line) for line in other))
    selected = select(frozenset({name.lower()}), first)
    assert matches(selected, first)
    assert matches(selected, second) is is_same


_NAMES = st.sampled_from([b"Foo", b"X-Foo", b"Cache-Control", b"Cookie", b"Range", b"Vary"])
_FIELDS = st.lists(st.tuples(_NAMES, st.binary(max_size=20)), max_size=6)


@given(_FIELDS, st.integers(-2, 2))
def test_any_request(fields: list[Field], length: int) -> None:
    """Any values make a request, and one that matches itself."""
    decision = make_forward(b"/page")._replace(fields=fields)
    described = describe_request(decision, length, NOW)
    assert described is not None
    assert hash(described.key) == hash(describe_request(decision, length, NOW + 1)[0])  # type: ignore[index]
    selectors = find_selectors(described.values)
    assert selectors is None or matches(select(selectors, described), described)
