"""A client in memory: the connection under test gets its frames, and fakes stand around it."""

import asyncio
from collections.abc import Callable
from typing import Any

from route_addon.carry.deadlines import Deadlines
from route_addon.carry.http2.client import ClientHttp2
from route_addon.carry.limits import Limits
from route_addon.core.errors import InternalError, RouteError
from route_addon.core.messages import Field, Fields, Peer, RequestHead
from tests.http2_frames import Heard, Speaker

PEER = Peer("192.0.2.1", b"https", 443)


class FakeWire:
    """A wire whose other end is the test."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.buffered_bytes = 0
        self.is_closing = False
        self.is_aborted = False
        self.is_reading = True
        self.client = object()

    def write(self, data: bytes) -> None:
        assert not self.is_closing
        self.written.append(data)

    def close(self) -> None:
        self.is_closing = True

    def abort(self) -> None:
        self.is_closing = self.is_aborted = True

    def pause_reading(self) -> None:
        self.is_reading = False

    def resume_reading(self) -> None:
        self.is_reading = True


class FakeExchange:
    """An exchange that does what the test says."""

    def __init__(self, relay: "FakeRelay", stream: Any, head: RequestHead) -> None:
        self.relay = relay
        self.stream = stream
        self.head = head
        self.is_over = False
        self.is_lost = False
        self.is_paused = False
        self.error: RouteError | None = None
        self.content: list[bytes] = []
        self.is_whole = False

    @property
    def body(self) -> bytes:
        """The content that has come."""
        return b"".join(self.content)

    def start(self) -> None:
        self.relay.started.append(self)
        self.relay.on_start(self)

    def receive_content(self, pieces: list[bytes], is_end: bool) -> None:
        assert all(pieces)
        assert not self.is_whole
        self.content += pieces
        self.is_whole = is_end
        self.relay.on_content(self)

    def answer(self, *pieces: bytes, status: int = 200, fields: Fields = ()) -> None:
        """Answer, whole."""
        body = b"".join(pieces)
        self.stream.send_head(status, None, fields, len(body), list(pieces), True)
        self.finish()

    def finish(self) -> None:
        """The answer has been given."""
        self.is_over = True
        self.stream.finish()

    def refuse(self, error: RouteError) -> None:
        self.error = error
        self.answer(error.slug.encode(), status=error.status)

    def fail(self) -> None:
        self.relay.on_fail(self)
        self.refuse(InternalError())

    def client_lost(self) -> None:
        self.is_over = self.is_lost = True
        self.relay.on_lost(self)

    def pause_answer(self) -> None:
        self.is_paused = True

    def resume_answer(self) -> None:
        self.is_paused = False


def _nothing(exchange: FakeExchange) -> None:
    pass


class FakeRelay:
    """What all connections share."""

    def __init__(self, **limits: float) -> None:
        self.limits = Limits(**limits)  # type: ignore[arg-type]
        self.deadlines = Deadlines()
        self.is_draining = False
        self.exchanges: list[FakeExchange] = []
        self.started: list[FakeExchange] = []
        self.on_start: Callable[[FakeExchange], None] = _nothing
        self.on_content: Callable[[FakeExchange], None] = _nothing
        self.on_lost: Callable[[FakeExchange], None] = _nothing
        self.on_fail: Callable[[FakeExchange], None] = _nothing

    def make_exchange(self, stream: Any, head: RequestHead) -> FakeExchange:
        exchange = FakeExchange(self, stream, head)
        self.exchanges.append(exchange)
        return exchange


class Http2Peer(Speaker):
    """A client, and the connection that is under test.

    Args:
        limits: As ``Limits`` takes them.
    """

    def __init__(self, **limits: float) -> None:
        super().__init__()
        self.relay = FakeRelay(**limits)
        self.wire = FakeWire()
        relay: Any = self.relay
        wire: Any = self.wire
        self.server = ClientHttp2(relay, wire, PEER)
        self._stream = -1
        self._heard: list[Heard] = []
        self._read = 0

    @property
    def exchange(self) -> FakeExchange:
        """The one that was made last."""
        return self.relay.exchanges[-1]

    def say(self, *data: bytes) -> None:
        """Send bytes, in one piece."""
        self.server.receive(b"".join(data))

    def ask(self, *fields: Field, **request: Any) -> FakeExchange:
        """Send a request's head on the next stream."""
        self._stream += 2
        self.say(self.head(self._stream, *fields, **request))
        return self.exchange

    async def heard(self, *kinds: str) -> list[Heard]:
        """What has been said since the last time, after a turn of the loop.

        Args:
            kinds: The kinds to tell of; all but the connection's small talk when none is given.
        """
        await turn()
        fresh = self.wire.written[self._read :]
        self._read = len(self.wire.written)
        heard = [frame for data in fresh for frame in self.hear(data)]
        if kinds:
            return [frame for frame in heard if frame.kind in kinds]
        return [frame for frame in heard if frame.kind not in ("SETTINGS", "WINDOW_UPDATE")]

    async def answer(self) -> tuple[int, dict[bytes, bytes], bytes]:
        """The one answer that has been said: its status, fields and content."""
        heard = await self.heard("HEADERS", "DATA")
        head, *rest = heard
        assert head.kind == "HEADERS"
        assert heard[-1].ends
        fields = dict(head.value)
        return int(fields.pop(b":status")), fields, b"".join(frame.value for frame in rest)

    def expire(self, waiting: Any | None = None) -> None:
        """Let the deadline of the connection pass, or that of one of its streams."""
        waiting = waiting or self.server
        now = asyncio.get_running_loop().time()
        waiting.deadline = -1.0
        waiting.expire(now)

    def expire_stream(self, exchange: FakeExchange) -> None:
        """Let all deadlines of a stream pass."""
        stream = exchange.stream
        past = -1.0
        stream._body_due = past if stream._body_due != float("inf") else stream._body_due
        stream._send_due = past if stream._send_due != float("inf") else stream._send_due
        self.expire(stream)


async def turn() -> None:
    """Let the loop turn once."""
    await asyncio.sleep(0)
    await asyncio.sleep(0)


async def connect(**limits: float) -> Http2Peer:
    """A client that has greeted, and heard the greeting."""
    peer = Http2Peer(**limits)
    peer.say(peer.greet(), peer.acknowledge())
    await peer.heard()
    return peer
