"""Answers out of a recording (``-S FILE``), for clients whose requests are decided as ever."""

from collections.abc import Mapping
from pathlib import Path

from tests.e2e.harness import Command, Fleet, Router, build_request

TOKEN = b"ABCAuthorization"


def _record(installation: Mapping[str, object], path: Path, requests: list[bytes]) -> None:
    options = {**installation, "flow_detail": 0, "route_record": path}
    with Router(Command(options)) as router:
        for request in requests:
            assert router.ask(request).status == 200


def test_answers(installation: Mapping[str, object], fleet: Fleet, tmp_path: Path) -> None:
    """They come in the place of the upstreams', and only to whom the upstream's would."""
    path = tmp_path / "flows.mitm"
    good = (TOKEN, fleet.alice.token)
    fleet.website.play(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nyears")
    requests = [build_request(b"/x"), build_request(b"/filer/x", good, method=b"POST", body=b"a")]
    _record(installation, path, requests)
    fleet.forget()
    options = {**installation, "keepserving": "true", "server_replay_reuse": "true"}
    with Router(Command(options, arguments=("-S", str(path)))) as router:
        assert router.ask(requests[0]).body == b"years"
        assert router.ask(requests[1]).status == 200
        assert router.ask(build_request(b"/filer/x", method=b"POST", body=b"a")).status == 401
        assert fleet.is_untouched
        assert router.ask(build_request(b"/y")).status == 200
        assert fleet.website.request.target == b"/y"


def test_refused(installation: Mapping[str, object], fleet: Fleet, tmp_path: Path) -> None:
    """A recording that could not answer what it holds ends the start with a sentence."""
    path = tmp_path / "flows.mitm"
    query = b"/broadcast/x?jwt_token=" + fleet.alice.token
    _record(installation, path, [build_request(b"/x"), build_request(query)])
    outcome = Command(installation, arguments=("-S", str(path))).run()
    assert outcome.returncode == 1
    assert f"server_replay={path}: {path} at byte " in outcome.stderr
    assert "GET /broadcast/x: its token is in the path or the query" in outcome.stderr
    assert "Traceback" not in outcome.stdout + outcome.stderr
