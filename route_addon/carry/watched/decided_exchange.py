"""An exchange whose request is decided with those who watch: shown, asked about, decided again.

What the flow says counts: a request that was changed is decided again, and an answer that an addon
has put there is sent. So are answers of our own, as the flow says them by then.
"""

import time
from functools import partial
from typing import TYPE_CHECKING, Any

from mitmproxy.proxy.layers.http._hooks import (
    HttpRequestHeadersHook,
    HttpRequestHook,
    HttpResponseHeadersHook,
)

from route_addon.carry.client_stream import ClientStream
from route_addon.carry.evidence import (
    ADDON,
    amend_evidence,
    build_evidence,
    keep_evidence,
    name_server,
)
from route_addon.carry.flows import build_response
from route_addon.carry.request_content import RequestContent
from route_addon.carry.tls.challenge import read_challenge
from route_addon.carry.upstreams.connection import UpstreamConnection
from route_addon.carry.watched.flow import (
    AnswerState,
    answer_state,
    hide_answer,
    hide_request,
    read_own_answer,
    read_request,
    record_decision,
    request_state,
    restore_host,
    show_connection,
    show_destination,
    show_request,
)
from route_addon.carry.watched.flow_exchange import FlowExchange, Step
from route_addon.core.authority import parse_authority
from route_addon.core.errors import InternalError, RouteError, Undecided
from route_addon.core.locations import PYOS
from route_addon.core.messages import (
    Decision,
    Forward,
    RequestHead,
    Respond,
    ServeFile,
    Verify,
)

if TYPE_CHECKING:
    from route_addon.carry.relay import Relay
    from route_addon.carry.watched.watch import Watch


class DecidedExchange(FlowExchange):
    """The way of a request to its upstream, or to an answer that is made here.

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
        request = self.flow.request
        if decision.location is None or decision.location.upstream == PYOS:
            self._shown.look_closer(request)
        if not self._is_head_asked:
            # A recording is judged at this time.
            request.timestamp_start = self._now = self._now or time.time()
            if self.head.length == 0:
                request.timestamp_end = self._now
        if isinstance(decision, Forward):
            self._show_way(decision)
        else:
            self._show_answer(decision)
        self._keep_evidence(decision)
        self._seen = show_request(request)

    def _show_way(self, forward: Forward) -> None:
        flow, server = self.flow, forward.server
        flow.response = self._own_answer = None
        show_destination(flow, server)
        own = parse_authority(request_state(flow.request).named)
        name = own.host.decode("ascii") if own is not None else ""
        self._watch.guard.stamp_relayed(flow, (server.host, server.port), name)

    def _show_answer(self, answer: Respond) -> None:
        flow = self.flow
        flow.response = build_response(answer, self._sent.method)
        hide_answer(flow.response, self._masked)
        self._own_answer = answer_state(flow.response)
        self._watch.guard.stamp_answer(flow)

    def _keep_evidence(self, decision: Forward | Respond) -> None:
        evidence = build_evidence(decision, self._now, self.forward)
        evidence |= {"edited": self._is_edited, "decision": self._decided}
        if self._is_head_asked:
            # Somebody may have written a comment of their own since.
            amend_evidence(self.flow, **evidence)
        else:
            keep_evidence(self.flow, evidence)

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
            self._answer(foreign(decision))
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


def foreign(decision: Forward | Respond) -> Respond:
    """An answer that the flow holds, and not we."""
    return Respond(decision.location, 0, [], b"", None, decision.request_id)
