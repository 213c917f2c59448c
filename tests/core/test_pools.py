"""A pool: who is picked, who waits, what changes while it runs, and thousands of failures."""

import random
from collections import Counter
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from route_addon.core.attempts import Attempts
from route_addon.core.errors import PoolBusy, PoolDown, UpstreamRefused, UpstreamReset
from route_addon.core.members import Member
from route_addon.core.messages import Server
from route_addon.core.pool_config import HealthSpec, PoolSpec, ServerSpec
from route_addon.core.pools import NAME_LIFE_S, Pool, PoolState, ServerState
from tests.core.pooling import begin, host, hosts, pool, pool_spec, server


def _weighted(*weights: int) -> list[ServerSpec]:
    return [server(name, weight=weight) for name, weight in zip("abcdefgh", weights, strict=False)]


def _fail(attempts: Attempts, now: float) -> bool:
    return attempts.fail(UpstreamRefused(), now, is_sent=False, is_body_kept=True)


def _break(balanced: Pool, name: str, now: float = 0.0) -> None:
    """Let requests fail on a server until it is unavailable."""
    member = next(member for member in balanced._members if host(member) == name)
    while member.state == "up":
        balanced.fail(member, now)


# Smooth weighted round robin.


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        pytest.param((5, 1, 1), "a a b a c a a", id="nginx's own example"),
        pytest.param((4, 2, 1), "a b a c a b a", id="4 2 1"),
        pytest.param((1, 1, 1), "a b c a b c", id="equal"),
        pytest.param((3, 1), "a a b a", id="3 1"),
        pytest.param((1, 2), "b a b", id="the heavier one first"),
        pytest.param((1,), "a a a", id="one"),
    ],
)
def test_sequences(weights: tuple[int, ...], expected: str) -> None:
    """The published sequences, and again from the first in the next round."""
    balanced = pool(*_weighted(*weights))
    count = len(expected.split())
    assert expected == hosts(balanced, count)
    assert expected == hosts(balanced, count)


@dataclass
class Peer:
    """A server of the second opinion below."""

    name: str
    weight: int
    max_fails: int
    effective: int
    current: int = 0


def _second_opinion(peers: list[Peer]) -> Peer:
    """Smooth weighted round robin, written down from its description."""
    for peer in peers:
        peer.current += peer.effective
    total = sum(peer.effective for peer in peers)
    for peer in peers:
        peer.effective = min(peer.weight, peer.effective + 1)
    best = max(peers, key=lambda peer: peer.current)
    best.current -= total
    return best


@given(
    st.lists(st.tuples(st.integers(1, 9), st.integers(50, 60)), min_size=2, max_size=5),
    st.lists(st.booleans(), max_size=40),
)
def test_against_a_second_opinion(kinds: list[tuple[int, int]], failures: list[bool]) -> None:
    """Weights go down with failures and recover, as described."""
    specs = [
        server(name, weight=weight * 50, max_fails=fails)
        for name, (weight, fails) in zip("abcde", kinds, strict=False)
    ]
    balanced = pool(*specs)
    peers = [Peer(spec.server.host, spec.weight, spec.max_fails, spec.weight) for spec in specs]
    for fails in failures:
        attempts, peer = begin(balanced), _second_opinion(peers)
        assert host(attempts.member) == peer.name
        if fails and attempts.member is not None:
            balanced.fail(attempts.member, 0.0)
            peer.effective -= peer.weight // peer.max_fails
        attempts.finish()


@given(st.lists(st.integers(1, 20), min_size=1, max_size=8))
def test_weights_hold_in_every_window(weights: list[int]) -> None:
    """As many requests as all weights together: each server gets its own, within one."""
    balanced, total = pool(*_weighted(*weights)), sum(weights)
    names = hosts(balanced, 2 * total).split()
    for start in range(total):
        counts = Counter(names[start : start + total])
        for name, weight in zip("abcdefgh", weights, strict=False):
            assert abs(counts[name] - weight) <= 1


def test_a_lowered_weight_recovers() -> None:
    """After its trial a server gets its share back step by step, not at once."""
    balanced = pool(*_weighted(4, 4))
    _break(balanced, "a")
    assert hosts(balanced, 3) == "b b b"
    assert hosts(balanced, 16, 20.0).split().count("a") < 8
    assert Counter(hosts(balanced, 8, 20.0).split()) == {"a": 4, "b": 4}


# least_conn.


def _load(balanced: Pool, **conns: int) -> None:
    for member in balanced._members:
        member.conns = conns[host(member)]


@pytest.mark.parametrize(
    ("weights", "conns", "expected"),
    [
        pytest.param((1, 1, 1), (2, 1, 3), "b", id="the fewest"),
        pytest.param((4, 1, 1), (4, 2, 2), "a", id="by weight"),
        pytest.param((1, 1, 1), (2, 1, 1), "b", id="equal: in turn"),
        pytest.param((3, 6, 1), (1, 2, 1), "b", id="equal by weight: the heavier one first"),
        pytest.param((1, 1, 1), (0, 0, 0), "a", id="none at all"),
    ],
)
def test_least_conn(weights: tuple[int, ...], conns: tuple[int, ...], expected: str) -> None:
    """The fewest requests for its weight; among equals round robin."""
    balanced = pool(*_weighted(*weights), method="least_conn")
    _load(balanced, **dict(zip("abc", conns, strict=True)))
    assert host(begin(balanced).member) == expected


def test_least_conn_among_equals() -> None:
    """With nothing under way it is the weighted round robin."""
    balanced = pool(*_weighted(5, 1, 1), method="least_conn")
    assert hosts(balanced, 7) == "a a b a c a a"


def test_least_conn_alone() -> None:
    """A choice that is none moves nothing."""
    balanced = pool(*_weighted(5, 1), method="least_conn")
    _load(balanced, a=1, b=0)
    assert host(begin(balanced).member) == "b"
    assert [member.current_weight for member in balanced._members] == [0, 0]


# backup, down, all down.


def test_backup() -> None:
    """A backup is for the time when no other is available."""
    balanced = pool("a", server("b", is_backup=True), server("c", is_backup=True))
    assert hosts(balanced, 3) == "a a a"
    _break(balanced, "a")
    assert hosts(balanced, 4) == "b c b c"
    assert hosts(balanced, 2, 20.0) == "a a"


def test_backup_of_a_full_server() -> None:
    """Or none has room."""
    balanced = pool(server("a", max_conns=1), server("b", is_backup=True))
    assert [host(begin(balanced).member) for _ in range(3)] == ["a", "b", "b"]


def test_down() -> None:
    """A server that is down is never picked."""
    balanced = pool(server("a", is_down=True), "b", "c")
    assert hosts(balanced, 4) == "b c b c"


def test_one_server_is_never_unavailable() -> None:
    """However often it fails; one that is down by configuration does not make it two."""
    for balanced in (pool("a"), pool("a", server("b", is_down=True))):
        for _ in range(9):
            attempts = begin(balanced)
            assert host(attempts.member) == "a"
            assert not _fail(attempts, 0.0)
            attempts.finish()
        assert balanced.snapshot().servers[0].state == "up"


def test_all_down_and_back() -> None:
    """Nobody is picked; when the time is over, one request tries, and it is over."""
    balanced = pool("a", "b")
    attempts = begin(balanced, 0.0)
    assert _fail(attempts, 0.0)
    attempts.pick(0.0)
    assert not _fail(attempts, 0.0)
    attempts.finish()
    with pytest.raises(PoolDown) as caught:
        begin(balanced, 10.0)
    assert (b"Retry-After", b"5") in caught.value.fields
    trials = [begin(balanced, 10.1), begin(balanced, 10.1)]
    assert {host(trial.member) for trial in trials} == {"a", "b"}
    with pytest.raises(PoolDown):
        begin(balanced, 10.1)
    trials[0].judge(200, 10.2, is_body_kept=True)
    assert set(hosts(balanced, 4, 10.2).split()) == {host(trials[0].member)}


# max_conns and waiting.


def test_max_conns() -> None:
    """A full server is passed over; when all are, requests wait in their order."""
    balanced = pool(server("a", max_conns=1), server("b", max_conns=2))
    placed = [begin(balanced) for _ in range(3)]
    assert sorted(host(one.member) for one in placed) == ["a", "b", "b"]
    waiting = [begin(balanced) for _ in range(3)]
    assert [one.member for one in waiting] == [None, None, None]
    assert balanced.serve(0.0) == []
    for index, one in enumerate(placed):
        one.finish()
        assert balanced.serve(0.0) == [waiting[index]]
    assert not balanced.is_waited_for


def test_nobody_overtakes() -> None:
    """Room is for those who wait, even if somebody new comes first."""
    balanced = pool(server("a", max_conns=1))
    first, second = begin(balanced), begin(balanced)
    first.finish()
    third = begin(balanced)
    assert third.member is None
    assert balanced.serve(0.0) == [second]
    assert host(second.member) == "a"


def test_too_many_wait() -> None:
    """``queue``: 503 at once for one more; 0 lets nobody wait."""
    balanced = pool(server("a", max_conns=1), queue=2)
    for _ in range(3):
        begin(balanced)
    with pytest.raises(PoolBusy, match="pyos: 2 wait"):
        begin(balanced)
    assert balanced.snapshot().overflows == 1
    balanced = pool(server("a", max_conns=1), queue=0)
    begin(balanced)
    with pytest.raises(PoolBusy, match="pyos: 0 wait"):
        begin(balanced)


def test_waiting_too_long() -> None:
    """``queue timeout``: those whose time is over are turned away, the others stay."""
    balanced = pool(server("a", max_conns=1), queue_timeout_s=10.0)
    begin(balanced)
    second = begin(balanced, 0.0)
    third = begin(balanced, 5.0)
    assert balanced.serve(9.9) == []
    assert balanced.serve(10.0) == [second]
    with pytest.raises(PoolBusy, match="waited too long"):
        second.pick(10.0)
    assert third.member is None
    assert balanced.snapshot().waiting == 1


def test_all_down_while_they_wait() -> None:
    """What they wait for is gone: they are told so, instead of being left to wait."""
    balanced = pool(server("a", max_conns=1), server("b", max_conns=1))
    begin(balanced)
    begin(balanced)
    waiting = begin(balanced)
    _break(balanced, "a")
    assert balanced.serve(0.0) == []
    _break(balanced, "b")
    assert balanced.serve(0.0) == [waiting]
    with pytest.raises(PoolDown):
        waiting.pick(0.0)


def test_a_server_that_was_tried_is_no_room() -> None:
    """Who has been to a server does not wait for it, and does not hold up who has not."""
    balanced = pool(server("a", max_conns=1), server("b", max_conns=1))
    first, second = begin(balanced), begin(balanced)
    assert (host(first.member), host(second.member)) == ("a", "b")
    assert first.fail(UpstreamReset(), 0.0, is_sent=True, is_body_kept=True)
    assert first.pick(0.0) is None
    third = begin(balanced, 0.0)
    assert third.member is None
    # It comes back: for the one that has not tried it.
    for member in first.tried:
        member.recover()
    assert balanced.serve(0.0) == [third]
    second.finish()
    assert balanced.serve(0.0) == [first]
    assert host(first.member) == "b"


@pytest.mark.parametrize(
    ("queue", "has_next"),
    [pytest.param(1, True, id="room to wait"), pytest.param(0, False, id="none")],
)
def test_the_next_server_is_full(queue: int, has_next: bool) -> None:
    """A failure is not turned into a refusal: the request goes on only where it could wait."""
    balanced = pool("a", server("b", max_conns=1), queue=queue)
    first, _ = begin(balanced), begin(balanced)
    assert has_next is _fail(first, 0.0)


def test_the_line_is_full() -> None:
    """Nor does it go on behind a line that it may not join."""
    balanced = pool(server("a", max_conns=1), server("b", max_conns=1), queue=1)
    first, second, _ = begin(balanced), begin(balanced), begin(balanced)
    second.finish()
    assert not _fail(first, 0.0)


# Names.

NAME = server("pods", is_resolved=True)
SERVER = NAME.server


def test_all_addresses_of_a_name() -> None:
    """Until the name has been resolved there is no server; then each address is one."""
    balanced = pool(NAME)
    assert balanced.is_unresolved
    assert balanced.take_names(0.0) == balanced.take_names(0.0) == [SERVER]
    with pytest.raises(PoolDown):
        begin(balanced)
    balanced.receive_addresses(SERVER, ["10.0.0.1", "10.0.0.2", "10.0.0.1"], 0.0)
    assert not balanced.is_unresolved
    assert hosts(balanced, 3) == "pods@10.0.0.1 pods@10.0.0.2 pods@10.0.0.1"


def test_a_name_is_asked_again() -> None:
    """Once in its time, even if nothing comes of it."""
    balanced = pool(NAME, "b")
    assert not balanced.is_unresolved
    balanced.receive_addresses(SERVER, ["10.0.0.1"], 0.0)
    assert balanced.take_names(NAME_LIFE_S - 0.1) == []
    assert balanced.take_names(NAME_LIFE_S) == [SERVER]
    assert balanced.take_names(NAME_LIFE_S) == []
    assert balanced.take_names(2 * NAME_LIFE_S) == [SERVER]
    balanced.receive_addresses(SERVER, [], 2 * NAME_LIFE_S)
    assert "pods@10.0.0.1" in hosts(balanced, 2).split()


def test_addresses_come_and_go() -> None:
    """What is known of those that stay is kept, and so is their order."""
    balanced = pool(NAME)
    balanced.receive_addresses(SERVER, ["10.0.0.1", "10.0.0.2"], 0.0)
    _break(balanced, "pods@10.0.0.1")
    balanced.receive_addresses(SERVER, ["10.0.0.3", "10.0.0.2", "10.0.0.1"], 1.0)
    assert [(one.server, one.state) for one in balanced.snapshot().servers] == [
        ("http://pods:80 (10.0.0.1)", "unavail"),
        ("http://pods:80 (10.0.0.2)", "up"),
        ("http://pods:80 (10.0.0.3)", "up"),
    ]
    balanced.receive_addresses(SERVER, ["10.0.0.2"], 2.0)
    assert set(hosts(balanced, 4).split()) == {"pods@10.0.0.2"}


def test_an_address_that_is_left_alone() -> None:
    """The last one of a pool serves, whatever it has done."""
    balanced = pool(NAME)
    balanced.receive_addresses(SERVER, ["10.0.0.1", "10.0.0.2"], 0.0)
    _break(balanced, "pods@10.0.0.1")
    balanced.receive_addresses(SERVER, ["10.0.0.1"], 1.0)
    assert hosts(balanced, 2, 1.0) == "pods@10.0.0.1 pods@10.0.0.1"


def test_an_address_that_comes_back_too_soon() -> None:
    """Requests that are still with it are counted."""
    balanced = pool(server("pods", is_resolved=True, max_conns=1))
    balanced.receive_addresses(SERVER, ["10.0.0.1"], 0.0)
    first = begin(balanced)
    balanced.receive_addresses(SERVER, ["10.0.0.2"], 1.0)
    balanced.receive_addresses(SERVER, ["10.0.0.1"], 2.0)
    assert begin(balanced).member is None
    first.finish()
    assert len(balanced.serve(2.0)) == 1


@pytest.mark.parametrize(
    "stranger", [Server(b"http", "other", 80), Server(b"http", "plain", 80)], ids=lambda one: one[1]
)
def test_a_name_that_was_not_asked_for(stranger: Server) -> None:
    """An answer that comes after the configuration has changed is passed over."""
    balanced = pool(NAME, "plain")
    balanced.receive_addresses(stranger, ["10.0.0.9"], 0.0)
    assert hosts(balanced, 2) == "plain plain"


# Another configuration.


def test_configure() -> None:
    """Servers that stay keep what is known of them; others come and go."""
    balanced = pool("a", "b", NAME, health=HealthSpec("/", fall=1))
    balanced.receive_addresses(SERVER, ["10.0.0.1"], 0.0)
    _break(balanced, "a")
    unhealthy = next(one for one in balanced.take_probes(0.0) if host(one) == "pods@10.0.0.1")
    balanced.receive_probe(unhealthy, None)
    balanced.configure(pool_spec("a", "b", NAME, health=HealthSpec("/other")))
    assert unhealthy.state == "unhealthy"
    balanced.configure(pool_spec(server("a", weight=2), "c", NAME))
    assert [(one.server, one.state, one.weight) for one in balanced.snapshot().servers] == [
        ("http://a:80", "unavail", 2),
        ("http://c:80", "up", 1),
        ("http://pods:80 (10.0.0.1)", "up", 1),
    ]
    balanced.configure(pool_spec("c"))
    assert hosts(balanced, 2) == "c c"
    balanced.configure(pool_spec(NAME))
    assert balanced.is_unresolved


# Probes.


def test_probes_are_due() -> None:
    """At once, and then once in an interval; never for a server that is down."""
    balanced = pool("a", server("b", is_down=True), "c", health=HealthSpec("/", interval_s=5.0))
    assert [host(member) for member in balanced.take_probes(0.0)] == ["a", "c"]
    assert balanced.take_probes(4.9) == []
    assert [host(member) for member in balanced.take_probes(5.0)] == ["a", "c"]


def test_probes() -> None:
    """Who does not answer them well gets no request, until it does."""
    balanced = pool("a", "b", health=HealthSpec("/", rise=1, fall=1))
    a, b = balanced.take_probes(0.0)
    balanced.receive_probe(a, 500)
    assert hosts(balanced, 3) == "b b b"
    balanced.receive_probe(b, None)
    with pytest.raises(PoolDown):
        begin(balanced)
    balanced.receive_probe(a, 200)
    assert hosts(balanced, 3) == "a a a"


def test_one_server_and_probes() -> None:
    """What they find is shown, but there is nobody else to go to."""
    balanced = pool("a", health=HealthSpec("/", fall=1))
    balanced.receive_probe(balanced.take_probes(0.0)[0], None)
    assert balanced.snapshot().servers[0].state == "unhealthy"
    assert hosts(balanced, 2) == "a a"


def test_no_probes() -> None:
    """They are off unless configured; one that is still under way then says nothing."""
    balanced = pool("a", "b")
    assert balanced.take_probes(0.0) == []
    for _ in range(9):
        balanced.receive_probe(balanced._members[0], None)
    assert hosts(balanced, 2) == "a b"


# Looking.


def test_snapshot() -> None:
    """All that is known, in nginx's words."""
    balanced = pool(server("a", weight=2, max_conns=1), server("b", is_backup=True), queue=3)
    begin(balanced)
    _fail(begin(balanced), 0.0)
    assert balanced.snapshot() == PoolState(
        "pyos",
        "round_robin",
        (
            ServerState("http://a:80", "up", 2, False, 1, 1, 1, 0, 0),
            ServerState("http://b:80", "unavail", 1, True, 0, 0, 1, 1, 1),
        ),
        waiting=0,
        queue=3,
        overflows=0,
    )


def test_changes() -> None:
    """Each change is told once; that a server is tried again is none."""
    balanced = pool("a", "b")
    assert balanced.take_changes() == []
    _break(balanced, "a")
    assert balanced.take_changes() == [("http://a:80", "unavail")]
    assert balanced.take_changes() == []
    trial = next(
        one for one in (begin(balanced, 20.0) for _ in range(4)) if host(one.member) == "a"
    )
    assert balanced.snapshot().servers[0].state == "checking"
    assert balanced.take_changes() == []
    trial.judge(200, 20.0, is_body_kept=True)
    assert balanced.take_changes() == [("http://a:80", "up")]


# Thousands of failures.


class Simulator:
    """Requests that come and go, servers that die and live, addresses that change.

    It keeps its own books of who is known to be dead, from what it has seen.
    """

    def __init__(self, spec: PoolSpec, seed: int) -> None:
        self.random = random.Random(seed)
        self.balanced = Pool(spec)
        self.now = 0.0
        self.broken: set[str] = set()
        self.under_way: list[Attempts] = []
        self.waiting: list[Attempts] = []
        self.failures: dict[str, list[float]] = {}
        self.dead_until: dict[str, float] = {}
        self.trials: dict[str, Attempts] = {}
        self.served = 0
        self.unserved = 0

    def knows_dead(self, member: Member) -> bool:
        name = host(member)
        return name in self.trials or self.now <= self.dead_until.get(name, -1.0)

    def live(self, tried: set[Member], *, backups: bool) -> list[Member]:
        return [
            member
            for member in self.balanced._members
            if member.spec.is_backup is backups
            and member not in tried
            and not self.knows_dead(member)
            and not 0 < member.spec.max_conns <= member.conns
        ]

    def arrive(self, attempts: Attempts) -> None:
        """A request, or one that goes on, asks for a server."""
        was_waited_for = self.balanced.is_waited_for
        primaries = self.live(attempts.tried, backups=False)
        backups = self.live(attempts.tried, backups=True)
        try:
            member = attempts.pick(self.now)
        except (PoolDown, PoolBusy) as refusal:
            assert not (primaries or backups) or was_waited_for
            assert isinstance(refusal, PoolDown) or was_waited_for
            self.unserved += 1
            return
        if member is None:
            assert was_waited_for or not (primaries or backups)
            self.waiting.append(attempts)
        else:
            assert member in (primaries or backups)
            self.place(attempts, member)

    def place(self, attempts: Attempts, member: Member) -> None:
        assert not self.knows_dead(member)
        assert member not in attempts.tried
        if host(member) in self.dead_until:
            self.trials[host(member)] = attempts
        self.under_way.append(attempts)

    def serve(self) -> None:
        for attempts in self.balanced.serve(self.now):
            assert isinstance(attempts, Attempts)
            self.waiting.remove(attempts)
            if attempts.member is None:
                self.unserved += 1
            else:
                self.place(attempts, attempts.member)

    def end(self, attempts: Attempts) -> None:
        """A request meets its server."""
        self.under_way.remove(attempts)
        member = attempts.member
        assert member is not None
        name = host(member)
        is_trial = self.trials.get(name) is attempts
        if is_trial:
            del self.trials[name]
        if self.random.random() < 0.1:
            attempts.finish()
        elif name not in self.broken:
            attempts.judge(200, self.now, is_body_kept=True)
            attempts.finish()
            self.served += 1
            if is_trial:
                del self.dead_until[name]
                self.failures[name] = []
        else:
            self.note_failure(member)
            if _fail(attempts, self.now):
                self.arrive(attempts)
            else:
                attempts.finish()
                self.unserved += 1
        self.serve()

    def note_failure(self, member: Member) -> None:
        name, spec = host(member), member.spec
        times = self.failures.setdefault(name, [])
        times.append(self.now)
        recent = [time for time in times if self.now - time <= spec.fail_timeout_s]
        if name in self.dead_until or len(recent) >= spec.max_fails:
            self.dead_until[name] = self.now + spec.fail_timeout_s

    def step(self) -> None:
        choice = self.random.random()
        if choice < 0.45:
            self.arrive(Attempts(self.balanced, b"GET"))
        elif choice < 0.85 and self.under_way:
            self.end(self.random.choice(self.under_way))
        elif choice < 0.95:
            self.now += self.random.expovariate(1.0)
            self.serve()
        else:
            name = host(self.random.choice(self.balanced._members))
            self.broken ^= {name}
        self.check()

    def check(self) -> None:
        for member in self.balanced._members:
            assert 0 <= member.conns <= (member.spec.max_conns or 10**9)
            assert 0 <= member.effective_weight <= member.spec.weight
        assert self.balanced.snapshot().waiting == len(self.waiting) <= self.balanced.spec.queue

    def settle(self) -> None:
        """All servers live, everybody leaves, and time passes."""
        self.broken.clear()
        while self.under_way:
            self.end(self.under_way[0])
        self.now += 100.0
        self.serve()
        while self.under_way:
            self.end(self.under_way[0])
        assert not self.waiting


SIMULATED = {
    "two": pool_spec("a", "b"),
    "weights": pool_spec(*_weighted(5, 1, 1), server("d", weight=3, max_fails=3)),
    "least_conn": pool_spec(*_weighted(3, 2, 1), method="least_conn"),
    "backup": pool_spec("a", server("b", max_fails=2), server("c", is_backup=True)),
    "max_conns": pool_spec(
        server("a", max_conns=2),
        server("b", max_conns=3, fail_timeout_s=3.0),
        queue=5,
        queue_timeout_s=4.0,
    ),
    "all of it": pool_spec(
        server("a", max_conns=2, weight=4),
        server("b", max_fails=2, max_conns=4),
        server("c", is_backup=True, max_conns=1),
        server("d", is_backup=True, fail_timeout_s=1.0, max_conns=1),
        method="least_conn",
        queue=9,
    ),
}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("spec", SIMULATED.values(), ids=list(SIMULATED))
def test_thousands_of_failures(spec: PoolSpec, seed: int) -> None:
    """Never a server known dead while a live one is there, one trial at a time, no bound passed.

    And when the storm is over, all of them serve again, by their weights, and nobody starves.
    """
    storm = Simulator(spec, seed)
    for _ in range(4000):
        storm.step()
    assert storm.served > 300
    assert storm.unserved > 10
    storm.settle()
    balanced, now = storm.balanced, storm.now
    primaries = [server for server in spec.servers if not server.is_backup]
    total = sum(server.weight for server in primaries)
    names = hosts(balanced, 4 * total, now).split()
    assert set(names) == {server.server.host for server in primaries}
    names = hosts(balanced, total, now).split()
    for one in primaries:
        assert abs(names.count(one.server.host) - one.weight) <= 1
    assert {one.state for one in balanced.snapshot().servers if not one.backup} == {"up"}
    assert {one.active for one in balanced.snapshot().servers} == {0}


@pytest.mark.parametrize("seed", range(3))
def test_addresses_change_all_the_time(seed: int) -> None:
    """Whatever a name says from one moment to the next, picks are of what it said last."""
    chance = random.Random(seed)
    balanced = pool(server("pods", is_resolved=True, max_conns=2), queue=4)
    under_way: list[Attempts] = []
    active: Counter[str] = Counter()
    addresses: list[str] = []
    for step in range(3000):
        now = step / 10
        if step % 20 == 0:
            addresses = chance.sample([f"10.0.0.{last}" for last in range(6)], chance.randint(1, 4))
            balanced.receive_addresses(SERVER, addresses, now)
        try:
            attempts = begin(balanced, now)
        except (PoolBusy, PoolDown):
            attempts = None
        arrived = [attempts] if attempts is not None and attempts.member is not None else []
        for one in [*arrived, *balanced.serve(now)]:
            assert isinstance(one, Attempts)
            if one.member is None:
                continue
            assert one.member.address in addresses
            active[one.member.address] += 1
            assert active[one.member.address] <= 2
            under_way.append(one)
        for one in chance.sample(under_way, len(under_way) // 3):
            under_way.remove(one)
            assert one.member is not None
            active[one.member.address] -= 1
            if chance.random() < 0.2:
                balanced.fail(one.member, now)
            one.finish()
    assert len(balanced._known) <= 6
