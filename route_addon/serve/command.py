"""``route-addon serve``: the router as a service, in one process or many."""

import asyncio
import logging
import tempfile
from collections.abc import Sequence
from functools import partial

from route_addon.carry.sockets import ListenAddress, ListenFault, open_sockets
from route_addon.config.settings import MetricsAddress
from route_addon.config.workers import Worker
from route_addon.options import BadOption
from route_addon.serve import check
from route_addon.serve.arguments import PORT, Arguments, parse_arguments
from route_addon.serve.cgroup import measure_room
from route_addon.serve.lean import load_master, log_to_stderr
from route_addon.serve.loop import choose_loop
from route_addon.serve.metrics.process import open_metrics, run_metrics
from route_addon.serve.supervisor import Program, Supervisor
from route_addon.serve.worker import run_worker
from route_addon.start import refuse_start

logger = logging.getLogger(__name__)


def main(argv: Sequence[str]) -> int:
    """Run the router until a signal ends it.

    Args:
        argv: The arguments.

    Returns:
        The exit status.
    """
    arguments = parse_arguments("serve", argv)
    if arguments.is_check:
        return check.run_check(arguments)
    log_to_stderr()
    count, addresses, metrics = asyncio.run(_plan(arguments))
    try:
        sockets = open_sockets(addresses)
    except ListenFault as fault:
        refuse_start(f"{fault}; name another by route_listen or --listen-port")
    logger.info("workers run on %s", choose_loop().name)
    listener = open_metrics(metrics)
    with tempfile.TemporaryDirectory(prefix="route-addon-") as folder:
        workers = [
            Program("worker", partial(run_worker, arguments, sockets, worker), sockets)
            for worker in (Worker(index, count, folder) for index in range(count))
        ]
        attendants = []
        if listener is not None:
            run = partial(run_metrics, listener, folder)
            attendants.append(Program("metrics", run, [listener]))
        return Supervisor(workers, attendants).run()


async def _plan(arguments: Arguments) -> tuple[int, Sequence[ListenAddress], MetricsAddress | None]:
    """Read the configuration as a worker will: how many of them, and where to listen.

    A configuration that cannot be used ends the process here, before anything listens.
    """
    lean, route = load_master(arguments)
    settings = route.settings
    assert settings is not None
    options = lean.options
    port = PORT if options.listen_port is None else options.listen_port
    here = ListenAddress(options.listen_host, port)
    addresses = route.listen_addresses() if settings.listen else [here]
    lean.close()
    if not addresses:
        refuse_start(
            str(BadOption("route_listen", options.route_listen, "needs a certificate: route_certs"))
        )
    return settings.workers or measure_room().workers, addresses, settings.metrics
