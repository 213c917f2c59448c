"""The sockets that the router listens with, where it opens them itself."""

import socket
from collections.abc import Sequence
from typing import Final, NamedTuple

BACKLOG: Final = 1024
"""Connections that wait to be accepted, as far as the system lets them (somaxconn)."""

_BOTH_FAMILIES: Final = ("0.0.0.0", "::")


class ListenAddress(NamedTuple):
    """An address to listen at."""

    host: str
    """An address or a name; empty for all addresses of both families."""
    port: int
    """0 for a free one."""
    is_for_tls: bool = False
    """Whether it is of use only where there is a certificate."""


class ListenFault(Exception):
    """An address that cannot be listened at.

    Args:
        address: The address.
        fault: What the system says.
    """

    def __init__(self, address: ListenAddress, fault: str) -> None:
        super().__init__(f"cannot listen at {address.host or '*'}:{address.port}: {fault}")


def open_sockets(addresses: Sequence[ListenAddress]) -> list[socket.socket]:
    """Open sockets, and let them queue connections.

    Raises:
        ListenFault: One cannot be had; those before it are closed again.
    """
    opened: list[socket.socket] = []
    try:
        for address in addresses:
            opened += _open_address(address)
    except BaseException:
        for sock in opened:
            sock.close()
        raise
    return opened


def _open_address(address: ListenAddress) -> list[socket.socket]:
    """The sockets of one address; without a host, of the families that this machine has."""
    opened: list[socket.socket] = []
    port = address.port
    for host in (address.host,) if address.host else _BOTH_FAMILIES:
        try:
            opened.append(_open(host, port))
        except OSError as error:
            if not (opened and host == "::" and not socket.has_dualstack_ipv6()):
                for sock in opened:
                    sock.close()
                raise ListenFault(address, error.strerror or str(error)) from None
        else:
            port = port or opened[0].getsockname()[1]
    return opened


def _open(host: str, port: int) -> socket.socket:
    family, *_, target = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    # Without the protocol asyncio would not set TCP_NODELAY on what is accepted.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.setblocking(False)
        sock.bind(target)
        sock.listen(BACKLOG)
    except BaseException:
        sock.close()
        raise
    return sock
