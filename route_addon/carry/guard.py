"""The second addon: whatever no carrier of ours has stamped is refused.

mitmproxy survives a script that fails, is edited or is deleted, and goes on as the proxy that it
then is. The guard is added beside the script, outlives it, and needs nothing of it: a flow
without a stamp, or an upstream connection without an approval, goes nowhere.
"""

import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections.abc import Callable, Sequence
from weakref import WeakKeyDictionary, WeakSet

from cachetools import LRUCache
from mitmproxy import connection, ctx, http, tls
from mitmproxy.proxy import mode_specs, server_hooks
from mitmproxy.utils import human

from route_addon.carry.flows import build_response
from route_addon.carry.listen.door import Door
from route_addon.carry.listen.listener import (
    DEAD_END,
    listen_addresses,
    listen_with,
    take_listeners_over,
)
from route_addon.carry.listen.sockets import ListenAddress, ListenFault, is_open, open_sockets
from route_addon.carry.tls.layer import is_own_session, open_refusal
from route_addon.core.error_pages import respond_error
from route_addon.core.errors import Undecided

logger = logging.getLogger(__name__)

type ServerAddress = tuple[str, int]

_POLL_S = 0.01

_MAX_APPROVALS = 256
"""Approvals kept for one client connection: each is used at once, or not at all."""


class Guard:
    """Refuses what nobody has decided.

    Args:
        sockets: What to listen with, where it has been opened already.
    """

    name = "route_guard"

    def __init__(self, sockets: Sequence[socket.socket] = ()) -> None:
        self.describe: Callable[[], str] = str
        """What the start line says of the configuration."""
        self.addresses: Sequence[ListenAddress] = ()
        """Where to listen; nothing for mitmproxy's own options."""
        self.has_certificate: Callable[[], bool] = bool
        """Whether there is TLS to listen for."""
        self.drain: Callable[[], None] | None = None
        """Begins to end the service."""
        self.reload: Callable[[], None] | None = None
        """Begins to read the configuration again."""
        self.start_level = logging.INFO
        """Of the start line."""
        self.door: Door | None = None
        """Where connections come in; none for mitmproxy's own way."""
        self._sockets = sockets
        self._shut: list[socket.socket] = []
        """Those that wait for a certificate."""
        self._is_ending = False
        self._stamps: WeakKeyDictionary[http.HTTPFlow, ServerAddress | None] = WeakKeyDictionary()
        self._own_names: WeakKeyDictionary[http.HTTPFlow, str] = WeakKeyDictionary()
        self._replays: WeakSet[http.HTTPFlow] = WeakSet()
        self._approved: WeakKeyDictionary[connection.Client, LRUCache[ServerAddress, bool]] = (
            WeakKeyDictionary()
        )

    def stamp_answer(self, flow: http.HTTPFlow) -> None:
        """A carrier has answered this flow itself."""
        self._stamps[flow] = None

    def stamp_forward(self, flow: http.HTTPFlow, address: ServerAddress) -> None:
        """A carrier has decided where this flow goes."""
        self._stamps[flow] = address
        self._approved.setdefault(flow.client_conn, LRUCache(_MAX_APPROVALS))[address] = True

    def stamp_relayed(self, flow: http.HTTPFlow, address: ServerAddress, own_name: str) -> None:
        """The relay has decided where this flow goes, and connects to it by itself.

        Args:
            flow: The flow.
            address: Where it goes.
            own_name: What its client calls us. A URL that somebody rewrites names that, and so
                no other destination: the relay decides again.
        """
        self._stamps[flow] = address
        self._own_names[flow] = own_name

    def admit_replay(self, flow: http.HTTPFlow) -> None:
        """A flow is sent again by a handler of ours: what was decided of it before is over."""
        self._stamps.pop(flow, None)
        self._replays.add(flow)

    def end_replay(self, flow: http.HTTPFlow) -> None:
        """It has been; any other replay of it is refused."""
        self._replays.discard(flow)

    def is_stamped(self, flow: http.HTTPFlow) -> bool:
        """Whether a carrier has decided this flow."""
        return flow in self._stamps

    async def running(self) -> None:
        """Become a reverse proxy, and say so once the listener is there.

        Before that mitmproxy listens as a forward proxy, for a moment; ``client_connected``
        refuses what it accepts then. A listener that fails is logged, which ends the start.
        """
        if not ctx.options.server:
            return
        try:
            sockets = self._open_sockets()
        except ListenFault as fault:
            logger.error("%s", fault)
            return
        if sockets:
            await listen_with(sockets, self._admit)
        if sockets or not all(mode.startswith("reverse:") for mode in ctx.options.mode):
            ctx.options.update(mode=[DEAD_END])
        servers = ctx.master.addons.get("proxyserver").servers
        await asyncio.sleep(0)  # for the task that changes the listener to begin
        while servers.is_updating:
            await asyncio.sleep(_POLL_S)
        if self.door is not None and not sockets:
            await take_listeners_over(self._admit)
        addresses = dict.fromkeys(map(human.format_address, listen_addresses()))
        if not addresses:
            logger.error("no listener could be opened")
            return
        logger.log(
            self.start_level,
            "route_addon listens at %s; %s",
            " and ".join(addresses),
            self.describe(),
        )
        with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
            # Elsewhere than in the main thread it goes on as mitmproxy has it.
            self._receive_signals(asyncio.get_running_loop())

    def _receive_signals(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.add_signal_handler(signal.SIGTERM, self._terminate)
        is_free = signal.getsignal(signal.SIGHUP) is signal.SIG_DFL
        # Where there is a terminal SIGHUP says that it is gone, which ends a program.
        if is_free and not _has_terminal():
            loop.add_signal_handler(signal.SIGHUP, self._reload)

    def _reload(self) -> None:
        # Asked for only now: the script may have been loaded again.
        if self.reload is not None:
            self.reload()

    def _open_sockets(self) -> list[socket.socket]:
        """The sockets to listen with at once; the others are for later.

        Raises:
            ListenFault: One cannot be had.
        """
        has_tls = self.has_certificate()
        sockets = self._sockets or open_sockets(self.addresses, has_certificate=has_tls)
        self._shut = [] if has_tls else [sock for sock in sockets if not is_open(sock)]
        return [sock for sock in sockets if sock not in self._shut]

    async def listen_for_tls(self) -> None:
        """Listen where only TLS is wanted, too, if there is a certificate by now."""
        if not self._shut or not self.has_certificate():
            return
        sockets, self._shut = self._shut, []
        addresses = " and ".join(human.format_address(sock.getsockname()) for sock in sockets)
        try:
            await listen_with(sockets, self._admit)
        except OSError as error:
            # The next reload tries again with what is still shut.
            self._shut = [sock for sock in sockets if not is_open(sock)]
            logger.error("cannot listen at %s: %s", addresses, error.strerror)
        else:
            logger.log(self.start_level, "route_addon listens at %s, too", addresses)

    def _admit(self) -> asyncio.BaseProtocol | None:
        return self.door.admit() if self.door is not None else None

    def _terminate(self) -> None:
        """The first SIGTERM drains, another one ends at once."""
        if self._is_ending or self.drain is None:
            ctx.master.shutdown()
            return
        self._is_ending = True
        self.drain()

    def find_live(self) -> list[http.HTTPFlow]:
        """The flows that a carrier has decided and that are under way."""
        return [flow for flow in self._stamps if flow.live]

    def client_connected(self, client: connection.Client) -> None:
        """A connection that was accepted before the mode was set would be a forward proxy's."""
        if not isinstance(client.proxy_mode, mode_specs.ReverseMode):
            client.error = "not accepted before the router runs"

    def tls_start_client(self, data: tls.TlsData) -> None:
        """Refuse TLS with a certificate that mitmproxy has made up."""
        if not is_own_session(data.ssl_conn):
            data.ssl_conn = open_refusal()

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        """The last addon to see a request's head, and the first to see it whole."""
        self._check(flow)

    def request(self, flow: http.HTTPFlow) -> None:
        """An addon may have changed the destination since."""
        self._check(flow)

    def server_connect(self, data: server_hooks.ServerConnectionHookData) -> None:
        """Refuse every upstream connection that no stamped flow stands behind."""
        approved = self._approved.get(data.client)
        if approved is None or data.server.address not in approved:
            data.server.error = "no decision stands behind this connection"

    def _check(self, flow: http.HTTPFlow) -> None:
        if not flow.live:
            return
        stamp = self._stamps.get(flow, ())
        is_answered = stamp is None and flow.response is not None
        host, port = flow.request.data.host, flow.request.data.port
        is_sent_there = stamp == (host, port) or (stamp and host == self._own_names.get(flow))
        # An answer out of a recording (-S) goes to a client whose request has been decided.
        is_known = flow.is_replay != "request" or flow in self._replays
        if is_known and (is_answered or is_sent_there):
            return
        # An error at the start would end the process: a replay, and a message that mitmproxy has
        # refused already, are no faults of ours.
        is_fault = flow.is_replay is None and flow.error is None
        level = logging.ERROR if is_fault else logging.WARNING
        is_redirected = is_known and stamp
        cause = "; its host or port was changed, which the decision alone says"
        logger.log(level, "undecided: the request was refused%s", cause if is_redirected else "")
        flow.request.stream = False
        flow.response = build_response(respond_error(Undecided(), b"-"))
        self.stamp_answer(flow)
        # A replay's handler asks no hook after this one, but it does ask server_connect.
        self._approved.pop(flow.client_conn, None)


def _has_terminal() -> bool:
    """Whether a terminal controls this process."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True
