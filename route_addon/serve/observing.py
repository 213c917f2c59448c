"""Metrics and the access log, as the options want them: joins them to the relay."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mitmproxy import exceptions

from route_addon.addon import RouteAddon
from route_addon.carry.relay import Relay
from route_addon.config.reloads import Reloads
from route_addon.config.settings import AccessLogSettings, MetricsAddress
from route_addon.core.observer import Observer, Report
from route_addon.options import BadOption
from route_addon.serve.metrics.address import open_listener, refuse_address
from route_addon.start import refuse_start

if TYPE_CHECKING:
    from route_addon.serve.access_log.log import AccessLog
    from route_addon.serve.metrics.joining import Snapshot
    from route_addon.serve.metrics.readings import LogCounts

logger = logging.getLogger(__name__)

_PATIENCE_S: Final = 5.0
"""How long a scrape waits for the loop."""


class Observers:
    """Several observers as one.

    Args:
        observers: In the order in which they are told.
    """

    def __init__(self, observers: Sequence[Observer]) -> None:
        self._observers = tuple(observers)

    def begin(self, report: Report) -> None:
        """A request has come."""
        for observer in self._observers:
            observer.begin(report)

    def switch(self, report: Report) -> None:
        """A WebSocket is open."""
        for observer in self._observers:
            observer.switch(report)

    def end(self, report: Report) -> None:
        """A request, or a WebSocket, is over."""
        for observer in self._observers:
            observer.end(report)


class Observing:
    """The addon that holds both.

    Args:
        route: The router, for its settings, its relay and which worker this is.
    """

    name = "route_observing"

    def __init__(self, route: RouteAddon) -> None:
        self._route = route
        self._folder = route.worker.folder
        self._is_running = False
        self._metrics: _Metrics | None = None
        self._address: MetricsAddress | None = None
        self._log: AccessLog | None = None
        self._log_settings: AccessLogSettings | None = None

    def configure(self, updated: set[str]) -> None:
        """Take changed options.

        Raises:
            OptionsError: One that cannot be used.
        """
        try:
            if self._is_running:
                self._settle()
        except BadOption as error:
            raise exceptions.OptionsError(str(error)) from None

    def running(self) -> None:
        """Begin; what cannot be listened on, or written to, ends the start."""
        self._is_running = True
        try:
            self._settle()
        except BadOption as error:
            refuse_start(str(error))
        if self._metrics is not None and not self._folder:
            logger.info("metrics at http://%s/metrics", self._address)

    def done(self) -> None:
        """Tell the last of it."""
        if self._metrics is not None:
            self._metrics.close()
        if self._log is not None:
            self._log.close()

    def _settle(self) -> None:
        relay, settings = self._route.relay, self._route.settings
        if relay is None or settings is None:
            return
        self._open_log(relay, settings.access_log)
        self._open_metrics(relay, settings.metrics)
        parts: list[Observer] = []
        if self._metrics is not None:
            parts.append(self._metrics.tally)
        if self._log is not None:
            parts.append(self._log)
        relay.observer = Observers(parts) if len(parts) > 1 else parts[0] if parts else None

    def _open_log(self, relay: Relay, settings: AccessLogSettings) -> None:
        if settings == self._log_settings:
            return
        old, self._log = self._log, None
        if settings.format != "off":
            from route_addon.serve.access_log.log import AccessLog

            try:
                self._log = AccessLog(settings, lambda: relay.router.rules.proxies)
            except OSError as error:
                self._log = old
                raise BadOption(
                    "route_access_log_file",
                    settings.path,
                    f"cannot be written to ({error.strerror}); name a file in a folder that can",
                ) from None
        self._log_settings = settings
        if old is not None:
            old.close()

    def _open_metrics(self, relay: Relay, address: MetricsAddress | None) -> None:
        if address is not None and address.is_default and not self._folder:
            address = None
        if address == self._address:
            return
        old, self._metrics, self._address = self._metrics, None, None
        if old is not None:
            old.close()
        if address is not None:
            # The parent of workers listens for all of them.
            place = Path(self._folder) if self._folder else address
            try:
                self._metrics = _Metrics(self._route.reloads, relay, self._count_lines, place)
            except OSError as error:
                raise refuse_address(address, error) from None
            self._address = address

    def _count_lines(self) -> "LogCounts | None":
        from route_addon.serve.metrics.readings import LogCounts

        if self._log is None:
            return None
        return LogCounts(self._log.writer.written, self._log.writer.dropped)


class _Metrics:
    """What counts, and where it can be read.

    Args:
        reloads: What is counted of them.
        relay: What is counted of it.
        count_lines: The access log's lines.
        place: Where to listen, or a worker's folder.

    Raises:
        OSError: It cannot be listened on.
    """

    def __init__(
        self,
        reloads: Reloads,
        relay: Relay,
        count_lines: "Callable[[], LogCounts | None]",
        place: MetricsAddress | Path,
    ) -> None:
        # Here, because most processes need none of it.
        from route_addon.serve.metrics.readings import Readings
        from route_addon.serve.metrics.tally import Tally

        self.tally = Tally()
        readings = Readings(self.tally, relay, reloads, count_lines)
        if isinstance(place, Path):
            from route_addon.serve.metrics.workers import Speaker

            self.close: Callable[[], None] = Speaker(place, readings.read).close
        else:
            from route_addon.serve.metrics.exposition import Listener

            listener = open_listener(place)
            self.close = Listener(listener, _read_in_loop(readings.read)).close


def _read_in_loop(read: "Callable[[], Snapshot]") -> "Callable[[], Snapshot]":
    """The same for other threads: what is counted is only looked at between two events."""
    loop = asyncio.get_running_loop()

    async def ask() -> "Snapshot":
        return read()

    return lambda: asyncio.run_coroutine_threadsafe(ask(), loop).result(_PATIENCE_S)
