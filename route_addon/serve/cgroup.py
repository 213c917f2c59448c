"""How much of the machine this process may use: the limits of its control groups, both versions.

In a container the group's files lie at the root of the mount; elsewhere below it, and each group
above has a say, too.
"""

import math
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple

WORKER_BYTES: Final = 200 * 2**20
"""What a worker may take, with some thousand WebSockets on it."""

_ROOT: Final = Path("/sys/fs/cgroup")
_GROUPS: Final = Path("/proc/self/cgroup")
_NO_LIMIT_BYTES: Final = 2**60
"""Version 1 says so by the largest number that it can count to, in pages."""


class Room(NamedTuple):
    """What there is to use."""

    processors: float
    memory_bytes: float
    """Infinite where there is no limit."""

    @property
    def workers(self) -> int:
        """How many workers have room in it."""
        return max(1, int(min(math.ceil(self.processors), self.memory_bytes // WORKER_BYTES)))


def measure_room(root: Path = _ROOT, groups: Path = _GROUPS) -> Room:
    """Look at the limits.

    Args:
        root: Where the control groups are mounted.
        groups: The file that says which of them this process is in.
    """
    folders = list(_find_folders(root, groups))
    quotas = [quota for folder in folders if (quota := _read_quota(folder)) is not None]
    limits = [limit for folder in folders if (limit := _read_limit(folder)) is not None]
    return Room(min([float(len(os.sched_getaffinity(0))), *quotas]), min([math.inf, *limits]))


def _find_folders(root: Path, groups: Path) -> Iterator[Path]:
    try:
        lines = groups.read_text("ascii", "replace").splitlines()
    except OSError:
        lines = []
    yield root
    for line in lines:
        _, controllers, path = line.split(":", 2)
        # What is above the mount's root, in a container, is not there; the root itself is.
        inside = [PurePosixPath(path), *PurePosixPath(path).parents]
        for name in {controllers, *controllers.split(",")}:
            yield from (root / name / one.relative_to("/") for one in inside)


def _read_quota(folder: Path) -> float | None:
    """A folder's limit, in processors."""
    quota, period = (*_read(folder / "cpu.max").split(), "", "")[:2]
    if not quota:
        quota = _read(folder / "cpu.cfs_quota_us")
        period = _read(folder / "cpu.cfs_period_us")
    if quota.isdigit() and period.isdigit() and int(period):
        return int(quota) / int(period)
    return None


def _read_limit(folder: Path) -> int | None:
    """A folder's limit, in bytes."""
    text = _read(folder / "memory.max") or _read(folder / "memory.limit_in_bytes")
    return int(text) if text.isdigit() and int(text) < _NO_LIMIT_BYTES else None


def _read(path: Path) -> str:
    try:
        return path.read_text("ascii").strip()
    except (OSError, ValueError):
        return ""
