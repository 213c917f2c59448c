"""The image as Kubernetes runs it.

Environment, mounts, user and port are those of the manifests, in networks of the test's own. What
this cannot check: a cluster's limits, probes and policies.
"""

import contextlib
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from subprocess import run
from typing import NamedTuple

import pytest
from websockets.sync.client import connect

from tests.e2e.certificates import make_certificate
from tests.e2e.conftest import client_context
from tests.e2e.harness import Backend, Client, build_request, wait_until
from tests.image.container import Container, Network
from tests.image.containerfile import Rooms, Stage, enter
from tests.manifests import Manifest, build_overlay, find_container, find_environment, find_pods
from tests.minting import KeyPair, mint

ROUTER = "10.0.0.2"
SERVICES = {
    "website": "10.0.1.1",
    "pyos": "10.0.1.2",
    "console": "10.0.1.3",
    "speedtest": "10.0.1.4",
}
"""What the cluster's DNS knows."""
POD = "10.1.2.3"
"""The user's pod."""
ADMINISTRATOR = "10.9.9.9"
FILE_SERVICE, WEBSOCKIFY, METRICS = 29783, 6081, 9145
WHAT_A_CLUSTER_KNOWS = {
    "NODE_NAME": "node-9",
    "POD_NAME": "router-od-0",
    "POD_NAMESPACE": "abcdesktop",
    "POD_IP": ROUTER,
}
SERVICE_LINKS = {
    "PYOS_SERVICE_HOST": SERVICES["pyos"],
    "PYOS_SERVICE_PORT": "8000",
    "PYOS_PORT": f"tcp://{SERVICES['pyos']}:8000",
    "WEBSITE_SERVICE_HOST": SERVICES["website"],
    "HTTP_ROUTER_SERVICE_HOST": "10.96.7.7",
    "KUBERNETES_SERVICE_HOST": "10.96.0.1",
}
"""What Kubernetes puts into the environment of each pod, for the Services of its namespace."""
KEY_FILES = {
    "/config.signing/abcdesktop_jwt_desktop_signing_public_key.pem": "signing",
    "/config.payload/abcdesktop_jwt_desktop_payload_private_key.pem": "payload",
}


class Cluster(NamedTuple):
    """All that the router meets: its own network, and that of all others."""

    router: Network
    others: Network
    backends: Mapping[str, Backend]

    def ask(self, target: bytes, *fields: tuple[bytes, bytes], body: bytes | None = None) -> bytes:
        """Ask on port 80, from another machine.

        Returns:
            The body of a 200.
        """
        method = b"GET" if body is None else b"POST"
        with self.others.joined(), Client((ROUTER, 80)) as client:
            answer = client.ask(build_request(target, *fields, method=method, body=body))
        assert answer.status == 200, answer.raw
        return answer.body


@pytest.fixture(scope="module")
def pods() -> Mapping[str, Manifest]:
    """The router's pod in the base and in the hardened overlay."""
    return {name: next(find_pods(build_overlay(name))) for name in ("base", "hardened")}


@pytest.fixture(scope="module")
def cluster(
    image: tuple[Rooms, Stage],
    pods: Mapping[str, Manifest],
    signing: KeyPair,
    payload: KeyPair,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Cluster]:
    """The cluster; the keys are mounted in the image, and its names are known."""
    rooms, _ = image
    hosts = "".join(f"{address} {name}\n" for name, address in SERVICES.items())
    _put(image, tmp_path_factory.mktemp("hosts"), "/etc/hosts", hosts.encode())
    pems = {"signing": signing.public_pem, "payload": payload.private_pem}
    for path, name in KEY_FILES.items():
        _put(image, tmp_path_factory.mktemp(name), path, pems[name])
    context = pods["hardened"]["spec"]["securityContext"]
    sysctls = {one["name"]: one["value"] for one in context["sysctls"]}
    with (
        Network(rooms, sysctls) as router,
        Network(rooms) as others,
        contextlib.ExitStack() as stack,
    ):
        addresses = [f"{address}/8" for address in (*SERVICES.values(), POD, ADMINISTRATOR)]
        router.link(others, [f"{ROUTER}/8"], addresses)
        with others.joined():
            backends = {
                name: stack.enter_context(Backend(address, 8000 if name == "pyos" else 80, name))
                for name, address in SERVICES.items()
            }
            for name, port in (("file service", FILE_SERVICE), ("websockify", WEBSOCKIFY)):
                backends[name] = stack.enter_context(Backend(POD, port, name))
        yield Cluster(router, others, backends)


def _put(image: tuple[Rooms, Stage], folder: Path, path: str, content: bytes) -> None:
    """Put a file into the image, as a volume would."""
    rooms, stage = image
    source = folder / "file"
    source.write_bytes(content)
    rooms.run("install", "-D", "-m", "0644", str(source), f"{stage.root}{path}")


def _token() -> tuple[bytes, bytes]:
    return b"ABCAuthorization", mint(POD, now=time.time())


def _environment(pod: Manifest) -> dict[str, str]:
    """A pod's environment as its container gets it."""
    links = {} if pod["spec"].get("enableServiceLinks") is False else SERVICE_LINKS
    named = find_environment(pod).items()
    return links | {name: value or WHAT_A_CLUSTER_KNOWS[name] for name, value in named}


@pytest.fixture(scope="module")
def swapped(
    image: tuple[Rooms, Stage], cluster: Cluster, pods: Mapping[str, Manifest]
) -> Iterator[Container]:
    """The router in the parent's Deployment: nothing but the image is another."""
    with Container(*image, cluster.router, _environment(pods["base"])) as container:
        yield container


@pytest.mark.parametrize(
    ("target", "body"),
    [
        (b"/", b"website"),
        (b"/API/x", b"pyos"),
        (b"/console/", b"console"),
        (b"/speedtest/", b"speedtest"),
        (b"/healthz", b"OK\n"),
        (b"/node", b"node-9\n"),
    ],
)
def test_the_swap(swapped: Container, cluster: Cluster, target: bytes, body: bytes) -> None:
    """By the Deployment's environment alone, each location of port 80 leads where it did."""
    assert cluster.ask(target) == body


def test_the_swap_leads_to_pods(swapped: Container, cluster: Cluster) -> None:
    """The mounted keys verify and decrypt what pyos minted; a pod's WebSocket is open."""
    assert cluster.ask(b"/filer/x", _token()) == b"file service"
    with cluster.others.joined():
        connection = socket.create_connection((ROUTER, 80))
    uri = f"ws://{ROUTER}/websockify?jwt_token={_token()[1].decode()}"
    with connect(uri, sock=connection) as websocket:
        websocket.send("frame")
        assert websocket.recv() == "frame"


def test_the_swap_listens_on_both_families(swapped: Container, cluster: Cluster) -> None:
    """As the parent does; without a certificate nothing is at port 443."""
    with cluster.router.joined():
        with Client(("::1", 80)) as client:
            assert client.ask(build_request(b"/healthz")).body == b"OK\n"
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", 443))


def test_the_swap_drains(swapped: Container, cluster: Cluster) -> None:
    """SIGTERM ends it within the 30 s that Kubernetes gives it by default, with exit status 0."""
    assert swapped.stop(30) == 0, swapped.log
    assert "Traceback" not in swapped.log


def test_a_mounted_certificate(
    image: tuple[Rooms, Stage],
    cluster: Cluster,
    pods: Mapping[str, Manifest],
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    """With a TLS secret where the parent has it, port 443 speaks TLS; ACME files are served.

    So it is if the secret comes only when the router runs: without it nothing is at port 443.
    """
    rooms, stage = image
    certificate = tmp_path / "certificate.pem"
    certificate.write_bytes(make_certificate())
    request.addfinalizer(lambda: rooms.run("rm", "-r", f"{stage.root}/etc/nginx/ssl"))
    _put(image, tmp_path, "/var/lib/nginx/html/.well-known/acme-challenge/proof", b"of it")
    tls = client_context(certificate, "http/1.1")
    with Container(*image, cluster.router, _environment(pods["base"])) as container:
        with cluster.others.joined(), pytest.raises(ConnectionRefusedError):
            socket.create_connection((ROUTER, 443))
        for name in ("tls.crt", "tls.key"):
            _put(image, tmp_path, f"/etc/nginx/ssl/{name}", certificate.read_bytes())
        wait_until(lambda: ":443, too" in container.log, "it listens at port 443")
        with cluster.others.joined(), Client((ROUTER, 443), tls=tls) as client:
            assert client.ask(build_request(b"/")).body == b"website"
        assert cluster.ask(b"/.well-known/acme-challenge/proof") == b"of it"


def test_hardened(
    image: tuple[Rooms, Stage], cluster: Cluster, pods: Mapping[str, Manifest]
) -> None:
    """Without root and without a writable root, on port 80: all of it works, uploads too."""
    pod = pods["hardened"]
    volumes = {one["name"] for one in pod["spec"]["volumes"] if "emptyDir" in one}
    mounts = find_container(pod)["volumeMounts"]
    with Container(
        *image,
        cluster.router,
        _environment(pod),
        user=pod["spec"]["securityContext"]["runAsUser"],
        volumes=[one["mountPath"] for one in mounts if one["name"] in volumes],
    ) as container:
        assert cluster.ask(b"/") == b"website"
        assert cluster.ask(b"/API/x") == b"pyos"
        cluster.backends["file service"].forget()
        upload = b"0123456789" * 100_000
        assert cluster.ask(b"/filer/x", _token(), body=upload) == b"file service"
        assert cluster.backends["file service"].request.body == upload
        with cluster.others.joined(), Client((ROUTER, METRICS)) as client:
            metrics = client.ask(build_request(b"/metrics"))
        assert metrics.status == 200
        assert b'location="/filer"' in metrics.body
        assert container.can_write("/tmp")
        assert not container.can_write("/opt")
        assert "Traceback" not in container.log


def test_rules_that_would_be_lost(
    image: tuple[Rooms, Stage],
    cluster: Cluster,
    pods: Mapping[str, Manifest],
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    """A console.conf that is mounted where the parent has it ends the start with the remedy."""
    rooms, stage = image
    _put(image, tmp_path, "/etc/nginx/console.conf", b"allow 10.9.0.0/16; deny all;")
    request.addfinalizer(lambda: rooms.run("rm", f"{stage.root}/etc/nginx/console.conf"))
    environment = _environment(pods["base"])
    command = rooms.words(*enter(stage, environment), *stage.entrypoint)
    refused = run(command, capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert "set route_console_allow=10.9.0.0/16 " in refused.stderr
    environment["ROUTE_CONSOLE_ALLOW"] = "10.9.0.0/16"
    with Container(*image, cluster.router, environment), cluster.others.joined():
        for source, status in ((ADMINISTRATOR, 200), (POD, 403)):
            with Client((ROUTER, 80), source=source) as client:
                assert client.ask(build_request(b"/console/")).status == status
