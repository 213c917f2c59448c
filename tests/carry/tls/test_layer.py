"""TLS sessions as clients see them, without a socket between."""

import ssl
from pathlib import Path

import pytest
import trustme
from mitmproxy.net.tls import starts_like_tls_record
from OpenSSL import SSL

from route_addon.carry.tls.certificate import CertificateFiles
from route_addon.carry.tls.certificates import Certificates
from route_addon.carry.tls.layer import (
    HTTP1,
    HTTP1_AND_2,
    TLS_HANDSHAKE,
    build_upstream_context,
    is_bounded,
    is_own_session,
    open_refusal,
)

HOST = "desk.example"
CA = trustme.CA()


@pytest.fixture(scope="module", params=[trustme.KeyType.ECDSA, trustme.KeyType.RSA])
def certificates(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Certificates:
    """Two certificates, with keys of either kind."""
    folder = tmp_path_factory.mktemp("certificates")
    files: list[CertificateFiles] = []
    for name in (HOST, "other.example"):
        path = folder / f"{name}.pem"
        leaf = CA.create_child_ca().issue_cert(name, key_type=request.param)
        leaf.private_key_and_cert_chain_pem.write_to_path(str(path))
        files.append(CertificateFiles(str(path), str(path)))
    return Certificates(files)


class Handshake:
    """A client of Python's ``ssl`` and a session of ours, and the bytes between them."""

    def __init__(self, client: ssl.SSLContext, session: SSL.Connection, name: str | None) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.client = client.wrap_bio(self._incoming, self._outgoing, server_hostname=name)
        self.session = session

    def run(self) -> None:
        """Make the handshake.

        Raises:
            ssl.SSLError: The client does not like it, or was told that we do not.
        """
        fault: SSL.Error | None = None
        for _ in range(5):
            try:
                self.client.do_handshake()
            except ssl.SSLWantReadError:
                assert fault is None
            self._to_session()
            try:
                self.session.do_handshake()
            except SSL.WantReadError:
                pass
            except SSL.Error as error:
                fault = error
            self._to_client()

    def close(self) -> bytes:
        """End it from our side.

        Returns:
            What the client reads then: nothing, once it has seen the end.
        """
        self.session.shutdown()
        self._to_client()
        return self.client.read()

    def ticket(self) -> ssl.SSLSession:
        """What the client may resume it with."""
        self.session.send(b"x")
        self._to_client()
        assert self.client.read() == b"x"
        session = self.client.session
        assert session is not None
        return session

    def _to_session(self) -> None:
        data = self._outgoing.read()
        if data:
            self.session.bio_write(data)

    def _to_client(self) -> None:
        try:
            while True:
                self._incoming.write(self.session.bio_read(65536))
        except SSL.WantReadError:
            pass


def make_client(*protocols: str) -> ssl.SSLContext:
    """A client that trusts the tests' CA alone."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    CA.configure_trust(client)
    if protocols:
        client.set_alpn_protocols(list(protocols))
    return client


def shake(
    certificates: Certificates,
    client: ssl.SSLContext,
    name: str = HOST,
    protocols: tuple[bytes, ...] = HTTP1_AND_2,
) -> Handshake:
    """Make a handshake."""
    handshake = Handshake(client, certificates.open_session(protocols), name)
    handshake.run()
    return handshake


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("name", [HOST, "other.example"])
def test_versions_and_names(certificates: Certificates, version: ssl.TLSVersion, name: str) -> None:
    """TLS 1.2 and 1.3; the client verifies the chain and the name."""
    client = make_client()
    client.minimum_version = client.maximum_version = version
    handshake = shake(certificates, client, name)
    cipher = handshake.client.cipher()
    assert cipher is not None
    assert "GCM" in cipher[0] or "CHACHA20" in cipher[0]
    assert handshake.client.compression() is None
    assert handshake.close() == b""


def test_a_name_that_no_certificate_is_for(certificates: Certificates) -> None:
    """The first one is shown, and the client refuses it."""
    with pytest.raises(ssl.SSLCertVerificationError, match="not valid for"):
        shake(certificates, make_client(), "nobody.example")


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_old_versions(certificates: Certificates, version: ssl.TLSVersion) -> None:
    """They are refused, and the client is told why."""
    client = make_client()
    client.set_ciphers("DEFAULT:@SECLEVEL=0")
    client.minimum_version = client.maximum_version = version
    with pytest.raises(ssl.SSLError, match=r"(?i)protocol.version"):
        shake(certificates, client)


@pytest.mark.parametrize(
    "cipher",
    [
        *("AES128-SHA", "AES256-SHA256", "AES128-GCM-SHA256"),
        *("ECDHE-RSA-AES128-SHA", "ECDHE-ECDSA-AES128-SHA256", "ECDHE-RSA-AES256-SHA384"),
        *("DHE-RSA-AES128-GCM-SHA256", "DHE-RSA-AES256-SHA"),
    ],
)
def test_weak_ciphers(certificates: Certificates, cipher: str) -> None:
    """No key exchange without forward secrecy, nothing without authenticated encryption."""
    client = make_client()
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    client.set_ciphers(cipher)
    with pytest.raises(ssl.SSLError, match=r"(?i)handshake.failure"):
        shake(certificates, client)


@pytest.mark.parametrize(
    ("asked", "offered", "chosen"),
    [
        (("h2", "http/1.1"), HTTP1_AND_2, "h2"),
        (("http/1.1", "h2"), HTTP1_AND_2, "h2"),
        (("http/1.1",), HTTP1_AND_2, "http/1.1"),
        (("h2", "http/1.1"), HTTP1, "http/1.1"),
        (("spdy/3", "http/1.1"), HTTP1, "http/1.1"),
        ((), HTTP1_AND_2, None),
    ],
)
def test_protocols(
    certificates: Certificates,
    asked: tuple[str, ...],
    offered: tuple[bytes, ...],
    chosen: str | None,
) -> None:
    """HTTP/2 before HTTP/1.1, whatever the client's order."""
    handshake = shake(certificates, make_client(*asked), protocols=offered)
    assert handshake.client.selected_alpn_protocol() == chosen


@pytest.mark.parametrize("asked", [("ftp",), ("h2",)])
def test_no_protocol_in_common(certificates: Certificates, asked: tuple[str, ...]) -> None:
    """RFC 7301 3.2: the handshake ends, and the next one is not touched by it."""
    with pytest.raises(ssl.SSLError, match=r"(?i)no.application.protocol"):
        shake(certificates, make_client(*asked), protocols=HTTP1)
    assert shake(certificates, make_client("http/1.1"), protocols=HTTP1).close() == b""


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_resumption(certificates: Certificates, version: ssl.TLSVersion) -> None:
    """By a ticket."""
    client = make_client()
    client.minimum_version = client.maximum_version = version
    ticket = shake(certificates, client).ticket()
    again = Handshake(client, certificates.open_session(HTTP1), HOST)
    again.client.session = ticket
    again.run()
    assert again.client.session_reused


def test_our_own_sessions(certificates: Certificates) -> None:
    """They are told from those of others."""
    assert is_own_session(certificates.open_session(HTTP1))
    other = SSL.Connection(SSL.Context(SSL.TLS_SERVER_METHOD))
    for session in (None, other, object()):
        assert not is_own_session(session)
    other.set_app_data({"http2": True})
    assert not is_own_session(other)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_session_without_a_certificate(version: ssl.TLSVersion) -> None:
    """It never comes about, whatever the client takes."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_mode = ssl.CERT_NONE
    client.set_ciphers("ALL:COMPLEMENTOFALL:@SECLEVEL=0")
    client.minimum_version = client.maximum_version = version
    handshake = Handshake(client, open_refusal(), None)
    with pytest.raises(ssl.SSLError, match=r"(?i)alert"):
        handshake.run()


def _record(size: int, body: int | None = None) -> bytes:
    return b"\x16\x03\x01" + size.to_bytes(2) + bytes(size if body is None else body)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(b"", True, id="nothing"),
        pytest.param(b"\x16\x03", True, id="the beginning"),
        pytest.param(_record(2000), True, id="one record"),
        pytest.param(_record(16384), True, id="a large one"),
        pytest.param(_record(16384) * 2, False, id="two large ones"),
        pytest.param(_record(40000, 1), False, id="a record that says it is too large"),
        pytest.param(_record(1) * 32, True, id="cut up"),
        pytest.param(_record(1) * 33, False, id="cut up too much"),
        pytest.param(_record(0), False, id="an empty record"),
        pytest.param(_record(500) + b"\x14\x03\x03\x00\x01\x01" * 99, True, id="other records"),
    ],
)
def test_the_bounds_of_a_hello(data: bytes, expected: bool) -> None:
    """What a ClientHello may cost before it is whole."""
    assert is_bounded(data) is expected


def test_the_first_byte() -> None:
    """It is what mitmproxy takes for TLS, too."""
    assert starts_like_tls_record(bytes((TLS_HANDSHAKE, 3, 1)))


def test_towards_upstreams(tmp_path: Path) -> None:
    """Certificates and names are verified; CAs of one's own are trusted beside the system's."""
    context = build_upstream_context()
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
    ca = tmp_path / "ca.pem"
    CA.cert_pem.write_to_path(str(ca))
    more = build_upstream_context(str(ca))
    assert more.cert_store_stats()["x509_ca"] == context.cert_store_stats()["x509_ca"] + 1


@pytest.mark.parametrize("text", [None, "", "no certificate"])
def test_cas_that_cannot_be_read(tmp_path: Path, text: str | None) -> None:
    """They are a fault of the configuration."""
    ca = tmp_path / "ca.pem"
    if text is not None:
        ca.write_text(text)
    with pytest.raises(OSError):
        build_upstream_context(str(ca))
