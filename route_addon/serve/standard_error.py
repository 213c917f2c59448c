"""Standard error, written to without waiting for whoever reads it."""

import os
import select
import stat
from typing import Final

_PIECE_BYTES: Final = select.PIPE_BUF
"""What a pipe takes as a whole, or not at all (POSIX)."""


class StandardError:
    """What the log is written to: what nobody takes at once is lost, and that is told later.

    A refusal is a line, and anybody can have himself refused: were there a wait for a reader that
    does not read, everybody would wait.

    Args:
        descriptor: Standard error's.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = _open_anew(descriptor)
        self._room = select.poll()
        self._room.register(self._descriptor, select.POLLOUT)
        self._lost = 0

    def write(self, text: str) -> None:
        """Write a line, or lose it."""
        if self._lost and self._put(b"%d lines are missing here: nobody took them\n" % self._lost):
            self._lost = 0
        if self._lost or not self._put(text.encode("utf-8", "backslashreplace")):
            self._lost += 1

    def flush(self) -> None:
        """Nothing waits."""

    def _put(self, data: bytes) -> bool:
        """Write it.

        Returns:
            Whether all of it was taken.
        """
        view = memoryview(data)
        try:
            while view and self._room.poll(0):
                view = view[os.write(self._descriptor, view[:_PIECE_BYTES]) :]
        except OSError:
            return False
        return not view


def _open_anew(descriptor: int) -> int:
    """The same pipe, in a way of our own that never waits; else the descriptor itself.

    Others have theirs of the same pipe, and want to wait. A pipe that another user has made cannot
    be opened: then one write in the very moment in which another fills it may wait.
    """
    if not stat.S_ISFIFO(os.fstat(descriptor).st_mode):
        return descriptor
    try:
        flags = os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC
        return os.open(f"/proc/self/fd/{descriptor}", flags)
    except OSError:
        return descriptor
