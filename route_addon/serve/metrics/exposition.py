"""The listener that Prometheus asks: one GET, all metrics as text, on an address of its own.

prometheus-client brings the formats and the listener, which runs in a thread. It is imported here
alone, and this module only where metrics are on.
"""

import logging
import socket
import sys
from collections.abc import Callable, Iterable, Iterator
from threading import BoundedSemaphore, Thread
from typing import Any, Final
from wsgiref.simple_server import WSGIRequestHandler
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import ThreadingWSGIServer
from prometheus_client.registry import Collector

from route_addon.carry.faults import describe_fault
from route_addon.serve.metrics.families import BUCKETS_S, FAMILIES, Family
from route_addon.serve.metrics.joining import Samples, Snapshot

logger = logging.getLogger(__name__)

_MAX_SCRAPES: Final = 8
_PATIENCE_S: Final = 5.0
"""How long a scraper may be silent."""
_POLL_S: Final = 0.1
"""How soon ``close`` is noticed."""
_BOUNDS: Final = (*(f"{bound:g}" for bound in BUCKETS_S), "+Inf")


class Exposition(Collector):
    """Metrics as prometheus-client wants them.

    Args:
        read: Reads all metrics. Called in the listener's threads.
    """

    def __init__(self, read: Callable[[], Snapshot]) -> None:
        self._read = read

    def describe(self) -> list[Metric]:
        """Nothing: to ask for all at the registration would read too early."""
        return []

    def collect(self) -> Iterator[Metric]:
        """All metrics, as they are now."""
        snapshot = self._read()
        for family in FAMILIES:
            samples = snapshot.get(family.name)
            if samples:
                yield _build_metric(family, samples)


def _build_metric(family: Family, samples: Samples) -> Metric:
    if family.kind == "histogram":
        histogram = HistogramMetricFamily(family.name, family.help, labels=family.labels)
        for labels, value in samples.items():
            assert isinstance(value, list)
            histogram.add_metric(labels, list(_cumulate(value[1:])), value[0])
        return histogram
    kind = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
    metric = kind(family.name, family.help, labels=family.labels)
    for labels, value in samples.items():
        assert not isinstance(value, list)
        metric.add_metric(labels, value)
    return metric


def _cumulate(counts: list[float]) -> Iterator[tuple[str, float]]:
    total = 0.0
    for bound, count in zip(_BOUNDS, counts, strict=True):
        total += count
        yield bound, total


class _Server(ThreadingWSGIServer):
    """A thread for each scrape, a few at most: who opens more is shown the door."""

    def __init__(self, listener: socket.socket) -> None:
        self._free = BoundedSemaphore(_MAX_SCRAPES)
        # Not bound by itself: it would ask for the address's name, and may wait long.
        super().__init__(listener.getsockname()[:2], _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.server_name, self.server_port = listener.getsockname()[:2]
        self.setup_environ()

    def verify_request(self, request: object, client_address: object) -> bool:
        return self._free.acquire(blocking=False)

    def handle_error(self, request: object, client_address: object) -> None:
        """A scraper that was silent, or has gone."""
        logger.info("a scrape failed: %s", describe_fault(sys.exception() or Exception()))

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()


class _Handler(WSGIRequestHandler):
    """One scrape."""

    timeout = _PATIENCE_S

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


def _guard(app: WSGIApplication) -> WSGIApplication:
    """The same, but of a fault only its kind is told, in the log: Prometheus sees a failure."""

    def guarded(environment: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        try:
            return app(environment, start)
        except Exception as fault:
            logger.error("metrics could not be read: %s", describe_fault(fault))
            start("500 Internal Server Error", [])
            return (b"",)

    return guarded


class Listener:
    """Answers whoever connects until it is closed.

    Args:
        listener: What to listen with; closed at the end.
        read: Reads all metrics.
    """

    def __init__(self, listener: socket.socket, read: Callable[[], Snapshot]) -> None:
        registry = CollectorRegistry(auto_describe=False)
        registry.register(Exposition(read))
        self._server = _Server(listener)
        self._server.set_app(_guard(make_wsgi_app(registry)))
        self.port = self._server.server_port
        self._thread = Thread(
            target=self._server.serve_forever, args=(_POLL_S,), name="metrics", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Answer no more."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
