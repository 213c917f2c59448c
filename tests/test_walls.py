"""The walls of the house: imports point inward, and nothing is imported in a circle."""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import route_addon

PACKAGE = Path(route_addon.__file__).parent
MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts): path
    for path in sorted(PACKAGE.rglob("*.py"))
    if path.name != "__init__.py"
}

MAY_IMPORT: Mapping[str, tuple[str, ...]] = {
    "core": (),
    "carry": ("core",),
    "options": ("core",),
    "config": ("options", "carry", "core"),
    "start": ("config", "options", "carry", "core"),
    "addon": ("start", "config", "options", "carry", "core"),
    "debug": ("addon", "start", "config", "options", "carry", "core"),
    "serve": ("addon", "start", "config", "options", "carry", "core", "version"),
    "compose": ("debug", "serve", "addon", "start", "config", "options", "carry", "core"),
    "script": ("compose",),
    "lazy_addons": (),
    "version": (),
    "cli": ("lazy_addons", "version"),
    "__main__": ("cli",),
}
"""What each room of the house may import besides itself."""

BEGINS_AT_THE_TOP = {("serve.lean", "compose")}
"""A program of its own that builds the addon, as ``script`` does."""


def _room(module: str) -> str:
    return module.partition(".")[0]


def _is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def _nodes(node: ast.AST, *, with_types: bool) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if with_types or not _is_for_types(child):
            yield child
            yield from _nodes(child, with_types=with_types)


def _names(text: str, *, with_types: bool) -> Iterator[str]:
    """All that a text imports, by whole names."""
    for node in _nodes(ast.parse(text), with_types=with_types):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "a relative import"
            yield from (f"{node.module}.{name.name}" for name in node.names)


def _imported(text: str, *, with_types: bool = True) -> set[str]:
    """The modules of ours that a text imports."""
    names = _names(text, with_types=with_types)
    ours = [name.removeprefix("route_addon.") for name in names if name.startswith("route_addon.")]
    return {
        next((m for m in (name, name.rpartition(".")[0]) if m in MODULES), name) for name in ours
    }


IMPORTS = {module: _imported(path.read_text("utf-8")) for module, path in MODULES.items()}
AT_RUN_TIME = {
    module: _imported(path.read_text("utf-8"), with_types=False) for module, path in MODULES.items()
}


def test_rooms() -> None:
    """Every module stands in a room that has a place in the order, and every room is there."""
    assert {_room(module) for module in MODULES} == MAY_IMPORT.keys()


def test_order() -> None:
    """The rooms have an order at all: none may import one that may import it."""
    for room, others in MAY_IMPORT.items():
        assert all(room not in MAY_IMPORT[other] for other in others)


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_inward(module: str) -> None:
    """Also those that are for the type checker alone."""
    room = _room(module)
    outward = {
        other
        for other in IMPORTS[module]
        if _room(other) not in (room, *MAY_IMPORT[room])
        and (module, other) not in BEGINS_AT_THE_TOP
    }
    assert outward == set()


def test_no_circles() -> None:
    """At run time no module imports itself by way of others."""
    left = {module: imports & MODULES.keys() for module, imports in AT_RUN_TIME.items()}
    while free := [module for module, imports in left.items() if not imports & left.keys()]:
        for module in free:
            del left[module]
    assert left == {}


@pytest.mark.parametrize(
    ("text", "modules"),
    [
        ("import route_addon.core.path", {"core.path"}),
        ("from route_addon.core.path import parse_target", {"core.path"}),
        ("from route_addon.core import path", {"core.path"}),
        ("def f():\n    from route_addon import addon", {"addon"}),
        ("if TYPE_CHECKING:\n    from route_addon.addon import RouteAddon", {"addon"}),
        ("import re\nimport route_addon\nfrom mitmproxy import http", set()),
    ],
)
def test_this_test_sees(text: str, modules: set[str]) -> None:
    """Every way to import a module of ours is seen."""
    assert modules == _imported(text)


def test_types_are_told_apart() -> None:
    """What is imported for the type checker alone makes no circle."""
    text = "if TYPE_CHECKING:\n    from route_addon.addon import RouteAddon\nelse:\n    import x"
    assert _imported(text, with_types=False) == set()
