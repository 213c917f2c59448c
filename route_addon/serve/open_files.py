"""How many files a process may have open: a WebSocket takes two."""

import contextlib
import logging
import resource
from typing import Final

logger = logging.getLogger(__name__)

_FEW: Final = 4096


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
