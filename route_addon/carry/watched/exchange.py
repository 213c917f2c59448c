"""An exchange that is watched: a true flow of mitmproxy's, with the usual hooks.

The exchange goes the way it goes when nobody watches. Where a hook stands on that way it waits
(``flow_exchange``). Then what the flow says counts: a request that was changed is decided again
(``decided_exchange``), an answer that was changed is sent as it is now. What nobody changed goes on
byte for byte as it would have.

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
from typing import TYPE_CHECKING

from mitmproxy import ctx, http
from mitmproxy.hooks import UpdateHook
from mitmproxy.proxy.layers.http._hooks import HttpResponseHeadersHook, HttpResponseHook
from mitmproxy.proxy.layers.websocket import WebsocketStartHook
from mitmproxy.websocket import WebSocketData

from route_addon.carry.client_stream import ClientStream
from route_addon.carry.deadlines import Deadlines
from route_addon.carry.evidence import ADDON, CACHE, UPSTREAM, amend_evidence
from route_addon.carry.tunnel import Tunnel
from route_addon.carry.upstreams.connection import UpstreamConnection
from route_addon.carry.watched.decided_exchange import DecidedExchange, foreign
from route_addon.carry.watched.firing import fire, trigger, wait_for_resume
from route_addon.carry.watched.flow import (
    AnswerHead,
    build_answer,
    read_answer,
    read_fields,
    shown_head,
)
from route_addon.carry.watched.flow_exchange import Step
from route_addon.carry.watched.payloads import UnrecordedWebSocket
from route_addon.carry.watched.tunnel import WatchedTunnel
from route_addon.carry.watched.websocket import WebSocketCopy
from route_addon.carry.wire import Wire
from route_addon.core.answers import BODILESS_STATUS, SWITCHING_PROTOCOLS
from route_addon.core.errors import InternalError
from route_addon.core.fields import field_values
from route_addon.core.httpcache import Use
from route_addon.core.messages import Fields, RequestHead

if TYPE_CHECKING:
    from route_addon.carry.relay import Relay
    from route_addon.carry.watched.watch import Watch


class WatchedExchange(DecidedExchange):
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
        self._is_from_cache = False

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
        return await self._ask_whole_answer(foreign(self.forward))

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
