"""The access log, as an observer of the carrier."""

import asyncio
import contextlib
import logging
from collections.abc import Callable

from route_addon.config.settings import AccessLogSettings
from route_addon.core.forwarded import TrustedProxies
from route_addon.core.observer import Report
from route_addon.serve.access_log.lines import BUILDERS, Event, Shown
from route_addon.serve.access_log.sinks import open_sink
from route_addon.serve.access_log.writer import LineWriter

logger = logging.getLogger(__name__)


class AccessLog:
    """One line for each request at its end, and for a WebSocket at its beginning too.

    Args:
        settings: The format, and where lines go.
        proxies: Those whose word on a client's address counts at the moment.

    Raises:
        OSError: The file cannot be opened.
    """

    def __init__(self, settings: AccessLogSettings, proxies: Callable[[], TrustedProxies]) -> None:
        self._build = BUILDERS[settings.format]
        self._shown = Shown(proxies, settings.shows_target)
        self._loop = asyncio.get_running_loop()
        # What is said of standard output goes nowhere when that is closed, and may end mitmdump.
        tell = self._warn if settings.path else lambda sentence: None
        self.writer = LineWriter(open_sink(settings.path), tell)

    def begin(self, report: Report) -> None:
        """A request has come: nothing is written yet."""

    def switch(self, report: Report) -> None:
        """A WebSocket is open."""
        self._write(report, "websocket_open")

    def end(self, report: Report) -> None:
        """A request, or a WebSocket, is over."""
        self._write(report, "request" if report.tunnel is None else "websocket_end")

    def close(self) -> None:
        """Write what waits."""
        self.writer.close()

    def _write(self, report: Report, event: Event) -> None:
        self.writer.write(self._build(report, event, self._shown))

    def _warn(self, sentence: str) -> None:
        """Log it in the loop: mitmproxy's log may end whoever writes to it."""
        # The last lines are written when the loop may have ended.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(logger.warning, "%s", sentence)
