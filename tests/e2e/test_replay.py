"""Recorded flows, judged again: at the time of their recording, and without an upstream."""

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tests.e2e.harness import TOKEN, Backend, Command, Fleet, build_request, record_flows
from tests.e2e.test_websockets import HANDSHAKE
from tests.minting import key_pair


def _replay(
    recording: Path, options: Mapping[str, object], *arguments: str
) -> CompletedProcess[str]:
    """Read a recording with the router's script, and nothing listening."""
    command = Command(options, arguments=("-nr", str(recording), *arguments), port=None)
    outcome = command.run()
    assert outcome.returncode == 0, outcome.stderr
    assert "listening" not in outcome.stdout
    assert "listens" not in outcome.stdout
    assert "Traceback" not in outcome.stdout + outcome.stderr
    assert TOKEN.search(outcome.stdout.encode()) is None
    return outcome


def _verdicts(outcome: CompletedProcess[str]) -> list[str]:
    """What the judge says, in the order of the recording."""
    marker = "judged: "
    lines = (line for line in outcome.stdout.splitlines() if marker in line)
    return [line.partition(marker)[2] for line in lines]


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory, shared_fleet: Fleet) -> Iterator[Path]:
    """What a plain mitmproxy saw before the router's time: tokens, and requests without."""
    path = tmp_path_factory.mktemp("recordings") / "flows.mitm"
    alice = shared_fleet.alice
    exp = time.time() + 4
    good = (b"ABCAuthorization", alice.mint(claims={"exp": exp}))
    stranger = (b"ABCAuthorization", alice.mint(signing=key_pair("stranger")))
    with Backend("127.0.0.1") as backend:
        record_flows(
            path,
            backend,
            [
                build_request(b"/filer/x?a=1", good, method=b"POST", body=b"hello"),
                build_request(b"/filer/x"),
                build_request(b"/filer/x", (b"ABCAuthorization", alice.mint(life_s=-1))),
                build_request(b"/filer/x", stranger),
                build_request(b"/API/x"),
                build_request(b"/x"),
                build_request(b"/healthz"),
                build_request(b"/websockify?" + alice.mint(claims={"exp": exp}), *HANDSHAKE),
                build_request(b"/API/%zz"),
            ],
        )
        assert len(backend.requests) == 9
    time.sleep(max(0.0, exp - time.time()))
    yield path


EXPECTED = [
    "/filer -> pod {alice}:{file_service} · token from header, ",
    "401 token_missing · /filer · request ",
    "401 token_expired: ",
    "401 token_signature · token from header · /filer · request ",
    "/API -> pyos {pyos}",
    "/ -> website {website}",
    "200 answered here · /healthz · request ",
    "/websockify -> pod {alice}:{ws_tcp_bridge} · token from query, ",
    "400 bad_target: bad escape · no location · request ",
]


def _fill(texts: list[str], fleet: Fleet) -> list[str]:
    return [
        text.format(
            alice=fleet.alice.address,
            pyos=fleet.pyos.authority,
            website=fleet.website.authority,
            **fleet.alice.ports,
        )
        for text in texts
    ]


def _check(verdicts: list[str], expected: list[str]) -> None:
    assert len(verdicts) == len(expected), verdicts
    for verdict, start in zip(verdicts, expected, strict=True):
        assert verdict.startswith(start), verdict


def test_with_keys(recording: Path, fleet: Fleet, key_options: Mapping[str, str]) -> None:
    """Each flow is judged at its own time, though the tokens have expired since."""
    outcome = _replay(recording, {**fleet.options, **key_options})
    _check(_verdicts(outcome), _fill(EXPECTED, fleet))
    assert fleet.is_untouched


def test_without_keys(recording: Path, fleet: Fleet) -> None:
    """Nobody can tell whether a token was good: all are refused, the rest is judged."""
    outcome = _replay(recording, fleet.options)
    refused = "401 token_signature · token from {} · {} · request "
    expected = list(EXPECTED)
    expected[0] = expected[2] = refused.format("header", "/filer")
    expected[7] = refused.format("query", "/websockify")
    _check(_verdicts(outcome), _fill(expected, fleet))
    assert fleet.is_untouched


def test_recorded_verdicts(
    recording: Path, fleet: Fleet, key_options: Mapping[str, str], tmp_path: Path
) -> None:
    """A verdict that was written with the flow counts where no key is there to check it."""
    judged = tmp_path / "judged.mitm"
    _replay(recording, {**fleet.options, **key_options}, "-w", str(judged))
    outcome = _replay(judged, fleet.options)
    expected = list(EXPECTED)
    expected[2], expected[3] = "401 token_expired", "401 token_signature"
    _check(_verdicts(outcome), _fill(expected, fleet))
    assert fleet.is_untouched


def test_a_recorded_verdict_opens_no_denied_target(
    recording: Path, fleet: Fleet, key_options: Mapping[str, str], tmp_path: Path
) -> None:
    """Where the policy differs from the recording's, the verdict of today counts."""
    options = {**fleet.options, **key_options, "route_target_allow": ""}
    verdicts = _verdicts(_replay(recording, options))
    assert verdicts[0].startswith("401 target_denied")
    assert verdicts[7].startswith("401 target_denied")
