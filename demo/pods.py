"""Two users' pods: every service of the port table, on one loopback address a pod.

A service says what it received, as `demo.echo` does; the terminal and the desktop are real ones
where their parts are installed.
"""

import asyncio
import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from demo import desktop, echo, terminal
from demo.echo import Service
from demo.leash import Leash
from demo.listen import Listener, listen
from route_addon.core.table import PORTS

# What stands behind /container, where any port does. Not 8080: the router has that one, and where
# it listens on every address, or a pod has only 127.0.0.1, both cannot.
CONTAINER_PORT = 29800
POD_PORTS: Mapping[str, int] = {**PORTS, "container": CONTAINER_PORT}


@dataclass(eq=False)
class Pod:
    """One user's pod."""

    address: str
    vnc_password: str = field(default_factory=lambda: secrets.token_hex(4))
    _services: list[Service] = field(default_factory=list)
    _running: list[Listener | Leash] = field(default_factory=list)

    @property
    def requests(self) -> int:
        """How many requests have reached its services, the real programs left out."""
        return sum(service.requests for service in self._services)

    @property
    def listeners(self) -> list[Listener]:
        """Where its services listen, the real programs left out."""
        return [running for running in self._running if isinstance(running, Listener)]

    @property
    def notes(self) -> set[str]:
        """What is missing here for the real thing."""
        return {service.note for service in self._services if service.note}

    async def start(self, ports: Mapping[str, int] = POD_PORTS) -> Self:
        """Start its services, port by name.

        Raises:
            CannotListenError: A port is taken; whatever has started by then is stopped.
        """
        try:
            for name, port in ports.items():
                self._running.append(await self._start_service(name, port))
        except BaseException:
            await self.stop()
            raise
        return self

    async def _start_service(self, name: str, port: int) -> Listener | Leash:
        service = Service(name, self.address, note=_missing(name))
        # Listening first, also where a program takes the port over: so a port that somebody else
        # holds is reported in the same words.
        listener = listen(echo.application(service), self.address, port)
        if name in ("xterm", "ws_tcp_bridge") and not service.note:
            await listener.stop()
            return await self._start_program(name, port)
        self._services.append(service)
        return listener

    async def _start_program(self, name: str, port: int) -> Leash:
        program = (
            await terminal.start(self.address, port)
            if name == "xterm"
            else await desktop.start(self.address, port, self.vnc_password)
        )
        assert program is not None  # it is None only when something is missing
        return program

    async def stop(self) -> None:
        """Stop all that has started."""
        await asyncio.gather(*(running.stop() for running in self._running))
        self._running.clear()


def addresses() -> tuple[str, str]:
    """Two loopback addresses: 127.0.0.11 and .12 where all of 127/8 is there, as on Linux."""
    pair = ("127.0.0.11", "127.0.0.12")
    return pair if all(map(_is_ours, pair)) else ("127.0.0.1", "::1")


def _missing(name: str) -> str | None:
    parts = {"xterm": terminal.missing, "ws_tcp_bridge": desktop.missing}
    return parts[name]() if name in parts else None


def _is_ours(address: str) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True
