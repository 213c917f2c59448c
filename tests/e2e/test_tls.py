"""TLS, through running routers: towards clients, and towards upstreams."""

import contextlib
import datetime
import itertools
import os
import re
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.e2e.backend import Backend
from tests.e2e.harness import (
    HOST,
    PATIENCE_S,
    SCRIPT,
    UNTRUSTED,
    Answer,
    Client,
    Command,
    Fleet,
    Request,
    Router,
    Wire,
    build_request,
    unwatched,
    wait_until,
)
from tests.e2e.websocket import Websocket

NAME = HOST.decode()
OTHER = "other.example"
NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)
CARRIERS = ("relay", "stock")

CA = trustme.CA()

HEALTH = build_request(b"/healthz")
CLOSING = build_request(b"/healthz", (b"Connection", b"close"))


def client_context(*protocols: str, ca: trustme.CA = CA) -> ssl.SSLContext:
    """TLS as a client speaks it that trusts one CA."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    ca.configure_trust(context)
    if protocols:
        context.set_alpn_protocols(list(protocols))
    return context


class Certified(Wire):
    """A client's connection under TLS. Its end is an error, unless it comes with close_notify."""

    def __init__(
        self,
        router: Router,
        context: ssl.SSLContext | None = None,
        name: str = NAME,
        session: ssl.SSLSession | None = None,
    ) -> None:
        connection = socket.create_connection(router.address, PATIENCE_S)
        try:
            self.tls = (context or client_context()).wrap_socket(
                connection, server_hostname=name, suppress_ragged_eofs=False, session=session
            )
        except BaseException:
            connection.close()
            raise
        super().__init__(self.tls)

    @property
    def serial(self) -> str:
        """The number of the certificate that the router showed."""
        certificate = self.tls.getpeercert()
        assert certificate is not None
        return str(certificate["serialNumber"])

    def ask(self, request: bytes = HEALTH) -> Answer:
        """Send a request, and read its answer."""
        self.send(request)
        return self.read_answer()


class Secret:
    """A certificate and its key as Kubernetes mounts them: links to a folder that is swapped."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._versions = itertools.count()
        folder.mkdir()
        self.swap(CA.issue_cert(NAME))
        for name in ("tls.crt", "tls.key"):
            (folder / name).symlink_to(f"..data/{name}")

    @property
    def option(self) -> str:
        """As ``route_certs`` wants it."""
        return f"{self._folder}/tls.crt:{self._folder}/tls.key"

    @property
    def key(self) -> Path:
        """The key's file."""
        return self._folder / "tls.key"

    def swap(self, leaf: trustme.LeafCert) -> None:
        """Put another certificate in force, at once."""
        version = self._folder / f"..{next(self._versions)}"
        version.mkdir()
        chain = b"".join(pem.bytes() for pem in leaf.cert_chain_pems)
        (version / "tls.crt").write_bytes(chain)
        (version / "tls.key").write_bytes(leaf.private_key_pem.bytes())
        link = self._folder / "..data_tmp"
        link.symlink_to(version.name)
        link.replace(self._folder / "..data")


@pytest.fixture
def secret(tmp_path: Path) -> Secret:
    """A certificate for the name that clients call the router."""
    return Secret(tmp_path / "secret")


@pytest.fixture(scope="module")
def basic_options(shared_fleet: Fleet, key_options: Mapping[str, str]) -> Mapping[str, object]:
    """The options of a router that knows the fleet and the keys."""
    return {
        **shared_fleet.options,
        **key_options,
        "route_trusted_proxies": "127.0.0.1/32,10.0.0.0/8",
    }


def make_command(options: Mapping[str, object], **details: Any) -> Command:
    """Nobody watches: what the wire does is the same, and the tests are done sooner."""
    if details or options.get("route_carrier") == "stock":
        return Command({"flow_detail": 0, **options}, **details)
    return unwatched(options)


@pytest.fixture
def start(basic_options: Mapping[str, object]) -> Iterator[Callable[..., Router]]:
    """Starts routers; options come as arguments."""
    with contextlib.ExitStack() as stack:

        def start(
            *, scripts: tuple[Path, ...] = (), has_remote: bool = False, **options: object
        ) -> Router:
            details = {"scripts": scripts} if scripts else {}
            command = make_command({**basic_options, **options}, **details)
            return stack.enter_context(Router(command, has_remote=has_remote))

        yield start


@pytest.fixture(scope="module", params=CARRIERS)
def tls_router(
    request: pytest.FixtureRequest,
    basic_options: Mapping[str, object],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Router]:
    """A router with two certificates, by each carrier."""
    folder = tmp_path_factory.mktemp("certificates")
    for name in (NAME, OTHER):
        leaf = CA.issue_cert(name, f"*.{name}")
        leaf.private_key_and_cert_chain_pem.write_to_path(str(folder / name))
    options = {
        **basic_options,
        "route_carrier": request.param,
        "route_certs": f"{folder / NAME}, {folder / OTHER}",
        "route_hsts": 600,
    }
    with Router(make_command(options)) as router:
        yield router


def wait_for_serial(router: Router, serial: str) -> None:
    """Wait until new connections see another certificate than this."""

    def is_new() -> bool:
        with Certified(router) as client:
            return client.serial != serial

    wait_until(is_new, "the new certificate is shown")


# Towards clients.


@pytest.mark.parametrize("name", [NAME, OTHER, f"pod.{OTHER}"])
def test_by_name(tls_router: Router, name: str) -> None:
    """Each name gets its certificate, and both schemes share one port."""
    with Certified(tls_router, name=name) as client:
        assert client.ask().body == b"OK\n"
        certificate = client.tls.getpeercert()
        assert certificate is not None
        assert ("DNS", name.removeprefix("pod.")) in certificate["subjectAltName"]
    assert tls_router.ask(HEALTH).body == b"OK\n"


def test_no_name(tls_router: Router) -> None:
    """The first certificate is for clients that name no host."""
    context = client_context()
    context.check_hostname = False
    connection = socket.create_connection(tls_router.address, PATIENCE_S)
    with context.wrap_socket(connection) as client:
        certificate = client.getpeercert()
    assert certificate is not None
    assert ("DNS", NAME) in certificate["subjectAltName"]


def test_the_scheme_reaches_the_upstream(tls_router: Router, fleet: Fleet) -> None:
    """And the whole of a large request and its answer passes."""
    content = os.urandom(6 * 2**20)
    fleet.speedtest.play(
        lambda wire, request: wire.send(
            b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(content), request.body)
        )
    )
    with Certified(tls_router) as client:
        answer = client.ask(build_request(b"/speedtest/x", method=b"POST", body=content))
    assert answer.body == content
    assert fleet.speedtest.request.get(b"x-forwarded-proto") == b"https"


def test_a_websocket(tls_router: Router, fleet: Fleet) -> None:
    """In both directions, to a close in order."""
    token = fleet.alice.token.decode()
    with Websocket(Certified(tls_router), f"/websockify?jwt_token={token}") as websocket:
        for message in (b"hello", b"x" * 100_000):
            assert websocket.echo(message) == message


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize(
    "request_bytes",
    [
        pytest.param(CLOSING, id="as asked"),
        pytest.param(build_request(b"/healthz", version=b"HTTP/1.0"), id="HTTP/1.0"),
        pytest.param(b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", id="refused"),
    ],
)
def test_the_end(tls_router: Router, version: ssl.TLSVersion, request_bytes: bytes) -> None:
    """The client sees close_notify, so that it knows that nothing was cut."""
    context = client_context()
    context.minimum_version = context.maximum_version = version
    with Certified(tls_router, context) as client:
        client.ask(request_bytes)
        assert client.read_to_end() == b""


def test_the_client_ends_first(tls_router: Router) -> None:
    """Its close_notify is answered with ours."""
    with Certified(tls_router) as client:
        assert client.ask().status == 200
        client.tls.unwrap().close()


def test_resumption(tls_router: Router) -> None:
    """Both versions resume by a ticket."""
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = client_context()
        context.minimum_version = context.maximum_version = version
        with Certified(tls_router, context) as client:
            client.ask()
            assert not client.tls.session_reused
            session = client.tls.session
        with Certified(tls_router, context, session=session) as client:
            assert client.ask().status == 200
            assert client.tls.session_reused


def test_protocols(tls_router: Router) -> None:
    """HTTP/2 before HTTP/1.1; a client that speaks nothing of ours is told so."""
    for offered, chosen in (
        (("http/1.1",), "http/1.1"),
        (("http/1.1", "h2"), "h2"),
        (("h2",), "h2"),
        ((), None),
    ):
        with Certified(tls_router, client_context(*offered)) as client:
            assert client.tls.selected_alpn_protocol() == chosen
    with pytest.raises(ssl.SSLError, match=r"(?i)no.application.protocol"):
        Certified(tls_router, client_context("ftp"))
    tls_router.wait_for("no application protocol in common")


def test_a_hello_in_pieces(tls_router: Router) -> None:
    """It may come byte by byte."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context().wrap_bio(incoming, outgoing, server_hostname=NAME)
    with Client(tls_router.address) as wire:
        while True:
            try:
                client.do_handshake()
                break
            except ssl.SSLWantReadError:
                if outgoing.pending:
                    wire.send_slowly(outgoing.read())
                incoming.write(wire.receive())
    assert client.version() == "TLSv1.3"


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\x16\x03\x01\x00\x05hello" * 50, id="no hello"),
        pytest.param(b"\x16\x03\x01\xff\xff" + bytes(40000), id="too large"),
        pytest.param(b"\x16\x03\x01\x00\x01\x01" * 100, id="cut up"),
        pytest.param(b"\x16\x03\x01\x00\x00", id="an empty record"),
        pytest.param(b"\x16GET / HTTP/1.1\r\n\r\n", id="no TLS"),
    ],
)
def test_garbage(tls_router: Router, data: bytes) -> None:
    """The connection is closed; nothing of what came is in the log."""
    with tls_router.connect() as client:
        client.send(data)
        with contextlib.suppress(ConnectionError):
            client.read_to_end()
    tls_router.wait_for("TLS handshake failed: ")
    assert data.hex() not in tls_router.log
    assert tls_router.ask(HEALTH).status == 200


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("-tls1_3",), r"New, TLSv1\.3, Cipher is TLS_"),
        (("-tls1_2",), r"New, TLSv1\.2, Cipher is ECDHE-"),
        (("-tls1_1", "-cipher", "ALL:@SECLEVEL=0"), "alert protocol version"),
        (("-tls1_2", "-cipher", "AES128-SHA:AES128-GCM-SHA256"), "alert handshake failure"),
        (("-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA"), "alert handshake failure"),
    ],
)
def test_by_openssl(
    tls_router: Router, tmp_path: Path, arguments: tuple[str, ...], expected: str
) -> None:
    """As the operator's own tool sees it."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    CA.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    done = subprocess.run(
        [
            *("openssl", "s_client", "-connect", f"127.0.0.1:{tls_router.port}"),
            *("-servername", NAME, "-CAfile", str(tmp_path / "ca.pem"), "-ign_eof", *arguments),
        ],
        input=CLOSING,
        capture_output=True,
        timeout=PATIENCE_S,
        check=False,
    )
    output = (done.stdout + done.stderr).decode("latin-1")
    assert re.search(expected, output), output
    if "Cipher is TLS" in output or "Cipher is ECDHE" in output:
        assert "Verification: OK" in output
        assert "OK\n" in output
        assert "unexpected eof" not in output


def test_hsts(tls_router: Router, fleet: Fleet) -> None:
    """On all answers by https, and on none by http."""
    name = b"Strict-Transport-Security"
    with Certified(tls_router) as client:
        for target in (b"/healthz", b"/", b"/filer"):
            assert client.ask(build_request(target)).get(name) == b"max-age=600"
    with tls_router.connect(source=UNTRUSTED) as plain:
        for target in (b"/healthz", b"/", b"/filer"):
            request = build_request(target, (b"X-Forwarded-Proto", b"https"))
            assert plain.ask(request).get(name) is None
    request = build_request(b"/", (b"X-Forwarded-Proto", b"https"))
    assert tls_router.ask(request).get(name) == b"max-age=600"


# Without a certificate.


@pytest.mark.parametrize("carrier_name", CARRIERS)
def test_no_certificate(start: Callable[..., Router], carrier_name: str, fleet: Fleet) -> None:
    """TLS is refused with an alert and nothing else: no certificate is made up."""
    router = start(route_carrier=carrier_name)
    with pytest.raises(ssl.SSLError, match=r"(?i)handshake.failure"):
        Certified(router)
    with router.connect() as client:
        client.send(b"\x16")
        assert client.read_to_end() == b"\x15\x03\x01\x00\x02\x02\x28"
    router.wait_for("TLS refused: no certificate is configured (route_certs)")
    assert router.ask(HEALTH).status == 200
    assert fleet.is_untouched


@pytest.mark.parametrize("carrier_name", CARRIERS)
def test_when_the_script_is_gone(
    start: Callable[..., Router], carrier_name: str, secret: Secret, tmp_path: Path
) -> None:
    """mitmproxy goes on by itself then, and would make a certificate up."""
    script = tmp_path / "script.py"
    script.write_bytes(SCRIPT.read_bytes())
    router = start(scripts=(script,), route_carrier=carrier_name, route_certs=secret.option)
    with Certified(router) as client:
        client.ask()
    script.write_text("this is no Python")
    os.utime(script, (time.time() + 5, time.time() + 5))
    router.wait_for("SyntaxError")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with pytest.raises((ssl.SSLError, ConnectionError)):
        Certified(router, context)


# Certificates that come and go.


def test_mitmproxys_own_option(start: Callable[..., Router], tmp_path: Path) -> None:
    """``certs`` is taken where ``route_certs`` is empty, and ``http2`` is obeyed."""
    for name in (NAME, OTHER):
        leaf = CA.issue_cert(name)
        leaf.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / name))
    router = start(certs=f"*={tmp_path / NAME}", http2="false")
    with Certified(router, client_context("h2", "http/1.1")) as client:
        assert client.tls.selected_alpn_protocol() == "http/1.1"
        assert client.ask().status == 200
    router.wait_for(f"certificates {NAME} until 3000-01-01")


@pytest.mark.parametrize("carrier_name", CARRIERS)
def test_rotation(
    start: Callable[..., Router], carrier_name: str, secret: Secret, fleet: Fleet
) -> None:
    """New connections see the new certificate; open ones, a WebSocket too, are not touched."""
    router = start(route_carrier=carrier_name, route_certs=secret.option)
    token = fleet.alice.token.decode()
    with (
        Certified(router) as client,
        Websocket(Certified(router), f"/websockify?jwt_token={token}") as websocket,
    ):
        for _ in range(2):
            with Certified(router) as fresh:
                before = fresh.serial
            secret.swap(CA.issue_cert(NAME))
            wait_for_serial(router, before)
            assert client.ask().status == 200
            assert websocket.echo(b"still here") == b"still here"
    assert router.log.count(f"certificate {NAME} until 3000-01-01 00:00 UTC is in force") == 2


def test_rotation_under_load(start: Callable[..., Router], secret: Secret) -> None:
    """No handshake fails while certificates are swapped."""
    router = start(route_certs=secret.option)
    faults: list[Exception] = []
    serials: set[str] = set()
    is_over = threading.Event()

    def ask() -> None:
        while not is_over.is_set():
            try:
                with Certified(router) as client:
                    assert client.ask(CLOSING).status == 200
                    assert client.read_to_end() == b""
                    serials.add(client.serial)
            except Exception as fault:
                faults.append(fault)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for count in range(1, 6):
            wait_until(lambda count=count: len(serials) == count, "it is shown")  # type: ignore[misc]
            if count < 5:
                secret.swap(CA.issue_cert(NAME))
    finally:
        is_over.set()
        for thread in threads:
            thread.join()
    assert faults == []


def test_a_bad_new_certificate(start: Callable[..., Router], secret: Secret) -> None:
    """The old one stays in force, and one line says why."""
    router = start(has_remote=True, route_certs=secret.option)
    assert not router.run_inside(
        "import route_addon.carry.tls.certificates as module\nmodule.CHECK_EVERY_S = 0.1"
    )
    with Certified(router) as client:
        before = client.serial
    key = secret.key.read_bytes()
    secret.key.write_bytes(CA.issue_cert(NAME).private_key_pem.bytes())
    sentence = "cannot be used, the old one stays in force: the key in"

    def is_told() -> int:
        with Certified(router) as client:
            assert client.serial == before
        return router.count(sentence)

    wait_until(is_told, "it is told of")
    for _ in range(3):
        time.sleep(0.2)
        is_told()
    assert router.log.count(sentence) == 1
    assert f"({NAME}, valid until 3000-01-01 00:00 UTC)" in router.log
    secret.key.write_bytes(key)
    secret.swap(CA.issue_cert(NAME))
    wait_for_serial(router, before)


@pytest.mark.parametrize(
    ("days", "warning"),
    [
        ((-30, -1), "has expired: it was valid until"),
        ((-30, 5), "expires soon: it is valid until"),
        ((1, 30), "is not valid before"),
    ],
)
def test_warnings(
    start: Callable[..., Router], secret: Secret, days: tuple[int, int], warning: str
) -> None:
    """By name and date, at the start."""
    first, last = (NOW + number * DAY for number in days)
    secret.swap(CA.issue_cert(NAME, not_before=first, not_after=last))
    router = start(route_certs=secret.option)
    date = first if "before" in warning else last
    router.wait_for(f"{warning} {date:%Y-%m-%d %H:%M} UTC")
    [line] = [line for line in router.log.splitlines() if warning in line]
    assert f"certificate {NAME} (" in line


def test_a_warning_at_a_change(start: Callable[..., Router], secret: Secret) -> None:
    """The same when a certificate is replaced."""
    router = start(route_certs=secret.option)
    secret.swap(CA.issue_cert(NAME, not_before=NOW - 2 * DAY, not_after=NOW - DAY))

    def is_refused() -> bool:
        try:
            Certified(router).close()
        except ssl.SSLCertVerificationError:
            return True
        return False

    wait_until(is_refused, "the new certificate is shown")
    router.wait_for(f"certificate {NAME} (")
    router.wait_for(f"has expired: it was valid until {NOW - DAY:%Y-%m-%d %H:%M} UTC")


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        pytest.param(
            lambda key: key.unlink(),
            r"tls\.key cannot be read \(No such file or directory\)",
            id="gone",
        ),
        pytest.param(
            lambda key: key.write_bytes(b""),
            r"tls\.key holds no private key that can be read",
            id="empty",
        ),
        pytest.param(
            lambda key: key.write_bytes(CA.issue_cert(NAME).private_key_pem.bytes()),
            rf"is not that of the first .* \({NAME}, valid until 3000-01-01 00:00 UTC\)",
            id="another's",
        ),
    ],
)
def test_no_start(
    basic_options: Mapping[str, object],
    secret: Secret,
    spoil: Callable[[Path], object],
    sentence: str,
) -> None:
    """A certificate that cannot be used ends the start with one sentence."""
    spoil(secret.key)
    done = Command({**basic_options, "route_certs": secret.option}).run()
    assert done.returncode == 1
    assert re.fullmatch(rf"route_addon: route_certs=.*: .*{sentence}\n", done.stderr), done.stderr


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("route_certs", "a:b:c", "'a:b:c' must be PATH or CHAIN:KEY"),
        ("route_upstream_ca", "/nowhere", "must be a PEM file of CA certificates"),
        ("route_https_redirect", "65536", "must be a whole number from 0 to 65535"),
    ],
)
def test_bad_options(
    basic_options: Mapping[str, object], name: str, value: str, sentence: str
) -> None:
    """One sentence that names the option, the value and the remedy."""
    done = Command({**basic_options, name: value}).run()
    assert done.returncode == 1
    assert f"route_addon: {name}={value}: {sentence}" in done.stderr


# Time.


def test_a_stalled_handshake(start: Callable[..., Router], secret: Secret) -> None:
    """It is closed in time, wherever it stalls; others are served meanwhile."""
    router = start(route_certs=secret.option, route_tls_handshake_timeout=1)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context().wrap_bio(incoming, outgoing, server_hostname=NAME)
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    hello = outgoing.read()
    for part, has_answer in ((hello[:1], False), (hello[:100], False), (hello, True)):
        begin = time.monotonic()
        with router.connect() as stalled:
            stalled.send(part)
            if has_answer:
                assert stalled.receive()[0] == 0x16
            with Certified(router) as other:
                assert other.ask().status == 200
            assert stalled.is_closed()
            assert 0.9 < time.monotonic() - begin < 5


def test_rest_ends_in_order(start: Callable[..., Router], secret: Secret) -> None:
    """A connection that rests for too long gets close_notify; the handshake's time is over."""
    router = start(
        route_certs=secret.option, route_keepalive_timeout=4, route_tls_handshake_timeout=1
    )
    with Certified(router) as client:
        client.ask()
        time.sleep(1.5)
        assert client.ask().status == 200
        assert client.read_to_end() == b""


@pytest.mark.parametrize("carrier_name", CARRIERS)
@pytest.mark.parametrize("is_certified", [True, False])
def test_nothing_is_left(
    start: Callable[..., Router], carrier_name: str, is_certified: bool, secret: Secret
) -> None:
    """Handshakes that fail, however they do, leave no open file."""
    router = start(
        has_remote=True,
        route_carrier=carrier_name,
        route_certs=secret.option if is_certified else "",
    )

    def count() -> int:
        return int(router.run_inside("import os; result = len(os.listdir('/proc/self/fd'))"))

    before = count()
    for context in (client_context("ftp"), client_context(ca=trustme.CA()), client_context()):
        for _ in range(10):
            with contextlib.suppress(OSError):
                Certified(router, context).reset()
    for data in (b"\x16", b"\x16\x03\x01\x02\x00\x01", b"\x16\x03\x01\x00\x02ab"):
        for _ in range(10):
            with router.connect() as client:
                client.send(data)
            with router.connect() as client:
                client.send(data)
                client.reset()
    wait_until(lambda: count() <= before, "all is closed")


# The way from http.


@pytest.mark.parametrize("carrier_name", CARRIERS)
def test_redirect(
    start: Callable[..., Router], carrier_name: str, secret: Secret, fleet: Fleet
) -> None:
    """By http to https; a client that a proxy vouches for, or a sign of life, goes on."""
    router = start(route_carrier=carrier_name, route_certs=secret.option, route_https_redirect=443)
    answer = router.ask(build_request(b"/a?b=c", method=b"POST", body=b"x"), source=UNTRUSTED)
    assert (answer.status, answer.get(b"location")) == (308, b"https://desk.example/a?b=c")
    forged = build_request(b"/a", (b"X-Forwarded-Proto", b"https"))
    assert router.ask(forged, source=UNTRUSTED).status == 308
    assert fleet.is_untouched
    assert router.ask(forged).status == 200
    assert router.ask(HEALTH, source=UNTRUSTED).status == 200
    challenge = build_request(b"/.well-known/acme-challenge/x")
    assert router.ask(challenge, source=UNTRUSTED).status == 404
    with Certified(router) as client:
        assert client.ask(build_request(b"/a")).body == b"website"


# Towards upstreams.


class TlsBackend(Backend):
    """A back end that speaks TLS."""

    def __init__(self, leaf: trustme.LeafCert) -> None:
        self.names: list[str | None] = []
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        leaf.configure_cert(self._context)
        self._context.set_alpn_protocols(["h2", "http/1.1"])
        self._context.sni_callback = lambda tls, name, context: self.names.append(name)
        super().__init__("127.0.0.1", name="secure")

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(PATIENCE_S)
        try:
            secure = self._context.wrap_socket(connection, server_side=True)
        except OSError:
            connection.close()
            return
        super()._serve(secure)


@pytest.fixture
def tls_backend(request: pytest.FixtureRequest) -> Iterator[Callable[..., TlsBackend]]:
    """Starts back ends that speak TLS."""
    with contextlib.ExitStack() as stack:

        def start(*names: str, **details: Any) -> TlsBackend:
            return stack.enter_context(TlsBackend(CA.issue_cert(*names, **details)))

        yield start


@pytest.fixture
def ca_file(tmp_path: Path) -> Path:
    """The CA of the upstreams."""
    path = tmp_path / "ca.pem"
    CA.cert_pem.write_to_path(str(path))
    return path


def test_an_upstream_by_stock(
    start: Callable[..., Router],
    tls_backend: Callable[..., TlsBackend],
    ca_file: Path,
    secret: Secret,
) -> None:
    """mitmproxy verifies the configured name too, whatever the client calls the router."""
    good, bad = tls_backend("localhost"), tls_backend(NAME)
    router = start(
        route_carrier="stock",
        route_certs=secret.option,
        ssl_verify_upstream_trusted_ca=ca_file,
        route_website=f"https://localhost:{good.port}",
        route_pyos=f"https://localhost:{bad.port}",
    )
    with Certified(router) as client:
        assert client.ask(build_request(b"/x")).body == b"secure"
    assert good.names == ["localhost"]
    with Certified(router) as client:
        assert client.ask(build_request(b"/API/x")).status == 502
    assert bad.requests == []


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_an_upstream(
    start: Callable[..., Router],
    tls_backend: Callable[..., TlsBackend],
    ca_file: Path,
    host: str,
) -> None:
    """Its name is sent and verified; its connection is kept."""
    backend = tls_backend(host)
    router = start(route_website=f"https://{host}:{backend.port}", route_upstream_ca=ca_file)
    with router.connect() as client:
        for _ in range(3):
            assert client.ask(build_request(b"/x")).body == b"secure"
        body = os.urandom(300_000)
        assert client.ask(build_request(b"/x", method=b"POST", body=body)).body == b"secure"
    assert backend.connections == 1
    assert backend.names == [host if host == "localhost" else None]
    assert backend.requests[0].get(b"host") == f"{host}:{backend.port}".encode()
    assert backend.requests[3].body == body


@pytest.mark.parametrize(
    ("names", "details", "is_ca_known"),
    [
        pytest.param(("localhost",), {}, False, id="an unknown CA"),
        pytest.param((OTHER,), {}, True, id="another's name"),
        pytest.param((), {"common_name": "localhost"}, True, id="no name"),
        pytest.param(
            ("localhost",),
            {"not_before": NOW - 2 * DAY, "not_after": NOW - DAY},
            True,
            id="expired",
        ),
    ],
)
def test_an_upstream_that_cannot_be_trusted(
    start: Callable[..., Router],
    tls_backend: Callable[..., TlsBackend],
    ca_file: Path,
    names: tuple[str, ...],
    details: Mapping[str, Any],
    is_ca_known: bool,
) -> None:
    """It gets nothing; the client learns no more than that; the log names it."""
    backend = tls_backend(*names, **details)
    options = {"route_upstream_ca": ca_file} if is_ca_known else {}
    router = start(route_website=f"https://localhost:{backend.port}", **options)
    answer = router.ask(build_request(b"/x"))
    assert answer.status == 502
    assert b"The upstream cannot be reached safely." in answer.body
    for secret_word in (b"localhost", b"127.0.0.1", b"certificate", str(backend.port).encode()):
        assert secret_word not in answer.raw
    lines = [line for line in router.log.splitlines() if "upstream_untrusted" in line]
    assert len(lines) == 1
    assert "502 upstream_untrusted: localhost: " in lines[0]
    assert backend.requests == []


def test_an_upstream_without_tls(start: Callable[..., Router]) -> None:
    """It is refused as one that cannot be reached, and gets nothing of the request."""
    received: list[bytes] = []

    def answer_plainly() -> None:
        connection, _ = listener.accept()
        with connection:
            received.append(connection.recv(65536))
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer_plainly)
        thread.start()
        router = start(route_website=f"https://127.0.0.1:{listener.getsockname()[1]}")
        assert router.ask(build_request(b"/x")).status == 502
        thread.join()
    router.wait_for("502 upstream_refused")
    assert received[0].startswith(b"\x16")


@pytest.mark.parametrize("watch", ["never", "always"])
def test_an_upstream_that_leaves_before_the_client_has_all(
    start: Callable[..., Router],
    tls_backend: Callable[..., TlsBackend],
    ca_file: Path,
    watch: str,
) -> None:
    """A client that reads slowly gets the answer to its end, though only that is its end."""
    body = os.urandom(8 * 1024 * 1024)

    def leave(wire: Wire, request: Request) -> None:
        wire.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + body)
        secure = wire.socket
        assert isinstance(secure, ssl.SSLSocket)
        # It says that it ends, and does not wait for a word on that.
        secure.settimeout(0.01)
        with contextlib.suppress(OSError):
            secure.unwrap()
        wire.close()

    backend = tls_backend("localhost")
    backend.play(leave)
    router = start(
        route_website=f"https://localhost:{backend.port}",
        route_upstream_ca=ca_file,
        route_watch=watch,
        route_http_cache="none",
    )
    with router.connect() as client:
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32 * 1024)
        client.send(build_request(b"/x", version=b"HTTP/1.0"))
        received = bytearray()
        while data := client.receive():
            received += data
            time.sleep(0.0005)
    assert received.endswith(body[-100:])
    assert received.partition(b"\r\n\r\n")[2] == body
