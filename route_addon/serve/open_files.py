"""How many files a process may have open, and has: a WebSocket takes two."""

import asyncio
import contextlib
import logging
import os
import resource
from pathlib import Path
from typing import Final

logger = logging.getLogger(__name__)

_FOLDER: Final = Path("/proc/self/fd")
_FEW: Final = 4096
_LOOK_EVERY_S: Final = 10.0
_SHORT: Final = 0.9
"""From this part of the limit on it is told that files run out."""


def raise_limit() -> int:
    """Have as many as the system lets a process have by itself: its hard limit.

    The soft one is 1024 in many a shell and container, for the sake of programs that use select().

    Returns:
        How many that is.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    if 0 <= soft < _FEW:
        logger.warning(
            "a worker may open %d files only, and a WebSocket takes two: raise the limit "
            "(ulimit -Hn, LimitNOFILE)",
            soft,
        )
    return soft


def count_open_files() -> int:
    """How many this process has open; 0 where the system does not tell."""
    try:
        # Linux 6.2 and later tell it by the folder's size: else tens of thousands would be listed.
        return _FOLDER.stat().st_size or len(os.listdir(_FOLDER))
    except OSError:
        return 0


class Shortage:
    """Tells when files run out: the loop does not, it closes whoever comes."""

    def __init__(self) -> None:
        self._is_told = False

    def watch(self) -> None:
        """Look from now on, as long as the loop runs."""
        self.look()
        asyncio.get_running_loop().call_later(_LOOK_EVERY_S, self.watch)

    def look(self) -> None:
        """Look, and tell it once."""
        used, most = count_open_files(), os.sysconf("SC_OPEN_MAX")
        is_short = used > _SHORT * most > 0
        if is_short and not self._is_told:
            logger.warning(
                "%d of %d files are open: clients will be turned away; raise the limit "
                "(ulimit -Hn, LimitNOFILE), or have more workers",
                used,
                most,
            )
        self._is_told = is_short
