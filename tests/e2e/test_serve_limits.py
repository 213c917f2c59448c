"""Half a processor, which is what the router gets in the field, is enough."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from tests.e2e.harness import Fleet, Router, ServeCommand, build_request
from tests.e2e.load import Load

ON_S = OFF_S = 0.05
"""Half of the kernel's period of 100 ms (cpu.max), and the other half."""
CLIENTS = 32
PROBES = 40


class Throttle(threading.Thread):
    """Lets a process and its children run half of the time, as the kernel's CPU limit does.

    Args:
        process: Leads a process group of its own.
    """

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        super().__init__(daemon=True)
        self._process = process

    def run(self) -> None:
        while self._process.poll() is None:
            for number, pause_s in ((signal.SIGSTOP, OFF_S), (signal.SIGCONT, ON_S)):
                try:
                    os.killpg(self._process.pid, number)
                except ProcessLookupError:
                    return
                time.sleep(pause_s)


@dataclass(frozen=True)
class HalfCommand(ServeCommand):
    """Starts a router that has half a processor from its first moment on."""

    def start(self, **streams: Any) -> subprocess.Popen[bytes]:
        """Start it, and throttle it."""
        process = super().start(**streams)
        Throttle(process).start()
        return process


@pytest.fixture(scope="module")
def started() -> list[float]:
    """When the router was started, and when it was ready."""
    return []


@pytest.fixture(scope="module")
def router(installation: Mapping[str, object], started: list[float]) -> Iterator[Router]:
    """One worker, as half a processor gets."""
    started.append(time.monotonic())
    with Router(HalfCommand({**installation, "route_workers": 1})) as router:
        started.append(time.monotonic())
        yield router


def test_ready_in_time(router: Router, started: list[float]) -> None:
    """It is ready within 10 s: a startup probe of five times five seconds lets it live."""
    assert started[1] - started[0] < 10


def test_alive_under_full_load(router: Router, fleet: Fleet) -> None:
    """/healthz answers within a second while clients take all that there is to take."""
    loads = [Load(router, [build_request()]) for _ in range(CLIENTS)]
    for load in loads:
        load.start()
    waits_s = []
    for _ in range(PROBES):
        began = time.monotonic()
        assert router.ask(build_request(b"/healthz")).status == 200
        waits_s.append(time.monotonic() - began)
        time.sleep(0.03)
    for load in loads:
        load.is_over = True
        load.join()
    assert [load.faults for load in loads] == [[]] * CLIENTS
    assert sum(load.answered for load in loads) > PROBES
    assert max(waits_s) < 1, waits_s
