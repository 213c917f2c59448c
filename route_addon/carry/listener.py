"""Listening with sockets of our own, which other processes may share.

mitmproxy opens one address. These sockets are opened before it runs, are as many as are wanted,
and are handed over to it: its registry, its hooks and its UIs see one more of its listeners.
"""

import asyncio
import logging
import os
import select
import socket
from collections.abc import Callable, Sequence
from typing import Any, Final

from mitmproxy import connection, ctx
from mitmproxy.proxy import mode_specs
from mitmproxy.proxy.mode_servers import ServerInstance

from route_addon.carry.faults import describe_fault
from route_addon.carry.sockets import BACKLOG

logger = logging.getLogger(__name__)

DEAD_END: Final = "reverse:http://127.0.0.1:9"
"""The mode that the router runs in: its target is never connected to, every request has its own."""

_PATIENCE_S: Final = 1.0


type Admit = Callable[[], asyncio.BaseProtocol | None]
"""Tells what is to be the protocol of a connection that has come; None to let mitmproxy host it."""


async def listen_with(sockets: Sequence[socket.socket], admit: Admit) -> None:
    """Take connections from these sockets, too, in the place of mitmproxy's own listener."""
    proxyserver = ctx.master.addons.get("proxyserver")
    mode = mode_specs.ProxyMode.parse(DEAD_END)
    known = proxyserver.servers._instances
    instance: Any = known.get(mode) or ServerInstance.make(mode, proxyserver)
    await _serve(instance, sockets, admit)
    known[mode] = instance


async def take_listeners_over(admit: Admit) -> None:
    """Take connections from the sockets that mitmproxy listens with: none in a queue is lost."""
    for instance in ctx.master.addons.get("proxyserver").servers:
        if isinstance(instance.mode, mode_specs.ReverseMode):
            servers, instance._servers = instance._servers, []
            for server in servers:
                await _serve(instance, [_copy(sock) for sock in server.sockets], admit)
                server.close()


def _copy(sock: Any) -> socket.socket:
    """The same socket once more: to close one of them does not close the other."""
    return socket.socket(fileno=os.dup(sock.fileno()))


async def _serve(instance: Any, sockets: Sequence[socket.socket], admit: Admit) -> None:
    """Take connections for one of mitmproxy's modes, and host those that nobody admits."""
    loop = asyncio.get_running_loop()

    def make_protocol() -> asyncio.BaseProtocol:
        try:
            own = admit()
        except Exception as fault:
            logger.error("a connection was not admitted: %s", describe_fault(fault))
            own = None
        return own or asyncio.StreamReaderProtocol(
            asyncio.StreamReader(loop=loop), instance.handle_stream, loop=loop
        )

    for sock in sockets:
        instance._servers.append(await loop.create_server(make_protocol, sock=sock))
        # It has asked for a shorter queue.
        sock.listen(BACKLOG)


def listen_addresses() -> list[connection.Address]:
    """The addresses that the router listens at."""
    return list(ctx.master.addons.get("proxyserver").listen_addrs())


async def stop_listening() -> None:
    """Accept nobody any more, but those who have come already and wait in the queue."""
    servers = ctx.master.addons.get("proxyserver").servers
    poll = select.poll()
    for instance in servers:
        for server in instance._servers:
            # A server for UDP, which another mode may have, has none.
            for sock in getattr(server, "sockets", ()):
                poll.register(sock, select.POLLIN)
    loop = asyncio.get_running_loop()
    end = loop.time() + _PATIENCE_S
    while poll.poll(0) and loop.time() < end:
        await asyncio.sleep(0)
    await servers.update([])
