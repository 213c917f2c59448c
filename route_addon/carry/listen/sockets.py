"""The sockets that the router listens with, where it opens them itself."""

import errno
import logging
import socket
from collections.abc import Sequence
from typing import Final, NamedTuple

logger = logging.getLogger(__name__)

BACKLOG: Final = 4096
"""Connections that wait to be accepted, as far as the system lets them (somaxconn)."""

_LOW_PORTS: Final = (
    "low ports take root, CAP_NET_BIND_SERVICE, or the sysctl net.ipv4.ip_unprivileged_port_start"
)
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
        host = f"[{address.host}]" if ":" in address.host else address.host or "*"
        super().__init__(f"cannot listen at {host}:{address.port}: {fault}")


def open_sockets(
    addresses: Sequence[ListenAddress], *, has_certificate: bool = True
) -> list[socket.socket]:
    """Open sockets, and let them queue connections.

    Those that are for TLS only are shut as long as there is no certificate: whoever connects is
    refused, and one that cannot be had is left out.

    Args:
        addresses: Where to listen.
        has_certificate: Whether there is one.

    Raises:
        ListenFault: One cannot be had; those before it are closed again.
    """
    opened: list[socket.socket] = []
    try:
        for address in addresses:
            is_open = has_certificate or not address.is_for_tls
            try:
                opened += _open_address(address, is_open=is_open)
            except ListenFault as fault:
                if is_open:
                    raise
                logger.warning("%s; with a certificate, start again", fault)
    except BaseException:
        for sock in opened:
            sock.close()
        raise
    return opened


def _describe(error: OSError) -> str:
    said = error.strerror or str(error)
    return f"{said} ({_LOW_PORTS})" if error.errno == errno.EACCES else said


def is_open(sock: socket.socket) -> bool:
    """Whether connections are let in: by this process or by one that shares the socket."""
    return bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))


def _open_address(address: ListenAddress, *, is_open: bool) -> list[socket.socket]:
    """The sockets of one address; without a host, of the families that this machine has."""
    opened: list[socket.socket] = []
    port = address.port
    for host in (address.host,) if address.host else _BOTH_FAMILIES:
        try:
            opened.append(_open(host, port, is_open=is_open))
        except OSError as error:
            if not (opened and host == "::" and not socket.has_dualstack_ipv6()):
                for sock in opened:
                    sock.close()
                raise ListenFault(address, _describe(error)) from None
        else:
            port = port or opened[0].getsockname()[1]
    return opened


def _open(host: str, port: int, *, is_open: bool) -> socket.socket:
    family, *_, target = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    # Without the protocol asyncio would not set TCP_NODELAY on what is accepted.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.setblocking(False)
        sock.bind(target)
        if is_open:
            sock.listen(BACKLOG)
    except BaseException:
        sock.close()
        raise
    return sock
