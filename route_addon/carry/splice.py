"""The rest of a long answer, moved from a server's socket to a client's inside the kernel.

What nobody here has to see, compress, frame or encrypt is not copied into this process and out
of it again (splice(2)): that spares half of the time that it costs. The end of the answer comes
in the usual way again, and so does whatever a server says or does that is not more of it: when
an answer is whole, and what its connections are good for then, is said in one place.
"""

import asyncio
import contextlib
import fcntl
import os
from collections.abc import Callable
from typing import Final, Protocol

from route_addon.carry.reading import READ_BYTES

LEAST_BYTES: Final = 512 * 1024
"""What is shorter costs no less so: a pipe has to be made."""
MOST_AT_ONCE: Final = 64
"""All others go the usual way: each of these takes four descriptors, and of the memory for pipes
that an ordinary user gets (pipe(7), pipe-user-pages-soft)."""
_BLOCK_BYTES: Final = 256 * 1024
"""A quarter dearer are 64 KiB, a tenth cheaper is a MiB; a client that reads slowly holds one."""
_BLOCKS_AT_ONCE: Final = 4
_IS_POSSIBLE: Final = hasattr(os, "splice")
"""Linux has it."""


class Source(Protocol):
    """The server's side, which reads nothing itself meanwhile."""

    def lend_socket(self) -> int | None:
        """A descriptor to read from; to be closed. None where what comes has to be decrypted."""

    def skip(self, size: int) -> None:
        """So many bytes of the content went to the client."""

    def take_back(self) -> None:
        """Read on: no more is moved past you."""

    def guard(self, call: Callable[[], None]) -> None:
        """Call; a fault of ours refuses the request, or cuts its answer."""


class Sink(Protocol):
    """The client's side, which writes nothing itself meanwhile."""

    def lend_socket(self) -> int | None:
        """A descriptor to write to; to be closed. None where there is more to do than to write."""

    def pause_writing(self) -> None:
        """The client does not read fast enough."""

    def resume_writing(self) -> None:
        """It does again."""

    def abort(self) -> None:
        """Nothing can be written any more: the client is gone."""


class Splice:
    """One answer's way through a pipe. Nothing is read before what was read last is written.

    Args:
        source: The server's side.
        sink: The client's side.
        size: How much to move, in bytes.
        descriptors: To read from, to write to, and the pipe's two.
        opened: Closes them; from now on this does.
    """

    def __init__(
        self,
        source: Source,
        sink: Sink,
        size: int,
        descriptors: tuple[int, int, int, int],
        opened: contextlib.ExitStack,
    ) -> None:
        self._source = source
        self._sink = sink
        self._left = size
        self._held = 0
        self._from, self._to, self._outlet, self._inlet = descriptors
        self._is_open = True
        self._loop = asyncio.get_running_loop()
        self._read_on()
        self._opened = opened.pop_all()

    def _read_on(self) -> None:
        self._loop.add_reader(self._from, self._source.guard, self._read)

    def _read(self) -> None:
        """Take what the server has sent, and pass it on; then it is the turn of others."""
        for _ in range(_BLOCKS_AT_ONCE):
            if not self._pass_block():
                return
        # libuv polls no more once a connection was reset, though there is more to read.
        self._loop.remove_reader(self._from)
        self._read_on()

    def _pass_block(self) -> bool:
        """Pass one block on.

        Returns:
            Whether there may be more at once.
        """
        try:
            self._held = _move(self._from, self._inlet, min(self._left, _BLOCK_BYTES))
        except BlockingIOError:
            return False
        except OSError:
            self._held = 0
        self._left -= self._held
        if not self._held:
            # It has ended, or is lost: its transport finds out how.
            self._end()
        elif self._write():
            self._end_when_done()
        elif self._is_open:
            self._loop.remove_reader(self._from)
            self._loop.add_writer(self._to, self._source.guard, self._write_more)
            self._sink.pause_writing()
            return False
        return self._is_open

    def _write_more(self) -> None:
        """The client takes more."""
        if self._write():
            self._loop.remove_writer(self._to)
            self._read_on()
            self._end_when_done()
            self._sink.resume_writing()

    def _write(self) -> bool:
        """Write what the pipe holds.

        Returns:
            Whether that was all: not while the client takes no more, or when it is gone.
        """
        while self._held:
            try:
                moved = _move(self._outlet, self._to, self._held)
            except BlockingIOError:
                return False
            except OSError:
                self.let_go()
                self._sink.abort()
                return False
            self._held -= moved
            self._source.skip(moved)
        return True

    def _end_when_done(self) -> None:
        if not self._left:
            self._end()

    def _end(self) -> None:
        self.let_go()
        self._source.take_back()

    def let_go(self) -> None:
        """Move nothing more."""
        if self._is_open:
            self._is_open = False
            self._loop.remove_reader(self._from)
            self._loop.remove_writer(self._to)
            self._opened.close()


def start_splice(source: Source, sink: Sink, left: int) -> Splice | None:
    """Move the rest of an answer but for its end, from now on.

    Args:
        source: The server's side.
        sink: The client's side.
        left: How many bytes of the content are yet to come.

    Returns:
        None where that cannot be, or is not worth it.
    """
    if not _IS_POSSIBLE or left < LEAST_BYTES:
        return None
    with contextlib.suppress(OSError), contextlib.ExitStack() as opened:
        to = _borrow(sink, opened)
        origin = _borrow(source, opened) if to is not None else None
        if to is not None and origin is not None:
            descriptors = (origin, to, *_make_pipe(opened))
            return Splice(source, sink, left - READ_BYTES, descriptors, opened)
    return None


def _borrow(side: Source | Sink, opened: contextlib.ExitStack) -> int | None:
    descriptor = side.lend_socket()
    if descriptor is not None:
        opened.callback(os.close, descriptor)
    return descriptor


def _make_pipe(opened: contextlib.ExitStack) -> tuple[int, int]:
    ends = os.pipe()
    for end in ends:
        opened.callback(os.close, end)
    # Who has many pipes already gets a smaller one.
    with contextlib.suppress(OSError):
        fcntl.fcntl(ends[0], fcntl.F_SETPIPE_SZ, _BLOCK_BYTES)
    return ends


def _move(source: int, sink: int, size: int) -> int:
    return os.splice(source, sink, size, flags=os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK)
