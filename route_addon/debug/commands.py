"""mitmproxy commands: how the pools and the HTTP cache are, and emptying the cache."""

from collections.abc import Callable

from mitmproxy import command, exceptions

from route_addon.carry.relay import Relay


class Commands:
    """Commands for the console, mitmweb's command bar, and scripts.

    Args:
        relay: The relay in service; None with the stock carrier, and without a listener.
    """

    name = "route_commands"

    def __init__(self, relay: Callable[[], Relay | None]) -> None:
        self._relay = relay

    @command.command("route.upstreams")
    def upstreams(self) -> str:
        """How the servers of all pools are: state, requests with each, requests and failures."""
        lines: list[str] = []
        for pool in self._in_service().pools.snapshot():
            told = f"{pool.name}: {pool.method}, {pool.waiting} waiting"
            lines.append(f"{told}, {pool.overflows} turned away")
            for server in pool.servers:
                backup = ", backup" if server.backup else ""
                lines.append(
                    f"  {server.server}: {server.state}, weight {server.weight}{backup}, "
                    f"{server.active} active, {server.requests} requests, {server.fails} failed"
                )
        return "\n".join(lines) or "no pools: each upstream has one server"

    @command.command("route.cache")
    def cache(self) -> str:
        """How full the HTTP cache is, and what has happened to it since the start."""
        cache = self._in_service().cache
        store, counters = cache.store, cache.store.counters
        return (
            f"{len(store)} answers, {store.used_bytes} of {store.max_bytes} bytes; "
            f"{counters.hits} hits, {counters.stored} stored, {counters.evicted} evicted, "
            f"{counters.invalidated} invalidated, {counters.dropped} had no room"
        )

    @command.command("route.cache.purge")
    def purge(self, path: str = "/") -> str:
        """Forget all stored answers below a path, whole segments; all of them for "/"."""
        if not path.startswith("/"):
            raise exceptions.CommandError(f"{path!r} must be a path that begins with /")
        count = self._in_service().cache.store.purge(path.encode("utf-8", "surrogateescape"))
        return f"{count} answers forgotten"

    def _in_service(self) -> Relay:
        relay = self._relay()
        if relay is None:
            raise exceptions.CommandError("the relay is not in service: no pools, no cache")
        return relay
