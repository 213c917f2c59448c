"""Certificates: what can be used, what is said of it, which one a name gets, what changes."""

import asyncio
import datetime
import logging
import os
from collections.abc import Callable, Iterator
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

from route_addon.carry import certificates as module
from route_addon.carry.certificates import (
    CertificateFault,
    CertificateFiles,
    Certificates,
    load_certificate,
)

HOST = "desk.example"
NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)

CA = trustme.CA()


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., CertificateFiles]:
    """Writes a certificate's files."""

    def write(
        leaf: trustme.LeafCert, name: str = "both", key: trustme.LeafCert | None = None
    ) -> CertificateFiles:
        chain, key_file = tmp_path / f"{name}.pem", tmp_path / f"{name}.key"
        chain.write_bytes(b"".join(pem.bytes() for pem in leaf.cert_chain_pems))
        key_file.write_bytes((key or leaf).private_key_pem.bytes())
        return CertificateFiles(str(chain), str(key_file))

    return write


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


@pytest.fixture
def several(write: Callable[..., CertificateFiles]) -> list[CertificateFiles]:
    """Three certificates."""
    return [
        write(CA.issue_cert("first.example"), "first"),
        write(CA.issue_cert("desk.example", "*.pods.example"), "second"),
        write(CA.issue_cert("desk.example", "x.pods.example"), "third"),
    ]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (None, 0),
        ("first.example", 0),
        ("desk.example", 1),
        ("DESK.example", 1),
        ("desk.example.", 1),
        ("a.pods.example", 1),
        ("x.pods.example", 2),
        ("a.b.pods.example", 0),
        ("pods.example", 0),
        ("*.pods.example", 1),
        ("nobody.example", 0),
        ("", 0),
    ],
)
def test_by_name(several: list[CertificateFiles], name: str | None, expected: int) -> None:
    """Exact names, then wildcards for one label, the first that has it; else the first of all."""
    assert Certificates(several).select(name).files == several[expected]


def test_names_that_were_configured(several: list[CertificateFiles]) -> None:
    """mitmproxy's ``certs`` may name what a certificate is for; ``*`` is for all others."""
    files = [
        several[0],
        several[1]._replace(names=("*",)),
        several[2]._replace(names=("first.example",)),
    ]
    certificates = Certificates(files)
    assert certificates.select("first.example").files == files[2]
    assert certificates.select("nobody.example").files == files[1]


def test_none() -> None:
    """No certificate is no TLS."""
    certificates = Certificates([])
    assert not certificates
    assert certificates.describe() == "none"
    assert certificates.find_faults() == []


class Rotation:
    """One certificate in force, whose files change."""

    def __init__(self, folder: Path) -> None:
        self.files = CertificateFiles(str(folder / "tls.crt"), str(folder / "tls.key"))
        self.put("first.example")
        self.certificates = Certificates([self.files])

    def put(self, name: str) -> None:
        """Write a new certificate."""
        leaf = CA.issue_cert(name)
        Path(self.files.chain).write_bytes(leaf.cert_chain_pems[0].bytes())
        Path(self.files.key).write_bytes(leaf.private_key_pem.bytes())

    async def in_force(self) -> str:
        """The name in force, once it has been looked at again."""
        self.certificates._next_check = 0.0
        await self.certificates.refresh()
        return self.certificates.select(None).name


@pytest.fixture
def rotation(tmp_path: Path) -> Rotation:
    """A certificate in force."""
    return Rotation(tmp_path)


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """What is logged."""
    with caplog.at_level(logging.INFO, module.__name__):
        yield caplog


async def test_changed_files(rotation: Rotation, log: pytest.LogCaptureFixture) -> None:
    """They are taken at once, and it is said."""
    before = rotation.certificates.select(None)
    assert await rotation.in_force() == "first.example"
    assert rotation.certificates.select(None) is before
    rotation.put("second.example")
    assert await rotation.in_force() == "second.example"
    assert [record.levelname for record in log.records] == ["INFO"]
    assert "second.example until 3000" in log.text
    assert rotation.certificates.select("first.example").name == "second.example"


async def test_a_link_that_leads_elsewhere(tmp_path: Path) -> None:
    """As Kubernetes swaps a secret: a link to a folder is replaced, the files keep their names."""
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    (tmp_path / "..data").symlink_to("first")
    for name in ("tls.crt", "tls.key"):
        (tmp_path / name).symlink_to(f"..data/{name}")
    rotation = Rotation(tmp_path)
    os.symlink("second", tmp_path / "..data_tmp")
    leaf = CA.issue_cert("second.example")
    (tmp_path / "second" / "tls.crt").write_bytes(leaf.cert_chain_pems[0].bytes())
    (tmp_path / "second" / "tls.key").write_bytes(leaf.private_key_pem.bytes())
    assert await rotation.in_force() == "first.example"
    (tmp_path / "..data_tmp").replace(tmp_path / "..data")
    assert await rotation.in_force() == "second.example"


@pytest.mark.parametrize("what", ["gone", "garbage", "half", "another's key"])
async def test_a_bad_new_file(rotation: Rotation, log: pytest.LogCaptureFixture, what: str) -> None:
    """The old one stays in force, one line says why, and the next good one is taken."""
    key = Path(rotation.files.key)
    if what == "gone":
        key.unlink()
    elif what == "garbage":
        key.write_bytes(b"\xff garbage")
    elif what == "half":
        Path(rotation.files.chain).write_bytes(Path(rotation.files.chain).read_bytes()[:200])
    else:
        key.write_bytes(CA.issue_cert("x").private_key_pem.bytes())
    for _ in range(3):
        assert await rotation.in_force() == "first.example"
    assert [record.levelname for record in log.records] == ["WARNING"]
    assert "the old one stays in force" in log.text
    rotation.put("second.example")
    assert await rotation.in_force() == "second.example"
    assert len(log.records) == 2


async def test_a_new_one_that_has_expired(
    rotation: Rotation, log: pytest.LogCaptureFixture
) -> None:
    """It is taken, as it is at the start, and warned about."""
    leaf = CA.issue_cert(HOST, not_before=NOW - 2 * DAY, not_after=NOW - DAY)
    Path(rotation.files.chain).write_bytes(leaf.cert_chain_pems[0].bytes())
    Path(rotation.files.key).write_bytes(leaf.private_key_pem.bytes())
    assert await rotation.in_force() == HOST
    assert [record.levelname for record in log.records] == ["INFO", "WARNING"]
    assert "has expired" in log.records[1].message


async def test_one_of_two(rotation: Rotation, tmp_path: Path) -> None:
    """The other one stays as it is."""
    other = tmp_path / "other.pem"
    CA.issue_cert("other.example").private_key_and_cert_chain_pem.write_to_path(str(other))
    rotation.certificates = Certificates([rotation.files, CertificateFiles(str(other), str(other))])
    before = rotation.certificates.select("other.example")
    rotation.put("second.example")
    assert await rotation.in_force() == "second.example"
    assert rotation.certificates.select("other.example") is before


async def test_files_that_change_while_they_are_read(
    rotation: Rotation, log: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of the old and half of the new is nothing to complain about: the next look decides."""

    def read_too_early(files: CertificateFiles, passphrase: str) -> module.Certificate:
        monkeypatch.undo()
        rotation.put("second.example")
        raise CertificateFault(files, "the key is another's")

    Path(rotation.files.key).touch()
    monkeypatch.setattr(module, "load_certificate", read_too_early)
    assert await rotation.in_force() == "first.example"
    assert log.records == []
    assert await rotation.in_force() == "second.example"


async def test_not_on_every_handshake(rotation: Rotation, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are looked at once a second at most, however many handshakes there are."""
    looks: list[CertificateFiles] = []

    def look(files: CertificateFiles) -> object:
        looks.append(files)
        return rotation.certificates.select(None).stamp

    monkeypatch.setattr(module, "read_stamp", look)
    for _ in range(5):
        await asyncio.gather(*(rotation.certificates.refresh() for _ in range(20)))
    assert len(looks) == 1


async def test_a_file_system_that_hangs(
    rotation: Rotation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A handshake waits for it a little, then goes on with what is in force."""
    hangs = asyncio.Event()

    async def hang(*arguments: object) -> list[object]:
        await hangs.wait()
        return []

    monkeypatch.setattr(module, "_PATIENCE_S", 0.01)
    monkeypatch.setattr(asyncio, "to_thread", hang)
    assert await rotation.in_force() == "first.example"
    assert await rotation.in_force() == "first.example"
    hangs.set()
    await asyncio.sleep(0)
    monkeypatch.undo()
    rotation.put("second.example")
    assert await rotation.in_force() == "second.example"


async def test_a_fault_of_our_own(
    rotation: Rotation, log: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The handshake goes on, and so does the watch."""
    monkeypatch.setattr(module, "read_stamp", None)
    assert await rotation.in_force() == "first.example"
    assert "could not be looked at: TypeError" in log.text
    monkeypatch.undo()
    rotation.put("second.example")
    assert await rotation.in_force() == "second.example"


async def test_contexts_are_renewed(
    rotation: Rotation, log: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The keys of session tickets must not live as long as the process; nothing is said."""
    before = rotation.certificates.select(None)
    monkeypatch.setattr(module, "_RENEW_AFTER_S", 0.0)
    assert await rotation.in_force() == "first.example"
    assert rotation.certificates.select(None).context is not before.context
    assert log.records == []
