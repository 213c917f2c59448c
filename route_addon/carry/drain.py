"""The end of the service: nobody new is taken, and who is here is waited for."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Protocol

from mitmproxy import http

from route_addon.carry.deadlines import Deadlines
from route_addon.carry.http1.client import ClientHttp1
from route_addon.carry.http2.client import ClientHttp2
from route_addon.carry.limits import DrainLimits
from route_addon.carry.listen.arrivals import Arrival
from route_addon.carry.listen.listener import stop_listening
from route_addon.carry.tunnel import Tunnel

STILL_LISTENING_S: Final = 3.0
"""How long new connections are still taken, so that who sends here hears of the end first: a
Service's endpoints and a balancer's checks are not changed at once."""

_POLL_S: Final = 0.1
_FAREWELL_S: Final = 1.0
"""How long the last words to those whose time is up may take."""

type Flows = Callable[[], Iterable[http.HTTPFlow]]


class _Guest(Protocol):
    """A client's connection."""

    def drain(self) -> None:
        """Close it, if nothing is under way."""

    def leave(self) -> None:
        """Its time is up: end what is under way. May be called again until it is gone."""


class Drain:
    """Waits for who is here, for as long as the limits say.

    Args:
        limits: How long.
        deadlines: Where all connections of the relay are.
        flows: Those of mitmproxy's own layers that are under way.
    """

    def __init__(self, limits: DrainLimits, deadlines: Deadlines | None, flows: Flows) -> None:
        self._limits = limits
        self._deadlines = deadlines
        self._flows = flows

    async def run(self) -> None:
        """Stop listening, and return once nobody is left or their time is up."""
        limits, time = self._limits, asyncio.get_running_loop().time
        begin = time()
        await asyncio.sleep(min(STILL_LISTENING_S, limits.requests_s))
        await stop_listening()
        while (since_s := time() - begin) < limits.total_s + _FAREWELL_S:
            if not self._see_off(since_s):
                return
            await asyncio.sleep(_POLL_S)

    def _see_off(self, since_s: float) -> bool:
        """Close what rests, and end what has had its time.

        Returns:
            Whether anybody is left.
        """
        limits = self._limits
        is_busy = any(
            since_s < (limits.websockets_s if flow.websocket else limits.requests_s)
            for flow in self._flows()
        )
        if self._deadlines is None:
            return is_busy
        find = self._deadlines.find
        requests: Sequence[_Guest] = (*find(Arrival), *find(ClientHttp1), *find(ClientHttp2))
        websockets: Sequence[_Guest] = find(Tunnel)
        for guests, within_s in (
            (requests, limits.requests_s),
            (websockets, limits.websockets_s),
        ):
            for guest in guests:
                if since_s < within_s:
                    guest.drain()
                else:
                    guest.leave()
        return is_busy or bool(requests or websockets)
