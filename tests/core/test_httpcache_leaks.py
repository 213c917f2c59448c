"""Ways to get at what was meant for somebody else, or to leave something for him to find.

Requests go through the whole decision, as clients send them: what the router drops or rewrites is
part of the defence. Each test says who asks first, and what the second must not get.
"""

import pytest

from route_addon.core.messages import Field, Forward, Peer
from tests.core.caching import NOW, ROUTER, Cache, date
from tests.core.heads import CLIENT, PROXY, TLS_CLIENT, forward, make_head, make_router, values
from tests.minting import mint

FRESH = (b"Cache-Control", b"max-age=600")
PUBLIC = (b"Cache-Control", b"max-age=600, public")
TAG = (b"ETag", b'"v1"')
ALICE = (b"Cookie", b"session=alice")
BOB = (b"Cookie", b"session=bob")
SECRET = b"for alice only"
OTHER = b"for everybody"


def _forward(
    *fields: Field,
    target: bytes = b"/page",
    method: bytes = b"GET",
    peer: Peer = CLIENT,
    length: int = 0,
) -> Forward:
    return forward(ROUTER, make_head(target, *fields, method=method, peer=peer, length=length))


def _second_gets(
    first: Forward,
    said: tuple[int, list[Field], bytes],
    second: Forward,
    status: int = 200,
    *,
    first_length: int = 0,
    wait_s: float = 1,
) -> bytes:
    """What the second client gets; the upstream has something else for him."""
    cache = Cache()
    cache.ask(first, said, NOW, first_length)
    fields = [FRESH, (b"ETag", b'"v2"')]
    return cache.ask(second, (status, fields, OTHER), NOW + wait_s)[2]


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param([FRESH, (b"Vary", b"Cookie")], id="Vary: Cookie"),
        pytest.param([PUBLIC, (b"Vary", b"cookie, Accept")], id="Vary: cookie, public"),
        pytest.param([FRESH, (b"Vary", b"*")], id="Vary: *"),
        pytest.param([(b"Cache-Control", b"private, max-age=600")], id="private"),
        pytest.param([(b"Cache-Control", b"no-store")], id="no-store"),
        pytest.param([(b"Cache-Control", b"max-age=600"), (b"Cache-Control", b"private")], id="2"),
        pytest.param([(b"Cache-Control", b'max-age=600, ", private')], id="behind half a quote"),
        pytest.param([(b"Cache-Control", b"max-age=600, PRIVATE=")], id="private="),
        pytest.param([PUBLIC, (b"Set-Cookie", b"session=alice")], id="Set-Cookie"),
        pytest.param([PUBLIC, (b"Set-Cookie", b"a"), (b"Connection", b"Set-Cookie")], id="hidden"),
        pytest.param([(b"Cache-Control", b"private"), (b"Connection", b"cache-control")], id="hid"),
        pytest.param([TAG], id="nothing told, with a tag"),
        pytest.param([(b"Last-Modified", date(-9999))], id="nothing told, with a date"),
    ],
)
def test_a_page_made_for_a_cookie(fields: list[Field]) -> None:
    """1-5: one that says that it is one user's, in any way, or that says nothing."""
    assert _second_gets(_forward(ALICE), (200, fields, SECRET), _forward(BOB)) == OTHER
    assert _second_gets(_forward(ALICE), (200, fields, SECRET), _forward()) == OTHER


def test_validation_does_not_confirm_another_users_page() -> None:
    """6: an upstream that answers 304 by the date alone cannot hand Alice's page to Bob."""
    cache = Cache()
    cache.ask(_forward(ALICE), (200, [(b"Last-Modified", date(-9))], SECRET))
    assert cache.ask(_forward(BOB), (304, [], b""))[2] == b""
    assert values(cache.asked[1], b"If-Modified-Since") == []


def test_validation_does_not_spread_what_one_user_is_told() -> None:
    """7: a 304 to Alice's request, with her name in a field, changes nothing for Bob."""
    cache = Cache()
    cache.ask(_forward(), (200, [TAG], OTHER))
    mine = [(b"X-User", b"alice"), (b"Set-Cookie", b"session=alice")]
    assert values(cache.ask(_forward(ALICE), (304, mine, b""))[1], b"X-User") == [b"alice"]
    for second in (_forward(BOB), _forward()):
        _, fields, body = cache.ask(second, (304, [], b""))
        assert (values(fields, b"X-User"), values(fields, b"Set-Cookie"), body) == ([], [], OTHER)


@pytest.mark.parametrize("name", [b"Authorization", b"ABCAuthorization", b"Proxy-Authorization"])
@pytest.mark.parametrize("told", [FRESH, (b"Expires", date(600)), (b"ETag", b'"v1"')])
def test_a_page_made_for_credentials(name: bytes, told: Field) -> None:
    """8: unless it says that it may be shared."""
    first, said = _forward((name, b"Basic YTpi")), (200, [told], SECRET)
    assert _second_gets(first, said, _forward()) == OTHER
    assert _second_gets(first, said, first) == OTHER
    assert _second_gets(first, said, _forward((name, b"Basic eDp5"))) == OTHER


def test_credentials_do_not_meet_what_is_stored() -> None:
    """9: a login page that is everybody's is not what somebody with credentials gets."""
    first = _forward()
    assert _second_gets(first, (200, [FRESH], SECRET), _forward((b"Authorization", b"x"))) == OTHER


def test_credentials_in_a_field_of_ones_own() -> None:
    """10: an X- field is in the key, whatever it is for."""
    first = _forward((b"X-Api-Key", b"alice"))
    for second in (_forward(), _forward((b"X-Api-Key", b"bob"))):
        assert _second_gets(first, (200, [FRESH], SECRET), second) == OTHER


def test_a_range_does_not_become_the_whole() -> None:
    """11: part of an answer is never stored."""
    first = _forward((b"Range", b"bytes=0-3"))
    said = (206, [FRESH, TAG, (b"Content-Range", b"bytes 0-3/9")], SECRET)
    for second in (_forward(), first, _forward((b"Range", b"bytes=1-2"))):
        assert _second_gets(first, said, second) == OTHER


def test_ranges_are_not_combined() -> None:
    """12: two parts, perhaps of two users' pages, are not put together."""
    cache = Cache()
    for span, body in ((b"0-3", b"alic"), (b"4-8", b"e-own")):
        answer = [FRESH, TAG, (b"Content-Range", b"bytes %b/9" % span)]
        cache.ask(_forward((b"Range", b"bytes=" + span)), (206, answer, body))
    assert cache.ask(_forward(), (200, [FRESH], OTHER))[2] == OTHER


def test_a_bad_range_is_nobody_elses_error() -> None:
    """13: 416, like other errors that a request brought upon itself, is not stored."""
    for first, status in (
        (_forward((b"Range", b"bytes=999-")), 416),
        (_forward((b"Expect", b"x")), 417),
        (_forward((b"Accept", b"x/y")), 406),
        (_forward((b"Referer", b"x" * 4000)), 431),
        (_forward((b"Cookie", b"\xff")), 400),
        (_forward((b"User-Agent", b"sqlmap")), 403),
        (_forward(), 401),
        (_forward(), 429),
    ):
        assert _second_gets(first, (status, [PUBLIC], SECRET), _forward()) == OTHER, status


def test_head_stores_nothing() -> None:
    """14: an answer without content is not one to GET; one to Alice's HEAD changes nothing."""
    first = _forward(ALICE, method=b"HEAD")
    assert _second_gets(first, (200, [PUBLIC, TAG], b""), _forward()) == OTHER
    cache = Cache()
    cache.ask(_forward(), (200, [TAG], OTHER))
    cache.ask(first, (200, [TAG, (b"X-User", b"alice")], b""))
    _, fields, body = cache.ask(_forward(), (304, [], b""))
    assert (values(fields, b"X-User"), body) == ([], OTHER)


@pytest.mark.parametrize(
    "field",
    [
        (b"X-Forwarded-Host", b"evil.example"),
        (b"X-Forwarded-Proto", b"evil"),
        (b"X-Forwarded-Port", b"31337"),
        (b"Forwarded", b"host=evil.example"),
        (b"X_Forwarded_Host", b"evil.example"),
    ],
)
def test_what_a_client_says_of_its_address(field: Field) -> None:
    """15: it does not even reach the upstream, so one place for all is right."""
    cache = Cache()
    cache.ask(_forward(field), (200, [FRESH], OTHER))
    assert all(b"evil" not in value and value != b"31337" for _, value in cache.asked[0])


@pytest.mark.parametrize(
    "field",
    [
        *((b"X-Forwarded-Host", b"evil.example"), (b"X-Forwarded-Proto", b"https")),
        *((b"X-Forwarded-Port", b"31337"), (b"Forwarded", b"host=evil.example")),
    ],
)
def test_what_a_proxy_says_of_the_address(field: Field) -> None:
    """16: it does, and has a place of its own."""
    first = _forward(field, peer=PROXY)
    assert _second_gets(first, (200, [FRESH], SECRET), _forward(peer=PROXY)) == OTHER


@pytest.mark.parametrize(
    "name",
    [
        *(
            b"X-Host",
            b"X-Original-URL",
            b"X-Rewrite-URL",
            b"X-Forwarded-Scheme",
            b"X-Original-Host",
        ),
        *(b"X-Forwarded-Server", b"X-Forwarded-Prefix", b"X-Wap-Profile", b"X-Requested-With"),
        *(b"Front-End-Https", b"True-Client-IP", b"Client-IP", b"Base-Url", b"Request-URI"),
    ],
)
def test_inputs_that_no_key_holds_elsewhere(name: bytes) -> None:
    """17: what is slipped in is found again only by who slips it in."""
    first = _forward((name, b"/admin"))
    assert _second_gets(first, (200, [FRESH], SECRET), _forward()) == OTHER
    assert _second_gets(first, (200, [FRESH], SECRET), _forward((name, b"/other"))) == OTHER


def test_another_host_and_another_scheme() -> None:
    """18: one server may have many hosts, and answer http with a redirect."""
    first = _forward()
    host = (b"Host", b"other.example:8080")
    other = forward(ROUTER, make_head(b"/page", host, host=None))
    assert _second_gets(first, (200, [FRESH], SECRET), other) == OTHER
    secure = _forward(peer=TLS_CLIENT)
    assert _second_gets(first, (301, [FRESH], SECRET), secure) == OTHER


@pytest.mark.parametrize(
    "target",
    [
        *(b"/API/x.css", b"/API/user.js;.css", b"/API/%2e%2e/API/x.css", b"/x/../API/user"),
        *(b"//API/user", b"/API/user?x.css", b"/fauth/x.ico", b"/%41PI/x.css"),
    ],
)
def test_path_confusion(target: bytes) -> None:
    """19: no ending makes a page a file; the answer decides, and the key is what upstream gets."""
    said = (200, [(b"Content-Type", b"text/css")], SECRET)
    assert _second_gets(_forward(ALICE, target=target), said, _forward(target=target)) == OTHER
    said = (200, [FRESH], SECRET)
    assert _second_gets(_forward(target=target), said, _forward(target=b"/x.css")) == OTHER


@pytest.mark.parametrize("length", [9, -1])
def test_a_get_with_content(length: int) -> None:
    """20: a fat GET is not the GET that others mean."""
    first = _forward(length=length)
    said = (200, [PUBLIC], SECRET)
    assert _second_gets(first, said, _forward(), first_length=length) == OTHER


@pytest.mark.parametrize(
    "field",
    [
        (b"X-HTTP-Method-Override", b"POST"),
        (b"X-HTTP-Method", b"DELETE"),
        (b"X-Method-Override", b"PUT"),
    ],
)
def test_method_override(field: Field) -> None:
    """21: what is done by an overridden GET is not stored, and does away with what was."""
    first = _forward(field)
    assert _second_gets(first, (200, [PUBLIC], SECRET), _forward()) == OTHER
    assert _second_gets(first, (200, [PUBLIC], SECRET), first) == OTHER
    cache = Cache()
    cache.ask(_forward(), (200, [FRESH], b"before"))
    cache.ask(first, (200, [], b"done"))
    assert cache.ask(_forward(), (200, [FRESH], OTHER))[2] == OTHER


def test_unsafe_answers_are_not_pages() -> None:
    """22: what a POST is answered is not what others GET, even if it says so."""
    first = _forward(method=b"POST")
    said = (200, [PUBLIC, (b"Content-Location", b"/page")], SECRET)
    assert _second_gets(first, said, _forward()) == OTHER


@pytest.mark.parametrize("name", [b"If-Match", b"If-Unmodified-Since"])
def test_failed_preconditions(name: bytes) -> None:
    """23: nor is what a request made on conditions was answered."""
    first = _forward((name, b'"x"'))
    for status in (200, 412):
        assert _second_gets(first, (status, [PUBLIC], SECRET), _forward()) == OTHER


def test_a_304_to_the_clients_own_condition() -> None:
    """24: it has no content, and must not be stored as if that were it."""
    first = _forward((b"If-None-Match", b'"v1"'))
    assert _second_gets(first, (304, [PUBLIC, TAG], b""), _forward()) == OTHER


def test_cross_origin_permission() -> None:
    """25: an answer that lets one origin read it varies on Origin, whether it says so or not."""
    first = _forward((b"Origin", b"https://evil.example"))
    said = (200, [FRESH, (b"Access-Control-Allow-Origin", b"https://evil.example")], SECRET)
    assert _second_gets(first, said, _forward((b"Origin", b"https://good.example"))) == OTHER
    assert _second_gets(first, said, _forward()) == OTHER


def test_an_encoding_that_the_client_cannot_read() -> None:
    """26: an answer that is encoded varies on Accept-Encoding likewise."""
    first = _forward((b"Accept-Encoding", b"gzip"))
    said = (200, [FRESH, (b"Content-Encoding", b"gzip")], SECRET)
    assert _second_gets(first, said, _forward()) == OTHER


def test_behind_a_token_nothing_is_stored() -> None:
    """27: not even for the same user: a pod's answers are between it and him."""
    router = make_router()
    own = forward(router, make_head(b"/filer/x", (b"ABCAuthorization", mint("10.0.0.1"))))
    assert _second_gets(own, (200, [PUBLIC], SECRET), own) == OTHER


def test_one_location_is_not_another() -> None:
    """28: two upstreams may have the same path."""
    first = _forward(target=b"/console/page")
    assert _second_gets(first, (200, [FRESH], SECRET), _forward(target=b"/page")) == OTHER


def test_fields_of_one_exchange() -> None:
    """29: who got the stored answer first does not show in it."""
    cache = Cache()
    own = [FRESH, (b"X-Request-ID", b"alices"), (b"Authentication-Info", b"x=y")]
    cache.ask(_forward(), (200, own, OTHER))
    _, fields, body = cache.ask(_forward(), (500, [], b""))
    assert body == OTHER
    assert values(fields, b"X-Request-ID") == values(fields, b"Authentication-Info") == []


def test_the_cache_does_cache() -> None:
    """The tests above would pass without one."""
    assert _second_gets(_forward(), (200, [FRESH], SECRET), _forward(BOB)) == SECRET
    assert _second_gets(_forward(ALICE), (200, [FRESH], SECRET), _forward(BOB)) == SECRET
