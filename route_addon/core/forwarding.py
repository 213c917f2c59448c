"""From a request whose location is known to what its upstream gets."""

from dataclasses import dataclass

from route_addon.core.credentials import Credential, remove_from_query
from route_addon.core.fields import connection_options
from route_addon.core.locations import POD, Captures, Location
from route_addon.core.messages import HTTP_11, Field, Forward, RequestHead, Server
from route_addon.core.path import Target
from route_addon.core.sender import Sender


@dataclass(slots=True)
class Located:
    """A request and its location."""

    head: RequestHead
    target: Target
    sender: Sender
    location: Location
    captures: Captures

    @property
    def is_websocket(self) -> bool:
        """Whether this is an opening handshake (RFC 6455 4.1) where one is let through."""
        noted = self.sender.noted
        return (
            b"upgrade" in noted
            and self.location.is_websocket
            and self.head.method == b"GET"
            and self.head.version == HTTP_11
            and self.head.length == 0
            and [value.lower() for value in noted[b"upgrade"]] == [b"websocket"]
            and b"upgrade" in connection_options(noted.get(b"connection", []))
        )


def _path_sent(request: Located) -> bytes:
    location, (sent, query, _) = request.location, request.target
    if location.path == "/":
        return b"/"
    if location.path != "as sent":
        sent = _mend_path(request)
    if query is not None and location.upstream == POD:
        query = remove_from_query(query, whole="query" in location.token)
    return sent if query is None else b"%s?%s" % (sent, query)


def _mend_path(request: Located) -> bytes:
    """The path, where the location says that it is not sent as it came."""
    location = request.location
    if location.path == "/{rest}":
        return b"/" + request.captures["rest"]
    if location.path == "prefix replaced":
        return b"/" + request.target.path[len(location.location) :].lstrip(b"/")
    return b"/"


def _host_sent(request: Located, server: Server) -> bytes:
    host = request.location.host
    if host == "target:port":
        return server.host_and_port
    if host == "client" and request.sender.authority is not None:
        return request.sender.authority.text
    return server.authority


def build_forward(
    request: Located,
    server: Server,
    request_id: bytes,
    credential: Credential | None = None,
    expires: float | None = None,
    is_token_cached: bool = False,
) -> Forward:
    """Build the request that goes upstream.

    Args:
        request: The client's request.
        server: Where it goes.
        request_id: The identifier to send along.
        credential: What opened the way, on a location with a token.
        expires: When that token expires, in seconds since the epoch.
        is_token_cached: Whether that token was known already.
    """
    location, sender = request.location, request.sender
    is_websocket = request.is_websocket
    fields: list[Field] = sender.send(request_id)
    if is_websocket:
        own = len(fields) - len(sender.sent)
        fields = [*fields[:own], (b"Connection", b"Upgrade"), (b"Upgrade", b"websocket")]
        fields += sender.sent
    return Forward(
        location,
        location.upstream,
        server,
        request.head.method,
        _path_sent(request),
        _host_sent(request, server),
        fields,
        is_websocket,
        sender.forwarded.origin,
        credential.source if credential is not None else None,
        expires,
        request_id,
        b"",
        is_token_cached,
    )


def with_server(forward: Forward, server: Server) -> Forward:
    """The same request for another server of its upstream."""
    host = forward.host
    if forward.location.host == "upstream":
        host = server.authority
    elif forward.location.host == "target:port":
        host = server.host_and_port
    return forward._replace(server=server, host=host)
