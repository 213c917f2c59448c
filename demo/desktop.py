"""A pod's desktop: a real X server that speaks VNC, a terminal in it, and a WebSocket before it.

Xtigervnc listens on a Unix socket in a private folder and on no TCP port, so that websockify, and
with it the router, is the only way in.
"""

import asyncio
import os
import secrets
import shutil
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from demo.leash import ROOT, Leash, hold

# In a virtual environment of its own: websockify brings jwcrypto, which asks for a cryptography
# that mitmproxy's pin forbids.
WEBSOCKIFY = ROOT / ".venv-websockify" / "bin" / "websockify"
FAMILY_WILD = 0xFFFF  # X11/Xauth.h: the cookie holds for every display that shows this file
XTERM_LOOK = (
    "-maximized", "-fa", "Monospace", "-fs", "11", "-b", "8", "-bw", "0",
    "-bg", "#10141a", "-fg", "#d7dde5", "-cr", "#ffb454",
)  # fmt: skip
GREETING = "printf 'A real X server, and a real shell.\\n\\n'; exec bash --norc"


def missing() -> str | None:
    """Say what a real desktop lacks here, and how to get it; None when nothing is missing."""
    packages = {
        "Xtigervnc": "tigervnc-standalone-server",
        "tigervncpasswd": "tigervnc-tools",
        "xterm": "xterm",
    }
    if absent := [package for name, package in packages.items() if not shutil.which(name)]:
        return f"not installed: {', '.join(absent)} (as root: scripts/browser-setup)"
    if not WEBSOCKIFY.exists():
        return "not installed: websockify (scripts/browser-setup)"
    return None


async def start(address: str, port: int, password: str) -> Leash | None:
    """Start a desktop whose WebSocket listens on address and port.

    Args:
        address: Where websockify listens; an IPv6 address comes without brackets.
        port: The port of the same.
        password: The VNC password; VNC looks at its first eight characters.

    Returns:
        The handle that stops it, or None when something is `missing`.

    Raises:
        RuntimeError: It is installed and did not start.
    """
    return None if missing() else await Leash.start("demo.desktop", address, port, password)


async def serve(address: str, port: int, password: str, ready: Callable[[], None]) -> None:
    """Run the desktop until cancelled, or until its X server or websockify ends."""
    async with AsyncExitStack() as stack:
        folder = Path.cwd()
        x_server = await stack.enter_async_context(_x_server(folder, password))
        terminal = asyncio.ensure_future(_keep_terminal())
        stack.callback(terminal.cancel)
        websockify = await stack.enter_async_context(_websockify(folder, address, port))
        ready()
        await asyncio.wait(
            {asyncio.ensure_future(x_server.wait()), asyncio.ensure_future(websockify.wait())},
            return_when=asyncio.FIRST_COMPLETED,
        )


@asynccontextmanager
async def _x_server(folder: Path, password: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Start Xtigervnc on a display that it chooses, and set DISPLAY and XAUTHORITY to it."""
    (folder / "passwd").write_bytes(await _obfuscated(password))
    (folder / "xauthority").write_bytes(_x_authority())
    process = await asyncio.create_subprocess_exec(
        "Xtigervnc", "-displayfd", "1", "-auth", "xauthority", "-nolisten", "tcp",
        "-rfbport", "-1", "-rfbunixpath", "vnc", "-localhost",
        "-SecurityTypes", "VncAuth", "-PasswordFile", "passwd",
        "-geometry", "800x520", "-depth", "24", "-AlwaysShared", "-desktop", "route_addon",
        stdout=asyncio.subprocess.PIPE,
        stderr=_log(folder),
    )  # fmt: skip
    async with _ended(process):
        assert process.stdout is not None
        display = (await process.stdout.readline()).decode().strip()
        if not display:
            raise SystemExit(f"Xtigervnc: {(folder / 'log').read_text().strip()}")
        os.environ.update(DISPLAY=f":{display}", XAUTHORITY=str(folder / "xauthority"))
        yield process


async def _keep_terminal() -> None:
    """Keep one xterm over the whole screen, and a new one when its shell is left."""
    while True:
        xterm = await asyncio.create_subprocess_exec(
            "xterm", *XTERM_LOOK, "-e", "sh", "-c", GREETING,
            stderr=_log(Path.cwd()),
        )  # fmt: skip
        await xterm.wait()
        await asyncio.sleep(0.2)


@asynccontextmanager
async def _websockify(
    folder: Path, address: str, port: int
) -> AsyncIterator[asyncio.subprocess.Process]:
    host = f"[{address}]" if ":" in address else address
    process = await asyncio.create_subprocess_exec(
        WEBSOCKIFY, f"--unix-target={folder / 'vnc'}", f"{host}:{port}",
        stdout=_log(folder), stderr=_log(folder),
    )  # fmt: skip
    async with _ended(process):
        while not await _answers(address, port):
            if process.returncode is not None:
                raise SystemExit(f"websockify: {(folder / 'log').read_text().strip()}")
            await asyncio.sleep(0.05)
        yield process


@asynccontextmanager
async def _ended(process: asyncio.subprocess.Process) -> AsyncIterator[None]:
    try:
        yield
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()


async def _answers(address: str, port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(address, port)
    except OSError:
        return False
    writer.close()
    return True


async def _obfuscated(password: str) -> bytes:
    """VNC's password file, made by its own tool."""
    tool = await asyncio.create_subprocess_exec(
        "tigervncpasswd", "-f", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    content, _ = await tool.communicate(password.encode())
    return content


def _x_authority() -> bytes:
    """An Xauthority file with a fresh cookie: without one, every local user may draw and listen."""
    counted = [b"", b"", b"MIT-MAGIC-COOKIE-1", secrets.token_bytes(16)]
    return struct.pack(">H", FAMILY_WILD) + b"".join(
        struct.pack(">H", len(field)) + field for field in counted
    )


def _log(folder: Path) -> int:
    """What the programs say is kept aside: Xtigervnc is talkative, and is right to be so."""
    return os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)


if __name__ == "__main__":
    hold(serve)
