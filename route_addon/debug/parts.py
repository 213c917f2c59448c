"""What a person has of the router in mitmproxy's programs: commands, views, replays."""

from route_addon.addon import RouteAddon
from route_addon.debug.client_replay import ClientReplay
from route_addon.debug.commands import Commands
from route_addon.debug.console_key import ConsoleKey
from route_addon.debug.explain_commands import ExplainCommands
from route_addon.debug.history import History
from route_addon.debug.judge import Judge
from route_addon.debug.loading import Loading
from route_addon.debug.reader import Reader
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


def build_parts(route: RouteAddon) -> list[object]:
    """The addons.

    Args:
        route: The router.
    """
    judge = Judge(lambda: route.router)
    return [
        judge,
        Commands(route),
        ExplainCommands(lambda: route.router, route.watch.mask),
        ReplayCommands(lambda: route.router),
        History(),
        ConsoleKey(),
        Views(
            [
                ExplanationView(lambda: route.router, route.watch.mask),
                DesktopToken(lambda: route.router, route.watch.mask),
                Rfb(),
                Terminal(),
                Signalling(),
            ]
        ),
        Saving(),
        Loading(),
        Reader(judge.fail),
        ReplayedFiles(lambda: route.router),
        ServerReplay(lambda: route.router),
        ClientReplay(route.guard, route.watch, lambda: route.relay),
    ]
