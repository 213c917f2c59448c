"""The relay, watched: flows, hooks, edits, intercepts and kills, and a wire that stays the same."""

import contextlib
import json
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from mitmproxy import io
from mitmproxy.http import HTTPFlow
from websockets.exceptions import ConnectionClosed

from tests.e2e.harness import (
    ABORT,
    ALICE,
    BOB,
    LEAVE,
    PATIENCE_S,
    ROOT,
    SCRIPT,
    Backend,
    Client,
    Command,
    Fleet,
    Http2Client,
    Request,
    Router,
    StreamRefused,
    Wire,
    build_chunks,
    build_request,
    wait_until,
)
from tests.e2e.ports import free_port
from tests.e2e.web import PASSWORD, Web

PROBE = ROOT / "tests" / "e2e" / "probe.py"
WHOLE = ["requestheaders", "request", "responseheaders", "response"]
BODY = b"from the probe, and longer"
TEAPOT = b"HTTP/1.1 418 "
REQUEST_ID = (b"X-Request-ID", b"the-same")


class Watched:
    """A router that a probe watches.

    Args:
        router: The router.
        notes: The probe's notes.
        flows: What ``-w`` writes.
    """

    def __init__(self, router: Router, notes: Path, flows: Path) -> None:
        self.router = router
        self._notes = notes
        self._flows = flows

    def notes(self, part: str) -> list[dict[str, Any]]:
        """What the probe noted of requests with this in their path."""
        lines = self._notes.read_text().splitlines() if self._notes.exists() else []
        entries: list[dict[str, Any]] = [json.loads(line) for line in lines if line.endswith("}")]
        return [entry for entry in entries if part in entry["path"]]

    def hooks(self, part: str) -> list[str]:
        """The names of the hooks that were asked about them."""
        return [note["hook"] for note in self.notes(part)]

    def wait_for(self, part: str, hook: str) -> dict[str, Any]:
        """Wait until this hook has been asked."""
        wait_until(lambda: hook in self.hooks(part), f"{hook} is asked about {part}")
        return next(note for note in self.notes(part) if note["hook"] == hook)

    def flow(self, part: str) -> HTTPFlow:
        """The one recorded flow with this in its path."""
        found: list[HTTPFlow] = []

        def find() -> bool:
            found[:] = [flow for flow in read_flows(self._flows) if part in flow.request.path]
            return bool(found)

        wait_until(find, f"{part} is recorded")
        return found[0]

    @property
    def recording(self) -> bytes:
        """All that ``-w`` has written."""
        return self._flows.read_bytes()


def read_flows(path: Path) -> list[HTTPFlow]:
    """The flows of a recording, which may still grow."""
    flows: list[HTTPFlow] = []
    with path.open("rb") as file, contextlib.suppress(Exception):
        for flow in io.FlowReader(file).stream():
            assert isinstance(flow, HTTPFlow)
            flows.append(flow)
    return flows


@pytest.fixture(scope="module")
def options(shared_fleet: Fleet, key_options: Mapping[str, str]) -> Mapping[str, object]:
    """The options of a relay that knows the fleet and the keys."""
    return {
        **shared_fleet.options,
        **key_options,
        "route_carrier": "relay",
        "route_trusted_proxies": "127.0.0.1/32",
    }


@pytest.fixture(scope="module")
def watched(
    options: Mapping[str, object], shared_fleet: Fleet, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Watched]:
    """A relay with a probe, a recording, and printed flows."""
    folder = tmp_path_factory.mktemp("watched")
    notes, flows = folder / "notes", folder / "flows"
    token = shared_fleet.alice.mint(life_s=3000).decode()
    command = Command(
        {
            **options,
            "route_websocket_history": 20,
            "route_record_payloads": "true",
            "route_watch_body_bytes": 100_000,
        },
        scripts=(SCRIPT, PROBE),
        arguments=("-w", str(flows)),
        environment={"PROBE_NOTES": str(notes), "PROBE_TOKEN": token},
    )
    with Router(command) as router:
        yield Watched(router, notes, flows)
    assert "failed:" not in router.log
    assert "eyJ" not in router.log
    assert b"eyJ" not in flows.read_bytes()


@pytest.fixture(scope="module")
def unwatched(options: Mapping[str, object]) -> Iterator[Router]:
    """The same without anybody who watches."""
    with Router(Command({**options, "flow_detail": 0})) as router:
        yield router


def ask_probe(
    watched: Watched, fleet: Fleet, deed: str, path: bytes = b"/filer/x", **details: Any
) -> bytes:
    """Ask with a token for the probe to act; all that comes back."""
    target = b"%b?probe=%b" % (path, deed.encode())
    own = (b"ABCAuthorization", fleet.alice.token)
    close = (b"Connection", b"close")
    with watched.router.connect() as client:
        client.send(build_request(target, own, close, **details))
        return client.read_to_end()


# Hooks and flows.


def test_hooks_stand_in_mitmproxys_order(watched: Watched, fleet: Fleet) -> None:
    """Each hook is asked once, of a live flow."""
    answer = watched.router.ask(build_request(b"/order"))

    assert answer.body == b"website"
    watched.wait_for("/order", "response")
    notes = watched.notes("/order")
    assert [note["hook"] for note in notes] == WHOLE
    assert all(note["live"] for note in notes)
    assert [note["status"] for note in notes] == [None, None, 200, 200]
    assert [note["content"] for note in notes] == [0, 0, 0, 0]
    assert notes[-1]["answer"] == len(b"website")


def test_flow_shows_where_a_request_went(watched: Watched, fleet: Fleet) -> None:
    """Addresses of both ends, times in order, one line that says why."""
    backend = fleet.alice["file_service"]
    own = (b"ABCAuthorization", b"Bearer " + fleet.alice.token)
    watched.router.ask(build_request(b"/filer/where?x=%20", own, (b"X-Mine", b"1")))

    flow = watched.flow("/filer/where")
    request, response, server = flow.request, flow.response, flow.server_conn
    assert response is not None
    assert (request.host, request.port) == (ALICE, backend.port)
    assert request.path == "/filer/where?x=%20"
    assert request.headers["Host"] == "desk.example"
    assert request.headers["X-Mine"] == "1"
    assert request.headers["ABCAuthorization"].startswith("Bearer hidden.")
    assert server.address == server.peername == (ALICE, backend.port)
    assert server.sockname is not None
    times = [
        flow.client_conn.timestamp_start,
        request.timestamp_start,
        request.timestamp_end,
        server.timestamp_start,
        server.timestamp_tcp_setup,
        response.timestamp_start,
        response.timestamp_end,
    ]
    assert None not in times
    assert times == sorted(times, key=float)  # type: ignore[arg-type]
    assert response.raw_content == backend.name.encode()
    assert flow.comment.startswith(f"/filer -> pod {ALICE}:{backend.port} · token from header")
    route = flow.metadata["route"]
    assert (route["location"], route["token_source"], route["edited"]) == (
        "/filer",
        "header",
        False,
    )
    assert (route["server"], route["answered_by"]) == (f"{ALICE}:{backend.port}", "upstream")
    assert flow.marked == ":white_check_mark:"
    timings = route["timings"]
    assert 0 < timings["connect"] <= timings["first_byte"] <= timings["total"] < PATIENCE_S


def test_refusal_is_a_flow_with_our_answer(watched: Watched, fleet: Fleet) -> None:
    """All four hooks; the comment says why."""
    answer = watched.router.ask(build_request(b"/filer/refused"))

    assert answer.status == 401
    flow = watched.flow("/filer/refused")
    assert watched.hooks("/filer/refused") == WHOLE
    assert flow.response is not None
    assert flow.response.status_code == 401
    assert flow.response.raw_content == answer.body
    assert flow.comment.startswith("401 token_missing")
    assert flow.metadata["route"]["slug"] == "token_missing"
    assert fleet.is_untouched


def test_head_that_cannot_be_read_is_a_flow_too(watched: Watched, fleet: Fleet) -> None:
    """With our answer, and a comment that says what was wrong."""
    before = len(watched.notes("/"))
    with watched.router.connect() as client:
        client.send(
            b"GET /bad HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"
        )
        assert client.read_answer().status == 400

    assert [note["hook"] for note in watched.notes("/")[before:]] == [
        "requestheaders",
        "responseheaders",
        "response",
    ]


def test_collected_content_is_there_in_request(watched: Watched, fleet: Fleet) -> None:
    """And nothing has gone upstream by then."""
    watched.router.ask(build_request(b"/API/collected", method=b"POST", body=b"x" * 70_000))

    assert watched.wait_for("/API/collected", "request")["content"] == 70_000
    assert watched.flow("/API/collected").request.raw_content == b"x" * 70_000
    assert fleet.pyos.request.body == b"x" * 70_000


def test_streamed_content_is_copied(watched: Watched, fleet: Fleet) -> None:
    """``request`` is asked before it streams; the flow has it in the end."""
    head = build_request(b"/speedtest/up", (b"Transfer-Encoding", b"chunked"), method=b"POST")
    watched.router.ask(head + build_chunks(b"abc", b"def"))

    assert watched.wait_for("/speedtest/up", "request")["content"] is None
    assert watched.flow("/speedtest/up").request.raw_content == b"abcdef"
    assert fleet.speedtest.request.body == b"abcdef"


def test_copies_are_bounded(watched: Watched, fleet: Fleet) -> None:
    """What is longer is cut in the flow, said to be so, and whole on the wire."""
    content = bytes(range(256)) * 2000
    fleet.speedtest.play(b"HTTP/1.1 200 OK\r\nContent-Length: 512000\r\n\r\n" + content)
    answer = watched.router.ask(build_request(b"/speedtest/cut", method=b"POST", body=content))

    assert answer.body == content
    assert fleet.speedtest.request.body == content
    flow = watched.flow("/speedtest/cut")
    assert flow.response is not None
    assert flow.request.raw_content == flow.response.raw_content == content[:100_000]
    route = flow.metadata["route"]
    assert (route["request_bytes"], route["request_cut"]) == (512_000, True)
    assert (route["answer_bytes"], route["answer_cut"]) == (512_000, True)


def test_answer_streams_as_it_comes(watched: Watched, fleet: Fleet) -> None:
    """The first part is with the client before the upstream sends the second."""
    go_on = threading.Event()

    def answer(wire: Wire, request: Request) -> None:
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc")
        go_on.wait(10)
        wire.send(b"def")

    fleet.website.play(answer)
    with watched.router.connect() as client:
        client.send(build_request(b"/streams"))
        head = client.read_head()
        assert b"Content-Length: 6" in head
        assert client.receive() == b"abc"
        assert watched.hooks("/streams") == WHOLE[:3]
        go_on.set()
        assert client.receive() == b"def"
    flow = watched.flow("/streams")
    assert flow.response is not None
    assert flow.response.raw_content == b"abcdef"


def test_cut_answer_is_an_error(watched: Watched, fleet: Fleet) -> None:
    """The client sees that it is not whole; the flow says why."""
    has_begun = threading.Event()

    def answer(wire: Wire, request: Request) -> None:
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc")
        has_begun.wait(PATIENCE_S)
        wire.close()

    fleet.website.play(answer)
    with watched.router.connect() as client:
        client.send(build_request(b"/cut-short"))
        client.read_head()
        has_begun.set()
        assert client.read_to_end() == b"abc"
    note = watched.wait_for("/cut-short", "error")
    assert note["error"] == "502 upstream_reset"
    assert watched.hooks("/cut-short") == [*WHOLE[:3], "error"]


def test_upstream_that_fails_is_shown_with_our_answer(watched: Watched, fleet: Fleet) -> None:
    """The answer is ours, and it stays known where the request went."""
    fleet.website.play(lambda wire, request: wire.close())
    assert watched.router.ask(build_request(b"/fails", method=b"POST", body=b"")).status == 502

    flow = watched.flow("/fails")
    assert flow.metadata["route"]["slug"] == "upstream_reset"
    assert flow.metadata["route"]["upstream"] == "website"
    assert flow.server_conn.peername == ("127.0.0.1", fleet.website.port)


def test_client_that_leaves_ends_its_flow(watched: Watched, fleet: Fleet) -> None:
    """With an error, and the upstream is let go."""
    gone = threading.Event()

    def answer(wire: Wire, request: Request) -> None:
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
        wire.receive()
        gone.set()
        wire.close()

    fleet.website.play(answer)
    with watched.router.connect() as client:
        client.send(build_request(b"/leaves"))
        client.read_head()
        client.reset()
    assert watched.wait_for("/leaves", "error")["error"] == "the client has gone"
    assert gone.wait(10)


# Edits.


def test_edited_field_is_sent(watched: Watched, fleet: Fleet) -> None:
    """In ``requestheaders`` and in ``request`` alike."""
    for hook in ("requestheaders", "request"):
        fleet.forget()
        assert b"200 OK" in ask_probe(watched, fleet, f"{hook}:field")
        request = fleet.alice["file_service"].request
        assert request.get(b"X-Probe") == b"yes"
        assert request.get(b"ABCAuthorization") is not None
        assert b"hidden." not in request.raw


@pytest.mark.parametrize("hook", ["requestheaders", "request"])
def test_request_without_its_token_is_refused(hook: str, watched: Watched, fleet: Fleet) -> None:
    """An edit does not get round the gate."""
    assert ask_probe(watched, fleet, f"{hook}:forget").startswith(b"HTTP/1.1 401 ")
    assert fleet.is_untouched


@pytest.mark.parametrize("hook", ["requestheaders", "request"])
def test_refused_request_can_be_mended(hook: str, watched: Watched, fleet: Fleet) -> None:
    """One that gets its token is decided again, and passes."""
    answer = watched.router.ask(build_request(f"/filer/x?probe={hook}:remember".encode()))

    assert answer.body == fleet.alice["file_service"].name.encode()


@pytest.mark.parametrize("hook", ["requestheaders", "request"])
def test_edited_path_is_decided_again(hook: str, watched: Watched, fleet: Fleet) -> None:
    """It goes where the new path says, and nowhere else."""
    ask_probe(watched, fleet, f"{hook}:elsewhere")

    assert fleet.pyos.request.target == b"/API/elsewhere"
    assert fleet.touched_but(fleet.pyos) == []


def test_edited_method_is_sent(watched: Watched, fleet: Fleet) -> None:
    """But for one that changes whether the answer has content."""
    ask_probe(watched, fleet, "request:delete")
    assert fleet.alice["file_service"].request.method == b"DELETE"
    fleet.forget()
    assert ask_probe(watched, fleet, "request:head").endswith(b"file_service at 127.0.0.21")
    assert fleet.alice["file_service"].request.method == b"GET"


def test_edited_url_is_decided_again(watched: Watched, fleet: Fleet) -> None:
    """Where it has the client's own name for us, as option map_remote may have it."""
    assert ask_probe(watched, fleet, "request:url").startswith(b"HTTP/1.1 200 ")
    request = fleet.pyos.request
    assert (request.target, request.get(b"Host")) == (b"/API/elsewhere", b"desk.example")


def test_edited_destination_is_refused(watched: Watched, fleet: Fleet) -> None:
    """Where a request goes is nobody's to say but the decision's."""
    assert ask_probe(watched, fleet, "request:host").startswith(b"HTTP/1.1 500 ")
    assert fleet.is_untouched


def test_edit_cannot_split_a_request(watched: Watched, fleet: Fleet) -> None:
    """A line break in a field is refused."""
    assert ask_probe(watched, fleet, "request:split").startswith(b"HTTP/1.1 400 ")
    assert fleet.is_untouched


@pytest.mark.parametrize("size", [5, 70_000])
def test_edited_content_is_sent(size: int, watched: Watched, fleet: Fleet) -> None:
    """With its own length."""
    details = {"method": b"POST", "body": b"x" * size}
    assert b"200 OK" in ask_probe(watched, fleet, "request:body", b"/API/edit", **details)
    assert fleet.pyos.request.body == BODY
    assert fleet.pyos.request.get(b"Content-Length") == b"%d" % len(BODY)
    fleet.forget()
    ask_probe(watched, fleet, "request:no-body", b"/API/edit", **details)
    assert fleet.pyos.request.body == b""


def test_content_can_be_added(watched: Watched, fleet: Fleet) -> None:
    """To a request that had none."""
    ask_probe(watched, fleet, "request:body", b"/API/add", method=b"POST")
    assert fleet.pyos.request.body == BODY


@pytest.mark.parametrize("hook", ["requestheaders", "request"])
def test_addons_answer_is_sent(hook: str, watched: Watched, fleet: Fleet) -> None:
    """No upstream is needed for it, and none is asked."""
    received = ask_probe(watched, fleet, f"{hook}:answer")

    assert received.startswith(TEAPOT)
    assert b"X-Probe: yes" in received
    assert received.endswith(b"\r\n\r\nfrom the probe")
    assert fleet.is_untouched


def test_addons_answer_takes_the_upstreams_place(watched: Watched, fleet: Fleet) -> None:
    """Whether the upstream's is whole with its head, or streams."""
    for raw in (
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc",
    ):
        fleet.forget()
        fleet.alice["file_service"].play(raw)
        received = ask_probe(watched, fleet, "responseheaders:answer")
        assert received.startswith(TEAPOT)
        assert received.endswith(b"\r\n\r\nfrom the probe")


@pytest.mark.parametrize("hook", ["responseheaders", "response"])
def test_edited_answer_is_sent(hook: str, watched: Watched, fleet: Fleet) -> None:
    """Status, fields, and the content of one that came whole."""
    assert ask_probe(watched, fleet, f"{hook}:status").startswith(TEAPOT)
    assert b"X-Probe: yes" in ask_probe(watched, fleet, f"{hook}:field-back")
    assert ask_probe(watched, fleet, "response:body-back").endswith(b"\r\n\r\n" + BODY)


def test_edited_refusal_is_sent(watched: Watched, fleet: Fleet) -> None:
    """Our own answers can be edited too."""
    answer = watched.router.ask(build_request(b"/filer?probe=response:field-back"))
    assert answer.status == 401
    assert answer.get(b"X-Probe") == b"yes"


def test_status_that_hides_content_is_not_taken(watched: Watched, fleet: Fleet) -> None:
    """The content of the answer would be taken for the next one."""
    received = ask_probe(watched, fleet, "responseheaders:no-content")
    assert received.startswith(b"HTTP/1.1 200 OK")


def test_edit_cannot_split_an_answer(watched: Watched, fleet: Fleet) -> None:
    """A line break in a field is our fault towards the client."""
    for hook in ("responseheaders", "response"):
        received = ask_probe(watched, fleet, f"{hook}:split-back")
        assert received.startswith(b"HTTP/1.1 500 ")
        assert b"X-Split" not in received


# Failing closed.


@pytest.mark.parametrize("hook", WHOLE)
def test_killed_flow_is_cut(hook: str, watched: Watched, fleet: Fleet) -> None:
    """In every hook; before the request has been sent, the back end hears nothing."""
    path = f"/filer/kill-{hook}"
    assert ask_probe(watched, fleet, f"{hook}:kill", path.encode()) == b""
    if hook.startswith("request"):
        assert fleet.is_untouched
    if hook != "response":
        note = watched.wait_for(path, "error")
        assert note["error"] == "Connection killed."


def test_addon_that_raises_changes_nothing(watched: Watched, fleet: Fleet) -> None:
    """mitmproxy logs it, and the decision stands."""
    assert b"200 OK" in ask_probe(watched, fleet, "request:raise")
    without = watched.router.ask(build_request(b"/filer/x?probe=requestheaders:raise"))
    assert without.status == 401


@pytest.mark.parametrize("hook", ["requestheaders", "request"])
def test_flow_without_its_stamp_is_refused(hook: str, watched: Watched, fleet: Fleet) -> None:
    """Nothing of it reaches a back end."""
    assert ask_probe(watched, fleet, f"{hook}:unstamp").startswith(b"HTTP/1.1 500 ")
    assert fleet.is_untouched


# The wire.


def exchange(router: Router, backend: Backend, raw: bytes) -> tuple[bytes, bytes]:
    """What a client gets for some bytes, and what the back end got."""
    with router.connect() as client:
        client.send(raw)
        client.socket.shutdown(socket.SHUT_WR)
        received = client.read_to_end()
    return received, without_own(backend.received)


def without_own(raw: bytes) -> bytes:
    """Bytes without what differs between two routers: their ports, and identifiers made afresh."""
    raw = re.sub(rb"(?i)(x-forwarded-port: )[0-9]+", rb"\1", raw)
    return re.sub(rb"(?i)(x-request-id: |request )[0-9a-f]{24}", rb"\1", raw)


ANSWERS = {
    "whole": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nServer: x\r\n"
    b"Set-Cookie: a=b; Path=/\r\n\r\nabc",
    "chunked": b"HTTP/1.1 200 Fine\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "until the end": b"HTTP/1.0 200 OK\r\n\r\nabc",
    "no content": b"HTTP/1.1 204 No Content\r\n\r\n",
    "not modified": b"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\nETag: x\r\n\r\n",
    "not found": b"HTTP/1.1 404 Gone Fishing\r\nContent-Length: 0\r\nX-A: 1\r\nX-A: 2\r\n\r\n",
    "alt-svc": b'HTTP/1.1 200 OK\r\nContent-Length: 0\r\nAlt-Svc: h3=":443"\r\n\r\n',
    "odd": b"HTTP/1.1 299 \r\nContent-Length: 0\r\nX-B: \xff\xfe\r\nx-lower: 1\r\n\r\n",
    "broken": b"HTTP/1.1 abc\r\n\r\n",
    "split": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
    "switching": b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
}


@pytest.mark.parametrize("name", ANSWERS)
@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"POST"])
def test_answers_are_the_same_watched(
    name: str, method: bytes, watched: Watched, unwatched: Router, fleet: Fleet
) -> None:
    """Byte by byte, on both sides."""
    raw = build_request(
        b"/same?token=no",
        REQUEST_ID,
        (b"Cookie", b"a=b; c=d"),
        (b"Referer", b"http://desk.example/?jwt_token=abc"),
        method=method,
        body=b"body" if method == b"POST" else None,
    )
    seen: list[tuple[bytes, bytes]] = []
    for router in (watched.router, unwatched):
        fleet.forget()

        def play(wire: Wire, request: Request) -> None:
            answer = ANSWERS[name]
            wire.send(
                answer.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" if method == b"HEAD" else answer
            )
            if name == "until the end":
                wire.close()

        fleet.website.play(play)
        seen.append(exchange(router, fleet.website, raw))
    assert seen[0] == seen[1]


REQUESTS = {
    "plain": b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n",
    "two": b"GET /a HTTP/1.1\r\nHost: x\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\n\r\n",
    "absolute": b"GET http://X:80/a HTTP/1.1\r\nHost: x\r\n\r\n",
    "1.0": b"GET /a HTTP/1.0\r\n\r\n",
    "1.0 kept": b"GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    "close": b"GET /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    "odd fields": b"GET /a HTTP/1.1\r\nhOsT: x\r\nx-a:  1 \r\nX-A:\r\nX_B: 1\r\nX-C: \xff\r\n\r\n",
    "hop by hop": b"GET /a HTTP/1.1\r\nHost: x\r\nConnection: X-A\r\nX-A: 1\r\nTE: x\r\n\r\n",
    "asterisk": b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
    "connect": b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n",
    "lower": b"get /a HTTP/1.1\r\nHost: x\r\n\r\n",
    "no host": b"GET /a HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /a HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n",
    "escapes": b"GET /%41/../b//c%2f?x=%zz#y HTTP/1.1\r\nHost: x\r\n\r\n",
    "bad escape": b"GET /%4 HTTP/1.1\r\nHost: x\r\n\r\n",
    "healthz": b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Request-ID: 1\r\n\r\n",
    "no token": b"GET /filer HTTP/1.1\r\nHost: x\r\nX-Request-ID: 1\r\n\r\n",
    "bad token": b"GET /filer HTTP/1.1\r\nHost: x\r\n"
    b"X-Request-ID: 1\r\nABCAuthorization: x\r\n\r\n",
    "no token, HEAD": b"HEAD /filer HTTP/1.1\r\nHost: x\r\nX-Request-ID: 1\r\n\r\n",
    "JSON": b"GET /filer HTTP/1.1\r\nHost: x\r\n"
    b"X-Request-ID: 1\r\nAccept: application/json\r\n\r\n",
    "collected": b"POST /API HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
    "collected chunks": b"POST /API HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"3\r\nabc\r\n0\r\n\r\n",
    "streamed": b"PUT /speedtest/x HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
    "streamed chunks": b"PUT /speedtest/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"3\r\nabc\r\n0\r\nX: y\r\n\r\n",
    "too large": b"POST /API HTTP/1.1\r\nHost: x\r\n"
    b"X-Request-ID: 1\r\nContent-Length: 9999999\r\n\r\n",
    "cut": b"POST /API HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc",
    "bad chunk": b"POST /API HTTP/1.1\r\nHost: x\r\nX-Request-ID: 1\r\n"
    b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n",
    "upgrade": b"GET /a HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
    "http2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "nonsense": b"\x00\x01\x02\r\n\r\n",
}


@pytest.mark.parametrize("name", REQUESTS)
def test_requests_are_the_same_watched(
    name: str, watched: Watched, unwatched: Router, fleet: Fleet
) -> None:
    """Byte by byte, on both sides, but for identifiers that are made afresh."""
    raw = REQUESTS[name].replace(b"Host: x\r\n\r\n", b"Host: x\r\nX-Request-ID: 1\r\n\r\n")
    seen: list[Any] = []
    for router in (watched.router, unwatched):
        fleet.forget()
        with router.connect() as client:
            client.send(raw)
            client.socket.shutdown(socket.SHUT_WR)
            received = client.read_to_end()
        logs = {backend.name: without_own(backend.received) for backend in fleet}
        seen.append((without_own(received), logs))
    assert seen[0] == seen[1]
    assert bool(seen[0][0]) == (name != "cut")


def test_bulk_takes_little_memory(watched: Watched, fleet: Fleet) -> None:
    """Streams both ways, larger than any bound of the flow's."""
    size = 200 * 2**20
    block = bytes(2**20)
    before = resident_bytes(watched.router)

    def answer(wire: Wire, request: Request) -> None:
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        for _ in range(0, size, len(block)):
            wire.send(block)

    fleet.speedtest.play(answer)
    received = 0
    with watched.router.connect() as client:
        client.send(build_request(b"/speedtest/bulk"))
        client.read_head()
        while received < size:
            received += len(client.receive())
    assert received == size
    assert resident_bytes(watched.router) - before < 40 * 2**20
    assert watched.flow("/speedtest/bulk").metadata["route"]["answer_bytes"] == size


def resident_bytes(router: Router) -> int:
    """The memory that a router's process holds now."""
    status = Path(f"/proc/{router._process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024


def test_watching_begins_and_ends_with_the_next_request(
    options: Mapping[str, object], fleet: Fleet
) -> None:
    """On a connection that is open already."""
    with Router(Command(options), has_remote=True) as router, router.connect() as client:
        for number, mode in enumerate(("always", "never", "always")):
            router.run_inside(f"ctx.options.update(route_watch={mode!r})")
            assert client.ask(build_request(b"/toggled-%d" % number)).status == 200
        router.wait_for("/toggled-2")
        log = router.log
    assert "/toggled-0" in log
    assert "/toggled-1" not in log
    assert "watched by nobody (route_watch=never)\n" in log


# HTTP/2.


@pytest.fixture(scope="module")
def watched_tls(
    options: Mapping[str, object], certificate: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Watched]:
    """A relay with a probe that speaks TLS."""
    folder = tmp_path_factory.mktemp("watched-tls")
    notes, flows = folder / "notes", folder / "flows"
    command = Command(
        {**options, "certs": f"*={certificate}"},
        scripts=(SCRIPT, PROBE),
        arguments=("-w", str(flows)),
        environment={"PROBE_NOTES": str(notes), "PROBE_TOKEN": "x"},
    )
    with Router(command) as router:
        yield Watched(router, notes, flows)
    assert "failed:" not in router.log
    assert b"eyJ" not in flows.read_bytes()


def test_http2_is_watched(watched_tls: Watched, tls_h2: ssl.SSLContext, fleet: Fleet) -> None:
    """Streams are flows: whole, edited, answered, killed, one beside the other."""
    watched = watched_tls
    token = (b"abcauthorization", fleet.alice.token)
    with Http2Client(watched.router.address, tls_h2) as client:
        first = client.start(b"/filer/h2", token)
        killed = client.start(b"/filer/h2-killed?probe=request:kill", token)
        answered = client.start(b"/filer/h2-answered?probe=request:answer", token)
        edited = client.start(b"/filer/h2-edited?probe=request:forget")
        assert client.read_answer(first).body == fleet.alice["file_service"].name.encode()
        with pytest.raises(StreamRefused):
            client.read_answer(killed)
        answer = client.read_answer(answered)
        assert (answer.status, answer.body) == (418, b"from the probe")
        assert client.read_answer(edited).status == 401
        posted = client.ask(b"/API/h2-post?probe=request:body", method=b"POST", body=b"x" * 70_000)
        assert posted.status == 200
    assert fleet.pyos.request.body == BODY
    assert len(fleet.alice["file_service"].requests) == 1
    flow = watched.flow("/filer/h2")
    assert flow.request.http_version == "HTTP/2.0"
    assert flow.request.authority == "desk.example"
    assert flow.client_conn.tls_version is not None


def test_tls_client_is_watched(watched_tls: Watched, tls: ssl.SSLContext, fleet: Fleet) -> None:
    """HTTP/1.1 over TLS."""
    answer = watched_tls.router.ask(build_request(b"/over-tls"), tls=tls)
    assert answer.status == 200
    assert watched_tls.flow("/over-tls").request.raw_content == b""


# WebSockets.


def test_websocket_is_seen_as_it_runs(watched: Watched, fleet: Fleet) -> None:
    """Messages of 2 MB, compressed ones too, appear live, and the close code in the end."""
    token = fleet.alice.token.decode()
    path = f"/websockify?{token}"
    with watched.router.open_websocket(path, compression="deflate") as websocket:
        websocket.send("hello")
        assert websocket.recv() == "hello"
        wait_until(
            lambda: watched.hooks("/websockify").count("websocket_message") == 2, "it is seen"
        )
        large = bytes(range(256)) * 8192
        websocket.send([large[:1000], large[1000:]])
        assert websocket.recv() == large
        websocket.send(LEAVE)
        with pytest.raises(ConnectionClosed):
            websocket.recv()
    end = watched.wait_for("/websockify", "websocket_end")
    assert (end["code"], end["by_client"]) == (4001, False)
    assert end["route"]["websocket"]["stopped"] == ""
    assert end["route"]["websocket"]["messages"] == 5
    assert watched.hooks("/websockify") == [
        *WHOLE,
        "websocket_start",
        *["websocket_message"] * 5,
        "websocket_end",
    ]
    flow = watched.flow("/websockify")
    assert flow.websocket is not None
    seen = [(message.from_client, message.content) for message in flow.websocket.messages]
    assert seen[:2] == [(True, b"hello"), (False, b"hello")]
    assert [content == large for _, content in seen[2:4]] == [True, True]


def test_websocket_history_is_bounded(watched: Watched, fleet: Fleet) -> None:
    """The newest stay."""
    token = fleet.alice.token.decode()
    with watched.router.open_websocket(f"/signalling?{token}") as websocket:
        for number in range(50):
            websocket.send(str(number))
            assert websocket.recv() == str(number)
    watched.wait_for("/signalling", "websocket_end")
    notes = [note for note in watched.notes("/signalling") if "kept" in note]
    assert max(note["kept"] for note in notes) == 20
    flow = watched.flow("/signalling")
    assert flow.websocket is not None
    assert [message.content for message in flow.websocket.messages][-1] == b"49"


def test_abort_stays_an_abort(watched: Watched, fleet: Fleet) -> None:
    """1006 at the client, and in the flow."""
    token = fleet.alice.token.decode()
    with watched.router.open_websocket(f"/sound?{token}") as websocket:
        websocket.send(ABORT)
        with pytest.raises(ConnectionClosed) as raised:
            websocket.recv()
    assert raised.value.rcvd is None
    end = watched.wait_for("/sound", "websocket_end")
    assert (end["code"], end["by_client"]) == (1006, False)


def test_what_is_no_websocket_passes_all_the_same(watched: Watched, fleet: Fleet) -> None:
    """The flow says that no more is shown; the wire goes on."""

    def nonsense(wire: Wire, request: Request) -> None:
        wire.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n")
        wire.send(wire.receive())
        wire.send(wire.receive())

    fleet.alice["gamepad_service"].play(nonsense)
    own = ((b"Connection", b"upgrade"), (b"Upgrade", b"websocket"), (b"Sec-WebSocket-Key", b"x"))
    with watched.router.connect() as client:
        client.send(
            build_request(
                b"/gamepad?" + fleet.alice.token,
                *own,
                (b"Sec-WebSocket-Version", b"13"),
            )
        )
        assert client.read_head().startswith(b"HTTP/1.1 101 ")
        for data in (b"\xff" * 100, b"no frame at all"):
            client.send(data)
            assert client.receive() == data
    end = watched.wait_for("/gamepad", "websocket_end")
    assert end["route"]["websocket"]["stopped"] == "they are not understood"
    assert "no longer shown" in end["comment"]


def test_killed_websocket_ends_on_both_sides(watched: Watched, fleet: Fleet) -> None:
    """At once."""
    token = fleet.alice.token.decode()
    path = f"/broadcast?probe=websocket_message:kill&jwt_token={token}"
    with watched.router.open_websocket(path) as websocket:
        websocket.send("x")
        with pytest.raises(ConnectionClosed):
            while True:
                websocket.recv()
    assert watched.wait_for("/broadcast", "websocket_end")["error"] == "Connection killed."


# Secrets and replay.


def test_no_token_is_recorded(watched: Watched, fleet: Fleet) -> None:
    """Wherever it stands, one token has one placeholder."""
    token = fleet.alice.token
    requests = [
        build_request(b"/filer/secret-1", (b"ABCAuthorization", token)),
        build_request(b"/filer/secret-2", (b"Authorization", b"Bearer " + token)),
        build_request(b"/filer/secret-3", (b"Cookie", b"jwt_token=" + token + b"; session=abc")),
        build_request(b"/broadcast/secret-4?jwt_token=" + token),
        build_request(b"/container/%b/%d/secret-5" % (token, fleet.alice["xterm"].port)),
        build_request(b"/secret-6", (b"Referer", b"http://x/?jwt_token=" + token)),
        build_request(b"/secret-7?" + token),
    ]
    for request in requests:
        assert watched.router.ask(request).status == 200
    flows = [watched.flow(f"secret-{number}") for number in range(1, len(requests) + 1)]
    texts = [str(flow.request.headers.fields) + flow.request.path for flow in flows]
    assert token not in watched.recording
    assert token.partition(b".")[0] not in watched.recording
    assert token.rpartition(b".")[2] not in watched.recording
    assert b"session=abc" not in watched.recording
    placeholders = {text[text.index("hidden.") :][:29] for text in texts}
    assert len(placeholders) == 1
    assert (
        watched.router.ask(
            build_request(b"/filer/x", (b"ABCAuthorization", placeholders.pop().encode()))
        ).status
        == 401
    )


def test_passwords_are_not_recorded(watched: Watched, fleet: Fleet) -> None:
    """Nor what pyos answers; both sides get it whole."""
    asked = b'{"user": "alice", "password": "not-to-be-told"}'
    told = b'{"vncpassword": "not-to-be-told-either", "status": 200}'
    fleet.pyos.play(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(told), told))
    answer = watched.router.ask(build_request(b"/API/auth/1", method=b"POST", body=asked))

    assert (fleet.pyos.request.body, answer.body) == (asked, told)
    flow = watched.flow("/API/auth/1")
    assert flow.response is not None
    shown = json.loads(flow.request.content or b""), json.loads(flow.response.content or b"")
    assert [one.pop(name)[:7] for one, name in zip(shown, ("password", "vncpassword"), strict=True)]
    assert shown == ({"user": "alice"}, {"status": 200})
    assert b"not-to-be-told" not in watched.recording


def test_password_that_goes_to_pyos_after_all_is_hidden(watched: Watched, fleet: Fleet) -> None:
    """By an edit of the path, when the content has been shown already."""
    body = b'{"password": "sent-after-all"}'
    ask_probe(watched, fleet, "request:elsewhere", b"/x", method=b"POST", body=body)
    assert fleet.pyos.request.body == body

    def find() -> HTTPFlow | None:
        flows = reversed(read_flows(watched._flows))
        return next((flow for flow in flows if flow.request.path == "/API/elsewhere"), None)

    wait_until(lambda: find() is not None, "it is recorded")
    flow = find()
    assert flow is not None
    assert (flow.request.content or b"").startswith(b'{"password": "hidden.')


def test_hidden_answer_streams_all_the_same(watched: Watched, fleet: Fleet) -> None:
    """Its first part is with the client before its password is whole."""
    go_on = threading.Event()

    def answer(wire: Wire, request: Request) -> None:
        wire.send(b'HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\n{"password": "')
        go_on.wait(10)
        wire.send(b'seen-by-nobody"}')

    fleet.pyos.play(answer)
    with watched.router.connect() as client:
        client.send(build_request(b"/API/auth/2"))
        client.read_head()
        assert client.receive() == b'{"password": "'
        go_on.set()
        assert client.receive() == b'seen-by-nobody"}'
    flow = watched.flow("/API/auth/2")
    assert flow.response is not None
    assert (flow.response.content or b"").startswith(b'{"password": "hidden.')


def test_what_cannot_be_read_is_not_recorded(watched: Watched, fleet: Fleet) -> None:
    """Where it may hold a secret; the flow says so, and the wire has it."""
    body = b'{"password": "%b"}' % (b"x" * 150_000)
    answer = watched.router.ask(build_request(b"/API/auth/3", method=b"POST", body=body))

    assert answer.status == 200
    assert fleet.pyos.request.body == body
    flow = watched.flow("/API/auth/3")
    assert flow.request.raw_content is None
    route = flow.metadata["route"]
    assert (route["request_withheld"], route["answer_withheld"]) == (True, False)


def test_recording_is_judged_again(
    watched: Watched, options: Mapping[str, object], fleet: Fleet
) -> None:
    """With no key and no network, to the same ends."""
    token = fleet.alice.token
    asked = [
        build_request(b"/filer/again-1", (b"ABCAuthorization", token)),
        build_request(b"/broadcast/again-2?jwt_token=" + token),
        build_request(b"/container/%b/%d/again-3" % (token, fleet.alice["xterm"].port)),
        build_request(b"/filer/again-4", (b"ABCAuthorization", fleet.alice.mint(life_s=-9))),
        build_request(b"/filer/again-5"),
        build_request(b"/again-6"),
    ]
    for request in asked:
        watched.router.ask(request)
    for number in range(1, 7):
        watched.flow(f"again-{number}")
    keyless = {name: value for name, value in options.items() if not name.endswith("_key")}
    done = Command(keyless, arguments=("-nr", str(watched._flows), "~u again-"), port=None).run()

    assert done.returncode == 0, done.stderr
    assert re.findall(r"same +[0-9]+ +GET .*again-([0-9])", done.stdout) == list("123456")
    assert fleet.touched_but(*fleet) == []


# Who watches.


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({}, "watched by printed flows"),
        ({"flow_detail": 0}, "watched by nobody"),
        ({"route_watch": "never"}, "watched by nobody (route_watch=never)"),
        ({"flow_detail": 0, "route_watch": "always"}, "watched by route_watch=always"),
        ({"flow_detail": 0, "modify_headers": "/~q/X-A/1"}, "watched by modify_headers"),
    ],
)
def test_start_line_says_who_watches(
    more: Mapping[str, object], said: str, options: Mapping[str, object], fleet: Fleet
) -> None:
    """And flows are printed only where somebody sees them."""
    with Router(Command({**options, **more})) as router:
        assert router.ask(build_request(b"/who", REQUEST_ID)).status == 200
        assert said + "\n" in router.log.replace("\r\n", "\n")
    assert ("/who" in router.log) == (said == "watched by printed flows")
    request = fleet.website.request
    assert (request.get(b"X-A") is not None) == ("modify_headers" in more)


# People.


@pytest.fixture(scope="module")
def mitmweb(options: Mapping[str, object]) -> Iterator[tuple[Router, Web]]:
    """A relay under mitmweb that intercepts what has ``held`` in its path, at times of 1 s."""
    port = free_port()
    command = Command(
        {
            **options,
            "web_port": port,
            "web_password": PASSWORD,
            "web_open_browser": "false",
            "intercept": "~u held",
            "route_body_timeout": 1,
            "route_head_timeout": 1,
            "route_send_timeout": 1,
            "route_answer_timeout": 1,
            "tcp_timeout": 1,
        },
        program="mitmweb",
    )
    with Router(command) as router:
        assert "watched by a user interface" in router.log
        yield router, Web(port)
    assert "failed:" not in router.log


def begin(router: Router, raw: bytes) -> Client:
    """Ask, and do not wait."""
    client = router.connect()
    client.send(raw)
    return client


def test_held_request_is_edited_and_resumed(mitmweb: tuple[Router, Web], fleet: Fleet) -> None:
    """At both times, longer than any deadline of ours; what the person wrote is sent."""
    router, web = mitmweb
    raw = build_request(b"/held/a", method=b"POST", body=b"abc")
    with begin(router, raw.replace(b"/held/a", b"/API/held/a")) as client:
        identifier = web.wait_for_intercepted("/held/a")
        time.sleep(2)
        assert fleet.is_untouched
        web.call(
            "PUT",
            f"/flows/{identifier}",
            {"request": {"path": "/API/held/b", "content": "edited"}},
        )
        web.call("POST", f"/flows/{identifier}/resume")
        web.wait_for_intercepted("/held/b", has_answer=True)
        assert fleet.pyos.request.target == b"/API/held/b"
        assert fleet.pyos.request.body == b"edited"
        time.sleep(2)
        web.call("PUT", f"/flows/{identifier}", {"response": {"code": 418, "content": "short"}})
        web.call("POST", f"/flows/{identifier}/resume")
        answer = client.read_answer()
        assert (answer.status, answer.body) == (418, b"short")


def test_held_request_is_decided_again(mitmweb: tuple[Router, Web], fleet: Fleet) -> None:
    """A person does not get round the gate; a placeholder at its place is the token."""
    router, web = mitmweb
    own = (b"ABCAuthorization", fleet.alice.token)
    with begin(router, build_request(b"/filer/held/c", own)) as client:
        identifier = web.wait_for_intercepted("/held/c")
        web.call("PUT", f"/flows/{identifier}", {"request": {"path": "/filer/held/d"}})
        web.call("POST", f"/flows/{identifier}/resume")
        web.wait_for_intercepted("/held/d", has_answer=True)
        request = fleet.alice["file_service"].request
        assert request.target == b"/filer/held/d"
        assert request.get(b"ABCAuthorization") == own[1]
        web.call("POST", f"/flows/{identifier}/resume")
        assert client.read_answer().status == 200
    fleet.forget()
    with begin(router, build_request(b"/filer/held/e", own)) as client:
        identifier = web.wait_for_intercepted("/held/e")
        web.call(
            "PUT", f"/flows/{identifier}", {"request": {"headers": [["Host", "desk.example"]]}}
        )
        web.call("POST", f"/flows/{identifier}/resume")
        web.wait_for_intercepted("/held/e", has_answer=True)
        web.call("POST", f"/flows/{identifier}/resume")
        assert client.read_answer().status == 401
    assert fleet.is_untouched


def test_url_is_edited_as_mitmwebs_page_does(mitmweb: tuple[Router, Web], fleet: Fleet) -> None:
    """It sends the port along where the request goes; the client's own page asks all the same.
    What the person has noted stays."""
    router, web = mitmweb
    cookie = (b"Cookie", b"jwt_token=" + fleet.alice.token)
    fields = (cookie, (b"Origin", b"http://desk.example"))
    raw = build_request(b"/filer/held/u", *fields, method=b"POST", body=b"abc")
    with begin(router, raw) as client:
        identifier = web.wait_for_intercepted("/held/u")
        shown = (web.find("/held/u") or {})["request"]
        url = {name: shown[name] for name in ("scheme", "port")}
        url |= {"host": shown["pretty_host"], "path": "/filer/edited"}
        noted = {"comment": "look here", "marked": ":red_circle:"}
        web.call("PUT", f"/flows/{identifier}", {"request": url, **noted})
        web.call("POST", f"/flows/{identifier}/resume")
        assert client.read_answer().status == 200
    request = fleet.alice["file_service"].request
    assert request.target == b"/filer/edited"
    assert request.get(b"X-Forwarded-Host") == b"desk.example"
    after = web.find("/filer/edited")
    assert after is not None
    assert (after["comment"], after["marked"]) == ("look here", "🔴")


def test_secrets_stay_in_a_body_that_is_edited(mitmweb: tuple[Router, Web], fleet: Fleet) -> None:
    """Of a request and of an answer: a placeholder that still stands is the secret on the wire."""
    router, web = mitmweb
    asked = b'{"user": "alice", "password": "of-alice", "secret": 7}'
    told = b'{"vncpassword": "of-the-pod", "name": "one"}'
    fleet.pyos.play(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(told), told))
    with begin(router, build_request(b"/API/held/auth", method=b"POST", body=asked)) as client:
        identifier = web.wait_for_intercepted("/held/auth")
        shown = web.call("GET", f"/flows/{identifier}/request/content.data")
        assert shown["password"].startswith("hidden.")
        edited = json.dumps({**shown, "user": "bob"})
        web.call("PUT", f"/flows/{identifier}", {"request": {"content": edited}})
        web.call("POST", f"/flows/{identifier}/resume")
        web.wait_for_intercepted("/held/auth", has_answer=True)
        assert json.loads(fleet.pyos.request.body) == {
            "user": "bob",
            "password": "of-alice",
            "secret": 7,
        }
        shown = web.call("GET", f"/flows/{identifier}/request/content.data")
        assert shown["user"] == "bob"
        assert shown["password"].startswith("hidden.")
        web.call("POST", f"/flows/{identifier}/resume")
        assert client.read_answer().body == told


@pytest.mark.parametrize("has_answer", [False, True])
def test_held_flow_is_killed(has_answer: bool, mitmweb: tuple[Router, Web], fleet: Fleet) -> None:
    """The client's connection is closed at once; stock lets it hang."""
    router, web = mitmweb
    path = f"/held/kill-{has_answer}"
    with begin(router, build_request(path.encode())) as client:
        identifier = web.wait_for_intercepted(path)
        if has_answer:
            web.call("POST", f"/flows/{identifier}/resume")
            web.wait_for_intercepted(path, has_answer=True)
        web.call("POST", f"/flows/{identifier}/kill")
        assert client.is_closed()
    flow = web.find(path)
    assert flow is not None
    assert flow["error"]["msg"] == "Connection killed."
    assert has_answer or fleet.is_untouched


def test_streaming_answer_is_held_at_its_head(mitmweb: tuple[Router, Web], fleet: Fleet) -> None:
    """Its status can be edited, and its content follows once it is resumed, all of it."""
    router, web = mitmweb
    content = bytes(range(256)) * 16384
    fleet.website.play(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(content) + content)
    with begin(router, build_request(b"/held/stream")) as client:
        identifier = web.wait_for_intercepted("/held/stream")
        web.call("POST", f"/flows/{identifier}/resume")
        web.wait_for_intercepted("/held/stream", has_answer=True)
        time.sleep(2)
        web.call("PUT", f"/flows/{identifier}", {"response": {"code": 203}})
        web.call("POST", f"/flows/{identifier}/resume")
        answer = client.read_answer()
    assert answer.status == 203
    assert answer.body == content


def test_flow_under_way_is_killed(mitmweb: tuple[Router, Web], fleet: Fleet) -> None:
    """Without being held."""
    router, web = mitmweb
    fleet.website.play(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
    with begin(router, build_request(b"/under-way")) as client:
        client.read_head()
        assert client.receive() == b"abc"
        flow = web.find("/under-way")
        assert flow is not None
        web.call("POST", f"/flows/{flow['id']}/kill")
        assert client.is_closed()


def test_client_of_a_held_flow_leaves(mitmweb: tuple[Router, Web], fleet: Fleet) -> None:
    """The flow ends with an error, and is held no more."""
    router, web = mitmweb
    with begin(router, build_request(b"/held/left")) as client:
        web.wait_for_intercepted("/held/left")
        client.reset()

    def has_ended() -> bool:
        flow = web.find("/held/left")
        return flow is not None and "error" in flow and not flow["intercepted"]

    wait_until(has_ended, "the flow ends")
    assert fleet.is_untouched


def test_websocket_cannot_be_held(mitmweb: tuple[Router, Web], fleet: Fleet) -> None:
    """Its handshake can; its messages pass."""
    router, web = mitmweb
    token = fleet.alice.token.decode()
    opened: list[Any] = []

    def open_it() -> None:
        opened.append(router.open_websocket(f"/broadcast/held/ws?jwt_token={token}"))

    thread = threading.Thread(target=open_it)
    thread.start()
    for has_answer in (False, True):
        identifier = web.wait_for_intercepted("/held/ws", has_answer=has_answer)
        web.call("POST", f"/flows/{identifier}/resume")
    thread.join(10)
    with opened[0] as websocket:
        for text in ("one", "two"):
            websocket.send(text)
            assert websocket.recv() == text

    def count() -> object:
        flow = web.find("/held/ws")
        return flow and flow["websocket"]["messages_meta"]["count"]

    wait_until(lambda: count() == 4, "the four messages are shown")


def test_other_users_pod_is_never_reached_by_an_edit(
    mitmweb: tuple[Router, Web], fleet: Fleet
) -> None:
    """An edited host is not where the request goes."""
    router, web = mitmweb
    own = (b"ABCAuthorization", fleet.alice.token)
    with begin(router, build_request(b"/filer/held/host", own)) as client:
        identifier = web.wait_for_intercepted("/held/host")
        web.call("PUT", f"/flows/{identifier}", {"request": {"host": BOB, "port": 80}})
        web.call("POST", f"/flows/{identifier}/resume")
        web.wait_for_intercepted("/held/host", has_answer=True)
        web.call("POST", f"/flows/{identifier}/resume")
        assert client.read_answer().status == 200
    assert fleet.touched_but(fleet.alice["file_service"]) == []
