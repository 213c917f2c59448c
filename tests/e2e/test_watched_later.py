"""Whether anybody watches is asked for each request: a recording may be opened at any time."""

import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from mitmproxy import io

from tests.e2e.footprint import run_relay
from tests.e2e.harness import (
    PATIENCE_S,
    Fleet,
    Request,
    Router,
    Wire,
    build_request,
    wait_until,
)

_LEAVE = """
ctx.options.update(scripts=ctx.options.scripts[:1])
result = ctx.master.addons.get("route").relay.is_watched
"""
"""The script that looks inside is not loaded any more; it goes on listening all the same."""


@pytest.fixture(scope="module")
def router(shared_fleet: Fleet, key_options: Mapping[str, str]) -> Iterator[Router]:
    """A relay that nobody watches, and that would let itself be watched."""
    with run_relay(shared_fleet, key_options, route_watch="auto", flow_detail=0) as relay:
        assert relay.run_inside(_LEAVE) == "False"
        yield relay


def _targets(recording: Path) -> list[str]:
    with recording.open("rb") as file:
        return [flow.request.path for flow in io.FlowReader(file).stream()]  # type: ignore[attr-defined]


def test_recording_opened_later(router: Router, fleet: Fleet, tmp_path: Path) -> None:
    """It holds what a connection asks while it is open, from the very next request on."""
    recording = tmp_path / "flows"
    own = (b"ABCAuthorization", fleet.alice.token)

    def record(path: str) -> None:
        answered = router.run_inside(f"ctx.options.update(save_stream_file={path!r})")
        assert answered == ""

    with router.connect() as client:
        for target, path in ((b"/filer/1", str(recording)), (b"/filer/2", ""), (b"/filer/3", "")):
            assert client.ask(build_request(target, own)).status == 200
            record(path)
    assert _targets(recording) == ["/filer/2"]
    router.wait_for("watched by -w")
    router.wait_for("watched by nobody")
    assert fleet.alice["file_service"].requests[-1].target == b"/filer/3"


def test_recording_opened_under_a_request(router: Router, fleet: Fleet, tmp_path: Path) -> None:
    """What began unwatched ends so, with its whole answer; the next one is recorded."""
    recording = tmp_path / "flows"
    own = (b"ABCAuthorization", fleet.alice.token)
    service, may_answer = fleet.alice["file_service"], threading.Event()

    def answer_late(wire: Wire, request: Request) -> None:
        may_answer.wait(PATIENCE_S)
        service.answer(wire, request)

    service.play(answer_late)
    with router.connect() as client:
        client.send(build_request(b"/filer/slow", own))
        wait_until(lambda: len(service.requests) == 1, "it is under way")
        router.run_inside(f"ctx.options.update(save_stream_file={str(recording)!r})")
        may_answer.set()
        assert client.read_answer().body == service.name.encode()
        assert client.ask(build_request(b"/filer/next", own)).status == 200
        router.run_inside("ctx.options.update(save_stream_file='')")
    assert _targets(recording) == ["/filer/next"]
