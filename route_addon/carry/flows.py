"""Between mitmproxy's flows and the core's values, in both directions."""

import functools
import ipaddress
import time
from http import HTTPStatus
from typing import Final

from mitmproxy import connection, http

from route_addon.carry.evidence import EVIDENCE
from route_addon.carry.watched.flow_messages import make_response
from route_addon.core.errors import RouteError, Unauthorized
from route_addon.core.fields import check_values, field_values
from route_addon.core.framing import request_length
from route_addon.core.locations import POD
from route_addon.core.messages import (
    HTTP_2,
    Peer,
    RequestHead,
    Respond,
)
from route_addon.core.router import Verdict
from route_addon.core.targetmap import Verified

_KNOWN_ADDRESSES: Final = 4096
"""Of clients that have come before."""


def read_peer(client: connection.Client) -> Peer:
    """Who is at the other end of a client connection."""
    return make_peer(client.peername, client.sockname, is_tls=client.tls_established)


def make_peer(
    peername: connection.Address | None, sockname: connection.Address | None, *, is_tls: bool
) -> Peer:
    """Who is at the other end.

    Args:
        peername: The client's address, as the system says it; None if it is gone.
        sockname: Ours.
        is_tls: Whether it speaks TLS.
    """
    # A flow that somebody has made up has come from an address of no letters.
    address = _write_address(peername[0]) if peername and peername[0] else "0.0.0.0"
    return Peer(address, b"https" if is_tls else b"http", sockname[1] if sockname else 0)


@functools.lru_cache(_KNOWN_ADDRESSES)
def _write_address(text: str) -> str:
    """An address in the one form that networks are compared in."""
    ip = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    return str(ip)


def read_head(flow: http.HTTPFlow, request_id: bytes) -> RequestHead:
    """The request head of a flow, as the client sent it.

    Its length is not checked yet: see ``check_head``.
    """
    data = flow.request.data
    # The version alone would not do: an HTTP/1 request line may say anything.
    is_http2 = data.http_version == b"HTTP/2.0" and flow.client_conn.alpn == b"h2"
    is_absolute = not is_http2 and data.authority
    target = b"%s://%s%s" % (data.scheme, data.authority, data.path) if is_absolute else data.path
    return RequestHead(
        data.method,
        target,
        HTTP_2 if is_http2 else data.http_version,
        data.authority or None if is_http2 else None,
        data.headers.fields,
        0,
        read_peer(flow.client_conn),
        request_id,
    )


def check_head(head: RequestHead) -> RequestHead:
    """The head with its length, once it is certain.

    Raises:
        RouteError: Control bytes in a value, or a length that is not certain.
    """
    check_values(head.fields)
    lengths = field_values(head.fields, b"content-length")
    codings = field_values(head.fields, b"transfer-encoding")
    return head._replace(length=request_length(head.version, lengths, codings))


def build_response(answer: Respond, method: bytes = b"GET") -> http.Response:
    """mitmproxy's form of an answer of our own."""
    now = time.time()
    length = (b"Content-Length", b"%d" % len(answer.body))
    return make_response(
        http_version=b"HTTP/1.1",
        status_code=answer.status,
        reason=HTTPStatus(answer.status).phrase.encode("ascii"),
        headers=http.Headers([*answer.fields, length]),
        content=b"" if method == b"HEAD" else answer.body,
        trailers=None,
        timestamp_start=now,
        timestamp_end=now,
    )


def read_verdict(flow: http.HTTPFlow) -> Verdict | None:
    """What became of the token when the flow was recorded; None when the flow does not say."""
    evidence = flow.metadata.get(EVIDENCE)
    if not isinstance(evidence, dict):
        return None
    if evidence.get("upstream") == POD:
        host, expires = evidence.get("host"), evidence.get("expires")
        if isinstance(host, str) and isinstance(expires, int | float):
            return Verdict(None, Verified(host, expires))
    refusal = _REFUSALS.get(str(evidence.get("slug")))
    return Verdict(None, refusal("as recorded")) if refusal is not None else None


def _refusals(base: type[RouteError]) -> dict[object, type[RouteError]]:
    found: dict[object, type[RouteError]] = {base.slug: base}
    for child in base.__subclasses__():
        found |= _refusals(child)
    return found


_REFUSALS = _refusals(Unauthorized)
