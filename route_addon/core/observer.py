"""What a carrier tells of requests, for whoever counts or writes them down.

A carrier makes a ``Report`` when a request has come, fills it as the request goes its way, and
shows it to its ``Observer`` at the beginning and at the end; in between an observer may look at
those that are open. Nobody asks a carrier for more, and without an observer it makes none.
"""

from dataclasses import dataclass
from typing import Protocol

from route_addon.core.messages import Decision, Forward, RequestHead, Respond, Server

CLIENT_CLOSED = 499
"""The status of a request whose client has gone before the answer began: nginx's own."""


class Traffic(Protocol):
    """The content of a tunnel, as it goes on."""

    client_bytes: int
    """What has come from the client."""
    upstream_bytes: int
    """What has come from the upstream."""
    is_cut: bool
    """Whether one side was lost before both had ended."""


@dataclass(eq=False)
class Report:
    """What is known of one request. Without slots: what is usual stands in the class."""

    head: RequestHead
    """As the client sent it: with its tokens. Of a head that could not be read only the peer and
    the request id are true, and there is no decision."""
    time: float
    """When it came, in seconds since the epoch."""
    began: float
    """When it came, in seconds of a clock that never goes back; so are the times below."""
    decision: Decision | None = None
    """The last one; of a ``Forward`` the server is the one that was tried last."""
    answer: Respond | None = None
    """An answer of our own."""
    is_token_cached: bool = True
    """Whether the token, if there was one to look at, was known."""
    reached: float | None = None
    """When a connection to the upstream was there."""
    first_byte: float | None = None
    """When the answer's head was sent."""
    ended: float | None = None
    """When all of the answer was sent, or it was cut."""
    status: int = 0
    """The answer's; 0 for none."""
    slug: str = ""
    """The reason of a refusal, or of a cut by an error."""
    received_bytes: int = 0
    """Of the request's content; what nobody wanted is not counted."""
    sent_bytes: int = 0
    """Of the answer's content."""
    is_cut: bool = False
    """Whether the answer is not whole."""
    http_cache: bytes = b""
    """The answer's Cache-Status (RFC 9211) where the HTTP cache was asked."""
    tunnel: Traffic | None = None
    """The WebSocket's, once its handshake is over."""

    @property
    def server(self) -> Server | None:
        """The server that it was sent to, or would have been."""
        decision = self.decision
        return decision.server if isinstance(decision, Forward) else None

    @property
    def request_id(self) -> bytes:
        """The identifier that the client and the upstream have been told."""
        return (self.answer or self.decision or self.head).request_id


class Observer(Protocol):
    """Whoever wants to know. What it does must be little, and must not raise."""

    def begin(self, report: Report) -> None:
        """A request has come; nothing is decided."""

    def switch(self, report: Report) -> None:
        """Its handshake is over: a WebSocket goes on from here until the end."""

    def end(self, report: Report) -> None:
        """It is over, however that came."""
