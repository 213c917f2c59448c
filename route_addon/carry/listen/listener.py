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
from route_addon.carry.kernel import count_waiting
from route_addon.carry.listen.sockets import BACKLOG

logger = logging.getLogger(__name__)

DEAD_END: Final = "reverse:http://127.0.0.1:9"
"""The mode that the router runs in: its target is never connected to, every request has its own."""

_MANY: Final = 32
"""Connections that may wait to be accepted one by one."""
_AT_ONCE: Final = 128
"""Connections that are accepted together."""

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
        queue = _Queue(sock, make_protocol)
        instance._servers.append(await loop.create_server(queue._guard, sock=sock))
        # It has asked for a shorter queue.
        sock.listen(BACKLOG)


class _Queue:
    """Those who wait to be accepted.

    uvloop takes one of them in each turn of its own. In a long queue each would wait for all that
    is done for those before it; once accepted, clients can be told from others: see ``Turns``.

    Args:
        sock: The listening socket.
        make_protocol: Makes the protocol of a connection.
    """

    def __init__(
        self, sock: socket.socket, make_protocol: Callable[[], asyncio.BaseProtocol]
    ) -> None:
        self._sock = sock
        self._make_protocol = make_protocol
        self._loop = asyncio.get_running_loop()
        self._is_next = False
        self._accepting: set[asyncio.Task[Any]] = set()

    def _guard(self) -> asyncio.BaseProtocol:
        """The loop has accepted one. A fault here would let uvloop accept nobody any more."""
        try:
            self._look_for_more()
        except Exception as fault:
            logger.error("the queue was not looked at: %s", describe_fault(fault))
        return self._make_protocol()

    def _look_for_more(self) -> None:
        """If many more wait, they are next."""
        if not self._is_next and count_waiting(self._sock) > _MANY:
            self._is_next = True
            self._loop.call_soon(self._take_more)

    def _take_more(self) -> None:
        self._is_next = False
        for _ in range(_AT_ONCE):
            try:
                accepted, _peer = self._sock.accept()
            except OSError:
                # There are no more, or no more files for them: the loop will see.
                return
            accepted.setblocking(False)
            coming = self._loop.connect_accepted_socket(self._make_protocol, accepted)
            task = self._loop.create_task(coming)
            self._accepting.add(task)
            task.add_done_callback(self._accepting.discard)


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
