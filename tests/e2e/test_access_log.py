"""The access log of real processes: what stands in it, and that nothing waits for it."""

import contextlib
import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from route_addon.serve.access_log.writer import MAX_LINES
from tests.e2e.conftest import client_context
from tests.e2e.harness import (
    ALICE,
    UNTRUSTED,
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
from tests.e2e.scrape import Scrape, wait_for_sample


@dataclass
class Logged:
    """A router that writes an access log, as JSON."""

    router: Router
    path: Path
    metrics_port: int

    def read(self, count: int) -> list[dict[str, Any]]:
        """The last lines, once all of this test are there."""
        wait_until(lambda: len(self._lines()) >= count, f"{count} lines are written")
        lines = self._lines()
        assert len(lines) == count, lines
        return [json.loads(line) for line in lines]

    def _lines(self) -> list[str]:
        return self.path.read_text("ascii").splitlines()


@pytest.fixture(scope="module")
def running(
    installation: Mapping[str, object], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Logged]:
    """The router, which all tests share."""
    path = tmp_path_factory.mktemp("log") / "access.log"
    port = free_port()
    options = {
        **installation,
        "route_access_log": "json",
        "route_access_log_file": path,
        "route_metrics": port,
        "flow_detail": 0,
    }
    with Router(Command(options)) as router:
        yield Logged(router, path, port)


@pytest.fixture
def logged(running: Logged, tmp_path: Path) -> Logged:
    """The same, with an empty log: the old one is moved away, as logrotate does."""
    running.path.rename(tmp_path / "old")
    running.router.ask(build_request(b"/healthz"))
    wait_until(running.path.exists, "the log is made anew")
    running.read(1)
    os.truncate(running.path, 0)
    return running


def test_requests(logged: Logged, fleet: Fleet, certificate: Path) -> None:
    """One line each, in the order in which they ended, over HTTP/1 and HTTP/2."""
    router, token = logged.router, (b"ABCAuthorization", fleet.alice.token)
    router.ask(build_request(b"/page?a=b", (b"User-Agent", b'a "quote"'), method=b"HEAD"))
    router.ask(build_request(b"/API/x", method=b"POST", body=b"12345"))
    router.ask(build_request(b"/filer/a", token))
    refused = router.ask(build_request(b"/filer/b"), source=UNTRUSTED)
    router.ask(b"GARBAGE\r\n\r\n")
    with Http2Client(router.address, client_context(certificate, "h2")) as client:
        client.ask(b"/healthz")
    page, upload, filer, refusal, garbage, healthz = logged.read(6)
    assert (page["method"], page["target"], page["version"]) == ("HEAD", "/page?a=b", "HTTP/1.1")
    assert (page["status"], page["location"], page["upstream"]) == (200, "/", "website")
    assert (page["user_agent"], page["sent_bytes"]) == ('a "quote"', 0)
    assert (upload["received_bytes"], upload["sent_bytes"]) == (5, len("pyos"))
    assert 0 < upload["reached_s"] <= upload["first_byte_s"] <= upload["duration_s"] < 60
    assert (filer["token_source"], filer["upstream"], filer["cut"]) == ("header", "pod", False)
    assert (refusal["status"], refusal["slug"]) == (401, "token_missing")
    assert refusal["request_id"].encode() == refused.get(b"x-request-id")
    assert refusal["client"] == UNTRUSTED
    assert (garbage["status"], garbage["slug"], garbage["target"]) == (400, "bad_request", None)
    assert (healthz["version"], healthz["location"]) == ("HTTP/2", "/healthz")
    assert {line["event"] for line in logged.read(6)} == {"request"}


def test_a_websocket(logged: Logged, fleet: Fleet) -> None:
    """A line when it opens, and one when it ends that tells what passed."""
    target = f"/websockify?jwt_token={fleet.alice.token.decode()}"
    with logged.router.open_websocket(target) as websocket:
        (opened,) = logged.read(1)
        websocket.send(b"x" * 1000)
        websocket.recv()
    opened, ended = logged.read(2)
    assert (opened["event"], ended["event"]) == ("websocket_open", "websocket_end")
    assert opened["request_id"] == ended["request_id"]
    assert opened["status"] == ended["status"] == 101
    assert (opened["target"], opened["duration_s"]) == ("/websockify?[token]", None)
    assert ended["received_bytes"] > 1000 and ended["sent_bytes"] > 1000
    assert ended["duration_s"] >= opened["first_byte_s"]


def test_no_secrets(logged: Logged, fleet: Fleet) -> None:
    """No token stands in it, wherever a client puts one, and no pod's address."""
    token = fleet.alice.token
    for request in (
        build_request(b"/container/%s/80/x" % token),
        build_request(b"/filer?jwt_token=" + token, (b"Referer", b"http://x/?jwt_token=" + token)),
        build_request(b"/filer", (b"ABCAuthorization", token), (b"User-Agent", token)),
        build_request(b"/filer", (b"Cookie", b"jwt_token=" + token)),
        build_request(b"/x?y=" + token.replace(b".", b"%2e")),
        build_request(b"/filer?jwt_token=" + token[:-9] + b"\xff\x22"),
    ):
        logged.router.ask(request)
    logged.read(6)
    text = logged.path.read_bytes()
    check_secrets(text)
    for part in token.split(b"."):
        assert part[:40] not in text and part[-40:] not in text


def test_who_leaves(logged: Logged, fleet: Fleet) -> None:
    """A client that goes before its answer is a 499, and cut."""
    fleet.pyos.play(lambda wire, request: None)
    with logged.router.connect() as client:
        client.send(build_request(b"/API/never"))
        fleet.pyos.wait_for(b"/API/never")
        client.reset()
        (line,) = logged.read(1)
    assert (line["status"], line["cut"], line["slug"]) == (499, True, None)


def test_trace_context_passes(logged: Logged, fleet: Fleet) -> None:
    """traceparent and tracestate (W3C Trace Context) go upstream byte for byte."""
    fields = (
        (b"traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        (b"tracestate", b"rojo=00f067aa0ba902b7 , congo=t61rcWkgMzE"),
    )
    logged.router.ask(build_request(b"/traced", *fields))
    sent = fleet.website.request
    assert [(name.lower(), value) for name, value in sent.fields if b"trace" in name.lower()] == [
        *fields
    ]


def test_the_target_by_option(
    installation: Mapping[str, object], fleet: Fleet, tmp_path: Path
) -> None:
    """Pods are named only where that is asked for; and in nginx's format the rest is the same."""
    path = tmp_path / "access.log"
    options = {
        **installation,
        "route_access_log": "combined",
        "route_access_log_file": path,
        "route_access_log_target": "true",
        "flow_detail": 0,
    }
    with Router(Command(options)) as router:
        router.ask(build_request(b"/filer/a", (b"ABCAuthorization", fleet.alice.token)))
    (line,) = path.read_text("ascii").splitlines()
    port = fleet.alice["file_service"].port
    assert re.match(r'127\.0\.0\.1 - - \[[^\]]+\] "GET /filer/a HTTP/1\.1" 200 \d+ "-" "-" ', line)
    assert line.endswith(f" server={ALICE}:{port}")


def test_a_full_disk(installation: Mapping[str, object], fleet: Fleet) -> None:
    """Lines are lost and counted, the log says so once, and requests go on."""
    port = free_port()
    options = {
        **installation,
        "route_access_log": "json",
        "route_access_log_file": "/dev/full",
        "route_metrics": port,
        "flow_detail": 0,
    }
    with Router(Command(options)) as router:
        for count in (1, 2):
            assert router.ask(build_request(b"/x")).status == 200
            wait_for_sample(port, count, "route_access_log_lines_total", outcome="dropped")
        router.wait_for("the access log loses lines: No space left on device")
        assert router.log.count("loses lines") == 1


def test_a_file_that_cannot_be(installation: Mapping[str, object], tmp_path: Path) -> None:
    """The start ends with a sentence that names option, value and remedy."""
    path = tmp_path / "nowhere" / "log"
    options = {**installation, "route_access_log": "json", "route_access_log_file": path}
    ended = Command(options).run()
    assert ended.returncode == 1
    assert f"route_access_log_file={path}: cannot be written to" in ended.stderr
    assert "Traceback" not in ended.stderr


@dataclass(frozen=True)
class PipedCommand(ServeCommand):
    """``route-addon serve`` whose standard output is a pipe, and its log alone on the other."""

    pipe: int = -1

    def words(self) -> list[str]:
        """The command line."""
        return ["sh", "-c", 'exec "$0" "$@" 2>&1 1>&0 </dev/null', *super().words()]

    def start(self, **streams: Any) -> subprocess.Popen[bytes]:
        """Start it."""
        return super().start(**{**streams, "stdin": self.pipe})


@contextlib.contextmanager
def serve(installation: Mapping[str, object], port: int) -> Iterator[tuple[Router, BinaryIO]]:
    """A service of one worker that logs to standard output, and who reads that."""
    options = {
        **installation,
        "route_access_log": "json",
        "route_metrics": port,
        "route_workers": 1,
    }
    reading, writing = os.pipe()
    with (
        os.fdopen(reading, "rb") as reader,
        os.fdopen(writing, "wb") as writer,
        Router(PipedCommand(options, pipe=writing)) as router,
    ):
        writer.close()
        router.wait_for("1 worker is ready")
        yield router, reader


def test_a_closed_standard_output(installation: Mapping[str, object], fleet: Fleet) -> None:
    """It ends nothing: requests go on, WebSockets too, and lines are counted as lost."""
    port = free_port()
    with serve(installation, port) as (router, reader):
        router.ask(build_request(b"/first"))
        assert json.loads(reader.readline())["target"] == "/first"
        with router.open_websocket(f"/websockify?{fleet.alice.token.decode()}") as websocket:
            reader.readline()
            reader.close()
            for _ in range(3):
                assert router.ask(build_request(b"/x")).status == 200
            wait_for_sample(port, 3, "route_access_log_lines_total", outcome="dropped")
            websocket.send("still")
            assert websocket.recv() == "still"
        wait_for_sample(port, 4, "route_access_log_lines_total", outcome="dropped")
        assert "ended" not in router.log
        assert router.stop() == 0


def test_a_standard_output_that_nobody_reads(
    installation: Mapping[str, object], fleet: Fleet
) -> None:
    """Nobody waits for it: what is too much is dropped and counted, the rest comes when it can."""
    port = free_port()
    count = MAX_LINES + 4000
    with serve(installation, port) as (router, reader):
        with router.connect() as client:
            for _ in range(count // 200):
                client.send(build_request(b"/healthz") * 200)
                for _ in range(200):
                    assert client.read_answer().status == 200
        router.settle()
        stuck = Scrape(port)
        dropped = stuck.get("route_access_log_lines_total", outcome="dropped")
        assert dropped > 0
        read = [json.loads(reader.readline()) for _ in range(count // 200 * 200 - int(dropped))]
        assert {line["location"] for line in read} == {"/healthz"}
        router.ask(build_request(b"/last"))
        assert json.loads(reader.readline())["target"] == "/last"
        after = wait_for_sample(
            port, len(read) + 1, "route_access_log_lines_total", outcome="written"
        )
        assert after.get("route_access_log_lines_total", outcome="dropped") == dropped
