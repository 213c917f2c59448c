"""What is said of https: HSTS, and the way there from http."""

import pytest

from route_addon.core.answers import answer_fields
from route_addon.core.error_pages import SECURITY_FIELDS
from route_addon.core.messages import HTTP_2, HTTP_10, Field, Peer, RequestHead, Respond, ServeFile
from route_addon.core.router import Router
from tests.core.heads import (
    CLIENT,
    PROXY,
    TLS_CLIENT,
    decide,
    forward,
    make_head,
    make_router,
    values,
)
from tests.minting import mint

HSTS = b"Strict-Transport-Security"
BY_HTTPS: Field = (b"X-Forwarded-Proto", b"https")
BY_HTTP: Field = (b"X-Forwarded-Proto", b"http")
TLS_PROXY = Peer("10.9.9.9", b"https", 8443)
TOKEN: Field = (b"ABCAuthorization", mint("10.0.0.1"))

STRICT = make_router(hsts_s=600, acme_root="/acme")
REDIRECTING = make_router(https_redirect_port=443, acme_root="/acme")


@pytest.mark.parametrize(
    ("peer", "fields", "is_https"),
    [
        pytest.param(CLIENT, (), False, id="http"),
        pytest.param(CLIENT, (BY_HTTPS,), False, id="http, and the client says https"),
        pytest.param(TLS_CLIENT, (), True, id="https"),
        pytest.param(TLS_CLIENT, (BY_HTTP,), True, id="https, and the client says http"),
        pytest.param(PROXY, (), False, id="a proxy by http that says nothing"),
        pytest.param(PROXY, (BY_HTTPS,), True, id="a proxy that says https"),
        pytest.param(PROXY, (BY_HTTPS, BY_HTTP), False, id="a proxy that says both"),
        pytest.param(TLS_PROXY, (BY_HTTP,), False, id="a proxy by https that says http"),
    ],
)
@pytest.mark.parametrize("target", [b"/", b"/filer", b"/healthz", b"/container/x/80", b"/%zz"])
def test_hsts(target: bytes, peer: Peer, fields: tuple[Field, ...], is_https: bool) -> None:
    """On every answer to a client that came by https, our own and upstreams', and no other."""
    expected = [b"max-age=600"] if is_https else []
    head = make_head(target, *fields, peer=peer)
    decision = decide(STRICT, head)
    if isinstance(decision, Respond):
        assert values(decision.fields, HSTS) == expected
    else:
        sent = answer_fields(200, [], forward(STRICT, head))
        assert values(sent, HSTS) == expected
    opened = forward(STRICT, make_head(b"/filer", TOKEN, *fields, peer=peer))
    assert values(answer_fields(200, [], opened), HSTS) == expected


def test_hsts_on_a_challenge() -> None:
    """The file's answer, and the one in its absence."""
    challenge = decide(STRICT, make_head(b"/.well-known/acme-challenge/x", peer=TLS_CLIENT))
    assert isinstance(challenge, ServeFile)
    assert challenge.fields == [(HSTS, b"max-age=600")]
    assert values(challenge.missing.fields, HSTS) == [b"max-age=600"]


def test_ours_speaks_for_the_host() -> None:
    """An upstream cannot take it back; without the option, or over http, its own word stands."""
    theirs = (b"strict-transport-security", b"max-age=0")
    for router, peer, expected in (
        (STRICT, TLS_CLIENT, [(HSTS, b"max-age=600")]),
        (STRICT, CLIENT, [theirs]),
        (make_router(), TLS_CLIENT, [theirs]),
    ):
        sent = answer_fields(200, [theirs, theirs], forward(router, make_head(peer=peer)))
        found = [field for field in sent if field[0].lower() == HSTS.lower()]
        assert found == expected * (2 if expected == [theirs] else 1)


@pytest.mark.parametrize(
    ("head", "location"),
    [
        pytest.param(make_head(), b"https://desk.example/", id="the root"),
        pytest.param(make_head(b"/a/b?c=d&e"), b"https://desk.example/a/b?c=d&e", id="a target"),
        pytest.param(make_head(b"/a?"), b"https://desk.example/a?", id="an empty query"),
        pytest.param(make_head(b"/%61/../b%2Fc"), b"https://desk.example/b%2Fc", id="canonical"),
        pytest.param(
            make_head(b"//evil.example/x"), b"https://desk.example/evil.example/x", id="two slashes"
        ),
        pytest.param(
            make_head(b"http://desk.example:8080/x"), b"https://desk.example/x", id="absolute-form"
        ),
        pytest.param(
            make_head(host=(b"Host", b"[::1]:8080")), b"https://[::1]/", id="an IPv6 address"
        ),
        pytest.param(
            make_head(version=HTTP_2, authority=b"desk.example", host=None),
            b"https://desk.example/",
            id="HTTP/2",
        ),
        pytest.param(
            make_head(b"/x", method=b"POST", length=10), b"https://desk.example/x", id="POST"
        ),
        pytest.param(
            make_head(b"/x", method=b"POST", length=2**40),
            b"https://desk.example/x",
            id="a body over the limit",
        ),
        pytest.param(
            make_head(b"/filer/x"), b"https://desk.example/filer/x", id="a location with a token"
        ),
        pytest.param(make_head(b"/node"), b"https://desk.example/node", id="an answer of ours"),
        pytest.param(make_head(peer=PROXY), b"https://desk.example/", id="a silent proxy"),
        pytest.param(
            make_head(b"/x", BY_HTTP, (b"X-Forwarded-Host", b"portal.example:81"), peer=PROXY),
            b"https://portal.example/x",
            id="as a proxy says",
        ),
        pytest.param(
            make_head(b"/x", BY_HTTPS, (b"X-Forwarded-Host", b"evil.example")),
            b"https://desk.example/x",
            id="as somebody else says",
        ),
    ],
)
def test_redirected(head: RequestHead, location: bytes) -> None:
    """To the same place by https."""
    answer = decide(REDIRECTING, head)
    assert isinstance(answer, Respond)
    assert (answer.status, answer.error, answer.body) == (308, None, b"")
    assert values(answer.fields, b"Location") == [location]
    assert set(SECURITY_FIELDS) <= set(answer.fields)


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(make_head(peer=TLS_CLIENT), id="https"),
        pytest.param(make_head(b"/", BY_HTTPS, peer=PROXY), id="as a proxy says"),
        pytest.param(make_head(b"/healthz"), id="a sign of life"),
        pytest.param(make_head(b"/.well-known/acme-challenge/x"), id="an ACME challenge"),
        pytest.param(make_head(version=HTTP_10, host=None), id="no Host"),
    ],
)
def test_not_redirected(head: RequestHead) -> None:
    """Whoever has come by https, or cannot, or must not."""
    answer = decide(REDIRECTING, head)
    assert not isinstance(answer, Respond) or answer.status == 200


@pytest.mark.parametrize(
    ("head", "status"),
    [
        pytest.param(make_head(b"/%zz"), 400, id="a bad target"),
        pytest.param(make_head(host=(b"Host", b"a b")), 400, id="a bad Host"),
        pytest.param(make_head(method=b"TRACE"), 405, id="TRACE"),
    ],
)
def test_malformed_requests_lead_nowhere(head: RequestHead, status: int) -> None:
    """They are refused, as they are by https."""
    answer = decide(REDIRECTING, head)
    assert isinstance(answer, Respond)
    assert answer.status == status
    assert values(answer.fields, b"Location") == []


def test_another_port() -> None:
    """The port is written where it is not https' own."""
    router: Router = make_router(https_redirect_port=8443)
    answer = decide(router, make_head(b"/x"))
    assert isinstance(answer, Respond)
    assert values(answer.fields, b"Location") == [b"https://desk.example:8443/x"]
