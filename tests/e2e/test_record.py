"""Recordings of a router that runs."""

import resource
from collections.abc import Mapping
from pathlib import Path

import pytest

from route_addon.debug.recording import read_recording
from tests.e2e.harness import Command, Fleet, Router, build_request
from tests.e2e.test_commands import call


def _ask(router: Router, fleet: Fleet, count: int) -> None:
    token = (b"ABCAuthorization", fleet.alice.token)
    for _ in range(count):
        assert router.ask(build_request(b"/filer/x", token)).status == 200


def test_full_disk(fleet: Fleet, installation: Mapping[str, object]) -> None:
    """A disk without room ends the recording, and no request is the worse for it."""
    options = {**installation, "flow_detail": 0, "route_record": "/dev/full"}
    with Router(Command(options)) as router:
        assert "watched by route_record" in router.log
        _ask(router, fleet, 3)
        router.wait_for("the recording ends after 0 flows: /dev/full: No space left on device")
        router.wait_for("watched by nobody")
        _ask(router, fleet, 3)
    assert router.log.count("the recording ends") == 1
    assert "Traceback" not in router.log


def test_full_disk_under_mitmproxys_own_recording(
    fleet: Fleet, installation: Mapping[str, object]
) -> None:
    """Nor does ``-w`` end the router, as it would end mitmproxy."""
    command = Command({**installation, "flow_detail": 0}, arguments=("-w", "/dev/full"))
    with Router(command) as router:
        _ask(router, fleet, 3)
        router.wait_for("-w ends: /dev/full cannot be written to")
        router.wait_for("watched by nobody")
        _ask(router, fleet, 3)
        assert router.is_running
    assert "Traceback" not in router.log


@pytest.mark.parametrize("way", ["route_record", "save_stream_file"])
def test_disk_that_fills(
    fleet: Fleet, installation: Mapping[str, object], tmp_path: Path, way: str
) -> None:
    """In the midst of a flow: what is whole before it can be read, and traffic goes on."""
    path = tmp_path / "flows.mitm"
    with Router(Command({**installation, "flow_detail": 0, way: path})) as router:
        resource.prlimit(router.pid, resource.RLIMIT_FSIZE, (10_000, resource.RLIM_INFINITY))
        _ask(router, fleet, 30)
        router.wait_for("watched by nobody")
        _ask(router, fleet, 3)
    assert "the recording ends after" in router.log or f"-w ends: {path} cannot be" in router.log
    assert "Traceback" not in router.log
    assert 0 < len(list(read_recording(path))) < 30


def test_refused_start(installation: Mapping[str, object], tmp_path: Path) -> None:
    """A file that cannot be written to ends the start with a sentence."""
    outcome = Command({**installation, "route_record": tmp_path}).run()
    assert outcome.returncode == 1
    assert f"route_record={tmp_path}: cannot be written to (Is a directory)" in outcome.stderr
    assert "Traceback" not in outcome.stdout + outcome.stderr


def test_commands(fleet: Fleet, installation: Mapping[str, object], tmp_path: Path) -> None:
    """A recording is begun, ended and judged by commands; a bad file is a sentence."""
    path, nowhere = tmp_path / "flows.mitm", tmp_path / "no" / "flows.mitm"
    options = {**installation, "flow_detail": 0, "route_watch": "auto"}
    with Router(Command(options), has_remote=True) as router:
        assert call(router, "route.record", str(path)) == f"recording in {path}"
        _ask(router, fleet, 2)
        assert "must be a file in a folder" in call(router, "route.record", str(nowhere))
        assert call(router, "route.record") == "recording no more"
        _ask(router, fleet, 1)
        lines = call(router, "route.replay", str(path)).splitlines()
        pod = f"pod pod-1:{fleet.alice['file_service'].port}"
        assert lines == [
            "2 flows: 2 same, 0 different",
            f"same         1  GET /filer/x  /filer -> {pod}",
            f"same         2  GET /filer/x  /filer -> {pod}",
        ]
        path.write_bytes(b"damaged")
        assert f"{path} at byte 0: is no flow file" in call(router, "route.replay", str(path))
    assert "Traceback" not in router.log
