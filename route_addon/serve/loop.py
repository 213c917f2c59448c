"""The event loop that workers run on: uvloop, or asyncio's own where there is no uvloop."""

import asyncio
from collections.abc import Callable
from importlib.metadata import version
from typing import NamedTuple


class Loop(NamedTuple):
    """A kind of event loop."""

    name: str
    make: Callable[[], asyncio.AbstractEventLoop]


def choose_loop() -> Loop:
    """The best that this machine has."""
    try:
        import uvloop
    except ImportError:
        return Loop("asyncio's own loop: there is no uvloop", asyncio.new_event_loop)
    return Loop(f"uvloop {version('uvloop')}", uvloop.new_event_loop)
