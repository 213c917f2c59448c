"""Where a token sits, and how it is taken out again."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from route_addon.core.authority import parse_authority
from route_addon.core.credentials import (
    Carriers,
    Credential,
    check_same_origin,
    cut_referer,
    find_credential,
    full_authority,
    holds_token,
    parse_origin,
    redact,
    remove_cookie,
    remove_from_query,
    replace_tokens,
)
from route_addon.core.errors import OriginDenied, TokenRepeated
from route_addon.core.locations import Source
from route_addon.core.messages import Origin
from tests.core.refusals import refusal
from tests.minting import mint

COOKIE = b"jwt_token"
ALL: tuple[Source, ...] = ("query", "header", "path", "cookie")
TOKEN = mint()


def _carriers(
    *,
    abc: tuple[bytes, ...] = (),
    authorization: tuple[bytes, ...] = (),
    cookie: tuple[bytes, ...] = (),
    query: bytes | None = None,
    captures: Mapping[str, bytes] | None = None,
) -> Carriers:
    return Carriers(abc, authorization, cookie, query, captures or {})


@pytest.mark.parametrize(
    ("carriers", "expected"),
    [
        pytest.param({"abc": (b"T",)}, ("T", "header"), id="ABCAuthorization, bare"),
        pytest.param({"abc": (b"Bearer T",)}, ("T", "header"), id="ABCAuthorization, Bearer"),
        pytest.param({"abc": (b"bEARER T",)}, ("T", "header"), id="scheme in any case"),
        pytest.param({"abc": (b"Bearer   T ",)}, ("T", "header"), id="several spaces"),
        pytest.param({"abc": (b"Basic T",)}, ("Basic T", "header"), id="another scheme is bad"),
        pytest.param({"abc": (b"",)}, ("", "header"), id="an empty line is present and bad"),
        pytest.param({"abc": (b"Bearer",)}, ("", "header"), id="a scheme alone is bad"),
        pytest.param({"authorization": (b"Bearer T",)}, ("T", "header"), id="Authorization"),
        pytest.param({"authorization": (b"BEARER T",)}, ("T", "header"), id="in any case"),
        pytest.param({"authorization": (b"T",)}, None, id="Authorization needs a scheme"),
        pytest.param({"authorization": (b"Basic T",)}, None, id="another scheme is none"),
        pytest.param({"authorization": (b"Basic T", b"Basic U")}, None, id="two of another"),
        pytest.param(
            {"abc": (b"T",), "authorization": (b"Bearer U",)},
            ("T", "header"),
            id="ABCAuthorization comes first",
        ),
        pytest.param(
            {"abc": (b"",), "authorization": (b"Bearer U",)},
            ("", "header"),
            id="a bad one is not passed over",
        ),
        pytest.param({"query": b"jwt_token=T"}, ("T", "query"), id="the argument"),
        pytest.param({"query": b"JWT_Token=T"}, ("T", "query"), id="name in any case"),
        pytest.param({"query": b"a=1&jwt_token=T&b=2"}, ("T", "query"), id="among others"),
        pytest.param({"query": b"jwt_token=T&jwt_token=U"}, ("T", "query"), id="the first wins"),
        pytest.param({"query": b"jwt_token=&jwt_token=U"}, ("", "query"), id="an empty one too"),
        pytest.param({"query": b"jwt_token=%41=="}, ("%41==", "query"), id="nothing is decoded"),
        pytest.param({"query": b"jwt%5Ftoken=T"}, None, id="no name is decoded"),
        pytest.param({"query": b"xjwt_token=T"}, None, id="a longer name"),
        pytest.param({"query": b"jwt_token"}, None, id="a name without a value"),
        pytest.param({"query": b"a=1;jwt_token=T"}, None, id="a semicolon parts nothing"),
        pytest.param({"query": b"a.b.c"}, ("a.b.c", "query"), id="the whole query"),
        pytest.param({"query": b"a.b"}, None, id="a query of two parts"),
        pytest.param({"query": b"a.b.c&d"}, None, id="a query with more than a token"),
        pytest.param({"query": b""}, None, id="an empty query"),
        pytest.param({"query": None}, None, id="no query"),
        pytest.param({"captures": {"token": b"T"}}, ("T", "path"), id="the path"),
        pytest.param({"cookie": (b"jwt_token=T",)}, ("T", "cookie"), id="the cookie"),
        pytest.param({"cookie": (b"jwt_token=",)}, ("", "cookie"), id="an empty cookie is bad"),
        pytest.param({"cookie": (b"jwt_token=x",)}, ("x", "cookie"), id="a cookie of one letter"),
        pytest.param({"cookie": (b"a=1; jwt_token=T; b=2",)}, ("T", "cookie"), id="among cookies"),
        pytest.param({"cookie": (b"a=1", b"jwt_token=T")}, ("T", "cookie"), id="a second line"),
        pytest.param({"cookie": (b"a=1;jwt_token=T",)}, ("T", "cookie"), id="without a space"),
        pytest.param(
            {"cookie": (b"jwt_token=T; jwt_token=T",)}, ("T", "cookie"), id="the same twice"
        ),
        pytest.param({"cookie": (b"JWT_TOKEN=T",)}, None, id="a cookie's case matters"),
        pytest.param({"cookie": (b"xjwt_token=T",)}, None, id="a longer cookie name"),
        pytest.param({"cookie": (b"a=jwt_token=T",)}, None, id="within another cookie"),
        pytest.param({"cookie": (b"jwt_token",)}, None, id="a cookie without a value"),
        pytest.param({}, None, id="nothing at all"),
    ],
)
def test_find(carriers: dict[str, Any], expected: tuple[str, Source] | None) -> None:
    """A credential is what stands in its place, as it stands there."""
    found = None if expected is None else Credential(expected[0].encode(), expected[1])
    assert found == find_credential(ALL, _carriers(**carriers), COOKIE)


def test_the_first_source_wins() -> None:
    """Sources are asked in the location's order, and no other is."""
    carriers = _carriers(
        abc=(b"H",), cookie=(b"jwt_token=C",), query=b"jwt_token=Q", captures={"token": b"P"}
    )
    tokens: dict[Source, bytes] = {"query": b"Q", "header": b"H", "cookie": b"C", "path": b"P"}
    for source, token in tokens.items():
        others: tuple[Source, ...] = tuple(set(ALL) - {source})
        assert Credential(token, source) == find_credential((source, *others), carriers, COOKIE)
    assert find_credential((), carriers, COOKIE) is None


@pytest.mark.parametrize(
    "carriers",
    [
        pytest.param({"abc": (b"T", b"T")}, id="two ABCAuthorization lines"),
        pytest.param({"authorization": (b"Bearer T", b"Bearer T")}, id="two Authorization lines"),
        pytest.param({"authorization": (b"Basic x", b"Bearer T")}, id="two schemes"),
        pytest.param({"cookie": (b"jwt_token=T; jwt_token=U",)}, id="two cookies that differ"),
        pytest.param({"cookie": (b"jwt_token=T", b"jwt_token=U")}, id="in two lines"),
        pytest.param({"cookie": (b"jwt_token=T; jwt_token=",)}, id="one of them empty"),
    ],
)
def test_never_chooses(carriers: dict[str, Any]) -> None:
    """Of two credentials in one source none is chosen."""
    with pytest.raises(TokenRepeated):
        find_credential(ALL, _carriers(**carriers), COOKIE)


def test_the_cookie_s_name_is_an_option() -> None:
    """Another name is another cookie, and letters of a pattern mean themselves."""
    carriers = _carriers(cookie=(b"jwt_token=T; a.b=U; axb=V",))
    assert Credential(b"U", "cookie") == find_credential(("cookie",), carriers, b"a.b")
    assert find_credential(("cookie",), carriers, b"") is None


@pytest.mark.parametrize(
    ("query", "whole", "expected"),
    [
        pytest.param(b"a=1&b", False, b"a=1&b", id="nothing to take"),
        pytest.param(b"", False, b"", id="an empty query stays"),
        pytest.param(b"jwt_token=T", False, None, id="nothing is left"),
        pytest.param(b"a=1&jwt_token=T&b=%zz&&c", False, b"a=1&b=%zz&&c", id="the rest stays"),
        pytest.param(b"JWT_TOKEN=T&a&jwt_token=U&jwt_token=", False, b"a", id="all of them"),
        pytest.param(b"xjwt_token=T", False, b"xjwt_token=T", id="a longer name stays"),
        pytest.param(b"a.b.c", True, None, id="the whole query where that is a source"),
        pytest.param(b"a.b.c", False, b"a.b.c", id="the whole query where it is not"),
        pytest.param(b"a.b.c&jwt_token=T", True, b"a.b.c", id="a token beside a token"),
    ],
)
def test_remove_from_query(query: bytes, whole: bool, expected: bytes | None) -> None:
    """Every token argument goes, and nothing else changes."""
    assert expected == remove_from_query(query, whole=whole)


_QUERIES = st.lists(
    st.sampled_from([b"jwt_token=", b"JWT_TOKEN=T", b"&", b"a.b.c", b"x=1", b"", b"jwt_token"])
).map(b"".join)


@given(_QUERIES | st.binary(max_size=30))
def test_what_is_removed_is_gone(query: bytes) -> None:
    """No token argument is left, all else is, and removing twice changes nothing."""
    left = remove_from_query(query, whole=False)
    others = [part for part in query.split(b"&") if not part.lower().startswith(b"jwt_token=")]
    assert others == ([] if left is None else left.split(b"&")) or (left, others) == (None, [b""])
    assert left is None or left == remove_from_query(left, whole=False)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        pytest.param(b"jwt_token=T", None, id="nothing is left"),
        pytest.param(b"a=1; jwt_token=T; b=2", b"a=1; b=2", id="from the middle"),
        pytest.param(b"jwt_token=T; a=1", b"a=1", id="from the start"),
        pytest.param(b"a=1;jwt_token=T", b"a=1", id="from the end"),
        pytest.param(b"jwt_token=T; jwt_token=U", None, id="all of them"),
        pytest.param(b"jwt_token = T; a", b"a", id="with spaces around the name"),
        pytest.param(b"xjwt_token=T; a=jwt_token", b"xjwt_token=T; a=jwt_token", id="others stay"),
    ],
)
def test_remove_cookie(line: bytes, expected: bytes | None) -> None:
    """The cookie goes, and the others stay as they are."""
    assert expected == remove_cookie(line, COOKIE)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(TOKEN, id="a token"),
        pytest.param(b"http://h/container/" + TOKEN + b"/80/", id="in a path"),
        pytest.param(b"http://h/x?" + TOKEN, id="in a query"),
        pytest.param(TOKEN.replace(b".", b"%2e"), id="with escapes"),
        pytest.param(b"http://h/?JWT_token=x", id="the argument"),
        pytest.param(b"http://h/?next=%2f%3fjwt_token%3dx", id="the argument, escaped"),
        pytest.param(b"http://h/?next=%252f%253fjwt_token%253dx", id="escaped twice"),
    ],
)
def test_a_token_is_seen_anywhere(text: bytes) -> None:
    """Wherever a token stands in a text, it is seen."""
    assert holds_token(text)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"http://h/a.b.c/jquery.min.js?v=1.2.3", id="dots in names"),
        pytest.param(
            b"http://" + b"a" * 63 + b"." + b"b" * 63 + b"." + b"c" * 63 + b"/", id="labels"
        ),
        pytest.param(b"http://h/?token=x", id="another argument"),
        pytest.param(b"%zz%41", id="bad escapes"),
    ],
)
def test_never_sees_a_token(text: bytes) -> None:
    """A usual URL holds no token."""
    assert not holds_token(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(b"/x?a=1", b"/x?a=1", id="nothing to hide"),
        pytest.param(TOKEN, b"[token]", id="a token"),
        pytest.param(b"/x?a&" + TOKEN, b"/x?a&[token]", id="in a query"),
        pytest.param(b"/container/%s/80/x" % TOKEN, b"/container/[token]/80/x", id="in a path"),
        pytest.param(b"Bearer " + TOKEN, b"Bearer [token]", id="behind a scheme"),
        pytest.param(b"/x?JWT_token=%s&b" % TOKEN, b"/x?[token]&b", id="the argument"),
        pytest.param(b"/x?jwt_token=garbage&b", b"/x?[token]&b", id="the argument, whatever it is"),
        pytest.param(b"a=1; jwt_token=x; b=2", b"a=1; [token]; b=2", id="the cookie"),
        pytest.param(b"?n=%3Fjwt_token%3D" + TOKEN, b"?n=%3F[token]", id="the argument, escaped"),
        pytest.param(TOKEN.replace(b".", b"%2E"), b"[token]", id="with escapes"),
        pytest.param(TOKEN + b"&" + TOKEN, b"[token]&[token]", id="two"),
    ],
)
def test_redact(text: bytes, expected: bytes) -> None:
    """What is shown has a placeholder in the place of every token."""
    assert expected == redact(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(b"/x?a=1", b"/x?a=1", id="nothing to replace"),
        pytest.param(b"/x?" + TOKEN, b"/x?<%d>" % len(TOKEN), id="a token"),
        pytest.param(b"/x?JWT_token=T&b", b"/x?JWT_token=<1>&b", id="an argument keeps its name"),
        pytest.param(b"jwt_token=a; jwt_token=bc", b"jwt_token=<1>; jwt_token=<2>", id="two"),
        pytest.param(b"?n=jwt_token%3Dabc", b"?n=jwt_token%3D<3>", id="an argument, escaped"),
    ],
)
def test_replace_tokens(text: bytes, expected: bytes) -> None:
    """Each token is told, and what is given stands in its place."""
    assert expected == replace_tokens(text, lambda token: b"<%d>" % len(token))


@given(st.binary(max_size=20), st.binary(max_size=20))
def test_no_redacted_text_shows_a_token(before: bytes, after: bytes) -> None:
    """Whatever stands around a token, its signature is not seen."""
    assert TOKEN.rpartition(b".")[2][-40:] not in redact(before + TOKEN + after)


@pytest.mark.parametrize(
    ("referer", "expected"),
    [
        pytest.param(b"https://h:1/x?y", b"https://h:1/x?y", id="no token: as it is"),
        pytest.param(b"https://h:1/x?" + TOKEN, b"https://h:1/", id="cut to its origin"),
        pytest.param(b"HTTP://h/container/" + TOKEN + b"/80", b"HTTP://h/", id="in the path"),
        pytest.param(b"https://" + TOKEN + b"@h/", None, id="in the user information"),
        pytest.param(b"/x?" + TOKEN, None, id="no origin"),
    ],
)
def test_cut_referer(referer: bytes, expected: bytes | None) -> None:
    """A Referer that holds a token shows its origin at most."""
    assert expected == cut_referer(referer)


@given(st.binary(max_size=20), st.binary(max_size=20))
def test_no_referer_shows_a_token(before: bytes, after: bytes) -> None:
    """Whatever stands around a token, it does not get through."""
    cut = cut_referer(before + b"/" + TOKEN + b"/" + after)
    assert cut is None or TOKEN not in cut


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(b"http://h", (b"http", b"h"), id="http"),
        pytest.param(b"HTTPS://H:1/x?y#z", (b"https", b"h:1"), id="the origin of a URL"),
        pytest.param(b"http://[::1]:8080", (b"http", b"[::1]:8080"), id="IPv6"),
        pytest.param(b"null", None, id="null"),
        pytest.param(b"", None, id="nothing"),
        pytest.param(b"h", None, id="no scheme"),
        pytest.param(b"file:///x", None, id="another scheme"),
        pytest.param(b"http://h@evil/", None, id="user information"),
        pytest.param(b"http://evil\\@h/", None, id="a backslash"),
        pytest.param(b"http://h http://evil", None, id="two"),
    ],
)
def test_parse_origin(text: bytes, expected: tuple[bytes, bytes] | None) -> None:
    """An origin has a scheme that we speak and an authority, or is none."""
    parsed = parse_origin(text)
    assert expected == (None if parsed is None else (parsed[0], parsed[1].text))


OWN = Origin(b"http", b"desk.example:8080")
ALLOWED = frozenset({Origin(b"https", b"friend.example:443")})


@pytest.mark.parametrize(
    ("origins", "referers", "own"),
    [
        pytest.param([b"http://desk.example:8080"], [], OWN, id="our own"),
        pytest.param([b"HTTP://DESK.example:8080"], [], OWN, id="in any case"),
        pytest.param([], [b"http://desk.example:8080/x?y"], OWN, id="Referer where no Origin is"),
        pytest.param([b"https://desk.example:8080"], [], OWN, id="https is no less than http"),
        pytest.param([b"https://friend.example"], [], OWN, id="an allowed one"),
        pytest.param([b"https://friend.example:443"], [], OWN, id="an allowed one with its port"),
        pytest.param(
            [b"https://h"], [], Origin(b"http", b"h"), id="TLS that ended before us, port unsaid"
        ),
        pytest.param([b"http://h:80"], [], Origin(b"http", b"h"), id="the scheme's own port"),
    ],
)
def test_same_origin(origins: list[bytes], referers: list[bytes], own: Origin) -> None:
    """A page of ours, or of an allowed origin, may use the cookie."""
    assert refusal(check_same_origin, origins, referers, own, ALLOWED) is None


@pytest.mark.parametrize(
    ("origins", "referers", "own"),
    [
        pytest.param([], [], OWN, id="neither field"),
        pytest.param([b"null"], [], OWN, id="null"),
        pytest.param([b"null"], [b"http://desk.example:8080/"], OWN, id="Origin decides: null"),
        pytest.param([b"http://evil"], [b"http://desk.example:8080/"], OWN, id="Origin decides"),
        pytest.param([b"http://desk.example:8080"] * 2, [], OWN, id="two Origin lines"),
        pytest.param([], [b"http://desk.example:8080/"] * 2, OWN, id="two Referer lines"),
        pytest.param([b"http://desk.example"], [], OWN, id="another port"),
        pytest.param([b"http://desk.example:8080.evil"], [], OWN, id="a longer name"),
        pytest.param([b"http://x.desk.example:8080"], [], OWN, id="a name below"),
        pytest.param([b"http://friend.example"], [], OWN, id="an allowed one by http"),
        pytest.param([b"https://friend.example:8443"], [], OWN, id="an allowed one's other port"),
        pytest.param([b"http://h"], [], Origin(b"https", b"h"), id="http is less than https"),
        pytest.param([b"https://h"], [], Origin(b"http", b"h:80"), id="https on http's port"),
        pytest.param([b"http://"], [], Origin(b"http", b""), id="we have no name (HTTP/1.0)"),
        pytest.param([b"http://h"], [], Origin(b"http", b""), id="we have no name, they have"),
        pytest.param([b"http:///"], [b"x"], Origin(b"http", b"x"), id="an empty authority"),
    ],
)
def test_never_takes_a_foreign_origin(
    origins: list[bytes], referers: list[bytes], own: Origin
) -> None:
    """Whoever is not sure to be ours may not use the cookie."""
    with pytest.raises(OriginDenied):
        check_same_origin(origins, referers, own, ALLOWED)


@pytest.mark.parametrize(
    ("scheme", "text", "expected"),
    [(b"http", b"h", b"h:80"), (b"https", b"h", b"h:443"), (b"https", b"h:80", b"h:80")],
)
def test_full_authority(scheme: bytes, text: bytes, expected: bytes) -> None:
    """An authority in full has its port."""
    authority = parse_authority(text)
    assert authority is not None
    assert expected == full_authority(scheme, authority)


@given(
    st.lists(st.binary(max_size=20), max_size=2),
    st.lists(st.binary(max_size=20), max_size=2),
    st.lists(st.binary(max_size=20) | _QUERIES, max_size=2),
    st.none() | st.binary(max_size=20) | _QUERIES,
)
def test_any_carriers_give_a_credential_none_or_a_route_error(
    abc: list[bytes], authorization: list[bytes], cookie: list[bytes], query: bytes | None
) -> None:
    """Whatever a request holds, the answer is a token of bytes, nothing, or a refusal."""
    carriers = Carriers(abc, authorization, cookie, query, {})
    try:
        credential = find_credential(("query", "header", "cookie"), carriers, COOKIE)
    except TokenRepeated:
        return
    assert credential is None or isinstance(credential.token, bytes)
