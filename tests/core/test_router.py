"""The decision."""

import ipaddress
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from route_addon.core.errors import RouteError, TokenExpired
from route_addon.core.framing import CHUNKED, UNTIL_END
from route_addon.core.keys import NO_KEYS
from route_addon.core.locations import Location, Locations
from route_addon.core.messages import (
    HTTP_2,
    HTTP_10,
    HTTP_11,
    Field,
    Forward,
    Origin,
    Peer,
    RequestHead,
    Respond,
    ServeFile,
    Verify,
)
from route_addon.core.router import Router, Verdict, internal_error
from route_addon.core.sender import Memory
from route_addon.core.targetmap import TargetMap, Verified
from route_addon.core.targets import HostSet, TargetPolicy
from tests.core.heads import (
    CLIENT,
    HOST,
    PROXY,
    REQUEST_ID,
    TLS_CLIENT,
    decide,
    forward,
    make_head,
    make_router,
    make_rules,
    refusal,
    values,
)
from tests.minting import LIFE_S, NOW, key_pair, mint, sign, undecryptable

MIB = 2**20
TARGET = "172.16.3.4"
TOKEN = mint(TARGET)
EXPIRED = mint(life_s=-1)
STRANGER_S = mint(signing=key_pair("stranger"))
HEADER: Field = (b"ABCAuthorization", TOKEN)
COOKIE: Field = (b"Cookie", b"jwt_token=" + TOKEN)
WS: tuple[Field, ...] = ((b"Connection", b"Upgrade"), (b"Upgrade", b"websocket"))


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        pytest.param(make_head(method=b"TRACE"), (405, "method_not_allowed"), id="TRACE"),
        pytest.param(
            make_head(b"h:443", method=b"CONNECT"), (405, "method_not_allowed"), id="CONNECT"
        ),
        pytest.param(make_head(method=b"get"), (400, "bad_method"), id="a method in small letters"),
        pytest.param(make_head(method=b""), (400, "bad_method"), id="no method"),
        pytest.param(make_head(method=b"GE T"), (400, "bad_method"), id="a method with a space"),
        pytest.param(make_head(method=b"GET\n"), (400, "bad_method"), id="with a line break"),
        pytest.param(make_head(b"*", method=b"OPTIONS"), (400, "bad_target"), id="OPTIONS *"),
        pytest.param(make_head(b"/%zz"), (400, "bad_target"), id="a bad escape"),
        pytest.param(make_head(b"/.."), (400, "bad_target"), id="above the root"),
        pytest.param(make_head(b""), (400, "bad_target"), id="an empty target"),
        pytest.param(make_head(version=b"HTTP/0.9"), (505, "unsupported_version"), id="HTTP/0.9"),
        pytest.param(make_head(version=b"HTTP/3.7"), (505, "unsupported_version"), id="HTTP/3.7"),
        pytest.param(make_head(version=b"HTTP/1.2"), (505, "unsupported_version"), id="HTTP/1.2"),
        pytest.param(make_head(host=None), (400, "bad_host"), id="no Host"),
        pytest.param(make_head(b"http://h/", host=None), (400, "bad_host"), id="absolute, no Host"),
        pytest.param(make_head(b"/", HOST), (400, "bad_host"), id="two Hosts that agree"),
        pytest.param(
            make_head(b"/", HOST, version=HTTP_10), (400, "bad_host"), id="two Hosts on HTTP/1.0"
        ),
        pytest.param(make_head(host=(b"Host", b"")), (400, "bad_host"), id="an empty Host"),
        pytest.param(make_head(host=(b"Host", b"a b")), (400, "bad_host"), id="a bad Host"),
        pytest.param(make_head(host=(b"Host", b"a, b")), (400, "bad_host"), id="a list as Host"),
        pytest.param(make_head(host=(b"Host", b"u@h")), (400, "bad_host"), id="a user in Host"),
        pytest.param(make_head(b"http://other/"), (400, "bad_host"), id="absolute, another host"),
        pytest.param(
            make_head(b"http://desk.example/"), (400, "bad_host"), id="absolute, another port"
        ),
        pytest.param(make_head(b"http://u@desk.example:8080/"), (400, "bad_host"), id="a user"),
        pytest.param(make_head(b"http:///x"), (400, "bad_host"), id="absolute, no host"),
        pytest.param(make_head(version=HTTP_2, host=None), (400, "bad_host"), id="no :authority"),
        pytest.param(
            make_head(version=HTTP_2, authority=b"other"), (400, "bad_host"), id=":authority, Host"
        ),
        pytest.param(
            make_head(version=HTTP_2, authority=b"a b", host=None), (400, "bad_host"), id="bad one"
        ),
        pytest.param(make_head(b"/filer"), (401, "token_missing"), id="no token"),
        pytest.param(
            make_head(b"/filer", (b"ABCAuthorization", b"x")),
            (401, "token_malformed"),
            id="garbage",
        ),
        pytest.param(
            make_head(b"/websockify?jwt_token=", HEADER),
            (401, "token_malformed"),
            id="an empty argument is not passed over",
        ),
        pytest.param(
            make_head(b"/websockify?" + EXPIRED, HEADER),
            (401, "token_expired"),
            id="a bad one is not passed over",
        ),
        pytest.param(
            make_head(b"/filer", (b"ABCAuthorization", STRANGER_S), COOKIE),
            (401, "token_signature"),
            id="nor is one by a stranger",
        ),
        pytest.param(make_head(b"/filer", HEADER, HEADER), (401, "token_repeated"), id="two lines"),
        pytest.param(
            make_head(b"/filer", (b"Cookie", b"jwt_token=a"), (b"Cookie", b"jwt_token=b")),
            (401, "token_repeated"),
            id="two cookies that differ",
        ),
        pytest.param(
            make_head(b"/filer", (b"Cookie", b"jwt_token=")),
            (401, "token_malformed"),
            id="an empty cookie",
        ),
        pytest.param(make_head(b"/filer?" + TOKEN), (401, "token_missing"), id="not in the query"),
        pytest.param(
            make_head(b"/container/x/80"), (401, "token_malformed"), id="a bad path token"
        ),
        pytest.param(
            make_head(b"/container/Bearer%20" + TOKEN + b"/80"),
            (401, "token_malformed"),
            id="Bearer",
        ),
        pytest.param(make_head(b"/container/0", HEADER), (404, "port_not_allowed"), id="port 0"),
        pytest.param(
            make_head(b"/container/65536", HEADER), (404, "port_not_allowed"), id="port 65536"
        ),
        pytest.param(
            make_head(b"/container/" + b"9" * 4000, HEADER),
            (404, "port_not_allowed"),
            id="a long port",
        ),
        pytest.param(make_head(b"/.well-known/acme-challenge/x"), (404, "not_found"), id="no root"),
    ],
)
def test_refused(head: RequestHead, expected: tuple[int, str]) -> None:
    """A request that is not in order is refused with its status and its slug."""
    assert expected == refusal(make_router(), head)


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        pytest.param(
            make_head(b"/%zz", method=b"TRACE", version=b"x", host=None), 405, id="method first"
        ),
        pytest.param(make_head(b"/%zz", version=b"x", host=None), 505, id="then the version"),
        pytest.param(make_head(b"/%zz", host=None), 400, id="then the target"),
        pytest.param(
            make_head(b"/container/0", method=b"POST", length=2 * MIB), 413, id="then the length"
        ),
        pytest.param(make_head(b"/container/0"), 404, id="then the port, before any token"),
        pytest.param(make_head(b"/container/x/0/y"), 404, id="also where the path holds a bad one"),
        pytest.param(
            make_head(b"/filer", method=b"POST", length=9 * 1024 * MIB), 413, id="no token"
        ),
        pytest.param(
            make_head(
                b"/filer", (b"ABCAuthorization", b"x"), method=b"POST", length=9 * 1024 * MIB
            ),
            413,
            id="the length is looked at before a bad token",
        ),
        pytest.param(
            make_head(b"/filer", (b"Cookie", b"jwt_token=x"), method=b"POST"), 403, id="the origin"
        ),
        pytest.param(
            make_head(b"/filer", (b"Cookie", b"jwt_token=" + EXPIRED)), 401, id="then the token"
        ),
        pytest.param(make_head(b"/healthz", method=b"POST", length=2 * MIB), 413, id="also here"),
        pytest.param(make_head(b"/x", method=b"POST", length=2 * MIB), 413, id="also elsewhere"),
    ],
)
def test_the_order_of_the_checks(head: RequestHead, expected: int) -> None:
    """The first check that fails decides."""
    assert expected == refusal(make_router(), head)[0]


@pytest.mark.parametrize("length", [CHUNKED, UNTIL_END, 0, MIB])
def test_a_length_that_nobody_knows_passes(length: int) -> None:
    """The carrier cuts a body without a Content-Length; here only the length said counts."""
    head = make_head(b"/x", method=b"POST", length=length)
    assert isinstance(decide(make_router(), head), Forward)


@pytest.mark.parametrize(
    "method", [b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"PATCH", b"FOO", b"M-SEARCH", b"GET_X"]
)
def test_methods(method: bytes) -> None:
    """Any other name in upper case is forwarded."""
    assert method == forward(make_router(), make_head(b"/x", method=method)).method


@pytest.mark.parametrize(
    ("head", "authority"),
    [
        pytest.param(make_head(b"/API"), b"desk.example:8080", id="Host"),
        pytest.param(
            make_head(b"http://DESK.example:8080/API"), b"desk.example:8080", id="absolute-form"
        ),
        pytest.param(
            make_head(b"http://desk.example/API", host=(b"Host", b"desk.example:80")),
            b"desk.example:80",
            id="the scheme's own port may be left out",
        ),
        pytest.param(
            make_head(b"/API", version=HTTP_2, authority=b"Desk.example", host=None),
            b"desk.example",
            id=":authority",
        ),
        pytest.param(
            make_head(b"/API", version=HTTP_2, authority=b"desk.example:8080"),
            b"desk.example:8080",
            id=":authority and Host that agree",
        ),
        pytest.param(
            make_head(b"/API", version=HTTP_2), b"desk.example:8080", id="HTTP/2 with a Host alone"
        ),
        pytest.param(
            make_head(b"http://h/API", version=HTTP_10, host=None), b"h", id="HTTP/1.0, absolute"
        ),
    ],
)
def test_authorities(head: RequestHead, authority: bytes) -> None:
    """What the client calls us, wherever it says so."""
    sent = forward(make_router(), head)
    assert (authority, authority) == (sent.host, sent.origin.authority)


@pytest.mark.parametrize(
    ("path", "body"), [(b"/healthz", b"OK\n"), (b"/node", b"n1\n"), (b"//x/../node?q", b"n1\n")]
)
@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"POST", b"FOO"])
def test_answers_made_here(path: bytes, body: bytes, method: bytes) -> None:
    """They answer any method, and look at no key."""
    router = make_router(node_name="n1", keys=NO_KEYS)
    answer = decide(router, make_head(path, method=method))
    assert isinstance(answer, Respond)
    assert (200, body, None) == (answer.status, answer.body, answer.error)
    assert dict(answer.fields) == {
        b"Content-Type": b"text/plain",
        b"X-Frame-Options": b"SAMEORIGIN",
        b"X-XSS-Protection": b"1; mode=block",
        b"X-Request-ID": REQUEST_ID,
    }


def test_draining() -> None:
    """A router that is about to end says so at /healthz, and serves all else as before."""
    router = make_router(node_name="n1", keys=NO_KEYS, is_draining=True)
    assert refusal(router, make_head(b"/healthz")) == (503, "draining")
    node = decide(router, make_head(b"/node"))
    assert isinstance(node, Respond)
    assert node.status == 200
    assert isinstance(decide(router, make_head(b"/x")), Forward)


def test_no_node_name() -> None:
    """Unset, it is an empty line."""
    answer = decide(make_router(), make_head(b"/node"))
    assert isinstance(answer, Respond)
    assert answer.body == b"\n"


def test_an_acme_challenge() -> None:
    """The file is the root and the whole path; where there is none the answer is a 404."""
    router = make_router(acme_root="/srv/acme/")
    answer = decide(router, make_head(b"/.well-known/acme-challenge/Az-_09"))
    assert isinstance(answer, ServeFile)
    assert answer.path == "/srv/acme/.well-known/acme-challenge/Az-_09"
    assert (answer.missing.status, answer.request_id) == (404, REQUEST_ID)


@pytest.mark.parametrize(
    ("name", "method", "expected"),
    [
        (b"", b"GET", 404),
        (b"a/b", b"GET", 404),
        (b"a.b", b"GET", 404),
        (b"..%2f..%2fetc%2fpasswd", b"GET", 404),
        (b"%2e%2e%2fpasswd", b"GET", 404),
        (b"a%0a", b"GET", 404),
        (b"x", b"POST", 405),
    ],
)
def test_never_another_file(name: bytes, method: bytes, expected: int) -> None:
    """A challenge's name is base64url, and it is read only."""
    router = make_router(acme_root="/srv/acme")
    head = make_head(b"/.well-known/acme-challenge/" + name, method=method)
    assert expected == refusal(router, head)[0]


def test_a_405_says_what_is_allowed() -> None:
    """RFC 9110 15.5.6."""
    answer = decide(make_router(), make_head(method=b"TRACE"))
    assert isinstance(answer, Respond)
    assert values(answer.fields, b"allow") == [b"GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH"]
    head = make_head(b"/.well-known/acme-challenge/x", method=b"PUT")
    answer = decide(make_router(acme_root="/srv"), head)
    assert isinstance(answer, Respond)
    assert values(answer.fields, b"allow") == [b"GET, HEAD"]


def test_nothing_is_here() -> None:
    """A table without a last resort answers 404."""
    router = make_router(locations=Locations([Location("/a", "prefix", "website")]))
    assert refusal(router, make_head(b"/b")) == (404, "not_found")


def test_a_token_is_verified_once() -> None:
    """Verify, then Forward; from then on Forward at once, until the entry's life ends."""
    router = make_router()
    head = make_head(b"/filer", HEADER)
    asked = router.decide(head, NOW)
    assert isinstance(asked, Verify)
    assert (asked.token, asked.location.location, asked.request_id) == (TOKEN, "/filer", REQUEST_ID)
    assert isinstance(router.decide(head, NOW), Verify)
    verdict = router.verify(TOKEN, NOW)
    assert Verdict(TOKEN, Verified(TARGET, NOW + LIFE_S)) == verdict
    misses = router.targets.misses
    assert isinstance(router.decide(head, NOW, verdict), Forward)
    assert router.targets.misses == misses, "a miss counts when it is asked, not when it is told"
    assert isinstance(router.decide(head, NOW + LIFE_S - 0.1), Forward)
    assert isinstance(router.decide(head, NOW + LIFE_S), Verify)
    assert refusal(router, head, NOW + LIFE_S) == (401, "token_expired")


def test_a_hit_is_good_on_every_location() -> None:
    """The cache belongs to the token, not to the place where it was found."""
    router = make_router()
    forward(router, make_head(b"/filer", HEADER))
    for head in (
        make_head(b"/websockify?" + TOKEN),
        make_head(b"/container/%s/80" % TOKEN),
        make_head(b"/snapshot", COOKIE),
        make_head(b"/snapshot", (b"Authorization", b"Bearer " + TOKEN)),
    ):
        sent = router.decide(head, NOW)
        assert isinstance(sent, Forward)
        assert (sent.server.host, sent.expires) == (TARGET, NOW + LIFE_S)


def test_a_verdict_counts_for_its_own_token() -> None:
    """A verdict on another token opens nothing."""
    router = make_router()
    verdict = router.verify(TOKEN, NOW)
    head = make_head(b"/filer", (b"ABCAuthorization", STRANGER_S))
    assert isinstance(router.decide(head, NOW, verdict), Verify)


def test_refusals_are_not_kept() -> None:
    """A token refused for nbf works once its time comes."""
    router = make_router()
    head = make_head(b"/filer", (b"ABCAuthorization", mint(claims={"nbf": NOW + 10})))
    assert refusal(router, head) == (401, "token_not_yet_valid")
    assert isinstance(decide(router, head, NOW + 10), Forward)


def test_no_rsa_work_for_what_is_no_token() -> None:
    """Grammar and JOSE header are checked before a carrier is asked to verify."""
    router = make_router()
    for token in (b"x", sign({"alg": "HS256"}, {}), b"AA.AA.AA"):
        decision = router.decide(make_head(b"/filer", (b"ABCAuthorization", token)), NOW)
        assert isinstance(decision, Respond)


def test_without_keys_nothing_opens() -> None:
    """A router without keys refuses every token."""
    head = make_head(b"/filer", HEADER)
    assert refusal(make_router(keys=NO_KEYS), head) == (401, "token_signature")


def test_leeway() -> None:
    """It is an option, and a token that lives by it is not kept."""
    router = make_router(leeway_s=30.0)
    head = make_head(b"/filer", (b"ABCAuthorization", EXPIRED))
    assert isinstance(decide(router, head), Forward)
    assert len(router.targets) == 0
    assert refusal(make_router(), head) == (401, "token_expired")


@pytest.mark.parametrize(
    ("target", "slug"),
    [
        ("127.0.0.1", "target_denied"),
        ("169.254.169.254", "target_denied"),
        ("localhost", "target_denied"),
        ("10.0.0.1:80/x", "target_malformed"),
        ("127.1", "target_malformed"),
    ],
)
def test_targets_refused(target: str, slug: str) -> None:
    """A good token that names no good target is a 401."""
    head = make_head(b"/filer", (b"ABCAuthorization", mint(target)))
    assert refusal(make_router(), head) == (401, slug)


def test_refused_targets_look_alike() -> None:
    """From outside nobody sees why a target was refused."""
    tokens = (
        mint("127.0.0.1"),
        mint("not a host"),
        mint(claims={"hash": "!"}),
        mint(claims={"hash": undecryptable()}),
    )
    seen = set()
    for token in tokens:
        answer = decide(make_router(), make_head(b"/filer", (b"ABCAuthorization", token)))
        assert isinstance(answer, Respond)
        seen.add((answer.status, tuple(answer.fields), answer.body))
    assert len(seen) == 1


def test_the_target_policy_is_an_option() -> None:
    """What it allows passes."""
    policy = TargetPolicy(allow=HostSet(suffixes=("localhost",)))
    head = make_head(b"/filer", (b"ABCAuthorization", mint("localhost")))
    assert forward(make_router(policy=policy), head).server.host == "localhost"


@pytest.mark.parametrize("port", [b"80", b"0080", b"65535", b"1", b"000000000000080"])
def test_container_ports(port: bytes) -> None:
    """Any port from 1 to 65535, in decimal digits."""
    for target in (b"/container/%s/%s/x" % (TOKEN, port), b"/container/" + port):
        assert int(port) == forward(make_router(), make_head(target, HEADER)).server.port


def test_container_ports_can_be_narrowed() -> None:
    """A port outside the list is a 404, before any token is looked at."""
    router = make_router(container_ports=frozenset({8080}))
    assert isinstance(decide(router, make_head(b"/container/8080", HEADER)), Forward)
    for target in (b"/container/8081", b"/container/x/8081", b"/container/x/8081/y"):
        assert refusal(router, make_head(target)) == (404, "port_not_allowed")
    assert isinstance(decide(router, make_head(b"/filer", HEADER)), Forward)


ORIGIN: Field = (b"Origin", b"http://desk.example:8080")


@pytest.mark.parametrize(
    ("path", "method", "fields", "expected"),
    [
        pytest.param(b"/filer", b"GET", [COOKIE], True, id="GET"),
        pytest.param(b"/filer", b"HEAD", [COOKIE], True, id="HEAD"),
        pytest.param(b"/filer", b"OPTIONS", [COOKIE], True, id="OPTIONS"),
        pytest.param(b"/filer", b"GET", [COOKIE, (b"Origin", b"http://evil")], True, id="evil GET"),
        pytest.param(b"/filer", b"POST", [COOKIE], False, id="POST without Origin"),
        pytest.param(b"/filer", b"PUT", [COOKIE], False, id="PUT without Origin"),
        pytest.param(b"/filer", b"FOO", [COOKIE], False, id="an unknown method"),
        pytest.param(b"/filer", b"POST", [COOKIE, ORIGIN], True, id="POST from here"),
        pytest.param(b"/filer", b"POST", [COOKIE, (b"Origin", b"null")], False, id="from null"),
        pytest.param(
            b"/filer", b"POST", [COOKIE, (b"Origin", b"http://evil")], False, id="from elsewhere"
        ),
        pytest.param(
            b"/filer", b"POST", [COOKIE, (b"Referer", ORIGIN[1] + b"/x")], True, id="by Referer"
        ),
        pytest.param(
            b"/filer", b"POST", [COOKIE, (b"Origin", b"https://friend")], True, id="from a friend"
        ),
        pytest.param(b"/filer", b"POST", [HEADER], True, id="a header is no ambient authority"),
        pytest.param(
            b"/filer", b"POST", [HEADER, COOKIE, (b"Origin", b"null")], True, id="header first"
        ),
        pytest.param(b"/websockify", b"GET", [COOKIE], True, id="a plain GET on a WS row"),
        pytest.param(b"/websockify", b"GET", [COOKIE, *WS], False, id="a handshake"),
        pytest.param(
            b"/websockify", b"GET", [COOKIE, *WS, ORIGIN], True, id="a handshake from here"
        ),
        pytest.param(
            b"/websockify", b"GET", [COOKIE, *WS, (b"Origin", b"http://evil")], False, id="evil"
        ),
        pytest.param(b"/websockify", b"GET", [HEADER, *WS], True, id="a handshake with a header"),
        pytest.param(
            b"/websockify?" + TOKEN, b"GET", [COOKIE, *WS], True, id="a handshake with a query"
        ),
        pytest.param(
            b"/filer",
            b"POST",
            [COOKIE, ORIGIN, (b"Connection", b"Origin")],
            True,
            id="an Origin that Connection names still counts",
        ),
    ],
)
def test_a_cookie_is_ambient_authority(
    path: bytes, method: bytes, fields: list[Field], expected: bool
) -> None:
    """What changes something must come from a page of ours when a cookie opens the way."""
    router = make_router(allowed_origins=frozenset({Origin(b"https", b"friend:443")}))
    head = make_head(path, *fields, method=method)
    if expected:
        assert isinstance(decide(router, head), Forward)
    else:
        assert refusal(router, head) == (403, "origin_denied")


def test_our_own_origin_behind_a_proxy() -> None:
    """Behind a trusted proxy our origin is what that one says; a stranger cannot choose it."""
    fields = [
        COOKIE,
        (b"Origin", b"https://www.example"),
        (b"X-Forwarded-Host", b"www.example"),
        (b"X-Forwarded-Proto", b"https"),
    ]
    head = make_head(b"/filer", *fields, method=b"POST", peer=PROXY)
    assert isinstance(decide(make_router(), head), Forward)
    assert refusal(make_router(), head._replace(peer=CLIENT)) == (403, "origin_denied")


@pytest.mark.parametrize(
    "path", [b"/x", b"/API/x", b"/console/x", b"/speedtest/x", b"/healthz", b"/status?jwt_token="]
)
@pytest.mark.parametrize(
    "fields",
    [
        pytest.param([(b"ABCAuthorization", b"a user's"), (b"ABCAuthorization", b"")], id="header"),
        pytest.param([(b"Cookie", b"jwt_token=a; jwt_token=b")], id="cookie"),
    ],
)
def test_no_token_is_read_where_none_is_asked_for(path: bytes, fields: list[Field]) -> None:
    """On locations without a token column it is neither read nor refused."""
    decision = decide(make_router(), make_head(path, *fields, method=b"POST"))
    if isinstance(decision, Forward):
        assert fields == decision.fields[6:]
        assert decision.token_source is None
    else:
        assert isinstance(decision, Respond)
        assert decision.error is None


@pytest.mark.parametrize(
    ("fields", "source"),
    [
        pytest.param([], None, id="none"),
        pytest.param([HEADER, HEADER], None, id="two"),
        pytest.param([(b"ABCAuthorization", b"x")], "header", id="garbage"),
        pytest.param([(b"ABCAuthorization", EXPIRED)], "header", id="an expired one"),
        pytest.param([COOKIE], "cookie", id="one that another site may have sent"),
    ],
)
def test_refusal_says_where_the_token_was(fields: list[Field], source: str | None) -> None:
    """Once there is one credential; for the log and the flow, not for the client."""
    decision = decide(make_router(), make_head(b"/filer", *fields, method=b"POST"))
    assert isinstance(decision, Respond)
    assert decision.error is not None
    assert decision.token_source == source


def test_decision_says_whether_the_token_was_known() -> None:
    """Verified for this request, or found in the cache."""
    router = make_router()
    for is_known in (False, True):
        decision = decide(router, make_head(b"/filer", HEADER))
        assert isinstance(decision, Forward)
        assert decision.is_token_cached is is_known


@pytest.mark.parametrize(
    ("peer", "said", "expected"),
    [
        pytest.param(CLIENT, [b"abc"], REQUEST_ID, id="a stranger's is not shown"),
        pytest.param(PROXY, [b"abc"], b"abc", id="a trusted proxy's is"),
        pytest.param(PROXY, [b"<script>"], REQUEST_ID, id="unless it is odd"),
        pytest.param(PROXY, [b"a", b"a"], REQUEST_ID, id="or said twice"),
        pytest.param(PROXY, [], REQUEST_ID, id="none: ours"),
    ],
)
@pytest.mark.parametrize("path", [b"/filer", b"/%zz", b"/healthz"])
def test_the_request_id_of_an_answer(
    path: bytes, peer: Peer, said: list[bytes], expected: bytes
) -> None:
    """It is shown in every answer of ours, however early that is made."""
    lines = [(b"X-Request-ID", value) for value in said]
    answer = decide(make_router(), make_head(path, *lines, peer=peer))
    assert isinstance(answer, Respond)
    assert expected == answer.request_id
    assert [expected] == values(answer.fields, b"x-request-id")


def test_errors_as_the_client_prefers() -> None:
    """All Accept lines count."""
    head = make_head(b"/filer", (b"Accept", b"image/png"), (b"accept", b"application/json"))
    answer = decide(make_router(), head)
    assert isinstance(answer, Respond)
    assert values(answer.fields, b"content-type") == [b"application/problem+json; charset=utf-8"]
    assert values(answer.fields, b"www-authenticate") == [b"Bearer"]


def test_a_refusal_knows_its_location() -> None:
    """For the log; before a location is chosen there is none."""
    answer = make_router().decide(make_head(b"/filer/x"), NOW)
    assert isinstance(answer, Respond)
    assert answer.location is not None
    assert answer.location.location == "/filer"
    early = make_router().decide(make_head(b"/%zz"), NOW)
    assert isinstance(early, Respond)
    assert early.location is None


def test_a_carrier_refuses_in_the_same_words() -> None:
    """``refuse`` is for faults that only a carrier can see."""
    router = make_router()
    answer = router.refuse(make_head(b"/x", (b"Accept", b"text/html")), TokenExpired())
    assert (answer.status, answer.request_id) == (401, REQUEST_ID)
    assert answer.body.startswith(b"<!doctype html>")


def test_an_internal_error() -> None:
    """The answer where a decision itself failed needs no router."""
    answer = internal_error(b"id-1")
    assert (answer.status, answer.request_id) == (500, b"id-1")
    assert answer.body == b"500 Internal Server Error: The router failed. (request id-1)\n"


HSTS = b"max-age=86400"


@pytest.mark.parametrize("path", [b"/healthz", b"/filer", b"/%zz"])
@pytest.mark.parametrize(
    ("peer", "proto", "hsts_s", "expected"),
    [
        pytest.param(TLS_CLIENT, b"", 86400, [HSTS], id="by https"),
        pytest.param(PROXY, b"https", 86400, [HSTS], id="by https, as a trusted proxy says"),
        pytest.param(CLIENT, b"https", 86400, [], id="by http, whatever a stranger says"),
        pytest.param(PROXY, b"http", 86400, [], id="by http, as a trusted proxy says"),
        pytest.param(TLS_CLIENT, b"", 0, [], id="not configured"),
    ],
)
def test_hsts_in_answers_of_ours(
    path: bytes, peer: Peer, proto: bytes, hsts_s: int, expected: list[bytes]
) -> None:
    """RFC 6797 7.2: it is said over https only."""
    said = [(b"X-Forwarded-Proto", proto)] if proto else []
    answer = decide(make_router(hsts_s=hsts_s), make_head(path, *said, peer=peer))
    assert isinstance(answer, Respond)
    assert expected == values(answer.fields, b"Strict-Transport-Security")


@pytest.mark.parametrize(("peer", "expected"), [(TLS_CLIENT, HSTS), (CLIENT, b"")])
def test_hsts_elsewhere(peer: Peer, expected: bytes) -> None:
    """A carrier is told what the upstream's answer, or a file's, shall say."""
    router = make_router(hsts_s=86400, acme_root="/srv")
    for head in (make_head(b"/x", peer=peer), make_head(b"/filer", HEADER, peer=peer)):
        assert expected == forward(router, head).hsts
    file = decide(router, make_head(b"/.well-known/acme-challenge/x", peer=peer))
    assert isinstance(file, ServeFile)
    assert ([expected] if expected else []) == values(file.fields, b"Strict-Transport-Security")


@pytest.mark.parametrize(
    ("port", "head", "expected"),
    [
        pytest.param(443, make_head(b"/x?y"), b"https://desk.example/x?y", id="https' own port"),
        pytest.param(8443, make_head(b"/"), b"https://desk.example:8443/", id="another port"),
        pytest.param(443, make_head(b"//a/%41"), b"https://desk.example/a/A", id="canonical"),
        pytest.param(
            443, make_head(b"/filer", method=b"POST"), b"https://desk.example/filer", id="no token"
        ),
        pytest.param(
            443, make_head(host=(b"Host", b"[::1]:80")), b"https://[::1]/", id="an IPv6 host"
        ),
        pytest.param(
            443,
            make_head(b"/", method=b"POST", length=2 * MIB),
            b"https://desk.example/",
            id="before the length",
        ),
    ],
)
def test_redirected_to_https(port: int, head: RequestHead, expected: bytes) -> None:
    """Who came by http is sent to the same place by https."""
    answer = decide(make_router(https_redirect_port=port), head)
    assert isinstance(answer, Respond)
    assert (answer.status, answer.body, answer.error) == (308, b"", None)
    assert [
        (b"Location", expected),
        (b"Cache-Control", b"no-store"),
        (b"X-Frame-Options", b"SAMEORIGIN"),
        (b"X-XSS-Protection", b"1; mode=block"),
        (b"X-Request-ID", REQUEST_ID),
    ] == answer.fields


@pytest.mark.parametrize(
    ("head", "status"),
    [
        pytest.param(make_head(b"/x", peer=TLS_CLIENT), 0, id="by https"),
        pytest.param(
            make_head(b"/x", (b"X-Forwarded-Proto", b"https"), peer=PROXY), 0, id="by a proxy"
        ),
        pytest.param(make_head(b"/x", version=HTTP_10, host=None), 0, id="no name to send to"),
        pytest.param(make_head(b"/healthz"), 200, id="a sign of life"),
        pytest.param(make_head(b"/.well-known/acme-challenge/x"), 404, id="a challenge"),
        pytest.param(make_head(b"/%zz"), 400, id="no place to send to"),
    ],
)
def test_never_redirected(head: RequestHead, status: int) -> None:
    """Who came by https, or must be served by http, is served."""
    decision = decide(make_router(https_redirect_port=443), head)
    assert status == (decision.status if isinstance(decision, Respond) else 0)


_VIA_PROXY: Field = (b"X-Forwarded-For", b"198.51.100.1, 203.0.113.7")


@pytest.mark.parametrize(
    ("allowed", "head", "expected"),
    [
        pytest.param(None, make_head(b"/console"), None, id="everybody"),
        pytest.param((), make_head(b"/console"), (403, "console_denied"), id="nobody"),
        pytest.param(("203.0.113.0/24",), make_head(b"/console/x"), None, id="in a network"),
        pytest.param(
            ("10.0.0.0/8", "::/0"), make_head(b"/console"), (403, "console_denied"), id="in none"
        ),
        pytest.param(
            ("203.0.113.7/32",),
            make_head(b"/console", _VIA_PROXY, peer=PROXY),
            None,
            id="by a proxy",
        ),
        pytest.param(
            ("10.0.0.0/8",),
            make_head(b"/console", _VIA_PROXY, peer=PROXY),
            (403, "console_denied"),
            id="the proxy may, who stands behind it may not",
        ),
        pytest.param(
            ("198.51.100.1/32",),
            make_head(b"/console", _VIA_PROXY),
            (403, "console_denied"),
            id="a client that says that it is another",
        ),
        pytest.param(
            ("203.0.113.0/24",),
            make_head(b"/console", peer=Peer("::ffff:203.0.113.7", b"http", 80)),
            None,
            id="IPv4 on an IPv6 listener",
        ),
        pytest.param((), make_head(b"/API/x"), None, id="another upstream"),
    ],
)
def test_who_may_see_the_console(
    allowed: tuple[str, ...] | None, head: RequestHead, expected: tuple[int, str] | None
) -> None:
    """Only clients in the networks that are allowed, as the trusted proxies tell who they are."""
    networks = None if allowed is None else tuple(map(ipaddress.ip_network, allowed))
    decision = decide(make_router(console_allow=networks), head)
    if expected is None:
        assert isinstance(decision, Forward)
    else:
        assert isinstance(decision, Respond)
        assert decision.error is not None
        assert (decision.status, decision.error.slug) == expected


_TARGETS = st.sampled_from(
    [
        *(b"/", b"/filer", b"/websockify?jwt_token=" + TOKEN, b"/container/%s/80/x" % TOKEN),
        *(b"/container/99999", b"/terminals/1/size", b"/healthz", b"/API/../filer", b"/%zz"),
        *(b"/broadcast?" + EXPIRED, b"/container/%s/80" % EXPIRED, b"http://desk.example:8080/"),
        *(b"/.well-known/acme-challenge/x", b"*", b"//", b"/console/../.."),
    ]
)
_NAMES = st.sampled_from(
    [
        *(b"Host", b"ABCAuthorization", b"Authorization", b"Cookie", b"Connection", b"Upgrade"),
        *(b"Origin", b"Referer", b"Accept", b"X-Forwarded-For", b"X-Forwarded-Host"),
        *(b"X-Request-ID", b"Content-Length", b"X_Odd"),
    ]
)
_VALUES = st.sampled_from(
    [
        *(TOKEN, EXPIRED, STRANGER_S, b"Bearer " + TOKEN, b"jwt_token=" + TOKEN, b"jwt_token="),
        *(b"upgrade", b"websocket", b"null", b"desk.example:8080", b"http://desk.example:8080"),
        *(b"text/html", b"application/json", b"127.0.0.1, x", b"close, cookie"),
    ]
)
_HEADS = st.builds(
    RequestHead,
    st.sampled_from([b"GET", b"POST", b"TRACE", b"get"]) | st.binary(max_size=5),
    _TARGETS | st.binary(max_size=30) | st.binary(max_size=20).map(lambda rest: b"/" + rest),
    st.sampled_from([HTTP_10, HTTP_11, HTTP_2]) | st.binary(max_size=8),
    st.none() | st.sampled_from([b"desk.example:8080"]) | st.binary(max_size=8),
    st.lists(
        st.tuples(_NAMES | st.binary(max_size=6), _VALUES | st.binary(max_size=12)), max_size=6
    ).flatmap(lambda fields: st.sampled_from([fields, [HOST, *fields]])),
    st.integers(-2, 2 * MIB),
    st.sampled_from([CLIENT, PROXY]),
    st.just(REQUEST_ID),
)
_WARM = Router(make_rules(acme_root="/srv"), TargetMap(100, 600))


@settings(max_examples=400)
@given(_HEADS)
def test_the_decision_is_total(head: RequestHead) -> None:
    """Any head has a decision, and no answer of ours holds a token, its claims or its target."""
    decision = decide(_WARM, head)
    if isinstance(decision, Forward):
        assert decision.path.startswith(b"/")
        assert decision.server.host in (TARGET, "website", "pyos", "console", "speedtest")
        return
    assert not isinstance(decision, Verify)
    answer = decision.missing if isinstance(decision, ServeFile) else decision
    assert 200 <= answer.status < 600
    assert answer.status == 200 or isinstance(answer.error, RouteError)
    said = answer.body + b"\n".join(name + b": " + value for name, value in answer.fields)
    secrets = [*TOKEN.split(b"."), *EXPIRED.split(b".")[1:], TARGET.encode(), b"10.0.0.1"]
    assert not any(secret in said for secret in secrets)
    detail = str(answer.error).encode()
    assert not any(secret in detail for secret in secrets)


_CHECKS: list[Callable[[RequestHead], Any]] = [
    lambda head: make_router().decide(head, NOW),
    lambda head: decide(make_router(), head),
]


@settings(max_examples=50)
@given(_HEADS)
def test_the_decision_is_pure(head: RequestHead) -> None:
    """The same head at the same time has the same decision, and the head stays as it was."""
    before = RequestHead(*head)._replace(fields=list(head.fields))
    for check in _CHECKS:
        one, other = check(head), check(head)
        assert type(one) is type(other)
        if isinstance(one, Respond):
            assert isinstance(other, Respond)
            assert one._replace(error=None, location=None) == other._replace(
                error=None, location=None
            )
        else:
            assert one[1:] == other[1:]
    assert before._replace(fields=list(before.fields)) == head._replace(fields=list(head.fields))


def test_a_token_that_expires_while_it_is_verified() -> None:
    """A verdict that comes after ``exp`` opens nothing."""
    router = make_router()
    head = make_head(b"/filer", (b"ABCAuthorization", TOKEN))
    late = router.decide(head, NOW + LIFE_S, router.verify(TOKEN, NOW))
    assert isinstance(late, Respond)
    assert isinstance(late.error, TokenExpired)


def test_what_a_connection_remembers() -> None:
    """A token counts for the next request with the same fields, and for no other."""
    router = make_router()
    head = make_head(b"/filer", (b"ABCAuthorization", TOKEN))._replace(memory=Memory())
    other = make_head(b"/filer", (b"ABCAuthorization", mint("10.0.0.2")))
    for asked, host in ((head, TARGET), (head, TARGET), (other, "10.0.0.2")):
        asked = asked._replace(memory=head.memory)
        assert forward(router, asked).server.host == host
        assert forward(router, asked._replace(target=b"/spawner")).server.host == host
    bare = make_head(b"/filer")._replace(memory=head.memory)
    assert refusal(router, bare) == (401, "token_missing")
    in_query = b"/terminals/1?jwt_token=" + TOKEN
    assert (
        forward(router, other._replace(target=in_query, memory=head.memory)).path == b"/terminals/1"
    )
