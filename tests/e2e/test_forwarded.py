"""Who the client is, as upstreams are told: from trusted proxies only."""

import ssl

import pytest

from tests.e2e.harness import UNTRUSTED, Field, Fleet, Router, build_request

SAID = (
    (b"X-Forwarded-Proto", b"https"),
    (b"X-Forwarded-Host", b"Portal.Example"),
    (b"X-Forwarded-Port", b"8443"),
)


def _told(fleet: Fleet) -> dict[bytes, bytes | None]:
    names = (b"For", b"Proto", b"Host", b"Port")
    request = fleet.pyos.request
    told = {name: request.get(b"X-Forwarded-" + name) for name in names}
    return {**told, b"Real": request.get(b"X-Real-IP")}


@pytest.mark.parametrize(
    ("fields", "client", "chain"),
    [
        pytest.param([], b"127.0.0.1", b"127.0.0.1", id="nothing said"),
        pytest.param([b"203.0.113.7"], b"203.0.113.7", b"203.0.113.7, 127.0.0.1", id="one client"),
        pytest.param(
            [b"127.0.0.1, 203.0.113.7"],
            b"203.0.113.7",
            b"203.0.113.7, 127.0.0.1",
            id="what stands left of the client is a lie",
        ),
        pytest.param(
            [b"203.0.113.7, 10.1.1.1"],
            b"203.0.113.7",
            b"203.0.113.7, 10.1.1.1, 127.0.0.1",
            id="a trusted hop",
        ),
        pytest.param(
            [b"203.0.113.7", b"10.1.1.1"],
            b"203.0.113.7",
            b"203.0.113.7, 10.1.1.1, 127.0.0.1",
            id="two lines are one list",
        ),
        pytest.param([b"10.1.1.1"], b"10.1.1.1", b"10.1.1.1, 127.0.0.1", id="all trusted"),
        pytest.param([b"unknown"], b"127.0.0.1", b"127.0.0.1", id="no address"),
        pytest.param(
            [b"[2001:db8::1]:4711"], b"2001:db8::1", b"2001:db8::1, 127.0.0.1", id="IPv6 and port"
        ),
    ],
)
def test_a_trusted_proxy_is_believed(
    fields: list[bytes], client: bytes, chain: bytes, router: Router, fleet: Fleet
) -> None:
    """The right-most address that is not trusted is the client."""
    lines: list[Field] = [(b"X-Forwarded-For", value) for value in fields]
    router.ask(build_request(b"/API/x", *lines, *SAID))
    assert _told(fleet) == {
        b"For": chain,
        b"Proto": b"https",
        b"Host": b"portal.example",
        b"Port": b"8443",
        b"Real": client,
    }


def test_anybody_else_is_not(router: Router, fleet: Fleet) -> None:
    """A stranger's word of itself is dropped."""
    lie = ((b"X-Forwarded-For", b"127.0.0.1"), (b"X-Real-IP", b"127.0.0.1"))
    forwarded = (b"Forwarded", b"for=127.0.0.1")
    router.ask(build_request(b"/API/x", *lie, *SAID, forwarded), source=UNTRUSTED)
    assert _told(fleet) == {
        b"For": UNTRUSTED.encode(),
        b"Proto": b"http",
        b"Host": b"desk.example",
        b"Port": b"%d" % router.port,
        b"Real": UNTRUSTED.encode(),
    }
    assert fleet.pyos.request.get(b"Forwarded") is None


def test_tls_is_told(router: Router, fleet: Fleet, tls: ssl.SSLContext) -> None:
    """Over TLS the scheme is https."""
    router.ask(build_request(b"/API/x"), tls=tls)
    assert _told(fleet)[b"Proto"] == b"https"
    assert _told(fleet)[b"Port"] == b"%d" % router.port
