"""What an upstream gets."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from route_addon.core.forwarding import with_server
from route_addon.core.framing import CHUNKED
from route_addon.core.locations import HostSent
from route_addon.core.messages import (
    HTTP_2,
    HTTP_10,
    HTTP_11,
    Field,
    Origin,
    Peer,
    RequestHead,
    Server,
)
from tests.core.heads import CLIENT, HOST, PROXY, forward, make_head, make_router, values
from tests.minting import LIFE_S, NOW, mint

TOKEN = mint("10.0.0.1")
OTHER = mint("10.0.0.2")
HEADER: Field = (b"ABCAuthorization", TOKEN)
ROUTER = make_router()


@pytest.mark.parametrize(
    ("target", "path"),
    [
        pytest.param(b"/x?", b"/x?", id="an empty query stays"),
        pytest.param(b"/%41//b/../c?%zz", b"/A/c?%zz", id="the canonical path is sent"),
        pytest.param(b"/a%2Fb|?|", b"/a%2Fb|?|", id="bytes go out as they came"),
        pytest.param(b"/a?jwt_token=x", b"/a?jwt_token=x", id="website: its query is its own"),
        pytest.param(b"/API/x?" + TOKEN, b"/API/x?" + TOKEN, id="pyos: its query is its own"),
        pytest.param(b"http://desk.example:8080/a?b#c", b"/a?b", id="origin-form is sent"),
        pytest.param(b"/console", b"/", id="prefix replaced"),
        pytest.param(b"/console?", b"/?", id="prefix replaced, with an empty query"),
        pytest.param(b"/console/%2Fx", b"/%2Fx", id="prefix replaced, with an escaped slash"),
        pytest.param(b"/console//x", b"/x", id="prefix replaced, never two slashes"),
        pytest.param(b"/speedtest/garbage.php?ckSize=4", b"/garbage.php?ckSize=4", id="speedtest"),
        pytest.param(b"/filer?" + OTHER, b"/filer?" + OTHER, id="no whole query on a header row"),
        pytest.param(b"/filer?a&jwt_token=x", b"/filer?a", id="but no token argument anywhere"),
        pytest.param(b"/filer?jwt_token=x", b"/filer", id="and no question mark alone"),
        pytest.param(b"/terminals/1?" + TOKEN, b"/terminals/1", id="the whole query"),
        pytest.param(b"/terminals/1?jwt_token=%s&a" % TOKEN, b"/terminals/1?a", id="the argument"),
        pytest.param(
            b"/broadcast?jwt_token=%s&a&JWT_TOKEN=%s" % (TOKEN, OTHER), b"/broadcast?a", id="all"
        ),
        pytest.param(b"/websockify?a&jwt_token=" + TOKEN, b"/", id="no query where / is sent"),
        pytest.param(b"/container/%s/80" % TOKEN, b"/", id="container"),
        pytest.param(b"/container/%s/80?a" % TOKEN, b"/?a", id="container keeps the query"),
        pytest.param(
            b"/container/%s/80?a&jwt_token=x" % TOKEN, b"/?a", id="container takes a token out"
        ),
        pytest.param(
            b"/container/%s/80/x%%2Fy|?z" % TOKEN, b"/x%2Fy|?z", id="container with a rest"
        ),
        pytest.param(b"/container/%s/80/" % TOKEN, b"/", id="container with an empty rest"),
    ],
)
def test_the_path_sent(target: bytes, path: bytes) -> None:
    """The upstream gets the canonical path, and no token that opened the way."""
    assert path == forward(ROUTER, make_head(target, HEADER)).path


@pytest.mark.parametrize(
    ("target", "host", "expected"),
    [
        pytest.param(b"/API/x", b"Desk.EXAMPLE.", b"desk.example", id="lower case, no dot"),
        pytest.param(b"/API/x", b"h:8443", b"h:8443", id="its port is kept"),
        pytest.param(b"/API/x", b"h:", b"h", id="an empty port goes"),
        pytest.param(b"/API/x", b"[::1]:1", b"[::1]:1", id="IPv6"),
        pytest.param(b"/filer", b"h", b"10.0.0.1:29783", id="the target's own"),
        pytest.param(b"/x", b"h", b"website", id="the upstream's own"),
    ],
)
def test_the_host_sent(target: bytes, host: bytes, expected: bytes) -> None:
    """One Host is sent, and never as a field of its own among the others."""
    sent = forward(ROUTER, make_head(target, HEADER, host=(b"Host", host)))
    assert expected == sent.host
    assert values(sent.fields, b"host") == []


@pytest.mark.parametrize(
    ("host", "expected"),
    [("upstream", b"b"), ("target:port", b"b:80"), ("client", HOST[1].lower())],
)
def test_another_server(host: HostSent, expected: bytes) -> None:
    """The same request for another server: it is called by its own name, if by its name at all."""
    first = forward(ROUTER, make_head(b"/API/x"))
    first = first._replace(location=replace(first.location, host=host))
    other = Server(b"https" if host == "client" else b"http", "b", 80)
    assert with_server(first, other) == first._replace(server=other, host=expected)


def test_what_the_carrier_needs() -> None:
    """A Forward says where it goes, what opened the way and until when."""
    head = make_head(b"/filer", (b"ABCAuthorization", TOKEN), method=b"PATCH")
    sent = forward(ROUTER, head)
    assert (sent.method, sent.upstream, sent.location.location) == (b"PATCH", "pod", "/filer")
    assert (sent.token_source, sent.expires) == ("header", NOW + LIFE_S)
    assert (Origin(b"http", b"desk.example:8080"), b"made-by-us") == (sent.origin, sent.request_id)
    open_to_all = forward(ROUTER, make_head(b"/x"))
    assert (open_to_all.token_source, open_to_all.expires) == (None, None)


WS = ((b"Connection", b"keep-alive, Upgrade"), (b"Upgrade", b"WebSocket"))


def test_an_opening_handshake() -> None:
    """It keeps what belongs to it, with Connection and Upgrade of our own."""
    own = (
        (b"Sec-WebSocket-Key", b"k"),
        (b"Sec-WebSocket-Protocol", b"binary"),
        (b"Origin", b"http://x"),
        (b"Cookie", b"a=1"),
        (b"Authorization", b"Basic x"),
    )
    sent = forward(ROUTER, make_head(b"/websockify", HEADER, *own, *WS))
    assert sent.is_websocket
    assert [
        (b"Connection", b"Upgrade"),
        (b"Upgrade", b"websocket"),
        HEADER,
        *own,
    ] == sent.fields[6:]


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(make_head(b"/websockify", HEADER), id="a plain request"),
        pytest.param(make_head(b"/filer", HEADER, *WS), id="outside WS rows"),
        pytest.param(make_head(b"/x", *WS), id="to the website"),
        pytest.param(make_head(b"/websockify", HEADER, *WS, method=b"POST"), id="POST"),
        pytest.param(make_head(b"/websockify", HEADER, *WS, version=HTTP_10), id="HTTP/1.0"),
        pytest.param(make_head(b"/websockify", HEADER, *WS, length=1), id="with content"),
        pytest.param(make_head(b"/websockify", HEADER, *WS, length=CHUNKED), id="chunked"),
        pytest.param(make_head(b"/websockify", HEADER, WS[1]), id="no Connection"),
        pytest.param(
            make_head(b"/websockify", HEADER, WS[1], (b"Connection", b"close")), id="close"
        ),
        pytest.param(make_head(b"/websockify", HEADER, WS[0]), id="no Upgrade"),
        pytest.param(make_head(b"/websockify", HEADER, WS[0], (b"Upgrade", b"h2c")), id="h2c"),
        pytest.param(
            make_head(b"/websockify", HEADER, WS[0], (b"Upgrade", b"websocket, h2c")), id="a list"
        ),
        pytest.param(make_head(b"/websockify", HEADER, *WS, WS[1]), id="two Upgrade lines"),
    ],
)
def test_never_a_handshake(head: RequestHead) -> None:
    """Any other Upgrade is dropped, and the request goes on as a plain one."""
    sent = forward(ROUTER, head)
    assert not sent.is_websocket
    assert values(sent.fields, b"upgrade") == values(sent.fields, b"connection") == []


@pytest.mark.parametrize(
    ("target", "fields", "gone"),
    [
        pytest.param(b"/filer", [(b"Cookie", b"jwt_token=x; a=1")], set(), id="cookies go on"),
        pytest.param(b"/x", [(b"Authorization", b"Bearer x")], set(), id="Authorization goes on"),
        pytest.param(
            b"/API/x",
            [(b"ABCAuthorization", b"user"), (b"ABCAuthorization", b"\xff ,")],
            set(),
            id="the user's token goes to pyos byte for byte, even twice",
        ),
        pytest.param(b"/x", [(b"X_Forwarded_For", b"1")], {b"X_Forwarded_For"}, id="underscores"),
        pytest.param(b"/x", [(b"TE", b"trailers"), (b"Via", b"x")], {b"TE"}, id="hop-by-hop"),
        pytest.param(
            b"/x",
            [(b"Connection", b"X-Hop, ABCAuthorization"), (b"X-Hop", b"1"), HEADER],
            {b"Connection", b"X-Hop"},
            id="named by Connection",
        ),
        pytest.param(
            b"/x",
            [(b"Content-Length", b"0"), (b"Expect", b"100-continue"), (b"Accept", b"*/*")],
            {b"Content-Length", b"Expect"},
            id="the carrier's own",
        ),
        pytest.param(b"/x", [(b"Forwarded", b"for=127.0.0.1")], {b"Forwarded"}, id="Forwarded"),
    ],
)
def test_the_client_s_fields(target: bytes, fields: list[Field], gone: set[bytes]) -> None:
    """They follow those that we set, in their order, without what goes no further."""
    opener = [HEADER] if target == b"/filer" else []
    sent = forward(ROUTER, make_head(target, *opener, *fields))
    assert [field for field in (*opener, *fields) if field[0] not in gone] == sent.fields[6:]


def test_forwarded_goes_on_from_a_trusted_proxy() -> None:
    """RFC 7239's field counts as X-Forwarded-For does."""
    field = (b"Forwarded", b"for=203.0.113.7")
    assert field in forward(ROUTER, make_head(b"/x", field, peer=PROXY)).fields
    assert field not in forward(ROUTER, make_head(b"/x", field, peer=CLIENT)).fields


@pytest.mark.parametrize(
    ("peer", "said", "expected"),
    [
        pytest.param(CLIENT, b"from-client", b"made-by-us", id="a stranger's is made anew"),
        pytest.param(PROXY, b"from-proxy_1.x", b"from-proxy_1.x", id="a trusted proxy's is kept"),
        pytest.param(PROXY, b"a" * 128, b"a" * 128, id="of 128 characters"),
        pytest.param(PROXY, b"a" * 129, b"made-by-us", id="of 129 it is made anew"),
        pytest.param(PROXY, b"", b"made-by-us", id="an empty one is made anew"),
        pytest.param(PROXY, b"<b>", b"made-by-us", id="an odd one is made anew"),
        pytest.param(PROXY, b"a\n", b"made-by-us", id="one with a line break, too"),
    ],
)
def test_the_request_id(peer: Peer, said: bytes, expected: bytes) -> None:
    """One X-Request-ID is sent."""
    sent = forward(ROUTER, make_head(b"/x", (b"x-request-id", said), peer=peer))
    assert [expected] == values(sent.fields, b"x-request-id")
    assert expected == sent.request_id


def test_two_request_ids() -> None:
    """Of two nobody chooses."""
    lines = ((b"X-Request-ID", b"a"), (b"X-Request-ID", b"b"))
    assert forward(ROUTER, make_head(b"/x", *lines, peer=PROXY)).request_id == b"made-by-us"


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        pytest.param([b"a=1; jwt_token=x; b=2"], [b"a=1; b=2"], id="among others"),
        pytest.param([b"jwt_token=x"], [], id="alone: no line is left"),
        pytest.param([b"a=1", b"jwt_token=x"], [b"a=1"], id="in a line of its own"),
        pytest.param([b"jwt_token = x; a"], [b"a"], id="with spaces"),
        pytest.param([b"a=1"], [b"a=1"], id="no token"),
    ],
)
def test_the_cookie_rule(lines: list[bytes], expected: list[bytes]) -> None:
    """On a row that takes the token from the path, the pod does not get the cookie's."""
    cookies = [(b"Cookie", line) for line in lines]
    for target in (b"/container/%s/80" % TOKEN, b"/container/%s/80/x" % TOKEN):
        sent = forward(ROUTER, make_head(target, *cookies))
        assert expected == values(sent.fields, b"cookie")
    sent = forward(ROUTER, make_head(b"/filer", HEADER, *cookies))
    assert lines == values(sent.fields, b"cookie")


def test_the_cookie_rule_follows_the_option() -> None:
    """It is the configured cookie that stays here."""
    head = make_head(b"/container/%s/80" % TOKEN, (b"Cookie", b"jwt_token=x; desk=y"))
    sent = forward(make_router(cookie=b"desk"), head)
    assert values(sent.fields, b"cookie") == [b"jwt_token=x"]


@pytest.mark.parametrize("version", [HTTP_2, HTTP_11])
def test_crumbs(version: bytes) -> None:
    """An HTTP/2 Cookie may come in crumbs; HTTP/1.1 gets one line. Other lines stay apart."""
    head = make_head(b"/x", (b"cookie", b"a=1"), (b"accept", b"*/*"), (b"cookie", b"b=2"))
    sent = forward(ROUTER, head._replace(version=version))
    expected = [b"a=1; b=2"] if version == HTTP_2 else [b"a=1", b"b=2"]
    assert expected == values(sent.fields, b"cookie")
    assert values(sent.fields, b"accept") == [b"*/*"]


def test_one_crumb() -> None:
    """A Cookie in one piece stays where it is."""
    head = make_head(b"/x", (b"cookie", b"a=1"), (b"accept", b"*/*"), version=HTTP_2)
    assert forward(ROUTER, head).fields[6:] == [(b"cookie", b"a=1"), (b"accept", b"*/*")]


@pytest.mark.parametrize(
    ("referer", "expected"),
    [
        pytest.param(b"http://h/x", [b"http://h/x"], id="without a token"),
        pytest.param(b"http://h/x?" + TOKEN, [b"http://h/"], id="with a token"),
        pytest.param(b"http://h/?jwt_token=x", [b"http://h/"], id="with the argument"),
        pytest.param(TOKEN, [], id="with nothing but a token"),
    ],
)
@pytest.mark.parametrize("target", [b"/x", b"/API/x", b"/filer"])
def test_the_referer(target: bytes, referer: bytes, expected: list[bytes]) -> None:
    """No upstream gets a token by way of a Referer."""
    sent = forward(ROUTER, make_head(target, HEADER, (b"Referer", referer), (b"Accept", b"*/*")))
    assert expected == values(sent.fields, b"referer")
    assert values(sent.fields, b"accept") == [b"*/*"]


@pytest.mark.parametrize(
    ("peer", "expected"),
    [
        pytest.param(
            CLIENT,
            [b"203.0.113.7", b"203.0.113.7", b"http", b"desk.example:8080", b"8080"],
            id="not trusted",
        ),
        pytest.param(
            PROXY,
            [b"198.51.100.1", b"198.51.100.1, 10.9.9.9", b"https", b"www.example", b"444"],
            id="trusted",
        ),
    ],
)
def test_x_forwarded(peer: Peer, expected: list[bytes]) -> None:
    """Each field is sent once: as the connection says, or as a trusted peer does."""
    said = (
        (b"X-Real-IP", b"127.0.0.1"),
        (b"x-forwarded-for", b"127.0.0.1, 198.51.100.1"),
        (b"x-forwarded-proto", b"https"),
        (b"X-Forwarded-Host", b"www.example"),
        (b"X-Forwarded-Port", b"444"),
        (b"Connection", b"X-Forwarded-For, X-Real-IP"),
    )
    sent = forward(ROUTER, make_head(b"/API/x", *said, peer=peer))
    names = (b"X-Real-IP", b"X-Forwarded-For", b"X-Forwarded-Proto", b"X-Forwarded-Host")
    assert [[value] for value in expected] == [
        values(sent.fields, name) for name in (*names, b"X-Forwarded-Port")
    ]


_NAMES = st.sampled_from(
    [b"Cookie", b"Referer", b"Connection", b"Upgrade", b"X-Forwarded-For", b"Forwarded", b"x_y"]
)

_OTHER_NAMES = st.binary(max_size=5).filter(lambda name: name.lower() != b"host")


@given(
    st.lists(st.tuples(_NAMES | _OTHER_NAMES, st.binary(max_size=12)), max_size=6),
    st.sampled_from([HTTP_10, HTTP_11, HTTP_2]),
    st.sampled_from([b"/x", b"/filer", b"/websockify", b"/container/%s/80/y" % TOKEN]),
)
def test_any_fields_are_forwarded(fields: list[Field], version: bytes, target: bytes) -> None:
    """Whatever the client says, what we say of it is said once, first and cleanly."""
    sent = forward(ROUTER, make_head(target, HEADER, *fields, version=version))
    assert [
        *(b"X-Real-IP", b"X-Forwarded-For", b"X-Forwarded-Proto"),
        *(b"X-Forwarded-Host", b"X-Forwarded-Port", b"X-Request-ID"),
    ] == [name for name, _ in sent.fields[:6]]
    names = [name.lower() for name, _ in sent.fields[6:]]
    ours = {name.lower() for name, _ in sent.fields[:6]}
    assert ours.isdisjoint(names)
    assert not {b"host", b"transfer-encoding", b"content-length", b"te"} & set(names)
    assert all(name.replace(b"-", b"").isalnum() for name in names)
    assert HOST[1] not in (value for _, value in sent.fields[6:])
