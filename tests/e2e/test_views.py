"""Content views, in mitmweb."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.e2e.harness import ALICE, Command, Fleet, Router, build_request, wait_until
from tests.e2e.ports import free_port
from tests.e2e.web import PASSWORD, Web

KEY_EVENT = b"\x04\x01\0\0\0\0\xff\x0d"


@pytest.fixture(scope="module")
def mitmweb(shared_fleet: Fleet, key_options: Mapping[str, str]) -> Iterator[tuple[Router, Web]]:
    """A relay under mitmweb."""
    port = free_port()
    command = Command(
        {
            **shared_fleet.options,
            **key_options,
            "web_port": port,
            "web_password": PASSWORD,
            "web_open_browser": "false",
        },
        program="mitmweb",
    )
    with Router(command) as router:
        yield router, Web(port)


def talk(router: Router, target: str, *messages: str | bytes) -> None:
    """Send messages to a pod that sends them back."""
    with router.open_websocket(target) as websocket:
        for message in messages:
            websocket.send(message)
            assert websocket.recv() == message


def read_messages(web: Web, path: str, count: int) -> list[Any]:
    """What mitmweb shows of a WebSocket's messages when nobody chooses a view."""
    shown: list[Any] = []

    def are_there() -> bool:
        flow = web.find(path)
        if flow is None:
            return False
        shown[:] = web.call("GET", f"/flows/{flow['id']}/messages/content/auto.json")
        return len(shown) >= count

    wait_until(are_there, "the messages are shown")
    return shown


def test_desktop(mitmweb: tuple[Router, Web], fleet: Fleet) -> None:
    """Messages of a desktop are shown as RFB, and which key was pressed is not."""
    router, web = mitmweb
    talk(router, f"/websockify?jwt_token={fleet.alice.token.decode()}", KEY_EVENT)
    ours, its = read_messages(web, "/websockify", 2)
    assert ours["view_name"] == its["view_name"] == "RFB"
    assert ours["text"].split("\n") == [
        "client sends 8 bytes",
        "read from the middle: what came before is not kept",
        "key event: 1",
    ]


def test_terminal(mitmweb: tuple[Router, Web], fleet: Fleet) -> None:
    """What a shell writes is shown, what is typed is not."""
    router, web = mitmweb
    typed = json.dumps(["stdin", "hunter2\r"])
    talk(router, f"/terminals/7?jwt_token={fleet.alice.token.decode()}", typed)
    ours, its = read_messages(web, "/terminals/7", 2)
    assert ours["view_name"] == its["view_name"] == "Terminal"
    assert "hunter2" not in ours["text"]
    assert "8 characters" in ours["text"]


def test_signalling(mitmweb: tuple[Router, Web], fleet: Fleet) -> None:
    """A candidate is readable, and no credential."""
    router, web = mitmweb
    candidate = "candidate:1 1 udp 1 10.0.0.5 53455 typ host"
    message = json.dumps({"type": "candidate", "candidate": candidate, "credential": "hunter2"})
    talk(router, f"/signalling?jwt_token={fleet.alice.token.decode()}", message)
    for shown in read_messages(web, "/signalling", 2):
        assert shown["view_name"] == "Signalling"
        assert "host candidate: udp 10.0.0.5 port 53455" in shown["text"]
        assert "hunter2" not in shown["text"]


def test_token_in_an_answer(mitmweb: tuple[Router, Web], fleet: Fleet) -> None:
    """An answer of pyos says of the token in it, once it is used, what it opens."""
    router, web = mitmweb
    token = fleet.alice.token
    body = b'{"result": {"authorization": "%b", "expire_in": 420}}' % token
    fleet.pyos.play(
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
        % (len(body), body)
    )
    router.ask(build_request(b"/API/composer/refreshdesktoptoken"))
    router.ask(build_request(b"/filer/x", (b"ABCAuthorization", token)))
    flow = web.find("/API/composer")
    assert flow is not None
    shown = web.call("GET", f"/flows/{flow['id']}/response/content/auto.json")
    assert shown["view_name"] == "Desktop token"
    assert "result.authorization: hidden." in shown["text"]
    assert f"verdict: opens {ALICE}, for " in shown["text"]
    assert '"expire_in": 420' in shown["text"]
    assert token.decode() not in shown["text"]
