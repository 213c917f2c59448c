"""Sockets to listen with."""

import socket

import pytest

from route_addon.carry.sockets import ListenAddress, ListenFault, open_sockets


def test_both_families() -> None:
    """Without a host there is one socket for each family, at one port."""
    sockets = open_sockets([ListenAddress("", 0)])
    try:
        assert [sock.family for sock in sockets] == [socket.AF_INET, socket.AF_INET6]
        ports = {sock.getsockname()[1] for sock in sockets}
        assert len(ports) == 1
        for host in ("127.0.0.1", "::1"):
            socket.create_connection((host, *ports), 5).close()
    finally:
        for sock in sockets:
            sock.close()


def test_what_asyncio_wants() -> None:
    """It sets TCP_NODELAY on what is accepted only if the protocol is said."""
    (sock,) = open_sockets([ListenAddress("127.0.0.1", 0)])
    with sock:
        assert sock.proto == socket.IPPROTO_TCP
        assert not sock.getblocking()


@pytest.mark.parametrize("host", ["127.0.0.1", ""], ids=["one", "both families"])
def test_taken(host: str) -> None:
    """An address that is taken is a fault that names it, and closes those before it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        (free,) = open_sockets([ListenAddress("127.0.0.1", 0)])
        with free:
            first = ListenAddress("127.0.0.1", free.getsockname()[1])
        with pytest.raises(
            ListenFault, match=f"cannot listen at .*:{port}: Address already in use"
        ):
            open_sockets([first, ListenAddress(host, port)])
        open_sockets([first])[0].close()


def test_no_such_name() -> None:
    """So is a name that nobody knows."""
    with pytest.raises(ListenFault, match=r"cannot listen at nobody\.invalid:80: "):
        open_sockets([ListenAddress("nobody.invalid", 80)])
