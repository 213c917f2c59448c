"""Field lines: which go on to an upstream, which are noted for a decision, which are dropped.

One pass over a request's fields; what a name means is remembered by its spelling.
"""

import re
from collections.abc import Callable
from typing import Final, NamedTuple

from route_addon.core.errors import BadField
from route_addon.core.messages import Field, Fields

HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
"""Fields of one connection, not of the message (RFC 9110 7.6.1); we send no trailers either."""

SET_BY_US = frozenset(
    {
        b"host",
        b"x-real-ip",
        b"x-forwarded-for",
        b"x-forwarded-proto",
        b"x-forwarded-host",
        b"x-forwarded-port",
        b"x-request-id",
    }
)
"""Fields that upstreams get from us; the client's own are noted."""

_FRAMING = frozenset({b"content-length", b"expect"})
"""What else a carrier writes anew, or answers itself."""

_NOTED_AND_SENT = frozenset(
    {b"abcauthorization", b"authorization", b"cookie", b"origin", b"referer", b"forwarded"}
)
_DROPPED = HOP_BY_HOP | SET_BY_US | _FRAMING
_PROTECTED = frozenset({b"abcauthorization", b"cookie"}) | SET_BY_US
"""Fields that a Connection field cannot take away."""

_HARMLESS_CONNECTIONS = frozenset(
    {b"keep-alive", b"close", b"upgrade", b"keep-alive, upgrade", b"upgrade, keep-alive"}
)
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")

type Noted = dict[bytes, list[bytes]]
"""The values of the noted fields, by name in lower case."""


class Fate(NamedTuple):
    """What becomes of a field that is not simply sent."""

    noted_as: bytes
    """The name in lower case under which its value is noted; empty when nobody asks."""
    is_sent: bool


_MAX_REMEMBERED: Final = 1024
_MAX_REMEMBERED_BYTES: Final = 64


class Spellings[T](dict[bytes, T]):
    """What is to be known of fields, remembered by the spelling of their names: there are few.

    Args:
        find: Says it of a name in any case; or of whatever else is spelled in few ways.
        max_bytes: What is longer is not remembered.
    """

    def __init__(self, find: Callable[[bytes], T], max_bytes: int = _MAX_REMEMBERED_BYTES) -> None:
        super().__init__()
        self._find = find
        self._max_bytes = max_bytes

    def __missing__(self, name: bytes) -> T:
        known = self._find(name)
        if len(name) <= self._max_bytes:
            if len(self) >= _MAX_REMEMBERED:
                self.clear()
            self[name] = known
        return known


def find_fate(name: bytes) -> Fate | None:
    """What becomes of a request field with this name, in any case; None when it is sent.

    A name with anything but letters, digits and ``-`` is dropped: a server that folds names
    as CGI does would take ``X_Forwarded_For`` for another field.
    """
    lower = name.lower()
    if lower in _DROPPED:
        return Fate(lower, is_sent=False)
    if lower in _NOTED_AND_SENT:
        return Fate(lower, is_sent=True)
    return None if name.replace(b"-", b"").isalnum() else Fate(b"", is_sent=False)


_fates = Spellings(find_fate)


def sort_request(fields: Fields) -> tuple[list[Field], Noted]:
    """Part a request's fields.

    Returns:
        The fields to send upstream, in order, and the values of those noted.
    """
    sent: list[Field] = []
    noted: Noted = {}
    for field in fields:
        known = _fates[field[0]]
        if known is None:
            sent.append(field)
            continue
        noted_as, is_sent = known
        if is_sent:
            sent.append(field)
        if noted_as in noted:
            noted[noted_as].append(field[1])
        else:
            noted[noted_as] = [field[1]]
    connection = noted.get(b"connection")
    if connection is not None and not is_harmless(connection):
        named = connection_options(connection) - _PROTECTED
        sent = [field for field in sent if field[0].lower() not in named]
    return sent, noted


def field_values(fields: Fields, name: bytes) -> list[bytes]:
    """The values of all field lines with a name.

    Args:
        fields: The fields.
        name: The name, in lower case.
    """
    return [value for field_name, value in fields if field_name.lower() == name]


def is_harmless(connection: list[bytes]) -> bool:
    """Whether Connection lines are ones that name no field: nearly all are."""
    return len(connection) == 1 and connection[0].lower() in _HARMLESS_CONNECTIONS


def connection_options(values: list[bytes]) -> set[bytes]:
    """The options of all Connection lines (RFC 9110 7.6.1), in lower case."""
    return {option.strip().lower() for value in values for option in value.split(b",")} - {b""}


def check_values(fields: Fields) -> None:
    """Check that no field value holds control bytes but HTAB (RFC 9110 5.5).

    For whoever makes a ``RequestHead`` from fields that no strict reader has read.

    Raises:
        BadField: One does.
    """
    if _CONTROL.search(b"".join([value for _, value in fields])) is not None:
        raise BadField("control byte in a field value")
