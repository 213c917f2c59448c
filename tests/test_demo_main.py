"""The whole demo as a process: it starts, checks itself, stops, and says what is wrong."""

import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.__main__ import parse_arguments
from demo.listen import bind
from demo.pods import CONTAINER_PORT, addresses
from demo.router import Router
from demo.tour import TOUR

ROOT = Path(__file__).parent.parent
COMMAND = [sys.executable, "-m", "demo"]


@pytest.fixture
def demo() -> Iterator[subprocess.Popen[str]]:
    """A demo that is starting, on a free port."""
    with subprocess.Popen(
        [*COMMAND, "--port", "0"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        # Whoever runs the tests by nohup lets them, and it, ignore SIGHUP.
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
    ) as process:
        yield process
        process.terminate()


def read_until_ready(process: subprocess.Popen[str]) -> str:
    """Read what it says, up to the line on Ctrl-C."""
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if "Ctrl-C" in line:
            return said
    raise AssertionError(said)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_stops_all_of_it(demo: subprocess.Popen[str], number: signal.Signals) -> None:
    """The exit status is 0; no port is held, and no folder is left."""
    said = read_until_ready(demo)
    url, folder = re.search(r"open in a browser +(\S+)", said), re.search(r"keys +(\S+)", said)
    assert url and folder
    with urllib.request.urlopen(url[1]) as page:
        assert b"<title>route_addon" in page.read()
    demo.send_signal(number)
    assert demo.wait(20) == 0
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(url[1])
    assert not Path(folder[1]).exists()
    for address in addresses():
        bind(address, CONTAINER_PORT).close()


def test_check_walks_every_location() -> None:
    """Everything is as it has to be, and the table says so."""
    answer = subprocess.run(
        [*COMMAND, "--check"], cwd=ROOT, capture_output=True, text=True, timeout=90, check=False
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    listed = {line.split(" ")[0] for line in answer.stdout.splitlines()}
    assert listed >= {stop.location for stop in TOUR}


@pytest.mark.parametrize("address", addresses())
def test_taken_port_is_one_clear_sentence(address: str) -> None:
    """Which one it is, and what may have it; no traceback."""
    with bind(address, CONTAINER_PORT):
        answer = subprocess.run(
            [*COMMAND, "--check"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
        )
    where = f"[{address}]" if ":" in address else address
    assert answer.returncode == 1
    assert answer.stderr == (
        f"scripts/demo: {where}:{CONTAINER_PORT} is taken\n"
        "Is another demo running? Only one runs at a time.\n"
    )


@pytest.mark.parametrize(
    "words",
    [["--port", "65536"], ["--port", "x"], ["--token-life", "0"], ["--token-life", "nan"]],
)
def test_bad_argument_is_refused(words: list[str]) -> None:
    """By the parser of the command line."""
    with pytest.raises(SystemExit):
        parse_arguments(words)


@pytest.mark.parametrize(
    ("listen", "is_local"),
    [
        ("127.0.0.1", True),
        ("127.3.2.1", True),
        ("::1", True),
        ("localhost", True),
        ("", False),
        ("0.0.0.0", False),
        ("::", False),
        ("192.0.2.7", False),
        ("myhost", False),
    ],
)
def test_router_knows_who_can_reach_it(listen: str, is_local: bool, tmp_path: Path) -> None:
    """Where others can, the demo warns."""
    assert Router(listen, 8080, {}, tmp_path).is_local is is_local
