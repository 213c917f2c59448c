"""Certificates: which one a name gets, and what changes with their files."""

import asyncio
import datetime
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme

from route_addon.carry.tls import certificates as module
from route_addon.carry.tls.certificate import (
    Certificate,
    CertificateFault,
    CertificateFiles,
)
from route_addon.carry.tls.certificates import Certificates

HOST = "desk.example"
NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)

CA = trustme.CA()


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
    assert rotation.certificates.has_failed
    rotation.put("second.example")
    assert await rotation.in_force() == "second.example"
    assert len(log.records) == 2
    assert not rotation.certificates.has_failed


async def test_a_bad_new_file_that_is_taken_back(rotation: Rotation) -> None:
    """The very files that are in force are no failure any more."""
    key = Path(rotation.files.key)
    key.rename(key.with_suffix(".old"))
    key.write_bytes(b"garbage")
    assert await rotation.in_force() == "first.example"
    assert rotation.certificates.has_failed
    key.with_suffix(".old").rename(key)
    assert await rotation.in_force() == "first.example"
    assert not rotation.certificates.has_failed


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

    def read_too_early(files: CertificateFiles, passphrase: str) -> Certificate:
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
