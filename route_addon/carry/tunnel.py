"""A WebSocket, once its handshake is over: bytes passed on in both directions, and nothing else.

Nothing is parsed here, so close codes, compression and half-closes stay as they are. Each side
is read only as fast as the other takes it, and TCP keep-alive notices a peer that is dead.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Final

from route_addon.carry.deadlines import NEVER, Deadlines, clock
from route_addon.carry.faults import describe_fault
from route_addon.carry.kernel import keep_alive
from route_addon.carry.reading import BoundedProtocol, read_unread
from route_addon.carry.wire import Wire

logger = logging.getLogger(__name__)

_HALF_CLOSED_S: Final = 60.0
"""How long one side may be silent after the other has ended: nobody answers it any more."""


class Tunnel:
    """Joins a client's wire and an upstream's transport.

    Args:
        wire: The client's side.
        transport: The upstream's side.
        deadlines: Watches the silence.
        silence_s: The longest silence in both directions, in seconds.
    """

    def __init__(
        self, wire: Wire, transport: asyncio.Transport, deadlines: Deadlines, silence_s: float
    ) -> None:
        self.deadline = NEVER
        self.on_upstream_lost: Callable[[], None] | None = None
        """Called once, when the upstream's connection is no more."""
        self.wire = wire
        self.transport = transport
        self.client_bytes = 0
        self.upstream_bytes = 0
        self.is_cut = False
        """Whether one side was lost before both had ended."""
        self._deadlines = deadlines
        self._silence_s = silence_s
        self._ended: set[str] = set()
        self._open_sides = 2
        self._is_over = False

    def start(self, data: bytes) -> None:
        """Begin, with what the upstream has sent already."""
        for transport in (self.wire.transport, self.transport):
            keep_alive(transport)
        self._deadlines.add(self)
        self.touch()
        self.transport.set_protocol(_UpstreamSide(self))
        self.wire.switch(_ClientSide(self))
        if data:
            self.receive_from_upstream(data)

    def receive_from_client(self, data: bytes) -> None:
        """Bytes of the client's."""
        self.touch()
        self.client_bytes += len(data)
        self.transport.write(data)

    def receive_from_upstream(self, data: bytes) -> None:
        """Bytes of the upstream's."""
        self.touch()
        self.upstream_bytes += len(data)
        self.wire.write(data)

    def touch(self) -> None:
        """Something moved."""
        self.deadline = clock() + self._silence_s

    def end_client(self) -> None:
        """The client sends no more."""
        if self.transport.can_write_eof() and not self.transport.is_closing():
            # One that was reset in this moment says so itself.
            with contextlib.suppress(OSError):
                self.transport.write_eof()
        self._end_side("client")

    def end_upstream(self) -> None:
        """The upstream sends no more."""
        self._receive_unread()
        self.wire.write_eof()
        self._end_side("upstream")

    def _receive_unread(self) -> None:
        for data in read_unread(self.transport):
            self.receive_from_upstream(data)

    def _end_side(self, side: str) -> None:
        """Once both sides have ended, all is over."""
        self._ended.add(side)
        if len(self._ended) == 2:
            self.close()
        else:
            self._silence_s = min(self._silence_s, _HALF_CLOSED_S)
            self.touch()

    def close(self) -> None:
        """End both sides, once what is buffered has been sent."""
        if not self._is_over:
            self._is_over = True
            self.deadline = clock() + _HALF_CLOSED_S
            self.transport.close()
            self.wire.close()
            if not self.wire.buffered_bytes and not self.transport.get_write_buffer_size():
                self._deadlines.discard(self)

    def drain(self) -> None:
        """It is never idle: nobody can tell what its silence means."""

    def leave(self) -> None:
        """Its time is up."""
        self.close()

    def abort(self) -> None:
        """End both sides at once: what was cut on one side is cut on the other."""
        self._is_over = self.is_cut = True
        self._deadlines.discard(self)
        self.transport.abort()
        self.wire.abort()

    def lose_upstream(self, *, is_orderly: bool) -> None:
        """The upstream is gone."""
        self._receive_unread()
        self.lose_side(is_orderly=is_orderly)

    def lose_side(self, *, is_orderly: bool = False) -> None:
        """One side is gone. The other may still take what was sent before both had ended."""
        if is_orderly:
            self.close()
        elif not self._is_over:
            self.abort()
        self._open_sides -= 1
        if not self._open_sides:
            self._deadlines.discard(self)

    def expire(self, now: float) -> None:
        """Silent for too long, or deaf to what was sent before the end."""
        if self._is_over:
            self.abort()
        else:
            self.close()


type TunnelMaker = Callable[[Wire, asyncio.Transport, Deadlines, float], Tunnel]
"""Makes a tunnel, or one that does more."""


def make_and_tell(make: TunnelMaker, tell: Callable[[Tunnel], None]) -> TunnelMaker:
    """The same maker, for whoever has to know of the tunnel before it starts."""

    def make_one(
        wire: Wire, transport: asyncio.Transport, deadlines: Deadlines, silence_s: float
    ) -> Tunnel:
        tunnel = make(wire, transport, deadlines, silence_s)
        tell(tunnel)
        return tunnel

    return make_one


class _ClientSide:
    """What the client sends, and whether it reads."""

    def __init__(self, tunnel: Tunnel) -> None:
        self._tunnel = tunnel

    def receive(self, data: bytes) -> None:
        self._tunnel.receive_from_client(data)

    def receive_eof(self) -> None:
        self._tunnel.end_client()

    def lost(self) -> None:
        self._tunnel.lose_side()

    def pause_writing(self) -> None:
        self._tunnel.transport.pause_reading()

    def resume_writing(self) -> None:
        self._tunnel.transport.resume_reading()

    def fail(self) -> None:
        self._tunnel.abort()


class _UpstreamSide(BoundedProtocol):
    """What the upstream sends, and whether it reads."""

    def __init__(self, tunnel: Tunnel) -> None:
        self._tunnel = tunnel

    def data_received(self, data: bytes) -> None:
        self._guard(self._tunnel.receive_from_upstream, data)

    def eof_received(self) -> bool:
        self._guard(self._tunnel.end_upstream)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._guard(self._tunnel.lose_upstream, is_orderly=exc is None)
        if self._tunnel.on_upstream_lost is not None:
            self._guard(self._tunnel.on_upstream_lost)

    def pause_writing(self) -> None:
        self._guard(self._tunnel.wire.pause_reading)

    def resume_writing(self) -> None:
        self._guard(self._tunnel.wire.resume_reading)

    def _guard[**P](self, call: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
        """Call; a fault of ours ends the tunnel and nothing else."""
        try:
            call(*args, **kwargs)
        except Exception as fault:
            logger.error("a tunnel failed: %s", describe_fault(fault))
            self._tunnel.abort()
