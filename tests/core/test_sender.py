"""Who sends a request, and what a connection remembers of that."""

import gc
import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from route_addon.core.errors import BadHost
from route_addon.core.forwarded import PRIVATE_NETWORKS, TrustedProxies
from route_addon.core.locations import Location
from route_addon.core.messages import (
    HTTP_2,
    HTTP_10,
    HTTP_11,
    Field,
    Fields,
    Peer,
    RequestHead,
    Respond,
)
from route_addon.core.router import Router
from route_addon.core.sender import Memory, RequestFields, Sender, trusted_id
from route_addon.core.table import build_locations
from tests.core.heads import CLIENT, HOST, PROXY, TLS_CLIENT, make_head, make_router
from tests.core.heads import decide as decide_alone
from tests.minting import NOW, mint

PROXIES = TrustedProxies(map(ipaddress.ip_network, PRIVATE_NETWORKS))
COOKIE = b"jwt_token"
TOKEN = mint("10.0.0.1")
REFERER = (b"Referer", b"http://h/x?" + TOKEN)


def locate(path: bytes) -> Location:
    """The location of a path in the usual table."""
    location = build_locations().find(path).location
    assert location is not None
    return location


def find(head: RequestHead, named: bytes | None = None) -> Sender:
    """Who sends it, as nobody remembers."""
    return Sender(head, PROXIES, COOKIE, named)


def sent_at(path: bytes, *fields: Field, **details: bytes) -> Fields:
    """What an upstream gets of a client's fields at a location."""
    sender = find(make_head(b"/", *fields)._replace(**details))  # type: ignore[arg-type]
    sender.visit(locate(path))
    return sender.sent


@pytest.mark.parametrize(
    ("head", "named", "expected"),
    [
        pytest.param(make_head(), None, b"desk.example:8080", id="Host"),
        pytest.param(make_head(), b"DESK.example:8080", b"desk.example:8080", id="twice the same"),
        pytest.param(
            make_head(host=None, version=HTTP_2, authority=b"a"), None, b"a", id=":authority"
        ),
        pytest.param(
            make_head(host=(b"Host", b"a:443"), version=HTTP_2, authority=b"a", peer=TLS_CLIENT),
            None,
            b"a:443",
            id="both, with the scheme's own port",
        ),
        pytest.param(make_head(host=None, version=HTTP_10), None, None, id="HTTP/1.0 need not say"),
    ],
)
def test_the_authority(head: RequestHead, named: bytes | None, expected: bytes | None) -> None:
    """One authority, wherever it stands."""
    authority = find(head, named).authority
    assert expected == (authority.text if authority is not None else None)


@pytest.mark.parametrize(
    ("head", "named"),
    [
        pytest.param(make_head(b"/", HOST), None, id="two Hosts"),
        pytest.param(make_head(host=None), None, id="no Host"),
        pytest.param(make_head(host=None, version=HTTP_2), None, id="no :authority"),
        pytest.param(make_head(host=(b"Host", b"a b")), None, id="a malformed Host"),
        pytest.param(make_head(), b"u@h", id="a malformed name in the target"),
        pytest.param(make_head(), b"other", id="two that differ"),
    ],
)
def test_no_authority(head: RequestHead, named: bytes | None) -> None:
    """None, several, or one that is none: no sender, and none is remembered."""
    with pytest.raises(BadHost):
        find(head, named)
    if named is None:
        memory = Memory()
        for _ in range(2):
            with pytest.raises(BadHost):
                memory.find(head, PROXIES, COOKIE)


def test_what_is_said_of_the_client() -> None:
    """X-Forwarded-* count from a trusted proxy, and an identifier does."""
    said = ((b"X-Forwarded-For", b"198.51.100.1"), (b"X-Request-ID", b"its-own"))
    trusted, stranger = (find(make_head(b"/", *said, peer=peer)) for peer in (PROXY, CLIENT))
    assert (trusted.forwarded.client, trusted.request_id) == ("198.51.100.1", b"its-own")
    assert (stranger.forwarded.client, stranger.request_id) == (CLIENT.address, None)
    assert find(make_head(host=None, version=HTTP_10)).forwarded.origin.authority == b""


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        pytest.param([b"a_Z-0.9"], b"a_Z-0.9", id="one"),
        pytest.param([b"a" * 128], b"a" * 128, id="of 128 characters"),
        pytest.param([b"a" * 129], None, id="of 129"),
        pytest.param([], None, id="none"),
        pytest.param([b"a", b"a"], None, id="two"),
        pytest.param([b"<b>"], None, id="an odd one"),
    ],
)
def test_a_trusted_id(said: list[bytes], expected: bytes | None) -> None:
    """One harmless identifier of a trusted proxy's."""
    assert expected == trusted_id(said, PROXY, PROXIES)
    assert trusted_id(said, CLIENT, PROXIES) is None


@pytest.mark.parametrize(
    ("path", "fields", "expected"),
    [
        pytest.param(b"/x", [(b"Accept", b"a")], [(b"Accept", b"a")], id="as they came"),
        pytest.param(b"/x", [REFERER], [(b"Referer", b"http://h/")], id="a token in a Referer"),
        pytest.param(b"/x", [(b"Referer", TOKEN)], [], id="a token as a Referer"),
        pytest.param(b"/x", [(b"Forwarded", b"for=a")], [], id="Forwarded of a stranger"),
        pytest.param(
            b"/container/a/80", [(b"Cookie", b"jwt_token=x; a=1")], [(b"Cookie", b"a=1")], id="path"
        ),
        pytest.param(
            b"/x", [(b"Cookie", b"jwt_token=x")], [(b"Cookie", b"jwt_token=x")], id="a cookie"
        ),
    ],
)
def test_the_fields_at_a_location(path: bytes, fields: Fields, expected: Fields) -> None:
    """What must not go on as it came does not."""
    assert expected == sent_at(path, *fields)


def test_forwarded_of_a_trusted_proxy() -> None:
    """It goes on."""
    sender = find(make_head(b"/", (b"Forwarded", b"for=a"), peer=PROXY))
    sender.visit(locate(b"/x"))
    assert sender.sent == [(b"Forwarded", b"for=a")]


def test_crumbs() -> None:
    """An HTTP/2 Cookie in crumbs is one again; in one piece it stays where it is."""
    one, two = (b"cookie", b"a=1"), (b"cookie", b"b=2")
    other = (b"accept", b"*/*")
    assert sent_at(b"/x", one, other, two, version=HTTP_2) == [other, (b"cookie", b"a=1; b=2")]
    assert sent_at(b"/x", one, other, version=HTTP_2) == [one, other]
    assert sent_at(b"/x", one, other, two, version=HTTP_11) == [one, other, two]


def test_another_location() -> None:
    """What was found at one location does not count at another."""
    sender = find(make_head(b"/", (b"Cookie", b"jwt_token=x; a=1")))
    filer, container = locate(b"/filer"), locate(b"/container/a/80")
    sender.visit(filer)
    at_filer = sender.sent
    sender.visit(filer)
    assert sender.sent is at_filer
    sender.visit(container)
    assert sender.sent == [(b"Cookie", b"a=1")]
    assert sender.credential is None


@pytest.mark.parametrize("fields", [(), (REFERER, (b"Accept", b"*/*"))])
def test_lines_of_what_is_sent(fields: tuple[Field, ...]) -> None:
    """They say what the fields do, one by one; the request's identifier stands among them."""
    sender = find(make_head(b"/", *fields))
    sender.visit(locate(b"/filer"))
    sent = sender.send(b"id-1")
    assert sent == [*sender.forwarded.fields, (b"X-Request-ID", b"id-1"), *sender.sent]
    assert sent.lines == b"\r\n".join(map(b": ".join, sent))


def test_remembered_as_long_as_nothing_changes() -> None:
    """The same fields on the same connection have the same sender; any change makes another."""
    head, memory = make_head(b"/", (b"Accept", b"a")), Memory()
    sender = memory.find(head, PROXIES, COOKIE)
    assert memory.find(head._replace(target=b"/b", method=b"PUT"), PROXIES, COOKIE) is sender
    equal = head._replace(fields=(*head.fields[:1], (b"Accept", b"a")))
    assert memory.find(equal, PROXIES, COOKIE) is sender
    strangers = TrustedProxies(())
    for other, proxies, cookie in (
        (head._replace(fields=(HOST, (b"Accept", b"b"))), PROXIES, COOKIE),
        (head._replace(version=HTTP_10), PROXIES, COOKIE),
        (head._replace(authority=HOST[1]), PROXIES, COOKIE),
        (head._replace(peer=PROXY), PROXIES, COOKIE),
        (head, strangers, COOKIE),
        (head, PROXIES, b"other"),
    ):
        sender = memory.find(head, PROXIES, COOKIE)
        assert memory.find(other, proxies, cookie) is not sender


def test_fields_and_their_memory() -> None:
    """They are fields like any others, each list with a memory of its own."""
    fields = RequestFields([HOST])
    assert fields == [HOST]
    head = make_head()._replace(fields=fields, memory=fields.memory)
    sender = fields.memory.find(head, PROXIES, COOKIE)
    assert fields.memory.find(head, PROXIES, COOKIE) is sender
    assert RequestFields().memory is not fields.memory


def test_fields_that_nobody_needs_any_more() -> None:
    """They go at once, with their memory: heads come faster than cycles are looked for."""
    gc.collect()
    gc.disable()
    try:
        for _ in range(3):
            fields = RequestFields([HOST])
            head = make_head()._replace(fields=fields, memory=fields.memory)
            fields.memory.find(head, PROXIES, COOKIE)
            del fields, head
        assert not gc.collect()
    finally:
        gc.enable()


ROUTERS = [make_router(), make_router(cookie=b"other"), make_router(proxies=TrustedProxies(()))]
FIELDS = st.lists(
    st.sampled_from(
        [
            (b"ABCAuthorization", TOKEN),
            (b"Authorization", b"Bearer " + mint("10.0.0.2")),
            (b"Cookie", b"jwt_token=" + mint("10.0.0.3")),
            (b"Connection", b"Upgrade"),
            (b"Upgrade", b"websocket"),
            (b"X-Forwarded-For", b"198.51.100.1"),
            (b"X-Request-ID", b"its-own"),
            (b"Origin", b"http://desk.example:8080"),
            REFERER,
            HOST,
        ]
    ),
    max_size=3,
)
HEADS = st.builds(
    lambda target, fields, method, version, length, peer: make_head(
        target, *fields, method=method, version=version, length=length, peer=peer
    ),
    st.sampled_from(
        [
            *(b"/x", b"/filer", b"/filer?jwt_token=x", b"/websockify", b"/healthz", b"/console/y"),
            *(b"/websockify?" + TOKEN, b"/container/%s/80/y" % TOKEN, b"/container/80"),
            *(b"http://desk.example:8080/filer", b"http://other/filer", b"/%zz"),
        ]
    ),
    FIELDS,
    st.sampled_from([b"GET", b"POST"]),
    st.sampled_from([HTTP_10, HTTP_11, HTTP_2]),
    st.sampled_from([0, 2**24]),
    st.sampled_from([CLIENT, PROXY, TLS_CLIENT, Peer("10.9.9.9", b"https", 8443)]),
)


@given(st.lists(st.tuples(HEADS, st.sampled_from(ROUTERS)), min_size=2, max_size=5))
def test_a_decision_is_the_same_without_memory(asked: list[tuple[RequestHead, Router]]) -> None:
    """Whatever a connection was asked before, each request is decided as if it were the first."""
    memory = Memory()
    for head, router in asked:
        for _ in range(2):
            decide_alone(router, head, NOW)  # From here on its token is in the cache.
            alone = decide_alone(router, head, NOW)
            remembered = decide_alone(router, head._replace(memory=memory), NOW)
            if isinstance(alone, Respond):
                assert isinstance(remembered, Respond)
                assert str(alone.error) == str(remembered.error)
                alone = alone._replace(error=remembered.error)
            assert alone == remembered
