"""How many files a worker may have open."""

import subprocess
import sys

import pytest

CODE = "from route_addon.serve.open_files import raise_limit; print(raise_limit())"


@pytest.mark.parametrize(("hard", "is_told"), [(2048, True), (4096, False)])
def test_as_many_as_there_are(hard: int, is_told: bool) -> None:
    """The soft limit of a shell is no bound; that the hard one is low is told."""
    limited = f'ulimit -Sn 512; ulimit -Hn {hard}; exec "$@"'
    done = subprocess.run(
        ["bash", "-c", limited, "bash", sys.executable, "-c", CODE],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"{hard}\n"
    assert (f"may open {hard} files only" in done.stderr) == is_told


RUN_OUT = """
import os
from route_addon.serve.open_files import Shortage, count_open_files
shortage, opened = Shortage(), []
shortage.look()
print(count_open_files() < 58)
while count_open_files() < 58:
    opened.append(os.dup(0))
shortage.look()
shortage.look()
for one in opened:
    os.close(one)
shortage.look()
"""


def test_they_run_out() -> None:
    """It is told once, when nine of ten are open, with the remedy."""
    done = subprocess.run(
        ["bash", "-c", 'ulimit -n 64; exec "$@"', "bash", sys.executable, "-c", RUN_OUT],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "True\n"
    assert done.stderr.count("of 64 files are open: clients will be turned away; raise the") == 1
