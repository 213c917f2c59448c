"""What each of several workers gets."""

import pytest

from route_addon.config.workers import ALONE, Worker


@pytest.mark.parametrize(
    ("total", "count", "part"), [(0, 3, 0), (1, 3, 1), (7, 2, 4), (8, 2, 4), (9, 1, 9)]
)
def test_share(total: int, count: int, part: int) -> None:
    """Divided and rounded up: no bound stays none, and a bound never becomes one."""
    assert Worker(0, count).share(total) == part


def test_one_speaks_for_all() -> None:
    """The first says what all would say."""
    assert [Worker(index, 3).speaks for index in range(3)] == [True, False, False]
    assert ALONE.speaks
