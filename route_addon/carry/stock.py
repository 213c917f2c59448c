"""The stock carrier: mitmproxy's own HTTP layers, steered through their hooks.

The decision is taken in ``requestheaders``: the flow's destination and head are rewritten there,
or it is answered. Bodies are streamed in both directions. What these layers cannot do is written
down in docs/stock.md.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from weakref import WeakKeyDictionary

from mitmproxy import ctx, http
from mitmproxy.connection import ConnectionState
from mitmproxy.flow import Error
from mitmproxy.proxy import layer
from mitmproxy.proxy.layers.http import HttpLayer, HTTPMode, _http1, _http2

from route_addon.carry.evidence import (
    MARK_CUT,
    MARK_UPSTREAM,
    ROUTE,
    UPSTREAM,
    amend_evidence,
    describe_answer,
    measure,
    write_evidence,
)
from route_addon.carry.flows import build_response, check_head, read_head
from route_addon.carry.guard import Guard
from route_addon.carry.listen.listener import listen_addresses
from route_addon.carry.request_id import make_request_id
from route_addon.carry.tls.certificates import Certificates
from route_addon.carry.tls.challenge import read_challenge
from route_addon.carry.tls.layer import HTTP1, HTTP1_AND_2, TLS_HANDSHAKE, put_under_tls
from route_addon.carry.upstreams.resolve import Resolver, check_pod_address, resolve_pod
from route_addon.core.answers import SWITCHING_PROTOCOLS, answer_fields
from route_addon.core.credentials import redact
from route_addon.core.errors import BadAnswer, BadGateway, LengthRequired, RouteError
from route_addon.core.fields import connection_options, field_values
from route_addon.core.framing import UNTIL_END
from route_addon.core.locations import POD
from route_addon.core.messages import (
    HTTP_2,
    HTTP_11,
    Decision,
    Field,
    Forward,
    RequestHead,
    Respond,
    ServeFile,
    Verify,
)
from route_addon.core.router import Router

logger = logging.getLogger(__name__)

_RSA_THREADS = 2
_BODILESS_METHODS = frozenset({b"GET", b"HEAD", b"OPTIONS", b"DELETE"})
_CLOSING = frozenset({400, 413, 414, 431, 500, 501, 505})
"""After these, where the next request on an HTTP/1 connection begins is not certain."""
_RESET = "reset by client"
"""What mitmproxy says of an HTTP/2 stream that its client has ended."""
_FRAMING = frozenset({b"content-length", b"transfer-encoding"})


class Stock:
    """Carries flows by mitmproxy's own layers.

    Args:
        guard: Told of every flow that has been decided.
        resolver: For the names of pods.
    """

    def __init__(self, guard: Guard, resolver: Resolver) -> None:
        self._guard = guard
        self._resolver = resolver
        self._executor = ThreadPoolExecutor(_RSA_THREADS, thread_name_prefix="verify")
        self._forwards: WeakKeyDictionary[http.HTTPFlow, Forward] = WeakKeyDictionary()
        hide_error_pages()

    async def send_request(self, flow: http.HTTPFlow, router: Router) -> None:
        """Decide a flow whose head is there, and rewrite or answer it."""
        now = time.time()
        head = read_head(flow, make_request_id())
        try:
            head = check_head(head)
            decision = await self._decide(router, head, now)
            if isinstance(decision, Forward):
                flow.request.stream = self._stream(head)
        except RouteError as error:
            decision = router.refuse(head, error)
        if isinstance(decision, ServeFile):
            decision = read_challenge(decision)
        write_evidence(flow, decision, now)
        if isinstance(decision, Forward):
            self._forward(flow, head, decision)
        elif isinstance(decision, Respond):
            self._answer(flow, head, decision)

    def send_answer(self, flow: http.HTTPFlow, router: Router) -> None:
        """Mend an upstream's answer whose head is there, and let its body stream."""
        forward = self._forwards.get(flow)
        if forward is None or flow.response is None:
            return
        response = flow.response
        if response.status_code == SWITCHING_PROTOCOLS and not forward.is_websocket:
            head = read_head(flow, forward.request_id)
            _refuse_answer(response, router.refuse(head, BadAnswer(), forward.location))
            return
        fields = response.headers.fields
        framing = [field for field in fields if field[0].lower() in _FRAMING]
        sent = answer_fields(response.status_code, fields, forward)
        response.headers = http.Headers([*sent, *framing])
        response.stream = response.status_code != SWITCHING_PROTOCOLS
        amend_evidence(flow, answered_by=UPSTREAM)

    def end(self, flow: http.HTTPFlow) -> None:
        """Note how long a flow took, and that its upstream failed, if so.

        mitmproxy answers for one that does, by a page of its own that no flow shows.
        """
        amend_evidence(flow, timings=measure(flow, time.time()))
        if flow.error is None or flow.response is not None or _has_left(flow):
            return
        is_connected = flow.server_conn.timestamp_tcp_setup is not None
        error = BadGateway("no whole answer came" if is_connected else "nobody is there")
        amend_evidence(
            flow, answered_by=ROUTE, status=error.status, slug=error.slug, detail=error.detail
        )
        if flow.marked == MARK_CUT:
            flow.marked = MARK_UPSTREAM
        logger.warning("%s", flow.comment)

    def close(self) -> None:
        """Let the threads go."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    async def _decide(self, router: Router, head: RequestHead, now: float) -> Decision:
        decision = router.decide(head, now)
        if isinstance(decision, Verify):
            loop = asyncio.get_running_loop()
            verdict = await loop.run_in_executor(self._executor, router.verify, decision.token, now)
            decision = router.decide(head, now, verdict)
        if isinstance(decision, Forward) and decision.upstream == POD:
            decision = await self._resolve(router, decision)
        return decision

    async def _resolve(self, router: Router, decision: Forward) -> Forward:
        """The decision with an address in the place of a name: what was checked is connected to."""
        host, port = decision.server.host, decision.server.port
        own_ports = frozenset(address[1] for address in listen_addresses())
        policy = router.rules.policy
        address = (await resolve_pod(self._resolver, policy, host))[0]
        check_pod_address(policy, host, address, port, own_ports)
        return decision._replace(server=decision.server._replace(host=str(address)))

    @staticmethod
    def _stream(head: RequestHead) -> bool | Callable[[bytes], bytes]:
        """How the body streams.

        mitmproxy would send HTTP/2 content without a Content-Length unframed: a second request.

        Raises:
            LengthRequired: The method has content, and its length is not said.
        """
        if head.length != UNTIL_END:
            return True
        if head.method not in _BODILESS_METHODS:
            raise LengthRequired
        return lambda content: b""

    def _forward(self, flow: http.HTTPFlow, head: RequestHead, decision: Forward) -> None:
        data = flow.request.data
        server = decision.server
        data.host, data.port = server.host, server.port
        data.scheme = server.scheme
        data.path = decision.path
        data.authority = b""
        data.headers = http.Headers(
            [(b"Host", decision.host), *decision.fields, *_connection_fields(head)]
        )
        self._forwards[flow] = decision
        self._guard.stamp_forward(flow, (server.host, server.port))

    def _answer(self, flow: http.HTTPFlow, head: RequestHead, decision: Respond) -> None:
        if decision.error is not None:
            logger.info("%s", describe_answer(decision))
        hide_tokens(flow)
        flow.request.stream = False
        flow.response = build_response(decision, head.method)
        if decision.status in _CLOSING and head.version != HTTP_2:
            flow.response.headers["Connection"] = "close"
        self._guard.stamp_answer(flow)


def choose_stock_layers(nextlayer: layer.NextLayer, certificates: Certificates | None) -> None:
    """Put mitmproxy's HTTP layer on top of TLS of ours; without TLS its own choice stands."""
    chosen = nextlayer.context
    data = nextlayer.data_client()
    # Other questions are asked within a connection, of what follows an upgrade.
    is_first = getattr(chosen.layers[0], "child_layer", None) is nextlayer
    if is_first and data and data[0] == TLS_HANDSHAKE:
        # mitmproxy's own choice, made before ours, has left its layers behind.
        del chosen.layers[1:]
        nextlayer.layer = put_under_tls(
            chosen,
            certificates,
            HTTP1_AND_2 if ctx.options.http2 else HTTP1,
            lambda context: HttpLayer(context, HTTPMode.transparent),
        )


def hide_tokens(flow: http.HTTPFlow) -> None:
    """Take tokens out of what a flow shows, when nothing of its request goes upstream."""
    data = flow.request.data
    data.path = redact(data.path)
    data.headers = http.Headers([(name, redact(value)) for name, value in data.headers.fields])


def _has_left(flow: http.HTTPFlow) -> bool:
    """Whether the client has gone, or somebody has killed the flow."""
    error, client = flow.error, flow.client_conn
    assert error is not None
    is_killed = error.msg == Error.KILLED_MESSAGE
    return is_killed or not client.state & ConnectionState.CAN_WRITE or _RESET in error.msg


def _refuse_answer(response: http.Response, answer: Respond) -> None:
    """Put an answer of our own in the place of an upstream's, without content.

    In place, because mitmproxy's side to the upstream looks at the same object: it would go on
    with a tunnel. Content could not be added any more.
    """
    response.status_code = answer.status
    response.reason = HTTPStatus(answer.status).phrase
    closing = [(b"Content-Length", b"0"), (b"Connection", b"close")]
    response.headers = http.Headers([*answer.fields, *closing])


def _connection_fields(head: RequestHead) -> list[Field]:
    """The framing as it came, and what mitmproxy's client side reads from the flow.

    That is a ``close``, and an ``Expect: 100-continue``, which it answers and takes out again.
    """
    fields = [field for field in head.fields if field[0].lower() in _FRAMING]
    if head.version == HTTP_11 and any(map(_expects_continue, head.fields)):
        fields.append((b"Expect", b"100-continue"))
    values = field_values(head.fields, b"connection")
    options = connection_options(values)
    if b"close" in options and b"upgrade" not in options:
        fields.append((b"Connection", b"close"))
    return fields


def _expects_continue(field: Field) -> bool:
    return field[0].lower() == b"expect" and field[1].lower() == b"100-continue"


def hide_error_pages() -> None:
    """Let mitmproxy's own error pages name no address, host or fault: no hook can reach them."""
    for module in (_http1, _http2):
        setattr(module, "format_error", _format_error)  # noqa: B010 (not exported, so mypy)


def _format_error(status_code: int, message: str) -> bytes:
    return f"{status_code} The request could not be carried.\n".encode()
