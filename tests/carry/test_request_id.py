"""Fresh request identifiers."""

import re
import subprocess
import sys

from route_addon.carry.request_id import make_request_id


def test_fresh() -> None:
    """Each is another one, of characters that every log and header takes."""
    made = [make_request_id() for _ in range(1000)]
    assert len(set(made)) == 1000
    assert all(re.fullmatch(rb"[0-9a-f]{24}", one) for one in made)


FORKS = """
import os
from route_addon.carry.request_id import make_request_id
for _ in range(3):
    if not os.fork():
        break
os.write(1, make_request_id() + b"\\n")
"""


def test_forks() -> None:
    """Workers are forks of one process, and none makes what another does."""
    done = subprocess.run([sys.executable, "-c", FORKS], stdout=subprocess.PIPE, check=True)
    made = done.stdout.split()
    assert (len(made), len(set(made))) == (4, 4)
