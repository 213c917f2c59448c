"""Performs a Containerfile without a container engine, as far as that goes.

Each stage gets a root of its own: this machine's file system with an overlay on top, in a mount
namespace. So paths, users and environment are those that the file says, and nothing outside is
touched. What stands below is this machine's system and this Python's, not the base image's.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

SYSTEM_PATH = f"{sys.base_prefix}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""A base image has its Python on the PATH; here that is the Python that the tests run on."""

_HOLD = """
mount -t tmpfs tmpfs "$1"
mkdir "$1/try" "$1/try/upper" "$1/try/work" "$1/try/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/try/upper,workdir=$1/try/work" "$1/try/root"
umount "$1/try/root"
unshare --net ip link add eth0 type veth peer name eth1
echo ready
exec sleep 3600
"""
"""Tries all that will be needed, and holds the namespace."""

_CONTINUED = re.compile(r"\\\n\s*")


class Step(NamedTuple):
    """One instruction."""

    word: str
    """In capitals."""
    text: str


def parse_containerfile(text: str) -> list[Step]:
    """The instructions of a Containerfile: one a line, ``\\`` goes on, ``#`` is a comment."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = _CONTINUED.sub("", "\n".join(lines))
    parts = (line.strip().partition(" ") for line in joined.splitlines() if line.strip())
    return [Step(word.upper(), rest.strip()) for word, _, rest in parts]


class Stage:
    """What a FROM begins."""

    def __init__(self, root: Path, base: str) -> None:
        self.root = root
        self.base = base
        self.environment = {"PATH": SYSTEM_PATH}
        self.workdir = "/"
        self.ports: tuple[int, ...] = ()
        self.entrypoint: list[str] = []


class Rooms:
    """A mount namespace in which roots can be laid over this machine's file system.

    Raises:
        OSError: This machine does not let us.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._holder = subprocess.Popen(
            ["unshare", "--mount", "sh", "-euc", _HOLD, "sh", str(folder)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._holder.stdout is not None and self._holder.stderr is not None
        if self._holder.stdout.readline() != "ready\n":
            said = self._holder.stderr.read()
            self.close()
            raise PermissionError(f"namespaces, overlays and virtual cables take root: {said}")

    def close(self) -> None:
        """Let everything go."""
        self._holder.kill()
        self._holder.wait()
        assert self._holder.stdout is not None and self._holder.stderr is not None
        self._holder.stdout.close()
        self._holder.stderr.close()

    def words(self, *words: str) -> list[str]:
        """The words of a command that runs in here."""
        return ["nsenter", "--target", str(self._holder.pid), "--mount", *words]

    def run(self, *words: str) -> str:
        """Run a command in here; it must succeed."""
        done = subprocess.run(self.words(*words), capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{shlex.join(words)}: {done.stdout}{done.stderr}"
        return done.stdout

    def lay(self, name: str) -> Path:
        """Lay a root over this machine's file system."""
        top = self._folder / name
        root = top / "root"
        self.run("mkdir", "-p", f"{top}/upper", f"{top}/work", str(root))
        layers = f"lowerdir=/,upperdir={top}/upper,workdir={top}/work"
        self.run("mount", "-t", "overlay", "overlay", "-o", layers, str(root))
        for special in ("proc", "dev", "sys"):
            self.run("mount", "--rbind", f"/{special}", f"{root}/{special}")
        # This Python may live in the home of root, where nobody else may look.
        self.run("chmod", "a+x", f"{root}{Path.home()}")
        return root


class Performer:
    """Performs the instructions of a Containerfile.

    Args:
        rooms: Where roots are laid.
        context: The folder that COPY copies from.
    """

    def __init__(self, rooms: Rooms, context: Path) -> None:
        self._rooms = rooms
        self._context = context
        self._arguments: dict[str, str] = {}
        self._stages: dict[str, Stage] = {}

    def perform(self, steps: Sequence[Step]) -> Stage:
        """Perform them all.

        Returns:
            The last stage: the image.

        Raises:
            KeyError: An instruction that this does not know.
        """
        perform = {
            "ARG": self._take_argument,
            "FROM": self._begin,
            "WORKDIR": self._enter,
            "COPY": self._copy,
            "RUN": self._run,
            "ENV": self._set_environment,
            "EXPOSE": self._expose,
            "ENTRYPOINT": self._set_entrypoint,
            "LABEL": self._note,
            "STOPSIGNAL": self._note,
        }
        for step in steps:
            perform[step.word](step.text)
        return self._stage

    @property
    def _stage(self) -> Stage:
        return list(self._stages.values())[-1]

    def _take_argument(self, text: str) -> None:
        name, _, value = text.partition("=")
        self._arguments[name] = value

    def _begin(self, text: str) -> None:
        base, _, name = text.partition(" AS ")
        base = re.sub(r"\$\{(\w+)\}", lambda match: self._arguments[match[1]], base)
        name = name or str(len(self._stages))
        self._stages[name] = Stage(self._rooms.lay(name), base)

    def _enter(self, text: str) -> None:
        self._stage.workdir = text
        self._rooms.run("mkdir", "-p", f"{self._stage.root}{text}")

    def _copy(self, text: str) -> None:
        source = self._context
        words = shlex.split(text)
        if words[0].startswith("--from="):
            source = self._stages[words.pop(0).removeprefix("--from=")].root
        *names, target = words
        target = f"{self._stage.root}{os.path.join(self._stage.workdir, target)}"
        for name in names:
            self._rooms.run("cp", "-aT" if len(names) == 1 else "-a", f"{source}/{name}", target)

    def _run(self, text: str) -> None:
        stage = self._stage
        self._rooms.run(*enter(stage, {}), "sh", "-euc", f"cd {stage.workdir}; {text}")

    def _set_environment(self, text: str) -> None:
        self._stage.environment |= dict(word.split("=", 1) for word in shlex.split(text))

    def _note(self, text: str) -> None:
        """An instruction that changes nothing here."""

    def _expose(self, text: str) -> None:
        self._stage.ports = tuple(map(int, text.split()))

    def _set_entrypoint(self, text: str) -> None:
        self._stage.entrypoint = json.loads(text)


def enter(stage: Stage, environment: Mapping[str, str]) -> list[str]:
    """The words before a command that runs in an image."""
    variables = {**stage.environment, **environment}
    return [
        *("chroot", str(stage.root), "env", "-i"),
        *(f"{name}={value}" for name, value in variables.items()),
    ]


def fill_context(repository: Path, folder: Path) -> None:
    """Fill a build context as ``.dockerignore`` has it: nothing but what ``!`` names.

    Of its patterns this knows ``*``, first, and then ``!NAME`` and ``**/NAME``.
    """
    text = (repository / ".dockerignore").read_text("utf-8")
    ignored, *rest = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert ignored == "*"
    nowhere = [line.removeprefix("**/") for line in rest if line.startswith("**/")]
    for line in rest:
        source = repository / line.removeprefix("!")
        if source.is_dir():
            shutil.copytree(source, folder / source.name, ignore=shutil.ignore_patterns(*nowhere))
        elif line.startswith("!"):
            shutil.copy2(source, folder / source.name)


@contextmanager
def build_image(repository: Path, containerfile: Path) -> Iterator[tuple[Rooms, Stage]]:
    """Perform a Containerfile of a repository; all is gone at the end.

    Raises:
        OSError: This machine does not let us.
    """
    with tempfile.TemporaryDirectory(prefix="image-") as name:
        context, top = Path(name, "context"), Path(name, "rooms")
        context.mkdir()
        top.mkdir()
        fill_context(repository, context)
        rooms = Rooms(top)
        try:
            steps = parse_containerfile(containerfile.read_text("utf-8"))
            yield rooms, Performer(rooms, context).perform(steps)
        finally:
            rooms.close()
