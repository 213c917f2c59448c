"""The exchange of a request that is sent again, whose flow is there already, and its client."""

import asyncio

from mitmproxy import connection, http

from route_addon.carry.client_stream import Nobody
from route_addon.carry.relay import Relay
from route_addon.carry.watched.exchange import WatchedExchange
from route_addon.carry.watched.watch import Watch
from route_addon.core.messages import RequestHead


class ReplayedExchange(WatchedExchange):
    """An exchange whose flow is there already.

    Args:
        relay: What all exchanges share.
        sender: The client's side.
        head: The request's head, with its tokens.
        watch: What all watched exchanges share.
        flow: The flow that shows it.
    """

    def __init__(
        self, relay: Relay, sender: "Sender", head: RequestHead, watch: Watch, flow: http.HTTPFlow
    ) -> None:
        self._replayed = flow
        super().__init__(relay, sender, head, watch)

    def _build_flow(self, head: RequestHead) -> http.HTTPFlow:
        anew, flow = super()._build_flow(head), self._replayed
        content = flow.request.data.content
        flow.request, flow.server_conn = anew.request, anew.server_conn
        flow.request.data.content = content
        flow.live = True
        flow.kill = anew.kill  # type: ignore[method-assign]
        return flow


class Sender(Nobody):
    """The client's side of a request that is sent again: all of it is there, nobody reads.

    Args:
        client: The connection that it came by.
        body: The request's content.
    """

    def __init__(self, client: connection.Client, body: bytes) -> None:
        self.exchange: ReplayedExchange | None = None
        self.is_over = asyncio.Event()
        self._client = client
        self._body = body

    @property
    def client(self) -> connection.Client:
        """The connection that it came by."""
        return self._client

    def resume_content(self) -> None:
        """The content is wanted: once, and whole."""
        body, self._body = self._body, b""
        if body:
            asyncio.get_running_loop().call_soon(self._give, body)

    def _give(self, body: bytes) -> None:
        if self.exchange is not None and not self.exchange.is_over:
            self.exchange.receive_content([body], True)

    def cut(self) -> None:
        """There is no answer, or no whole one."""
        self.is_over.set()

    def finish(self) -> None:
        """The answer is there."""
        self.is_over.set()
