"""A server as text: what is one, and what never is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from route_addon.config.server_url import parse_server
from route_addon.core.messages import Server

SERVERS = {
    "website": Server(b"http", "website", 80),
    "website:81": Server(b"http", "website", 81),
    "website:": Server(b"http", "website", 80),
    "WebSite.ns.svc.cluster.local.": Server(b"http", "website.ns.svc.cluster.local", 80),
    "a_b": Server(b"http", "a_b", 80),
    "http://website": Server(b"http", "website", 80),
    "HTTP://website/": Server(b"http", "website", 80),
    "https://website": Server(b"https", "website", 443),
    "https://website:80": Server(b"https", "website", 80),
    "192.0.2.1": Server(b"http", "192.0.2.1", 80),
    "192.0.2.1:81": Server(b"http", "192.0.2.1", 81),
    "::1": Server(b"http", "::1", 80),
    "2001:DB8:0:0::1": Server(b"http", "2001:db8::1", 80),
    "[2001:db8::1]": Server(b"http", "2001:db8::1", 80),
    "[2001:db8::1]:81": Server(b"http", "2001:db8::1", 81),
    "https://[2001:db8::1]": Server(b"https", "2001:db8::1", 443),
    "https://[2001:db8::1]:81/": Server(b"https", "2001:db8::1", 81),
}


@pytest.mark.parametrize(("text", "server"), SERVERS.items(), ids=SERVERS.keys())
def test_servers(text: str, server: Server) -> None:
    """A URL, or a host with or without a port; IPv6 with or without brackets."""
    assert server == parse_server(text)


@pytest.mark.parametrize(
    "text",
    [
        *("", ":", ":80", "http://", "://x", "x://y", "file:///etc", "http:/x", "//x"),
        *("x:0", "x:65536", "x:y", "x:80:80", "http://x:80:80", "x:-1"),
        *("user@x", "http://user:secret@x", "x/y", "x?y", "x#y", "http://x/y"),
        *("[", "[::1", "[::1]x", "[x]", "a:b:c", "::1%eth0", "[::1]:0"),
        *(" x", "x ", "x y", "x\n", "we\nb", "http://we\tb", "x\\y", "a..b", ".x", "é", "a℀b"),
    ],
)
def test_never_servers(text: str) -> None:
    """Anything else is refused, in words of ours."""
    with pytest.raises(ValueError, match=r"\Amust be a URL \(http://host:port\) or host\[:port\]"):
        parse_server(text)


@given(st.one_of(st.text(), st.from_regex(r"(https?://)?[\[\]:/?#@a-f0-9.%]*", fullmatch=True)))
def test_any_server(text: str) -> None:
    """Any text is a server whose address reads back as the same server, or is refused."""
    try:
        server = parse_server(text)
    except ValueError:
        return
    assert 0 < server.port < 65536
    assert parse_server(f"{server.scheme.decode()}://{server.host_and_port.decode()}") == server
