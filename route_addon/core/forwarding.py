"""From a request whose location is known to what its upstream gets."""

from collections.abc import Callable
from dataclasses import dataclass

from route_addon.core.authority import Authority
from route_addon.core.credentials import (
    Credential,
    cut_referer,
    holds_token,
    remove_cookie,
    remove_from_query,
)
from route_addon.core.fields import Noted, connection_options
from route_addon.core.forwarded import Forwarded
from route_addon.core.locations import POD, Captures, Location
from route_addon.core.messages import HTTP_2, HTTP_11, Field, Forward, RequestHead, Server
from route_addon.core.path import Target


@dataclass(slots=True)
class Located:
    """A request and its location."""

    head: RequestHead
    target: Target
    fields: list[Field]
    """The client's own fields that may go upstream."""
    noted: Noted
    authority: Authority | None
    location: Location
    captures: Captures
    cookie: bytes
    """The name of the cookie that may hold a token."""

    @property
    def is_websocket(self) -> bool:
        """Whether this is an opening handshake (RFC 6455 4.1) where one is let through."""
        noted = self.noted
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
    location, target = request.location, request.target
    sent, query = target.path, target.query
    if location.path == "/":
        return b"/"
    if location.path == "/, query kept":
        sent = b"/"
    elif location.path == "/{rest}":
        sent = b"/" + request.captures["rest"]
    elif location.path == "prefix replaced":
        sent = b"/" + sent[len(location.location) :].lstrip(b"/")
    if query is not None and location.upstream == POD:
        query = remove_from_query(query, whole="query" in location.token)
        return sent if query is None else b"%s?%s" % (sent, query)
    return sent if query is None else b"%s?%s" % (sent, query)


def _host_sent(request: Located, server: Server) -> bytes:
    host = request.location.host
    if host == "target:port":
        return server.host_and_port
    if host == "client" and request.authority is not None:
        return request.authority.text
    return server.authority


def build_forward(
    request: Located,
    forwarded: Forwarded,
    server: Server,
    request_id: bytes,
    credential: Credential | None = None,
    expires: float | None = None,
    is_token_cached: bool = False,
) -> Forward:
    """Build the request that goes upstream.

    Args:
        request: The client's request.
        forwarded: What is known of the client.
        server: Where it goes.
        request_id: The identifier to send along.
        credential: What opened the way, on a location with a token.
        expires: When that token expires, in seconds since the epoch.
        is_token_cached: Whether that token was known already.
    """
    location = request.location
    is_websocket = request.is_websocket
    fields: list[Field] = [*forwarded.fields, (b"X-Request-ID", request_id)]
    if is_websocket:
        fields += ((b"Connection", b"Upgrade"), (b"Upgrade", b"websocket"))
    fields += _mended(request, forwarded)
    return Forward(
        location,
        location.upstream,
        server,
        request.head.method,
        _path_sent(request),
        _host_sent(request, server),
        fields,
        is_websocket,
        forwarded.origin,
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


def _mended(request: Located, forwarded: Forwarded) -> list[Field]:
    """The client's fields, but for the few that must not go as they came."""
    noted, fields = request.noted, request.fields
    if any(map(holds_token, noted.get(b"referer", ()))):
        fields = _replace(fields, b"referer", cut_referer)
    if b"forwarded" in noted and not forwarded.is_peer_trusted:
        fields = _replace(fields, b"forwarded", lambda value: None)
    if b"cookie" in noted:
        if "path" in request.location.token:
            # The pod's port may be anybody's there: it gets no token that it was not sent.
            fields = _replace(fields, b"cookie", lambda line: remove_cookie(line, request.cookie))
        if request.head.version == HTTP_2:
            fields = _join_cookies(fields)
    return fields


def _replace(
    fields: list[Field], name: bytes, replace: Callable[[bytes], bytes | None]
) -> list[Field]:
    """Replace the values of one field; None drops the line."""
    replaced: list[Field] = []
    for field in fields:
        value = replace(field[1]) if field[0].lower() == name else field[1]
        if value is not None:
            replaced.append((field[0], value))
    return replaced


def _join_cookies(fields: list[Field]) -> list[Field]:
    """Put the crumbs of an HTTP/2 Cookie together again (RFC 9113 8.2.3)."""
    crumbs = [value for name, value in fields if name.lower() == b"cookie"]
    if len(crumbs) < 2:
        return fields
    others = [field for field in fields if field[0].lower() != b"cookie"]
    return [*others, (b"cookie", b"; ".join(crumbs))]
