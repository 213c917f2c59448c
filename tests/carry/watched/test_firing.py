"""Hooks are fired as mitmproxy's addon manager fires them."""

import asyncio
import logging
import types
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

import pytest
from mitmproxy import ctx, http
from mitmproxy.exceptions import AddonHalt, OptionsError
from mitmproxy.proxy.layers.http._hooks import HttpRequestHook
from mitmproxy.test import taddons

from route_addon.carry.guard import Guard
from route_addon.carry.watched.firing import fire, fire_and_wait, fire_lightly
from route_addon.carry.watched.watch import Watch
from tests.hosting import make_flow

Notes = list[str]
type Deed = Callable[["Addon", http.HTTPFlow], Awaitable[None] | None]


class Addon:
    """Notes that it was asked, and does something."""

    def __init__(self, name: str, deed: Deed | None = None, *children: object) -> None:
        self.name = name
        self.notes: Notes = []
        self.deed = deed
        if children:
            self.addons = list(children)

    def request(self, flow: http.HTTPFlow) -> Awaitable[None] | None:
        """Do it."""
        self.notes.append(self.name)
        return self.deed(self, flow) if self.deed is not None else None


class Silent:
    """Has no hook of that name, but children."""

    def __init__(self, name: str, *children: object) -> None:
        self.name = name
        self.addons = list(children)


class Display:
    """Shows flows."""

    name = "display"

    def __init__(self) -> None:
        self.notes: Notes = []

    def update(self, flows: Sequence[http.HTTPFlow]) -> None:
        """Note it."""
        self.notes.append(f"update of {len(flows)}")


class Odd:
    """Has things that are no hooks under the names of hooks."""

    def __init__(self, name: str, thing: object) -> None:
        self.name = name
        self.request = thing


def _hold(addon: Addon, flow: Any) -> None:
    flow.intercept()


def _raise(kind: type[Exception]) -> Deed:
    def deed(addon: Addon, flow: http.HTTPFlow) -> None:
        raise kind("bad")

    return deed


async def _later(addon: Addon, flow: http.HTTPFlow) -> None:
    async with asyncio.timeout(5):
        await asyncio.sleep(0.001)
    addon.notes.append(f"{addon.name} later")


async def _fail_later(addon: Addon, flow: http.HTTPFlow) -> None:
    await asyncio.sleep(0)
    raise ValueError("later")


def _add(addon: Addon, flow: http.HTTPFlow) -> None:
    addons: Any = ctx.master.addons
    addons.add(_noting(addon.notes, Addon("added")))


def _become(addon: Addon, flow: http.HTTPFlow) -> None:
    addon.deed = _raise(RuntimeError)


def _noting(notes: Notes, addon: Any) -> Any:
    """An addon and its children, all with the same notes."""
    addon.notes = notes
    for child in getattr(addon, "addons", ()):
        _noting(notes, child)
    return addon


CHAINS: dict[str, Callable[[], list[object]]] = {
    "order": lambda: [Addon("a"), Display(), Addon("b")],
    "children": lambda: [
        Addon("a", None, Addon("b", None, Addon("c")), Addon("d")),
        Silent("e", Silent("f", Addon("g"))),
        Addon("h"),
    ],
    "coroutines": lambda: [Addon("a", _later), Addon("b"), Addon("c", _later), Display()],
    "a fault": lambda: [Addon("a", _raise(ValueError)), Addon("b"), Display()],
    "a fault spares children": lambda: [
        Addon("a", _raise(ValueError), Addon("b")),
        Addon("c"),
    ],
    "a fault of a child": lambda: [
        Silent("a", Addon("b"), Addon("c", _raise(KeyError)), Addon("d")),
        Addon("e"),
    ],
    "a fault later": lambda: [Addon("a", _fail_later, Addon("b")), Addon("c")],
    "halt": lambda: [Addon("a"), Addon("b", _raise(AddonHalt)), Addon("c"), Display()],
    "an option's fault": lambda: [Addon("a", _raise(OptionsError)), Addon("b"), Display()],
    "no hooks": lambda: [
        Odd("a", types),
        Odd("b", None),
        Silent("c", Odd("d", types), Addon("e")),
        Addon("f"),
    ],
    "added meanwhile": lambda: [Addon("a", _add), Addon("b")],
    "changed": lambda: [Addon("a", _become), Addon("b")],
}


@pytest.fixture
def host() -> Iterator[Any]:
    """mitmproxy, with no addons yet."""
    with taddons.context() as context:  # type: ignore[no-untyped-call]
        yield context


async def _note(host: Any, chain: str, ask: Callable[[], Awaitable[None]]) -> Notes:
    """What addons noted while they were asked twice, and what became of who asked."""
    notes: Notes = []
    host.master.addons.clear()
    host.master.addons.add(*(_noting(notes, addon) for addon in CHAINS[chain]()))
    for _ in range(2):
        try:
            await ask()
        except Exception as fault:
            notes.append(f"raises {type(fault).__name__}")
    return notes


def _read(records: Sequence[logging.LogRecord]) -> list[tuple[object, ...]]:
    """What was logged, and how many frames of whose code it shows."""
    read: list[tuple[object, ...]] = []
    for record in records:
        frames: list[str] = []
        trace = record.exc_info[2] if record.exc_info else None
        while trace is not None:
            frames.append(trace.tb_frame.f_code.co_name)
            trace = trace.tb_next
        read.append((record.levelname, record.getMessage(), frames))
    return read


@pytest.mark.parametrize("chain", CHAINS)
async def test_addons_are_asked_as_by_mitmproxy(
    chain: str, host: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """In the same order, with the same end, and what is logged is the same."""
    flow = make_flow(b"/")
    theirs = await _note(
        host, chain, lambda: host.master.addons.handle_lifecycle(HttpRequestHook(flow))
    )
    logged = _read(caplog.records)
    caplog.clear()
    ours = await _note(host, chain, lambda: fire(HttpRequestHook, flow))
    assert ours == theirs
    assert len(theirs) > 1
    assert _read(caplog.records) == logged
    caplog.clear()
    fire_lightly(host.master.addons)
    lightly = await _note(
        host, chain, lambda: host.master.addons.handle_lifecycle(HttpRequestHook(flow))
    )
    assert lightly == theirs
    assert _read(caplog.records) == logged


async def test_who_intercepts_is_waited_for(host: Any) -> None:
    """Addons behind the one that intercepts have been asked by then."""
    flow: Any = make_flow(b"/")
    notes = Notes()
    host.master.addons.add(_noting(notes, Addon("a", _hold)), _noting(notes, Addon("b")))
    asking = asyncio.create_task(fire_and_wait(HttpRequestHook, flow))
    await asyncio.sleep(0.01)
    assert notes == ["a", "b"]
    assert not asking.done()
    flow.resume()
    await asking


@pytest.mark.parametrize("is_eager", [True, False], ids=["eager tasks", "tasks"])
async def test_nobody_waits_without_need(is_eager: bool, host: Any) -> None:
    """What is begun is over at once where no addon waits; else a task of its own ends it."""
    if is_eager:
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
    flow, notes, watch = make_flow(b"/"), Notes(), Watch(Guard())

    async def ask() -> None:
        await fire_and_wait(HttpRequestHook, flow)
        notes.append("over")

    host.master.addons.add(_noting(notes, Addon("a")))
    watch.begin(ask())
    assert notes == ["a", "over"]
    host.master.addons.add(_noting(notes, Addon("b", _later)))
    watch.begin(ask())
    assert notes == ["a", "over", "a", "b"]
    await asyncio.sleep(0.05)
    assert notes == ["a", "over", "a", "b", "b later", "over"]


async def test_what_is_begun_raises_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """Who began it has something else to do; its fault is logged, without its text."""

    async def fail() -> None:
        raise ValueError("hidden")

    Watch(Guard()).begin(fail())
    assert "what is watched failed: ValueError at " in caplog.text
    assert "hidden" not in caplog.text
