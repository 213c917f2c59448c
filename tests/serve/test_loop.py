"""The event loop of workers."""

import asyncio
import re
import sys

import pytest

from route_addon.serve.loop import choose_loop


def test_uvloop() -> None:
    """It is taken where it is installed, and named with its version."""
    uvloop = pytest.importorskip("uvloop")
    chosen = choose_loop()
    assert re.fullmatch(r"uvloop \d+\.\d+\.\d+", chosen.name)
    loop = chosen.make()
    loop.close()
    assert isinstance(loop, uvloop.Loop)


def test_no_uvloop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asyncio's own loop is taken where there is none, and the name says why."""
    monkeypatch.setitem(sys.modules, "uvloop", None)
    chosen = choose_loop()
    assert chosen.name == "asyncio's own loop: there is no uvloop"
    loop = chosen.make()
    loop.close()
    assert isinstance(loop, asyncio.SelectorEventLoop)
