"""What a relay takes of the machine: memory, open files, tasks; and how to start one."""

import contextlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, Self

from tests.e2e.fleet import Fleet
from tests.e2e.process import Command, Router, unwatched
from tests.e2e.wire import wait_until

MIB = 2**20

_MEASURE = """
import asyncio, os
relay = ctx.master.addons.get("route").relay
result = "%d %d %d %d %d %d" % (
    os.getpid(),
    len(os.listdir("/proc/self/fd")),
    len(asyncio.all_tasks()),
    len(relay.arrivals),
    len(relay.deadlines),
    relay.spools.used_bytes,
)
"""


def relay_options(fleet: Fleet, key_options: Mapping[str, str], **options: object) -> Command:
    """The command for a relay that knows a fleet and the keys, with options of its own."""
    ports = options.pop("route_ports", "")
    usual: dict[str, object] = {
        **fleet.options,
        **key_options,
        "route_carrier": "relay",
        # The script that looks into it does not look at flows.
        "route_watch": "never",
        "route_trusted_proxies": "127.0.0.1/32",
    }
    if ports:
        usual["route_ports"] = f"{usual['route_ports']},{ports}"
    usual |= options
    return (
        unwatched(usual)
        if usual["route_watch"] == "never"
        else Command({"flow_detail": 0, **usual})
    )


@contextlib.contextmanager
def run_relay(fleet: Fleet, key_options: Mapping[str, str], **options: object) -> Iterator[Router]:
    """A relay, which can be looked into."""
    with Router(relay_options(fleet, key_options, **options), has_remote=True) as router:
        yield router


class Footprint(NamedTuple):
    """What a relay holds at one moment."""

    pid: int
    open_files: int
    tasks: int
    connections: int
    deadlines: int
    spooled_bytes: int

    @classmethod
    def measure(cls, router: Router) -> Self:
        """What it holds now."""
        return cls(*map(int, router.run_inside(_MEASURE).split()))


def wait_for_rest(router: Router, before: Footprint) -> Footprint:
    """Wait until a relay holds no more than it did; what rests upstream is closed first."""
    router.run_inside('ctx.master.addons.get("route").relay.upstreams.close()')
    now = Footprint.measure(router)

    def is_at_rest() -> bool:
        nonlocal now
        now = Footprint.measure(router)
        return (
            now.open_files <= before.open_files
            and now.tasks <= before.tasks
            and now.connections <= before.connections
            and now.deadlines <= before.deadlines
            and now.spooled_bytes <= before.spooled_bytes
        )

    try:
        wait_until(is_at_rest, "the relay is at rest")
    except AssertionError:
        raise AssertionError(f"held {before}, holds {now}") from None
    return now


class Memory:
    """The most memory that a process holds, from the moment that this is made.

    Args:
        pid: The process.
    """

    def __init__(self, pid: int) -> None:
        self._folder = Path(f"/proc/{pid}")
        # proc_pid_clear_refs(5): 5 resets the peak.
        (self._folder / "clear_refs").write_text("5")
        self._before = self._read("VmRSS")

    @property
    def growth_bytes(self) -> int:
        """How much more than at the beginning it held at its peak."""
        return self._read("VmHWM") - self._before

    def _read(self, name: str) -> int:
        match = re.search(rf"^{name}:\s+([0-9]+) kB", (self._folder / "status").read_text(), re.M)
        assert match is not None
        return int(match[1]) * 1024
