"""One clock for all connections."""

import asyncio
import itertools
import logging
from collections.abc import Callable

import pytest

from route_addon.carry.deadlines import NEVER, TICK_S, Deadlines

LATE_S = TICK_S * 3


class Patient:
    """Something that waits.

    Args:
        deadline: Until when, in seconds from now; ``NEVER`` for not at all.
        then: What it does when that is past.
    """

    def __init__(
        self, deadline: float = 0.0, then: Callable[["Patient"], None] = lambda patient: None
    ) -> None:
        self.deadline = asyncio.get_running_loop().time() + deadline
        self.expired = 0
        self._then = then

    def expire(self, now: float) -> None:
        self.expired += 1
        assert now <= asyncio.get_running_loop().time()
        self._then(self)


async def test_a_deadline_that_is_past() -> None:
    """It is told once, a moment later; not to those whose time has not come."""
    deadlines = Deadlines()
    past, future, never = Patient(), Patient(60), Patient(NEVER)
    for patient in (past, future, never):
        deadlines.add(patient)
    assert len(deadlines) == 3
    await asyncio.sleep(LATE_S)
    assert [patient.expired for patient in (past, future, never)] == [1, 0, 0]
    assert past.deadline == NEVER
    deadlines.close()


async def test_a_deadline_that_moves() -> None:
    """Who sets another one is told again, and not before."""
    deadlines = Deadlines()
    loop = asyncio.get_running_loop()
    told_at: list[float] = []

    def move(patient: Patient) -> None:
        told_at.append(loop.time())
        patient.deadline = loop.time() + TICK_S

    deadlines.add(Patient(0, move))
    async with asyncio.timeout(10):
        while len(told_at) < 3:
            await asyncio.sleep(TICK_S)
    deadlines.close()
    assert all(later - earlier >= TICK_S for earlier, later in itertools.pairwise(told_at))


async def test_who_has_left_is_not_told() -> None:
    """Neither by itself, nor by somebody whose time has come in the same tick."""
    deadlines = Deadlines()
    gone = Patient()
    deadlines.add(gone)
    deadlines.discard(gone)
    deadlines.discard(gone)
    one = Patient(0, lambda patient: deadlines.discard(other))
    other = Patient(0, lambda patient: deadlines.discard(one))
    deadlines.add(one)
    deadlines.add(other)
    await asyncio.sleep(LATE_S)
    assert gone.expired == 0
    assert one.expired + other.expired == 1
    deadlines.close()


async def test_who_waits_for_something_else_by_now() -> None:
    """What one does whose time has come may give another more time."""
    deadlines = Deadlines()
    later = asyncio.get_running_loop().time() + 60
    one = Patient(0, lambda patient: setattr(other, "deadline", later))
    other = Patient(0, lambda patient: setattr(one, "deadline", later))
    deadlines.add(one)
    deadlines.add(other)
    await asyncio.sleep(LATE_S)
    assert one.expired + other.expired == 1
    deadlines.close()


async def test_one_that_fails(caplog: pytest.LogCaptureFixture) -> None:
    """It is watched no longer, all others are, and the log does not say what it said."""
    deadlines = Deadlines()

    def fail(patient: Patient) -> None:
        raise RuntimeError("a secret")

    failing, other = Patient(0, fail), Patient(TICK_S)
    deadlines.add(failing)
    deadlines.add(other)
    with caplog.at_level(logging.ERROR):
        await asyncio.sleep(LATE_S * 2)
    assert (failing.expired, other.expired) == (1, 1)
    assert "RuntimeError" in caplog.text
    assert "a secret" not in caplog.text
    assert len(deadlines) == 1
    deadlines.close()


async def test_the_clock_stops() -> None:
    """Nobody waits: nothing ticks; somebody comes again: it does."""
    deadlines = Deadlines()
    patient = Patient(NEVER)
    deadlines.add(patient)
    deadlines.discard(patient)
    await asyncio.sleep(LATE_S)
    assert deadlines._timer is None
    late = Patient()
    deadlines.add(late)
    await asyncio.sleep(LATE_S)
    assert late.expired == 1
    deadlines.close()
    assert len(deadlines) == 0
    assert deadlines._timer is None


class Other(Patient):
    """Something else that waits."""


async def test_those_of_a_kind() -> None:
    """All that are watched, and nobody else."""
    deadlines = Deadlines()
    patient, other, gone = Patient(NEVER), Other(NEVER), Other(NEVER)
    for waiting in (patient, other, gone):
        deadlines.add(waiting)
    deadlines.discard(gone)
    assert deadlines.find(Other) == [other]
    assert set(deadlines.find(Patient)) == {patient, other}
    deadlines.close()
