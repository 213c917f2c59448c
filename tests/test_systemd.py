"""The unit for systemd, as far as systemd itself checks it; this machine need not run one."""

import shutil
import subprocess
from pathlib import Path

import pytest

from route_addon.options import OPTIONS

UNIT = Path(__file__).parents[1] / "deploy" / "systemd" / "route-addon.service"
MOST_EXPOSED = 20
"""What ``systemd-analyze security`` calls 2.0 of 10."""


@pytest.fixture
def analyze() -> str:
    """The program that checks units."""
    path = shutil.which("systemd-analyze")
    if path is None:
        pytest.skip("systemd-analyze is not there, so the unit is not checked")
    return path


def _run(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(words, capture_output=True, text=True, check=False)


def test_the_unit_is_valid(analyze: str, tmp_path: Path) -> None:
    """Every directive is known; the program stands where it does on this machine."""
    text = UNIT.read_text("utf-8")
    program = "/opt/route-addon/bin/route-addon"
    assert f"ExecStart={program} serve\n" in text
    unit = tmp_path / UNIT.name
    unit.write_text(text.replace(program, "/bin/true"))
    outcome = _run(analyze, "verify", str(unit))
    assert (outcome.returncode, outcome.stderr.strip()) == (0, "")


def test_the_unit_is_hardened(analyze: str) -> None:
    """What it leaves open is little, by systemd's own measure."""
    outcome = _run(
        analyze,
        "security",
        "--offline=true",
        f"--threshold={MOST_EXPOSED}",
        "--no-pager",
        str(UNIT),
    )
    assert outcome.returncode == 0, outcome.stdout


def test_its_environment() -> None:
    """Every name is one that an option knows."""
    known = {name for option in OPTIONS for name in option.environment_names}
    lines = [
        line for line in UNIT.read_text("utf-8").splitlines() if line.startswith("Environment=")
    ]
    words = " ".join(line.removeprefix("Environment=") for line in lines).split()
    names = {word.partition("=")[0] for word in words}
    assert {"ROUTE_SIGNING_KEY", "ROUTE_PAYLOAD_KEY"} <= names <= known | {"PYTHONUNBUFFERED"}
