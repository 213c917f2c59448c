"""What the image is: built by performing its Containerfile on this machine.

What this cannot check: the base image itself (its Python, its system libraries, that no compiler is
in it), layers, and an engine's own reading of the file.
"""

from subprocess import run

import pytest

from tests.image.conftest import CONTAINERFILE, ROOT
from tests.image.containerfile import Rooms, Stage, enter, parse_containerfile


def _run(image: tuple[Rooms, Stage], *words: str, folder: str = "/") -> tuple[int, str]:
    rooms, stage = image
    command = enter(stage, {})
    command.insert(command.index("-i") + 1, f"--chdir={folder}")
    done = run(rooms.words(*command, *words), capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_the_file_is_pinned() -> None:
    """Both stages stand on one slim base; all that is installed comes by the constraints."""
    steps = parse_containerfile(CONTAINERFILE.read_text("utf-8"))
    bases = [step.text.partition(" AS ")[0] for step in steps if step.word == "FROM"]
    assert bases == ["${PYTHON}", "${PYTHON}"]
    assert steps[0].text == "PYTHON=docker.io/library/python:3.13-slim-bookworm"
    installs = [step.text for step in steps if step.word == "RUN" and " install " in step.text]
    assert len(installs) == 1
    assert "--constraint constraints.txt" in installs[0]


def test_what_it_says_of_itself(image: tuple[Rooms, Stage]) -> None:
    """The ports of the parent, and the router as its program."""
    _, stage = image
    assert stage.ports == (80, 443)
    assert stage.entrypoint == ["route-addon", "serve"]


@pytest.mark.parametrize("python", ["python", "python3", "/opt/route-addon/bin/python"])
def test_nothing_installs_packages(image: tuple[Rooms, Stage], python: str) -> None:
    """There is no pip in it, nor setuptools."""
    for module in ("pip", "setuptools"):
        status, said = _run(image, python, "-c", f"import {module}")
        assert status == 1
        assert f"No module named '{module}'" in said


@pytest.mark.parametrize("words", [("route-addon",), ("python", "-m", "route_addon")])
@pytest.mark.parametrize("folder", ["/", "/tmp", "/var/lib/nginx/html"])
def test_the_package_runs_from_any_folder(
    image: tuple[Rooms, Stage], words: tuple[str, ...], folder: str
) -> None:
    """By its command and by its module."""
    status, said = _run(image, *words, "--help", folder=folder)
    assert status == 0, said
    assert said.startswith("usage: route-addon")


def test_the_installed_versions(image: tuple[Rooms, Stage]) -> None:
    """Each package that is installed is the one that the constraints name."""
    code = (
        "from importlib.metadata import distributions\n"
        "for one in distributions(): print(one.name.lower().replace('_', '-'), one.version)"
    )
    status, said = _run(image, "python", "-c", code)
    assert status == 0, said
    installed = dict(line.split() for line in said.splitlines())
    assert installed.pop("route-addon") == "0.1.0"
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    pinned = dict(line.partition(" ;")[0].split("==") for line in lines)
    installed = {name.replace(".", "-"): version for name, version in installed.items()}
    assert len(installed) > 20
    assert installed.items() <= pinned.items()


def test_what_is_not_in_it(image: tuple[Rooms, Stage]) -> None:
    """Neither tests nor a demo is installed; nothing of the build is left."""
    rooms, stage = image
    for name in ("tests", "demo"):
        assert _run(image, "python", "-c", f"import {name}")[0] == 1
    assert rooms.run("ls", "-A", str(stage.root)).split().count("build") == 0


def test_who_may_read_it(image: tuple[Rooms, Stage]) -> None:
    """A user without any right of his own can run it."""
    rooms, stage = image
    command = enter(stage, {})
    at = command.index("env")
    plain = (*command[:at], "setpriv", "--reuid=65532", "--regid=65532", "--clear-groups")
    assert "usage" in rooms.run(*plain, *command[at:], "route-addon", "--help")
