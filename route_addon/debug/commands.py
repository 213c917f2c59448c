"""mitmproxy commands on what is in service: the table, the pools, the caches."""

from collections.abc import Sequence

from mitmproxy import command, exceptions

from route_addon.addon import RouteAddon
from route_addon.carry.relay import Relay
from route_addon.config.describe import location_rows, text_table
from route_addon.core.pools import PoolState
from route_addon.core.router import Router
from route_addon.core.targets import parse_target_host
from route_addon.debug.offers import Offer
from route_addon.debug.readable import make_readable
from route_addon.debug.replay import show


class Commands:
    """Commands for the console, mitmweb's command bar, and scripts.

    Args:
        route: The router in service.
    """

    name = "route_commands"

    def __init__(self, route: RouteAddon) -> None:
        self._route = route

    @command.command("route.table")
    def table(self) -> Sequence[str]:
        """The locations, in the order in which patterns are tried, and what each does."""
        return make_readable(text_table(*location_rows(self._in_force().rules.locations.all)))

    @command.command("route.upstreams")
    def upstreams(self) -> Sequence[str]:
        """How the servers of all pools are: state, requests with each, requests and failures."""
        pools = self._in_service().pools.snapshot()
        lines = [line for pool in pools for line in _describe_pool(pool)]
        return make_readable("\n".join(lines) or "no pools: each upstream has one server")

    @command.command("route.cache")
    def cache(self) -> Sequence[str]:
        """How full the caches of tokens and of answers are, and how often they were of use."""
        return make_readable("\n".join([self._describe_tokens(), self._describe_answers()]))

    @command.command("route.cache.purge")
    def purge(self, path: str = "/") -> str:
        """Forget all stored answers below a path, whole segments; all of them for "/"."""
        if not path.startswith("/"):
            raise exceptions.CommandError(f"{path!r} must be a path that begins with /")
        count = self._in_service().cache.store.purge(path.encode("utf-8", "surrogateescape"))
        return f"{count} answers forgotten"

    @command.command("route.forget")
    @command.argument("target", type=Offer("route.targets"))
    def forget(self, target: str) -> str:
        """Drop the cached tokens of a target, so that each is verified at its next request."""
        host = parse_target_host(target.encode("utf-8", "replace"))
        count = self._in_force().targets.forget(host or target)
        if not count:
            raise exceptions.CommandError(
                f"no token of {show(target)} is in the cache; route.targets says whose are"
            )
        return f"{count} tokens forgotten"

    @command.command("route.targets")
    def targets(self) -> Sequence[str]:
        """The targets whose tokens are cached."""
        return self._in_force().targets.hosts()

    @command.command("route.drain")
    def drain(self) -> str:
        """Serve those who are here to their end, take in nobody, then end the program."""
        if self._route.is_draining:
            return "draining already"
        self._route.drain()
        return "draining: /healthz says 503, and the program ends once nobody is left"

    def _describe_tokens(self) -> str:
        targets = self._in_force().targets
        return (
            f"tokens: {len(targets)} of {targets.max_entries}; "
            f"{_describe_rate(targets.hits, targets.misses)}, {targets.evictions} evicted"
        )

    def _describe_answers(self) -> str:
        relay = self._route.relay
        if relay is None:
            return "answers: the relay is not in service"
        store, counters = relay.cache.store, relay.cache.store.counters
        return (
            f"answers: {len(store)}, {store.used_bytes} of {store.max_bytes} bytes; "
            f"{_describe_rate(counters.hits, counters.misses)}, {counters.stored} stored, "
            f"{counters.evicted} evicted, {counters.invalidated} invalidated, "
            f"{counters.dropped} had no room"
        )

    def _in_force(self) -> Router:
        router = self._route.router
        if router is None:
            raise exceptions.CommandError("no router is in force")
        return router

    def _in_service(self) -> Relay:
        relay = self._route.relay
        if relay is None:
            raise exceptions.CommandError("the relay is not in service: no pools, no cache")
        return relay


def _describe_pool(pool: PoolState) -> list[str]:
    lines = [f"{pool.name}: {pool.method}, {pool.waiting} waiting, {pool.overflows} turned away"]
    for server in pool.servers:
        backup = ", backup" if server.backup else ""
        lines.append(
            f"  {server.server}: {server.state}, weight {server.weight}{backup}, "
            f"{server.active} active, {server.requests} requests, {server.fails} failed"
        )
    return lines


def _describe_rate(hits: int, misses: int) -> str:
    asked = hits + misses
    share = f" ({100 * hits / asked:.1f} % hits)" if asked else ""
    return f"{hits} hits, {misses} misses{share}"
