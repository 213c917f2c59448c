"""A handshake of bytes in and bytes out, with a client of Python's ``ssl``."""

import contextlib
import ssl

import pytest
import trustme

from route_addon.carry.tls.certificate import Certificate, CertificateFiles
from route_addon.carry.tls.certificates import Certificates
from route_addon.carry.tls.handshake import Handshake, HandshakeFault
from route_addon.carry.tls.layer import HTTP1_AND_2

NAMES = ("desk.example", "other.example")
CA = trustme.CA()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """One for each name."""
    files: list[CertificateFiles] = []
    for name in NAMES:
        path = tmp_path_factory.mktemp("certificates") / "leaf.pem"
        CA.issue_cert(name).private_key_and_cert_chain_pem.write_to_path(str(path))
        files.append(CertificateFiles(str(path), str(path)))
    return Certificates(files)


class Talk:
    """A client, a handshake of ours, and the bytes between them."""

    def __init__(self, certificates: Certificates, name: str, *protocols: str) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        CA.configure_trust(context)
        context.set_alpn_protocols(list(protocols))
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.client = context.wrap_bio(self._incoming, self._outgoing, server_hostname=name)
        self.handshake = Handshake(certificates, HTTP1_AND_2)

    def say(self) -> bytes:
        """What the client says next."""
        with contextlib.suppress(ssl.SSLWantReadError):
            self.client.do_handshake()
        return self._outgoing.read()

    def hear(self) -> None:
        """Let it hear what we say."""
        self._incoming.write(self.handshake.take())


@pytest.mark.parametrize("size", [1, 7, 100_000], ids=["byte by byte", "in pieces", "at once"])
@pytest.mark.parametrize("name", NAMES)
def test_agreed(certificates: Certificates, name: str, size: int) -> None:
    """However it is cut up: the certificate is that of the name, and both sides agree."""
    talk = Talk(certificates, name, "h2", "http/1.1")
    while data := talk.say():
        for at in range(0, len(data), size):
            assert not talk.handshake.is_over
            talk.handshake.receive(data[at : at + size])
        talk.hear()
    assert talk.handshake.is_over
    assert talk.client.selected_alpn_protocol() == "h2"
    talk.handshake.session.send(b"hello")
    talk.hear()
    assert talk.client.read() == b"hello"


def test_nothing_in_common(certificates: Certificates) -> None:
    """The client is told so, and the fault says what it was."""
    talk = Talk(certificates, NAMES[0], "ftp")
    with pytest.raises(HandshakeFault, match="no application protocol in common"):
        talk.handshake.receive(talk.say())
    talk.hear()
    with pytest.raises(ssl.SSLError, match=r"(?i)no.application.protocol"):
        talk.client.do_handshake()


def test_a_client_that_does_not_believe(certificates: Certificates) -> None:
    """Its alert is a fault like another."""
    talk = Talk(certificates, "nobody.example")
    talk.handshake.receive(talk.say())
    talk.hear()
    with pytest.raises(ssl.SSLCertVerificationError):
        talk.client.do_handshake()
    with pytest.raises(HandshakeFault, match="alert"):
        talk.handshake.receive(talk._outgoing.read())
    assert not talk.handshake.is_over


def test_a_fault_of_ours(
    certificates: Certificates,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Without a choice there is no certificate to go on with; the log says where, not what."""

    def fail(name: str | None) -> Certificate:
        raise RuntimeError(f"no word of {name}")

    monkeypatch.setattr(certificates, "select", fail)
    talk = Talk(certificates, NAMES[0], "h2")
    with pytest.raises(HandshakeFault):
        talk.handshake.receive(talk.say())
    assert not talk.handshake.is_over
    assert "no certificate was chosen: RuntimeError at " in caplog.text
    assert NAMES[0] not in caplog.text
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\x16GET / HTTP/1.1\r\n\r\n", id="no TLS"),
        pytest.param(b"\x16\x03\x01\x00\x05hello", id="no hello"),
        pytest.param(b"\x16\x03\x01\x00\x00", id="an empty record"),
        pytest.param(b"\x16\x03\x01\x40\x00" + bytes(2**14), id="nothing in it"),
        pytest.param(b"\x16\x03\x01\x00\x01\x01" * 99, id="cut up too much"),
    ],
)
def test_garbage(certificates: Certificates, data: bytes) -> None:
    """It is a fault, which shows nothing of what came."""
    handshake = Handshake(certificates, HTTP1_AND_2)
    with pytest.raises(HandshakeFault) as caught:
        handshake.receive(data)
    assert not handshake.is_over
    assert "hello" not in str(caught.value)
    assert "GET" not in str(caught.value)


def test_what_never_ends(certificates: Certificates) -> None:
    """A ClientHello may take so much, and no more, in however many pieces it comes."""
    handshake = Handshake(certificates, HTTP1_AND_2)
    record = b"\x16\x03\x01\x10\x00"
    handshake.receive(record + b"\x01\x00\xff\xff" + bytes(4092))
    with pytest.raises(HandshakeFault):
        for _ in range(40):
            handshake.receive(record + bytes(4096))
