"""Who sends a request: what its fields and its connection come to, whatever it asks for.

The requests of one client differ in their targets, and seldom in their fields. So what the fields
come to is kept in a ``Memory``, and counts again for as long as everything that it depends on is
the same.
"""

import re
from collections.abc import Callable, Sequence

from route_addon.core.authority import Authority, parse_authority, same_authority
from route_addon.core.credentials import Credential, cut_referer, holds_token, remove_cookie
from route_addon.core.errors import BadHost
from route_addon.core.fields import Noted, sort_request
from route_addon.core.forwarded import NOTHING_SAID, Forwarded, ForwardedFields, TrustedProxies
from route_addon.core.locations import Location
from route_addon.core.messages import HTTP_2, HTTP_11, Field, Fields, Peer, RequestHead

_REQUEST_ID = re.compile(rb"[A-Za-z0-9_.-]{1,128}")
_SAID = (b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"x-forwarded-port")
"""The fields of ``ForwardedFields``, in its order."""
_SAID_SET = frozenset(_SAID)
_NONE: tuple[bytes, ...] = ()

type Said = tuple[tuple[bytes, ...], bytes]
"""The X-Forwarded-For lines, and what is shown of the others."""


class Sender:
    """What is known of who sends a request.

    Args:
        head: The request's head; of its first line nothing counts but the version.
        proxies: Whose word counts.
        cookie: The name of the cookie that may hold a token.
        named: The authority that the request target names, if it does.

    Raises:
        BadHost: The request does not name one authority.
    """

    __slots__ = (
        "_cookie",
        "_lines",
        "_location",
        "_sent",
        "_version",
        "authority",
        "credential",
        "fields",
        "forwarded",
        "noted",
        "request_id",
    )

    def __init__(
        self,
        head: RequestHead,
        proxies: TrustedProxies,
        cookie: bytes,
        named: bytes | None = None,
    ) -> None:
        self.fields, self.noted = sort_request(head.fields)
        """The client's own fields that may go upstream, and the values of those noted."""
        self.authority = _find_authority(head, named, self.noted)
        """What the client calls us; None where it did not say (HTTP/1.0)."""
        self.forwarded = _find_forwarded(head.peer, self.authority, self.noted, proxies)
        self.request_id = trusted_id(self.noted.get(b"x-request-id", _NONE), head.peer, proxies)
        """The request's identifier, when a trusted proxy gave it one."""
        self._version = head.version
        self._cookie = cookie
        self._location: Location | None = None
        self._sent: list[Field] = []
        self._lines = b"", b""
        self.credential: Credential | None = None
        """The credential that was found at the last location, where fields alone hold it."""

    def visit(self, location: Location) -> None:
        """Come to a location: what was found at another does not count."""
        if self._location is not location:
            self._sent = self._mend(location)
            behind = b"".join([b"\r\n%b: %b" % field for field in self._sent])
            self._lines = b"\r\n".join(map(b": ".join, self.forwarded.fields)), behind
            self._location = location
            self.credential = None

    @property
    def sent(self) -> list[Field]:
        """The client's fields as they go upstream from the location that it came to."""
        return self._sent

    def send(self, request_id: bytes) -> "SentFields":
        """All that goes upstream of one request, but for what makes it a handshake.

        Args:
            request_id: The identifier to send along.
        """
        before, behind = self._lines
        fields = SentFields((*self.forwarded.fields, (b"X-Request-ID", request_id), *self._sent))
        fields.lines = b"%b\r\nX-Request-ID: %b%b" % (before, request_id, behind)
        return fields

    def _mend(self, location: Location) -> list[Field]:
        """The client's fields, but for the few that must not go as they came."""
        noted, fields = self.noted, self.fields
        if any(map(holds_token, noted.get(b"referer", _NONE))):
            fields = _replace(fields, b"referer", cut_referer)
        if b"forwarded" in noted and not self.forwarded.is_peer_trusted:
            fields = _replace(fields, b"forwarded", lambda value: None)
        if b"cookie" in noted:
            if "path" in location.token:
                # The pod's port may be anybody's there: it gets no token that it was not sent.
                fields = _replace(fields, b"cookie", lambda line: remove_cookie(line, self._cookie))
            if self._version == HTTP_2:
                fields = _join_cookies(fields)
        return fields


class SentFields(list[Field]):
    """The fields of one request as they go upstream; nobody changes them in their place."""

    __slots__ = ("lines",)

    lines: bytes
    """They all as they are written, joined by CRLF."""


class Memory:
    """The sender of the last request with some fields."""

    __slots__ = ("_basis", "_fields", "_sender")

    def __init__(self) -> None:
        self._basis: tuple[object, ...] = ()
        self._fields: Fields = ()
        self._sender: Sender | None = None

    def find(self, head: RequestHead, proxies: TrustedProxies, cookie: bytes) -> Sender:
        """The sender of a request whose target names no authority.

        Raises:
            BadHost: The request does not name one authority.
        """
        sender, fields = self._sender, head.fields
        basis = (proxies, cookie, head.peer, head.version, head.authority)
        if sender is None or fields != self._fields or basis != self._basis:
            sender = Sender(head, proxies, cookie)
            # A copy: fields that hold this memory would go only when cycles are looked for.
            self._sender, self._fields, self._basis = sender, fields[:], basis
        return sender


class RequestFields(list[Field]):
    """A request's fields, and their memory: for a carrier that passes the same list again.

    Args:
        fields: The fields.
    """

    __slots__ = ("memory", "said")

    def __init__(self, fields: Fields = ()) -> None:
        super().__init__(fields)
        self.memory = Memory()
        self.said: Said | None = None
        """Kept by whoever writes requests down: what it writes of these fields."""


def trusted_id(said: Sequence[bytes], peer: Peer, proxies: TrustedProxies) -> bytes | None:
    """The request's identifier, when it is a trusted proxy's and harmless; else None.

    Args:
        said: The values of all X-Request-ID lines.
        peer: The other end of the connection.
        proxies: Whose word counts.
    """
    if (
        len(said) == 1
        and _REQUEST_ID.fullmatch(said[0]) is not None
        and proxies.trusts(peer.address)
    ):
        return said[0]
    return None


def _find_authority(head: RequestHead, named: bytes | None, noted: Noted) -> Authority | None:
    """The one authority that the request names (RFC 9112 3.2, RFC 9113 8.3.1).

    Returns:
        None for HTTP/1.0 without a Host.

    Raises:
        BadHost: None, several, a malformed one, or two that differ.
    """
    texts = list(noted.get(b"host", _NONE))
    if len(texts) > 1:
        raise BadHost("Host repeated")
    if not texts and head.version == HTTP_11:
        raise BadHost("no Host")
    texts += [text for text in (head.authority, named) if text is not None]
    if not texts:
        if head.version == HTTP_2:
            raise BadHost("no authority")
        return None
    parsed = [parse_authority(text) for text in texts]
    first = parsed[0]
    for authority in parsed:
        if authority is None or first is None:
            raise BadHost("malformed")
        if authority is not first and not same_authority(head.peer.scheme, first, authority):
            raise BadHost("two authorities that differ")
    return first


def _find_forwarded(
    peer: Peer, authority: Authority | None, noted: Noted, proxies: TrustedProxies
) -> Forwarded:
    said = NOTHING_SAID
    if not _SAID_SET.isdisjoint(noted):
        said = ForwardedFields(*(tuple(noted.get(name, _NONE)) for name in _SAID))
    return proxies.resolve(peer, authority.text if authority is not None else b"", said)


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
