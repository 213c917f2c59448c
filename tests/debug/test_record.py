"""What is written of a flow, and what becomes of a file that there is no room for."""

import logging
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from mitmproxy import exceptions
from mitmproxy.test import tflow

from route_addon.config.workers import ALONE, Worker
from route_addon.debug.aliases import redact
from route_addon.debug.record import Recorder, RecordingFile
from route_addon.debug.recording import read_recording
from tests.core.heads import make_router
from tests.debug.decided import decided_flow, read_evidence
from tests.debug.limiting import limited
from tests.hosting import make_host

_typed: Any = tflow


def _count(path: Path) -> int:
    return sum(1 for _ in read_recording(path))


def test_file(tmp_path: Path) -> None:
    """A recording is for its owner's eyes, and grows."""
    path = tmp_path / "flows.mitm"
    for count in (1, 2):
        file = RecordingFile(str(path))
        file.write(redact(decided_flow(), file.aliases))
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
        flow = decided_flow()
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
    websocket, loaded = _typed.twebsocketflow(), decided_flow()
    websocket.live, loaded.live = True, False
    with _recording(path) as (_, recorder):
        for hook, flow in (
            (recorder.response, decided_flow()),
            (recorder.error, decided_flow()),
            (recorder.response, websocket),
            (recorder.websocket_end, websocket),
            (recorder.response, loaded),
        ):
            hook(flow)
            counts.append(_count(path))
    assert counts == [1, 2, 2, 3, 3]
    assert caplog.messages[-1] == f"recorded 3 flows in {path}"
    recorder.response(decided_flow())
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
        recorder.response(decided_flow())
        assert _count(good) == 1


@pytest.mark.parametrize("tail", [b"a note of somebody's", b"99:cut"])
async def test_something_else(tmp_path: Path, tail: bytes) -> None:
    """What holds no flows, or ends within one, is not spoilt, nor would a recording behind it be
    read; and nobody waits for who might read from a pipe."""
    path = tmp_path / "flows.mitm"
    with _recording(path) as (host, recorder):
        recorder.response(decided_flow())
        other, pipe = tmp_path / "other", tmp_path / "pipe"
        other.write_bytes(before := path.read_bytes() + tail)
        os.mkfifo(pipe)
        with pytest.raises(exceptions.OptionsError, match="something else than whole flows"):
            host.options.update(route_record=str(other))
        with pytest.raises(exceptions.OptionsError, match="pipe: cannot be written to"):
            host.options.update(route_record=str(pipe))
        assert other.read_bytes() == before
        recorder.response(decided_flow())
        assert _count(path) == 2


async def test_flow_that_cannot_be_written(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is left out, and the recording goes on."""
    odd = decided_flow()
    odd.metadata["odd"] = "\udcff not-to-be-told"
    path = tmp_path / "flows.mitm"
    with _recording(path) as (_, recorder):
        recorder.response(odd)
        recorder.response(decided_flow())
    assert "a flow was not recorded: UnicodeEncodeError at " in caplog.text
    assert "not-to-be-told" not in caplog.text
    assert _count(path) == 1


async def test_workers(tmp_path: Path) -> None:
    """Each process has a file of its own: flows of two would not stay whole in one."""
    path = tmp_path / "flows.mitm"
    with _recording(path, Worker(2, 3)) as (_, recorder):
        recorder.response(decided_flow())
    assert not path.exists()
    assert _count(tmp_path / "flows.mitm.2") == 1


async def test_decision_that_cannot_be_made_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Where what had to be hidden would lead elsewhere, no decision is recorded to compare with."""
    caplog.set_level(logging.INFO)
    path = tmp_path / "flows.mitm"
    odd = decided_flow()
    odd.request.path = "/hidden.0123456789abcdef.token"
    with _recording(path) as (_, recorder):
        recorder.response(odd)
        recorder.response(decided_flow())
    decisions = [read_evidence(flow)["decision"] for _, flow in read_recording(path)]
    assert [decision is None for decision in decisions] == [True, False]
    assert "without its decision" in caplog.text
    assert read_evidence(odd)["decision"] is not None
