"""Metrics of all workers: a process of its own listens, and asks them.

A listener that bears a slow scraper has threads, and a process that has threads is not to be
forked: a lock that one of them holds at that moment is never let go in the fork. So neither the
parent of the workers has them, nor a worker that is just beginning.
"""

import logging
import signal
import socket
from pathlib import Path

from route_addon.config.settings import MetricsAddress
from route_addon.serve.metrics.address import describe, open_listener, refuse_address
from route_addon.start import refuse_start

logger = logging.getLogger(__name__)


def open_metrics(address: MetricsAddress | None) -> socket.socket | None:
    """Listen where the options say, in the parent of workers.

    An address that was asked for and cannot be listened on ends the start.

    Args:
        address: Where to listen; None for no metrics.
    """
    if address is None:
        return None
    try:
        listener = open_listener(address)
    except OSError as error:
        if not address.is_default:
            refuse_start(str(refuse_address(address, error)))
        logger.warning("no metrics: cannot listen at %s: %s", address, describe(error))
        return None
    logger.info("metrics at http://%s/metrics", address)
    return listener


def run_metrics(listener: socket.socket, folder: str, control: socket.socket) -> int:
    """Answer for all workers, as long as the parent is there.

    Args:
        listener: What to listen with.
        folder: What the workers share.
        control: The connection to the parent.

    Returns:
        The exit status.
    """
    # It may come to all of a control group; the parent says when this ends.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    # Here, because neither the parent nor a worker needs them.
    from route_addon.serve.metrics.exposition import Listener
    from route_addon.serve.metrics.workers import Gathering

    Listener(listener, Gathering(Path(folder)).read)
    # Without the parent it holds the address for nobody: another one may want it.
    while control.recv(16):
        pass
    return 0
