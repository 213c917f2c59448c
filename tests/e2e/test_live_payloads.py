"""What is typed into a terminal: to be seen while it is, and in nothing that is kept of it."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.e2e.harness import Command, Fleet, Router, wait_until
from tests.e2e.ports import free_port
from tests.e2e.web import PASSWORD, Web

TYPED = "typed-by-somebody"
EXPORTS = ("raw", "raw_request", "curl", "httpie")


@pytest.fixture
def web() -> Web:
    """mitmweb, once it has been started."""
    return Web(free_port())


@contextlib.contextmanager
def typed(
    web: Web, installation: Mapping[str, object], fleet: Fleet, **more: object
) -> Iterator[str]:
    """A terminal in mitmweb that somebody has typed into; the flow's identifier."""
    options = {**installation, "web_port": web.port, "web_password": PASSWORD, **more}
    command = Command({**options, "web_open_browser": "false"}, program="mitmweb")
    with Router(command) as router:
        token = fleet.alice.token.decode()
        with router.open_websocket(f"/terminals/a?jwt_token={token}") as terminal:
            terminal.send(TYPED)
            terminal.recv()
            wait_until(lambda: TYPED in look(web), "the message is there")
            flow = web.find("/terminals/a")
            assert flow is not None
            yield str(flow["id"])
    assert "Traceback" not in router.log


def look(web: Web) -> str:
    """What the view ``Raw`` shows of the terminal's messages."""
    flow = web.find("/terminals/a")
    if flow is None or "websocket" not in flow:
        return ""
    return str(web.call("GET", f"/flows/{flow['id']}/messages/content/raw"))


def keep_all(web: Web, folder: Path) -> Path:
    """Keep what is live in all ways at once.

    Returns:
        Where ``-w`` writes from now on.
    """
    late = folder / "late.mitm"
    web.run("set", "save_stream_file", str(late))
    web.run("save.file", "@all", str(folder / "saved.mitm"))
    web.run("save.har", "@all", str(folder / "saved.har"))
    for kind in EXPORTS:
        web.run("export.file", kind, "~u /terminals/a", str(folder / f"exported.{kind}"))
    web.run("route.record", str(folder / "recorded.mitm"))
    (folder / "dialog.mitm").write_bytes(web.read("/flows/dump"))
    return late


def test_kept_of_a_live_terminal(
    web: Web, installation: Mapping[str, object], fleet: Fleet, tmp_path: Path
) -> None:
    """No file has it: saved, exported, taken by mitmweb's dialog, or begun while it is live."""
    with typed(web, installation, fleet):
        late = keep_all(web, tmp_path)
        assert not late.read_bytes()
    kept = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert len(kept) == 5 + len(EXPORTS)
    for name, text in kept.items():
        assert b"/terminals/a" in text, name
        assert TYPED.encode() not in text, name


def test_kept_where_that_is_asked_for(
    web: Web, installation: Mapping[str, object], fleet: Fleet, tmp_path: Path
) -> None:
    """So a search of these files can find it."""
    with typed(web, installation, fleet, route_record_payloads="true"):
        late = keep_all(web, tmp_path)
    kept = [path for path in tmp_path.iterdir() if TYPED.encode() in path.read_bytes()]
    assert {late.name, "saved.mitm", "saved.har", "dialog.mitm", "recorded.mitm"} <= {
        path.name for path in kept
    }
