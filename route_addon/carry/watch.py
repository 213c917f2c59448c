"""An exchange that is watched: a true flow of mitmproxy's, with the usual hooks.

The exchange goes the way it goes when nobody watches. Where a hook stands on that way it waits,
its upstream paused and its client's content held, until all addons have been asked and nobody
intercepts. Then what the flow says counts: a request that was changed is decided again, an answer
that was changed is sent as it is now. What nobody changed goes on byte for byte as it would have.

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
``websocket_*``         from a copy (``watch_websocket``)
======================= ============================================================
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from mitmproxy import connection, ctx, hooks, http
from mitmproxy.flow import Error
from mitmproxy.proxy.commands import StartHook
from mitmproxy.proxy.layers.http._hooks import (
    HttpErrorHook,
    HttpRequestHeadersHook,
    HttpRequestHook,
    HttpResponseHeadersHook,
    HttpResponseHook,
)
from mitmproxy.proxy.layers.websocket import WebsocketStartHook
from mitmproxy.websocket import WebSocketData

from route_addon.carry.challenge import read_challenge
from route_addon.carry.deadlines import NEVER, Deadlines
from route_addon.carry.evidence import (
    ADDON,
    CACHE,
    UPSTREAM,
    amend_evidence,
    build_evidence,
    keep_evidence,
    measure,
    name_server,
)
from route_addon.carry.exchange import ClientStream, Content, Exchange
from route_addon.carry.faults import describe_fault
from route_addon.carry.flows import build_response
from route_addon.carry.guard import Guard
from route_addon.carry.limits import WatchLimits
from route_addon.carry.mask import Mask, Masked
from route_addon.carry.mask_content import hide_content, reveal_content
from route_addon.carry.payloads import UnrecordedWebSocket
from route_addon.carry.tunnel import Tunnel
from route_addon.carry.upstream import UpstreamConnection
from route_addon.carry.watch_flow import (
    AnswerHead,
    AnswerState,
    Kept,
    answer_state,
    build_answer,
    build_request,
    hide_answer,
    hide_request,
    read_answer,
    read_fields,
    read_own_answer,
    read_request,
    record_decision,
    request_state,
    show_connection,
    show_destination,
)
from route_addon.carry.watch_websocket import WatchedTunnel, WebSocketCopy
from route_addon.carry.wire import Wire
from route_addon.core.answers import SWITCHING_PROTOCOLS
from route_addon.core.errors import InternalError, RouteError, Undecided
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

logger = logging.getLogger(__name__)

_CLIENT_GONE: Final = "the client has gone"
_BODILESS_STATUS: Final = frozenset({204, 304})

type Step = Callable[[], None]
"""How an exchange goes on."""


class Watch:
    """What all watched exchanges share.

    Args:
        guard: Told of every flow that has been decided.
    """

    def __init__(self, guard: Guard) -> None:
        self.guard = guard
        self.limits = WatchLimits()
        self.mask = Mask()
        self._tasks: set[asyncio.Task[None]] = set()

    def make_exchange(self, relay: "Relay", stream: ClientStream, head: RequestHead) -> Exchange:
        """An exchange that is watched."""
        return WatchedExchange(relay, stream, head, self)

    def run(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run work beside, and keep it: the loop alone would let it go."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


class WatchedExchange(Exchange):
    """One request and its answer, as a flow.

    Args:
        relay: What all exchanges share.
        stream: The client's side.
        head: The request's head.
        watch: What all watched exchanges share.
    """

    def __init__(
        self, relay: "Relay", stream: ClientStream, head: RequestHead, watch: Watch
    ) -> None:
        super().__init__(relay, stream, head, relay.observer)
        self._watch = watch
        self._handler = stream.handler
        self._sent = head
        self._masked = Masked(watch.mask)
        self._is_asking = False
        self._asker: asyncio.Task[None] | None = None
        self._postponed: deque[Step] = deque()
        self._is_head_asked = False
        self._is_request_asked = False
        self._is_answering = False
        """Whether an answer of our own, or of an addon's, has been chosen."""
        self._is_told = False
        """Whether ``response`` has been fired: ``error`` will not be."""
        self._is_done = False
        self._is_edited = False
        self._decided: dict[str, Any] | None = None
        """The decision for a recording; None before there is one of the request as it is now."""
        self._is_from_cache = False
        self._has_failed = False
        self._request_content = Kept(watch.limits.body_bytes)
        self._answer_content = Kept(watch.limits.body_bytes)
        self._shown_content: bytes | None = None
        self._is_strict = False
        """Whether its content may hold secrets that only their names give away."""
        self._withheld = {"request_withheld": False, "answer_withheld": False}
        """Whether content could not be read, and so is not kept: it may hold secrets."""
        self._own_answer: AnswerState | None = None
        self._tunnel: Tunnel | None = None
        self.flow = self._build_flow(head)
        self._seen = request_state(self.flow.request)

    def _build_flow(self, head: RequestHead) -> http.HTTPFlow:
        client = self._handler.client
        flow = http.HTTPFlow(client, connection.Server(address=None), live=True)
        flow.request = build_request(head, self._masked, time.time())
        # mitmproxy's own kill leaves who waits for a resume waiting, and what is under way alone.
        flow.kill = self._kill  # type: ignore[method-assign]
        return flow

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
            self._look_closer()
        if not self._is_head_asked:
            # A recording is judged at this time.
            flow.request.timestamp_start = self._now = self._now or time.time()
            if self.head.length == 0:
                flow.request.timestamp_end = self._now
        if isinstance(decision, Forward):
            flow.response = self._own_answer = None
            show_destination(flow, decision.server)
            guard.stamp_relayed(flow, (decision.server.host, decision.server.port))
        else:
            flow.response = build_response(decision, self._sent.method)
            hide_answer(flow.response, self._masked)
            self._own_answer = answer_state(flow.response)
            guard.stamp_answer(flow)
        evidence = build_evidence(decision, self._now, self.forward)
        evidence |= {"edited": self._is_edited, "decision": self._decided}
        keep_evidence(flow, evidence)
        self._seen = request_state(flow.request)

    def _look_closer(self) -> None:
        """From now on names give secrets away, in content as in heads."""
        if not self._is_strict:
            self._is_strict = True
            if self._shown_content:
                # It was shown when it was to go elsewhere.
                self._show_content()

    async def _ask_head(self, decision: Forward | Respond) -> Step:
        self._is_head_asked = True
        await self._fire(HttpRequestHeadersHook(self.flow))
        return self._next(decision)

    async def _ask_request(self, decision: Forward | Respond) -> Step:
        self._is_request_asked = True
        if self._spool is not None:
            self._show_content()
        elif self.head.length == 0:
            self._shown_content = b""
        await self._fire(HttpRequestHook(self.flow))
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
        if self._is_content_edited() or request_state(flow.request) != self._seen:
            return self._decide_again
        return partial(self._follow, decision)

    def _show_content(self) -> None:
        """Show the request's content, as far as it may be kept."""
        content, request = self._request_content, self.flow.request
        self._shown_content = request.data.content = hide_content(
            self._masked,
            content.join(),
            request.data.headers.fields,
            is_strict=self._is_strict,
            is_cut=content.is_cut,
        )
        self._withheld["request_withheld"] = self._shown_content is None

    def _is_content_edited(self) -> bool:
        shown = self._shown_content
        if shown is None or self._request_content.is_cut:
            return False
        return (self.flow.request.data.content or b"") != shown

    def _decide_again(self) -> None:
        """Somebody has changed the request: nobody gets round the gate by that."""
        self._is_edited = True
        self.forward = self._decided = None
        if self._is_content_edited():
            content = self._take_content()
            self._close_spool()
            self._spool = self._relay.spools.hold(content) if content else None
            self.head = self.head._replace(length=len(content))
        length = self._spool.size if self._spool is not None else self.head.length
        try:
            self.head = read_request(self.flow.request, self._sent, self._masked, length)
        except RouteError as error:
            hide_request(self.flow.request, self._masked)
            self.refuse(error)
            return
        hide_request(self.flow.request, self._masked)
        self._now = time.time()
        self._decide()

    def _take_content(self) -> bytes:
        """The content that somebody has written; the flow shows what may be kept of it."""
        request = self.flow.request
        written, fields = request.data.content or b"", request.data.headers.fields
        content = reveal_content(self._masked, written, fields)
        self._request_content = Kept(self._watch.limits.body_bytes)
        self._request_content.add([content])
        self._show_content()
        return content

    def _admit(self, forward: Forward) -> None:
        if self._spool is not None:
            # Collected before, or put there by somebody.
            self._connect()
        else:
            super()._admit(forward)

    def _connect(self) -> None:
        assert self.forward is not None
        if self._is_request_asked:
            super()._connect()
        else:
            self._ask(self._ask_request(self.forward))

    def use(self, connection: UpstreamConnection, forward: Forward) -> None:
        flow, server = self.flow, forward.server
        if flow.server_conn.address != (server.host, server.port):
            # Another of the pool's servers than the first.
            show_destination(flow, server)
            amend_evidence(flow, **name_server(server))
            self._seen = request_state(flow.request)
        since = self.approach.opening_since if self.approach is not None else None
        show_connection(flow.server_conn, connection, since)
        super().use(connection, forward)

    # The request's content.

    def receive_content(self, pieces: list[bytes], is_end: bool) -> None:
        self._request_content.add(pieces)
        if is_end:
            self.flow.request.timestamp_end = time.time()
        super().receive_content(pieces, is_end)

    def _send_content(self, pieces: list[bytes], is_end: bool) -> None:
        super()._send_content(pieces, is_end)
        if self._is_asking and self._connection is not None:
            # The answer's head is held here: its upstream is not late.
            self._connection.deadline = NEVER

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
        self._drop_upstream()
        self._content = Content.DROPPED
        if not self._is_request_whole:
            self._stream.pause_content()
        self._ask(self._ask_own_answer(answer))

    async def _ask_own_answer(self, answer: Respond) -> Step:
        if not self._is_head_asked:
            self._is_head_asked = True
            await self._fire(HttpRequestHeadersHook(self.flow))
        if self.flow.response is not None:
            self.flow.response.timestamp_start = time.time()
        await self._fire(HttpResponseHeadersHook(self.flow))
        return await self._ask_whole_answer(answer)

    async def _ask_whole_answer(self, answer: Respond) -> Step:
        """Ask of an answer that is in the flow with its content, and send what the flow says."""
        flow = self.flow
        if flow.response is not None:
            flow.response.timestamp_end = time.time()
        await self._fire_last(HttpResponseHook(flow))
        if flow.response is None:
            raise InternalError("an answer was taken away")
        if answer_state(flow.response) != self._own_answer:
            answer = read_own_answer(flow.response, answer, self._masked)
        return partial(super().respond, answer)

    # The answer, from the upstream or from the store.

    def _serve(self, found: Use) -> None:
        self._is_from_cache = True
        super()._serve(found)

    def _play(self) -> None:
        if self._is_asking:
            self._postponed.append(self._play)
        else:
            super()._play()

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
        self._answer_content.add(pieces)
        self._ask(self._ask_answer(head, pieces, is_end))

    async def _ask_answer(self, head: AnswerHead, pieces: list[bytes], is_end: bool) -> Step:
        flow = self.flow
        flow.response = response = build_answer(head, self._masked, time.time())
        shown = response.copy()
        await self._fire(HttpResponseHeadersHook(flow))
        if flow.response is not response and flow.response.raw_content is not None:
            return await self._replace_answer()
        content: bytes | None = None
        if is_end:
            content = flow.response.data.content = self._hide_answer(response)
            flow.response.timestamp_end = time.time()
            await self._fire_last(HttpResponseHook(flow))
        else:
            await self._hold_head()
        if flow.response is None:
            raise InternalError("an answer was taken away")
        head = read_answer(flow.response, head, shown, self._masked)
        if is_end and self._is_answer_edited(flow.response, content):
            fields, written = flow.response.data.headers.fields, flow.response.data.content
            pieces = [reveal_content(self._masked, written or b"", fields)]
            head = head._replace(length=len(pieces[0]))
        return partial(super()._send_answer, *head, pieces, is_end)

    async def _replace_answer(self) -> Step:
        """An addon has put an answer of its own in the place of the upstream's."""
        assert self.forward is not None
        self._is_answering = True
        self._drop_upstream()
        self._content = Content.DROPPED
        amend_evidence(self.flow, answered_by=ADDON)
        return await self._ask_whole_answer(_foreign(self.forward))

    def _hide_answer(self, response: http.Response) -> bytes | None:
        """What may be kept of the answer's content, as far as it has come."""
        content = self._answer_content
        hidden = hide_content(
            self._masked,
            content.join(),
            response.data.headers.fields,
            is_strict=self._is_strict,
            is_cut=content.is_cut,
        )
        self._withheld["answer_withheld"] = hidden is None
        return hidden

    def _is_answer_edited(self, response: http.Response, content: bytes | None) -> bool:
        """Whether somebody changed the content of an answer that is whole."""
        return (
            self._sent.method != b"HEAD"
            and response.status_code not in _BODILESS_STATUS
            and not self._answer_content.is_cut
            and (response.data.content or b"") != (content or b"")
        )

    async def _hold_head(self) -> None:
        """Whoever intercepts answers gets this one at its head: its content is not waited for."""
        flow, addons = self.flow, ctx.master.addons
        intercept = addons.get("intercept")
        if intercept is not None and intercept.should_intercept(flow):
            flow.intercept()
            await addons.trigger_event(hooks.UpdateHook([flow]))
            await flow.wait_for_resume()
            self._check_killed()

    def _send_more(self, pieces: list[bytes], is_end: bool) -> None:
        if self._is_asking:
            self._postponed.append(partial(self._send_more, pieces, is_end))
            return
        self._answer_content.add(pieces)
        if is_end:
            self._ask(self._ask_end(pieces))
        else:
            super()._send_more(pieces, False)

    async def _ask_end(self, pieces: list[bytes]) -> Step:
        flow = self.flow
        if flow.response is not None:
            flow.response.data.content = self._hide_answer(flow.response)
            flow.response.timestamp_end = time.time()
        self._settle()
        self._is_told = True
        await ctx.master.addons.handle_lifecycle(HttpResponseHook(flow))
        # All but the end has been sent: there is nothing left to hold.
        flow.resume()
        self._check_killed()
        return partial(super()._send_more, pieces, True)

    def upstream_failed(self, error: RouteError, *, is_untouched: bool) -> None:
        self._connection = None
        if self._is_asking:
            again = partial(self.upstream_failed, error, is_untouched=is_untouched)
            self._postponed.append(again)
        else:
            super().upstream_failed(error, is_untouched=is_untouched)

    def resume_answer(self) -> None:
        self._is_client_slow = False
        if not self._is_asking:
            super().resume_answer()

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
        shown = response.copy()
        is_recorded = self._watch.limits.record_payloads
        flow.websocket = WebSocketData() if is_recorded else UnrecordedWebSocket()
        await self._fire(HttpResponseHeadersHook(flow))
        if flow.response is not None and flow.response.status_code != SWITCHING_PROTOCOLS:
            flow.websocket = None
            return await self._replace_answer()
        response.timestamp_end = time.time()
        amend_evidence(flow, answered_by=UPSTREAM)
        await self._fire_last(HttpResponseHook(flow))
        if flow.response is None or flow.response.status_code != SWITCHING_PROTOCOLS:
            raise InternalError("an answer that cannot be sent")
        if flow.response.data.headers.fields != shown.data.headers.fields:
            fields = read_fields(flow.response, self._masked)
        await self._fire(WebsocketStartHook(flow))
        return partial(self._open_tunnel, fields, connection, data)

    def _open_tunnel(self, fields: Fields, connection: UpstreamConnection, data: bytes) -> None:
        values = [value for name, value in fields if name.lower() == b"sec-websocket-extensions"]
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

    # Asking.

    def _ask(self, work: Coroutine[Any, Any, Step]) -> None:
        """Fire hooks, and go on as they say. Meanwhile nothing else happens here."""
        if self._connection is not None:
            self._connection.pause_reading()
        # mitmproxy's loop begins a task at once: it may be over before anything is assigned here.
        self._is_asking = True
        try:
            self._watch.run(self._finish_asking(work))
        except Exception:
            self._is_asking = False
            work.close()
            raise

    async def _finish_asking(self, work: Coroutine[Any, Any, Step]) -> None:
        self._asker = asyncio.current_task()
        try:
            step = await work
        except _Killed:
            step = self._end_killed
        except RouteError as error:
            step = partial(super().refuse, error)
        except Exception as fault:
            logger.error("a watched exchange failed: %s", describe_fault(fault))
            step = super().fail
        self._is_asking, self._asker = False, None
        try:
            self._go_on(super().fail if self._has_failed else step)
        except Exception as fault:
            logger.error("a watched exchange failed: %s", describe_fault(fault))
            super().fail()

    def _go_on(self, step: Step) -> None:
        """All have been asked: take the step, and then what came meanwhile."""
        if self._connection is not None and not self._is_client_slow:
            self._connection.resume_reading()
        self._guarded(step)()
        while self._postponed and not self._is_asking:
            self._guarded(self._postponed.popleft())()

    async def _fire(self, hook: StartHook) -> None:
        """Ask all addons, and wait for whoever intercepts.

        Raises:
            _Killed: Somebody killed the flow.
        """
        await self._handler.handle_hook(hook)
        self._check_killed()

    async def _fire_last(self, hook: HttpResponseHook) -> None:
        """Fire ``response``, with all that is known in the flow.

        Raises:
            _Killed: Somebody killed the flow.
        """
        self._settle()
        self._is_told = True
        await self._fire(hook)

    def _check_killed(self) -> None:
        if self._is_killed or self.is_over:
            raise _Killed

    @property
    def _is_killed(self) -> bool:
        error = self.flow.error
        return error is not None and error.msg == Error.KILLED_MESSAGE

    def refuse(self, error: RouteError) -> None:
        if self._is_asking:
            self._postponed.append(partial(self.refuse, error))
        else:
            super().refuse(error)

    def fail(self) -> None:
        if self._is_asking:
            self._has_failed = True
        else:
            super().fail()

    # The end.

    def _kill(self) -> None:
        flow = self.flow
        http.HTTPFlow.kill(flow)
        if flow._resume_event is not None:
            flow._resume_event.set()
        if self._tunnel is not None:
            self._tunnel.abort()
        elif not self._is_asking and not self.is_over:
            self._end_killed()

    def _end_killed(self) -> None:
        self._cut(InternalError("killed"))

    def _cut(self, error: RouteError) -> None:
        super()._cut(error)
        self._end_with(str(error))

    def client_lost(self) -> None:
        super().client_lost()
        self._end_with(_CLIENT_GONE)

    def _finish(self) -> None:
        super()._finish()
        self._is_done = True
        self._release()

    def _end_with(self, reason: str) -> None:
        """The flow has no answer, or no whole one."""
        flow = self.flow
        if self._is_done:
            return
        self._is_done = True
        if flow.error is None:
            flow.error = Error(reason)
        # What became of a WebSocket is told otherwise; this one never became one.
        flow.websocket = None
        flow.resume()
        self._watch.run(self._tell_error(self._asker))

    async def _tell_error(self, asker: asyncio.Task[None] | None) -> None:
        if asker is not None:
            await asyncio.wait([asker])
        flow = self.flow
        self._settle()
        if self._is_told:
            await ctx.master.addons.trigger_event(hooks.UpdateHook([flow]))
        else:
            await ctx.master.addons.handle_lifecycle(HttpErrorHook(flow))
        self._release()

    def _release(self) -> None:
        """The flow lives on in whoever keeps it; the exchange, and its secrets, do not."""
        self.flow.live = False
        vars(self.flow).pop("kill", None)

    def _settle(self) -> None:
        """Let the flow say all that is known, before it is shown for the last time."""
        flow, content = self.flow, self._request_content
        if self._shown_content is None and content.size:
            self._show_content()
        amend_evidence(
            flow,
            request_bytes=content.size,
            answer_bytes=self._answer_content.size,
            request_cut=content.is_cut,
            answer_cut=self._answer_content.is_cut,
            timings=measure(flow, time.time()),
            **self._withheld,
        )


class _Killed(Exception):
    """Somebody killed the flow, or the client has gone: nothing is left to do."""


def _find_cache_status(fields: Fields) -> str | None:
    """Our member of Cache-Status: the last one (RFC 9211 2)."""
    values = [value for name, value in fields if name.lower() == b"cache-status"]
    return values[-1].decode("latin-1") if values else None


def _foreign(decision: Forward | Respond) -> Respond:
    """An answer that the flow holds, and not we."""
    return Respond(decision.location, 0, [], b"", None, decision.request_id)
