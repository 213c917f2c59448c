"""A Tornado application that listens on one address of this machine."""

import errno
import socket
from dataclasses import dataclass

from tornado.httpserver import HTTPServer
from tornado.web import Application

# Tornado's own limit is 100 MB; /filer carries up to 8 GiB, and what is read here is only counted.
MAX_BODY_BYTES = 2**34


class CannotListenError(RuntimeError):
    """An address and port that cannot be had, and why."""


def authority(address: str, port: int) -> str:
    """Build `address:port`, an IPv6 address in brackets (RFC 3986 3.2.2)."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


@dataclass(frozen=True)
class Listener:
    """A server that listens."""

    server: HTTPServer
    address: str
    port: int

    @property
    def url(self) -> str:
        """Its root, without a slash at the end."""
        return f"http://{authority(self.address, self.port)}"

    async def stop(self) -> None:
        """Stop listening, and close what is idle."""
        self.server.stop()
        await self.server.close_all_connections()


def bind(address: str, port: int = 0) -> socket.socket:
    """Bind a socket to a port, or to a free one (0), and listen; no address is every address.

    Raises:
        CannotListenError: The port is taken, or the address is not this machine's.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        return socket.create_server((address, port), family=family)
    except OSError as error:
        why = "is taken" if error.errno == errno.EADDRINUSE else f"cannot be had: {error.strerror}"
        raise CannotListenError(f"{authority(address or '*', port)} {why}") from error


def listen(application: Application, address: str, port: int = 0) -> Listener:
    """Start a server on a port, or on a free one (0).

    Raises:
        CannotListenError: The port is taken, or the address is not this machine's.
    """
    bound = bind(address, port)
    bound.setblocking(False)
    server = HTTPServer(application, max_body_size=MAX_BODY_BYTES)
    server.add_socket(bound)
    return Listener(server, address, bound.getsockname()[1])
