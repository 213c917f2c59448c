"""What all watched exchanges of a process share."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from route_addon.carry.client_stream import ClientStream
from route_addon.carry.exchange import Exchange
from route_addon.carry.faults import describe_fault
from route_addon.carry.guard import Guard
from route_addon.carry.limits import WatchLimits
from route_addon.carry.masks.mask import Mask
from route_addon.carry.watched.exchange import WatchedExchange
from route_addon.core.messages import RequestHead

if TYPE_CHECKING:
    from route_addon.carry.relay import Relay

logger = logging.getLogger(__name__)


class Watch:
    """Makes exchanges that are watched.

    Args:
        guard: Told of every flow that has been decided.
    """

    def __init__(self, guard: Guard) -> None:
        self.guard = guard
        self.limits = WatchLimits()
        self.mask = Mask()
        self._tasks: set[asyncio.Task[None]] = set()

    def make_exchange(self, relay: "Relay", stream: ClientStream, head: RequestHead) -> Exchange:
        """An exchange that is watched."""
        return WatchedExchange(relay, stream, head, self)

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Do work here and now, and what of it has to wait beside.

        Args:
            work: It sleeps for no time before it waits for anything else: then it gets a task.
        """
        try:
            work.send(None)
        except StopIteration:
            return
        except Exception as fault:
            logger.error("what is watched failed: %s", describe_fault(fault))
            return
        self.run(work)

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """Run work beside, and keep it: the loop alone would let it go."""
        task = asyncio.get_running_loop().create_task(work)
        if not task.done():
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
