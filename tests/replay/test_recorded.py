"""Last year's traffic is decided as it was: by no key, no network and no pod."""

import dataclasses
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from route_addon.debug.replay_command import main
from tests.e2e.harness import ALICE, BOB, TOKEN, Command, Fleet
from tests.minting import KeyPair
from tests.replay.sessions import CONFIG, FOLDER, OPTIONS, SESSIONS, record

RECORDINGS = [FOLDER / f"{name}.mitm" for name in SESSIONS]
A_YEAR_LATER = """
import sys, time
now = time.time
time.time = lambda: now() + 366 * 86400
import mitmproxy.http, route_addon.debug.replay_command  # imports may open what they like

def watch(event, args):
    if event.startswith(("socket.", "subprocess.", "os.exec", "os.fork")):
        raise SystemExit(f"{event} {args}")
    if event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+"):
        raise SystemExit(f"{event} {args}")

sys.addaudithook(watch)
from route_addon.cli import main
raise SystemExit(main(sys.argv[1:]))
"""


def _arguments(folder: Path, **changes: object) -> list[str]:
    """The options of the recorded router, as far as a judgement has to be told of them."""
    options = {"route_config": CONFIG, **OPTIONS, "route_acme_root": folder, **changes}
    return [word for name, value in options.items() for word in ("--set", f"{name}={value}")]


def _write_keys(folder: Path) -> dict[str, str]:
    """Keys that have verified nothing of what was recorded."""
    pair = KeyPair()
    files = {"route_signing_key": pair.public_pem, "route_payload_key": pair.private_pem}
    for name, pem in files.items():
        (folder / name).write_bytes(pem)
    return {name: str(folder / name) for name in files}


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda path: path.stem)
def test_recordings_of_the_project(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every recorded request is decided as it was."""
    status = main([str(recording), *_arguments(tmp_path)])
    report = capsys.readouterr().out
    assert status == 0, report
    assert re.search(r"^([0-9]+) flows: \1 same, 0 different$", report, re.MULTILINE)


def test_all_recordings_a_year_later_on_another_machine(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither that nor other keys change a line of the report; nor is anything sent or written."""
    words = ["replay", *map(str, RECORDINGS), *_arguments(tmp_path)]
    assert main(words[1:]) == 0
    here = capsys.readouterr().out
    keys = _write_keys(tmp_path)
    environment = {
        **os.environ,
        "TZ": "Pacific/Auckland",
        "JWT_DESKTOP_SIGNING_PUBLIC_KEY": keys["route_signing_key"],
        "JWT_DESKTOP_PAYLOAD_PRIVATE_KEY": "/no/such/key",
    }
    there = subprocess.run(
        [sys.executable, "-c", A_YEAR_LATER, *words],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert (there.returncode, there.stderr) == (0, "")
    assert there.stdout == here


NEW_TABLE = """
[[location]]
location = "/filer/x"
kind = "exact"
upstream = "pod:spawner_service"
token = ["cookie"]
host = "target:port"
"""


def test_changed_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What another table would have done with the traffic is told, and is the exit status."""
    table = tmp_path / "new.toml"
    table.write_text(CONFIG.read_text() + NEW_TABLE)
    ports = tomllib.loads(CONFIG.read_text())["ports"]
    old, new = ports["file_service"], ports["spawner_service"]
    assert main([str(FOLDER / "tokens.mitm"), *_arguments(tmp_path, route_config=table)]) == 1
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    by_cookie = lines.index(f"different 2 GET /filer/x /filer -> pod pod-1:{old}")
    assert lines[by_cookie + 1 : by_cookie + 10] == [
        "- location: /filer",
        "+ location: /filer/x",
        f"- port: {old}",
        f"+ port: {new}",
        f"- host: pod-1:{old}",
        f"+ host: pod-1:{new}",
        f"different 3 GET /filer/x /filer -> pod pod-2:{old}",
        f"- /filer -> pod pod-2:{old}",
        "+ /filer/x = 401 token_missing",
    ]
    assert lines[-1] == "25 flows: 13 same, 12 different"


def test_mitmdump(tmp_path: Path) -> None:
    """``mitmdump -nr`` says the same, with keys that are not the recording's."""
    options = {"route_config": CONFIG, **OPTIONS, "route_acme_root": tmp_path}
    recording = FOLDER / "tokens.mitm"
    command = Command(
        {**options, **_write_keys(tmp_path)}, arguments=("-nr", str(recording)), port=None
    )
    outcome = command.run()
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    assert len(re.findall(r"\] same +[0-9]+  ", outcome.stdout)) == 25
    changed = dataclasses.replace(command, options={**options, "route_ports": "file_service=1"})
    outcome = changed.run()
    assert outcome.returncode == 1
    assert re.search(r"\] different +1  GET /filer/x ", outcome.stdout)
    assert re.search(r"\] +- port: [0-9]+\n.*\] +\+ port: 1\n", outcome.stdout)
    assert "Traceback" not in outcome.stdout + outcome.stderr


def _damage(text: bytes) -> dict[str, bytes]:
    other = text.replace(b"7:version;1:1#", b"7:version;1:2#", 1)
    return {
        "at byte 0: ends within a flow": text[:1000],
        "at byte 0: is no flow file": b"text",
        "at byte 0: the decision of this flow is not of version 1": other,
        "holds no decision of the router": b"",
    }


@pytest.mark.parametrize("fault", _damage(b""))
def test_files_that_cannot_be_used(
    fault: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """They are refused as a whole, by name and place, and have a status of their own."""
    path = tmp_path / "damaged.mitm"
    path.write_bytes(_damage((FOLDER / "tokens.mitm").read_bytes())[fault])
    assert main([str(path), *_arguments(tmp_path)]) == 2
    out, err = capsys.readouterr()
    assert out == f"{path}\n"
    assert err.startswith(f"route-addon replay: {path}")
    assert fault in err


def test_damage_in_mitmdump(tmp_path: Path) -> None:
    """mitmproxy does not begin to read such a file."""
    path = tmp_path / "damaged.mitm"
    path.write_bytes((FOLDER / "tokens.mitm").read_bytes()[:-1])
    outcome = Command({}, arguments=("-nr", str(path)), port=None).run()
    assert outcome.returncode == 1
    assert re.search(r"damaged.mitm at byte [0-9]+: ends within a flow", outcome.stderr)
    assert "] same" not in outcome.stdout


def test_options_that_cannot_be_used(capsys: pytest.CaptureFixture[str]) -> None:
    """So are options: in one sentence."""
    for words in (["route_watch=x"], ["no_option=1"], ["route_config=/no/such/file"]):
        assert main(["x", "--set", *words]) == 2
        assert words[0].partition("=")[0] in capsys.readouterr().err


@pytest.mark.parametrize("name", SESSIONS)
def test_recording(
    name: str, tmp_path: Path, shared_fleet: Fleet, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is recorded now is decided again as it was, and tells of no token and no pod."""
    file = tmp_path / "flows.mitm"
    log = record(SESSIONS[name], file, shared_fleet, tmp_path)
    shared_fleet.forget()
    assert re.search(r"recorded [1-9][0-9]* flows in", log)
    assert "Traceback" not in log
    recorded = file.read_bytes()
    assert TOKEN.search(recorded) is None
    for address in (ALICE, BOB):
        # Bodies stay what they are, and the back ends tell their names in them.
        assert address.encode() not in recorded.replace(b" at " + address.encode(), b"")
    words = [f"--set={name}={value}" for name, value in shared_fleet.options.items()]
    assert main([str(file), *words, *_arguments(tmp_path, route_config="")]) == 0
    assert "0 different" in capsys.readouterr().out
