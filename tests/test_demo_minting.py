"""Tokens that the demo mints for requests that are sent again."""

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from mitmproxy.test import taddons

from demo import keys, minting
from demo.pods import addresses
from route_addon.core.keys import Keys, load_payload_key, load_signing_key
from route_addon.core.targetmap import Verified
from tests.core.heads import make_router
from tests.e2e.harness import ROOT, SCRIPT, Command, Router
from tests.replay.sessions import FOLDER


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """The keys of a demo, and a mitmproxy that is told of them."""
    keys.make_keys(tmp_path)
    make_context: Any = taddons.context
    with make_context(loadcore=False) as host:
        host.options.add_option(minting.OPTION, str, str(tmp_path), "")
        yield tmp_path


def _options(folder: Path) -> Mapping[str, str]:
    return {
        "route_signing_key": str(keys.public_path(folder, "signing")),
        "route_payload_key": str(keys.private_path(folder, "payload")),
        "route_target_allow": "127.0.0.0/8,::1",
    }


@pytest.mark.parametrize("index", [0, 1])
def test_token(folder: Path, index: int) -> None:
    """It opens the pod that is meant, by its address and by its alias."""
    options = _options(folder)
    signing = load_signing_key(Path(options["route_signing_key"]).read_bytes())
    payload = load_payload_key(Path(options["route_payload_key"]).read_bytes())
    host = addresses()[index]
    router = make_router(keys=Keys((signing,), (payload,)))
    for name in (host, f"pod-{index + 1}"):
        token = minting.mint(name)
        assert token is not None
        outcome = router.verify(token, time.time()).outcome
        # The usual policy denies loopback, which is told only of a target that was found.
        assert isinstance(outcome, Verified) or outcome.slug == "target_denied"


@pytest.mark.parametrize("host", ["10.0.0.1", "pod-0", "pod-3", "pod-x", ""])
def test_no_token(folder: Path, host: str) -> None:
    """Nobody else's pod is opened."""
    assert minting.mint(host) is None


def test_replay(folder: Path) -> None:
    """A recording of long ago reaches the demo's pods of today, which are not up here."""
    command = Command(
        {**_options(folder), "demo_keys": folder, "flow_detail": 0, "keepserving": "true"},
        scripts=(SCRIPT, ROOT / "demo" / "minting.py"),
        arguments=("-C", str(FOLDER / "tokens.mitm")),
    )
    with Router(command) as router:
        router.wait_for("403 origin_denied")
    # A token that is expired in the recording stays what it is; one that was good is minted.
    assert "502 upstream_refused: connection refused · /filer · " in router.log
    unknown = "a placeholder, and nobody here knows what it stands for"
    assert f"401 token_malformed: not a compact JWS: {unknown} · token from header" in router.log
    assert "Traceback" not in router.log
