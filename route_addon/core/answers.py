"""What an upstream's answer may carry to the client. Both carriers use it."""

import re
from collections.abc import Iterator, Sequence
from typing import overload

from route_addon.core.authority import parse_authority, same_authority
from route_addon.core.error_pages import SECURITY_FIELDS
from route_addon.core.fields import HOP_BY_HOP, Fate, Spellings, connection_options, is_harmless
from route_addon.core.messages import Field, Fields, Forward

_DROPPED = HOP_BY_HOP | {b"server", b"x-powered-by", b"content-length"}
_SECURITY_LINES = b"".join(b"\r\n%b: %b" % field for field in SECURITY_FIELDS)
_SECURITY = {name.lower(): (name, value) for name, value in SECURITY_FIELDS}
_HSTS = b"strict-transport-security"
_FRAMING = frozenset({b"connection", b"content-length", b"transfer-encoding"})
"""Noted for whoever reads the answer."""
_NOTED_AND_SENT = frozenset({b"location", b"refresh", _HSTS, *_SECURITY})

_URL = re.compile(rb"(?:(https?):)?//([^/?#]*)(.*)", re.IGNORECASE | re.DOTALL)
_REFRESH = re.compile(rb"([^;]*;\s*url\s*=\s*[\"']?)(.*)", re.IGNORECASE | re.DOTALL)

_NOT_NAMED = frozenset({b"close", b"keep-alive", b"upgrade", *_SECURITY})
"""Options that name no field, or one that a Connection field cannot take away."""

SWITCHING_PROTOCOLS = 101
BODILESS_STATUS = frozenset({204, 304})
"""Statuses of answers that have no content, whatever they say (RFC 9110 6.4.1)."""


def find_fate(name: bytes) -> Fate | None:
    """What becomes of an answer's field with this name, in any case; None when it is sent."""
    lower = name.lower()
    if lower in _DROPPED or lower.startswith(b"x-accel-"):
        return Fate(lower if lower in _FRAMING else b"", is_sent=False)
    return Fate(lower, is_sent=True) if lower in _NOTED_AND_SENT else None


_fates = Spellings(find_fate)


def plain_line(name: bytes, value: bytes) -> bytes | None:
    """How a field is sent whatever else the answer says, if that is certain.

    Returns:
        Its line without CRLF; nothing when it is dropped; None when more counts than the field.
    """
    fate = _fates[name]
    if fate is None:
        return b"%b: %b" % (name, value)
    if fate.is_sent or (fate.noted_as == b"connection" and not is_harmless([value])):
        return None
    return b""


class PlainFields(Sequence[Field]):
    """The fields of an answer that leaves, where all lines are plain ones: as ``answer_fields``.

    Args:
        fields: The upstream's fields.
        lines: Their plain lines, joined by CRLF.
        hsts: As in the decision that the request was sent by.
    """

    __slots__ = ("_fields", "_hsts", "_plain", "_sent", "lines", "written")

    def __init__(self, fields: Fields, lines: bytes, hsts: bytes = b"") -> None:
        self._fields = fields
        self._plain = lines
        self._hsts = hsts
        self._sent: list[Field] | None = None
        self.lines = lines + (_SECURITY_LINES if lines else _SECURITY_LINES[2:])
        """They all as they are written, joined by CRLF."""
        if hsts:
            self.lines += b"\r\nStrict-Transport-Security: " + hsts
        self.written: tuple[tuple[object, ...], bytes] | None = None
        """Kept by whoever writes them: the last head, and what else it says."""

    def secure(self, hsts: bytes) -> "PlainFields":
        """The same with our own word on https."""
        return PlainFields(self._fields, self._plain, hsts)

    @overload
    def __getitem__(self, index: int) -> Field: ...
    @overload
    def __getitem__(self, index: slice) -> list[Field]: ...
    def __getitem__(self, index: int | slice) -> Field | list[Field]:
        return self._list()[index]

    def __len__(self) -> int:
        return len(self._list())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PlainFields) and self.lines == other.lines

    def __iter__(self) -> Iterator[Field]:
        return iter(self._list())

    def _list(self) -> list[Field]:
        if self._sent is None:
            self._sent = [field for field in self._fields if _fates[field[0]] is None]
            self._sent += _SECURITY.values()
            if self._hsts:
                self._sent.append((b"Strict-Transport-Security", self._hsts))
        return self._sent


def answer_fields(status: int, fields: Fields, forward: Forward) -> list[Field]:
    """The fields of the answer that leaves.

    Args:
        status: The upstream's status.
        fields: The upstream's fields.
        forward: The decision that the request was sent by.

    Returns:
        All fields but the framing's (Content-Length, Transfer-Encoding), which are the carrier's:
        connection fields and what tells of the upstream's software leave, the security fields
        are added where missing, Location and Refresh that name the upstream are mended. Our own
        Strict-Transport-Security, where there is one, takes the place of the upstream's: it
        speaks for the whole host, and a pod must not take it back.
    """
    sent: list[Field] = []
    missing = dict(_SECURITY)
    connection: list[bytes] = []
    for field in fields:
        known = _fates[field[0]]
        if known is None:
            sent.append(field)
        elif known.noted_as == _HSTS:
            if not forward.hsts:
                sent.append(field)
        elif known.is_sent:
            if missing.pop(known.noted_as, None) is None:
                field = (field[0], mend(known.noted_as, field[1], forward))
            sent.append(field)
        elif known.noted_as == b"connection":
            connection.append(field[1])
    if connection and not is_harmless(connection):
        named = connection_options(connection) - _NOT_NAMED
        if named:
            sent = [field for field in sent if field[0].lower() not in named]
    sent.extend(missing.values())
    if forward.hsts:
        sent.append((b"Strict-Transport-Security", forward.hsts))
    if status == SWITCHING_PROTOCOLS:
        sent += ((b"Connection", b"Upgrade"), (b"Upgrade", b"websocket"))
    return sent


def mend(name: bytes, value: bytes, forward: Forward) -> bytes:
    """Mend a Location or a Refresh (nginx's ``proxy_redirect``).

    A URL of the upstream's own gets the client's scheme and authority, and the prefix that the
    location took away. Any other stays as it is.
    """
    if name == b"refresh":
        match = _REFRESH.fullmatch(value)
        return match[1] + _mend_url(match[2], forward) if match is not None else value
    return _mend_url(value, forward)


def _mend_url(url: bytes, forward: Forward) -> bytes:
    match = _URL.fullmatch(url)
    if match is None:
        return url
    server = forward.server
    scheme = (match[1] or server.scheme).lower()
    authority = parse_authority(match[2])
    own = parse_authority(server.host_and_port)
    if authority is None or own is None or not same_authority(scheme, authority, own):
        return url
    path = match[3] if match[3].startswith(b"/") else b"/" + match[3]
    if forward.location.path == "prefix replaced":
        path = forward.location.location.rstrip("/").encode("ascii") + path
    if not forward.origin.authority:
        return path
    return b"%s://%s%s" % (forward.origin.scheme, forward.origin.authority, path)
