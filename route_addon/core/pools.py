"""An upstream's servers: pick one, let requests wait while all are full, say how they are.

Smooth weighted round robin and ``least_conn`` are nginx's, to the step. Nothing here waits, asks
or reads a clock: the time is an argument, names are resolved and servers probed by the carrier,
which is told what is due (``take_names``, ``take_probes``) and hands in what came of it. Any
clock will do, as long as it is one and never goes back.

Requests come in as ``core.attempts.Attempts``, one for each.
"""

from collections.abc import Collection, Iterable
from typing import Final, NamedTuple, Protocol

from route_addon.core.errors import PoolBusy, PoolDown, RouteError
from route_addon.core.members import Member, State
from route_addon.core.messages import Server
from route_addon.core.pool_config import Method, PoolSpec

NAME_LIFE_S: Final = 10.0
"""How long the addresses of a name are believed; then it is asked again (nginx's ``valid``)."""


class Waiter(Protocol):
    """A request that waits for a server."""

    @property
    def tried(self) -> Collection[Member]:
        """The servers that it has tried."""

    def seat(self, member: Member, now: float) -> None:
        """It is given a server."""

    def turn_away(self, error: RouteError) -> None:
        """It will get none."""


class ServerState(NamedTuple):
    """A server, for logs, commands and metrics; the words are those of nginx's API."""

    server: str
    state: State
    weight: int
    backup: bool
    active: int
    """Requests that are with it."""
    max_conns: int
    requests: int
    fails: int
    unavail: int
    """How often it became unavailable."""


class PoolState(NamedTuple):
    """A pool, for logs, commands and metrics."""

    name: str
    method: Method
    servers: tuple[ServerState, ...]
    waiting: int
    queue: int
    overflows: int
    """Requests that were turned away, because too many waited or they waited too long."""


class Pool:
    """The servers of one upstream, in service.

    Args:
        spec: What is configured of them.
    """

    def __init__(self, spec: PoolSpec) -> None:
        self.spec = spec
        self.overflows = 0
        self._known: dict[tuple[Server, str], Member] = {}
        """The servers, and those that left while requests were with them."""
        self._members: tuple[Member, ...] = ()
        self._primaries: tuple[Member, ...] = ()
        self._backups: tuple[Member, ...] = ()
        self._is_alone = False
        self._addresses: dict[Server, tuple[str, ...]] = {}
        self._ask_at: dict[Server, float] = {}
        self._line: dict[Waiter, float] = {}
        """Who waits, first come first, and until when."""
        self._told: dict[str, State] = {}
        self._arrange()

    def configure(self, spec: PoolSpec) -> None:
        """Take another configuration; what is known of servers that stay is kept."""
        self.spec = spec
        named = {server.server for server in spec.servers if server.is_resolved}
        self._addresses = {
            server: found for server, found in self._addresses.items() if server in named
        }
        self._arrange()
        if spec.health is None:
            for member in self._members:
                member.forget_probes()

    def _arrange(self) -> None:
        """Make the servers those of the configuration and of the names' addresses."""
        members: dict[tuple[Server, str], Member] = {}
        for spec in self.spec.servers:
            addresses = self._addresses.get(spec.server, ()) if spec.is_resolved else ("",)
            for address in addresses:
                key = (spec.server, address)
                member = self._known.get(key)
                if member is None:
                    member = Member(spec, address)
                member.configure(spec)
                members[key] = member
        # Whoever comes back while it has requests still must not get more than max_conns.
        leaving = {key: member for key, member in self._known.items() if member.conns}
        self._known = {**leaving, **members}
        self._members = tuple(members.values())
        self._primaries = tuple(member for member in self._members if not member.spec.is_backup)
        self._backups = tuple(member for member in self._members if member.spec.is_backup)
        self._is_alone = sum(not member.spec.is_down for member in self._members) == 1

    # Choosing.

    def pick(self, now: float, tried: Collection[Member]) -> Member | None:
        """The server that the next request goes to.

        Args:
            now: The time.
            tried: Servers that the request has been to.

        Returns:
            None when those that could take it are full.

        Raises:
            PoolDown: None is available.
        """
        is_full = False
        for group in (self._primaries, self._backups):
            fit: list[Member] = []
            for member in group:
                if member in tried or not member.is_available(now, is_alone=self._is_alone):
                    continue
                if member.is_full:
                    is_full = True
                else:
                    fit.append(member)
            if fit:
                return self._choose(fit)
        if is_full:
            return None
        raise PoolDown(self.spec.name)

    def has_next(self, now: float, tried: Collection[Member]) -> bool:
        """Whether a request that has tried some servers would get another, or could wait."""
        has_room = len(self._line) < self.spec.queue
        return (has_room or not self._line) and any(
            member not in tried
            and member.is_available(now, is_alone=self._is_alone)
            and (has_room or not member.is_full)
            for member in self._members
        )

    def _choose(self, fit: list[Member]) -> Member:
        if len(fit) > 1 and self.spec.method == "least_conn":
            # The same ratio of small whole numbers is the same float.
            load = min(member.conns / member.spec.weight for member in fit)
            fit = [member for member in fit if member.conns / member.spec.weight == load]
        if len(fit) == 1 and self.spec.method == "least_conn":
            # nginx: round robin has a say, and moves on, only among several that are equal.
            return fit[0]
        return _next_in_turn(fit)

    def fail(self, member: Member, now: float) -> None:
        """A request has failed on a server."""
        member.fail(now, is_alone=self._is_alone)

    # Waiting.

    @property
    def is_waited_for(self) -> bool:
        """Whether requests wait: ``serve`` must be called from time to time."""
        return bool(self._line)

    def join(self, waiter: Waiter, now: float) -> None:
        """Wait for a server, behind all others.

        Raises:
            PoolBusy: As many wait as may.
        """
        if len(self._line) >= self.spec.queue:
            self.overflows += 1
            raise PoolBusy(f"{self.spec.name}: {len(self._line)} wait")
        self._line[waiter] = now + self.spec.queue_timeout_s

    def leave(self, waiter: Waiter) -> None:
        """Wait no longer."""
        self._line.pop(waiter, None)

    def serve(self, now: float) -> list[Waiter]:
        """Give servers to those that wait: when one may have room, and from time to time.

        Returns:
            Those whose waiting is over, with a server or without one.
        """
        over: list[Waiter] = []
        is_full = False
        for waiter, until in list(self._line.items()):
            if until <= now:
                self.overflows += 1
                waiter.turn_away(PoolBusy(f"{self.spec.name}: waited too long"))
            elif is_full or not self._serve(waiter, now):
                # Who has tried some servers may have to wait where another need not.
                is_full = is_full or not waiter.tried
                continue
            del self._line[waiter]
            over.append(waiter)
        return over

    def _serve(self, waiter: Waiter, now: float) -> bool:
        try:
            member = self.pick(now, waiter.tried)
        except PoolDown as error:
            waiter.turn_away(error)
            return True
        if member is None:
            return False
        waiter.seat(member, now)
        return True

    # Names.

    @property
    def is_unresolved(self) -> bool:
        """Whether there is no server as long as no name has been resolved."""
        return not self._members

    def take_names(self, now: float) -> list[Server]:
        """The servers whose names are to be asked for all their addresses now.

        A name that is known is handed out once in its time: if nothing comes of it, the addresses
        last known stay in use.
        """
        due: list[Server] = []
        for spec in self.spec.servers:
            server = spec.server
            if not spec.is_resolved:
                continue
            if server not in self._addresses:
                due.append(server)
            elif self._ask_at[server] <= now:
                self._ask_at[server] = now + NAME_LIFE_S
                due.append(server)
        return due

    def receive_addresses(self, server: Server, addresses: Iterable[str], now: float) -> None:
        """A name has been resolved.

        Args:
            server: As it was handed out; one that has left the configuration is passed over.
            addresses: All of its addresses; none at all changes nothing.
            now: The time.
        """
        named = [spec.server for spec in self.spec.servers if spec.is_resolved]
        found = dict.fromkeys(addresses)
        if server not in named or not found:
            return
        # Resolvers turn their answers round each time: the order of those that stay is kept.
        old = [address for address in self._addresses.get(server, ()) if address in found]
        self._addresses[server] = tuple(dict.fromkeys([*old, *found]))
        self._ask_at[server] = now + NAME_LIFE_S
        self._arrange()

    # Probes.

    def take_probes(self, now: float) -> list[Member]:
        """The servers that are to be asked for their health now; each once in its interval."""
        health = self.spec.health
        if health is None:
            return []
        due = [
            member
            for member in self._members
            if member.next_probe <= now and not member.spec.is_down
        ]
        for member in due:
            member.next_probe = now + health.interval_s
        return due

    def receive_probe(self, member: Member, status: int | None) -> None:
        """A probe is over.

        Args:
            member: As it was handed out.
            status: The answer's status; None when there was no answer.
        """
        if self.spec.health is not None:
            member.receive_probe(self.spec.health, status)

    # Looking.

    def snapshot(self) -> PoolState:
        """How the pool is."""
        servers = tuple(
            ServerState(
                member.name,
                member.state,
                member.spec.weight,
                member.spec.is_backup,
                member.conns,
                member.spec.max_conns,
                member.requests,
                member.fails,
                member.unavails,
            )
            for member in self._members
        )
        spec = self.spec
        return PoolState(
            spec.name, spec.method, servers, len(self._line), spec.queue, self.overflows
        )

    def take_changes(self) -> list[tuple[str, State]]:
        """The servers whose state is another than at the last call, for the log.

        A server begins as ``up``; that one is ``checking`` is no news, only what comes of it.
        """
        told, self._told = self._told, {}
        changes: list[tuple[str, State]] = []
        for member in self._members:
            name = member.name
            before = told.get(name, "up")
            state = member.state if member.state != "checking" else before
            if state != before:
                changes.append((name, state))
            self._told[name] = state
        return changes


def _next_in_turn(fit: list[Member]) -> Member:
    """nginx's smooth weighted round robin.

    Each gains its effective weight, the richest (the first of them) is taken and pays what all
    have gained. A weight that failures have lowered recovers by one each time.
    """
    total = 0
    best = fit[0]
    for member in fit:
        member.current_weight += member.effective_weight
        total += member.effective_weight
        if member.effective_weight < member.spec.weight:
            member.effective_weight += 1
        if member.current_weight > best.current_weight:
            best = member
    best.current_weight -= total
    return best
