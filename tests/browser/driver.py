"""Drives the demo's pages in a headless Chromium, by way of Playwright.

Playwright's Python package is one wheel that holds its own driver; with `executable_path` it takes
the system's Chromium and downloads none.
"""

import asyncio
import http.client
import importlib.util
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from demo import desktop, terminal
from demo.leash import ROOT
from tests.e2e.ports import free_port

if TYPE_CHECKING:
    from playwright.async_api import Browser, Frame, Page

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
# No sandbox: it cannot be had as root or in most containers, and the pages are our own. Without the
# last three, Chromium looks for its makers' servers at every start.
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE_S = 10.0
STOP_S = 20.0
LAST_WORDS = "Ctrl-C"  # what the demo says when all of it is there


def missing_browser() -> str | None:
    """Say what a browser lacks here, and how to get it; None when nothing is missing."""
    if CHROMIUM is None:
        return "not installed: chromium (as root: scripts/browser-setup)"
    if importlib.util.find_spec("playwright") is None:
        return "not installed: playwright (scripts/browser-setup)"
    return None


def missing() -> str | None:
    """Say what the demo's pages lack here, and how to get it; None when nothing is missing."""
    if reason := missing_browser():
        return reason
    if not (ROOT / "demo" / "node_modules" / "@novnc").is_dir():
        return "not installed: noVNC and xterm.js (scripts/browser-setup)"
    return desktop.missing() or terminal.missing()


@dataclass(frozen=True)
class Session:
    """What a client knows of its desktop: the answer of launchdesktop."""

    pod: str
    token: str
    password: str


@dataclass(frozen=True)
class Client:
    """A client of the router, with and without a browser."""

    host: str
    port: int

    def launch(self, user: int = 1) -> Session:
        """Ask pyos for a desktop, as the real website does."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=PATIENCE_S)
        connection.request(
            "POST", "/API/composer/launchdesktop", json.dumps({"user": user}),
            {"Content-Type": "application/json"},
        )  # fmt: skip
        result = json.load(connection.getresponse())["result"]
        connection.close()
        return Session(result["target_ip"], result["authorization"], result["vncpassword"])

    def shake_hands(self, path: str, token: str) -> int:
        """Ask for a WebSocket, and return the status of the answer."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=PATIENCE_S)
        connection.request("GET", f"{path}?jwt_token={token}", headers={
            "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        })  # fmt: skip
        status = connection.getresponse().status
        connection.close()
        return status

    def url(self, page: str, session: Session | None = None) -> str:
        """Build the address of one of the demo's pages."""
        fragment = f"#token={session.token}&password={session.password}" if session else ""
        return f"http://{self.host}:{self.port}/demo/{page}{fragment}"


@contextmanager
def running_demo(token_life_s: float) -> Iterator[Client]:
    """Run the demo on a free port.

    Raises:
        RuntimeError: It does not start; with what it says.
    """
    port = free_port()
    words = [sys.executable, "-m", "demo", "--port", str(port), "--token-life", str(token_life_s)]
    with subprocess.Popen(
        words, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as demo:
        assert demo.stdout is not None
        try:
            said: list[str] = []
            while not said or LAST_WORDS not in said[-1]:
                said.append(demo.stdout.readline())
                if not said[-1]:
                    raise RuntimeError("".join(said))
            yield Client("127.0.0.1", port)
        finally:
            demo.send_signal(signal.SIGINT)
            demo.wait(STOP_S)


@asynccontextmanager
async def chromium() -> AsyncIterator["Browser"]:
    """Run a headless Chromium."""
    from playwright.async_api import async_playwright  # it may be missing

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            yield browser
        finally:
            await browser.close()


async def reaches(page: "Page | Frame", state: str) -> None:
    """Wait until the page of a desktop or a terminal says that it is in a state."""
    await page.wait_for_selector(f"body[data-state={state}]", timeout=PATIENCE_S * 1000)


async def shows(page: "Page", selector: str, text: str) -> None:
    """Wait until an element of the page shows a text."""
    await page.locator(selector, has_text=text).wait_for(timeout=PATIENCE_S * 1000)


async def run(page: "Page", command: str) -> None:
    """Type a command into whatever shell has the page's focus."""
    await page.keyboard.type(f"{command}\n")


async def until(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds.

    Raises:
        TimeoutError: It does not within the patience of this file.
    """
    end = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError
        await asyncio.sleep(0.05)


async def written(path: Path) -> str:
    """Wait until there is something in a file, and read it."""
    await until(lambda: path.exists() and path.stat().st_size > 0)
    return path.read_text()


async def color(page: "Page") -> list[int]:
    """Read the colour of the desktop where no text is, red, green and blue."""
    pixel: list[int] = await page.eval_on_selector(
        "#screen canvas",
        "(it) => [...it.getContext('2d').getImageData(it.width - 40, it.height - 60, 1, 1).data]",
    )
    return pixel[:3]
