"""``route-addon serve``: the router as a service, in one process or many."""

import asyncio
import logging
import os
import tempfile
from collections.abc import Sequence
from functools import partial
from typing import Final, NamedTuple

from route_addon.carry.listen.sockets import ListenAddress, ListenFault, open_sockets
from route_addon.config.settings import MetricsAddress
from route_addon.config.workers import Worker
from route_addon.serve import check
from route_addon.serve.arguments import PORT, Arguments, parse_arguments
from route_addon.serve.cgroup import measure_room
from route_addon.serve.lean import load_master, log_to_stderr, refuse_deaf
from route_addon.serve.loop import choose_loop
from route_addon.serve.metrics.process import open_metrics, run_metrics
from route_addon.serve.open_files import raise_limit
from route_addon.serve.supervisor import Program, Supervisor
from route_addon.serve.worker import run_worker
from route_addon.start import refuse_start

logger = logging.getLogger(__name__)

_LONGEST_FOLDER: Final = 80
"""A socket in it has a path of 107 bytes at most (sun_path)."""
_LATE_S: Final = 4.0
"""How much longer than it may a drain takes at most. With the default it ends before the 30 s after
which Kubernetes kills all of it."""


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
    plan = asyncio.run(_plan(arguments))
    try:
        sockets = open_sockets(plan.addresses, has_certificate=plan.has_certificate)
    except ListenFault as fault:
        refuse_start(f"{fault}; name another by route_listen or --listen-port")
    logger.info("workers run on %s", choose_loop().name)
    raise_limit()
    listener = open_metrics(plan.metrics)
    with _make_folder() as folder:
        workers = [
            Program("worker", partial(run_worker, arguments, sockets, worker), sockets)
            for worker in (Worker(index, plan.workers, folder) for index in range(plan.workers))
        ]
        attendants = []
        if listener is not None:
            run = partial(run_metrics, listener, folder)
            attendants.append(Program("metrics", run, [listener]))
        return Supervisor(workers, attendants, plan.drain_s + _LATE_S).run()


def _make_folder() -> "tempfile.TemporaryDirectory[str]":
    """The folder that all processes share."""
    try:
        folder = tempfile.TemporaryDirectory(prefix="route-addon-")
    except OSError as error:
        refuse_start(
            f"no temporary folder can be written to ({error.strerror}); "
            "mount one at /tmp, or name one by TMPDIR"
        )
    if len(os.fsencode(folder.name)) > _LONGEST_FOLDER:
        folder.cleanup()
        refuse_start(f"TMPDIR={tempfile.gettempdir()}: is too long for sockets; name a shorter one")
    return folder


class _Plan(NamedTuple):
    """What the parent has to know of the configuration."""

    workers: int
    addresses: Sequence[ListenAddress]
    has_certificate: bool
    metrics: MetricsAddress | None
    drain_s: float
    """How long a drain may take."""


async def _plan(arguments: Arguments) -> _Plan:
    """Read the configuration as a worker will: how many of them, and where to listen.

    A configuration that cannot be used ends the process here, before anything listens.
    """
    lean, route = load_master(arguments)
    refuse_deaf(lean, route)
    settings = route.settings
    assert settings is not None
    options = lean.options
    port = PORT if options.listen_port is None else options.listen_port
    here = ListenAddress(options.listen_host, port)
    addresses = settings.listen or (here,)
    has_certificate = bool(route.certificates)
    lean.close()
    workers = settings.workers or measure_room().workers
    return _Plan(workers, addresses, has_certificate, settings.metrics, settings.drain.total_s)
