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
