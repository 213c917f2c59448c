"""The core decides; it touches no socket, no file, no clock and no carrier."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import route_addon.core

CORE = Path(route_addon.core.__file__).parent
MODULES = sorted(CORE.glob("*.py"))
OTHERS = {"jwt", "cryptography", "cachetools"}
IMPURE = {
    *("asyncio", "socket", "ssl", "select", "selectors", "os", "pathlib", "io", "shutil"),
    *("tempfile", "subprocess", "threading", "multiprocessing", "concurrent", "signal"),
    *("time", "calendar", "random", "secrets", "uuid", "logging", "sys", "urllib.request"),
    *("http.client", "http.server", "importlib", "ctypes", "sqlite3", "glob"),
}
CALLS = {"open", "print", "input", "exec", "eval", "__import__", "breakpoint"}
CLOCKS = {"now", "utcnow", "today"}
"""The methods of datetime's classes that read a clock."""


def _imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "a relative import"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{name.name}" for name in node.names)


def _is_pure(name: str) -> bool:
    parts = name.split(".")
    top = parts[0]
    if any(".".join(parts[:end]) in IMPURE for end in range(1, len(parts) + 1)):
        return False
    return (
        top in sys.stdlib_module_names
        or top in OTHERS
        or name == "route_addon.core"
        or name.startswith("route_addon.core.")
    )


def test_there_are_modules() -> None:
    """The core is where this test looks."""
    assert {"router.py", "path.py", "tokens.py"} <= {module.name for module in MODULES}


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.stem)
def test_imports(module: Path) -> None:
    """Only the standard library's pure part, PyJWT, cryptography, cachetools and the core."""
    tree = ast.parse(module.read_text("utf-8"))
    assert [name for name in _imports(tree) if not _is_pure(name)] == []


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.stem)
def test_calls(module: Path) -> None:
    """No built-in that does I/O or runs text."""
    tree = ast.parse(module.read_text("utf-8"))
    called = {
        node.func.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert set() == called & CALLS


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.stem)
def test_clocks(module: Path) -> None:
    """No date is asked for what day it is."""
    tree = ast.parse(module.read_text("utf-8"))
    named = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert set() == named & CLOCKS


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("import time", False),
        ("from time import monotonic", False),
        ("import os.path", False),
        ("from datetime import UTC, datetime", True),
        ("import socket as s", False),
        ("import urllib.request", False),
        ("from urllib import request", False),
        ("import mitmproxy.http", False),
        ("from route_addon import options", False),
        ("from route_addon.carry import http1", False),
        ("from route_addon.core.path import parse_target", True),
        ("import re, json", True),
        ("from urllib.parse import unquote", True),
        ("from jwt.api_jws import PyJWS", True),
    ],
)
def test_this_test_sees(text: str, expected: bool) -> None:
    """An import of another kind would be seen."""
    assert expected is all(
        _is_pure(name) for name in _imports(ast.parse(text)) if name != "route_addon"
    )


def test_every_module_has_its_test() -> None:
    """One test file for each module."""
    tests = {path.stem.removeprefix("test_") for path in Path(__file__).parent.glob("test_*.py")}
    assert {module.stem for module in MODULES if module.stem != "__init__"} <= tests
