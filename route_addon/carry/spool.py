"""Collected bodies: small ones in memory, larger ones in an unlinked file, all of them bounded."""

import asyncio
import os
import tempfile
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

from route_addon.carry.faults import describe_refusal
from route_addon.core.errors import RouteError, SpoolFull

MEMORY_BYTES: Final = 64 * 1024
"""Up to this a body stays in memory."""
BLOCK_BYTES: Final = 512 * 1024
"""The largest block that is written, or read back, at once: with each the threads are asked once.
A body waits in memory for no larger block than what its file holds already."""
MOST_HELD_BYTES: Final = 8 * 2**20
"""While all bodies hold more than this in memory, blocks stay small."""
_MAX_PIECES: Final = 256
"""What comes in more pieces is joined before it is written (the kernel's IOV_MAX is 1024)."""
_SEND_BYTES: Final = 4 * 2**20
"""How much of one body a thread sends before it looks to others."""
_THREADS: Final = 4
"""Disks stall: their work is done beside the loop."""


class Spools:
    """All collected bodies of this process.

    Args:
        folder: Where the files are made.
        max_bytes: What all files together may hold.
    """

    def __init__(self, folder: str, max_bytes: int) -> None:
        self.folder = ""
        self.max_bytes = 0
        self.used_bytes = 0
        """What the files of all bodies hold now."""
        self.held_bytes = 0
        """What all bodies hold in memory while they are collected."""
        self.configure(folder, max_bytes)
        self.executor = ThreadPoolExecutor(_THREADS, thread_name_prefix="spool")

    def configure(self, folder: str, max_bytes: int) -> None:
        """Take new settings, for the bodies that come."""
        self.folder = folder or tempfile.gettempdir()
        self.max_bytes = max_bytes

    def open(self) -> "Spool":
        """A place for one body."""
        return Spool(self)

    def hold(self, content: bytes) -> "Spool":
        """A body that somebody has in memory already, and wants sent."""
        spool = Spool(self)
        spool.hold(content)
        return spool

    def close(self) -> None:
        """Let the threads go."""
        self.executor.shutdown(wait=False, cancel_futures=True)


class Spool:
    """One collected body. Written whole, then read whole, once or again, then closed.

    Args:
        spools: All of them, for the bound.
    """

    def __init__(self, spools: Spools) -> None:
        self.size = 0
        """How many bytes were written."""
        self._spools = spools
        self._pieces: list[bytes] = []
        self._held = 0
        self._filed = 0
        self._file: int | None = None
        self._offset = 0
        self.is_busy = False
        """Whether a block is being written or read."""
        self._is_closed = False

    @property
    def is_in_memory(self) -> bool:
        """Whether the whole body is in memory."""
        return self._file is None

    def write(self, pieces: list[bytes], done: Callable[[RouteError | None], None]) -> bool:
        """Add content.

        Args:
            pieces: What arrived.
            done: Told when it is on the disk, or why it is not; only when this returns False.

        Returns:
            True when it was taken at once. Else write nothing more before ``done`` is called.

        Raises:
            SpoolFull: The bound is used up.
        """
        spools = self._spools
        if not self._pieces:
            # The last block is on the disk.
            self._forget_held()
        self._pieces += pieces
        added = sum(map(len, pieces))
        self._held += added
        self.size += added
        spools.held_bytes += added
        if self._held <= MEMORY_BYTES or self._held <= self._next_block_bytes:
            return True
        if spools.used_bytes + self._held > spools.max_bytes:
            raise SpoolFull("route_spool_bytes")
        spools.used_bytes += self._held
        self._filed += self._held
        block, self._pieces = self._pieces, []
        self._submit(lambda: self._write_block(block), lambda _, error: done(error))
        return False

    @property
    def _next_block_bytes(self) -> int:
        is_much_held = self._spools.held_bytes > MOST_HELD_BYTES
        return 0 if is_much_held else min(self._filed, BLOCK_BYTES)

    def _forget_held(self) -> None:
        self._spools.held_bytes -= self._held
        self._held = 0

    def hold(self, content: bytes) -> None:
        """Take the whole body at once; it stays in memory."""
        self._pieces = [content]
        self.size = len(content)

    @property
    def rest(self) -> bytes:
        """The body, or the end of it that is not in the file."""
        return b"".join(self._pieces)

    def rewind(self) -> None:
        """Read it from its beginning again."""
        self._offset = 0

    def read(
        self, done: Callable[[bytes, RouteError | None], None], socket: int | None = None
    ) -> None:
        """Read the next block of the file, after a socket has taken what it takes at once.

        Args:
            done: Gets the block; no bytes at the file's end.
            socket: A descriptor to send to, and to close: it is sent to past our memory.
        """

        def read() -> bytes:
            if socket is None:
                return self._read_block(BLOCK_BYTES)
            self._send(socket)
            return self._read_block(MEMORY_BYTES)

        self._submit(read, lambda block, error: done(block or b"", error))

    def close(self) -> None:
        """Give the room back."""
        if self._is_closed:
            return
        self._is_closed = True
        self._pieces = []
        self._forget_held()
        if not self.is_busy:
            self._close_file()

    def _write_block(self, pieces: list[bytes]) -> None:
        if self._file is None:
            self._file = _open_unlinked(self._spools.folder)
        if len(pieces) > _MAX_PIECES:
            pieces = [b"".join(pieces)]
        written = os.writev(self._file, pieces)
        view = memoryview(b"".join(pieces) if written < sum(map(len, pieces)) else b"")[written:]
        while view:
            view = view[os.write(self._file, view) :]

    def _read_block(self, size: int) -> bytes:
        assert self._file is not None
        block = os.pread(self._file, size, self._offset)
        self._offset += len(block)
        return block

    def _send(self, socket: int) -> None:
        """Send of the file what the socket takes at once.

        One that is lost takes nothing more: who sends it the next block hears of that.
        """
        assert self._file is not None
        until = self._offset + _SEND_BYTES
        try:
            while sent := os.sendfile(socket, self._file, self._offset, until - self._offset):
                self._offset += sent
        except (BlockingIOError, ConnectionError):
            pass
        finally:
            os.close(socket)

    def _submit[T](
        self, work: Callable[[], T], done: Callable[[T | None, RouteError | None], None]
    ) -> None:
        loop = asyncio.get_running_loop()
        self.is_busy = True

        def finish(future: Future[T]) -> None:
            if future.cancelled():
                return
            self.is_busy = False
            if self._is_closed:
                self._close_file()
                return
            fault = future.exception()
            if fault is None:
                done(future.result(), None)
            else:
                done(None, SpoolFull(describe_refusal(fault)))

        future = self._spools.executor.submit(work)
        future.add_done_callback(lambda ended: loop.call_soon_threadsafe(finish, ended))

    def _close_file(self) -> None:
        self._spools.used_bytes -= self._filed
        self._filed = 0
        file, self._file = self._file, None
        if file is not None:
            # A large file's blocks are not given back at once, and the loop must not wait.
            try:
                self._spools.executor.submit(os.close, file)
            except RuntimeError:  # the threads have gone: so will the process
                os.close(file)


def _open_unlinked(folder: str) -> int:
    """A file that has no name: it is gone with its descriptor, however the process ends."""
    try:
        return os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError:
        # A file system that knows no O_TMPFILE.
        descriptor, path = tempfile.mkstemp(dir=folder)
        os.unlink(path)
        return descriptor
