"""The only place that knows every part, and joins them."""

from collections.abc import Sequence
from socket import socket

from mitmproxy import ctx

from route_addon.addon import RouteAddon
from route_addon.carry.guard import Guard
from route_addon.config.workers import ALONE, Worker
from route_addon.debug.client_replay import ClientReplay
from route_addon.debug.commands import Commands
from route_addon.debug.explain_commands import ExplainCommands
from route_addon.debug.history import History
from route_addon.debug.judge import Judge
from route_addon.debug.loading import Loading
from route_addon.debug.reader import Reader
from route_addon.debug.record import Recorder
from route_addon.debug.replay_commands import ReplayCommands
from route_addon.debug.replayed_files import ReplayedFiles
from route_addon.debug.saving import Saving
from route_addon.debug.server_replay import ServerReplay
from route_addon.debug.views.desktop_token import DesktopToken
from route_addon.debug.views.explanation import ExplanationView
from route_addon.debug.views.registration import Views
from route_addon.debug.views.rfb import Rfb
from route_addon.debug.views.signalling import Signalling
from route_addon.debug.views.terminal import Terminal
from route_addon.serve.observing import Observing


class Composition:
    """One addon for ``-s`` to load, with its parts below it."""

    name = "route_addon"

    def __init__(self, route: RouteAddon, *addons: object) -> None:
        self.route = route
        self.addons = [route, *addons]


def build_addon(worker: Worker = ALONE, sockets: Sequence[socket] = ()) -> Composition:
    """Join the parts. After a reload of the script the guard is the one that is there already.

    Args:
        worker: Which of several processes this is.
        sockets: What to listen with, where it has been opened already.
    """
    guard = ctx.master.addons.get(Guard.name)
    route = RouteAddon(guard if isinstance(guard, Guard) else Guard(sockets), worker)
    judge = Judge(lambda: route.router)
    return Composition(
        route,
        judge,
        Commands(route),
        ExplainCommands(lambda: route.router, route.watch.mask),
        ReplayCommands(lambda: route.router),
        History(),
        Views(
            [
                ExplanationView(lambda: route.router, route.watch.mask),
                DesktopToken(lambda: route.router, route.watch.mask),
                Rfb(),
                Terminal(),
                Signalling(),
            ]
        ),
        Recorder(worker, lambda: route.router),
        Saving(),
        Observing(route),
        Loading(),
        Reader(judge.fail),
        ReplayedFiles(lambda: route.router),
        ServerReplay(lambda: route.router),
        ClientReplay(route.guard, route.watch, lambda: route.relay),
    )
