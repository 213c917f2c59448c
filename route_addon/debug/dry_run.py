"""A request as a person types it: a method, a URL, and fields."""

import re
import time
from collections.abc import Sequence
from typing import Final

from route_addon.carry.request_id import make_request_id
from route_addon.core.authority import DEFAULT_PORTS
from route_addon.core.messages import HTTP_11, Peer, RequestHead
from route_addon.debug.explaining import Case, examine

METHODS: Final = (
    *("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"),
    *("TRACE", "CONNECT", "PROPFIND"),
)
_URL: Final = re.compile(rb"(?:(https?)://([^/?#]*))?(.*)", re.IGNORECASE | re.DOTALL)
_HERE: Final = "127.0.0.1"
"""Where the request comes from: a proxy on this machine, so that it may say who the client is."""


def read_request(method: str, url: str, lines: Sequence[str]) -> Case:
    """A request that nobody has sent.

    Args:
        method: The method.
        url: A URL, or its path; the latter is asked of ``localhost``.
        lines: Its fields, as ``Name: value``.

    Raises:
        ValueError: A line without a colon.
    """
    match = _URL.fullmatch(url.encode("utf-8", "surrogateescape"))
    assert match is not None
    scheme, authority, path = (match[1] or b"http").lower(), match[2], match[3]
    fields = [_read_field(line) for line in lines]
    if all(name.lower() != b"host" for name, _ in fields):
        fields.insert(0, (b"Host", authority or b"localhost"))
    target = b"/" + path if path[:1] in (b"", b"?") else path
    peer = Peer(_HERE, scheme, DEFAULT_PORTS[scheme])
    head = RequestHead(
        *(method.encode("ascii", "replace"), target, HTTP_11, None, fields, 0),
        peer,
        make_request_id(),
    )
    return Case(*examine(head), time.time(), {})


def _read_field(line: str) -> tuple[bytes, bytes]:
    name, colon, value = line.encode("utf-8", "surrogateescape").partition(b":")
    if not colon:
        raise ValueError("a field is written as 'Name: value', in quotes")
    return name.strip(), value.strip()
