"""A certificate: what can be used, and what is said of it."""

import datetime
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from route_addon.carry.tls.certificate import (
    CertificateFault,
    CertificateFiles,
    load_certificate,
)

HOST = "desk.example"
NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)

CA = trustme.CA()


def test_chain_and_key(write: Callable[..., CertificateFiles], tmp_path: Path) -> None:
    """In two files, or in one, whichever comes first."""
    leaf = CA.issue_cert(HOST)
    files = write(leaf)
    assert load_certificate(files).names == (HOST,)
    chain, key = Path(files.chain).read_bytes(), Path(files.key).read_bytes()
    for text in (chain + key, key + chain, b"some text\n" + chain + b"\n\n" + key):
        one = tmp_path / "one.pem"
        one.write_bytes(text)
        assert load_certificate(CertificateFiles(str(one), str(one))).names == (HOST,)


def test_an_encrypted_key(write: Callable[..., CertificateFiles]) -> None:
    """mitmproxy's ``cert_passphrase`` opens it."""
    leaf = CA.issue_cert(HOST)
    files = write(leaf)
    key = load_pem_private_key(leaf.private_key_pem.bytes(), None)
    encrypted = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x"))
    Path(files.key).write_bytes(encrypted)
    assert load_certificate(files, "x").names == (HOST,)
    for passphrase in ("", "y"):
        with pytest.raises(CertificateFault):
            load_certificate(files, passphrase)


def test_addresses(write: Callable[..., CertificateFiles]) -> None:
    """A certificate may be for an address: nobody asks for it by name, but it is described."""
    certificate = load_certificate(write(CA.issue_cert("127.0.0.1")))
    assert certificate.name == "127.0.0.1"


@pytest.mark.parametrize(
    ("spoil", "fault"),
    [
        pytest.param(lambda chain, key: chain.unlink(), "cannot be read", id="no chain"),
        pytest.param(lambda chain, key: key.unlink(), "cannot be read", id="no key"),
        pytest.param(
            lambda chain, key: chain.write_bytes(b""), "holds no certificate", id="an empty chain"
        ),
        pytest.param(
            lambda chain, key: chain.write_bytes(chain.read_bytes()[:300]),
            "holds no certificate",
            id="half a chain",
        ),
        pytest.param(
            lambda chain, key: key.write_bytes(b""), "holds no private key", id="an empty key"
        ),
        pytest.param(
            lambda chain, key: key.write_bytes(key.read_bytes()[:100]),
            "holds no private key",
            id="half a key",
        ),
        pytest.param(
            lambda chain, key: key.write_bytes(CA.issue_cert(HOST).private_key_pem.bytes()),
            rf"is not that of the first certificate .*{HOST}, valid until",
            id="another's key",
        ),
        pytest.param(
            lambda chain, key: chain.write_bytes(CA.cert_pem.bytes() + chain.read_bytes()),
            "is not that of the first certificate",
            id="the CA first",
        ),
    ],
)
def test_cannot_be_used(
    write: Callable[..., CertificateFiles], spoil: Callable[[Path, Path], object], fault: str
) -> None:
    """The fault is said in one sentence, without a word of what the key holds."""
    files = write(CA.issue_cert(HOST))
    spoil(Path(files.chain), Path(files.key))
    with pytest.raises(CertificateFault, match=fault) as raised:
        load_certificate(files)
    assert "\n" not in str(raised.value)
    assert raised.value.files == files


def test_a_short_key(
    write: Callable[..., CertificateFiles], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What OpenSSL refuses is refused in its words."""
    short = rsa.generate_private_key(65537, 1024)
    monkeypatch.setattr(trustme.KeyType, "_generate_key", lambda kind: short)
    with pytest.raises(CertificateFault, match="key too small"):
        load_certificate(write(CA.issue_cert(HOST)))


@pytest.mark.parametrize(
    ("first", "last", "fault"),
    [
        pytest.param(-30, 60, None, id="good"),
        pytest.param(-30, 13, "expires soon: it is valid until", id="soon"),
        pytest.param(-2, 4, None, id="a short life, its first two thirds"),
        pytest.param(-5, 1, "expires soon", id="a short life, its last third"),
        pytest.param(-30, -1, "has expired: it was valid until", id="expired"),
        pytest.param(1, 30, "is not valid before", id="not yet"),
    ],
)
def test_what_an_operator_is_told(
    write: Callable[..., CertificateFiles], first: int, last: int, fault: str | None
) -> None:
    """By name and date."""
    leaf = CA.issue_cert(HOST, not_before=NOW + first * DAY, not_after=NOW + last * DAY)
    faults = load_certificate(write(leaf)).find_faults(NOW.timestamp())
    if fault is None:
        assert faults == []
    else:
        date = f"{NOW + (first if 'before' in fault else last) * DAY:%Y-%m-%d %H:%M} UTC"
        assert len(faults) == 1
        assert fault in faults[0] and HOST in faults[0] and faults[0].endswith(date)


def test_no_names(write: Callable[..., CertificateFiles]) -> None:
    """A common name alone: no client believes it any more."""
    certificate = load_certificate(write(CA.issue_cert(common_name=HOST)))
    assert certificate.names == ()
    [fault] = certificate.find_faults(NOW.timestamp())
    assert "no subject alternative name" in fault and HOST in fault


def test_a_chain_in_disorder(write: Callable[..., CertificateFiles]) -> None:
    """The issuer must follow."""
    files = write(CA.create_child_ca().issue_cert(HOST))
    assert load_certificate(files).find_faults(NOW.timestamp()) == []
    chain = Path(files.chain)
    chain.write_bytes(chain.read_bytes() + CA.issue_cert("x").cert_chain_pems[0].bytes())
    [fault] = load_certificate(files).find_faults(NOW.timestamp())
    assert "not in order" in fault
