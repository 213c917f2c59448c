"""The Kubernetes manifests of deploy/, as data."""

import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

FOLDER = Path(__file__).parents[1] / "deploy" / "kubernetes"

type Manifest = Mapping[str, Any]


def load_manifests(text: str) -> list[Manifest]:
    """The documents of a YAML text."""
    return list(YAML(typ="safe").load_all(text))


@cache
def build_overlay(name: str) -> Sequence[Manifest]:
    """What kustomize makes of a folder; skips the test where nothing here builds overlays."""
    builders = {"kubectl": ("kubectl", "kustomize"), "kustomize": ("kustomize", "build")}
    words = next((words for program, words in builders.items() if shutil.which(program)), None)
    if words is None:
        pytest.skip("neither kubectl nor kustomize is on the PATH, so no overlay is built")
    done = subprocess.run([*words, str(FOLDER / name)], capture_output=True, check=True)
    return load_manifests(done.stdout.decode())


def find_pods(manifests: Sequence[Manifest]) -> Iterator[Manifest]:
    """The templates of the pods that are deployed."""
    return (one["spec"]["template"] for one in manifests if one["kind"] == "Deployment")


def find_container(pod: Manifest) -> Manifest:
    """A pod's only container."""
    (container,) = pod["spec"]["containers"]
    assert isinstance(container, dict)
    return container


def find_environment(pod: Manifest) -> dict[str, str]:
    """Its environment; what only a cluster knows is empty."""
    return {one["name"]: one.get("value", "") for one in find_container(pod)["env"]}
