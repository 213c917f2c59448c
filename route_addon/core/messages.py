"""The values that travel through the router: a request head in, a decision out.

Field names and values are ``bytes`` as they stood on the wire; a field is a ``(name, value)``
pair, in the order received (RFC 9110 5.3). Named tuples, because they are immutable and cheap:
one request makes two or three of them.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from route_addon.core.errors import RouteError
    from route_addon.core.locations import Location
    from route_addon.core.sender import Memory

type Field = tuple[bytes, bytes]
type Fields = Sequence[Field]

HTTP_10 = b"HTTP/1.0"
HTTP_11 = b"HTTP/1.1"
HTTP_2 = b"HTTP/2"


class Peer(NamedTuple):
    """Who is at the other end of the client's connection; one for the whole connection."""

    address: str
    """The peer's IP address, without a port or a zone."""
    scheme: bytes
    """``b"http"`` or ``b"https"``: how this connection is spoken."""
    port: int
    """Our own port that the client reached."""


class RequestHead(NamedTuple):
    """A request head as the client sent it.

    Whoever makes one has seen to it that the framing is certain (``core.framing``) and that no
    value holds control bytes (``core.fields.check_values``, or a reader that proves it).
    """

    method: bytes
    target: bytes
    """The request target (RFC 9112 3.2), or HTTP/2's ``:path``."""
    version: bytes
    authority: bytes | None
    """HTTP/2's ``:authority``; None on HTTP/1 and where there is none."""
    fields: Fields
    length: int
    """The content's length in bytes, or one of the marks of ``core.framing``."""
    peer: Peer
    request_id: bytes
    """A fresh identifier, for the case that the client sends none that we trust."""
    memory: "Memory | None" = None
    """What is known of who sent the same fields before; a decision is the same without it."""


class Server(NamedTuple):
    """One address that requests can be sent to."""

    scheme: bytes
    """``b"http"`` or ``b"https"``."""
    host: str
    """An IP address (IPv6 without brackets) or a DNS name."""
    port: int

    @property
    def authority(self) -> bytes:
        """``host:port`` as in a Host field; IPv6 in brackets, the scheme's own port left out."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        own_port = 443 if self.scheme == b"https" else 80
        return (host if self.port == own_port else f"{host}:{self.port}").encode("ascii")

    @property
    def host_and_port(self) -> bytes:
        """``host:port`` with the port always there; IPv6 in brackets."""
        return _host_and_port(self.host, self.port)


@lru_cache(maxsize=4096)
def pod_server(host: str, port: int) -> Server:
    """A service of a pod's: they speak http."""
    return Server(b"http", host, port)


@lru_cache(maxsize=4096)
def _host_and_port(host: str, port: int) -> bytes:
    bracketed = f"[{host}]" if ":" in host else host
    return f"{bracketed}:{port}".encode("ascii")


class Origin(NamedTuple):
    """What the client calls us: the origin (RFC 6454) that it sent its request to."""

    scheme: bytes
    authority: bytes


class Forward(NamedTuple):
    """Send the request on to an upstream."""

    location: "Location"
    upstream: str
    """The upstream's name; ``pod`` for a server that a token names."""
    server: Server
    method: bytes
    path: bytes
    """The request target to send, in origin-form, with the query."""
    host: bytes
    """The Host field to send."""
    fields: list[Field]
    """All other fields to send, but for the framing (Content-Length, Transfer-Encoding)."""
    is_websocket: bool
    """Whether this is an opening handshake (RFC 6455 4.1)."""
    origin: Origin
    """What an answer's Location is mended to."""
    token_source: str | None
    """Where the credential was found; None on a location without a token."""
    expires: float | None
    """When the credential's token expires (NumericDate)."""
    request_id: bytes
    hsts: bytes = b""
    """The answer's Strict-Transport-Security (RFC 6797); empty to leave it to the upstream."""
    is_token_cached: bool = False
    """Whether the token was known already: nothing of it has been verified for this request."""


class Respond(NamedTuple):
    """Answer here; nothing is sent upstream."""

    location: "Location | None"
    status: int
    fields: list[Field]
    """All fields but the framing's."""
    body: bytes
    error: "RouteError | None"
    """Why the request was refused; None for an answer of our own such as ``/healthz``."""
    request_id: bytes
    token_source: str | None = None
    """Where the credential was found that was refused."""


class ServeFile(NamedTuple):
    """Answer with a file's content, or 404 when there is none."""

    location: "Location"
    path: str
    """The file's path."""
    missing: Respond
    """What to answer when the file is not there."""
    request_id: bytes
    fields: Fields = ()
    """Fields of the answer besides those that every answer has."""


class Verify(NamedTuple):
    """The token is not in the cache: run ``Router.verify`` and decide again with its verdict."""

    location: "Location"
    token: bytes
    request_id: bytes
    client: str = ""
    """The client's address: who sends many tokens waits for those of others."""


type Decision = Forward | Respond | ServeFile | Verify
