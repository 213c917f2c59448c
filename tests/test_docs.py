"""The pages of docs/ and the README: every command in them is run, or checked as far as it can be.

A command that begins with ``$`` goes to whoever knows its program; one whose program nobody knows
is a failure. ``--set`` lines are parsed as options. ``kubectl`` is asked itself: without a cluster
it gets as far as the refused connection, having understood the command. ``podman`` is not run: what
it would do is in the tests of the image.
"""

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from route_addon.config.build import build_settings
from route_addon.config.environment import default_values
from route_addon.core.errors import RouteError, TokenUnrecorded
from route_addon.core.keys import fingerprint
from route_addon.options import OPTIONS, Value
from route_addon.serve.metrics.families import FAMILIES
from tests.e2e.harness import SCRIPT as ROUTER_SCRIPT
from tests.e2e.harness import START_LINE, Command, Fleet, Router, ServeCommand
from tests.e2e.ports import free_port
from tests.minting import KeyPair, write_keys
from tests.replay.sessions import CONFIG, FOLDER, RecordCommand

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
OPERATIONS = ROOT / "docs" / "operations.md"

_BLOCK = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)
_EXPLAINED = re.compile(r"^\*\*`([a-z_]+)`\*\* ([0-9]{3})\. ((?:.+\n)+)", re.MULTILINE)


def _refusals(parent: type[RouteError] = RouteError) -> Iterator[tuple[str, int]]:
    for child in parent.__subclasses__():
        yield child.slug, child.status
        yield from _refusals(child)


def test_every_slug_has_a_paragraph() -> None:
    """Each refusal stands there once, with its status and what to make of it."""
    explained = _EXPLAINED.findall(OPERATIONS.read_text("utf-8"))
    refusals = sorted(_refusals())
    assert (TokenUnrecorded.slug, TokenUnrecorded.status) in refusals
    assert sorted((slug, int(status)) for slug, status, _ in explained) == refusals
    assert all(len(text) > 30 for *_, text in explained)


_OURS = re.compile(r"`(route_[a-z_]+|process_[a-z_]+)\b(?!/)")


def test_every_name_is_one() -> None:
    """What stands there as an option or a metric is one."""
    known = {option.name for option in OPTIONS} | {family.name for family in FAMILIES}
    for page in PAGES:
        assert set(_OURS.findall(page.read_text("utf-8"))) - {"route_addon"} <= known, page.name


# --- commands


class Documented(NamedTuple):
    """A command of a page, and what the page says that it prints."""

    page: str
    text: str
    output: str


def _find_commands() -> Iterator[Documented]:
    for page in PAGES:
        for block in _BLOCK.findall(page.read_text("utf-8")):
            for part in re.split(r"^\$ ", block.replace("\\\n", ""), flags=re.MULTILINE)[1:]:
                text, _, output = part.partition("\n")
                yield Documented(page.name, text, output)


def _find_settings() -> Iterator[tuple[str, str]]:
    for page in PAGES:
        for block in _BLOCK.findall(page.read_text("utf-8")):
            for line in block.splitlines():
                if line.startswith("--set "):
                    yield page.name, shlex.split(line)[1]
                else:
                    assert line.startswith("$ ") or "$ " in block, f"{page.name}: {line}"


COMMANDS = tuple(_find_commands())
SETTINGS = tuple(_find_settings())


class Scene(NamedTuple):
    """Where commands run: a folder with the keys that the pages name, and a router."""

    folder: Path
    environment: Mapping[str, str]
    router: Router
    fingerprints: frozenset[str]

    def run(self, text: str, folder: Path | None = None) -> str:
        """Run a command by the shell; it must succeed."""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", text],
            cwd=folder or self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def scene(
    key_options: Mapping[str, str],
    signing: KeyPair,
    payload: KeyPair,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Scene]:
    """The scene of all commands."""
    folder = tmp_path_factory.mktemp("docs")
    write_keys(folder, signing, payload)
    with Fleet() as fleet, Router(Command({**fleet.options, **key_options})) as router:
        environment = {
            "PATH": f"{ROOT}/.venv/bin:{os.environ['PATH']}",
            "HOME": str(folder),
            "TOKEN": fleet.alice.token.decode(),
        }
        pairs = frozenset({fingerprint(signing.public), fingerprint(payload.public)})
        yield Scene(folder, environment, router, pairs)


def _run_openssl(command: Documented, scene: Scene) -> None:
    """Keys are made; the fingerprint of one that is there is the one that the router shows."""
    printed = scene.run(command.text)
    if "sha256sum" in command.text and "new" not in command.text:
        assert printed.split()[0] in scene.fingerprints


def _run_curl(command: Documented, scene: Scene) -> None:
    """The router answers; what the page shows is what it prints, ``...`` left out."""
    host, port = scene.router.address
    printed = scene.run(command.text.replace("127.0.0.1:8080", f"{host}:{port}"))
    if "TOKEN" not in command.text:
        shown = re.sub(r"request \w+", "request ...", command.output).split("...")
        pattern = ".*".join(re.escape(part.strip()) for part in shown)
        assert re.search(pattern, printed.replace("\r\n", "\n"), re.DOTALL), printed


def _run_mitmdump(command: Documented, scene: Scene) -> None:
    """It starts, with the keys of the scene."""
    words = shlex.split(command.text.replace("/keys/", f"{scene.folder}/"))
    assert words[1:3] == ["-s", str(ROUTER_SCRIPT.relative_to(ROOT))]
    shutil.copy(scene.folder / "signing.pem", scene.folder / "signing.pub")
    with Router(Command(arguments=words[3:])) as router:
        assert router.is_answering()


def _run_route_addon(command: Documented, scene: Scene) -> None:
    """A check shows the keys' fingerprints; what serves starts and answers."""
    _, subcommand, *words = shlex.split(command.text)
    if subcommand == "replay":
        _replay(words, scene)
        return
    if subcommand == "check":
        printed = scene.run(command.text)
        assert all(one in printed for one in scene.fingerprints)
        return
    assert subcommand == "serve"
    arguments = [word.replace("=", f"={scene.folder}/") for word in words]
    with Router(ServeCommand({"route_metrics": "0"}, arguments=arguments)) as router:
        assert router.is_answering()


def _replay(words: Sequence[str], scene: Scene) -> None:
    """A recording of the project's is judged, by its own table under another name, too."""
    installation = shlex.join([f"ROUTE_CONFIG={CONFIG}", "ROUTE_TRUSTED_PROXIES=127.0.0.1/32"])
    shutil.copy(FOLDER / "http2.mitm", scene.folder / words[0])
    (scene.folder / "new.toml").write_text(CONFIG.read_text())
    given = shlex.join(["route-addon", "replay", *words])
    printed = scene.run(f"{installation} {given}")
    assert re.search(r"^6 flows: 6 same, 0 different$", printed, re.MULTILINE)


def _record(words: Sequence[str], scene: Scene) -> None:
    """It records, the demo or a router with the keys of the scene."""
    text = shlex.join([str(ROOT / "scripts" / "record"), *words])
    if words[0] == "--demo":
        scene.run(text)
        assert (scene.folder / words[1]).stat().st_size > 0
        return
    keys = [word.replace("/keys/", f"{scene.folder}/") for word in words[1:]]
    command = RecordCommand(
        arguments=keys, scripts=(), port=free_port(), file=scene.folder / "recorded.mitm"
    )
    with Router(command) as router:
        router.wait_for(START_LINE)
        assert "watched by route_record" in router.log


def _run_script(command: Documented, scene: Scene) -> None:
    """It is there; the two that make something make it."""
    script, *words = shlex.split(command.text)
    if script == "scripts/record":
        _record(words, scene)
        return
    assert os.access(ROOT / script, os.X_OK)
    if words:
        scene.run(shlex.join([str(ROOT / script), *words]))


def _ask_kubectl(command: Documented, scene: Scene) -> None:
    """It understands the command, and then finds no cluster."""
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not there to say whether it understands the command")
    program, _, rest = command.text.partition(" ")
    assert program == "kubectl"
    words = ["kubectl", "--server=http://127.0.0.1:9", *shlex.split(rest)]
    done = subprocess.run(
        words, cwd=ROOT, env=scene.environment, capture_output=True, text=True, check=False
    )
    assert "refused" in done.stderr
    assert "unknown" not in done.stderr


def _look_at_podman(command: Documented, scene: Scene) -> None:
    """The file that it builds is there."""
    words = shlex.split(command.text)
    assert words[1] in ("build", "push")
    assert words[1] == "push" or (ROOT / words[words.index("-f") + 1]).is_file()


RUNNERS: Mapping[str, Callable[[Documented, Scene], None]] = {
    "TOKEN=$(curl": _run_curl,
    "curl": _run_curl,
    "kubectl": _ask_kubectl,
    "mitmdump": _run_mitmdump,
    "openssl": _run_openssl,
    "podman": _look_at_podman,
    "route-addon": _run_route_addon,
    "scripts": _run_script,
}


@pytest.mark.parametrize("command", COMMANDS, ids=lambda one: f"{one.page}: {one.text}")
def test_commands(command: Documented, scene: Scene) -> None:
    """Every command does what its page says."""
    RUNNERS[re.split(r"[ /]", command.text)[0]](command, scene)


@pytest.mark.parametrize(("page", "setting"), SETTINGS)
def test_settings(page: str, setting: str) -> None:
    """Every ``--set`` is one of an option that takes the value."""
    name, _, text = setting.partition("=")
    values = default_values({})
    value: Value = text
    if isinstance(values[name], bool):
        value = {"true": True, "false": False}[text]
    elif isinstance(values[name], int):
        value = values[name] if text == "..." else int(text)
    settings = build_settings({**values, name: value}, need_keys=False)
    assert settings.rules.locations.all
