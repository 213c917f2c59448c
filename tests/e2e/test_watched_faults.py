"""A fault of our own while somebody watches: the same as when nobody does."""

import ssl
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.e2e import test_relay_fail_closed as faults
from tests.e2e.footprint import run_relay
from tests.e2e.harness import ALICE, Fleet, Router, check_secrets

MODULES = (
    "carry.exchange",
    "carry.watched.firing",
    "carry.watched.flow_exchange",
    "carry.flows",
    "carry.guard",
    "carry.masks.mask",
    "carry.watched.watch",
    "carry.watched.flow",
    "carry.watched.tunnel",
    "carry.watched.websocket",
    "carry.watched.websocket_frames",
    "carry.watched.content",
    "carry.watched.exchange",
)


@pytest.fixture(scope="module")
def router(
    shared_fleet: Fleet, key_options: Mapping[str, str], certificate: Path
) -> Iterator[Router]:
    """A relay that does not wait long for anything, watched."""
    names = ("head", "body", "send", "keepalive", "answer", "tls_handshake")
    options: dict[str, object] = {f"route_{name}_timeout": 1 for name in names}
    options |= {"certs": f"*={certificate}", "route_watch": "always"}
    with run_relay(shared_fleet, key_options, **options) as relay:
        yield relay
        check_secrets(relay.log.replace(ALICE, "").replace("Traceback", "").encode())


@pytest.fixture(scope="module")
def threads() -> Iterator[ThreadPoolExecutor]:
    """For requests side by side."""
    with ThreadPoolExecutor(4) as executor:
        yield executor


@pytest.mark.parametrize(
    ("module", "path"),
    [pytest.param(*place, id=".".join(place)) for place in faults.find_places(MODULES)],
)
def test_a_fault(
    module: str,
    path: str,
    router: Router,
    fleet: Fleet,
    threads: ThreadPoolExecutor,
    tls: ssl.SSLContext,
) -> None:
    """It costs those who meet it their answer, and nobody anything else."""
    faults.test_a_fault(module, path, router, fleet, threads, tls)
