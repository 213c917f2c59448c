"""Ports for listeners that must be told theirs beforehand."""

import itertools
import os
import socket
from pathlib import Path

_FIRST = 10_000
_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


def _own_ports() -> "itertools.cycle[int]":
    """Those below all that the kernel gives away by itself, beginning with others in each process.

    A port that was free a moment ago may else be given to whoever asks for any.
    """
    end = int(_RANGE.read_text().split()[0]) if _RANGE.exists() else 32_768
    ports = list(range(min(_FIRST, end - 1000), end))
    at = os.getpid() * 97 % len(ports)
    return itertools.cycle(ports[at:] + ports[:at])


_ports = _own_ports()


def free_port() -> int:
    """A port of 127.0.0.1 at which nobody listens, and which nobody else is told."""
    while True:
        port = next(_ports)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                return port
