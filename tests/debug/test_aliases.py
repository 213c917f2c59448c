"""What is written of a flow: aliases for pods, and all else as it is."""

from typing import Any

import pytest

from route_addon.carry.evidence import EVIDENCE
from route_addon.core.recorded import Recorded
from route_addon.debug.aliases import Aliases, redact
from route_addon.debug.judgement import judge
from tests.core.heads import make_router
from tests.debug.decided import decided_flow, read_evidence
from tests.hosting import make_flow
from tests.minting import NOW


@pytest.mark.parametrize("host", ["10.0.0.1", "fd00::1", "pod.example"])
def test_alias(host: str) -> None:
    """A pod has an alias in a recording, wherever its address stood; the flow stays as it is."""
    flow = decided_flow(host)
    before: Any = flow.get_state()
    redacted = redact(flow, Aliases())
    assert flow.get_state() == before
    assert host not in str(redacted.get_state())
    assert "10.7.7.7" not in str(redacted.get_state())
    assert redacted.comment.startswith("/filer -> pod pod-1:29783 · ")
    assert read_evidence(redacted)["server"] == "pod-1:29783"
    assert redacted.server_conn.address == ("pod-1", 29783)
    again = Recorded.of(judge(redacted, make_router(), NOW))
    assert again.to_plain() == read_evidence(redacted)["decision"]


def test_aliases_of_a_file() -> None:
    """One pod has one alias, and two have two."""
    aliases = Aliases()
    hosts = ["10.0.0.1", "10.0.0.2", "10.0.0.1"]
    assert [aliases.alias(host) for host in hosts] == ["pod-1", "pod-2", "pod-1"]


def test_what_has_no_pod() -> None:
    """The servers that all users share are named as they are configured."""
    for flow in (decided_flow("website", b"/x"), make_flow(b"/x")):
        evidence = flow.metadata.get(EVIDENCE)
        redacted = redact(flow, Aliases())
        assert redacted.metadata.get(EVIDENCE) == evidence
        assert redacted.server_conn.address == flow.server_conn.address
        assert redacted.comment == flow.comment
