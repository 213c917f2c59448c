"""A child process that never outlives its parent.

The child's standard input is a pipe that only the parent holds open. It closes when the parent
stops the child, and just as well when the parent is killed, so the child needs no other sign and
no part of the demo is left behind. The child leads a process group of its own: a Ctrl-C in the
terminal reaches only the parent, which then stops its children in order.
"""

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Self

ROOT = Path(__file__).resolve().parent.parent
START_S = 20.0
STOP_S = 5.0
READY = b"ready\n"

# What the child does: serve on (address, port) with a secret, call the function once it answers,
# and go on until it is cancelled.
Serve = Callable[[str, int, str, Callable[[], None]], Coroutine[None, None, None]]


class Leash:
    """The parent's end: a child that runs, and a way to stop it."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, module: str, address: str, port: int, secret: str = "") -> Self:
        """Start a module that calls `hold`, and wait until it answers.

        The secret goes through the pipe: a command line can be read by every user of the machine.

        Raises:
            RuntimeError: The child ended, or did not answer in time; its own words are on stderr.
        """
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", module, address, str(port),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=ROOT,
            start_new_session=True,
        )  # fmt: skip
        assert process.stdin is not None and process.stdout is not None
        leash = cls(process)
        process.stdin.write(secret.encode() + b"\n")
        try:
            said = await asyncio.wait_for(process.stdout.readline(), START_S)
        except TimeoutError:
            said = b""
        if said != READY:
            await leash.stop()
            raise RuntimeError(f"{module} did not start on {address}, port {port}")
        return leash

    async def stop(self) -> None:
        """Let the child go, and wait until it and its own children have ended."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), STOP_S)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            await self._process.wait()


def hold(serve: Serve) -> None:
    """The child's whole life: serve until the parent lets go.

    It has a home folder of its own, so that a shell in the demo neither reads the user's start
    files nor writes into the user's history.
    """
    address, port = sys.argv[1], int(sys.argv[2])
    with tempfile.TemporaryDirectory(prefix="route-demo-", ignore_cleanup_errors=True) as home:
        os.chdir(home)
        os.environ.update(HOME=home, PS1=f"pod {address} \\w\\$ ", SHELL="/bin/bash")
        try:
            asyncio.run(_serve_until_let_go(serve, address, port))
        finally:
            # Whatever serve() has started sits in this group, and has been asked to end before.
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            os.killpg(0, signal.SIGTERM)


async def _serve_until_let_go(serve: Serve, address: str, port: int) -> None:
    parent = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(parent), sys.stdin
    )
    secret = (await parent.readline()).decode().rstrip("\n")
    let_go = asyncio.ensure_future(parent.read())
    serving = asyncio.ensure_future(serve(address, port, secret, _say_ready))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, serving.cancel)
    await asyncio.wait({let_go, serving}, return_when=asyncio.FIRST_COMPLETED)
    serving.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await serving


def _say_ready() -> None:
    sys.stdout.buffer.write(READY)
    sys.stdout.flush()
