"""An image that runs: a process with a root, a network and mounts of its own."""

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Self

from tests.e2e.wire import wait_until
from tests.image.containerfile import Rooms, Stage, enter

START_S = 10.0
"""How long the parent's Deployment lets a start take is 25 s; a router must be faster."""


class Network:
    """A network namespace: a machine, or a pod, with loopback.

    Args:
        rooms: Whose mount namespace stays around.
        sysctls: Values by name, as a pod's are given.
    """

    def __init__(self, rooms: Rooms, sysctls: Mapping[str, str] | None = None) -> None:
        lines = ["ip link set lo up"]
        for name, value in (sysctls or {}).items():
            lines.append(f"echo {value} >/proc/sys/{name.replace('.', '/')}")
        self._holder = subprocess.Popen(
            rooms.words("unshare", "--net", "sh", "-euc", _hold(lines)),
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == "ready\n"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._holder.kill()
        self._holder.wait()
        assert self._holder.stdout is not None
        self._holder.stdout.close()

    @property
    def path(self) -> str:
        """The file that stands for it."""
        return f"/proc/{self._holder.pid}/ns/net"

    def link(self, other: "Network", own: Sequence[str], others: Sequence[str]) -> None:
        """Lay a cable to another one, and give both ends their addresses."""
        pids = [str(network._holder.pid) for network in (self, other)]
        peer = ("type", "veth", "peer", "name", "eth0", "netns", pids[1])
        _run("ip", "link", "add", "eth0", "netns", pids[0], *peer)
        for network, addresses in ((self, own), (other, others)):
            for words in (*(("address", "add", one) for one in addresses), ("link", "set")):
                last = ("up",) if words == ("link", "set") else ()
                _run("nsenter", f"--net={network.path}", "ip", *words, "dev", "eth0", *last)

    @contextlib.contextmanager
    def joined(self) -> Iterator[None]:
        """Whatever this thread opens meanwhile is in this network, and so are its threads."""
        own, its = os.open("/proc/thread-self/ns/net", os.O_RDONLY), os.open(self.path, os.O_RDONLY)
        try:
            os.setns(its, os.CLONE_NEWNET)
            yield
        finally:
            os.setns(own, os.CLONE_NEWNET)
            os.close(own)
            os.close(its)


def _hold(lines: Sequence[str]) -> str:
    return "\n".join([*lines, "echo ready", "exec sleep 3600"])


def _run(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{words}: {done.stderr}"


class Container:
    """A program of an image, as an engine runs it.

    Args:
        rooms: Where the image is.
        stage: The image.
        network: Where it listens.
        environment: What is put over the image's own.
        user: Who it runs as; 0 for root, which has all rights.
        volumes: With volumes, the root is read-only but for these folders, which are empty.
    """

    def __init__(
        self,
        rooms: Rooms,
        stage: Stage,
        network: Network,
        environment: Mapping[str, str],
        *,
        user: int = 0,
        volumes: Sequence[str] | None = None,
    ) -> None:
        root = str(stage.root)
        lines = []
        if volumes is not None:
            lines = [f"mkdir -p {root}{one}" for one in volumes]
            lines += [f"mount -o remount,bind,ro {root}"]
            lines += [f"mount -t tmpfs -o mode=1777 tmpfs {root}{one}" for one in volumes]
        words = enter(stage, environment)
        if user:
            plain = ("setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups")
            words[2:2] = [*plain, "--bounding-set=-all", "--no-new-privs"]
        self._command = (
            *("nsenter", f"--net={network.path}", "unshare", "--mount", "sh", "-euc"),
            "\n".join([*lines, 'exec "$@"']),
            *("sh", *words, *stage.entrypoint),
        )
        self._rooms, self._stage = rooms, stage
        self._output: list[str] = []

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._rooms.words(*self._command),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        try:
            wait_until(self._has_started, f"the router starts: {self._command}", START_S)
        except BaseException:
            self.__exit__()
            raise
        assert self.is_running, self.log
        return self

    def __exit__(self, *exception: object) -> None:
        # The second one ends a drain; but signals that come at once are one.
        for _ in range(2):
            self._process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(0.3)
        self._process.kill()
        self._process.wait()
        self._reader.join()

    @property
    def log(self) -> str:
        """All that it has printed."""
        return "".join(self._output)

    @property
    def is_running(self) -> bool:
        """Whether it is there."""
        return self._process.poll() is None

    def stop(self, within_s: float) -> int:
        """Stop it as Kubernetes does, and wait.

        Returns:
            Its exit status.
        """
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(within_s)

    def can_write(self, folder: str) -> bool:
        """Whether root, with the mounts of what runs in it, could make a file there."""
        its = f"--mount=/proc/{self._process.pid}/ns/mnt"
        done = subprocess.run(
            ["nsenter", its, *enter(self._stage, {}), "touch", f"{folder}/probe"],
            capture_output=True,
            check=False,
        )
        return done.returncode == 0

    def _has_started(self) -> bool:
        return "listens at" in self.log or not self.is_running

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as stream:
            self._output.extend(stream)
