"""The commands that explain, in mitmweb, in the console, and over a recording."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from tests.e2e.harness import SCRIPT, TOKEN, Command, Fleet, Router, build_request, wait_until
from tests.e2e.ports import free_port
from tests.e2e.web import Web

SECRET = b"open-sesame"


class Bar:
    """mitmweb's command bar.

    Args:
        web: mitmweb's interface.
        folder: mitmproxy's.
    """

    def __init__(self, web: Web, folder: Path) -> None:
        self.web = web
        self.folder = folder

    def type(self, *words: str) -> str:
        """Type a command; what it answers, or the error."""
        self.call("commands.history.add", " ".join(words))
        answer = self.call(*words)
        return answer if isinstance(answer, str) else "\n".join(answer)

    def call(self, *words: str) -> str | Sequence[str]:
        """Call a command as mitmweb's page does."""
        answer = self.web.call("POST", f"/commands/{words[0]}", {"arguments": words[1:]})
        told: str | Sequence[str] = answer.get("value") or answer.get("error") or ""
        return told

    def find(self, path: str) -> str:
        """A filter for the one flow with this path, once it has ended."""

        def has_ended() -> bool:
            flow = self.web.find(path)
            return flow is not None and ("response" in flow or "error" in flow)

        wait_until(has_ended, f"{path} has ended")
        return f"~u {path}"

    def read_events(self) -> str:
        """The event log."""
        return "\n".join(event["message"] for event in self.web.call("GET", "/events"))


@pytest.fixture(scope="module")
def mitmweb(
    shared_fleet: Fleet, key_options: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Router, Bar]]:
    """A relay under mitmweb, which records; it is opened by the address that it prints."""
    port, folder = free_port(), tmp_path_factory.mktemp("confdir")
    options = {**shared_fleet.options, **key_options, "web_port": port}
    command = Command(
        {**options, "web_open_browser": "false", "confdir": folder},
        program="mitmweb",
        arguments=("-w", str(folder / "flows.mitm")),
    )
    with Router(command, has_remote=True) as router:
        address = re.search(
            rf"Web server listening at http://127.0.0.1:{port}/\?token=(\S+)", router.log
        )
        assert address is not None
        yield router, Bar(Web(port, address[1]), folder)


def test_a_request_that_passed(mitmweb: tuple[Router, Bar], fleet: Fleet) -> None:
    """What the explanation says that the pod got is what it got, but for the secrets."""
    router, bar = mitmweb
    token = fleet.alice.token
    cookie = (b"Cookie", b"session=" + SECRET)
    referer = (b"Referer", b"http://desk.example/?jwt_token=" + token)
    credential = (b"ABCAuthorization", token)
    request = build_request(b"/filer/../filer//passed?a", credential, cookie, referer)
    assert router.ask(request).status == 200
    text = bar.type("route.explain", bar.find("passed"))
    got = fleet.alice["file_service"].requests[-1]
    told = [line[2:] for line in text.split("\n") if line.startswith("  ")]
    shown = {line.partition(": ")[0]: line.partition(": ")[2] for line in told if ": " in line}
    for name, value in got.fields:
        if SECRET not in value and token not in value:
            assert shown[name.decode()] == value.decode()
    assert shown["ABCAuthorization"].startswith("hidden.")
    assert shown["Cookie"].startswith("session=hidden.")
    assert shown["Referer"] == "http://desk.example/"
    assert f"  GET {got.target.decode()} HTTP/1.1" in text.split("\n")
    assert "\n✓ path             /filer/passed, made canonical\n" in text
    assert "\n✓ token signature  signing key 1 of 1 made it\n" in text


def test_a_request_that_was_refused(mitmweb: tuple[Router, Bar], fleet: Fleet) -> None:
    """Why is told, and shown in the place of the error page."""
    router, bar = mitmweb
    expired = (b"ABCAuthorization", fleet.alice.mint(life_s=-5))
    assert router.ask(build_request(b"/filer/refused", expired)).status == 401
    text = bar.type("route.explain", bar.find("refused"))
    assert text.startswith("401 token_expired: expired ")
    assert "\n✗ token " in text
    flow = bar.web.find("refused")
    assert flow is not None
    view = bar.web.call("GET", f"/flows/{flow['id']}/response/content/auto.json")
    assert view["view_name"] == "Route"
    assert view["text"].startswith("401 token_expired: expired ")
    assert "\nthe content:\n401 Unauthorized: The desktop token has expired." in view["text"]


def test_no_difference_without_a_cause(mitmweb: tuple[Router, Bar], fleet: Fleet) -> None:
    """What is decided once more, with placeholders, is what was decided, wherever tokens stand."""
    router, bar = mitmweb
    token, port = fleet.alice.token, fleet.alice.ports["file_service"]
    cookie = (b"Cookie", b"a=b; jwt_token=" + token)
    named = (b"Origin", b"http://desk.example")
    requests = {
        "same/1": build_request(b"/container/%b/%d/same/1?q" % (token, port), cookie),
        "same/2": build_request(b"/terminals/same/2?a&jwt_token=%b&b" % token),
        "same/3": build_request(
            b"/terminals/same/3?" + token, (b"X_y", b"1"), (b"TE", b"trailers")
        ),
        "same/4": build_request(b"/filer/same/4", cookie, named, method=b"PUT", body=b"x"),
        "same/5": build_request(b"/filer/same/5", cookie, method=b"PUT", body=b"x"),
        "same/6": build_request(b"/same/6", (b"Referer", b"http://desk.example/" + token)),
        "same/7": build_request(b"/container/0/same/7"),
        "same/8": build_request(b"/filer/same/8", (b"ABCAuthorization", b"a.b.c")),
        "same/9": build_request(b"/API/same/9?code=secret", (b"ABCAuthorization", token)),
    }
    for path, request in requests.items():
        router.ask(request)
        text = bar.type("route.explain", bar.find(path))
        assert "not what was decided then" not in text, text
        assert "by the rules in force" in text


def test_a_websocket(mitmweb: tuple[Router, Bar], fleet: Fleet) -> None:
    """A handshake is explained like any other request, while its tunnel is open."""
    router, bar = mitmweb
    with router.open_websocket(f"/websockify?{fleet.alice.token.decode()}"):
        text = bar.type("route.explain", bar.find("websockify"))
    assert "a WebSocket: a tunnel in both directions" in text
    assert "\n· path sent        GET /: always / here, without the query\n" in text


def test_a_dry_run(mitmweb: tuple[Router, Bar], fleet: Fleet) -> None:
    """Nothing is sent, and no token is kept."""
    _, bar = mitmweb
    before = bar.type("route.cache")
    token = fleet.bob.token.decode()
    text = bar.type("route.decide", "GET", "/filer/x", f"ABCAuthorization: {token}")
    assert text.startswith(f"/filer -> pod {fleet.bob.address}:")
    assert "\n✓ token signature  signing key 1 of 1 made it\n" in text
    assert " would get, with placeholders for secrets:\n" in text
    assert bar.type("route.cache") == before
    assert fleet.bob.address not in bar.type("route.targets")
    assert fleet.is_untouched


def test_a_pasted_token(mitmweb: tuple[Router, Bar], fleet: Fleet) -> None:
    """A good one opens a pod, until it expires."""
    _, bar = mitmweb
    text = bar.type("route.token.inspect", fleet.alice.token.decode())
    assert text.startswith(f"good: it opens {fleet.alice.address} until ")
    assert bar.type("route.token.inspect", "x.y.z").startswith("refused: 401 token_malformed")


def test_forget(mitmweb: tuple[Router, Bar], fleet: Fleet) -> None:
    """A pod's tokens are verified again after that."""
    router, bar = mitmweb
    request = build_request(b"/filer/forget", (b"ABCAuthorization", fleet.alice.token))
    assert router.ask(request).status == 200
    assert fleet.alice.address in bar.type("route.targets")
    assert bar.type("route.forget", fleet.alice.address).endswith(" tokens forgotten")
    assert fleet.alice.address not in bar.type("route.targets")


def test_record_and_replay(mitmweb: tuple[Router, Bar], fleet: Fleet) -> None:
    """What was recorded is decided the same; after a change, it is told what differs."""
    router, bar = mitmweb
    recording = str(bar.folder / "recorded.mitm")
    assert bar.type("route.record", recording) == f"recording in {recording}"
    router.ask(build_request(b"/filer/recorded", (b"ABCAuthorization", fleet.alice.token)))
    router.ask(build_request(b"/container/80/recorded"))
    assert bar.type("route.record") == "recording no more"
    assert bar.type("route.replay", recording).startswith("2 flows: 2 same, 0 different\nsame ")
    bar.type("set", f"route_ports=file_service={fleet.alice.ports['printerfile_service']}")
    report = bar.type("route.replay", recording)
    bar.type("set", f"route_ports={fleet.options['route_ports']}")
    assert report.startswith("2 flows: 1 same, 1 different\ndifferent ")
    assert f"- port: {fleet.alice.ports['file_service']}\n" in report
    assert TOKEN.search(report.encode()) is None


def test_help(mitmweb: tuple[Router, Bar]) -> None:
    """mitmweb tells what each command does and takes."""
    commands = mitmweb[1].web.call("GET", "/commands")
    assert commands["route.decide"]["signature_help"] == "route.decide method url *headers -> str[]"
    assert commands["route.explain"]["parameters"][0]["type"] == "flow"
    assert all(it["help"] for name, it in commands.items() if name.startswith("route."))


def test_what_stays(mitmweb: tuple[Router, Bar]) -> None:
    """After all that, the event log has the answers line by line, and nothing has a token."""
    router, bar = mitmweb
    events = bar.read_events()
    assert "\n✓ token signature  signing key 1 of 1 made it\n" in events
    history = (bar.folder / "command_history").read_text()
    assert "route.token.inspect\n" in history
    assert "route.decide GET /filer/x\n" in history
    flows = (bar.folder / "flows.mitm").read_bytes()
    answers = json.dumps(bar.call("commands.history.get"))
    for kept in (events, history, answers, router.log, flows.decode("latin-1")):
        assert TOKEN.search(kept.encode()) is None
        assert SECRET.decode() not in kept


def test_console(shared_fleet: Fleet, key_options: Mapping[str, str], tmp_path: Path) -> None:
    """In the console, each line of an answer is a row; what was typed is kept without a token.
    One key explains the flow in focus."""
    port, token = free_port(), shared_fleet.alice.token.decode()
    options = {**shared_fleet.options, **key_options, "confdir": tmp_path}
    command = Command(options, program="mitmproxy", port=port)
    with Router(command, has_terminal=True) as router:
        router.type(f":route.token.inspect {token}\r")
        router.wait_for("target policy")
        assert f"good: it opens {shared_fleet.alice.address} until " in router.log
        router.type("qy")
        router.wait_for("✓ request line     GET /healthz HTTP/1.1")
    history = (tmp_path / "command_history").read_text()
    assert history == "route.token.inspect\n"


def test_recording(shared_fleet: Fleet, mitmweb: tuple[Router, Bar]) -> None:
    """A flow of a recording is explained elsewhere, without keys and without the pods."""
    recording = mitmweb[1].folder / "flows.mitm"
    explain_all = Path(__file__).with_name("explain_all.py")
    arguments = ("-nr", str(recording), "-q")
    scripts = (SCRIPT, explain_all)
    outcome = Command(shared_fleet.options, scripts=scripts, arguments=arguments, port=None).run()
    assert outcome.returncode == 0, outcome.stderr
    assert "so it is not verified again" in outcome.stdout
    assert "/filer/passed, made canonical" in outcome.stdout
    assert "✗ token            401 token_expired: expired " in outcome.stdout
    assert TOKEN.search(outcome.stdout.encode()) is None


def test_drain(shared_fleet: Fleet, key_options: Mapping[str, str]) -> None:
    """The program ends once nobody is left."""
    command = Command({**shared_fleet.options, **key_options, "route_drain": 1})
    with Router(command, has_remote=True) as router:
        told = router.run_inside("result = ctx.master.commands.call('route.drain')")
        assert told == "draining: /healthz says 503, and the program ends once nobody is left"
        wait_until(lambda: not router.is_running, "the program ends")
