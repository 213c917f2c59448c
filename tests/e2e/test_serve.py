"""``route-addon serve``: one router in many processes."""

import os
import re
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import pytest

from tests.e2e.harness import (
    Client,
    Command,
    Fleet,
    Http2Client,
    Router,
    ServeCommand,
    build_request,
    check_secrets,
    wait_until,
)
from tests.e2e.ports import free_port

HEALTHZ = build_request(b"/healthz")
TRIES = 3
REFUSALS = 2000
"""More lines than there is room for in a pipe."""


@pytest.fixture(scope="module")
def router(installation: Mapping[str, object]) -> Iterator[Router]:
    """Two workers, at two addresses."""
    options = {**installation, "route_workers": 2, "route_listen": "127.0.0.1:0,[::1]:0"}
    with Router(ServeCommand(options, port=None)) as router:
        router.wait_for("2 workers are ready")
        yield router
    check_secrets(router.log.encode())


def _workers(router: Router) -> list[int]:
    """Who serves, in the order in which they became ready."""
    first = re.search(r"workers are ready: (\d+), (\d+)", router.log)
    assert first is not None
    others = re.findall(r"worker (\d+) is ready", router.log)
    return [pid for pid in map(int, [*first.groups(), *others]) if _is_there(pid)]


def _is_there(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _has_others(router: Router, count: int) -> bool:
    return router.count("is ready") > count


def test_serves(router: Router, fleet: Fleet, tls_h2: ssl.SSLContext) -> None:
    """The same router as under mitmproxy: the website, a pod, a WebSocket, HTTP/2."""
    assert router.ask(build_request()).body == b"website"
    assert router.ask(build_request(b"/filer", (b"ABCAuthorization", fleet.alice.token))).body
    with router.open_websocket(f"/websockify?jwt_token={fleet.alice.token.decode()}") as opened:
        opened.send("hello")
        assert opened.recv() == "hello"
    with Http2Client(router.address, tls_h2) as client:
        assert client.ask().body == b"website"


def test_uvloop(router: Router) -> None:
    """Workers run on it, and the start says so."""
    assert router.log.count("workers run on uvloop ") == 1


def test_no_uvloop(
    installation: Mapping[str, object], fleet: Fleet, tls: ssl.SSLContext, tmp_path: Path
) -> None:
    """Where it cannot be imported they run on asyncio's own loop, and serve as well."""
    (tmp_path / "uvloop.py").write_text("raise ImportError")
    options = {**installation, "route_workers": 1}
    with Router(ServeCommand(options, environment={"PYTHONPATH": str(tmp_path)})) as router:
        assert "workers run on asyncio's own loop: there is no uvloop" in router.log
        for context in (None, tls):
            assert router.ask(build_request(), tls=context).body == b"website"


def test_several_addresses(router: Router) -> None:
    """Each address of route_listen is listened at, of either family."""
    match = re.search(r"listens at 127\.0\.0\.1:(\d+) and \[?::1\]?:(\d+)", router.log)
    assert match is not None, router.log
    for host, port in (("127.0.0.1", match[1]), ("::1", match[2])):
        with socket.create_connection((host, int(port)), 10) as connection:
            connection.sendall(HEALTHZ)
            assert connection.recv(15) == b"HTTP/1.1 200 OK"


@pytest.mark.parametrize("start", [ServeCommand, Command], ids=["serve", "mitmdump"])
def test_both_families(installation: Mapping[str, object], start: type[Command]) -> None:
    """Without a host both families are listened at, at one port; under mitmproxy, too."""
    options = {**installation, "route_workers": 1, "route_listen": "0"}
    with Router(start(options, port=None)) as router:
        for host in ("127.0.0.1", "::1"):
            with socket.create_connection((host, router.port), 10) as connection:
                connection.sendall(HEALTHZ)
                assert connection.recv(15) == b"HTTP/1.1 200 OK"


def test_a_killed_worker_is_replaced(router: Router) -> None:
    """Another worker serves within a second, and who waited in the queue is served."""
    took_s = []
    for _ in range(TRIES):
        one, other = _workers(router)[-2:]
        os.kill(other, signal.SIGSTOP)
        os.kill(one, signal.SIGSTOP)
        with router.connect() as client:
            client.send(HEALTHZ)
            others = router.log.count("is ready")
            began = time.monotonic()
            os.kill(one, signal.SIGKILL)
            os.kill(other, signal.SIGCONT)
            wait_until(partial(_has_others, router, others), "another worker is ready")
            took_s.append(time.monotonic() - began)
            assert client.read_answer().status == 200
        if min(took_s) < 1:
            break
        time.sleep(0.5)
    assert min(took_s) < 1, took_s
    assert "ended: by SIGKILL (out of memory?); another one starts" in router.log
    assert router.ask(HEALTHZ).status == 200


def test_the_parent_is_killed(installation: Mapping[str, object]) -> None:
    """Workers without a parent drain, and end."""
    router = Router(ServeCommand({**installation, "route_workers": 2}))
    with router:
        router.wait_for("2 workers are ready")
        workers = _workers(router)
        router.signal(signal.SIGKILL)
        wait_until(lambda: not any(map(_is_there, workers)), "the workers are gone")


def test_a_start_that_is_refused(key_options: Mapping[str, str]) -> None:
    """An address that cannot be had: one sentence with the remedy, and status 1."""
    options = {**key_options, "route_listen": "192.0.2.1:1"}
    ended = ServeCommand(options, port=None).run()
    assert ended.returncode == 1
    sentence = "route_addon: cannot listen at 192.0.2.1:1: Cannot assign requested address; name "
    assert ended.stderr.startswith(sentence)
    assert ended.stderr.count("\n") == 1


def test_a_log_that_nobody_reads(
    installation: Mapping[str, object],
) -> None:
    """Whoever is refused fills it, and nobody waits for that."""
    port = free_port()
    command = ServeCommand({**installation, "route_workers": 1}, port=port)
    process = command.start(stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        wait_until(lambda: _answers(port), "it answers")
        with Client(("127.0.0.1", port)) as client:
            for _ in range(REFUSALS // 100):
                client.send(build_request(b"/filer") * 100)
                assert {client.read_answer().status for _ in range(100)} == {401}
        assert _answers(port)
    finally:
        process.kill()
        process.communicate()


def _answers(port: int) -> bool:
    try:
        with Client(("127.0.0.1", port)) as client:
            return client.ask(HEALTHZ).status == 200
    except ConnectionRefusedError:
        return False
