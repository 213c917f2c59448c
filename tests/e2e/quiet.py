"""Whether processes still have anything to do, as the kernel sees it.

A router that sleeps has handled every byte that has come to it: loopback delivers at once, and who
is given something wakes. So a test need not guess how long the work of the one before may last.
"""

import contextlib
import os
import threading
import time
from pathlib import Path

SETTLE_S = 1.0
_STEP_S = 0.001
_QUIET_READINGS = 2
"""A thread that waits for the interpreter's lock seems to sleep, but not twice in a row."""


def is_busy(pid: int) -> bool:
    """Whether a thread of a process, or of one that it started, has anything to do.

    The thread that asks does not count.
    """
    with contextlib.suppress(OSError):  # it has ended
        for task in Path(f"/proc/{pid}/task").iterdir():
            state = (task / "stat").read_bytes().rpartition(b") ")[2][:1]
            children = (task / "children").read_text().split()
            is_asking = int(task.name) == threading.get_native_id()
            if (state in b"RD" and not is_asking) or any(is_busy(int(child)) for child in children):
                return True
    return False


def settle(pid: int = os.getpid()) -> None:
    """Wait until a process and all that it started have nothing to do, but not for long.

    Args:
        pid: The process; else this one, with its back ends' threads and the routers it started.
    """
    end = time.monotonic() + SETTLE_S
    readings = 0
    while readings < _QUIET_READINGS and time.monotonic() < end:
        readings = 0 if is_busy(pid) else readings + 1
        if readings < _QUIET_READINGS:
            time.sleep(_STEP_S)
