"""Two ways in: straight to the relay, or by way of mitmproxy, for who wants to know of it."""

import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from mitmproxy import http, io

from tests.e2e.footprint import relay_options
from tests.e2e.harness import (
    Command,
    Fleet,
    Http2Client,
    Router,
    ServeCommand,
    build_request,
    wait_until,
)

HEALTH = build_request(b"/healthz")
HOOKS = (
    "client_connected",
    "next_layer",
    "tls_clienthello",
    "tls_start_client",
    "tls_established_client",
    "client_disconnected",
)
LISTENER = """
import builtins
builtins.heard = []
def hear(name):
    return lambda self, data: builtins.heard.append(name)
hooks = {{name: hear(name) for name in {hooks!r}}}
ctx.master.addons.add(type("Listening", (), {{"name": "listening", **hooks}})())
"""
DEAF = 'ctx.master.addons.remove(ctx.master.addons.get("listening"))'
HEARD = "import builtins; result = ' '.join(builtins.heard)"
WATCH = "ctx.options.update(route_watch={mode!r}, save_stream_file={path!r})"


@pytest.fixture(scope="module", params=[ServeCommand, Command])
def router(
    request: pytest.FixtureRequest,
    shared_fleet: Fleet,
    key_options: Mapping[str, str],
    certificate: Path,
) -> Iterator[Router]:
    """A relay that nobody watches: a service, or under mitmdump, whose listener it takes over."""
    options = {"certs": f"*={certificate}", "confdir": certificate.parent}
    command = relay_options(shared_fleet, key_options, **options)
    usual = {k: v for k, v in command.options.items() if k not in ("flow_detail", "route_workers")}
    start: Callable[..., Command] = request.param
    own = {"route_workers": 1} if start is ServeCommand else {"flow_detail": 0}
    with Router(start({**usual, **own}), has_remote=True) as relay:
        yield relay


def _count(router: Router) -> tuple[int, int]:
    """How many connections mitmproxy hosts, and how many there are."""
    told = router.run_inside("""
        hosted = ctx.master.addons.get("proxyserver").connections
        result = "%d %d" % (len(hosted), len(ctx.master.addons.get("route").relay.arrivals))
    """)
    hosted, all_there_are = map(int, told.split())
    return hosted, all_there_are


def test_straight(router: Router, tls: ssl.SSLContext, tls_h2: ssl.SSLContext) -> None:
    """Where nobody asks, mitmproxy hosts none of them; all are counted, and counted no more."""
    wait_until(lambda: _count(router) == (0, 0), "nobody is here")
    with router.connect(), router.connect() as plain, router.connect(tls=tls) as secure:
        assert plain.ask(HEALTH).status == secure.ask(HEALTH).status == 200
        with Http2Client(router.address, tls_h2) as second:
            assert second.ask(b"/healthz").status == 200
            assert _count(router) == (0, 4)
    wait_until(lambda: _count(router) == (0, 0), "all have gone")


def test_by_way_of_mitmproxy(router: Router, tls: ssl.SSLContext) -> None:
    """An addon that wants to know of connections is told of those that come while it is there."""
    with router.connect() as early:
        assert early.ask(HEALTH).status == 200
        assert not router.run_inside(LISTENER.format(hooks=HOOKS))
        with router.connect(tls=tls) as client:
            assert client.ask(HEALTH).status == early.ask(HEALTH).status == 200
            assert _count(router) == (1, 2)
        wait_until(lambda: _count(router) == (0, 1), "it has gone")
        heard = router.run_inside(HEARD).split()
        assert list(dict.fromkeys(heard)) == list(HOOKS)
        assert not router.run_inside(DEAF)
        with router.connect() as late:
            assert late.ask(HEALTH).status == 200
            assert _count(router) == (0, 2)
    assert router.run_inside(HEARD).split() == heard


def _read_flow(recording: Path) -> http.HTTPFlow:
    with recording.open("rb") as file:
        (flow,) = io.FlowReader(file).stream()
    assert isinstance(flow, http.HTTPFlow)
    return flow


@pytest.mark.parametrize("router", [Command], indirect=True)
@pytest.mark.parametrize("is_tls", [False, True], ids=["plain", "TLS"])
def test_watched_later(is_tls: bool, router: Router, tls: ssl.SSLContext, tmp_path: Path) -> None:
    """A flow tells of a connection that came straight what it tells of any; its end is told."""
    recording = tmp_path / "flows"
    with router.connect(tls=tls if is_tls else None) as client:
        assert client.ask(build_request(b"/healthz?1")).status == 200
        assert not router.run_inside(WATCH.format(mode="auto", path=str(recording)))
        assert not router.run_inside(LISTENER.format(hooks=HOOKS))
        assert client.ask(build_request(b"/healthz?2")).status == 200
        peername, sockname = client.socket.getsockname(), client.socket.getpeername()
    wait_until(lambda: "client_disconnected" in router.run_inside(HEARD), "its end is told")
    assert not router.run_inside(DEAF)
    assert not router.run_inside(WATCH.format(mode="never", path=""))
    flow = _read_flow(recording)
    known = flow.client_conn
    assert flow.request.path == "/healthz?2"
    assert (known.peername, known.sockname) == (peername, sockname)
    assert known.timestamp_start <= flow.request.timestamp_start
    assert known.tls_established == is_tls
    if is_tls:
        assert (known.sni, known.alpn, known.tls_version) == (
            "desk.example",
            b"http/1.1",
            "TLSv1.3",
        )


def test_ends(router: Router) -> None:
    """However a client goes, at whatever point: nothing of it is left."""
    parts = (b"", b"\x16", b"\x16\x03\x01\x02\x00\x01", b"GET / HT", HEALTH)
    for part in parts:
        with router.connect() as client:
            client.send(part)
        with router.connect() as client:
            client.send(part)
            client.reset()
        with router.connect() as client:
            client.send(part)
            client.socket.shutdown(socket.SHUT_WR)
            client.read_to_end()
    wait_until(lambda: _count(router) == (0, 0), "all have gone")
