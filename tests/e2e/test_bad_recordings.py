"""Files of flows that are damaged or made up, by every way in which mitmproxy takes one."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from mitmproxy.io import tnetstring
from mitmproxy.test import tflow

from tests.e2e.harness import Command, Fleet, Router, build_request, wait_until
from tests.e2e.ports import free_port
from tests.e2e.web import PASSWORD, Web
from tests.hosting import answer, make_flow

_typed: Any = tflow


def _state() -> dict[str, Any]:
    flow = make_flow(b"/recorded", live=False)
    answer(flow).data.content = b"recorded"
    flow.request.data.content = b""
    state: dict[str, Any] = flow.get_state()
    return state


GOOD = tnetstring.dumps(_state())
BAD = {
    "cut": (GOOD[:-1], "ends within a flow"),
    "foreign version": (tnetstring.dumps({**_state(), "version": 10**6}), "version 1000000"),
    "foreign decision": (
        tnetstring.dumps({**_state(), "metadata": {"route": {"decision": {"version": 2}}}}),
        "the decision of this flow is not of version 1",
    ),
    "hostile": (b"24:" + b"-1:" * 8 + b"]", "is damaged: no length"),
    "foreign kind": (tnetstring.dumps(_typed.ttcpflow().get_state()), "is a tcp flow"),
}
"""What stands behind a good flow, and what is wrong with it."""

kinds = pytest.mark.parametrize("kind", BAD)
two_kinds = pytest.mark.parametrize("kind", ["cut", "foreign kind"])
"""Those of which mitmproxy itself refuses one, and reads the other."""


@pytest.fixture
def bad(kind: str, tmp_path: Path) -> Path:
    """A file that begins with a good flow."""
    path = tmp_path / "flows.mitm"
    path.write_bytes(GOOD + BAD[kind][0])
    return path


def check_sentence(text: str, path: object, kind: str) -> None:
    """Check that the file, the place in it and the fault are told."""
    [line] = (line for line in text.splitlines() if f"{path} at byte " in line)
    place, _, fault = line.partition(f"{path} at byte ")[2].partition(": ")
    assert int(place) >= len(GOOD), line
    assert BAD[kind][1] in fault


@two_kinds
@pytest.mark.parametrize("arguments", ["-nr", "-nr -", "-r"])
def test_r(
    installation: Mapping[str, object], fleet: Fleet, bad: Path, kind: str, arguments: str
) -> None:
    """It is refused, by a pipe too, the exit status says so, and no flow of it is judged."""
    flags, _, pipe = arguments.partition(" ")
    command = Command(installation, arguments=(flags, pipe or str(bad)))
    outcome = command.run(piped=bad.read_bytes() if pipe else b"")
    assert outcome.returncode == 1
    check_sentence(outcome.stdout + outcome.stderr, "<stdin>" if pipe else bad, kind)
    for text in ("Traceback", "judged", "listens at"):
        assert text not in outcome.stdout + outcome.stderr
    assert fleet.is_untouched


def test_good_pipe(installation: Mapping[str, object]) -> None:
    """What is in order is judged, though it cannot be read twice."""
    outcome = Command(installation, arguments=("-nr", "-"), port=None).run(piped=GOOD * 2)
    assert outcome.stdout.count("judged: / -> website") == 2
    assert outcome.returncode == 0


@two_kinds
@pytest.mark.parametrize("flag", ["-C", "-S"])
def test_before_the_script_is_there(
    installation: Mapping[str, object], fleet: Fleet, bad: Path, kind: str, flag: str
) -> None:
    """mitmproxy reads these first, by itself: it refuses the start, or we do; nothing is sent."""
    outcome = Command(installation, arguments=(flag, str(bad))).run()
    assert outcome.returncode == 1
    assert "listens at" not in outcome.stdout
    if kind == "foreign kind":
        check_sentence(outcome.stderr, bad, kind)
    assert fleet.is_untouched


class Open:
    """A mitmweb that has a file open.

    Args:
        router: The router in it.
        port: mitmweb's.
    """

    def __init__(self, router: Router, port: int) -> None:
        self.router = router
        self.web = Web(port)

    def list(self) -> list[str]:
        """Which flows it shows."""
        return sorted(flow["id"] for flow in self.web.call("GET", "/flows"))

    def call(self, command: str, *words: str) -> str:
        """Call a command; what it returns, or the error."""
        answer = self.web.call("POST", f"/commands/{command}", {"arguments": words})
        return str(answer.get("error", answer.get("value")))

    def events(self) -> str:
        """The event log."""
        return "\n".join(event["message"] for event in self.web.call("GET", "/events"))


@pytest.fixture(scope="module")
def mitmweb(shared_fleet: Fleet, key_options: Mapping[str, str]) -> Iterator[Open]:
    """One that shows two flows."""
    port = free_port()
    options = {**shared_fleet.options, **key_options, "web_port": port, "web_password": PASSWORD}
    command = Command({**options, "web_open_browser": "false"}, program="mitmweb")
    with Router(command) as router:
        opened = Open(router, port)
        assert opened.web.upload("good.mitm", GOOD)[0] == 200
        assert router.ask(build_request(b"/x")).status == 200
        yield opened
    assert "Traceback" not in router.log


@kinds
def test_dialog(mitmweb: Open, bad: Path, kind: str) -> None:
    """mitmweb's dialog says it, and the list stays as it is."""
    before = mitmweb.list()
    status, told = mitmweb.web.upload("of somebody.mitm", bad.read_bytes())
    assert status == 400
    check_sentence(told, "of somebody.mitm", kind)
    wait_until(lambda: told in mitmweb.events(), "the event log has it")
    assert mitmweb.list() == before != []


def test_dialog_good(mitmweb: Open) -> None:
    """A good file takes the list's place, as ever; nobody gets as far without the password."""
    mitmweb.web.upload("good.mitm", GOOD)
    [shown] = mitmweb.web.call("GET", "/flows")
    assert shown["request"]["path"] == "/recorded"
    assert shown["comment"].startswith("/ -> website")
    status, told = Web(mitmweb.web.port, "wrong").upload("bad.mitm", b"garbage")
    assert status == 403
    assert "bad.mitm" not in told


@kinds
def test_list(mitmweb: Open, bad: Path, kind: str) -> None:
    """The command that adds a file to the list says it in the event log, and adds nothing."""
    before = mitmweb.list()
    mitmweb.call("view.flows.load", str(bad))
    wait_until(lambda: str(bad) in mitmweb.events(), "the event log has it")
    check_sentence(mitmweb.events(), bad, kind)
    assert mitmweb.list() == before


@kinds
@pytest.mark.parametrize("command", ["replay.client.file", "replay.server.file"])
def test_commands(mitmweb: Open, fleet: Fleet, bad: Path, kind: str, command: str) -> None:
    """Those that replay a file answer with the sentence, and replay nothing."""
    check_sentence(mitmweb.call(command, str(bad)), bad, kind)
    assert mitmweb.call(command.replace("file", "count")) == "0"
    assert fleet.is_untouched


@kinds
@pytest.mark.parametrize("option", ["client_replay", "server_replay"])
def test_options(mitmweb: Open, fleet: Fleet, bad: Path, kind: str, option: str) -> None:
    """So do the options, where they are set while the router runs."""
    check_sentence(mitmweb.call("set", option, str(bad)), bad, kind)
    assert mitmweb.call(f"{option.replace('_replay', '').join(('replay.', '.count'))}") == "0"
    assert fleet.is_untouched
    options = mitmweb.web.call("GET", "/options")
    assert json.dumps(options[option]["value"]) == "[]"


@pytest.mark.parametrize("kind", ["cut"])
def test_what_was_sent_before(mitmweb: Open, fleet: Fleet, bad: Path) -> None:
    """A file that is refused does not make mitmproxy send the one before it again."""
    good = bad.with_name("good.mitm")
    good.write_bytes(GOOD)
    for times in (1, 2):
        mitmweb.call("set", "client_replay", str(good))
        wait_until(lambda: len(fleet.website.requests) >= times, "it is sent")  # noqa: B023
        wait_until(lambda: mitmweb.call("replay.client.count") == "0", "and answered")
        check_sentence(mitmweb.call("set", "client_replay", str(bad)), bad, "cut")
        assert mitmweb.call("replay.client.count") == "0"
        assert len(fleet.website.requests) == times
    mitmweb.call("set", "client_replay")


def test_answers_that_cannot_be_given(mitmweb: Open, fleet: Fleet, tmp_path: Path) -> None:
    """A command to answer from a flow is refused where it cannot work, and says why."""
    path = tmp_path / "flows.mitm"
    path.write_bytes(tnetstring.dumps(_typed.twebsocketflow().get_state()))
    told = mitmweb.call("replay.server.file", str(path))
    assert f"{path} at byte 0: GET /ws: a WebSocket cannot be answered from a recording" in told
    mitmweb.call("view.flows.load", str(path))
    for command in ("replay.server", "replay.server.add"):
        told = mitmweb.call(command, "~u /ws")
        assert told == "GET /ws: a WebSocket cannot be answered from a recording"
    assert mitmweb.call("replay.server.count") == "0"
    path.write_bytes(GOOD)
    for command in ("replay.server", "replay.server.add"):
        assert mitmweb.call(command, "~u /recorded") == "None"
    assert mitmweb.call("replay.server.file", str(path)) == "None"
    assert mitmweb.call("replay.server.count") == "1"
    mitmweb.call("replay.server.stop")
