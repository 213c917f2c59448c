"""An exchange that has a flow: how addons are asked about it, and how it ends.

While they are asked it stands still, its upstream paused and its client's content held. Then it
goes on as they say, and takes what came in between: the steps that were put off, in their order.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from mitmproxy import connection, http
from mitmproxy.flow import Error
from mitmproxy.hooks import Hook, UpdateHook
from mitmproxy.proxy.layers.http._hooks import HttpErrorHook, HttpResponseHook

from route_addon.carry.client_stream import ClientStream
from route_addon.carry.deadlines import NEVER
from route_addon.carry.evidence import amend_evidence, measure
from route_addon.carry.exchange import Exchange
from route_addon.carry.faults import describe_fault
from route_addon.carry.masks.mask import Masked
from route_addon.carry.tunnel import Tunnel
from route_addon.carry.watched.content import WatchedContent
from route_addon.carry.watched.firing import fire, fire_and_wait, trigger
from route_addon.carry.watched.flow import build_request
from route_addon.core.errors import InternalError, RouteError
from route_addon.core.messages import RequestHead

if TYPE_CHECKING:
    from route_addon.carry.relay import Relay
    from route_addon.carry.watched.watch import Watch

logger = logging.getLogger(__name__)

_CLIENT_GONE: Final = "the client has gone"

type Step = Callable[[], None]
"""How an exchange goes on."""


class FlowExchange(Exchange):
    """One request and its answer, with a flow that can be held and killed.

    Args:
        relay: What all exchanges share.
        stream: The client's side.
        head: The request's head.
        watch: What all watched exchanges share.
    """

    def __init__(
        self, relay: "Relay", stream: ClientStream, head: RequestHead, watch: "Watch"
    ) -> None:
        super().__init__(relay, stream, head, relay.observer)
        self._watch = watch
        self._is_asking = False
        self._postponed: deque[Step] = deque()
        self._has_failed = False
        self._is_cut_meanwhile = False
        """Whether ``error`` is to follow, once all have been asked."""
        self._is_told = False
        """Whether ``response`` has been fired: ``error`` will not be."""
        self._is_done = False
        self._tunnel: Tunnel | None = None
        self._masked = Masked(watch.mask)
        self._shown = WatchedContent(self._masked, watch.limits.body_bytes)
        self.flow = self._build_flow(head)

    def _build_flow(self, head: RequestHead) -> http.HTTPFlow:
        client = self._stream.client
        flow = http.HTTPFlow(client, connection.Server(address=None), live=True)
        flow.request = build_request(head, self._masked, time.time())
        # mitmproxy's own kill leaves who waits for a resume waiting, and what is under way alone.
        flow.kill = self._kill  # type: ignore[method-assign]
        return flow

    # Asking.

    def _ask(self, work: Coroutine[Any, Any, Step]) -> None:
        """Fire hooks, and go on as they say. Meanwhile nothing else happens here."""
        if self.connection is not None:
            self.connection.pause_reading()
        self._is_asking = True
        try:
            self._watch.begin(self._finish_asking(work))
        except Exception:
            self._is_asking = False
            work.close()
            raise

    async def _finish_asking(self, work: Coroutine[Any, Any, Step]) -> None:
        try:
            step = await work
        except Killed:
            step = self._end_killed
        except RouteError as error:
            step = partial(super().refuse, error)
        except Exception as fault:
            logger.error("a watched exchange failed: %s", describe_fault(fault))
            step = super().fail
        self._is_asking = False
        try:
            self._go_on(super().fail if self._has_failed else step)
        except Exception as fault:
            logger.error("a watched exchange failed: %s", describe_fault(fault))
            super().fail()
        if self._is_cut_meanwhile:
            # Once: one asking may have begun within another.
            self._is_cut_meanwhile = False
            await self._tell_error()

    def _go_on(self, step: Step) -> None:
        """All have been asked: take the step, and then what came meanwhile."""
        if self.connection is not None and not self._is_client_slow:
            self.connection.resume_reading()
        self.guarded(step)()
        while self._postponed and not self._is_asking:
            self.guarded(self._postponed.popleft())()

    async def _fire(self, hook: type[Hook]) -> None:
        """Ask all addons, and wait for whoever intercepts.

        Raises:
            Killed: Somebody killed the flow.
        """
        await fire_and_wait(hook, self.flow)
        self._check_killed()

    async def _fire_last(self) -> None:
        """Fire ``response``, with all that is known in the flow.

        Raises:
            Killed: Somebody killed the flow.
        """
        self._settle()
        self._is_told = True
        await self._fire(HttpResponseHook)

    def _check_killed(self) -> None:
        if self._is_killed or self.is_over:
            raise Killed

    @property
    def _is_killed(self) -> bool:
        error = self.flow.error
        return error is not None and error.msg == Error.KILLED_MESSAGE

    # What comes meanwhile.

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

    def upstream_failed(self, error: RouteError, *, is_untouched: bool) -> None:
        self.connection = None
        if self._is_asking:
            again = partial(self.upstream_failed, error, is_untouched=is_untouched)
            self._postponed.append(again)
        else:
            super().upstream_failed(error, is_untouched=is_untouched)

    def resume_answer(self) -> None:
        self._is_client_slow = False
        if not self._is_asking:
            super().resume_answer()

    def _splice_rest(self) -> None:
        """What is watched comes here."""

    def receive_content(self, pieces: list[bytes], is_end: bool) -> None:
        super().receive_content(pieces, is_end)
        if self._is_asking and self.connection is not None:
            # The answer's head is held here: its upstream is not late.
            self.connection.deadline = NEVER

    def _play(self) -> None:
        if self._is_asking:
            self._postponed.append(self._play)
        else:
            super()._play()

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
        if self._is_asking:
            self._is_cut_meanwhile = True
        else:
            self._watch.begin(self._tell_error())

    async def _tell_error(self) -> None:
        self._settle()
        if self._is_told:
            await trigger(UpdateHook, [self.flow])
        else:
            await fire(HttpErrorHook, self.flow)
        self._release()

    def _release(self) -> None:
        """The flow lives on in whoever keeps it; the exchange, and its secrets, do not."""
        self.flow.live = False
        vars(self.flow).pop("kill", None)

    def _settle(self) -> None:
        """Let the flow say all that is known, before it is shown for the last time."""
        flow = self.flow
        self._shown.show_passed(flow.request)
        amend_evidence(flow, timings=measure(flow, time.time()), **self._shown.sum_up())


class Killed(Exception):
    """Somebody killed the flow, or the client has gone: nothing is left to do."""
