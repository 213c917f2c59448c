"""Host fields and other authorities (RFC 9110 4.2.3, RFC 3986 3.2)."""

import ipaddress
import re
from functools import lru_cache
from typing import NamedTuple

_AUTHORITY = re.compile(
    rb"(?:([A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*)\.?|\[([0-9A-Fa-f:.]+)\])(?::([0-9]{0,5}))?"
)
_MAX_BYTES = 300
"""A DNS name has 253 characters at most (RFC 1035 2.3.4), a port five."""

DEFAULT_PORTS = {b"http": 80, b"https": 443}


class Authority(NamedTuple):
    """A host and perhaps a port, normalised."""

    host: bytes
    """In lower case, without a trailing dot; IPv6 in brackets."""
    port: int | None
    """None when none was given."""
    text: bytes
    """``host`` or ``host:port``, as for a Host field."""


def parse_authority(text: bytes) -> Authority | None:
    """Parse ``host[:port]``.

    Stricter than RFC 3986: no user information, no escapes, and a registered name has only
    letters, digits, ``-``, ``_`` and single dots.

    Returns:
        The authority, or None when the text is not one.
    """
    return _parse_remembered(text) if len(text) <= _MAX_BYTES else None


def _parse(text: bytes) -> Authority | None:
    match = _AUTHORITY.fullmatch(text)
    if match is None:
        return None
    name, ipv6, port_text = match.groups()
    if ipv6 is not None:
        try:
            name = b"[%s]" % ipaddress.IPv6Address(ipv6.decode("ascii")).compressed.encode()
        except ValueError:
            return None
    port = int(port_text) if port_text else None
    if port is not None and not 0 < port <= 65535:
        return None
    host = name.lower()
    return Authority(host, port, host if port is None else b"%s:%d" % (host, port))


_parse_remembered = lru_cache(maxsize=1024)(_parse)


def same_authority(scheme: bytes, one: Authority, other: Authority) -> bool:
    """Whether both name one server under a scheme whose own port may be left out."""
    own_port = DEFAULT_PORTS[scheme]
    return one.host == other.host and (one.port or own_port) == (other.port or own_port)
