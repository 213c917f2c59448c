"""What becomes of recorded flows when mitmproxy loads them."""

import logging
from pathlib import Path
from typing import Any

import pytest
from mitmproxy import http

from route_addon.carry.evidence import EVIDENCE
from route_addon.core.recorded import Recorded
from route_addon.core.router import Router
from route_addon.debug.judge import ExitStatus, Judge
from route_addon.debug.judgement import judge
from tests.core.heads import make_router
from tests.hosting import make_flow, make_host
from tests.minting import NOW, mint

TOKEN = mint("10.0.0.1")


def _flow(token: bytes = TOKEN) -> http.HTTPFlow:
    return make_flow(b"/filer/x", (b"ABCAuthorization", token), live=False)


def _recorded(router: Router, **changes: Any) -> http.HTTPFlow:
    """A flow with its decision, as the router records it; changes are put over that."""
    flow = make_flow(b"/x", live=False)
    flow.metadata[EVIDENCE] = {"request_id": "as-recorded", "time": NOW}
    recorded = Recorded.of(judge(flow, router, NOW))
    flow.metadata[EVIDENCE]["decision"] = recorded._replace(**changes).to_plain()
    return flow


def test_hook(caplog: pytest.LogCaptureFixture) -> None:
    """The decision stays with the flow, is told in one line, and changes nothing else."""
    caplog.set_level(logging.INFO)
    router = make_router()
    flow = _flow()
    before: dict[str, Any] = flow.get_state()
    Judge(lambda: router).request(flow)
    assert flow.comment.startswith(
        "/filer -> pod 10.0.0.1:29783 · token from header, verified, 420 s left · request "
    )
    assert flow.metadata[EVIDENCE]["time"] == NOW
    assert caplog.messages == [f"judged: {flow.comment}"]
    after: dict[str, Any] = flow.get_state()
    for changed in ("comment", "metadata"):
        del before[changed], after[changed]
    assert after == before


@pytest.mark.parametrize("live", [True, False])
def test_nothing_to_judge(live: bool) -> None:
    """Live flows are not judged, nor any before there is a configuration."""
    flow = make_flow(live=live)
    Judge(lambda: make_router() if live else None).request(flow)
    assert flow.comment == ""
    assert EVIDENCE not in flow.metadata


def test_fault(caplog: pytest.LogCaptureFixture) -> None:
    """What cannot be judged is logged, without what it holds."""
    flow = _flow()
    flow.client_conn.peername = ("a-secret", 50000)
    Judge(make_router).request(flow)
    assert caplog.text.count("judging failed: ValueError at ") == 1
    assert "a-secret" not in caplog.text
    assert flow.comment == ""


@pytest.mark.parametrize(
    "evidence",
    [
        {"decision": 5},
        {"upstream": "pod", "host": "é", "expires": NOW + 5},
        {"upstream": "pod", "host": "x" * 1000, "expires": float("nan")},
        {"upstream": ["pod"], "slug": {}},
        "text",
    ],
    ids=str,
)
def test_any_recording(evidence: Any) -> None:
    """A file that somebody made up ends nothing."""
    flow = _flow(b"[token]")
    flow.metadata[EVIDENCE] = evidence
    Judge(make_router).request(flow)
    assert flow.response is None


async def test_same_and_different(caplog: pytest.LogCaptureFixture) -> None:
    """A decision that was recorded stays, and what differs is told, in the flow, too."""
    caplog.set_level(logging.INFO)
    host = make_host()
    host.options.update(server=False)
    judge_addon = Judge(make_router)
    host.master.addons.add(judge_addon)
    exit_status = host.master.addons.get("route_exit_status")
    same = _recorded(make_router())
    before = same.get_state()
    judge_addon.request(same)
    assert same.get_state() == before
    assert caplog.messages == ["same         1  GET /x  / -> website website:80"]
    exit_status.done()
    different = _recorded(make_router(), port=8000)
    judge_addon.request(different)
    assert different.comment == "different in port; now / -> website website:80"
    assert different.marked
    assert different.metadata[EVIDENCE]["decision"]["port"] == 8000
    with pytest.raises(SystemExit):
        exit_status.done()


async def test_exit_status_after_a_reload() -> None:
    """Who was there before the script was loaded again is there alone."""
    host = make_host()
    first, second = Judge(make_router), Judge(make_router)
    host.master.addons.add(first)
    host.master.addons.remove(first)
    host.master.addons.add(second)
    assert sum(isinstance(addon, ExitStatus) for addon in host.master.addons.chain) == 1


def test_challenge(tmp_path: Path) -> None:
    """The file of a challenge is read as it is now, for a flow that somebody else has recorded."""
    folder = tmp_path / ".well-known" / "acme-challenge"
    folder.mkdir(parents=True)
    (folder / "name").write_bytes(b"proof")
    flow = make_flow(b"/.well-known/acme-challenge/name", live=False)
    Judge(lambda: make_router(acme_root=str(tmp_path))).request(flow)
    assert flow.metadata[EVIDENCE]["status"] == 200
