"""What is released: a wheel and an archive of the sources, which run without this repository.

Here they are built and installed by uv; the image's tests install the wheel by pip, and
``scripts/release-check`` runs the quick part of the tests on every Python that is supported.
"""

import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Mapping
from email.message import Message
from email.parser import Parser
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.e2e.harness import Command, Router

ROOT = Path(__file__).parents[1]
SEMANTIC = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")
OFFLINE = re.compile("dns error|Failed to fetch|Connection refused|error sending request")


class Release(NamedTuple):
    """The two files."""

    wheel: Path
    sdist: Path

    @property
    def metadata(self) -> Message:
        """What the wheel says of itself."""
        with zipfile.ZipFile(self.wheel) as archive:
            (name,) = (name for name in archive.namelist() if name.endswith("/METADATA"))
            return Parser().parsestr(archive.read(name).decode())


def _run_uv(*words: str) -> None:
    uv = Path(sys.executable).with_name("uv")
    done = subprocess.run([uv, *words], capture_output=True, text=True, check=False)
    if done.returncode and OFFLINE.search(done.stderr):
        pytest.skip(f"nothing is built or installed without a package registry: {done.stderr}")
    assert done.returncode == 0, done.stderr


def _python() -> str:
    return str(getattr(sys, "_base_executable", sys.executable))


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    """Both, the wheel built from the archive."""
    folder = tmp_path_factory.mktemp("dist")
    _run_uv("build", "--python", _python(), "--out-dir", str(folder), str(ROOT))
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return Release(wheel, sdist)


@pytest.fixture(scope="module")
def installation(release: Release, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty virtual environment with the wheel."""
    folder = tmp_path_factory.mktemp("venv")
    _run_uv("venv", "--python", _python(), str(folder / "venv"))
    python = str(folder / "venv" / "bin" / "python")
    constraints = ("--constraint", str(ROOT / "constraints.txt"))
    _run_uv("pip", "install", "--python", python, *constraints, str(release.wheel))
    return folder / "venv" / "bin"


@pytest.fixture(scope="module")
def project() -> Mapping[str, Any]:
    """The project's table."""
    table = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert isinstance(table, dict)
    return table


def test_version(release: Release, project: Mapping[str, Any]) -> None:
    """A semantic one; the changelog knows of it, or of what comes next."""
    assert SEMANTIC.fullmatch(project["version"])
    assert release.metadata["Version"] == project["version"]
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert f"## [{project['version']}]" in changelog or "## [Unreleased]" in changelog


def test_metadata(release: Release) -> None:
    """Licence, notice, readme, and the Pythons that it is tested on."""
    metadata = release.metadata
    assert metadata["License-Expression"] == "MIT"
    assert metadata.get_all("License-File") == ["LICENSE", "NOTICE"]
    assert metadata["Requires-Python"] == ">=3.12"
    classifiers = metadata.get_all("Classifier") or []
    versions = [one.rpartition(" ")[2] for one in classifiers if "Python :: 3." in one]
    assert versions == ["3.12", "3.13"]
    check = (ROOT / "scripts" / "release-check").read_text("utf-8")
    assert f"versions=({' '.join(versions)})" in check
    assert str(metadata.get_payload()).startswith("# route_addon")


def test_what_the_wheel_holds(release: Release) -> None:
    """The package, whole, and nothing else."""
    with zipfile.ZipFile(release.wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    sources = (path for path in (ROOT / "route_addon").rglob("*") if path.is_file())
    assert names == {
        str(path.relative_to(ROOT)) for path in sources if "__pycache__" not in path.parts
    }
    assert {"route_addon/py.typed", "route_addon/script.py"} <= names


def test_what_the_archive_holds(release: Release) -> None:
    """All that it takes to test, deploy and document it."""
    with tarfile.open(release.sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("this is no clone, so there is nothing to compare the archive with")
    assert set(listed.stdout.split()) <= names


@pytest.mark.parametrize("words", [("route-addon",), ("python", "-m", "route_addon")])
def test_the_command(installation: Path, words: tuple[str, ...], tmp_path: Path) -> None:
    """It runs from any folder, by its name and by the module."""
    done = subprocess.run(
        [str(installation / words[0]), *words[1:], "--help"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("usage: route-addon")


def test_the_script(installation: Path, key_options: Mapping[str, str], tmp_path: Path) -> None:
    """mitmdump runs the installed script, away from this repository."""
    code = "import pathlib, route_addon; print(pathlib.Path(route_addon.__file__).parent)"
    package = subprocess.run(
        [str(installation / "python"), "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    assert not package.startswith(str(ROOT))
    command = Command(
        key_options, str(installation / "mitmdump"), scripts=[Path(package, "script.py")]
    )
    with Router(command) as router:
        assert router.is_answering()
