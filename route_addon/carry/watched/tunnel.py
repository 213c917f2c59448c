"""A tunnel that is watched: a copy of what passes goes to who reads its messages."""

import asyncio

from wsproto.frame_protocol import CloseReason

from route_addon.carry.deadlines import Deadlines
from route_addon.carry.tunnel import Tunnel
from route_addon.carry.watched.websocket import WebSocketCopy
from route_addon.carry.wire import Wire


class WatchedTunnel(Tunnel):
    """A tunnel that gives a copy of what passes.

    Args:
        wire: The client's side.
        transport: The upstream's side.
        deadlines: Watches the silence.
        silence_s: The longest silence in both directions, in seconds.
        copy: Gets the copy.
    """

    def __init__(
        self,
        wire: Wire,
        transport: asyncio.Transport,
        deadlines: Deadlines,
        silence_s: float,
        copy: WebSocketCopy,
    ) -> None:
        super().__init__(wire, transport, deadlines, silence_s)
        self._copy = copy
        self._has_left = False

    def receive_from_client(self, data: bytes) -> None:
        super().receive_from_client(data)
        self._copy.receive(data, from_client=True)

    def receive_from_upstream(self, data: bytes) -> None:
        if self._has_left:
            # RFC 6455 5.5.1: nothing follows a close.
            return
        super().receive_from_upstream(data)
        self._copy.receive(data, from_client=False)

    def leave(self) -> None:
        """Its time is up: say so to the client, between two frames of the upstream's.

        The client's answer goes the way of all its bytes, and the upstream ends the connection.
        """
        if self._copy.is_stopped:
            self.close()
        elif not self._has_left and self._copy.is_between_frames:
            self._has_left = True
            self.wire.write(self._copy.build_close(CloseReason.GOING_AWAY))

    def close(self) -> None:
        is_client_gone = self.wire.is_closing
        super().close()
        self._copy.end(by_client=is_client_gone)

    def abort(self) -> None:
        is_client_gone = self.wire.is_closing
        super().abort()
        self._copy.end(by_client=is_client_gone)
