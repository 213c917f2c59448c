"""Listening with sockets of our own, which other processes may share.

mitmproxy opens one address. These sockets are opened before it runs, are as many as are wanted,
and are handed over to it: its registry, its hooks and its UIs see one more of its listeners.
"""

import asyncio
import select
import socket
from collections.abc import Sequence
from typing import Any, Final

from mitmproxy import connection, ctx
from mitmproxy.proxy import mode_specs
from mitmproxy.proxy.mode_servers import ServerInstance

from route_addon.carry.sockets import BACKLOG

DEAD_END: Final = "reverse:http://127.0.0.1:9"
"""The mode that the router runs in: its target is never connected to, every request has its own."""

_PATIENCE_S: Final = 1.0


async def listen_with(sockets: Sequence[socket.socket]) -> None:
    """Let mitmproxy take connections from these sockets, in the place of its own listener."""
    proxyserver = ctx.master.addons.get("proxyserver")
    mode = mode_specs.ProxyMode.parse(DEAD_END)
    instance: Any = ServerInstance.make(mode, proxyserver)
    for sock in sockets:
        instance._servers.append(await asyncio.start_server(instance.handle_stream, sock=sock))
        # It has asked for a shorter queue.
        sock.listen(BACKLOG)
    proxyserver.servers._instances[mode] = instance


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
