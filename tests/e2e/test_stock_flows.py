"""What the flows of the stock carrier say of how they ended."""

import json
import time
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.e2e.harness import (
    Command,
    Fleet,
    Request,
    Router,
    Wire,
    build_request,
    wait_until,
)

OPEN_S = 0.3
WITNESS = """
class Witness:
    def response(self, flow):
        self.said.append((flow.comment, flow.marked, flow.metadata["route"]["timings"]))
    error = websocket_end = response
    said = []
ctx.master.addons.add(Witness())
"""
SAID = "import json; result = json.dumps(ctx.master.addons.get('witness').said)"


@pytest.fixture(scope="module")
def router(installation: Mapping[str, object]) -> Iterator[Router]:
    """One with a witness behind it."""
    command = Command({**installation, "route_carrier": "stock"}, arguments=("-q",))
    with Router(Command({**command.options, "flow_detail": 0}), has_remote=True) as router:
        assert not router.run_inside(WITNESS)
        yield router
    assert "Traceback" not in router.log


def _find(router: Router, path: bytes) -> tuple[str, str, dict[str, Any]]:
    found: list[Any] = []

    def has_ended() -> bool:
        said = json.loads(router.run_inside(SAID))
        found[:] = [one for one in said if f"{path.decode()} -> " in one[0]]
        return bool(found)

    wait_until(has_ended, f"the flow of {path!r} has ended")
    comment, mark, timings = found[-1]
    return comment, mark, timings


def test_answered(router: Router, fleet: Fleet) -> None:
    """One that was answered says how long it took, and a refusal does."""
    assert router.ask(build_request(b"/console/x")).status == 200
    comment, mark, timings = _find(router, b"/console")
    assert (comment.startswith("/console -> "), mark) == (True, ":white_check_mark:")
    assert 0 < timings["connect"] <= timings["first_byte"] <= timings["total"]


@pytest.mark.parametrize("kind", ["down", "closes"])
def test_upstream_failed(router: Router, fleet: Fleet, kind: str) -> None:
    """One whose upstream failed is marked so, and says what the client got and for what reason."""
    token = (b"ABCAuthorization", fleet.alice.token)
    if kind == "down":
        path, reason = b"/container/{port}", "nobody is there"
        answer = router.ask(build_request(b"/container/1", token))
    else:
        path, reason = b"/filer", "no whole answer came"
        fleet.alice["file_service"].play(lambda wire, _: wire.close())
        answer = router.ask(build_request(b"/filer/x", token))
    assert answer.status == 502
    comment, mark, timings = _find(router, path)
    assert comment.startswith(f"502 bad_gateway: {reason} · token from header, ")
    assert mark == ":boom:"
    assert timings["total"] > 0
    assert comment in router.log


def test_websocket(router: Router, fleet: Fleet) -> None:
    """A WebSocket says how long it was open."""
    token = fleet.alice.token.decode()
    with router.open_websocket(f"/websockify?{token}") as websocket:
        time.sleep(OPEN_S)
        websocket.send("x")
        websocket.recv()
    _find(router, b"/websockify")
    wait_until(lambda: _find(router, b"/websockify")[2]["total"] >= OPEN_S, "its end is noted")
    assert _find(router, b"/websockify")[1] == ":electric_plug:"


def test_client_left(router: Router, fleet: Fleet) -> None:
    """A client that leaves is no fault of the upstream's."""

    def wait(wire: Wire, request: Request) -> None:
        wire.read_to_end()

    fleet.website.play(wait)
    with router.connect() as client:
        client.send(build_request(b"/left"))
        wait_until(lambda: fleet.website.requests, "the upstream has it")
    comment, mark, timings = _find(router, b"/")
    assert comment.startswith("/ -> website ")
    assert mark == ":scissors:"
    assert timings["total"] > 0
