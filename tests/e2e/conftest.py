"""What the end-to-end tests share: one fleet of back ends, and one router for each carrier."""

import dataclasses
import os
import ssl
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.e2e.certificates import make_certificate
from tests.e2e.harness import ALICE, BOB, Command, Fleet, Router, check_secrets, unwatched
from tests.e2e.process import close_confdir
from tests.e2e.quiet import settle
from tests.minting import KeyPair


@dataclasses.dataclass(frozen=True)
class Carrier:
    """One of the ways in which bytes are carried; all of them keep the same promises."""

    name: str
    options: Mapping[str, object] = dataclasses.field(default_factory=dict)
    start: Callable[..., Command] = Command
    """Makes the command that starts it."""


CARRIERS = (
    Carrier("relay watched", {"route_carrier": "relay", "flow_detail": 1}),
    Carrier("relay unwatched", start=unwatched),
    Carrier("stock", {"route_carrier": "stock"}),
)

CHOSEN = os.environ.get("E2E_CARRIERS", ",".join(carrier.name for carrier in CARRIERS)).split(",")
"""The carriers to test, by name; separated by commas. All, when nobody says."""


@pytest.fixture(
    scope="session",
    params=[carrier for carrier in CARRIERS if carrier.name in CHOSEN],
    ids=lambda carrier: carrier.name,
)
def carrier(request: pytest.FixtureRequest) -> Carrier:
    """The carrier under test."""
    chosen: Carrier = request.param
    return chosen


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder for keys, certificates and recordings."""
    yield tmp_path_factory.mktemp("e2e")
    close_confdir()


@pytest.fixture(scope="session")
def key_options(folder: Path, signing: KeyPair, payload: KeyPair) -> Mapping[str, str]:
    """The keys in force, as files."""
    files = {"route_signing_key": signing.public_pem, "route_payload_key": payload.private_pem}
    for name, pem in files.items():
        (folder / f"{name}.pem").write_bytes(pem)
    return {name: str(folder / f"{name}.pem") for name in files}


@pytest.fixture(scope="session")
def certificate(folder: Path) -> Path:
    """A certificate for the name that clients call the router, with its key."""
    path = folder / "certificate.pem"
    path.write_bytes(make_certificate())
    return path


def client_context(certificate: Path, *protocols: str) -> ssl.SSLContext:
    """TLS as a client speaks it that trusts this certificate alone."""
    context = ssl.create_default_context(cafile=certificate)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.set_alpn_protocols(list(protocols))
    return context


@pytest.fixture(scope="session")
def tls(certificate: Path) -> ssl.SSLContext:
    """A client that offers HTTP/1.1 only."""
    return client_context(certificate, "http/1.1")


@pytest.fixture(scope="session")
def tls_h2(certificate: Path) -> ssl.SSLContext:
    """A client that offers HTTP/2."""
    return client_context(certificate, "h2")


@pytest.fixture(scope="session")
def shared_fleet() -> Iterator[Fleet]:
    """The back ends."""
    try:
        fleet = Fleet()
    except OSError as error:
        pytest.skip(f"needs the addresses 127.0.0.21 and 127.0.0.22: {error}")
    with fleet:
        yield fleet


@pytest.fixture
def fleet(shared_fleet: Fleet) -> Iterator[Fleet]:
    """The back ends, with empty logs, once what went before is over with every router."""
    settle()
    shared_fleet.forget()
    yield shared_fleet
    shared_fleet.forget()


@pytest.fixture(scope="session")
def installation(
    shared_fleet: Fleet, key_options: Mapping[str, str], certificate: Path, folder: Path
) -> Mapping[str, object]:
    """The options of a router that knows the fleet and the keys, and speaks TLS."""
    acme = folder / "acme"
    challenges = acme / ".well-known" / "acme-challenge"
    challenges.mkdir(parents=True)
    (challenges / "challenge").write_bytes(b"proof")
    return {
        **shared_fleet.options,
        **key_options,
        "certs": f"*={certificate}",
        "route_node_name": "node-7",
        "route_acme_root": acme,
        # The tests' clients come from 127.0.0.1 when they play a proxy, else from 127.0.0.31.
        "route_trusted_proxies": "127.0.0.1/32,10.0.0.0/8",
    }


@pytest.fixture(scope="session")
def usual_options(installation: Mapping[str, object], carrier: Carrier) -> Mapping[str, object]:
    """The same, with the carrier under test."""
    return {**installation, **carrier.options}


@pytest.fixture(scope="session")
def router(usual_options: Mapping[str, object], carrier: Carrier) -> Iterator[Router]:
    """The router that most tests share. Whatever they do, its log holds no token and no fault."""
    with Router(carrier.start(usual_options)) as router:
        yield router
    for line in router.log.splitlines():
        check_secrets(line.replace(ALICE, "").replace(BOB, "").encode())
