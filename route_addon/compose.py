"""The only place that knows every part, and joins them."""

from collections.abc import Sequence
from socket import socket

from mitmproxy import ctx

from route_addon.addon import RouteAddon
from route_addon.carry.guard import Guard
from route_addon.config.workers import ALONE, Worker
from route_addon.debug.record import Recorder
from route_addon.serve.observing import Observing


class Composition:
    """One addon for ``-s`` to load, with its parts below it."""

    name = "route_addon"

    def __init__(self, route: RouteAddon, *addons: object) -> None:
        self.route = route
        self.addons = [route, *addons]


def build_addon() -> Composition:
    """Join all parts. After a reload of the script the guard is the one that is there already."""
    # Here, because a service has nobody to show anything to.
    from route_addon.debug.parts import build_parts

    guard = ctx.master.addons.get(Guard.name)
    route = RouteAddon(guard if isinstance(guard, Guard) else Guard())
    return _join(route, *build_parts(route))


def build_service(worker: Worker = ALONE, sockets: Sequence[socket] = ()) -> Composition:
    """Join the parts that a service needs.

    Args:
        worker: Which of several processes this is.
        sockets: What to listen with, where it has been opened already.
    """
    return _join(RouteAddon(Guard(sockets), worker))


def _join(route: RouteAddon, *parts: object) -> Composition:
    recorder = Recorder(route.worker, lambda: route.router)
    return Composition(route, *parts, recorder, Observing(route))
