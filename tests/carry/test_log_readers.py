"""Log lines are made for who reads them."""

import asyncio
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from mitmproxy.log import LegacyLogEvents

from route_addon.carry.log_readers import is_read, spare_log_events
from tests.hosting import make_host

ROOT = logging.getLogger()


class Listener:
    """An addon that waits for the old event."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def add_log(self, entry: Any) -> None:
        self.heard.append(entry.msg)


def _use_handlers(monkeypatch: pytest.MonkeyPatch, *handlers: logging.Handler) -> None:
    monkeypatch.setattr(ROOT, "handlers", list(handlers))


@pytest.fixture(autouse=True)
def level() -> Iterator[None]:
    """mitmproxy's root logger lets all through."""
    before = ROOT.level
    ROOT.setLevel(logging.DEBUG)
    yield
    ROOT.setLevel(before)


def _quiet() -> logging.Handler:
    handler = logging.StreamHandler()
    handler.setLevel(logging.ERROR)
    return handler


def test_who_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """A quiet terminal reads errors, any other reads all, and none reads nothing."""
    _use_handlers(monkeypatch, _quiet())
    assert is_read(logging.ERROR)
    assert not is_read(logging.INFO)
    _use_handlers(monkeypatch, _quiet(), logging.NullHandler())
    assert is_read(logging.INFO)
    _use_handlers(monkeypatch)
    assert not is_read(logging.ERROR)
    _use_handlers(monkeypatch, logging.NullHandler())
    ROOT.setLevel(logging.WARNING)
    assert not is_read(logging.INFO)


async def test_the_old_event_is_for_who_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """mitmproxy's handler counts as a reader, and fires, while an addon has the hook."""
    with make_host() as host:
        handler = LegacyLogEvents(host.master)
        _use_handlers(monkeypatch, _quiet(), handler)
        spare_log_events()
        spare_log_events()
        assert len(handler.filters) == 1
        assert not is_read(logging.INFO)
        ROOT.info("for nobody")
        listener = Listener()
        host.master.addons.add(listener)
        assert is_read(logging.INFO)
        ROOT.info("for the listener")
        await asyncio.sleep(0)
        assert [line.endswith("for the listener") for line in listener.heard] == [True]
        host.master.addons.remove(listener)
        assert not is_read(logging.INFO)
