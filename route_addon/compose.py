"""The only place that knows every part, and joins them."""

from mitmproxy import ctx

from route_addon.addon import RouteAddon
from route_addon.carry.guard import Guard
from route_addon.debug.commands import Commands
from route_addon.debug.judge import Judge


class Composition:
    """One addon for ``-s`` to load, with its parts below it."""

    name = "route_addon"

    def __init__(self, route: RouteAddon, judge: Judge, commands: Commands) -> None:
        self.addons = [route, judge, commands]


def build_addon() -> Composition:
    """Join the parts. After a reload of the script the guard is the one that is there already."""
    guard = ctx.master.addons.get(Guard.name)
    route = RouteAddon(guard if isinstance(guard, Guard) else Guard())
    return Composition(route, Judge(lambda: route.router), Commands(lambda: route.relay))
