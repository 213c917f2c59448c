"""So many at once, and so many a second."""

from route_addon.carry.http2.patience import Allowance


class Clock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_at_once() -> None:
    """No more than there is."""
    allowance = Allowance(3, 1.0, Clock())
    assert [allowance.spend() for _ in range(5)] == [True, True, True, False, False]


def test_a_second() -> None:
    """It fills again with time, and not beyond its brim."""
    clock = Clock()
    allowance = Allowance(3, 2.0, clock)
    for _ in range(4):
        allowance.spend()
    clock.now += 1
    assert [allowance.spend() for _ in range(3)] == [True, True, False]
    clock.now += 1000
    assert [allowance.spend() for _ in range(4)] == [True, True, True, False]


def test_earned() -> None:
    """So does it with what was done, and not beyond its brim either."""
    allowance = Allowance(3, 0.0, Clock())
    allowance.spend()
    allowance.earn(100)
    assert [allowance.spend() for _ in range(4)] == [True, True, True, False]
