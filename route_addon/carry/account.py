"""One request's account: what an exchange notes of itself when there is an observer."""

import time

from route_addon.carry.tunnel import Tunnel
from route_addon.core.answers import SWITCHING_PROTOCOLS
from route_addon.core.errors import RouteError
from route_addon.core.messages import Decision, Fields, Forward, RequestHead, Respond
from route_addon.core.observer import CLIENT_CLOSED, Observer, Report


class Account(Report):
    """What is noted of one request, until its end or its tunnel's; what comes later is not.

    Args:
        observer: Who is told.
        head: The request's head.
    """

    def __init__(self, observer: Observer, head: RequestHead) -> None:
        # All else begins as the class has it: to make one costs less.
        self._observer = observer
        self.head = head
        self.time = time.time()
        self.began = time.monotonic()
        observer.begin(self)

    def decide(self, decision: Decision, is_token_new: bool) -> None:
        """It was decided, after its token was verified or without that."""
        self.decision = decision
        if is_token_new:
            self.is_token_cached = False

    def use(self, forward: Forward) -> None:
        """A connection to a server is there."""
        self.decision = forward
        self.reached = time.monotonic()

    def respond(self, answer: Respond, pieces: list[bytes]) -> None:
        """An answer of our own is sent."""
        self.answer = answer
        if answer.error is not None:
            self.slug = answer.error.slug
        self._begin_answer(answer.status, pieces)

    def forward_answer(
        self, status: int, fields: Fields, pieces: list[bytes], is_cached: bool
    ) -> None:
        """The head of the upstream's answer is sent, or of a stored one.

        Args:
            status: Its status.
            fields: Its fields.
            pieces: What is sent of its content.
            is_cached: Whether the HTTP cache was asked: its word is the last Cache-Status.
        """
        if is_cached:
            values = [value for name, value in fields if name == b"Cache-Status"]
            self.http_cache = values[-1] if values else b""
        self._begin_answer(status, pieces)

    def _begin_answer(self, status: int, pieces: list[bytes]) -> None:
        self.status = status
        self.first_byte = time.monotonic()
        self.send(pieces)

    def send(self, pieces: list[bytes]) -> None:
        """Content of the answer is sent."""
        self.sent_bytes += sum(map(len, pieces))

    def open_tunnel(self, tunnel: Tunnel) -> None:
        """The handshake is over, and the tunnel will say when all is."""
        self.tunnel = tunnel
        self._begin_answer(SWITCHING_PROTOCOLS, [])
        lost = tunnel.on_upstream_lost

        def end() -> None:
            if lost is not None:
                lost()
            self.sent_bytes = tunnel.upstream_bytes
            self.end(tunnel.client_bytes, is_cut=tunnel.is_cut)

        tunnel.on_upstream_lost = end
        self._observer.switch(self)

    def lose(self, received_bytes: int) -> None:
        """The client has gone."""
        if not self.status:
            self.status = CLIENT_CLOSED
        self.end(received_bytes, is_cut=True)

    def cut(self, error: RouteError, received_bytes: int) -> None:
        """The answer ends where it is."""
        self.slug = self.slug or error.slug
        self.end(received_bytes, is_cut=True)

    def end(self, received_bytes: int, *, is_cut: bool = False) -> None:
        """It is over.

        Args:
            received_bytes: The size of the request's content.
            is_cut: Whether the answer is not whole.
        """
        if self.ended is None:
            self.received_bytes = received_bytes
            self.is_cut = is_cut
            self.ended = time.monotonic()
            self._observer.end(self)
