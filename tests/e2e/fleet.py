"""An installation's back ends: two users' pods with every service, and the shared servers."""

import contextlib
import time
from collections.abc import Iterator, Mapping
from typing import Any, Self

from route_addon.core.table import PORTS
from tests.e2e.backend import Backend, untouched
from tests.minting import mint

ALICE = "127.0.0.21"
BOB = "127.0.0.22"
NOBODY = "127.0.0.23"
"""Where no pod is, and where the policy of the tests lets none be."""

_TRIES = 20


class Pod:
    """A user's pod: one back end for each named port.

    Args:
        address: Its address.
        ports: Port by name; free ones when not given.

    Raises:
        OSError: One of the ports is taken.
    """

    def __init__(self, address: str, ports: Mapping[str, int] | None = None) -> None:
        self.address = address
        self.services: dict[str, Backend] = {}
        try:
            for name in PORTS:
                port = ports[name] if ports is not None else 0
                self.services[name] = Backend(address, port, f"{name} at {address}")
        except OSError:
            self.close()
            raise

    def __getitem__(self, port_name: str) -> Backend:
        return self.services[port_name]

    @property
    def ports(self) -> dict[str, int]:
        """Port by name."""
        return {name: service.port for name, service in self.services.items()}

    @property
    def token(self) -> bytes:
        """A fresh token that names this pod."""
        return self.mint()

    def mint(self, **claims: Any) -> bytes:
        """A token that names this pod, with changes as ``tests.minting.mint`` takes them."""
        return mint(self.address, **{"now": time.time(), **claims})

    def close(self) -> None:
        """Stop its services."""
        for service in self.services.values():
            service.close()


class Fleet:
    """All back ends.

    Raises:
        OSError: This machine does not have the whole of 127.0.0.0/8.
    """

    def __init__(self) -> None:
        self.alice, self.bob = _start_pods()
        self.website = Backend("127.0.0.1", name="website")
        self.pyos = Backend("127.0.0.1", name="pyos")
        self.console = Backend("127.0.0.1", name="console")
        self.speedtest = Backend("127.0.0.1", name="speedtest")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.alice.close()
        self.bob.close()
        for server in self.servers.values():
            server.close()

    def __iter__(self) -> Iterator[Backend]:
        yield from self.alice.services.values()
        yield from self.bob.services.values()
        yield from self.servers.values()

    @property
    def servers(self) -> dict[str, Backend]:
        """The servers that all users share, by upstream name."""
        return {
            "website": self.website,
            "pyos": self.pyos,
            "console": self.console,
            "speedtest": self.speedtest,
        }

    @property
    def options(self) -> dict[str, str]:
        """What a router must be told of it."""
        ports = ",".join(f"{name}={port}" for name, port in self.alice.ports.items())
        return {
            **{f"route_{name}": server.url for name, server in self.servers.items()},
            "route_ports": ports,
            "route_target_allow": f"{ALICE}/32,{BOB}/32",
        }

    @property
    def is_untouched(self) -> bool:
        """Whether no back end got anything since the last ``forget``."""
        return untouched(tuple(self))

    def touched_but(self, *expected: Backend) -> list[str]:
        """The names of back ends that got something, besides the expected ones."""
        return [
            backend.name for backend in self if not backend.is_untouched and backend not in expected
        ]

    def forget(self) -> None:
        """Begin anew: empty logs, usual answers."""
        for backend in self:
            backend.forget()


def _start_pods() -> tuple[Pod, Pod]:
    """Two pods with the same ports: those that are free at one address may be taken at another."""
    for _ in range(_TRIES):
        alice = Pod(ALICE)
        with contextlib.suppress(OSError):
            return alice, Pod(BOB, alice.ports)
        alice.close()
    raise OSError(f"no ports are free at both {ALICE} and {BOB}")
