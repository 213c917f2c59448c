"""What an HTTP/2 client is sent, within the room that it leaves, and in turn.

Streams whose client leaves no room wait in a queue. When there is room again each of them sends
a frame, and then goes to the queue's end.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from route_addon.carry.faults import describe_fault
from route_addon.carry.http2.patience import Patience
from route_addon.carry.http2.session import Session

logger = logging.getLogger(__name__)

_WRITE_BYTES: Final = 64 * 1024
"""How much is gathered before it is written."""
_SMALL_BYTES: Final = 1024
_PATIENCE_S: Final = 0.01
"""Room for less than this is left alone for so long, if more waits: a client that gives back each
frame's room by itself would get ever smaller frames (the silly window syndrome, RFC 813), and what
it says of them would cost it our patience."""


class Sender(Protocol):
    """A stream with an answer."""

    number: int
    unsent: deque[memoryview]
    """Content that waits."""
    sent_bytes: int
    """How much has been sent of what had to wait."""
    is_answer_whole: bool
    """Whether nothing follows what waits."""

    def settle(self) -> None:
        """Nothing waits any more."""


class Outlet:
    """The way out of one connection.

    Args:
        session: Frames the content.
        patience: Told of what is sent.
        flush: Writes what the session has gathered.
        fail: Ends the connection, after a fault of ours.
    """

    def __init__(
        self,
        session: Session,
        patience: Patience,
        flush: Callable[[], None],
        fail: Callable[[], None],
    ) -> None:
        self.is_paused = False
        """Whether the client does not read what was written."""
        self.is_held = False
        """Whether whoever holds it flushes anyway."""
        self._session = session
        self._patience = patience
        self._flush = flush
        self._fail = fail
        self._is_flush_due = False
        self._is_small_due = False
        """Whether small frames will be sent in a moment."""
        self._queue: dict[int, Sender] = {}

    def touch(self) -> None:
        """Something is to be written, or seen to, at the end of this turn of the loop."""
        if not self.is_held and not self._is_flush_due:
            self._is_flush_due = True
            asyncio.get_running_loop().call_soon(self._flush_late)

    def send_fields(
        self, number: int, block: bytes, *, is_end: bool = False, is_interim: bool = False
    ) -> None:
        """Send an answer's fields, which are encoded already."""
        self._session.send_fields(number, block, is_end=is_end, is_interim=is_interim)
        self.touch()

    def send_end(self, number: int) -> None:
        """Send an answer's end, without content."""
        self._session.send_data(number, b"", is_end=True)
        self.touch()

    def pump(self, sender: Sender) -> None:
        """Send what waits on a stream, as far as there is room."""
        while self._send_frame(sender):
            pass
        if sender.unsent:
            self._queue.setdefault(sender.number, sender)

    def pump_all(self) -> None:
        """Send what waits on any stream, a frame of each in turn."""
        stuck = 0
        while stuck < len(self._queue) and not self.is_paused:
            number = next(iter(self._queue))
            sender = self._queue.pop(number)
            stuck = 0 if self._send_frame(sender) else stuck + 1
            if sender.unsent:
                self._queue[number] = sender

    def forget(self, number: int) -> None:
        """A stream is over."""
        self._queue.pop(number, None)

    def _send_frame(self, sender: Sender, least_bytes: int = _SMALL_BYTES) -> bool:
        """Send one frame.

        Returns:
            Whether there was something, and room for it, or for the least of it.
        """
        if self.is_paused or not sender.unsent:
            return False
        number, session = sender.number, self._session
        room = session.room(number)
        if room <= 0:
            return False
        if room < least_bytes and room < len(sender.unsent[0]):
            self._wait_for_more_room()
            return False
        block = sender.unsent.popleft()
        if len(block) > room:
            sender.unsent.appendleft(block[room:])
            block = block[:room]
        sender.sent_bytes += len(block)
        is_all = not sender.unsent
        session.send_data(number, block, is_end=is_all and sender.is_answer_whole)
        self._patience.count_sent(len(block), room - len(block))
        if session.gathered_bytes >= _WRITE_BYTES:
            self._flush()
        else:
            self.touch()
        if is_all:
            sender.settle()
        return True

    def _wait_for_more_room(self) -> None:
        if not self._is_small_due:
            self._is_small_due = True
            asyncio.get_running_loop().call_later(_PATIENCE_S, self._send_small)

    def _send_small(self) -> None:
        """There is no more room than this: use what there is."""
        self._is_small_due = False
        try:
            for number, sender in list(self._queue.items()):
                self._send_frame(sender, least_bytes=1)
                if not sender.unsent:
                    self._queue.pop(number, None)
        except Exception as fault:
            logger.error("a connection failed: %s", describe_fault(fault))
            self._fail()

    def _flush_late(self) -> None:
        self._is_flush_due = False
        try:
            self._flush()
        except Exception as fault:
            logger.error("a connection failed: %s", describe_fault(fault))
            self._fail()
