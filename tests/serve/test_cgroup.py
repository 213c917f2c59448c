"""How many workers have room, by the limits of either version of control groups."""

import math
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from route_addon.serve.cgroup import Room, measure_room

MIB = 2**20
HERE = float(len(os.sched_getaffinity(0)))
UNLIMITED_V1 = str(2**63 - 4096)


def _measure(folder: Path, files: Mapping[str, str], groups: str) -> Room:
    for name, text in files.items():
        path = folder / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    (folder / "groups").write_text(groups)
    return measure_room(folder / "cgroup", folder / "groups")


@pytest.mark.parametrize(
    ("files", "groups", "expected"),
    [
        ({}, "", (HERE, math.inf)),
        (
            {"cpu.max": "50000 100000", "memory.max": "536870912"},
            "0::/\n",
            (0.5, 512 * MIB),
        ),
        ({"cpu.max": "max 100000", "memory.max": "max"}, "0::/\n", (HERE, math.inf)),
        (
            # What is said of the whole machine's tree is not there in a container.
            {"cpu.max": "150000 100000", "memory.max": "1"},
            "0::/kubepods/pod1/c1\n",
            (min(HERE, 1.5), 1),
        ),
        (
            {"a/cpu.max": "100000 100000", "a/b/cpu.max": "max 100000", "a/b/memory.max": "7"},
            "0::/a/b\n",
            (min(HERE, 1.0), 7),
        ),
        (
            {
                "cpu,cpuacct/x/cpu.cfs_quota_us": "50000",
                "cpu,cpuacct/x/cpu.cfs_period_us": "100000",
                "memory/x/memory.limit_in_bytes": "536870912",
            },
            "4:memory:/x\n3:cpu,cpuacct:/x\n",
            (0.5, 512 * MIB),
        ),
        (
            {
                "cpu/cpu.cfs_quota_us": "-1",
                "cpu/cpu.cfs_period_us": "100000",
                "memory/memory.limit_in_bytes": UNLIMITED_V1,
            },
            "4:memory:/\n3:cpu,cpuacct:/\n",
            (HERE, math.inf),
        ),
    ],
    ids=["none", "v2", "v2 no limit", "v2 in a container", "v2 nested", "v1", "v1 no limit"],
)
def test_limits(
    tmp_path: Path, files: Mapping[str, str], groups: str, expected: tuple[float, float]
) -> None:
    """The least that any group above this process says."""
    assert _measure(tmp_path, files, groups) == expected


def test_here() -> None:
    """On this machine, whatever its limits are, there is room for a worker."""
    assert measure_room().workers >= 1


@pytest.mark.parametrize(
    ("room", "workers"),
    [
        (Room(0.5, 512 * MIB), 1),
        (Room(1.5, math.inf), 2),
        (Room(8, 512 * MIB), 2),
        (Room(8, 100 * MIB), 1),
        (Room(4, 10_000 * MIB), 4),
    ],
)
def test_workers(room: Room, workers: int) -> None:
    """One for each processor, as far as there are 200 MiB for each; one at least."""
    assert room.workers == workers
