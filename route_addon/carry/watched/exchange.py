"""An exchange that is watched: a true flow of mitmproxy's, with the usual hooks.

The exchange goes the way it goes when nobody watches. Where a hook stands on that way it waits
(``flow_exchange``). Then what the flow says counts: a request that was changed is decided again,
an answer that was changed is sent as it is now. What nobody changed goes on byte for byte as it
would have.

======================= ============================================================
hook                    when
======================= ============================================================
``requestheaders``      the head is there, and decided
``request``             the content is collected, where the location collects it; else before it
                        streams. Nothing has gone upstream
``responseheaders``     the answer's head is there; nothing of it has been sent
``response``            before an answer that is whole with its head, and before one of our own;
                        else at the end of the content, where a change comes too late
``error``               in the place of ``response``: cut, killed, or the client has gone
``websocket_*``         from a copy (``websocket``)
======================= ============================================================
"""

import asyncio
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from mitmproxy import ctx, http
from mitmproxy.hooks import UpdateHook
from mitmproxy.proxy.layers.http._hooks import (
    HttpRequestHeadersHook,
    HttpRequestHook,
    HttpResponseHeadersHook,
    HttpResponseHook,
)
from mitmproxy.proxy.layers.websocket import WebsocketStartHook
from mitmproxy.websocket import WebSocketData

from route_addon.carry.client_stream import ClientStream
from route_addon.carry.deadlines import Deadlines
from route_addon.carry.evidence import (
    ADDON,
    CACHE,
    UPSTREAM,
    amend_evidence,
    build_evidence,
    keep_evidence,
    name_server,
)
from route_addon.carry.flows import build_response
from route_addon.carry.request_content import RequestContent
from route_addon.carry.tls.challenge import read_challenge
from route_addon.carry.tunnel import Tunnel
from route_addon.carry.upstreams.connection import UpstreamConnection
from route_addon.carry.watched.firing import fire, trigger, wait_for_resume
from route_addon.carry.watched.flow import (
    AnswerHead,
    AnswerState,
    answer_state,
    build_answer,
    hide_answer,
    hide_request,
    read_answer,
    read_fields,
    read_own_answer,
    read_request,
    record_decision,
    request_state,
    restore_host,
    show_connection,
    show_destination,
    show_request,
    shown_head,
)
from route_addon.carry.watched.flow_exchange import FlowExchange, Step
from route_addon.carry.watched.payloads import UnrecordedWebSocket
from route_addon.carry.watched.tunnel import WatchedTunnel
from route_addon.carry.watched.websocket import WebSocketCopy
from route_addon.carry.wire import Wire
from route_addon.core.answers import BODILESS_STATUS, SWITCHING_PROTOCOLS
from route_addon.core.authority import parse_authority
from route_addon.core.errors import InternalError, RouteError, Undecided
from route_addon.core.fields import field_values
from route_addon.core.httpcache import Use
from route_addon.core.locations import PYOS
from route_addon.core.messages import (
    Decision,
    Fields,
    Forward,
    RequestHead,
    Respond,
    ServeFile,
    Verify,
)

if TYPE_CHECKING:
    from route_addon.carry.relay import Relay
    from route_addon.carry.watched.watch import Watch


class WatchedExchange(FlowExchange):
    """One request and its answer, as a flow.

    Args:
        relay: What all exchanges share.
        stream: The client's side.
        head: The request's head.
        watch: What all watched exchanges share.
    """

    def __init__(
        self, relay: "Relay", stream: ClientStream, head: RequestHead, watch: "Watch"
    ) -> None:
        super().__init__(relay, stream, head, watch)
        self._sent = head
        self._is_head_asked = False
        self._is_request_asked = False
        self._is_answering = False
        """Whether an answer of our own, or of an addon's, has been chosen."""
        self._is_edited = False
        self._decided: dict[str, Any] | None = None
        """The decision for a recording; None before there is one of the request as it is now."""
        self._is_from_cache = False
        self._own_answer: AnswerState | None = None
        self._seen = show_request(self.flow.request)

    # Deciding, and deciding again.

    def _act(self, decision: Decision) -> None:
        if isinstance(decision, Verify):
            super()._act(decision)
            return
        self._decided = record_decision(decision, self._masked)
        if isinstance(decision, ServeFile):
            decision = read_challenge(decision)
        self._show(decision)
        if self._is_head_asked:
            self._follow(decision)
        else:
            self._ask(self._ask_head(decision))

    def _follow(self, decision: Forward | Respond) -> None:
        """The head has been asked about: go on by this decision."""
        if isinstance(decision, Forward):
            super()._act(decision)
        elif self._is_request_asked:
            self._answer(decision)
        else:
            self._ask(self._ask_request(decision))

    def _show(self, decision: Forward | Respond) -> None:
        """Let the flow say what was decided, and the guard know."""
        flow, guard = self.flow, self._watch.guard
        if decision.location is None or decision.location.upstream == PYOS:
            self._shown.look_closer(flow.request)
        if not self._is_head_asked:
            # A recording is judged at this time.
            flow.request.timestamp_start = self._now = self._now or time.time()
            if self.head.length == 0:
                flow.request.timestamp_end = self._now
        if isinstance(decision, Forward):
            flow.response = self._own_answer = None
            show_destination(flow, decision.server)
            own = parse_authority(request_state(flow.request).named)
            name = own.host.decode("ascii") if own is not None else ""
            guard.stamp_relayed(flow, (decision.server.host, decision.server.port), name)
        else:
            flow.response = build_response(decision, self._sent.method)
            hide_answer(flow.response, self._masked)
            self._own_answer = answer_state(flow.response)
            guard.stamp_answer(flow)
        evidence = build_evidence(decision, self._now, self.forward)
        evidence |= {"edited": self._is_edited, "decision": self._decided}
        if self._is_head_asked:
            # Somebody may have written a comment of their own since.
            amend_evidence(flow, **evidence)
        else:
            keep_evidence(flow, evidence)
        self._seen = show_request(flow.request)

    async def _ask_head(self, decision: Forward | Respond) -> Step:
        self._is_head_asked = True
        await self._fire(HttpRequestHeadersHook)
        return self._next(decision)

    async def _ask_request(self, decision: Forward | Respond) -> Step:
        self._is_request_asked = True
        if self._is_content_collected:
            self._shown.show_request(self.flow.request)
        elif self.head.length == 0:
            self._shown.show_no_request()
        await self._fire(HttpRequestHook)
        return self._next(decision)

    def _next(self, decision: Forward | Respond) -> Step:
        """How it goes on after a hook: by what the flow says now.

        Raises:
            Undecided: The flow has lost its stamp.
        """
        flow = self.flow
        if not self._watch.guard.is_stamped(flow):
            raise Undecided
        if flow.response is not None and answer_state(flow.response) != self._own_answer:
            return partial(self._take_answer, decision)
        if self._is_request_edited():
            return self._decide_again
        return partial(self._follow, decision)

    def _is_request_edited(self) -> bool:
        request, seen = self.flow.request, self._seen
        if request_state(request) != seen.state:
            restore_host(request, seen)
        return request_state(request) != seen.state or self._shown.is_request_edited(request)

    def _decide_again(self) -> None:
        """Somebody has changed the request: nobody gets round the gate by that."""
        self._is_edited = True
        self.forward = self._decided = None
        request = self.flow.request
        if self._shown.is_request_edited(request):
            content = self._shown.take_request(request)
            self._replace_content(content)
            self.head = self.head._replace(length=len(content))
        length = self._content.length if self._content is not None else 0
        try:
            self.head = read_request(request, self._sent, self._masked, length)
        except RouteError as error:
            hide_request(request, self._masked)
            self.refuse(error)
            return
        hide_request(request, self._masked)
        self._now = time.time()
        self._decide()

    def _replace_content(self, content: bytes) -> None:
        if self._content is None:
            self._content = RequestContent(self, self._stream, 0)
            self._content.is_whole = True
        self._content.replace(self._relay.spools.hold(content) if content else None)

    @property
    def _is_content_collected(self) -> bool:
        return self._content is not None and self._content.is_kept

    def _admit(self, forward: Forward) -> None:
        if self._is_content_collected:
            # Collected before, or put there by somebody.
            self.connect()
        else:
            super()._admit(forward)

    def connect(self) -> None:
        assert self.forward is not None
        if self._is_request_asked:
            super().connect()
        else:
            self._ask(self._ask_request(self.forward))

    def use(self, connection: UpstreamConnection, forward: Forward) -> None:
        flow, server = self.flow, forward.server
        if flow.server_conn.address != (server.host, server.port):
            # Another of the pool's servers than the first.
            show_destination(flow, server)
            amend_evidence(flow, **name_server(server))
            self._seen = show_request(flow.request)
        since = self.approach.opening_since if self.approach is not None else None
        show_connection(flow.server_conn, connection, since)
        super().use(connection, forward)

    # The request's content.

    def receive_content(self, pieces: list[bytes], is_end: bool) -> None:
        self._shown.request.add(pieces)
        if is_end:
            self.flow.request.timestamp_end = time.time()
        super().receive_content(pieces, is_end)

    # Answering here.

    def respond(self, answer: Respond) -> None:
        if self._is_answering:
            # The answer that was chosen cannot be sent, and hooks have been asked about it.
            self._show(answer)
            super().respond(answer)
        else:
            self._show(answer)
            self._answer(answer)

    def _take_answer(self, decision: Forward | Respond) -> None:
        """An addon has an answer of its own: no upstream is needed."""
        amend_evidence(self.flow, answered_by=ADDON)
        if self._is_request_asked:
            self._answer(_foreign(decision))
        else:
            self._ask(self._ask_request(decision))

    def _answer(self, answer: Respond) -> None:
        """Let an answer be seen, then send it."""
        self._is_answering = True
        if self._content is not None and not self._content.is_whole:
            self._stream.pause_content()
        self._drop()
        self._ask(self._ask_own_answer(answer))

    async def _ask_own_answer(self, answer: Respond) -> Step:
        if not self._is_head_asked:
            self._is_head_asked = True
            await self._fire(HttpRequestHeadersHook)
        if self.flow.response is not None:
            self.flow.response.timestamp_start = time.time()
        await self._fire(HttpResponseHeadersHook)
        return await self._ask_whole_answer(answer)

    async def _ask_whole_answer(self, answer: Respond) -> Step:
        """Ask of an answer that is in the flow with its content, and send what the flow says."""
        flow = self.flow
        if flow.response is not None:
            flow.response.timestamp_end = time.time()
        await self._fire_last()
        if flow.response is None:
            raise InternalError("an answer was taken away")
        if answer_state(flow.response) != self._own_answer:
            answer = read_own_answer(flow.response, answer, self._masked)
        return partial(super().respond, answer)

    # The answer, from the upstream or from the store.

    def _serve(self, found: Use) -> None:
        self._is_from_cache = True
        super()._serve(found)

    def _send_answer(
        self,
        status: int,
        reason: bytes | None,
        fields: Fields,
        length: int | None,
        pieces: list[bytes],
        is_end: bool,
    ) -> None:
        head = AnswerHead(status, reason, fields, length)
        amend_evidence(
            self.flow,
            answered_by=CACHE if self._is_from_cache else UPSTREAM,
            http_cache=_find_cache_status(fields) if self._caching is not None else None,
        )
        self._shown.answer.add(pieces)
        self._ask(self._ask_answer(head, pieces, is_end))

    async def _ask_answer(self, head: AnswerHead, pieces: list[bytes], is_end: bool) -> Step:
        flow = self.flow
        flow.response = response = build_answer(head, self._masked, time.time())
        shown = shown_head(response)
        await self._fire(HttpResponseHeadersHook)
        if flow.response is not response and flow.response.raw_content is not None:
            return await self._replace_answer()
        content: bytes | None = None
        if is_end:
            content = flow.response.data.content = self._shown.hide_answer(response)
            flow.response.timestamp_end = time.time()
            await self._fire_last()
        else:
            await self._hold_head()
        if flow.response is None:
            raise InternalError("an answer was taken away")
        head = read_answer(flow.response, head, shown, self._masked)
        if is_end and self._is_answer_edited(flow.response, content):
            pieces = [self._shown.reveal(flow.response)]
            head = head._replace(length=len(pieces[0]))
        return partial(super()._send_answer, *head, pieces, is_end)

    async def _replace_answer(self) -> Step:
        """An addon has put an answer of its own in the place of the upstream's."""
        assert self.forward is not None
        self._is_answering = True
        self._drop()
        amend_evidence(self.flow, answered_by=ADDON)
        return await self._ask_whole_answer(_foreign(self.forward))

    def _is_answer_edited(self, response: http.Response, content: bytes | None) -> bool:
        """Whether somebody changed the content of an answer that is whole."""
        return (
            self._sent.method != b"HEAD"
            and response.status_code not in BODILESS_STATUS
            and self._shown.is_answer_edited(response, content)
        )

    async def _hold_head(self) -> None:
        """Whoever intercepts answers gets this one at its head: its content is not waited for."""
        flow, intercept = self.flow, ctx.master.addons.get("intercept")
        if intercept is not None and intercept.should_intercept(flow):
            flow.intercept()
            await trigger(UpdateHook, [flow])
            await wait_for_resume(flow)
            self._check_killed()

    def _send_more(self, pieces: list[bytes], is_end: bool) -> None:
        if self._is_asking:
            self._postponed.append(partial(self._send_more, pieces, is_end))
            return
        self._shown.answer.add(pieces)
        if is_end:
            self._ask(self._ask_end(pieces))
        else:
            super()._send_more(pieces, False)

    async def _ask_end(self, pieces: list[bytes]) -> Step:
        flow = self.flow
        if flow.response is not None:
            flow.response.data.content = self._shown.hide_answer(flow.response)
            flow.response.timestamp_end = time.time()
        self._settle()
        self._is_told = True
        await fire(HttpResponseHook, flow)
        # All but the end has been sent: there is nothing left to hold.
        flow.resume()
        self._check_killed()
        return partial(super()._send_more, pieces, True)

    # A WebSocket.

    def _start_tunnel(self, fields: Fields, connection: UpstreamConnection, data: bytes) -> None:
        self._ask(self._ask_tunnel(fields, connection, data))

    async def _ask_tunnel(
        self, fields: Fields, connection: UpstreamConnection, data: bytes
    ) -> Step:
        flow = self.flow
        head = AnswerHead(SWITCHING_PROTOCOLS, None, fields, None)
        flow.response = response = build_answer(head, self._masked, time.time())
        response.data.content = b""
        shown = shown_head(response)
        is_recorded = self._watch.limits.record_payloads
        flow.websocket = WebSocketData() if is_recorded else UnrecordedWebSocket()
        await self._fire(HttpResponseHeadersHook)
        if flow.response is not None and flow.response.status_code != SWITCHING_PROTOCOLS:
            flow.websocket = None
            return await self._replace_answer()
        response.timestamp_end = time.time()
        amend_evidence(flow, answered_by=UPSTREAM)
        await self._fire_last()
        if flow.response is None or flow.response.status_code != SWITCHING_PROTOCOLS:
            raise InternalError("an answer that cannot be sent")
        if flow.response.data.headers.fields != shown.fields:
            fields = read_fields(flow.response, self._masked)
        await self._fire(WebsocketStartHook)
        return partial(self._open_tunnel, fields, connection, data)

    def _open_tunnel(self, fields: Fields, connection: UpstreamConnection, data: bytes) -> None:
        values = field_values(fields, b"sec-websocket-extensions")
        watch = self._watch
        copy = WebSocketCopy(self.flow, b",".join(values), watch.limits, watch.run, watch.mask)
        self._open_tunnel_by(partial(self._make_tunnel, copy), fields, connection, data)
        self._is_done = True

    def _make_tunnel(
        self,
        copy: WebSocketCopy,
        wire: Wire,
        transport: asyncio.Transport,
        deadlines: Deadlines,
        silence_s: float,
    ) -> Tunnel:
        self._tunnel = WatchedTunnel(wire, transport, deadlines, silence_s, copy)
        return self._tunnel


def _find_cache_status(fields: Fields) -> str | None:
    """Our member of Cache-Status: the last one (RFC 9211 2)."""
    values = field_values(fields, b"cache-status")
    return values[-1].decode("latin-1") if values else None


def _foreign(decision: Forward | Respond) -> Respond:
    """An answer that the flow holds, and not we."""
    return Respond(decision.location, 0, [], b"", None, decision.request_id)
