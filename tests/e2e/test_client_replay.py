"""Requests sent again, by ``-C`` and by mitmproxy's commands: decided anew, or not sent."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from mitmproxy.http import HTTPFlow

from tests.e2e.harness import (
    Backend,
    Command,
    Fleet,
    Router,
    build_request,
    record_flows,
    wait_until,
)
from tests.e2e.ports import free_port
from tests.e2e.test_watched import read_flows
from tests.e2e.test_websockets import HANDSHAKE
from tests.e2e.web import PASSWORD, Web

TOKEN = b"ABCAuthorization"
REPLAY = "ctx.master.commands.execute('replay.client.file {}')"
QUEUE = "result = ctx.master.commands.execute('replay.client.count')"


@pytest.fixture(scope="module")
def flows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``-w`` of the router under test writes."""
    return tmp_path_factory.mktemp("flows") / "flows.mitm"


@pytest.fixture(scope="module")
def watched(installation: Mapping[str, object], flows: Path) -> Iterator[Router]:
    """A router that writes down what passes."""
    command = Command({**installation, "flow_detail": 0}, arguments=("-w", str(flows)))
    with Router(command, has_remote=True) as router:
        yield router
    assert "Traceback" not in router.log


def _replay(router: Router, recording: Path) -> None:
    assert not router.run_inside(REPLAY.format(recording))
    wait_until(lambda: router.run_inside(QUEUE) == "0", "all have been sent again")


def _take(flows: Path, part: str, folder: Path) -> Path:
    """The newest recorded flow with this in its path, in a file of its own."""
    taken = folder / "taken.mitm"

    def has_come() -> bool:
        return any(part in flow.request.path for flow in read_flows(flows))

    wait_until(has_come, f"{part} is recorded")
    command = Command(
        {"rfile": flows}, scripts=(), arguments=("-n", "-w", str(taken), f"~u {part}"), port=None
    )
    assert command.run().returncode == 0
    return taken


def test_known_token(watched: Router, flows: Path, fleet: Fleet, tmp_path: Path) -> None:
    """A token that the process knows is put in its place, and the pod gets the same once more."""
    pod, token = fleet.alice["file_service"], fleet.alice.token
    request = build_request(b"/filer/again?a=1", (TOKEN, token), method=b"POST", body=b"content")
    assert watched.ask(request).status == 200
    first = pod.request
    recording = _take(flows, "/filer/again", tmp_path)
    fleet.forget()
    _replay(watched, recording)
    again = pod.request
    assert (again.method, again.target, again.body) == (b"POST", b"/filer/again?a=1", b"content")
    assert again.get(TOKEN) == token
    assert again.get(b"x-real-ip") == first.get(b"x-real-ip")
    assert fleet.touched_but(pod) == []
    wait_until(
        lambda: any(flow.is_replay and flow.response for flow in read_flows(flows)),
        "the answer is in the flow",
    )
    sent_again = next(flow for flow in read_flows(flows) if flow.is_replay)
    assert sent_again.response is not None
    assert sent_again.response.status_code == 200
    assert sent_again.metadata["route"]["location"] == "/filer"
    assert token not in flows.read_bytes()


@pytest.mark.parametrize("kind", ["expired", "of another process", "minted"])
def test_unknown_token(
    watched: Router, flows: Path, fleet: Fleet, tmp_path: Path, kind: str
) -> None:
    """One that it does not know is a 401, unless somebody mints another."""
    path = f"/filer/{kind.replace(' ', '-')}"
    token = fleet.alice.mint(life_s=-1 if kind == "expired" else 400)
    answer = watched.ask(build_request(path.encode(), (TOKEN, token)))
    assert answer.status == (401 if kind == "expired" else 200)
    recording = _take(flows, path, tmp_path)
    if kind != "expired":
        watched.run_inside("ctx.master.addons.get('route').router.targets.clear()")
    if kind == "minted":
        watched.run_inside(
            "ctx.master.addons.get('route_client_replay').mint = "
            f"lambda host: {fleet.bob.token!r} if host == {fleet.alice.address!r} else None"
        )
    fleet.forget()
    _replay(watched, recording)
    if kind == "minted":
        watched.run_inside("ctx.master.addons.get('route_client_replay').mint = lambda host: None")
        assert fleet.bob["file_service"].request.target == path.encode()

    def find() -> list[HTTPFlow]:
        return [flow for flow in read_flows(flows) if flow.is_replay and path in flow.request.path]

    wait_until(find, "it is recorded")
    last = find()[-1]
    assert last.response is not None
    assert last.response.status_code == (200 if kind == "minted" else 401)
    assert kind == "minted" or fleet.is_untouched


def test_recorded_address(installation: Mapping[str, object], fleet: Fleet, tmp_path: Path) -> None:
    """Whatever a recording says of where it went, where it goes now is decided."""
    recording = tmp_path / "flows.mitm"
    token = (TOKEN, fleet.alice.token)
    requests = [
        build_request(b"/x"),
        build_request(b"/filer/x", token, method=b"POST", body=b"hello"),
        build_request(b"/filer/none"),
        build_request(b"/%zz"),
        build_request(b"/websockify?" + fleet.alice.token, *HANDSHAKE),
    ]
    with Backend("127.0.0.1", name="victim") as victim:
        victim.play(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        record_flows(recording, victim, requests)
        assert len(victim.requests) == len(requests)
        victim.forget()
        options = {**installation, "keepserving": "true", "flow_detail": 1}
        with Router(Command(options, arguments=("-C", str(recording)))) as router:
            pod = fleet.alice["file_service"]
            wait_until(lambda: fleet.alice["ws_tcp_bridge"].requests, "the last is sent")
            assert fleet.website.request.target == b"/x"
            assert pod.request.body == b"hello"
            assert fleet.alice["ws_tcp_bridge"].request.get(b"upgrade") is None
            router.wait_for("401 token_missing")
            router.wait_for("400 bad_target")
        assert victim.is_untouched
        assert "Traceback" not in router.log


def test_nobody_to_decide(installation: Mapping[str, object], fleet: Fleet, tmp_path: Path) -> None:
    """Without a listener there is no relay, and nothing is sent."""
    recording = tmp_path / "flows.mitm"
    record_flows(recording, fleet.website, [build_request(b"/x")])
    fleet.forget()
    outcome = Command(installation, arguments=("-n", "-C", str(recording)), port=None).run()
    assert "undecided: the request was refused" in outcome.stdout
    assert fleet.is_untouched


def test_button(installation: Mapping[str, object], fleet: Fleet) -> None:
    """mitmweb's Replay button sends a request on by its decision, and shows the new answer."""
    port = free_port()
    arguments = ("--no-web-open-browser", "--web-port", str(port))
    options = {**installation, "web_password": PASSWORD}
    with Router(Command(options, "mitmweb", arguments=arguments)) as router:
        router.wait_for("Web server listening at")
        web, pod = Web(port), fleet.alice["file_service"]
        good = (TOKEN, fleet.alice.token)
        assert router.ask(build_request(b"/filer/pressed", good)).status == 200
        shown = web.find("/filer/pressed")
        assert shown is not None
        pod.play(b"HTTP/1.1 418 Teapot\r\nContent-Length: 0\r\n\r\n")
        web.call("POST", f"/flows/{shown['id']}/replay")
        wait_until(lambda: len(pod.requests) == 2, "it is sent again")
        assert pod.requests[1].get(TOKEN) == good[1]

        def is_answered() -> bool:
            flow = web.find("/filer/pressed")
            return flow is not None and flow.get("response", {}).get("status_code") == 418

        wait_until(is_answered, "the new answer is shown")
        url = {"host": "desk.example", "port": pod.port, "path": "/filer/edited"}
        web.call("PUT", f"/flows/{shown['id']}", {"request": url})
        web.call("POST", f"/flows/{shown['id']}/replay")
        wait_until(lambda: len(pod.requests) == 3, "what was edited is sent")
        assert pod.requests[2].target == b"/filer/edited"
        assert pod.requests[2].get(b"X-Forwarded-Host") == b"desk.example"
        web.run("view.flows.create", "get", "http://desk.example/API/made-up")
        made_up = web.find("/made-up")
        assert made_up is not None
        web.call("POST", f"/flows/{made_up['id']}/replay")
        wait_until(lambda: len(fleet.pyos.requests) == 1, "what was made up is sent")
    assert "Traceback" not in router.log
