"""Metrics in the parent of workers: it listens, and asks them.

The listener has threads, and the parent forks. A fork copies the thread alone that forks, and a
worker uses nothing that the listener's threads may hold at that moment.
"""

import contextlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path

from route_addon.config.settings import MetricsAddress
from route_addon.serve.observing import refuse_address
from route_addon.start import refuse_start

logger = logging.getLogger(__name__)


@contextlib.contextmanager
def gather_metrics(address: MetricsAddress | None, folder: str) -> Iterator[None]:
    """Answer for all workers, as long as the context lasts.

    An address that was asked for and cannot be listened on ends the start.

    Args:
        address: Where to listen; None for no metrics.
        folder: What the workers share.
    """
    with contextlib.ExitStack() as stack:
        if address is not None:
            # Here, because nobody may want them.
            from route_addon.serve.metrics.exposition import Listener
            from route_addon.serve.metrics.workers import Gathering

            try:
                listener = Listener(address.host, address.port, Gathering(Path(folder)).read)
            except OSError as error:
                if not address.is_default:
                    refuse_start(str(refuse_address(address, error)))
                logger.warning("no metrics: %s is taken (%s)", address, error.strerror)
            else:
                stack.callback(listener.close)
                # Workers are forks, and may outlive their parent.
                os.register_at_fork(after_in_child=listener.leave)
                logger.info("metrics at http://%s/metrics", address)
        yield
