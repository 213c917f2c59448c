"""RouteAddon: mitmproxy's hooks, each handed to the part that knows what to do.

No rules of its own. Every hook fails closed: on an exception the flow keeps no stamp, and the
guard refuses it.
"""

import asyncio
import dataclasses
import logging
import os
from collections.abc import Awaitable

from mitmproxy import addonmanager, connection, ctx, exceptions, http, tls
from mitmproxy.proxy import layer, mode_specs, server_hooks

from route_addon.carry.drain import Drain
from route_addon.carry.faults import describe_fault
from route_addon.carry.guard import Guard
from route_addon.carry.listen.door import Door
from route_addon.carry.listen.hosted import accept_hosted, choose_layers
from route_addon.carry.log_readers import spare_log_events
from route_addon.carry.masks.log_records import hide_tokens_in_logs
from route_addon.carry.relay import Relay
from route_addon.carry.stock import Stock, choose_stock_layers, hide_tokens
from route_addon.carry.tls.certificates import Certificates
from route_addon.carry.upstreams.resolve import Resolver
from route_addon.carry.watched.firing import fire_lightly
from route_addon.carry.watched.payloads import keep_payloads_out_of_har
from route_addon.carry.watched.watch import Watch
from route_addon.carry.watched.watchers import describe_watchers, find_watchers
from route_addon.config.build import build_settings
from route_addon.config.reloads import Reloads
from route_addon.config.settings import Settings
from route_addon.config.workers import ALONE, Worker
from route_addon.core.router import Router
from route_addon.core.targetmap import TargetMap
from route_addon.options import IGNORED_ENVIRONMENT, BadOption
from route_addon.start import (
    NAMES,
    check_host_options,
    is_set,
    load_certificates,
    load_upstream_context,
    option_values,
    refuse_start,
    register_options,
    remove_host_addons,
    spare_collector,
)

logger = logging.getLogger(__name__)


class RouteAddon:
    """The router, as mitmproxy sees it.

    Args:
        guard: The second addon, which is added beside this one and outlives it.
        worker: Which of several processes this is.
    """

    name = "route"

    def __init__(self, guard: Guard, worker: Worker = ALONE) -> None:
        self.guard = guard
        self.worker = worker
        self._level = logging.INFO if worker.speaks else logging.DEBUG
        """Of what all workers would say alike."""
        self.resolver = Resolver()
        self.stock = Stock(guard, self.resolver)
        self.relay: Relay | None = None
        self.door: Door | None = None
        self.watch = Watch(guard)
        self._is_running = False
        self.settings: Settings | None = None
        self.router: Router | None = None
        self.certificates: Certificates | None = None
        self.reloads = Reloads(
            lambda: self.settings.files if self.settings is not None else {},
            self._reload,
            logging.WARNING if worker.speaks else logging.DEBUG,
        )
        self.is_draining = False
        self._draining: asyncio.Task[None] | None = None
        self._are_set: frozenset[str] = frozenset()

    def load(self, loader: addonmanager.Loader) -> None:
        """Register the options; a configuration that cannot be used ends the start."""
        hide_tokens_in_logs()
        spare_log_events()
        fire_lightly(ctx.master.addons)
        try:
            register_options(loader, os.environ)
            check_host_options()
            self._settle()
        except BadOption as error:
            refuse_start(str(error))
        except Exception as fault:
            refuse_start(f"the start failed: {describe_fault(fault)}")
        self.guard.describe = self._describe
        self.guard.start_level = self._level
        self.guard.addresses = self.settings.listen if self.settings is not None else ()
        self.guard.has_certificate = lambda: bool(self.certificates)
        self.guard.drain = self.drain
        self.guard.reload = self.reloads.begin
        self.guard.door = self.door
        if self.guard not in ctx.master.addons:
            ctx.master.addons.add(self.guard)

    def configure(self, updated: set[str]) -> None:
        """Take changed options: all of them, or none.

        Raises:
            OptionsError: A value that cannot be used; mitmproxy then puts the old ones back.
        """
        try:
            check_host_options()
            if updated & (NAMES | {"server", "certs", "cert_passphrase"}):
                self._settle()
        except BadOption as error:
            raise exceptions.OptionsError(str(error)) from None
        self._choose_exchanges()

    def client_connected(self, client: connection.Client) -> None:
        """Count a connection, or close it."""
        try:
            if self.relay is not None:
                client.error = client.error or accept_hosted(client, self.relay)
        except Exception as fault:
            logger.error("client_connected failed: %s", describe_fault(fault))
            client.error = "not counted"

    def client_disconnected(self, client: connection.Client) -> None:
        """Count it no more."""
        if self.relay is not None:
            self.relay.arrivals.leave(client)

    def next_layer(self, nextlayer: layer.NextLayer) -> None:
        """Put our layers on top of a client's connection."""
        client = nextlayer.context.client
        if not isinstance(client.proxy_mode, mode_specs.ReverseMode):
            return
        try:
            if self.relay is not None:
                choose_layers(nextlayer, self.relay)
            else:
                choose_stock_layers(nextlayer, self.certificates)
        except Exception as fault:
            logger.error("next_layer failed: %s", describe_fault(fault))
            nextlayer.layer = None

    async def tls_clienthello(self, data: tls.ClientHelloData) -> None:
        """Take changed certificates before a handshake uses them."""
        try:
            if self.certificates:
                await self.certificates.refresh()
        except Exception as fault:
            logger.error("tls_clienthello failed: %s", describe_fault(fault))

    def server_connect(self, data: server_hooks.ServerConnectionHookData) -> None:
        """Let TLS verify the name that was configured, not the one that the client calls us."""
        if data.server.tls and data.server.address is not None:
            data.server.sni = data.server.address[0]

    def running(self) -> None:
        """Tell the operator what deserves a look."""
        remove_host_addons()
        savehar = ctx.master.addons.get("savehar")
        if savehar is not None:
            keep_payloads_out_of_har(savehar)
        self._choose_exchanges()
        self._is_running = True
        if self.worker.speaks:
            self._warn()
        if self.settings is not None and ctx.options.server:
            self.reloads.start()
        spare_collector()

    def _warn(self) -> None:
        for warning in self.settings.warnings if self.settings is not None else ():
            logger.warning("%s", warning)
        for fault in self.certificates.find_faults() if self.certificates is not None else ():
            logger.warning("%s", fault)
        if self.settings is not None and self.settings.carrier == "stock":
            logger.info(
                "the stock carrier has no pools (the first server), no cache, no compression, "
                "no metrics and no access log"
            )
            logger.warning("the flows of the stock carrier hold tokens: show and export none")
        for name in IGNORED_ENVIRONMENT:
            if os.environ.get(name):
                logger.info("%s is ignored: names are resolved as the system does", name)

    def done(self) -> None:
        """Let nobody in any more, and the threads go."""
        if self.guard.door is self.door:
            self.guard.door = None
        self.reloads.close()
        if self.relay is not None:
            self.relay.close()
        self.resolver.close()
        self.stock.close()

    def requestheaders(self, flow: http.HTTPFlow) -> Awaitable[None] | None:
        """Decide a live request, unless the relay has."""
        if not flow.live or flow.is_replay is not None or flow.response:
            return None
        return None if self.guard.is_stamped(flow) else self._decide(flow)

    async def _decide(self, flow: http.HTTPFlow) -> None:
        try:
            if flow.error:
                hide_tokens(flow)
            elif self.router is not None:
                await self.stock.send_request(flow, self.router)
        except Exception as fault:
            logger.error("requestheaders failed: %s", describe_fault(fault))

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        """Mend an upstream's answer."""
        if not flow.live:
            return
        try:
            if self.router is not None:
                self.stock.send_answer(flow, self.router)
        except Exception as fault:
            logger.error("responseheaders failed: %s", describe_fault(fault))
            flow.kill()

    def response(self, flow: http.HTTPFlow) -> None:
        """Note the end of a flow that mitmproxy's layers carried."""
        self._end(flow)

    def websocket_end(self, flow: http.HTTPFlow) -> None:
        """Note that of one that became a WebSocket."""
        self._end(flow)

    def error(self, flow: http.HTTPFlow) -> None:
        """Note the failure of one."""
        self._end(flow)

    def _end(self, flow: http.HTTPFlow) -> None:
        if self.relay is not None or not flow.live:
            return
        try:
            self.stock.end(flow)
        except Exception as fault:
            # Nothing is forwarded here: the flow only says less.
            logger.error("the end of a flow was not noted: %s", describe_fault(fault))

    def drain(self) -> None:
        """Begin to end the service, and the program once nobody is left whom it serves.

        ``/healthz`` tells who sends here, answers close their connections, and those who are here
        have the time that route_drain and route_drain_websockets give them.
        """
        if self._draining is None:
            self._draining = asyncio.get_running_loop().create_task(self._drain())

    async def _drain(self) -> None:
        try:
            if self.settings is not None and ctx.options.server:
                logger.log(self._level, "draining: ends in %g s at most", self._announce_end())
                deadlines = self.relay.deadlines if self.relay is not None else None
                flows = self.guard.find_live if self.relay is None else list
                await Drain(self.settings.drain, deadlines, flows).run()
        except Exception as fault:
            logger.error("the drain failed: %s", describe_fault(fault))
        finally:
            ctx.master.shutdown()

    def _announce_end(self) -> float:
        """Let all answers tell of it.

        Returns:
            After how many seconds it will be, at the latest.
        """
        settings, router = self.settings, self.router
        assert settings is not None and router is not None
        self.is_draining = True
        self._use_router(settings, router.targets)
        return settings.drain.total_s

    async def _reload(self) -> None:
        """Read the files again, and put what is in them in force.

        Raises:
            BadOption: They cannot be used; what was in force still is.
        """
        values, are_set = option_values(), self._are_set
        # A private key takes 30 ms to read.
        settings = await asyncio.to_thread(build_settings, values, are_set.__contains__)
        if values == option_values():
            self._put_in_force(settings, are_set)
        if self.certificates:
            await self.certificates.refresh()
        if not self.is_draining:
            await self.guard.listen_for_tls()
        logger.log(self._level, "reloaded; %s", self._describe())

    def _settle(self) -> None:
        """Build the settings whole, then put them in force at once."""
        # Where mitmproxy takes a change back, it forgets who was set to what is the default.
        are_set = self._are_set | {name for name in NAMES if is_set(name)}
        settings = build_settings(
            option_values(), are_set.__contains__, need_keys=ctx.options.server
        )
        self._put_in_force(settings, are_set)

    def _put_in_force(self, settings: Settings, are_set: frozenset[str]) -> None:
        settings = settings.share(self.worker)
        if self.settings is not None and settings.carrier != self.settings.carrier:
            raise BadOption("route_carrier", settings.carrier, "takes a new start of the router")
        certificates = load_certificates(settings, self.certificates)
        upstream_tls = load_upstream_context(settings)
        router, old = self.router, self.settings
        if router is not None and old is not None and old.cache_key == settings.cache_key:
            targets = router.targets
        else:
            targets = TargetMap(settings.cache_entries, settings.cache_ttl_s)
        router = self._use_router(settings, targets)
        self.settings = settings
        self._are_set = are_set
        self.certificates = certificates
        if settings.carrier == "relay" and ctx.options.server:
            if self.relay is None:
                self.relay = Relay(settings.limits, router)
                self.door = Door(self.relay, RouteAddon, Guard)
            self.relay.configure(
                settings.limits,
                router,
                settings.pools,
                settings.cache_limits,
                settings.encoding,
                certificates,
                upstream_tls,
            )

    def _use_router(self, settings: Settings, targets: TargetMap) -> Router:
        """Decide by these settings from now on."""
        rules = dataclasses.replace(settings.rules, is_draining=self.is_draining)
        self.router = router = Router(rules, targets)
        if self.relay is not None:
            self.relay.router = router
            self.relay.is_draining = self.is_draining
        return router

    def _choose_exchanges(self) -> None:
        """Let exchanges be flows from now on, or not, as there is somebody to see them."""
        if self.relay is None or self.settings is None:
            return
        if self.door is not None:
            self.door.look_again()
        self.watch.limits = self.settings.watch_limits
        is_watched = bool(find_watchers(self.settings.watch))
        if is_watched != self.relay.is_watched:
            self.relay.watch_by(self.watch if is_watched else None)
            if self._is_running:
                logger.info("%s", describe_watchers(self.settings.watch))

    def _describe(self) -> str:
        if self.settings is None or self.certificates is None:
            return "no settings"
        described = f"{self.settings.describe()}; certificates {self.certificates.describe()}"
        if self.relay is None:
            return described
        return f"{described}; {describe_watchers(self.settings.watch)}"
