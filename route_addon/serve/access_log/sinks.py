"""Where lines go: a file that may be rotated under our hands, or standard output."""

import os
import select
import stat
import sys
from typing import Final, Protocol

_FLAGS: Final = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
"""Not to wait in ``open``: the path may be a FIFO that nobody reads."""
_MODE: Final = 0o640
_PATIENCE_S: Final = 1.0
"""How long a pipe may be full, where writing does not wait by itself."""
STDOUT: Final = 1


_FILE_BYTES: Final = 256 * 1024


class Sink(Protocol):
    """Takes lines."""

    batch_bytes: int
    """How much to write at once. What others write into the same pipe comes between two writes,
    but never into one of this size (POSIX's PIPE_BUF); a file is appended to as a whole."""

    def write(self, lines: bytes) -> None:
        """Write whole lines.

        Raises:
            OSError: They are lost, or a part of them is.
        """

    def close(self) -> None:
        """No more will come."""


class StandardOutput:
    """The process's standard output, as it is when this is made.

    Its descriptor is copied: whoever closes the stream makes room for another file, or a client.
    """

    def __init__(self) -> None:
        self._descriptor = os.dup(STDOUT) if sys.stdout is not None else None
        self.batch_bytes = _batch_bytes(self._descriptor)

    def write(self, lines: bytes) -> None:
        """Write whole lines.

        Raises:
            OSError: It is closed, or nobody reads it.
        """
        if self._descriptor is None:
            raise BrokenPipeError
        _write_all(self._descriptor, lines)

    def close(self) -> None:
        """Close the copy."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


class LogFile:
    """A file that is appended to, and opened anew when it was moved away, as logrotate does.

    Args:
        path: The file.

    Raises:
        OSError: It cannot be opened.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._is_torn = False
        self._descriptor: int | None = os.open(path, _FLAGS, _MODE)
        self.batch_bytes = _batch_bytes(self._descriptor)

    def write(self, lines: bytes) -> None:
        """Write whole lines.

        Raises:
            OSError: The disk is full, or the file cannot be opened any more.
        """
        if self._descriptor is None or self._is_moved(self._descriptor):
            self.close()
            self._descriptor = os.open(self._path, _FLAGS, _MODE)
        if self._is_torn:
            # A part of a line came through before the disk was full.
            lines = b"\n" + lines
        self._is_torn = True
        _write_all(self._descriptor, lines)
        self._is_torn = False

    def close(self) -> None:
        """Close the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _is_moved(self, descriptor: int) -> bool:
        try:
            return not os.path.samestat(os.stat(self._path), os.fstat(descriptor))
        except FileNotFoundError:
            return True


def open_sink(path: str) -> Sink:
    """The file of that name, or standard output for an empty one.

    Raises:
        OSError: It cannot be opened.
    """
    return LogFile(path) if path else StandardOutput()


def _batch_bytes(descriptor: int | None) -> int:
    mode = os.fstat(descriptor).st_mode if descriptor is not None else 0
    # A terminal takes one write at a time, like a file.
    is_whole = stat.S_ISREG(mode) or stat.S_ISCHR(mode)
    return _FILE_BYTES if is_whole else select.PIPE_BUF


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except BlockingIOError:
            if not select.select((), (descriptor,), (), _PATIENCE_S)[1]:
                raise
