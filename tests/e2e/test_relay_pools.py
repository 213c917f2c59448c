"""Pools through real sockets: servers that are killed, restarted, full, sick; and who waits."""

import collections
import contextlib
import itertools
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.e2e.backend import Backend
from tests.e2e.footprint import Footprint, run_relay, wait_for_rest
from tests.e2e.harness import Answer, Fleet, Request, Router, Wire, build_request, wait_until

type Start = Callable[..., Router]
"""Starts a relay with options of its own."""

FAST = "fail_timeout=1"


@pytest.fixture(scope="module", params=["never", "always"], ids=["unwatched", "watched"])
def relay(
    request: pytest.FixtureRequest, shared_fleet: Fleet, key_options: Mapping[str, str]
) -> Iterator[Router]:
    """A relay. Nothing is cached: every GET goes to a server."""
    with run_relay(
        shared_fleet, key_options, route_watch=request.param, route_http_cache="none"
    ) as router:
        yield router


@pytest.fixture
def start(relay: Router, shared_fleet: Fleet) -> Iterator[Start]:
    """Give the relay pools of the test's own."""

    def update(**options: object) -> Router:
        values = {name: str(value) for name, value in options.items()}
        assert relay.run_inside(f"ctx.options.update(**{values!r})") == ""
        return relay

    yield update
    update(**{**shared_fleet.options, "route_config": ""})


@pytest.fixture
def servers() -> Iterator[list[Backend]]:
    """Three servers, each of which answers with its name."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(Backend("127.0.0.1", 0, name)) for name in "abc"]


def urls(servers: list[Backend], *parameters: str) -> str:
    """An option's value."""
    return ",".join(
        f"{server.url};{said}" if said else server.url
        for server, said in zip(servers, parameters, strict=True)
    )


def get(router: Router, target: bytes = b"/x") -> Answer:
    """A GET of its own connection."""
    return router.ask(build_request(target))


def names(router: Router, count: int, target: bytes = b"/x") -> list[str]:
    """Who answers so many GETs."""
    return [get(router, target).body.decode() for _ in range(count)]


def down() -> str:
    """A URL where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_weights(start: Start, servers: list[Backend]) -> None:
    """Smooth: five, one and one of seven, never five in a row."""
    router = start(route_website=urls(servers, "weight=5", "", ""))
    answers = names(router, 14)
    assert collections.Counter(answers) == {"a": 10, "b": 2, "c": 2}
    assert max(len(list(run)) for _, run in itertools.groupby(answers)) <= 4


def test_backup(start: Start, servers: list[Backend]) -> None:
    """Only when no other is available; the host that it gets is its own."""
    router = start(route_website=urls(servers[:2], FAST, "backup"))
    assert set(names(router, 4)) == {"a"}
    servers[0].close()
    assert set(names(router, 4)) == {"b"}
    router.wait_for("upstream website: server http://127.0.0.1:")


def test_killed_and_restarted_under_load(start: Start, servers: list[Backend]) -> None:
    """Not one GET is lost, and the one that is back gets requests again."""
    first, second, _ = servers
    router = start(route_website=urls([first, second], FAST, FAST))
    is_over = threading.Event()
    answers: collections.Counter[object] = collections.Counter()

    def load() -> None:
        with router.connect() as client:
            while not is_over.is_set():
                answer = client.ask(build_request(b"/x"))
                answers[answer.status, answer.body] += 1

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(3):
            time.sleep(0.3)
            first.close()
            time.sleep(0.3)
            before = answers[200, b"a"]
            first = Backend("127.0.0.1", first.port, "a")
            with first:
                wait_until(lambda: answers[200, b"a"] > before + 20, "it is used again")  # noqa: B023
    finally:
        is_over.set()
        for thread in threads:
            thread.join()
    assert set(answers) == {(200, b"a"), (200, b"b")}, answers
    print(f"GETs: {answers.total()}, failed: 0")


def test_all_down(start: Start, servers: list[Backend]) -> None:
    """503 with Retry-After once all are known to be; it recovers by itself."""
    ports = [server.port for server in servers[:2]]
    router = start(route_website=urls(servers[:2], FAST, FAST))
    assert set(names(router, 2)) == {"a", "b"}
    for server in servers[:2]:
        server.close()
    answers = [get(router)]

    def is_known() -> bool:
        # A server that has been down for its time is tried again.
        answers.append(get(router))
        return answers[-1].status == 503

    wait_until(is_known, "both are known to be down")
    assert {answer.status for answer in answers[:-1]} == {502}
    assert answers[-1].get(b"Retry-After") is not None
    router.wait_for("503 pool_down")
    with Backend("127.0.0.1", ports[0], "again"):
        wait_until(lambda: get(router).body == b"again", "it is back")


def test_one_server_is_never_marked_down(start: Start, servers: list[Backend]) -> None:
    """Whatever it has done, it is the best there is."""
    server = servers[0]
    router = start(route_website=urls([server], "max_conns=9"))
    server.close()
    assert {get(router).status for _ in range(5)} == {502}
    with Backend("127.0.0.1", server.port, "again"):
        assert get(router).body == b"again"


class Gate:
    """Answers only when it is told to, and counts who is inside."""

    def __init__(self) -> None:
        self.is_open = threading.Event()
        self.most = 0
        self._inside = 0
        self._lock = threading.Lock()

    @property
    def inside(self) -> int:
        """How many requests are there."""
        return self._inside

    def __call__(self, wire: Wire, request: Request) -> None:
        with self._lock:
            self._inside += 1
            self.most = max(self.most, self._inside)
        self.is_open.wait(10)
        time.sleep(0.01)
        with self._lock:
            self._inside -= 1
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


def test_max_conns(start: Start, servers: list[Backend]) -> None:
    """A rush waits, and each of it is answered."""
    gate = Gate()
    servers[0].play(gate)
    router = start(route_pyos=urls(servers[:1], "max_conns=2"))
    clients = [router.connect() for _ in range(10)]
    try:
        for client in clients:
            client.send(build_request(b"/API/x"))
        wait_until(lambda: gate.inside == 2, "two are there")
        gate.is_open.set()
        assert {client.read_answer().status for client in clients} == {200}
    finally:
        for client in clients:
            client.close()
    assert gate.most == 2


TEAM = """
[upstream.team]
servers = {servers}
{lines}
[[location]]
location = "/team"
kind = "prefix"
upstream = "team"
headers = "{headers}"
"""


def _team(
    path: Path, servers: list[Backend], *lines: str, parameters: str = "", headers: str = "P"
) -> Path:
    """A configuration file with a pool, and its location."""
    config = path / "route.toml"
    told = [server.url + parameters for server in servers]
    config.write_text(TEAM.format(servers=told, lines="\n".join(lines), headers=headers))
    return config


def test_the_queue_is_bounded(start: Start, servers: list[Backend], tmp_path: Path) -> None:
    """In number at once, and in time; whoever leaves makes room."""
    gate = Gate()
    servers[0].play(gate)
    lines = ("queue = 2", "queue_timeout = 3")
    config = _team(tmp_path, servers[:1], *lines, parameters=";max_conns=1")
    router = start(route_config=config)
    before = Footprint.measure(router)
    with contextlib.ExitStack() as stack:
        inside, waits, leaves = (stack.enter_context(router.connect()) for _ in range(3))
        inside.send(build_request(b"/team/inside"))
        wait_until(lambda: gate.inside == 1, "one is there")
        waits.send(build_request(b"/team/waits"))
        leaves.send(build_request(b"/team/leaves"))
        wait_until(lambda: _waiting(router) == 2, "two wait")
        answer = get(router, b"/team/too-many")
        assert (answer.status, answer.get(b"Retry-After") is None) == (503, False)
        leaves.reset()
        wait_until(lambda: _waiting(router) == 1, "one wait")
        assert waits.read_answer().status == 503
        gate.is_open.set()
        assert inside.read_answer().status == 200
        router.wait_for("503 pool_busy")
        assert get(router, b"/team/after").status == 200
    wait_for_rest(router, before)


def _waiting(router: Router) -> int:
    code = (
        "result = sum(one.waiting for one in ctx.master.addons.get('route').relay.pools.snapshot())"
    )
    return int(router.run_inside(code))


def test_what_was_not_sent_goes_on(start: Start, servers: list[Backend]) -> None:
    """A POST, too, when nobody took its connection."""
    router = start(route_pyos=f"{down()},{servers[0].url}")
    for number in range(4):
        body = b"%d" % number
        answer = router.ask(build_request(b"/API/x", method=b"POST", body=body))
        assert (answer.status, servers[0].requests[-1].body) == (200, body)


def _reset(wire: Wire, request: Request) -> None:
    wire.reset()


def test_a_post_is_not_sent_twice(start: Start, servers: list[Backend]) -> None:
    """The server may have acted upon it."""
    servers[0].play(_reset)
    router = start(route_pyos=urls(servers[:2], "max_fails=0", "backup"))
    answer = router.ask(build_request(b"/API/x", method=b"POST", body=b"once"))
    assert answer.status == 502
    assert len(servers[0].requests) == 1
    assert servers[1].is_untouched


@pytest.mark.parametrize("size", [10, 1000 * 1000])
def test_a_put_is(start: Start, servers: list[Backend], size: int) -> None:
    """Twice is the same as once, and its content is still there, in memory or in the file."""
    body = bytes(range(250)) * (size // 250) + b"x" * (size % 250)
    servers[0].play(_reset)
    router = start(route_pyos=urls(servers[:2], "max_fails=0", "backup"))
    answer = router.ask(build_request(b"/API/x", method=b"PUT", body=body))
    assert (answer.status, answer.body) == (200, b"b")
    assert servers[0].request.body == servers[1].request.body == body


def test_statuses_that_go_on(start: Start, servers: list[Backend], tmp_path: Path) -> None:
    """Only those that are named."""
    said = b"HTTP/1.1 %d No\r\nContent-Length: 4\r\n\r\nnope"
    lines = ('next_upstream = ["http_503"]',)
    router = start(route_config=_team(tmp_path, servers[:2], *lines, parameters=";max_fails=0"))
    servers[0].play(said % 503)
    assert set(names(router, 4, b"/team")) == {"b"}
    servers[1].play(said % 503)
    assert get(router, b"/team").body == b"nope"
    servers[1].play(said % 502)
    servers[0].forget()
    assert {get(router, b"/team").status for _ in range(4)} == {200, 502}


def test_least_conn(start: Start, servers: list[Backend], tmp_path: Path) -> None:
    """Whoever is busy gets no more, as long as another is not; once it is free it has its share."""
    gate = Gate()
    servers[0].play(gate)
    router = start(route_config=_team(tmp_path, servers[:2], 'method = "least_conn"'))
    with router.connect() as client:
        client.send(build_request(b"/team"))
        wait_until(lambda: gate.inside == 1, "the first is busy")
        assert names(router, 5, b"/team") == ["b"] * 5
        gate.is_open.set()
        assert client.read_answer().status == 200
    assert set(names(router, 4, b"/team")) == {"ok", "b"}


def test_tries(start: Start, servers: list[Backend], tmp_path: Path) -> None:
    """A request comes to so many servers and no more, though another would have answered."""
    for server in servers[:2]:
        server.play(_reset)
    lines = ("tries = 2", 'next_upstream = ["error"]')
    router = start(route_config=_team(tmp_path, servers, *lines, parameters=";max_fails=0"))
    assert get(router, b"/team").status == 502
    assert [len(server.requests) for server in servers] == [1, 1, 0]


def test_the_time_for_tries(start: Start, servers: list[Backend], tmp_path: Path) -> None:
    """None begins when it is over: who has waited that long is told."""

    def reset_late(wire: Wire, request: Request) -> None:
        time.sleep(0.5)
        wire.reset()

    servers[0].play(reset_late)
    line = 'next_upstream_timeout = "200ms"'
    router = start(route_config=_team(tmp_path, servers[:2], line, parameters=";max_fails=0"))
    assert get(router, b"/team").status == 502
    assert len(servers[0].requests) == 1
    assert servers[1].is_untouched


def test_half_an_answer_is_not_tried_again(start: Start, servers: list[Backend]) -> None:
    """The client has seen its head."""

    def half(wire: Wire, request: Request) -> None:
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
        wire.close()

    servers[0].play(half)
    router = start(route_website=urls(servers[:2], "", "backup"))
    with router.connect() as client:
        client.send(build_request(b"/x"))
        assert client.read_to_end().endswith(b"half")
    assert servers[1].is_untouched


def test_active_health(start: Start, servers: list[Backend], tmp_path: Path) -> None:
    """A sick server gets nothing but probes, until it is well again."""
    health = 'health = {path = "/health", interval = 1, rise = 1, fall = 1}'
    router = start(route_config=_team(tmp_path, servers[:2], health))
    wait_until(lambda: set(names(router, 2, b"/team")) == {"a", "b"}, "both are well")

    def sick(wire: Wire, request: Request) -> None:
        if request.target == b"/health":
            wire.send(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")
        else:
            servers[0].answer(wire, request)

    servers[0].play(sick)
    router.wait_for(f"upstream team: server {servers[0].url} is unhealthy")
    assert set(names(router, 4, b"/team")) == {"b"}
    servers[0].forget()
    router.wait_for(f"upstream team: server {servers[0].url} is up")
    assert set(names(router, 4, b"/team")) == {"a", "b"}


def test_a_name_and_its_addresses(start: Start) -> None:
    """All addresses of one name; a server each, that can fail by itself."""
    with Backend("127.0.0.1", 0, "v4") as four:
        try:
            six = Backend("::1", four.port, "v6")
        except OSError:
            six = None
        expected = {"v4"} if six is None or not _has_both() else {"v4", "v6"}
        try:
            router = start(route_website=f"http://localhost:{four.port};resolve;{FAST}")
            assert set(names(router, 6)) == expected
            if len(expected) == 2 and six is not None:
                six.close()
                assert set(names(router, 4)) == {"v4"}
        finally:
            if six is not None:
                six.close()


def _has_both() -> bool:
    found = socket.getaddrinfo("localhost", 80, type=socket.SOCK_STREAM)
    return {entry[0] for entry in found} == {socket.AF_INET, socket.AF_INET6}


def test_a_name_that_does_not_resolve(start: Start) -> None:
    """503, at once or when the resolver says so; not an error of ours."""
    router = start(route_website="http://nobody.invalid;resolve")
    assert get(router).status == 503
    router.wait_for("503 pool_down")


def test_a_websocket_is_counted(start: Start, servers: list[Backend], tmp_path: Path) -> None:
    """As long as it is open: the next one waits until it is closed."""
    config = _team(tmp_path, servers[:1], parameters=";max_conns=1", headers="WS")
    router = start(route_config=config)
    with router.open_websocket("/team/1") as first:
        first.send("one")
        assert first.recv() == "one"
        opened: list[str] = []

        def open_another() -> None:
            with router.open_websocket("/team/2") as second:
                second.send("two")
                opened.append(str(second.recv()))

        thread = threading.Thread(target=open_another)
        thread.start()
        wait_until(lambda: _waiting(router) == 1, "the second waits")
        assert opened == []
    thread.join(10)
    assert opened == ["two"]
    wait_until(lambda: _with_servers(router) == 0, "nobody is counted")


def _with_servers(router: Router) -> int:
    code = (
        "pools = ctx.master.addons.get('route').relay.pools.snapshot()\n"
        "result = sum(server.active for pool in pools for server in pool.servers)"
    )
    return int(router.run_inside(code))


def test_a_reload_keeps_who_waits(start: Start, servers: list[Backend]) -> None:
    """And what is known of the servers that stay."""
    gate = Gate()
    servers[0].play(gate)
    router = start(route_pyos=urls(servers[:1], "max_conns=1"))
    with router.connect() as first, router.connect() as second:
        first.send(build_request(b"/API/x"))
        wait_until(lambda: gate.inside == 1, "the first is there")
        second.send(build_request(b"/API/x"))
        wait_until(lambda: _waiting(router) == 1, "the second waits")
        two = urls(servers[:2], "max_conns=1", "max_conns=1")
        router.run_inside(f"ctx.options.update(route_pyos={two!r})")
        assert second.read_answer().body == b"b"
        gate.is_open.set()
        assert first.read_answer().status == 200


def test_nothing_is_left(start: Start, servers: list[Backend]) -> None:
    """After all of these ways to end, nobody is counted."""
    router = start(route_website=urls(servers, FAST, FAST, FAST))
    before = Footprint.measure(router)
    for server in servers:
        server.play(_reset)
    for _ in range(5):
        get(router)
    servers[0].play(lambda wire, request: None)
    for _ in range(5):
        with router.connect() as client:
            client.send(build_request(b"/x"))
            time.sleep(0.02)
            client.reset()
    wait_until(lambda: _with_servers(router) == 0, "nobody is counted")
    wait_for_rest(router, before)
