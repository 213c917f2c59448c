"""Who the client is, and what upstreams are told of it."""

import ipaddress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from route_addon.core.forwarded import (
    NOTHING_SAID,
    PRIVATE_NETWORKS,
    ForwardedFields,
    TrustedProxies,
    is_within,
)
from route_addon.core.messages import Origin, Peer
from tests.core.heads import CLIENT, PROXY, TLS_CLIENT

PROXIES = TrustedProxies(map(ipaddress.ip_network, PRIVATE_NETWORKS))
NOBODY = TrustedProxies(())
AUTHORITY = b"desk.example"


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        pytest.param("127.0.0.1", True, id="loopback"),
        pytest.param("::1", True, id="loopback IPv6"),
        pytest.param("10.255.255.255", True, id="10/8"),
        pytest.param("172.16.0.1", True, id="172.16/12"),
        pytest.param("172.31.255.255", True, id="the end of 172.16/12"),
        pytest.param("192.168.1.1", True, id="192.168/16"),
        pytest.param("100.64.0.1", True, id="100.64/10"),
        pytest.param("100.127.255.255", True, id="the end of 100.64/10"),
        pytest.param("fd00::1", True, id="fc00::/7"),
        pytest.param("::ffff:10.0.0.1", True, id="IPv4, mapped"),
        pytest.param("172.32.0.1", False, id="behind 172.16/12"),
        pytest.param("172.15.255.255", False, id="before 172.16/12"),
        pytest.param("100.128.0.1", False, id="behind 100.64/10"),
        pytest.param("192.169.0.1", False, id="behind 192.168/16"),
        pytest.param("203.0.113.7", False, id="public"),
        pytest.param("2001:db8::1", False, id="public IPv6"),
        pytest.param("fe80::1", False, id="link-local"),
        pytest.param("::ffff:203.0.113.7", False, id="public, mapped"),
        pytest.param("unix:/x", False, id="no address"),
        pytest.param("", False, id="nothing"),
    ],
)
def test_trusted_by_default(address: str, expected: bool) -> None:
    """Proxies on private networks are trusted, and nobody else is."""
    assert expected is PROXIES.trusts(address)
    assert expected is is_within(address, PROXIES.networks)
    assert not NOBODY.trusts(address)


@pytest.mark.parametrize(
    ("chain", "expected"),
    [
        pytest.param([], "10.9.9.9", id="the proxy itself asks"),
        pytest.param([b""], "10.9.9.9", id="an empty line"),
        pytest.param([b"203.0.113.7"], "203.0.113.7, 10.9.9.9", id="one client"),
        pytest.param([b" 203.0.113.7 ,"], "203.0.113.7, 10.9.9.9", id="white space and commas"),
        pytest.param(
            [b"127.0.0.1, 203.0.113.7"], "203.0.113.7, 10.9.9.9", id="left of the client: dropped"
        ),
        pytest.param(
            [b"203.0.113.7, 10.0.0.5"], "203.0.113.7, 10.0.0.5, 10.9.9.9", id="two trusted hops"
        ),
        pytest.param(
            [b"198.51.100.1, 203.0.113.7, 10.0.0.5"],
            "203.0.113.7, 10.0.0.5, 10.9.9.9",
            id="the right-most that is not trusted",
        ),
        pytest.param(
            [b"10.0.0.4, 10.0.0.5"], "10.0.0.4, 10.0.0.5, 10.9.9.9", id="the left-most of trusted"
        ),
        pytest.param(
            [b"203.0.113.7", b"10.0.0.5"],
            "203.0.113.7, 10.0.0.5, 10.9.9.9",
            id="several lines are one list",
        ),
        pytest.param(
            [b"203.0.113.7", b"198.51.100.1"], "198.51.100.1, 10.9.9.9", id="from the last line"
        ),
        pytest.param([b"203.0.113.7:4711"], "203.0.113.7, 10.9.9.9", id="with a port"),
        pytest.param([b"[2001:DB8::1]:4711"], "2001:db8::1, 10.9.9.9", id="IPv6 with a port"),
        pytest.param([b"[2001:db8::1]"], "2001:db8::1, 10.9.9.9", id="IPv6 in brackets"),
        pytest.param([b"2001:db8::1"], "2001:db8::1, 10.9.9.9", id="IPv6"),
        pytest.param([b"unknown"], "10.9.9.9", id="no address"),
        pytest.param([b"203.0.113.7, unknown"], "10.9.9.9", id="no address ends the walk"),
        pytest.param(
            [b"203.0.113.7, x, 10.0.0.5"], "10.0.0.5, 10.9.9.9", id="no address in the middle"
        ),
        pytest.param([b"fe80::1%eth0"], "10.9.9.9", id="a zone"),
        pytest.param([b"203.0.113.7\xff"], "10.9.9.9", id="no text"),
    ],
)
def test_the_chain_behind_a_trusted_proxy(chain: list[bytes], expected: str) -> None:
    """The client is the right-most address that is not trusted; trusted hops follow it."""
    known = PROXIES.resolve(PROXY, AUTHORITY, ForwardedFields(tuple(chain)))
    fields = dict(known.fields)
    assert expected.encode() == fields[b"X-Forwarded-For"]
    assert expected.partition(",")[0].encode() == fields[b"X-Real-IP"] == known.client.encode()
    assert known.is_peer_trusted


LIES = ForwardedFields((b"127.0.0.1",), (b"https",), (b"evil.example",), (b"1",))


@pytest.mark.parametrize(
    ("proxies", "peer"),
    [
        pytest.param(PROXIES, CLIENT, id="a stranger"),
        pytest.param(NOBODY, PROXY, id="a proxy, where nobody is trusted"),
    ],
)
def test_nobody_else_is_believed(proxies: TrustedProxies, peer: Peer) -> None:
    """What somebody who is not trusted says of himself counts for nothing."""
    known = proxies.resolve(peer, AUTHORITY, LIES)
    assert proxies.resolve(peer, AUTHORITY, NOTHING_SAID) == known
    assert (peer.address, Origin(b"http", AUTHORITY), False) == known[:3]
    assert (
        (b"X-Real-IP", peer.address.encode()),
        (b"X-Forwarded-For", peer.address.encode()),
        (b"X-Forwarded-Proto", b"http"),
        (b"X-Forwarded-Host", b"desk.example"),
        (b"X-Forwarded-Port", b"8080"),
    ) == known.fields


@pytest.mark.parametrize(
    ("said", "proto", "host", "port"),
    [
        pytest.param({}, b"http", b"desk.example", b"8080", id="nothing said: the connection"),
        pytest.param({"proto": (b"https",)}, b"https", b"desk.example", b"443", id="https"),
        pytest.param({"proto": (b"HTTP",)}, b"http", b"desk.example", b"80", id="http, said"),
        pytest.param({"proto": (b"ftp",)}, b"http", b"desk.example", b"8080", id="another scheme"),
        pytest.param({"proto": (b"https", b"http")}, b"http", b"desk.example", b"8080", id="two"),
        pytest.param({"host": (b"WWW.example",)}, b"http", b"www.example", b"8080", id="host"),
        pytest.param({"host": (b"w:444",)}, b"http", b"w:444", b"444", id="host with a port"),
        pytest.param({"host": (b"a, b",)}, b"http", b"desk.example", b"8080", id="two hosts"),
        pytest.param({"host": (b"a", b"b")}, b"http", b"desk.example", b"8080", id="two lines"),
        pytest.param({"host": (b"a/b",)}, b"http", b"desk.example", b"8080", id="a bad host"),
        pytest.param({"port": (b"8443",)}, b"http", b"desk.example", b"8443", id="port"),
        pytest.param({"port": (b"0",)}, b"http", b"desk.example", b"8080", id="port 0"),
        pytest.param({"port": (b"65536",)}, b"http", b"desk.example", b"8080", id="a high port"),
        pytest.param({"port": (b"x",)}, b"http", b"desk.example", b"8080", id="no port"),
        pytest.param({"port": (b"1", b"2")}, b"http", b"desk.example", b"8080", id="two ports"),
        pytest.param(
            {"proto": (b"https",), "host": (b"w:444",), "port": (b"555",)},
            b"https",
            b"w:444",
            b"555",
            id="all of them",
        ),
    ],
)
def test_what_a_trusted_proxy_says(
    said: dict[str, Any], proto: bytes, host: bytes, port: bytes
) -> None:
    """Scheme, host and port are what the proxy says where that makes sense."""
    known = PROXIES.resolve(PROXY, AUTHORITY, ForwardedFields(**said))
    assert Origin(proto, host) == known.origin
    assert (
        (b"X-Forwarded-Proto", proto),
        (b"X-Forwarded-Host", host),
        (b"X-Forwarded-Port", port),
    ) == known.fields[2:]


def test_the_connection_s_own_scheme_and_port() -> None:
    """Without a proxy they are those of the connection."""
    known = PROXIES.resolve(TLS_CLIENT, AUTHORITY, NOTHING_SAID)
    assert Origin(b"https", AUTHORITY) == known.origin
    assert (b"X-Forwarded-Port", b"8443") in known.fields


def test_no_authority() -> None:
    """Where the client named no host (HTTP/1.0), upstreams get no X-Forwarded-Host."""
    known = PROXIES.resolve(CLIENT, b"", NOTHING_SAID)
    assert known.origin.authority == b""
    assert b"X-Forwarded-Host" not in dict(known.fields)
    assert len(known.fields) == 4


@pytest.mark.parametrize("name", ["chain", "proto", "host", "port"])
def test_long_fields_are_not_remembered(name: str) -> None:
    """Memory does not grow with what a proxy passes on; the answer is the same."""
    proxies = TrustedProxies(PROXIES.networks)
    for number in range(3):
        said = ForwardedFields(**{name: (b"%d" % number + b", " * 200 + b"203.0.113.7",)})
        known = proxies.resolve(PROXY, AUTHORITY, said)
        assert known.client == ("203.0.113.7" if name == "chain" else "10.9.9.9")
    assert proxies._remembered.cache_info().currsize == 0


@given(
    st.lists(
        st.binary(max_size=20) | st.ip_addresses().map(lambda ip: str(ip).encode()), max_size=4
    ),
    st.lists(st.binary(max_size=10), max_size=2),
    st.lists(st.binary(max_size=10), max_size=2),
    st.lists(st.binary(max_size=10), max_size=2),
)
def test_any_bytes_give_a_client(
    chain: list[bytes], proto: list[bytes], host: list[bytes], port: list[bytes]
) -> None:
    """The client's address is always one, the fields are clean and the peer is the last hop."""
    said = ForwardedFields(tuple(chain), tuple(proto), tuple(host), tuple(port))
    known = PROXIES.resolve(PROXY, AUTHORITY, said)
    ipaddress.ip_address(known.client)
    fields = dict(known.fields)
    hops = fields[b"X-Forwarded-For"].split(b", ")
    assert (known.client.encode(), b"10.9.9.9") == (hops[0], hops[-1])
    assert all(PROXIES.trusts(hop.decode()) for hop in hops[1:])
    assert 0 < int(fields[b"X-Forwarded-Port"]) < 65536
    assert all(0x20 < byte < 0x7F or byte == 0x20 for value in fields.values() for byte in value)
