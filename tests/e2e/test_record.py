"""Recordings of a router that runs."""

from collections.abc import Mapping
from pathlib import Path

from tests.e2e.harness import Command, Fleet, Router, build_request


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


def test_refused_start(installation: Mapping[str, object], tmp_path: Path) -> None:
    """A file that cannot be written to ends the start with a sentence."""
    outcome = Command({**installation, "route_record": tmp_path}).run()
    assert outcome.returncode == 1
    assert f"route_record={tmp_path}: cannot be written to (Is a directory)" in outcome.stderr
    assert "Traceback" not in outcome.stdout + outcome.stderr
