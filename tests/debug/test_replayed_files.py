"""Files that mitmproxy is told to replay."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from mitmproxy import exceptions, http
from mitmproxy.io import tnetstring
from mitmproxy.test import taddons, tflow

from route_addon.carry.evidence import EVIDENCE
from route_addon.carry.masks.mask import Mask
from route_addon.debug.replayed_files import ReplayedFiles
from route_addon.debug.server_replay import find_fault
from tests.core.heads import make_router
from tests.hosting import answer, make_flow
from tests.minting import mint

TOKEN = mint()
HIDDEN = Mask().placeholder(TOKEN)


def _flow(target: bytes = b"/x", content: bytes = b"", method: bytes = b"GET") -> http.HTTPFlow:
    flow = make_flow(target, (b"ABCAuthorization", HIDDEN), method=method, live=False)
    flow.request.data.content = content
    answer(flow).data.content = b"whole"
    return flow


def _websocket() -> http.HTTPFlow:
    untyped: Any = tflow
    flow: http.HTTPFlow = untyped.twebsocketflow()
    return flow


def _without_content() -> http.HTTPFlow:
    flow = _flow()
    assert flow.response is not None
    flow.response.data.content = None
    return flow


def _cut() -> http.HTTPFlow:
    flow = _flow()
    flow.metadata[EVIDENCE] = {"answer_cut": True}
    return flow


def _odd() -> http.HTTPFlow:
    flow = _flow(b"/x", b"content", b"POST")
    flow.metadata[EVIDENCE] = {"request_id": "\u00e9"}
    return flow


def _unanswered() -> http.HTTPFlow:
    flow = _flow()
    flow.response = None
    return flow


@pytest.mark.parametrize(
    "flow",
    [_flow(), _flow(b"/filer/x"), _flow(b"/filer/x", b"content", b"POST"), _unanswered()],
    ids=lambda flow: flow.request.path,
)
def test_answers_that_can_be_given(flow: http.HTTPFlow) -> None:
    """A token in a field is no hindrance, nor is content that is collected."""
    assert find_fault(flow, make_router()) is None


@pytest.mark.parametrize(
    ("flow", "fault"),
    [
        (_flow(b"/broadcast?jwt_token=" + HIDDEN), "GET /broadcast: its token is in the path or"),
        (_flow(b"/broadcast?jwt_token=" + TOKEN), "GET /broadcast: its token is in the path or"),
        (_flow(b"/container/%b/80/x" % HIDDEN), ": its token is in the path or the query"),
        (_flow(b"/speedtest/upload", b"0", b"POST"), "POST /speedtest/upload: its content streams"),
        (_websocket(), "a WebSocket"),
        (_odd(), "POST /x: it cannot be judged (UnicodeEncodeError)"),
        (_without_content(), "not whole"),
        (_cut(), "not whole"),
    ],
    ids=lambda value: "" if isinstance(value, str) else value.request.path[:20],
)
def test_answers_that_cannot(flow: http.HTTPFlow, fault: str) -> None:
    """It is said which request it is, and why no answer would ever be found for it."""
    found = find_fault(flow, make_router())
    assert found is not None
    assert fault in found


@pytest.fixture
async def host() -> Any:
    """Options of mitmproxy's, and who looks at the files that they name."""
    make_context: Any = taddons.context
    host = make_context(loadcore=False)
    host.options.add_option("rfile", str, "", "")
    for name in ("client_replay", "server_replay"):
        host.options.add_option(name, Sequence[str], [], "")
    host.master.addons.add(ReplayedFiles(make_router))
    return host


def _write(folder: Path, *flows: http.HTTPFlow) -> str:
    path = folder / "flows.mitm"
    path.write_bytes(b"".join(tnetstring.dumps(flow.get_state()) for flow in flows))
    return str(path)


OPTIONS: dict[str, Callable[[str], Any]] = {
    "rfile": lambda path: path,
    "client_replay": lambda path: [path],
    "server_replay": lambda path: [path],
}


@pytest.mark.parametrize("name", OPTIONS)
async def test_damage(
    host: Any, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A damaged file ends the start, and is refused later; a good one is neither."""
    path = _write(tmp_path, _flow(), _flow())
    option = OPTIONS[name]
    host.options.update(**{name: option(path)})
    host.options.update(**{name: option("")[:0]})
    text = Path(path).read_bytes()
    Path(path).write_bytes(text[:-1])
    with pytest.raises(SystemExit):
        host.options.update(**{name: option(path)})
    sentence = f"{name}={path}: {path} at byte {len(text) // 2}: ends within a flow"
    assert sentence in capsys.readouterr().err
    host.master.addons.get("route_replayed_files").running()
    host.options.update(**{name: option("")[:0]})
    with pytest.raises(exceptions.OptionsError, match="ends within a flow"):
        host.options.update(**{name: option(path)})


@pytest.mark.parametrize("router", [make_router, lambda: None])
async def test_server_replay(host: Any, tmp_path: Path, router: Any) -> None:
    """Of a file for ``-S`` the flows are looked at, too: by the router, once there is one."""
    files = host.master.addons.get("route_replayed_files")
    files._router = router
    files.running()
    path = _write(tmp_path, _flow(), _websocket())
    host.options.update(client_replay=[path])
    if router is make_router:
        with pytest.raises(exceptions.OptionsError, match="a WebSocket"):
            host.options.update(server_replay=[path])
    else:
        host.options.update(server_replay=[path])


async def test_standard_input(host: Any) -> None:
    """What comes in by a pipe cannot be read twice."""
    host.options.update(rfile="-")
    assert host.options.rfile == "-"
