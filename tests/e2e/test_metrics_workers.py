"""Several processes as one: their counters survive them, their gauges do not."""

import os
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from route_addon.serve.metrics.exposition import Listener
from route_addon.serve.metrics.workers import FOLDER_VARIABLE, Gathering
from tests.e2e.harness import Command, Fleet, Router, build_request, wait_until
from tests.e2e.scrape import Scrape, wait_for_sample


@pytest.fixture
def told(tmp_path: Path) -> Path:
    """The folder of the workers' sockets."""
    return tmp_path


@pytest.fixture
def gathering(told: Path) -> Iterator[Listener]:
    """The one listener of all workers."""
    listener = Listener("127.0.0.1", 0, Gathering(told).read)
    yield listener
    listener.close()


def start(options: Mapping[str, object], told: Path) -> Router:
    """A worker that runs."""
    worker = Router(
        Command({**options, "flow_detail": 0}, environment={FOLDER_VARIABLE: str(told)}),
        has_remote=True,
    )
    worker.start()
    return worker


def asked(scrape: Scrape) -> float:
    """How many requests of these tests were counted."""
    return scrape.get("route_requests_total", location="/healthz")


def test_workers(
    installation: Mapping[str, object], fleet: Fleet, told: Path, gathering: Listener
) -> None:
    """One is killed and replaced, one ends in order: nothing is lost that was told, or counted."""
    port = gathering.port
    workers = [start(installation, told) for _ in range(2)]
    try:
        for number, worker in enumerate(workers, 1):
            for _ in range(number):
                worker.ask(build_request(b"/healthz"))
        with workers[0].open_websocket(f"/websockify?{fleet.alice.token.decode()}"):
            scrape = wait_for_sample(port, 1, "route_open_websockets")
            assert asked(scrape) == 3
            assert scrape.get("route_workers") == 2
            kill(workers[0])
        after = wait_for_sample(port, 1, "route_workers")
        assert asked(after) == 3
        assert after.get("route_open_websockets") == 0
        assert after.get("route_requests_total", status="101") == 1
        assert after.get("process_cpu_seconds_total") >= scrape.get("process_cpu_seconds_total")
        workers[0] = start(installation, told)
        workers[0].ask(build_request(b"/healthz"))
        # Not scraped between this and its end: its last word tells of it.
        workers[1].ask(build_request(b"/healthz"))
        assert workers[1].stop() == 0
        after = Scrape(port)
        assert asked(after) == 5
        assert after.get("route_workers") == 1
        assert asked(Scrape(port)) == 5
    finally:
        for worker in workers:
            worker.stop()
    assert asked(Scrape(port)) == 5
    assert Scrape(port).get("route_workers") == 0
    assert list(told.iterdir()) == []


def kill(worker: Router) -> None:
    """End it without a word."""
    os.kill(int(worker.run_inside("import os; result = os.getpid()")), signal.SIGKILL)
    wait_until(lambda: not worker.is_running, "the worker is gone")
