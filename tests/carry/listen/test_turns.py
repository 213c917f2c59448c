"""Who comes in, and when: by turns of the addresses, a slice in each turn of the loop."""

import asyncio
import time

from route_addon.carry.listen import turns as turns_module
from route_addon.carry.listen.turns import Turns

FLOOD, OTHER = "203.0.113.7", "203.0.113.8"


class Guest:
    """Somebody who notes that it is in, and takes some time of the loop for it."""

    def __init__(self, name: str, entered: list[str], takes_s: float = 0.0) -> None:
        self._name = name
        self._entered = entered
        self._takes_s = takes_s

    def come_in(self) -> None:
        end = time.perf_counter() + self._takes_s
        while time.perf_counter() < end:
            pass
        self._entered.append(self._name)


async def test_at_once() -> None:
    """Where nobody waits there is nothing to wait for."""
    turns, entered = Turns(), list[str]()
    for _ in range(3):
        turns.let_in(FLOOD, Guest("one", entered))
        assert entered
        await asyncio.sleep(0)
        entered.clear()


async def test_a_slice_in_each_turn() -> None:
    """The loop looks after others in between; all come in at last, in their order."""
    turns, entered = Turns(), list[str]()
    for number in range(10):
        turns.let_in(FLOOD, Guest(str(number), entered, takes_s=turns_module._SLICE_S))
    counts = []
    while len(entered) < 10:
        counts.append(len(entered))
        await asyncio.sleep(0)
    assert counts == list(range(1, 10))
    assert entered == [str(number) for number in range(10)]
    assert not turns._queues


async def test_another_address() -> None:
    """It comes in before a flood that came before it."""
    turns, entered = Turns(), list[str]()
    for _ in range(100):
        turns.let_in(FLOOD, Guest("flood", entered, takes_s=turns_module._SLICE_S))
    turns.let_in(OTHER, Guest("other", entered))
    while "other" not in entered:
        await asyncio.sleep(0)
    assert entered.index("other") <= 2


async def test_who_comes_while_others_wait() -> None:
    """Nobody passes by those of its own address, and time that was taken counts."""
    turns, entered = Turns(), list[str]()
    for name in ("first", "second", "third"):
        turns.let_in(FLOOD, Guest(name, entered, takes_s=turns_module._SLICE_S))
    await asyncio.sleep(0)
    turns.let_in(FLOOD, Guest("fourth", entered))
    while len(entered) < 4:
        await asyncio.sleep(0)
    assert entered == ["first", "second", "third", "fourth"]
