"""The parent of the workers, with workers that do nothing but live and die."""

import resource
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

PROGRAM = """
import logging, os, signal, socket, sys, time
from functools import partial
from route_addon.serve.supervisor import DRAIN, READY, RELOAD, Program, Supervisor
from route_addon.config.workers import Worker

logging.basicConfig(level=logging.INFO)

def say(text):
    os.write(1, f"{text}\\n".encode())

def run(worker, control):
    say(f"start {worker.index}")
@BODY@

def attend(control):
@ATTEND@

listener = socket.create_server(("127.0.0.1", 0))
own = socket.create_server(("127.0.0.1", 0))
workers = [Program("worker", partial(run, Worker(index, 2)), [listener]) for index in range(2)]
sys.exit(Supervisor(workers, [Program("attendant", attend, [own])], ends_within_s=@WITHIN_S@).run())
"""

OBEY = """
    control.send(READY)
    while word := control.recv(1):
        say(f"{worker.index} hears {word.decode()}")
        if word == DRAIN:
            return 0
    say(f"{worker.index} is alone")
    return 0
"""


class Parent:
    """A parent that runs.

    Args:
        body: What its workers do.
        attend: What their attendant does.
        within_s: How long the end may take.
    """

    def __init__(self, body: str, attend: str = "control.recv(1)", *, within_s: float = 60) -> None:
        body, attend = (textwrap.indent(textwrap.dedent(one), "    ") for one in (body, attend))
        program = PROGRAM.replace("@BODY@", body).replace("@ATTEND@", attend)
        self._process = subprocess.Popen(
            [sys.executable, "-c", program.replace("@WITHIN_S@", str(within_s))],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def read(self, *lines: str) -> None:
        """Read lines, in any order."""
        assert self._process.stdout is not None
        read = [self._process.stdout.readline().strip() for _ in lines]
        assert sorted(read) == sorted(lines)

    def wait_until_ready(self) -> None:
        """Wait until it has heard of all workers."""
        self.wait_until_told("are ready")

    def wait_until_told(self, text: str) -> None:
        """Wait for a line of its log."""
        assert self._process.stderr is not None
        while text not in (line := self._process.stderr.readline()):
            assert line, "it has ended"

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def limit_files(self, most: int) -> None:
        """Let it have so many open files at most."""
        _, hard = resource.prlimit(self._process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(self._process.pid, resource.RLIMIT_NOFILE, (most, hard))

    def end(self) -> tuple[int, str, str]:
        """Wait for its end.

        Returns:
            Exit status, output and errors.
        """
        out, errors = self._process.communicate(timeout=20)
        return self._process.returncode, out, errors


def test_words() -> None:
    """Workers hear of a reload and of the end; then the parent ends with status 0."""
    parent = Parent(OBEY)
    parent.read("start 0", "start 1")
    parent.signal(signal.SIGHUP)
    parent.read("0 hears R", "1 hears R")
    parent.signal(signal.SIGTERM)
    assert parent.end()[0] == 0


def test_another_signal() -> None:
    """The second one ends those who do not end by themselves."""
    parent = Parent(
        """
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        control.send(READY)
        while word := control.recv(1):
            say(f"{worker.index} hears {word.decode()}")
        """
    )
    parent.read("start 0", "start 1")
    parent.signal(signal.SIGINT)
    parent.read("0 hears D", "1 hears D")
    parent.signal(signal.SIGTERM)
    assert parent.end()[0] == 1


def test_a_worker_that_hangs() -> None:
    """One that somebody has stopped is killed when its time is over, and that is no good end."""
    parent = Parent(
        """
        control.send(READY)
        if worker.index == 1:
            os.kill(os.getpid(), signal.SIGSTOP)
        while control.recv(1) != DRAIN:
            pass
        say("drained")
        return 0
        """,
        within_s=3,
    )
    parent.read("start 0", "start 1")
    parent.signal(signal.SIGTERM)
    status, out, errors = parent.end()
    assert (status, out) == (1, "drained\n")
    assert "workers that do not end are killed: " in errors


def test_no_room_for_another_worker() -> None:
    """The rest serves on while there is none, and one is started as soon as there is."""
    parent = Parent(
        """
        control.send(READY)
        if worker.index == 1:
            control.recv(1)
            os._exit(1)
        while control.recv(1) != DRAIN:
            pass
        return 0
        """
    )
    parent.read("start 0", "start 1")
    parent.wait_until_ready()
    parent.limit_files(3)
    parent.signal(signal.SIGHUP)
    parent.wait_until_told("no process for one more worker: Too many open files")
    parent.limit_files(256)
    parent.read("start 1")
    parent.signal(signal.SIGTERM)
    status, out, _ = parent.end()
    assert (status, out) == (1, "")


def test_a_worker_that_fails_at_the_start() -> None:
    """It ends the whole with its status, and nobody is started in its place."""
    parent = Parent(
        """
        if worker.index == 1:
            print("no luck", file=sys.stderr)
            sys.exit(3)
        time.sleep(60)
        """
    )
    status, out, errors = parent.end()
    assert status == 3
    # The other may be ended before it has said anything.
    assert sorted(out.split("\n")) in (["", "start 1"], ["", "start 0", "start 1"])
    assert "no luck\n" in errors


def test_a_fault_at_the_start() -> None:
    """An exception is told of, and is as good as status 1."""
    status, _, errors = Parent("raise ValueError('bad luck')").end()
    assert status == 1
    assert "ValueError: bad luck" in errors


def test_workers_that_die_again_and_again(tmp_path: Path) -> None:
    """The first is replaced at once; later ones are waited with, and the rest serves on."""
    mark = tmp_path / "mark"
    parent = Parent(
        f"""
        control.send(READY)
        if worker.index == 1:
            while not os.path.exists({str(mark)!r}):
                time.sleep(0.01)
            os._exit(1)
        while control.recv(1) != DRAIN:
            pass
        """
    )
    parent.read("start 0", "start 1")
    parent.wait_until_ready()
    began = time.monotonic()
    mark.touch()
    parent.read(*["start 1"] * 4)
    # The last three are waited with for 0.25, 0.5 and 1 s.
    assert time.monotonic() - began >= 1.75
    parent.signal(signal.SIGTERM)
    status, out, _ = parent.end()
    assert status in (0, 1)
    assert "start 0" not in out


def test_a_worker_that_fails_to_replace_another(tmp_path: Path) -> None:
    """Files may be bad at the moment: what serves goes on, and it is tried again."""
    parent = Parent(
        f"""
        mark = {str(tmp_path / "mark")!r}
        if worker.index == 1 and not os.path.exists(mark):
            open(mark, "w").close()
            control.send(READY)
            control.recv(1)
            os._exit(1)
        if worker.index == 1:
            os.unlink(mark)
            sys.exit(1)
        control.send(READY)
        while control.recv(1) != DRAIN:
            pass
        """
    )
    parent.read("start 0", "start 1")
    parent.wait_until_ready()
    parent.signal(signal.SIGHUP)
    parent.read("start 1", "start 1")
    parent.signal(signal.SIGTERM)
    _, out, _ = parent.end()
    assert "start 0" not in out


def test_a_parent_that_is_killed() -> None:
    """Workers see that they are alone."""
    parent = Parent(OBEY)
    parent.read("start 0", "start 1")
    parent.wait_until_ready()
    parent.signal(signal.SIGKILL)
    parent.read("0 is alone", "1 is alone")
    assert parent.end()[0] == -signal.SIGKILL


def test_an_attendant() -> None:
    """It hears no words, has nothing of the workers' sockets, and is there after the last of them.

    The workers have nothing of its socket.
    """
    parent = Parent(
        """
        control.send(READY)
        say(f"{worker.index} listens: {listener.fileno() > 0} {own.fileno() > 0}")
        while control.recv(1) != DRAIN:
            pass
        return 0
        """,
        """
        say(f"attendant listens: {listener.fileno() > 0} {own.fileno() > 0}")
        say(f"hears {control.recv(1)}")
        """,
    )
    own = ["attendant listens: False True", "0 listens: True False", "1 listens: True False"]
    parent.read("start 0", "start 1", *own)
    parent.signal(signal.SIGHUP)
    parent.signal(signal.SIGTERM)
    status, out, _ = parent.end()
    assert (status, out) == (0, "")


def test_an_attendant_that_dies(tmp_path: Path) -> None:
    """It is replaced, as a worker is; its death is none of the exit status's."""
    mark = tmp_path / "mark"
    parent = Parent(
        OBEY,
        f"""
        while not os.path.exists({str(mark)!r}):
            time.sleep(0.01)
        say("attends")
        os._exit(1)
        """,
    )
    parent.read("start 0", "start 1")
    parent.wait_until_ready()
    mark.touch()
    parent.read("attends", "attends")
    parent.signal(signal.SIGTERM)
    assert parent.end()[0] == 0


def test_an_attendant_that_fails_at_the_start() -> None:
    """It ends the whole with its status."""
    parent = Parent("time.sleep(60)", "sys.exit(4)")
    assert parent.end()[0] == 4
