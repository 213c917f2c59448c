"""The parent of the workers: starts them, starts others in the place of those that die, ends them.

Workers are forks of a process that has loaded everything and runs nothing: they share its memory,
and one takes another's place in a moment. They listen with the same sockets, so that what waits
in the queue outlives each of them. Signals are the parent's; workers take words from it over a
connection of their own, whose end tells them that it is gone.

It has no threads: what one of them held at a fork would be held for ever in the fork. Who needs
some, as the metrics do, is an attendant: a fork, too, which is there until the last worker is gone.
"""

import contextlib
import gc
import logging
import math
import os
import selectors
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Final, NamedTuple, NoReturn

logger = logging.getLogger(__name__)

DRAIN: Final = b"D"
RELOAD: Final = b"R"
READY: Final = b"r"
"""The words between the parent and a worker."""

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
_STEADY_S: Final = 10.0
"""Who lived so long is started again at once, as if it were the first time."""
_FIRST_WAIT_S: Final = 0.25
_LONGEST_WAIT_S: Final = 10.0


class Program(NamedTuple):
    """What a fork does."""

    name: str
    """What it is called in the log."""
    run: Callable[[socket.socket], int]
    """Does it, with the connection to the parent; returns the exit status."""
    sockets: Sequence[socket.socket]
    """What it listens with; others of the parent's are closed in it."""


class _Seat:
    """The place of one fork, whoever has it at the moment."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.pid = 0
        """0 while nobody has it."""
        self.control: socket.socket | None = None
        self.is_ready = False
        self.due = 0.0
        """When the next one is to be started."""
        self._began = 0.0
        self._deaths = 0

    def begin(self, pid: int, control: socket.socket) -> None:
        """Somebody has it."""
        self.pid, self.control, self.is_ready = pid, control, False
        self._began = time.monotonic()

    def end(self) -> None:
        """Nobody has it any more; settle when somebody else gets it."""
        now = time.monotonic()
        self.pid = 0
        if now - self._began > _STEADY_S:
            self._deaths = 0
        wait_s = min(_FIRST_WAIT_S * 2 ** (self._deaths - 1), _LONGEST_WAIT_S)
        self.due = now + (wait_s if self._deaths else 0.0)
        self._deaths += 1

    def miss(self) -> None:
        """Nobody could get it; settle when it is tried again."""
        self._began = time.monotonic()
        self.end()

    def say(self, word: bytes) -> None:
        """Tell the worker something. One that is gone needs not hear it."""
        if self.control is not None:
            with contextlib.suppress(OSError):
                self.control.send(word)

    def close(self) -> None:
        """Let the connection go."""
        if self.control is not None:
            self.control.close()
            self.control = None


class Supervisor:
    """Keeps workers running.

    Args:
        workers: What they do.
        attendants: What others do beside them, to the end of the last of them.
        ends_within_s: How long workers may take to end; who hangs longer is ended.
    """

    def __init__(
        self,
        workers: Sequence[Program],
        attendants: Sequence[Program] = (),
        ends_within_s: float = math.inf,
    ) -> None:
        self._ends_within_s = ends_within_s
        self._end = math.inf
        """When nobody may be left."""
        self._workers = [_Seat(program) for program in workers]
        self._attendants = [_Seat(program) for program in attendants]
        self._seats = [*self._workers, *self._attendants]
        self._selector = selectors.DefaultSelector()
        self._has_started = False
        self._is_ending = False
        self._status = 0

    def run(self) -> int:
        """Run until a signal ends it.

        Returns:
            The exit status: that of a worker which could not start, 1 where somebody was cut off,
            else 0.
        """
        # What is there now stays, and is not looked at again: a fork then shares it.
        gc.collect()
        gc.freeze()
        with self._receive_signals():
            for seat in self._seats:
                self._start(seat)
            while self._wait_s() is not None:
                for key, _ in self._selector.select(self._wait_s()):
                    key.data()
                self._reap()
                self._start_due()
                self._cut_late()
            self._dismiss()
        return self._status

    def _wait_s(self) -> float | None:
        """How long nothing will have to be done; None when all is done. Infinity is a minute."""
        waiting = [] if self._is_ending else [seat.due for seat in self._seats if not seat.pid]
        if not waiting and not any(seat.pid for seat in self._workers):
            return None
        return min(60.0, max(0.0, min([*waiting, self._end]) - time.monotonic()))

    @contextlib.contextmanager
    def _receive_signals(self) -> Iterator[None]:
        """Let signals wake the selector."""
        ours, theirs = socket.socketpair()
        for end in (ours, theirs):
            end.setblocking(False)
        with ours, theirs, self._selector:
            self._selector.register(ours, selectors.EVENT_READ, partial(self._read_signals, ours))
            signal.set_wakeup_fd(theirs.fileno())
            for number in _SIGNALS:
                signal.signal(number, lambda *ignored: None)
            yield
            signal.set_wakeup_fd(-1)

    def _read_signals(self, ours: socket.socket) -> None:
        for number in ours.recv(256):
            if number in (signal.SIGTERM, signal.SIGINT):
                self._begin_end()
            elif number == signal.SIGHUP:
                for seat in self._workers:
                    seat.say(RELOAD)

    def _begin_end(self) -> None:
        """The first signal drains; another one ends at once."""
        if self._is_ending:
            self._cut(1)
            return
        self._is_ending = True
        self._end = time.monotonic() + self._ends_within_s
        # Each worker still listens; the last one that stops closes the queue.
        for seat in self._workers:
            for sock in seat.program.sockets:
                sock.close()
            seat.say(DRAIN)

    def _dismiss(self) -> None:
        """Nobody is left whom attendants could be of use to, and they have nothing to lose."""
        for seat in self._attendants:
            if seat.pid:
                os.kill(seat.pid, signal.SIGKILL)
                os.waitpid(seat.pid, 0)

    def _cut(self, status: int) -> None:
        """End whoever is left, and all with this status."""
        self._is_ending = True
        self._status = self._status or status
        for seat in self._seats:
            if seat.pid:
                os.kill(seat.pid, signal.SIGKILL)

    def _cut_late(self) -> None:
        """End who has not ended in time: one that hangs, or that somebody has stopped."""
        late = [seat.pid for seat in self._workers if seat.pid]
        if late and time.monotonic() >= self._end:
            self._end = math.inf
            logger.error("workers that do not end are killed: %s", ", ".join(map(str, late)))
            self._cut(1)

    # Workers.

    def _start_due(self) -> None:
        now = time.monotonic()
        for seat in self._seats:
            if not self._is_ending and not seat.pid and seat.due <= now:
                self._start(seat)

    def _start(self, seat: _Seat) -> None:
        try:
            self._fork(seat)
        except OSError as error:
            # No memory, no processes or no files left: there may be some later.
            logger.error("no process for one more %s: %s", seat.program.name, error.strerror)
            seat.miss()
            if not self._has_started:
                self._cut(1)

    def _fork(self, seat: _Seat) -> None:
        ours, its = socket.socketpair()
        ours.setblocking(False)
        # A signal between the fork and the child's own handlers would reach the parent twice.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        try:
            pid = os.fork()
            if not pid:
                ours.close()
                self._become(seat, its, mask)
        except OSError:
            ours.close()
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            its.close()
        seat.begin(pid, ours)
        self._selector.register(ours, selectors.EVENT_READ, partial(self._hear, seat, ours))

    def _become(
        self, own: _Seat, control: socket.socket, mask: set[int | signal.Signals]
    ) -> NoReturn:
        """Do what is done there from here on, to the end of the process."""
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            for number in _SIGNALS:
                signal.signal(number, signal.SIG_DFL)
            # These come from a terminal to all of the group: the parent passes them on.
            for number in (signal.SIGINT, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            self._selector.close()
            for seat in self._seats:
                seat.close()
                for sock in seat.program.sockets:
                    if sock not in own.program.sockets:
                        sock.close()
            status = own.program.run(control)
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 1
        except BaseException:
            traceback.print_exc()
        finally:
            _flush()
            # Nothing of the parent's is to be ended here.
            os._exit(status)

    def _hear(self, seat: _Seat, control: socket.socket) -> None:
        """A worker says something, or is gone."""
        said = b""
        with contextlib.suppress(OSError):
            said = control.recv(16)
        if not said:
            self._selector.unregister(control)
            control.close()
            return
        seat.is_ready = True
        if self._has_started:
            logger.info("%s %d is ready", seat.program.name, seat.pid)
        elif all(one.is_ready for one in self._workers):
            self._has_started = True
            pids = ", ".join(str(one.pid) for one in self._workers)
            count = len(self._workers)
            are = "workers are" if count > 1 else "worker is"
            logger.info("%d %s ready: %s", count, are, pids)

    def _reap(self) -> None:
        """See who has ended. As a container's first process it gets the orphans, too."""
        while any(seat.pid for seat in self._seats):
            pid, raw = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            for seat in self._seats:
                if seat.pid == pid:
                    self._lose(seat, os.waitstatus_to_exitcode(raw))

    def _lose(self, seat: _Seat, code: int) -> None:
        name, pid = seat.program.name, seat.pid
        seat.end()
        if self._is_ending:
            self._status = self._status or int(code != 0 and seat in self._workers)
        elif not self._has_started:
            logger.error("%s %d ended at its start: %s", name, pid, _describe(code))
            self._cut(code if code > 0 else 1)
        else:
            wait_s = max(0.0, seat.due - time.monotonic())
            logger.warning(
                "%s %d ended: %s; another one starts in %.2f s", name, pid, _describe(code), wait_s
            )


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        # There is none where it was closed before the start.
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.flush()


def _describe(code: int) -> str:
    if code < 0:
        # Nobody else sends it unasked.
        hint = " (out of memory?)" if -code == signal.SIGKILL else ""
        return f"by {signal.Signals(-code).name}{hint}"
    return f"with status {code}"
