"""Where metrics are listened for."""

import os
import socket
from typing import Final

from route_addon.config.settings import MetricsAddress
from route_addon.options import BadOption

_QUEUE: Final = 16


def open_listener(address: MetricsAddress) -> socket.socket:
    """Listen for scrapers.

    Args:
        address: Where; port 0 is a free one.

    Raises:
        OSError: It cannot be listened on.
    """
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    return socket.create_server((address.host, address.port), family=family, backlog=_QUEUE)


def refuse_address(address: MetricsAddress, error: OSError) -> BadOption:
    """The refusal of an address that cannot be listened on."""
    return BadOption(
        "route_metrics",
        address,
        f"cannot be listened on ({describe(error)}); choose another port, or 0 for no metrics",
    )


def describe(error: OSError) -> str:
    """What the system says; Python's own text repeats the address."""
    return os.strerror(error.errno) if error.errno else str(error)
