"""The unit for systemd, as far as systemd itself checks it; this machine need not run one."""

import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from route_addon.options import OPTIONS
from tests.e2e.certificates import make_certificate

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


WITHOUT_EXECUTABLE_MEMORY = """
import ctypes, os, sys
PR_SET_MDWE, MDWE_REFUSE_EXEC_GAIN = 65, 1
if ctypes.CDLL(None).prctl(PR_SET_MDWE, MDWE_REFUSE_EXEC_GAIN, 0, 0, 0):
    sys.exit("this kernel cannot deny it")
os.execv(sys.argv[1], sys.argv[1:])
"""


def test_a_certificate_can_be_used(key_options: Mapping[str, str], tmp_path: Path) -> None:
    """Memory that is written is executed, too, where OpenSSL calls us: nothing may deny that."""
    certificate = tmp_path / "certificate.pem"
    certificate.write_bytes(make_certificate())
    options = {**key_options, "route_certs": certificate}
    words = [sys.executable, "-c", WITHOUT_EXECUTABLE_MEMORY]
    words += [sys.executable, "-m", "route_addon", "check"]
    words += [word for name, value in options.items() for word in ("--set", f"{name}={value}")]
    is_needed = _run(*words).returncode != 0
    is_denied = "\nMemoryDenyWriteExecute=yes" in UNIT.read_text("utf-8")
    assert not (is_needed and is_denied)
