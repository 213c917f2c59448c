"""Half a processor, which is what the router gets in the field, is enough."""

import contextlib
import os
import resource
import signal
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.harness import Fleet, Router, ServeCommand, build_request
from tests.e2e.load import Flood, Load

ON_S = OFF_S = 0.05
"""Half of the kernel's period of 100 ms (cpu.max), and the other half."""
CLIENTS = 32
CROWD = 1000
FEWER = 300
PROBES = 40
PROBES_S = 4.0


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
def many_files() -> Iterator[None]:
    """As many open files as the system lets one have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture(scope="module")
def started() -> list[float]:
    """When the router was started, and when it was ready."""
    return []


@pytest.fixture(scope="module")
def router(
    installation: Mapping[str, object], started: list[float], certificate: Path, many_files: None
) -> Iterator[Router]:
    """One worker, as half a processor gets."""
    options = {**installation, "route_workers": 1, "route_certs": certificate}
    started.append(time.monotonic())
    with Router(HalfCommand(options)) as router:
        started.append(time.monotonic())
        yield router


def test_ready_in_time(router: Router, started: list[float]) -> None:
    """It is ready within 10 s: a startup probe of five times five seconds lets it live."""
    assert started[1] - started[0] < 10


def _probe(router: Router, source: str | None = None) -> list[float]:
    """How long /healthz takes, time after time."""
    waits_s: list[float] = []
    end = time.monotonic() + PROBES_S
    while len(waits_s) < PROBES and time.monotonic() < end:
        began = time.monotonic()
        assert router.ask(build_request(b"/healthz"), source=source).status == 200
        waits_s.append(time.monotonic() - began)
        time.sleep(0.03)
    return waits_s


def test_alive_under_full_load(router: Router, fleet: Fleet) -> None:
    """/healthz answers within a second while clients take all that there is to take."""
    loads = [Load(router, [build_request()]) for _ in range(CLIENTS)]
    for load in loads:
        load.start()
    waits_s = _probe(router)
    for load in loads:
        load.is_over = True
        load.join()
    assert [load.faults for load in loads] == [[]] * CLIENTS
    assert sum(load.answered for load in loads) > PROBES
    assert max(waits_s) < 1, waits_s


def _greeting() -> bytes:
    """What a client of TLS says first, which costs it nothing and us a signature."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname="x.example")
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


@pytest.mark.parametrize(
    ("source", "count"),
    [pytest.param(None, FEWER, id="among them"), pytest.param("127.0.0.9", CROWD, id="elsewhere")],
)
@pytest.mark.parametrize("is_tls", [False, True], ids=["requests", "handshakes"])
def test_alive_in_a_flood(is_tls: bool, source: str | None, count: int, router: Router) -> None:
    """The same while clients open a connection for each thing that they ask.

    However many they are, who comes from another address does not stand behind them.
    """
    refused = build_request(b"/filer/x", (b"Connection", b"close"))
    flood = Flood(router, _greeting() if is_tls else refused, count, is_patient=not is_tls)
    flood.start()
    try:
        waits_s = _probe(router, source)
    finally:
        flood.is_over = True
        flood.join()
    assert flood.answered > count
    assert max(waits_s) < 1, waits_s
