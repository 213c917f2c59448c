"""What is written of a flow, and what becomes of a file that there is no room for."""

import logging
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from mitmproxy import connection, exceptions, http
from mitmproxy.test import tflow

from route_addon.carry.evidence import EVIDENCE, write_evidence
from route_addon.config.workers import ALONE, Worker
from route_addon.core.recorded import Recorded
from route_addon.core.router import Router
from route_addon.debug.judgement import judge
from route_addon.debug.record import Aliases, Recorder, RecordingFile, redact
from route_addon.debug.recording import read_recording
from tests.core.heads import make_router
from tests.debug.limiting import limited
from tests.hosting import answer, make_flow, make_host
from tests.minting import NOW, mint

_typed: Any = tflow


def _flow(host: str = "10.0.0.1", target: bytes = b"/filer/x") -> http.HTTPFlow:
    """A flow that has been decided, as the relay leaves it."""
    flow = make_flow(target, (b"ABCAuthorization", mint(host)))
    router: Router = make_router()
    decision = judge(flow, router, NOW)
    write_evidence(flow, decision, NOW)
    flow.metadata[EVIDENCE]["decision"] = Recorded.of(decision).to_plain()
    flow.server_conn = connection.Server(address=(host, 29783), peername=(host, 29783))
    flow.server_conn.sockname = ("10.7.7.7", 5)
    flow.request.data.host = host
    answer(flow)
    return flow


def _evidence(flow: http.HTTPFlow) -> dict[str, Any]:
    evidence: dict[str, Any] = flow.metadata[EVIDENCE]
    return evidence


@pytest.mark.parametrize("host", ["10.0.0.1", "fd00::1", "pod.example"])
def test_alias(host: str) -> None:
    """A pod has an alias in a recording, wherever its address stood; the flow stays as it is."""
    flow = _flow(host)
    before: Any = flow.get_state()
    redacted = redact(flow, Aliases())
    assert flow.get_state() == before
    assert host not in str(redacted.get_state())
    assert "10.7.7.7" not in str(redacted.get_state())
    assert redacted.comment.startswith("/filer -> pod pod-1:29783 · ")
    assert _evidence(redacted)["server"] == "pod-1:29783"
    assert redacted.server_conn.address == ("pod-1", 29783)
    again = Recorded.of(judge(redacted, make_router(), NOW))
    assert again.to_plain() == _evidence(redacted)["decision"]


def test_aliases_of_a_file() -> None:
    """One pod has one alias, and two have two."""
    aliases = Aliases()
    hosts = ["10.0.0.1", "10.0.0.2", "10.0.0.1"]
    assert [aliases.alias(host) for host in hosts] == ["pod-1", "pod-2", "pod-1"]


def test_what_has_no_pod() -> None:
    """The servers that all users share are named as they are configured."""
    for flow in (_flow("website", b"/x"), make_flow(b"/x")):
        evidence = flow.metadata.get(EVIDENCE)
        redacted = redact(flow, Aliases())
        assert redacted.metadata.get(EVIDENCE) == evidence
        assert redacted.server_conn.address == flow.server_conn.address
        assert redacted.comment == flow.comment


def _count(path: Path) -> int:
    return sum(1 for _ in read_recording(path))


def test_file(tmp_path: Path) -> None:
    """A recording is for its owner's eyes, and grows."""
    path = tmp_path / "flows.mitm"
    for count in (1, 2):
        file = RecordingFile(str(path))
        file.write(redact(_flow(), file.aliases))
        file.close()
        assert (_count(path), file.count) == (count, 1)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@contextmanager
def _recording(path: Path, worker: Worker = ALONE) -> Iterator[tuple[Any, Recorder]]:
    """A recorder in a mitmproxy of its own, which runs."""
    host, recorder = make_host(), Recorder(worker, make_router)
    host.options.add_option("route_record", str, "", "")
    host.master.addons.add(recorder)
    try:
        host.options.update(route_record=str(path))
        assert not path.is_file()
        recorder.running()
        yield host, recorder
    finally:
        recorder.done()


async def test_no_room(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """When there is no room left it is said once, and what has been written can be read."""
    path = tmp_path / "flows.mitm"
    with _recording(path) as (host, recorder):
        flow = _flow()
        recorder.response(flow)
        with limited(path.stat().st_size + 100):
            recorder.response(flow)
        recorder.response(flow)
        warnings = [record.message for record in caplog.records if record.levelname == "WARNING"]
        assert warnings == [f"the recording ends after 1 flows: {path}: File too large"]
        assert host.options.route_record == ""
    assert _count(path) == 1


async def test_what_is_recorded(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Exchanges that end, WebSockets at their end, and nothing that was read from a file."""
    caplog.set_level(logging.INFO)
    path = tmp_path / "flows.mitm"
    counts: list[int] = []
    websocket, loaded = _typed.twebsocketflow(), _flow()
    websocket.live, loaded.live = True, False
    with _recording(path) as (_, recorder):
        for hook, flow in (
            (recorder.response, _flow()),
            (recorder.error, _flow()),
            (recorder.response, websocket),
            (recorder.websocket_end, websocket),
            (recorder.response, loaded),
        ):
            hook(flow)
            counts.append(_count(path))
    assert counts == [1, 2, 2, 3, 3]
    assert caplog.messages[-1] == f"recorded 3 flows in {path}"
    recorder.response(_flow())
    assert _count(path) == 3


async def test_unwritable(tmp_path: Path) -> None:
    """A file that cannot be opened is a reason not to start; later it is told whoever named it."""
    with pytest.raises(SystemExit), _recording(tmp_path):
        raise AssertionError("it has started")
    good = tmp_path / "flows.mitm"
    with _recording(good) as (host, recorder):
        with pytest.raises(exceptions.OptionsError, match="cannot be written to"):
            host.options.update(route_record=str(tmp_path))
        assert host.options.route_record == str(good)
        recorder.response(_flow())
        assert _count(good) == 1


async def test_flow_that_cannot_be_written(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is left out, and the recording goes on."""
    odd = _flow()
    odd.metadata["odd"] = "\udcff not-to-be-told"
    path = tmp_path / "flows.mitm"
    with _recording(path) as (_, recorder):
        recorder.response(odd)
        recorder.response(_flow())
    assert "a flow was not recorded: UnicodeEncodeError at " in caplog.text
    assert "not-to-be-told" not in caplog.text
    assert _count(path) == 1


async def test_workers(tmp_path: Path) -> None:
    """Each process has a file of its own: flows of two would not stay whole in one."""
    path = tmp_path / "flows.mitm"
    with _recording(path, Worker(2, 3)) as (_, recorder):
        recorder.response(_flow())
    assert not path.exists()
    assert _count(tmp_path / "flows.mitm.2") == 1


async def test_decision_that_cannot_be_made_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Where what had to be hidden would lead elsewhere, no decision is recorded to compare with."""
    caplog.set_level(logging.INFO)
    path = tmp_path / "flows.mitm"
    odd = _flow()
    odd.request.path = "/hidden.0123456789abcdef.token"
    with _recording(path) as (_, recorder):
        recorder.response(odd)
        recorder.response(_flow())
    decisions = [_evidence(flow)["decision"] for _, flow in read_recording(path)]
    assert [decision is None for decision in decisions] == [True, False]
    assert "without its decision" in caplog.text
    assert _evidence(odd)["decision"] is not None
