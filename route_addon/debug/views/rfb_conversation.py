"""What the messages of one WebSocket say in RFB, read in their order, each of them once."""

from collections.abc import Sequence
from typing import Final
from weakref import WeakKeyDictionary, ref

from mitmproxy.websocket import WebSocketMessage

from route_addon.debug.views.rfb_client import VERSION, read_client, read_client_messages
from route_addon.debug.views.rfb_server import read_server, read_server_messages
from route_addon.debug.views.rfb_session import Session
from route_addon.debug.views.stream import Closed, Lost, Stream
from route_addon.debug.views.tally import Tally

_MAX_STEPS: Final = 20_000
"""For one message; 64 KiB of framebuffer, as websockify sends at once, take some hundred."""
_MAX_ALL_STEPS: Final = 400_000
"""For all messages that are read at once: a person waits, and so do the connections."""
_VERSION_BYTES: Final = 12


class Conversation:
    """Reads both directions of a WebSocket.

    A live look keeps the newest messages only. Where the beginning is gone, a message is read as
    if one of the protocol began with it, as is mostly so, and the screen as noVNC asks for it.
    """

    def __init__(self) -> None:
        self._session = Session(Tally())
        self._streams: dict[bool, Stream | None] = {}
        """By whether the client sends; None where the beginning is gone."""
        self._closed = ""
        """Why nothing can be read any more."""
        self._lines: WeakKeyDictionary[WebSocketMessage, list[str]] = WeakKeyDictionary()
        self._last: ref[WebSocketMessage] | None = None

    def describe(
        self, message: WebSocketMessage, messages: Sequence[WebSocketMessage]
    ) -> list[str]:
        """What a message says, in lines.

        Args:
            message: The message.
            messages: All that are kept of the WebSocket, in their order.
        """
        if message not in self._lines:
            self._read_on(messages)
        lines = self._lines.get(message)
        if lines is None:
            lines, _ = Conversation()._read(message, _MAX_STEPS)
        return lines

    def _read_on(self, messages: Sequence[WebSocketMessage]) -> None:
        """Read all that have come since the last time."""
        left = _MAX_ALL_STEPS
        for message in messages[self._find_next(messages) :]:
            self._lines[message], steps = self._read(message, min(left, _MAX_STEPS))
            left -= steps
            self._last = ref(message)

    def _find_next(self, messages: Sequence[WebSocketMessage]) -> int:
        last = self._last() if self._last is not None else None
        for index in range(len(messages) - 1, -1, -1):
            if messages[index] is last:
                return index + 1
        if self._last is not None:
            # Some have come and gone meanwhile.
            self._streams = {True: None, False: None}
        return 0

    def _read(self, message: WebSocketMessage, max_steps: int) -> tuple[list[str], int]:
        """Read one.

        Returns:
            What it says, and how many steps were taken.
        """
        if self._closed:
            return [f"not read: {self._closed}"], 0
        tally = self._session.tally = Tally()
        stream = self._find_stream(message)
        steps = stream.steps
        try:
            stream.feed(message.content, max_steps)
            self._streams[message.from_client] = stream
        except Lost as lost:
            tally.tell(f"not read any further: {lost}")
            self._closed = str(lost) if isinstance(lost, Closed) else ""
            self._streams[message.from_client] = None
        return tally.lines() or ["part of a message that goes on"], stream.steps - steps

    def _find_stream(self, message: WebSocketMessage) -> Stream:
        """The stream of a message's direction; one from its middle where there is none."""
        side, session = message.from_client, self._session
        stream = self._streams.get(side)
        if stream is not None:
            return stream
        is_first = side not in self._streams
        if is_first and VERSION.match(message.content[:_VERSION_BYTES]) is not None:
            return Stream((read_client if side else read_server)(session))
        session.tally.tell("read from the middle: what came before is not kept")
        return Stream((read_client_messages if side else read_server_messages)(session))
