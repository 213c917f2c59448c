"""A router under mitmweb, before two users' pods."""

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.harness import Command, Fleet, Router
from tests.e2e.ports import free_port
from tests.e2e.web import PASSWORD, Web
from tests.minting import key_pair, mint

NO_POD = "127.0.0.24"
"""Where no pod is any more, though tokens name it."""
SLOW_S = 1
"""How long a pod may be silent; the slow one is silent for longer."""


@dataclass(frozen=True)
class Watched:
    """A router under mitmweb, and what is before and behind it.

    Attributes:
        router: The router.
        fleet: What it sends to.
        web: mitmweb's interface.
        url: mitmweb's page.
        folder: For files.
    """

    router: Router
    fleet: Fleet
    web: Web
    url: str
    folder: Path

    def token(self, address: str, life_s: float = 420.0, *, key: str = "signing") -> bytes:
        """A token that names a pod, signed just now."""
        return mint(address, now=time.time(), life_s=life_s, signing=key_pair(key))


@contextmanager
def running_mitmweb() -> Iterator[Watched]:
    """Run a router under mitmweb."""
    with tempfile.TemporaryDirectory(prefix="mitmweb-") as name, Fleet() as fleet:
        folder, port = Path(name), free_port()
        options = {
            **fleet.options,
            **_write_keys(folder),
            "route_target_allow": f"{fleet.options['route_target_allow']},{NO_POD}/32",
            "route_answer_timeout": SLOW_S,
            "route_http_cache": "/",
            "web_port": port,
            "web_password": PASSWORD,
            "web_open_browser": "false",
        }
        with Router(Command(options, program="mitmweb")) as router:
            url = f"http://127.0.0.1:{port}/?token={PASSWORD.replace(' ', '+')}"
            yield Watched(router, fleet, Web(port), url, folder)


def _write_keys(folder: Path) -> dict[str, str]:
    """The options that name the keys of the tests, as files."""
    pems = {
        "route_signing_key": key_pair("signing").public_pem,
        "route_payload_key": key_pair("payload").private_pem,
    }
    for name, pem in pems.items():
        (folder / name).write_bytes(pem)
    return {name: str(folder / name) for name in pems}
