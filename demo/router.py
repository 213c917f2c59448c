"""The router of the demo: mitmdump or mitmweb in a process of its own."""

import asyncio
import contextlib
import ipaddress
import secrets
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from tornado.httpclient import AsyncHTTPClient

from demo.leash import ROOT
from demo.listen import authority, bind

START_S = 20.0
STOP_S = 5.0
LOG_TAIL_LINES = 15


class RouterError(RuntimeError):
    """The router did not start, or has ended: in its own words."""


@dataclass
class Router:
    """A router process.

    Attributes:
        listen: The address it listens on; empty is every address.
        port: Its port.
        options: What is set with `--set`, by name.
        folder: Where its log and its certificates go.
        web: Whether mitmweb shows what passes.
    """

    listen: str
    port: int
    options: Mapping[str, str]
    folder: Path
    web: bool = False
    web_port: int = 0
    _web_password: str = field(default_factory=lambda: secrets.token_urlsafe(9))
    _process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        """Where a browser on this machine finds it."""
        anywhere = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}
        return f"http://{authority(anywhere.get(self.listen, self.listen), self.port)}"

    @property
    def is_local(self) -> bool:
        """Whether only this machine reaches it."""
        with contextlib.suppress(ValueError):
            return ipaddress.ip_address(self.listen).is_loopback
        return self.listen == "localhost"

    @property
    def web_url(self) -> str:
        """Where mitmweb's own page is."""
        return f"http://127.0.0.1:{self.web_port}/?token={self._web_password}"

    @property
    def log(self) -> Path:
        """What it says."""
        return self.folder / "router.log"

    @property
    def confdir(self) -> Path:
        """mitmproxy's folder: not the user's own."""
        return self.folder / "confdir"

    def command(self) -> list[str]:
        """Build its command line."""
        program, *words = (
            ["mitmweb", "--no-web-open-browser", "--web-port", str(self.web_port)]
            if self.web
            else ["mitmdump"]
        )
        words += ["-s", str(ROOT / "route_addon" / "script.py")]
        if self.web:
            words += ["-s", str(ROOT / "demo" / "minting.py"), "--set", f"demo_keys={self.folder}"]
        words += ["--listen-host", self.listen, "--listen-port", str(self.port)]
        for name, value in {"confdir": self.confdir, "flow_detail": 0, **self.options}.items():
            words += ["--set", f"{name}={value}"]
        return [str(Path(sys.executable).with_name(program)), *words]

    def _write_config(self) -> None:
        # Not on the command line, which every user of the machine can read.
        self.confdir.mkdir()
        if self.web:
            (self.confdir / "config.yaml").write_text(f'web_password: "{self._web_password}"\n')

    async def start(self) -> Self:
        """Start it, and wait until it answers.

        Raises:
            RouterError: It does not.
        """
        self.web_port = self.web_port or free_port()
        self._write_config()
        with self.log.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self.command(),
                cwd=ROOT,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the demo, which then stops it in order
            )
        try:
            await asyncio.wait_for(self._answers(), START_S)
        except BaseException as error:
            await self.stop()
            if isinstance(error, TimeoutError):
                raise RouterError(f"{self.url} does not answer\n{self._log_tail()}") from None
            raise
        return self

    async def _answers(self) -> None:
        assert self._process is not None
        client = AsyncHTTPClient()
        while self._process.returncode is None:
            with contextlib.suppress(Exception):
                if (await client.fetch(f"{self.url}/healthz")).body == b"OK\n":
                    return
            await asyncio.sleep(0.1)
        raise RouterError(f"the router has ended\n{self._log_tail()}")

    async def ended(self) -> None:
        """Wait until it ends by itself.

        Raises:
            RouterError: When it does.
        """
        assert self._process is not None
        await self._process.wait()
        raise RouterError(f"the router has ended\n{self._log_tail()}")

    async def stop(self) -> None:
        """Ask it to end, and make it."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), STOP_S)
        except TimeoutError:
            process.kill()
            await process.wait()

    def _log_tail(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:])


def free_port(listen: str = "127.0.0.1", port: int = 0) -> int:
    """Find a free port, or see that one is free.

    Raises:
        CannotListenError: It is not.
    """
    with bind(listen, port) as bound:
        return int(bound.getsockname()[1])
