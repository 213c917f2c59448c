"""Files that are watched, and what becomes of changes."""

import asyncio
import logging
from pathlib import Path

import pytest

from route_addon.config import reloads as reloads_module
from route_addon.config.reloads import Reloads
from route_addon.config.stamps import stamp_files
from route_addon.options import BadOption


class Reader:
    """Reads one file.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.read: list[str] = []
        self.files = stamp_files([str(path)])

    async def reload(self) -> None:
        """Read it; ``bad`` cannot be used, and ``worse`` is a fault of ours."""
        files = stamp_files(self.files)
        text = self.path.read_text()
        if text == "bad":
            raise BadOption("x", "y", "is bad")
        if text == "worse":
            raise RuntimeError("secret")
        self.read.append(text)
        self.files = files


@pytest.fixture
def reader(tmp_path: Path) -> Reader:
    """Reads a file that is there."""
    (tmp_path / "file").write_text("old")
    return Reader(tmp_path / "file")


@pytest.fixture
def reloads(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> Reloads:
    """Looks often."""
    monkeypatch.setattr(reloads_module, "CHECK_EVERY_S", 0.02)
    return Reloads(lambda: reader.files, reader.reload)


async def _becomes(read: list[str], expected: list[str]) -> None:
    async with asyncio.timeout(5):
        while read != expected:
            await asyncio.sleep(0.01)


async def test_a_change_is_taken(reader: Reader, reloads: Reloads) -> None:
    """Once for each change, also when the file is another one behind a link."""
    reloads.start()
    reader.path.write_text("longer")
    await _becomes(reader.read, ["longer"])
    other = reader.path.with_name("other")
    other.write_text("other")
    link = reader.path.with_name("link")
    link.symlink_to("other")
    link.rename(reader.path)
    await _becomes(reader.read, ["longer", "other"])
    await asyncio.sleep(0.1)
    assert reader.read == ["longer", "other"]
    assert (reloads.succeeded, reloads.failed, reloads.has_failed) == (2, 0, False)
    reloads.close()
    reader.path.write_text("too late")
    await asyncio.sleep(0.1)
    assert reader.read == ["longer", "other"]


@pytest.mark.parametrize(("text", "told"), [("bad", "x=y: is bad"), ("worse", "RuntimeError")])
async def test_a_bad_change(
    reader: Reader, reloads: Reloads, text: str, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is told of once, without what a fault may hold, and the next change is taken."""
    caplog.set_level(logging.WARNING)
    reloads.start()
    reader.path.write_text(text)
    async with asyncio.timeout(5):
        while not reloads.has_failed:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    assert (reloads.failed, reader.read) == (1, [])
    assert len(caplog.records) == 1
    assert told in caplog.text
    assert "secret" not in caplog.text
    reader.path.write_text("good again")
    await _becomes(reader.read, ["good again"])
    assert not reloads.has_failed
    reloads.close()


async def test_asked_for(reader: Reader, reloads: Reloads) -> None:
    """It may be asked for without a change, and says whether it has succeeded."""
    assert await reloads.reload()
    reader.path.write_text("bad")
    assert not await reloads.reload()
    assert reader.read == ["old"]
    reloads.close()
