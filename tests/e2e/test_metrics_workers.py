"""Several workers as one: their counters survive them, their gauges do not."""

import os
import re
import signal
import socket
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Event

from tests.e2e.harness import Fleet, Router, ServeCommand, build_request, wait_until
from tests.e2e.ports import free_port
from tests.e2e.scrape import Scrape, wait_for_sample


def asked(scrape: Scrape) -> float:
    """How many requests of these tests were counted."""
    return scrape.get("route_requests_total", location="/healthz")


def ask(router: Router, times: int) -> None:
    """Ask it, on a connection each time, so that whichever worker answers."""
    for _ in range(times):
        assert router.ask(build_request(b"/healthz")).status == 200


def test_workers(installation: Mapping[str, object], fleet: Fleet) -> None:
    """One is killed and replaced: what was counted stays, what was open is closed."""
    port = free_port()
    options = {**installation, "route_metrics": port, "route_workers": 2}
    with Router(ServeCommand(options)) as router:
        router.wait_for("2 workers are ready")
        before = Scrape(port)
        assert before.get("route_workers") == 2
        ask(router, 20)
        target = f"/websockify?{fleet.alice.token.decode()}"
        with router.open_websocket(target), router.open_websocket(target):
            wait_for_sample(port, 2, "route_open_websockets")
            router.settle()
            during = Scrape(port)
            assert asked(during) - asked(before) == 20
            assert during.get("route_token_cache_misses_total") in (1, 2)
            kill_workers(router)
            after = wait_for_sample(port, 0, "route_open_websockets")
        assert asked(after) >= asked(during)
        assert after.get("route_requests_total", status="101") == 2
        assert after.get("process_cpu_seconds_total") >= during.get("process_cpu_seconds_total")
        router.wait_for("another one starts", 2)
        wait_for_sample(port, 2, "route_workers")
        asked_before = asked(Scrape(port))
        ask(router, 5)
        wait_for_sample(port, asked_before + 5, "route_requests_total", location="/healthz")
        assert Scrape(port).get("route_draining") == 0


def test_scrapes_while_workers_die(installation: Mapping[str, object], fleet: Fleet) -> None:
    """Every scrape is answered while workers are killed and replaced, and no counter goes back.

    The parent forks them, and has no thread whose locks a fork could inherit.
    """
    port = free_port()
    options = {**installation, "route_metrics": port, "route_workers": 2}
    with Router(ServeCommand(options)) as router, ThreadPoolExecutor(2) as pool:
        router.wait_for("2 workers are ready")
        tasks = Path(f"/proc/{router._process.pid}/task")
        assert len(list(tasks.iterdir())) == 1
        is_over = Event()
        scraping = [pool.submit(_scrape, port, is_over) for _ in range(2)]
        try:
            for deaths in range(1, 5):
                ask(router, 10)
                os.kill(_newest_worker(router), signal.SIGKILL)
                wait_until(partial(_has_replaced, router, deaths), "it is replaced")
        finally:
            is_over.set()
        for counted in (one.result() for one in scraping):
            assert len(counted) > 4
            assert counted == sorted(counted)
        wait_for_sample(port, 2, "route_workers")
        assert len(list(tasks.iterdir())) == 1
        assert "DeprecationWarning" not in router.log


def _scrape(port: int, is_over: Event) -> list[float]:
    """Scrape without a pause; what was counted each time."""
    counted = []
    while not is_over.is_set():
        counted.append(asked(Scrape(port)))
    return counted


def _has_replaced(router: Router, deaths: int) -> bool:
    return router.count(" is ready") == deaths


def _newest_worker(router: Router) -> int:
    ready = re.findall(r"worker (\d+) is ready|workers are ready: \d+, (\d+)", router.log)
    return int("".join(ready[-1]))


def test_drain(installation: Mapping[str, object], fleet: Fleet) -> None:
    """While it drains the metrics say so, to its end, even if all of its group hear SIGTERM."""
    port = free_port()
    drain = {"route_drain": 20, "route_drain_websockets": 20}
    options = {**installation, **drain, "route_metrics": port, "route_workers": 2}
    with Router(ServeCommand(options)) as router:
        router.wait_for("2 workers are ready")
        with router.open_websocket(f"/websockify?{fleet.alice.token.decode()}"):
            os.killpg(router._process.pid, signal.SIGTERM)
            wait_for_sample(port, 1, "route_workers")
            scrape = wait_for_sample(port, 1, "route_draining")
            assert scrape.get("route_open_websockets") == 1
        assert router.wait() == 0


def test_the_default(installation: Mapping[str, object]) -> None:
    """Where nobody asks for it it is 9145; that this is taken is no reason not to serve."""
    options = {**installation, "route_workers": 1}
    with Router(ServeCommand(options)) as first, Router(ServeCommand(options)) as second:
        for router in (first, second):
            router.wait_for("1 worker is ready")
        assert "no metrics: cannot listen at 127.0.0.1:9145: Address already in use\n" in second.log
        assert second.ask(build_request(b"/healthz")).status == 200
        assert Scrape(9145).get("route_workers") == 1


def test_a_port_that_is_taken(installation: Mapping[str, object], fleet: Fleet) -> None:
    """Where somebody asked for it the start ends, before anything listens."""
    options = {**installation, "route_metrics": fleet.website.port}
    ended = ServeCommand(options).run()
    assert ended.returncode == 1
    assert f":{fleet.website.port}: cannot be listened on" in ended.stderr
    assert "Traceback" not in ended.stderr and "listens at" not in ended.stderr


def kill_workers(router: Router) -> None:
    """End both without a word."""
    ready = re.search(r"workers are ready: (\d+), (\d+)", router.log)
    assert ready is not None
    for pid in ready.groups():
        os.kill(int(pid), signal.SIGKILL)


def test_the_parent_is_killed(installation: Mapping[str, object], fleet: Fleet) -> None:
    """Workers that drain without it do not hold its address: another one can listen there."""
    port = free_port()
    drain = {"route_drain": 20, "route_drain_websockets": 20}
    options = {**installation, **drain, "route_metrics": port, "route_workers": 2}
    with Router(ServeCommand(options)) as router:
        router.wait_for("2 workers are ready")
        with router.open_websocket(f"/websockify?{fleet.alice.token.decode()}") as websocket:
            router.signal(signal.SIGKILL)
            router.wait()
            wait_until(lambda: _is_free(port), "nobody holds it")
            websocket.send("still")
            assert websocket.recv() == "still"


def _is_free(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True
