"""Between an exchange and the flow that shows it: what is built, and what is read back.

A flow shows the request as the client sent it, with placeholders for secrets, and the answer as
it leaves. It is read back only where somebody changed it, and then as strictly as a head from a
wire: what an addon puts into a field must not become two.
"""

import re
from http import HTTPStatus
from typing import Any, Final, NamedTuple

from mitmproxy import connection, http
from mitmproxy.connection import ConnectionState
from mitmproxy.net.http import url

from route_addon.carry.masks.mask import Masked
from route_addon.carry.upstreams.connection import UpstreamConnection
from route_addon.carry.watched.flow_messages import make_request, make_response
from route_addon.core.answers import BODILESS_STATUS
from route_addon.core.authority import parse_authority
from route_addon.core.errors import BadField, BadTarget, InternalError
from route_addon.core.fields import HOP_BY_HOP, check_values, field_values
from route_addon.core.messages import (
    HTTP_2,
    Decision,
    Field,
    Fields,
    Forward,
    RequestHead,
    Respond,
    Server,
)
from route_addon.core.recorded import Recorded

_ABSOLUTE: Final = re.compile(rb"(?i)(https?)://([^/?#]*)(.*)", re.DOTALL)
_TOKEN: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_UNSENDABLE: Final = re.compile(rb"[\x00-\x20\x7f]")
_FRAMING: Final = HOP_BY_HOP | {b"content-length"}
"""What the carrier writes anew: an edit of it is not taken."""


class RequestState(NamedTuple):
    """All of a flow's request head that counts when somebody changes it."""

    method: bytes
    authority: bytes
    path: bytes
    fields: tuple[Field, ...]

    @property
    def named(self) -> bytes:
        """What the client calls us, with its port if it says one."""
        return self.authority or next(iter(field_values(self.fields, b"host")), b"")


class ShownRequest(NamedTuple):
    """A flow's request head as it was shown, before anybody could change it."""

    state: RequestState
    host: str
    port: int


class AnswerState(NamedTuple):
    """All of a flow's answer that counts when somebody changes it."""

    status: int
    reason: bytes
    fields: tuple[Field, ...]
    content: bytes


class ShownHead(NamedTuple):
    """An answer's head as a flow showed it before anybody could change it."""

    status: int
    reason: bytes
    fields: tuple[Field, ...]


class AnswerHead(NamedTuple):
    """The head of an answer, as the client's side is told it."""

    status: int
    reason: bytes | None
    fields: Fields
    length: int | None


def build_request(head: RequestHead, masked: Masked, now: float) -> http.Request:
    """The request of a flow, as the client sent it.

    Args:
        head: The request's head.
        masked: Hides the secrets.
        now: When it arrived, in seconds since the epoch.
    """
    target = masked.hide_target(head.target)
    absolute = _ABSOLUTE.fullmatch(target)
    scheme, authority, path = absolute.groups() if absolute else (head.peer.scheme, b"", target)
    fields = masked.hide_fields(head.fields)
    named = parse_authority(_named_authority(head) or authority)
    return make_request(
        host=named.host.decode("ascii") if named is not None else "",
        port=(named.port if named is not None else None) or head.peer.port,
        method=masked.hide_name(head.method),
        scheme=scheme,
        authority=masked.hide_authority(head.authority or authority),
        path=path,
        http_version=b"HTTP/2.0" if head.version == HTTP_2 else head.version,
        headers=http.Headers(fields),
        content=b"" if head.length == 0 else None,
        trailers=None,
        timestamp_start=now,
        timestamp_end=now if head.length == 0 else None,
    )


def _named_authority(head: RequestHead) -> bytes:
    if head.authority is not None:
        return head.authority
    return next(iter(field_values(head.fields, b"host")), b"")


def request_state(request: http.Request) -> RequestState:
    """What a flow's request says now."""
    data = request.data
    return RequestState(data.method, data.authority, data.path, data.headers.fields)


def show_request(request: http.Request) -> ShownRequest:
    """What a flow's request says now, with its destination."""
    return ShownRequest(request_state(request), request.data.host, request.data.port)


def restore_host(request: http.Request, shown: ShownRequest) -> None:
    """Take back what editing a URL has done to the name by which the client calls us.

    User interfaces show a URL of that name and of the port where the request went; whoever edits
    another part of it has both written into Host, and into the destination.

    Args:
        request: The flow's.
        shown: What it said before.
    """
    data, named = request.data, shown.state.named
    own = parse_authority(named)
    if own is None or own.host != data.host.lower().encode("utf-8", "replace"):
        return
    written = url.hostport(request.scheme, data.host, data.port)
    if data.port == shown.port:
        if request.headers.get("Host") == written:
            request.headers["Host"] = named.decode("latin-1")
        if data.authority == written.encode():
            data.authority = shown.state.authority
    data.host, data.port = shown.host, shown.port


def read_request(
    request: http.Request, sent: RequestHead, masked: Masked, length: int
) -> RequestHead:
    """The head that a flow says now, with the secrets in their places.

    The version is the client's and not to be changed. Neither is HEAD to any other method, or
    the other way round: the client waits for an answer with content, or for one without.

    Args:
        request: The flow's.
        sent: The head as the client sent it.
        masked: What was hidden of it.
        length: The length of the content that goes with it.

    Raises:
        BadField: A field that cannot be sent.
        BadTarget: A target that cannot be.
    """
    data = request.data
    fields = masked.reveal_fields(data.headers.fields)
    check_fields(fields)
    path, method = masked.reveal_text(data.path), masked.reveal_text(data.method)
    authority = masked.reveal_text(data.authority)
    if _UNSENDABLE.search(path + authority) is not None:
        raise BadTarget("edited")
    is_http2 = sent.version == HTTP_2
    is_absolute = authority and not is_http2
    changes_head = (method == b"HEAD") != (sent.method == b"HEAD")
    return sent._replace(
        method=sent.method if changes_head else method,
        target=b"%b://%b%b" % (data.scheme, authority, path) if is_absolute else path,
        authority=(authority or None) if is_http2 else None,
        fields=fields,
        length=length,
    )


def hide_request(request: http.Request, masked: Masked) -> None:
    """Hide what somebody has written into a flow's request: a token of their own, say."""
    data = request.data
    data.method = masked.hide_name(data.method)
    data.authority = masked.hide_authority(data.authority)
    data.path = masked.hide_target(data.path)
    data.headers = http.Headers(masked.hide_fields(data.headers.fields))


def hide_answer(response: http.Response, masked: Masked) -> None:
    """Hide what an answer of ours says of its request: a redirect names its target."""
    response.headers = http.Headers(masked.hide_fields(response.data.headers.fields))


def check_fields(fields: Fields) -> None:
    """Check fields that an addon or a person may have made.

    Raises:
        BadField: A name that is no token, or a control byte in a value.
    """
    if any(_TOKEN.fullmatch(name) is None for name, _ in fields):
        raise BadField("a name that is no token")
    check_values(fields)


def build_answer(head: AnswerHead, masked: Masked, now: float) -> http.Response:
    """The answer of a flow, as it leaves.

    Args:
        head: The answer's head.
        masked: Hides the secrets.
        now: When it arrived, in seconds since the epoch.
    """
    fields = masked.hide_fields(head.fields)
    if head.length is not None:
        is_known = head.length >= 0
        fields.append(
            (b"Content-Length", b"%d" % head.length)
            if is_known
            else (b"Transfer-Encoding", b"chunked")
        )
    reason = head.reason if head.reason is not None else default_reason(head.status)
    return make_response(
        http_version=b"HTTP/1.1",
        status_code=head.status,
        reason=masked.hide_name(reason),
        headers=http.Headers(fields),
        content=None,
        trailers=None,
        timestamp_start=now,
        timestamp_end=None,
    )


def record_decision(decision: Decision, masked: Masked) -> dict[str, Any]:
    """A decision for a flow's metadata, with placeholders for secrets (``core.recorded``)."""
    if isinstance(decision, Forward):
        path, fields = masked.hide_target(decision.path), masked.hide_fields(decision.fields)
        decision = decision._replace(path=path, fields=fields)
    elif isinstance(decision, Respond):
        decision = decision._replace(fields=masked.hide_fields(decision.fields))
    return Recorded.of(decision).to_plain()


def default_reason(status: int) -> bytes:
    """The usual reason phrase of a status."""
    try:
        return HTTPStatus(status).phrase.encode("ascii")
    except ValueError:
        return b""


def shown_head(response: http.Response) -> ShownHead:
    """What a flow's answer says now, but for its content."""
    data = response.data
    return ShownHead(data.status_code, data.reason, data.headers.fields)


def read_answer(
    response: http.Response, sent: AnswerHead, shown: ShownHead, masked: Masked
) -> AnswerHead:
    """The head of an answer as a flow says it now, with the secrets in their places.

    A status that comes with content cannot be changed to one that has none: the content follows.

    Args:
        response: The flow's, as it is now.
        sent: The head before anybody could change it.
        shown: What the flow said then.
        masked: What was hidden of it.

    Raises:
        InternalError: A field that cannot be sent.
    """
    status, length = response.status_code, sent.length
    if not 200 <= status <= 599 or (status in BODILESS_STATUS) > (sent.status in BODILESS_STATUS):
        status = response.status_code = sent.status
    elif (status in BODILESS_STATUS) < (sent.status in BODILESS_STATUS):
        length = 0
    elif status == 204:
        length = None
    reason = sent.reason
    if (status, response.data.reason) != (shown.status, shown.reason):
        reason = None if response.data.reason == shown.reason else _reason(response, masked)
    fields = sent.fields
    if response.data.headers.fields != shown.fields:
        fields = read_fields(response, masked)
    return AnswerHead(status, reason, fields, length)


def read_fields(response: http.Response, masked: Masked) -> list[Field]:
    """The fields of an answer as a flow says them now, without the framing.

    Raises:
        InternalError: One that cannot be sent.
    """
    fields = [
        field
        for field in masked.reveal_fields(response.data.headers.fields)
        if field[0].lower() not in _FRAMING
    ]
    try:
        check_fields(fields)
    except BadField as error:
        raise InternalError(f"an edited answer: {error.detail}") from None
    return fields


def _reason(response: http.Response, masked: Masked) -> bytes:
    reason = masked.reveal_text(response.data.reason)
    if _UNSENDABLE.search(reason.replace(b" ", b"")) is not None:
        raise InternalError("an edited answer: its reason phrase")
    return reason


def answer_state(response: http.Response) -> AnswerState:
    """What a flow's answer says now."""
    data = response.data
    fields = tuple(field for field in data.headers.fields if field[0].lower() not in _FRAMING)
    return AnswerState(data.status_code, data.reason, fields, data.content or b"")


def read_own_answer(response: http.Response, ours: Respond, masked: Masked) -> Respond:
    """An answer that is made here, as a flow says it now.

    Args:
        response: The flow's.
        ours: What it was before somebody changed it.
        masked: What was hidden.

    Raises:
        InternalError: It cannot be sent.
    """
    status = response.status_code
    if not 200 <= status <= 599:
        raise InternalError("an edited answer: its status")
    body = response.data.content or b""
    return ours._replace(
        status=status,
        fields=read_fields(response, masked),
        body=b"" if status in BODILESS_STATUS else body,
    )


def show_destination(flow: http.HTTPFlow, server: Server) -> None:
    """Let a flow say where it goes."""
    data = flow.request.data
    data.host, data.port = server.host, server.port
    if not data.authority:
        data.scheme = server.scheme
    if flow.server_conn.timestamp_start is None:
        # No connection has been made to another.
        flow.server_conn.address = (server.host, server.port)
    else:
        flow.server_conn = connection.Server(address=(server.host, server.port))


def show_connection(
    server: connection.Server, used: UpstreamConnection, asked_at: float | None
) -> None:
    """Let a flow say which connection it went over, and since when that one stands.

    Args:
        server: The flow's.
        used: The connection.
        asked_at: When it was asked for; None for one that rested.
    """
    # Past a look at whether an address is being changed, at each of them.
    transport, shown = used.transport, vars(server)
    shown["peername"] = _address(transport.get_extra_info("peername"))
    shown["sockname"] = _address(transport.get_extra_info("sockname"))
    shown["timestamp_start"] = used.opened_at if asked_at is None else asked_at
    shown["timestamp_tcp_setup"] = used.opened_at
    shown["state"] = ConnectionState.OPEN
    tls = transport.get_extra_info("ssl_object")
    if tls is not None:
        server.tls = True
        server.timestamp_tls_setup = used.opened_at
        server.tls_version = tls.version()
        server.sni = used.key.name


def _address(name: object) -> tuple[str, int] | None:
    return (name[0], name[1]) if isinstance(name, tuple) and len(name) >= 2 else None
