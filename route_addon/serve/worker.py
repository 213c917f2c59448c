"""One worker: a lean mitmproxy that takes its parent's words."""

import asyncio
import socket
from collections.abc import Sequence

from route_addon.addon import RouteAddon
from route_addon.config.workers import Worker
from route_addon.serve.arguments import Arguments
from route_addon.serve.lean import load_master
from route_addon.serve.loop import choose_loop
from route_addon.serve.open_files import Shortage
from route_addon.serve.supervisor import DRAIN, READY, RELOAD


def run_worker(
    arguments: Arguments,
    sockets: Sequence[socket.socket],
    worker: Worker,
    control: socket.socket,
) -> int:
    """Serve until the parent says to end, or is gone.

    Args:
        arguments: The options.
        sockets: What to listen with.
        worker: Which worker this is.
        control: The connection to the parent.

    Returns:
        The exit status.
    """
    asyncio.run(_serve(arguments, sockets, worker, control), loop_factory=choose_loop().make)
    return 0


async def _serve(
    arguments: Arguments,
    sockets: Sequence[socket.socket],
    worker: Worker,
    control: socket.socket,
) -> None:
    control.setblocking(False)
    lean, route = load_master(arguments, worker, sockets, lambda: _say(control, READY))
    _Obedience(control, route)
    Shortage().watch()
    await lean.run()


class _Obedience:
    """Does what the parent says.

    Args:
        control: The connection to it.
        route: The router.
    """

    def __init__(self, control: socket.socket, route: RouteAddon) -> None:
        self._control = control
        self._route = route
        asyncio.get_running_loop().add_reader(control, self._read)

    def _read(self) -> None:
        try:
            words = self._control.recv(256)
        except OSError:
            words = b""
        if not words:
            asyncio.get_running_loop().remove_reader(self._control)
        if not words or DRAIN in words:
            self._route.drain()
        elif RELOAD in words:
            self._route.reloads.begin()


def _say(control: socket.socket, word: bytes) -> None:
    try:
        control.send(word)
    except OSError:
        # It is gone, and the reader will see that.
        return
