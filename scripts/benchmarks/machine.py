"""This machine: its cores, processes pinned to them, and what those spend."""

import contextlib
import os
import platform
import re
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

PROXY_CORE: Final = "0"
LOAD_CORE: Final = "1" if (os.cpu_count() or 1) > 1 else "0"
BOTH_CORES: Final = f"{PROXY_CORE},{LOAD_CORE}"

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_START_S: Final = 30.0


def free_port() -> int:
    """A port that is free at all addresses."""
    with socket.socket() as probe:
        probe.bind(("0.0.0.0", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for_port(port: int) -> None:
    """Wait until somebody listens.

    Raises:
        TimeoutError: Nobody does.
    """
    end = time.monotonic() + _START_S
    while time.monotonic() < end:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise TimeoutError(f"nobody listens on port {port}")


@contextlib.contextmanager
def pinned(
    words: Sequence[str], cores: str, environment: dict[str, str] | None = None
) -> Iterator[int]:
    """Run a program on some cores; its process."""
    process = subprocess.Popen(
        ["taskset", "-c", cores, *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **(environment or {})},
    )
    try:
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def family(pid: int) -> list[int]:
    """A process and all that it has started."""
    found = [pid]
    for one in found:
        for children in Path(f"/proc/{one}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                found += map(int, children.read_text().split())
    return found


def cpu_s(pid: int) -> float:
    """The CPU time that a process and all that it has started have spent, in seconds."""
    ticks = 0
    for one in family(pid):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks / _TICKS


def rss_mib(pid: int, name: str = "VmRSS") -> float:
    """The memory that they hold, in MiB; ``VmHWM`` for its peak since ``reset_peak``."""
    total = 0
    for one in family(pid):
        with contextlib.suppress(OSError):
            match = re.search(rf"^{name}:\s+([0-9]+) kB", _status(one), re.M)
            total += int(match[1]) if match is not None else 0
    return total / 1024


def reset_peak(pid: int) -> None:
    """Let the peak begin anew: proc_pid_clear_refs(5)."""
    for one in family(pid):
        with contextlib.suppress(OSError):
            Path(f"/proc/{one}/clear_refs").write_text("5")


def _status(pid: int) -> str:
    return Path(f"/proc/{pid}/status").read_text()


def describe() -> str:
    """The machine in words."""
    model = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.M)
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return (
        f"{os.cpu_count()} cores ({model[1] if model else platform.machine()}), "
        f"{pages / 2**30:.0f} GiB, Linux {platform.release().split('-')[0]}, "
        f"Python {platform.python_version()}"
    )
