"""The files of ACME challenges."""

import os
from pathlib import Path

import pytest

from route_addon.carry.tls.challenge import read_challenge
from route_addon.core.messages import Respond, ServeFile
from tests.core.heads import REQUEST_ID, make_head, make_router, values
from tests.minting import NOW

TARGET = b"/.well-known/acme-challenge/name"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where the file of a challenge is looked for."""
    path = tmp_path / TARGET.decode().lstrip("/")
    path.parent.mkdir(parents=True)
    return path


def _decide(tmp_path: Path) -> ServeFile:
    decision = make_router(acme_root=str(tmp_path)).decide(make_head(TARGET), NOW)
    assert isinstance(decision, ServeFile)
    return decision


def _read(tmp_path: Path) -> Respond:
    return read_challenge(_decide(tmp_path))


@pytest.mark.parametrize("content", [b"proof", b"", b"\0\xff", b"x" * 65536], ids=len)
def test_served(tmp_path: Path, file: Path, content: bytes) -> None:
    """The file's bytes, whatever they are, as text."""
    file.write_bytes(content)
    answer = _read(tmp_path)
    assert (answer.status, answer.body, answer.error) == (200, content, None)
    assert values(answer.fields, b"Content-Type") == [b"text/plain"]
    assert values(answer.fields, b"X-Request-ID") == [REQUEST_ID]
    assert values(answer.fields, b"X-Frame-Options") == [b"SAMEORIGIN"]
    assert answer.location is not None
    assert TARGET.startswith(answer.location.location.encode())


def test_symbolic_link(tmp_path: Path, file: Path) -> None:
    """A link is followed, as nginx does: mounted volumes are made of links."""
    (tmp_path / "elsewhere").write_bytes(b"proof")
    file.symlink_to(tmp_path / "elsewhere")
    assert _read(tmp_path).body == b"proof"


def _nothing(file: Path) -> None:
    """There is no file."""


def _folder(file: Path) -> None:
    file.mkdir()


def _too_large(file: Path) -> None:
    file.write_bytes(b"x" * 65537)


def _dangling(file: Path) -> None:
    file.symlink_to(file.parent / "nosuch")


def _loop(file: Path) -> None:
    file.symlink_to(file)


def _pipe(file: Path) -> None:
    os.mkfifo(file)


def _device(file: Path) -> None:
    file.symlink_to("/dev/zero")


def _no_parent(file: Path) -> None:
    file.parent.rmdir()


def _parent_is_a_file(file: Path) -> None:
    file.parent.rmdir()
    file.parent.write_bytes(b"x")


MISSING = [
    _nothing,
    _folder,
    _too_large,
    _dangling,
    _loop,
    _pipe,
    _device,
    _no_parent,
    _parent_is_a_file,
]


@pytest.mark.parametrize("prepare", MISSING, ids=lambda prepare: prepare.__name__.strip("_"))
def test_missing(tmp_path: Path, file: Path, prepare: object) -> None:
    """Anything but a small file is a 404."""
    assert callable(prepare)
    prepare(file)
    decision = _decide(tmp_path)
    assert read_challenge(decision) is decision.missing
    assert decision.missing.status == 404


def test_unreadable(tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So is a file that cannot be read."""

    def fail(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    file.write_bytes(b"proof")
    monkeypatch.setattr(Path, "read_bytes", fail)
    assert _read(tmp_path).status == 404
