"""What all suites need: a relay with back ends behind it, and a line of the table."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.e2e.fleet import Fleet
from tests.e2e.footprint import run_relay
from tests.e2e.harness import Router
from tests.minting import key_pair


class Row(NamedTuple):
    """One line of the table."""

    suite: str
    what: str
    result: str
    is_good: bool


@contextlib.contextmanager
def relay(**options: object) -> Iterator[tuple[Router, Fleet]]:
    """A relay, and the back ends behind it."""
    with tempfile.TemporaryDirectory() as folder, Fleet() as fleet:
        pems = {
            "route_signing_key": key_pair("signing").public_pem,
            "route_payload_key": key_pair("payload").private_pem,
        }
        for name, pem in pems.items():
            Path(folder, name).write_bytes(pem)
        keys = {name: str(Path(folder, name)) for name in pems}
        with run_relay(fleet, keys, **options) as router:
            yield router, fleet
