"""Sockets to listen with."""

import errno
import socket

import pytest

from route_addon.carry.listen import sockets as module
from route_addon.carry.listen.sockets import ListenAddress, ListenFault, is_open, open_sockets


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


def test_without_a_certificate(caplog: pytest.LogCaptureFixture) -> None:
    """What is for TLS only is shut until somebody listens with it; what is taken is left out."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        tls = ListenAddress("127.0.0.1", 0, is_for_tls=True)
        addresses = [ListenAddress("127.0.0.1", 0), tls, tls._replace(port=taken.getsockname()[1])]
        plain, shut = open_sockets(addresses, has_certificate=False)
        with plain, shut:
            assert (is_open(plain), is_open(shut)) == (True, False)
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(shut.getsockname(), 5)
            shut.listen()
            assert is_open(shut)
            socket.create_connection(shut.getsockname(), 5).close()
        assert "Address already in use; with a certificate, start again" in caplog.text
        with pytest.raises(ListenFault):
            open_sockets(addresses)


def test_no_such_name() -> None:
    """So is a name that nobody knows."""
    with pytest.raises(ListenFault, match=r"cannot listen at nobody\.invalid:80: "):
        open_sockets([ListenAddress("nobody.invalid", 80)])


def test_a_low_port(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who may not have it is told what it takes. (Tests that run as root may have any.)"""

    def refuse(host: str, port: int, *, is_open: bool) -> socket.socket:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(module, "_open", refuse)
    with pytest.raises(ListenFault) as refused:
        open_sockets([ListenAddress("::", 80)])
    assert str(refused.value).startswith("cannot listen at [::]:80: Permission denied (low ports ")
