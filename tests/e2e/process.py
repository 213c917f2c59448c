"""Routers: real mitmproxy programs that run the script."""

import dataclasses
import fcntl
import itertools
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import textwrap
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Self

from websockets.sync.client import ClientConnection, connect

from tests.e2e.backend import Backend
from tests.e2e.client import HOST, Client
from tests.e2e.quiet import settle
from tests.e2e.wire import PATIENCE_S, Answer, Wire, wait_until

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "route_addon" / "script.py"
START_LINE = "route_addon listens at"

START_S = 30.0
STOP_S = 10.0

REMOTE_SCRIPT = Path(__file__).with_name("remote.py")

_ADDRESS = r" (\[[^]]*\]|[^:\s]*|\*):([0-9]+)"
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[()][AB0]|\x1b[=>]")


@dataclass(frozen=True)
class Command:
    """How a mitmproxy program is started.

    Attributes:
        options: What is set by ``--set``, by name.
        program: ``mitmdump``, ``mitmweb`` or ``mitmproxy``; with a path, one of another place.
        scripts: What ``-s`` names, in order.
        arguments: Further arguments.
        environment: Put over this process's environment, from which nothing of the router's
            comes along.
        port: Where it listens on 127.0.0.1; 0 for a free port, None to say nothing of it.
    """

    options: Mapping[str, object] = field(default_factory=dict)
    program: str = "mitmdump"
    scripts: Sequence[Path] = (SCRIPT,)
    arguments: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    port: int | None = 0

    def words(self) -> list[str]:
        """The command line."""
        words = [str(Path(sys.executable).parent / self.program)]
        if self.port is not None:
            words += ["--listen-host", "127.0.0.1", "--listen-port", str(self.port)]
        for script in self.scripts:
            words += ["-s", str(script)]
        for name, value in {"confdir": confdir(), **self.options}.items():
            words += ["--set", f"{name}={value}"]
        return [*words, *self.arguments]

    @property
    def start_line(self) -> str:
        """What stands before the address in the line that says that it listens."""
        is_router = any(script.name == SCRIPT.name for script in self.scripts)
        return START_LINE if is_router else "listening at"

    def start(self, **streams: Any) -> subprocess.Popen[bytes]:
        """Start it."""
        environment = {name: value for name, value in os.environ.items() if not _is_ours(name)} | {
            "PYTHONUNBUFFERED": "1",
            # A test that wants to see a drain says so.
            "ROUTE_DRAIN": "0",
            "ROUTE_DRAIN_WEBSOCKETS": "0",
            **self.environment,
        }
        return subprocess.Popen(
            self.words(), cwd=ROOT, env=environment, start_new_session=True, **streams
        )

    def run(
        self, within_s: float = START_S, piped: bytes = b""
    ) -> subprocess.CompletedProcess[str]:
        """Run it to its end, with what is piped to it."""
        process = self.start(stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            out, err = process.communicate(piped, timeout=within_s)
        finally:
            process.kill()
            process.wait()
        return subprocess.CompletedProcess(
            process.args, process.returncode, out.decode(), err.decode()
        )


@dataclass(frozen=True)
class ServeCommand(Command):
    """How ``route-addon serve`` is started."""

    def words(self) -> list[str]:
        """The command line."""
        words = [str(Path(sys.executable).with_name("route-addon")), "serve"]
        if REMOTE_SCRIPT in self.scripts:
            words = [sys.executable, "-m", "tests.e2e.served"]
        if self.port is not None:
            words += ["--listen-host", "127.0.0.1", "--listen-port", str(self.port)]
        for name, value in self.options.items():
            words += ["--set", f"{name}={value}"]
        return [*words, *self.arguments]


def unwatched(options: Mapping[str, object], **details: Any) -> Command:
    """How a relay that nobody watches is started: as a service, or where ``E2E_UNWATCHED`` says.

    Args:
        options: As ``Command`` takes them.
        details: The rest of what it takes.
    """
    if os.environ.get("E2E_UNWATCHED", "serve") == "serve":
        return ServeCommand({"route_workers": 1, **options}, **details)
    return Command({"flow_detail": 0, **options}, **details)


def _is_ours(name: str) -> bool:
    return name.startswith(("ROUTE_", "JWT_", "PYOS_")) or name in (
        "WEBSITE_FQDN",
        "CONSOLE_FQDN",
        "SPEEDTEST_FQDN",
        "NODE_NAME",
        "NAMESERVER_RESOLVER",
    )


_numbers = itertools.count()
_confdir: "tempfile.TemporaryDirectory[str] | None" = None


def confdir() -> str:
    """mitmproxy's folder, shared by all: the first one that starts makes a CA in it."""
    global _confdir
    if _confdir is None:
        _confdir = tempfile.TemporaryDirectory(prefix="confdir-")
    return _confdir.name


def close_confdir() -> None:
    """Remove mitmproxy's folder."""
    global _confdir
    if _confdir is not None:
        _confdir.cleanup()
        _confdir = None


class Router:
    """A router that runs, and listens.

    Args:
        command: How to start it.
        has_terminal: Whether it gets a terminal, as mitmproxy's console wants one. It shows no
            start line there, so the command must name the port.
        has_remote: Whether ``run_inside`` is wanted.
    """

    def __init__(
        self, command: Command, *, has_terminal: bool = False, has_remote: bool = False
    ) -> None:
        self.command = command
        self._has_terminal = has_terminal
        self._has_remote = has_remote
        self._output = bytearray()
        self._output_lock = threading.Lock()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    @property
    def log(self) -> str:
        """All that it has printed, and is printing: a line may follow the answer it tells of."""
        if self.is_running:
            settle(self._process.pid)
        self._read_what_is_there()
        return self._printed()

    def _printed(self) -> str:
        return _ESCAPES.sub("", self._output.decode("utf-8", "replace"))

    @property
    def is_running(self) -> bool:
        """Whether the process is there."""
        return self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process that serves; of several workers the first."""
        pid = self._process.pid
        if isinstance(self.command, ServeCommand):
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text()
            return int(children.split()[0])
        return pid

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        host = {"*": "127.0.0.1", "0.0.0.0": "127.0.0.1"}.get(self._host, self._host)
        return host.strip("[]"), self._port

    @property
    def port(self) -> int:
        """Its port."""
        return self._port

    def start(self) -> None:
        """Start the process, and wait until it listens."""
        if self._has_remote:
            self._add_remote()
        if self._has_terminal:
            own, its = pty.openpty()
            termios.tcsetwinsize(its, (40, 160))
            self._process = self.command.start(stdin=its, stdout=its, stderr=its)
            os.close(its)
            self._terminal = own
            self._stream: IO[bytes] = os.fdopen(own, "rb", buffering=0)
        else:
            self._process = self.command.start(
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            )
            assert self._process.stdout is not None
            self._stream = self._process.stdout
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        try:
            if self._has_terminal:
                self._wait_for_port(self.command.port)
            else:
                self._wait_for_address()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> int:
        """Stop the process.

        Returns:
            Its exit status.
        """
        if self.is_running:
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        return self._process.returncode

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def wait(self, within_s: float = STOP_S) -> int:
        """Wait for its end.

        Returns:
            Its exit status.
        """
        return self._process.wait(within_s)

    def count(self, text: str) -> int:
        """How often it has printed this so far; it may be about to do so again."""
        return self._printed().count(text)

    def wait_for(self, text: str, times: int = 1) -> None:
        """Wait until it has printed this so often.

        Raises:
            AssertionError: It does not; with its log.
        """
        try:
            wait_until(lambda: self.count(text) >= times or not self.is_running, "", START_S)
        except AssertionError:
            raise AssertionError(f"it does not print {text!r}; it says:\n{self.log}") from None
        assert self.log.count(text) >= times, f"the router ended; it says:\n{self.log}"

    def settle(self) -> None:
        """Wait until it has nothing to do: what it counts and writes of a request is there."""
        settle(self._process.pid)

    def connect(self, **details: Any) -> Client:
        """A raw connection to it, with details as ``Client`` takes them."""
        return Client(self.address, **details)

    def ask(self, request: bytes, **details: Any) -> Answer:
        """Ask one thing on a connection of its own."""
        with self.connect(**details) as client:
            return client.ask(request)

    def open_websocket(self, target: str, **details: Any) -> ClientConnection:
        """Open a WebSocket, with details as ``websockets`` takes them."""
        connection = socket.create_connection(self.address, PATIENCE_S)
        usual: dict[str, Any] = {"max_size": None, "compression": None}
        try:
            uri = f"ws://{HOST.decode()}{target}"
            opened: ClientConnection = connect(uri, sock=connection, **{**usual, **details})
        except BaseException:
            connection.close()
            raise
        return opened

    def type(self, text: str) -> None:
        """Type at its terminal."""
        os.write(self._terminal, text.encode())

    def run_inside(self, code: str) -> str:
        """Run code inside mitmproxy, where ``ctx`` is mitmproxy's.

        Returns:
            What it left in the name ``result``, or the exception that it raised.
        """
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(PATIENCE_S)
            connection.connect(self._remote)
            with Wire(connection) as wire:
                wire.send(textwrap.dedent(code).encode())
                connection.shutdown(socket.SHUT_WR)
                return wire.read_to_end().decode()

    def _has_listening_remote(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(self._remote) == 0

    def _add_remote(self) -> None:
        self._remote = f"{confdir()}/remote-{next(_numbers)}"
        self.command = dataclasses.replace(
            self.command,
            scripts=(*self.command.scripts, REMOTE_SCRIPT),
            environment={**self.command.environment, "REMOTE_SOCKET": self._remote},
        )

    def _wait_for_port(self, port: int | None) -> None:
        assert port, "the console does not tell its port"
        self._host, self._port = "127.0.0.1", port
        wait_until(self.is_answering, "the router answers", START_S)

    def is_answering(self) -> bool:
        """Whether it answers; that it has ended is a failure."""
        assert self.is_running, f"the router ended; it says:\n{self.log}"
        try:
            return self.ask(b"GET /healthz HTTP/1.1\r\nHost: desk.example\r\n\r\n").status == 200
        except (OSError, EOFError):
            return False

    def _wait_for_address(self) -> None:
        address = re.compile(self.command.start_line + _ADDRESS)
        end = time.monotonic() + START_S
        while (match := address.search(log := self._printed())) is None or not log[match.end() :]:
            assert self.is_running, f"the router ended; it says:\n{self.log}"
            assert time.monotonic() < end, f"the router does not start; it says:\n{self.log}"
            time.sleep(0.02)
        self._host, self._port = match[1], int(match[2])
        if self._has_remote:
            wait_until(self._has_listening_remote, "the remote script listens")

    def _read(self) -> None:
        readable = select.poll()
        readable.register(self._stream, select.POLLIN)
        while True:
            [(_, events)] = readable.poll()
            if not self._read_what_is_there() and not events & select.POLLIN:
                break
        with self._output_lock:
            self._stream.close()

    def _read_what_is_there(self) -> bool:
        """Never waits.

        Returns:
            Whether there was anything.
        """
        with self._output_lock:
            before = len(self._output)
            while not self._stream.closed and (count := _readable_bytes(self._stream)):
                self._output += os.read(self._stream.fileno(), count)
            return len(self._output) > before


def _readable_bytes(stream: IO[bytes]) -> int:
    try:
        (count,) = struct.unpack("i", fcntl.ioctl(stream, termios.FIONREAD, b"\0" * 4))
    except OSError:  # a terminal whose program has ended (EIO)
        return 0
    return int(count)


def record_flows(recording: Path, backend: Backend, requests: Sequence[bytes]) -> None:
    """Record what a plain mitmproxy sees that stands before one back end.

    Args:
        recording: The file to write.
        backend: Answers.
        requests: What clients ask.
    """
    command = Command(
        {"keep_host_header": "true"},
        scripts=(),
        arguments=("--mode", f"reverse:{backend.url}", "-w", str(recording)),
    )
    with Router(command) as plain:
        for request in requests:
            plain.ask(request)
