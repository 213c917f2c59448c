"""Starts a pod's terminal service; the service itself is in shells.py, which needs terminado."""

import importlib.util

from demo.leash import Leash


def missing() -> str | None:
    """Say what a real terminal lacks here, and how to get it; None when nothing is missing."""
    if importlib.util.find_spec("terminado") is None:
        return "not installed: terminado (scripts/browser-setup)"
    return None


async def start(address: str, port: int) -> Leash | None:
    """Start the terminal service on address and port.

    Returns:
        The handle that stops it and its shells, or None when something is `missing`.

    Raises:
        RuntimeError: It is installed and did not start.
    """
    return None if missing() else await Leash.start("demo.shells", address, port)
