"""The values that travel through the router."""

import pytest

from route_addon.core.messages import Server, pod_server


@pytest.mark.parametrize(
    ("server", "authority", "host_and_port"),
    [
        pytest.param(Server(b"http", "h", 80), b"h", b"h:80", id="http's own port"),
        pytest.param(Server(b"https", "h", 443), b"h", b"h:443", id="https' own port"),
        pytest.param(Server(b"http", "h", 443), b"h:443", b"h:443", id="the other's port"),
        pytest.param(Server(b"https", "h", 80), b"h:80", b"h:80", id="the other's, again"),
        pytest.param(Server(b"http", "h", 8000), b"h:8000", b"h:8000", id="any port"),
        pytest.param(Server(b"http", "::1", 80), b"[::1]", b"[::1]:80", id="IPv6"),
        pytest.param(Server(b"http", "::1", 81), b"[::1]:81", b"[::1]:81", id="IPv6 and a port"),
    ],
)
def test_server(server: Server, authority: bytes, host_and_port: bytes) -> None:
    """A server's authority leaves the scheme's own port out; the other form never does."""
    assert (authority, host_and_port) == (server.authority, server.host_and_port)


def test_a_pod_s_server() -> None:
    """Pods speak http."""
    assert pod_server("::1", 6081) == Server(b"http", "::1", 6081)
