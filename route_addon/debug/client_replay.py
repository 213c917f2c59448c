"""Requests sent again: ``-C FILE``, mitmweb's Replay button, and the ``replay.client`` commands.

mitmproxy would send them to the recorded address, past every hook of ours that decides. A handler
of our own stands in the place of its: a request that is sent again is a watched exchange of the
relay's like any other, decided anew, and its client is nobody.
"""

import logging
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from mitmproxy import addonmanager, ctx, exceptions, hooks, http
from mitmproxy.addons import clientplayback
from mitmproxy.connection import ConnectionState
from mitmproxy.options import Options
from mitmproxy.proxy.commands import StartHook
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.server import ConnectionHandler

from route_addon.carry.evidence import EVIDENCE, Evidence
from route_addon.carry.faults import describe_fault
from route_addon.carry.flows import build_response, read_head
from route_addon.carry.guard import Guard
from route_addon.carry.masks.mask import Masked
from route_addon.carry.relay import Relay
from route_addon.carry.request_id import make_request_id
from route_addon.carry.watched.flow import read_request, restore_host, show_request
from route_addon.carry.watched.watch import Watch
from route_addon.core.error_pages import respond_error
from route_addon.core.errors import RouteError, Undecided
from route_addon.core.messages import Field, RequestHead
from route_addon.core.tokens import PLACEHOLDER
from route_addon.debug.replayed_exchange import ReplayedExchange, Sender

logger = logging.getLogger(__name__)

_OPTION: Final = "client_replay"

type Mint = Callable[[str], bytes | None]
"""A fresh token for a pod's host or alias; None where there is none for it."""


class ClientReplay:
    """Puts our handler in the place of mitmproxy's.

    Args:
        guard: Lets pass what the handler has decided, and no other replay.
        watch: What watched exchanges share.
        relay: The relay in service; None with the stock carrier, and without a listener.
    """

    name = "route_client_replay"

    def __init__(self, guard: Guard, watch: Watch, relay: Callable[[], Relay | None]) -> None:
        self.guard = guard
        self.watch = watch
        self.relay = relay
        self.mint: Mint = lambda host: None
        """Where tokens come from that are known here no more: whoever holds pyos' keys sets it."""
        self._is_refused = False

    def load(self, loader: addonmanager.Loader) -> None:
        """Be whom mitmproxy makes for each request that is to be sent again."""
        clientplayback.ReplayHandler = partial(  # type: ignore[assignment,misc]
            ReplayHandler, self
        )
        playback = ctx.master.addons.get("clientplayback")
        if isinstance(playback, clientplayback.ClientPlayback):
            vars(playback)["configure"] = partial(self._configure, playback)

    def _configure(self, playback: clientplayback.ClientPlayback, updated: set[str]) -> None:
        """Let mitmproxy begin what it is told to.

        Where it refuses a file it puts the one before back, as if somebody had set it: all of that
        would be sent once more.
        """
        if self._is_refused:
            self._is_refused, updated = False, updated - {_OPTION}
        try:
            clientplayback.ClientPlayback.configure(playback, updated)
        except exceptions.OptionsError:
            self._is_refused = _OPTION in updated
            raise

    def renew(self, flow: http.HTTPFlow, masked: Masked) -> None:
        """Find the tokens that a flow's placeholders stand for: those that are known, or new ones.

        Args:
            flow: The flow.
            masked: Told of them.
        """
        data = flow.request.data
        texts = (data.path, *(value for _, value in data.headers.fields))
        wanted = {found for text in texts for found in PLACEHOLDER.findall(text)}
        relay = self.relay()
        if not wanted or relay is None:
            return
        for token in relay.router.targets.tokens():
            wanted.discard(masked.learn(token))
        evidence = flow.metadata.get(EVIDENCE)
        host = evidence.get("host") if isinstance(evidence, dict) else None
        token_anew = self.mint(host) if wanted and isinstance(host, str) else None
        if token_anew is not None:
            for placeholder in wanted:
                masked.learn(token_anew, placeholder)


class ReplayHandler(ConnectionHandler):
    """Sends one request again; its name and its ``replay`` are what mitmproxy knows of it.

    Args:
        replay: What all of them share.
        flow: The flow, whose answer mitmproxy has taken away.
        options: mitmproxy's.
    """

    def __init__(self, replay: ClientReplay, flow: http.HTTPFlow, options: Options) -> None:
        client = flow.client_conn.copy()
        client.state = ConnectionState.OPEN
        super().__init__(Context(client, options))
        self._replay = replay
        self._flow = flow

    async def replay(self) -> None:
        """Send it, and wait until its answer is there."""
        relay = self._replay.relay()
        try:
            if relay is None:
                await self._refuse("undecided: the request was refused")
            elif self._is_cut:
                await self._refuse("not sent again: its content was not kept whole")
            else:
                await self._send(relay)
        except Exception as fault:
            await self._refuse(f"a replay failed: {describe_fault(fault)}")

    async def _send(self, relay: Relay) -> None:
        flow, watch, guard = self._flow, self._replay.watch, self._replay.guard
        body = flow.request.data.content or b""
        sender = Sender(self.client, body)
        head, error = self._read_head(len(body))
        guard.admit_replay(flow)
        try:
            sender.exchange = exchange = ReplayedExchange(relay, sender, head, watch, flow)
            if error is not None:
                exchange.refuse(error)
            else:
                exchange.start()
            await sender.is_over.wait()
        finally:
            guard.end_replay(flow)

    def _read_head(self, length: int) -> tuple[RequestHead, RouteError | None]:
        """The head to send, with its tokens, and why it cannot be sent."""
        request, masked = self._flow.request, Masked(self._replay.watch.mask)
        self._restore_host()
        self._replay.renew(self._flow, masked)
        head = read_head(self._flow, make_request_id())._replace(length=length)
        # Nobody is there to speak through a WebSocket.
        head = head._replace(fields=[field for field in head.fields if not _is_upgrade(field)])
        try:
            sent = read_request(request, head, masked, length)
        except RouteError as error:
            return head, error
        return sent._replace(
            fields=[field for field in sent.fields if not _is_upgrade(field)]
        ), None

    def _restore_host(self) -> None:
        """A URL that was edited has the port in Host to which the request went."""
        before: Any = self._flow._backup
        if before:
            shown = show_request(http.Request.from_state(before["request"]))
            port = self._said.get("port") or shown.port
            restore_host(self._flow.request, shown._replace(port=port))

    @property
    def _said(self) -> Evidence:
        evidence = self._flow.metadata.get(EVIDENCE)
        return evidence if isinstance(evidence, dict) else {}

    @property
    def _is_cut(self) -> bool:
        said = self._said
        return bool(said.get("request_cut") or said.get("request_withheld"))

    async def _refuse(self, reason: str) -> None:
        """Send nothing to anybody."""
        logger.warning("%s", reason)
        self._flow.response = build_response(respond_error(Undecided(), b"-"))
        await ctx.master.addons.trigger_event(hooks.UpdateHook([self._flow]))

    async def handle_hook(self, hook: StartHook) -> None:
        """No layer asks for one: the exchange fires its own."""
        raise AssertionError("a hook of no layer's")


def _is_upgrade(field: Field) -> bool:
    return field[0].lower() == b"upgrade"
