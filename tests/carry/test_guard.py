"""The guard: whatever no carrier has stamped goes nowhere."""

import asyncio
import logging
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from mitmproxy import connection, http, tls
from mitmproxy.proxy import context, mode_specs, server_hooks
from OpenSSL import SSL

from route_addon.carry.guard import Guard
from route_addon.carry.listen.listener import DEAD_END, listen_addresses
from route_addon.carry.listen.sockets import ListenAddress
from route_addon.carry.tls.server_context import Offer
from tests.hosting import answer, make_client, make_flow, make_host

HERE = ("127.0.0.1", 9)
"""Where the flows of these tests go."""
ELSEWHERE = ("10.0.0.1", 6081)


def _connect(
    guard: Guard, client: connection.Client, address: tuple[str, int] | None
) -> connection.Server:
    """Ask the guard whether an upstream may be connected to."""
    server = connection.Server(address=address)
    guard.server_connect(server_hooks.ServerConnectionHookData(server, client))
    return server


def _check_refused(guard: Guard, flow: http.HTTPFlow) -> None:
    """The flow is answered by the guard, and nothing is connected to for it."""
    assert flow.response is not None
    assert flow.response.status_code == 500
    assert flow.response.content is not None
    assert flow.response.content.startswith(b"500 Internal Server Error: The router failed.")
    assert flow.request.stream is False
    for address in (HERE, ELSEWHERE):
        assert _connect(guard, flow.client_conn, address).error


HOOKS: list[Callable[[Guard, http.HTTPFlow], None]] = [Guard.requestheaders, Guard.request]


@pytest.fixture(params=HOOKS, ids=lambda hook: hook.__name__)
def check(request: pytest.FixtureRequest) -> Callable[[Guard, http.HTTPFlow], None]:
    """The hooks that a request passes."""
    hook: Callable[[Guard, http.HTTPFlow], None] = request.param
    return hook


type Check = Callable[[Guard, http.HTTPFlow], None]


def test_forwarded(check: Check) -> None:
    """A flow that a carrier has sent somewhere goes there, and nowhere else."""
    guard, flow = Guard(), make_flow()
    guard.stamp_forward(flow, HERE)
    check(guard, flow)
    assert flow.response is None
    assert guard.is_stamped(flow)
    assert _connect(guard, flow.client_conn, HERE).error is None
    assert _connect(guard, flow.client_conn, ELSEWHERE).error


def test_answered(check: Check) -> None:
    """A flow that a carrier has answered keeps its answer, and goes nowhere."""
    guard, flow = Guard(), make_flow()
    response = answer(flow, 401)
    guard.stamp_answer(flow)
    check(guard, flow)
    assert flow.response is response
    assert guard.is_stamped(flow)
    assert _connect(guard, flow.client_conn, HERE).error


def test_relayed(check: Check) -> None:
    """A flow of the relay passes, but mitmproxy connects nowhere for it."""
    guard, flow = Guard(), make_flow()
    guard.stamp_relayed(flow, HERE, "desk.example")
    check(guard, flow)
    assert flow.response is None
    assert _connect(guard, flow.client_conn, HERE).error


def test_relayed_with_another_url(check: Check, caplog: pytest.LogCaptureFixture) -> None:
    """A URL of our own name is no other destination; any other host is one, and it is said."""
    guard, flow = Guard(), make_flow()
    guard.stamp_relayed(flow, HERE, "desk.example")
    flow.request.url = "http://desk.example/b"
    check(guard, flow)
    assert flow.response is None
    flow.request.url = "http://elsewhere.example/b"
    check(guard, flow)
    assert flow.response is not None
    assert caplog.messages[0].endswith(
        "; its host or port was changed, which the decision alone says"
    )


def test_answered_by_another(check: Check) -> None:
    """Another addon may answer what a carrier has decided."""
    guard, flow = Guard(), make_flow()
    guard.stamp_forward(flow, HERE)
    response = answer(flow, 418)
    check(guard, flow)
    assert flow.response is response


def test_replayed(check: Check) -> None:
    """A request that a handler of ours sends again passes, once it has been decided."""
    guard, flow = Guard(), make_flow()
    flow.is_replay = "request"
    guard.admit_replay(flow)
    guard.stamp_relayed(flow, HERE, "desk.example")
    check(guard, flow)
    assert flow.response is None


def test_answered_by_a_recording(check: Check) -> None:
    """So does an answer out of a recording, to a request that has been decided."""
    guard, flow = Guard(), make_flow()
    guard.stamp_relayed(flow, HERE, "desk.example")
    response = answer(flow, 418)
    flow.is_replay = "response"
    check(guard, flow)
    assert flow.response is response


def _nothing(guard: Guard, flow: http.HTTPFlow) -> None:
    """No carrier was asked."""


def _answered_by_another(guard: Guard, flow: http.HTTPFlow) -> None:
    answer(flow)


def _answer_taken_away(guard: Guard, flow: http.HTTPFlow) -> None:
    answer(flow)
    guard.stamp_answer(flow)
    flow.response = None


def _other_host(guard: Guard, flow: http.HTTPFlow) -> None:
    guard.stamp_forward(flow, HERE)
    flow.request.data.host = "10.0.0.1"


def _other_port(guard: Guard, flow: http.HTTPFlow) -> None:
    guard.stamp_forward(flow, HERE)
    flow.request.data.port = 22


def _other_flow(guard: Guard, flow: http.HTTPFlow) -> None:
    other = make_flow(client=flow.client_conn)
    guard.stamp_forward(other, HERE)


def _copied_flow(guard: Guard, flow: http.HTTPFlow) -> None:
    """What was decided was another flow, that looks the same."""
    untyped: Any = flow
    guard.stamp_forward(untyped.copy(), HERE)


def _replayed(guard: Guard, flow: http.HTTPFlow) -> None:
    guard.stamp_forward(flow, HERE)
    flow.is_replay = "request"


def _replayed_answer(guard: Guard, flow: http.HTTPFlow) -> None:
    answer(flow)
    guard.stamp_answer(flow)
    flow.is_replay = "request"


def _replayed_once(guard: Guard, flow: http.HTTPFlow) -> None:
    flow.is_replay = "request"
    guard.admit_replay(flow)
    guard.stamp_relayed(flow, HERE, "desk.example")
    guard.end_replay(flow)


def _replayed_by_an_old_decision(guard: Guard, flow: http.HTTPFlow) -> None:
    flow.is_replay = "request"
    guard.stamp_relayed(flow, HERE, "desk.example")
    guard.admit_replay(flow)


REFUSED = [
    _nothing,
    _answered_by_another,
    _answer_taken_away,
    _other_host,
    _other_port,
    _other_flow,
    _copied_flow,
    _replayed,
    _replayed_answer,
    _replayed_once,
    _replayed_by_an_old_decision,
]


@pytest.mark.parametrize("prepare", REFUSED, ids=lambda prepare: prepare.__name__.strip("_"))
def test_refused(
    caplog: pytest.LogCaptureFixture,
    check: Check,
    prepare: Callable[[Guard, http.HTTPFlow], None],
) -> None:
    """Everything else is a 500, is logged, and has no way to an upstream any more."""
    guard, flow = Guard(), make_flow(b"/?jwt_token=a-secret")
    prepare(guard, flow)
    flow.request.stream = True
    check(guard, flow)
    _check_refused(guard, flow)
    assert [message.partition(";")[0] for message in caplog.messages] == [
        "undecided: the request was refused"
    ]


def test_refused_once(check: Check) -> None:
    """The guard's own answer stands in the hooks after it."""
    guard, flow = Guard(), make_flow()
    check(guard, flow)
    response = flow.response
    guard.request(flow)
    assert flow.response is response


def test_recorded(check: Check) -> None:
    """A recorded flow is nobody's to refuse: it goes nowhere."""
    guard, flow = Guard(), make_flow(live=False)
    check(guard, flow)
    assert flow.response is None


@pytest.mark.parametrize("address", [HERE, ELSEWHERE, ("", 0), None], ids=str)
def test_no_connection(address: tuple[str, int] | None) -> None:
    """No upstream is connected to before a decision."""
    server = _connect(Guard(), make_client(), address)
    assert server.error == "no decision stands behind this connection"


def test_no_connection_for_another_client() -> None:
    """What was decided for one client is nothing to another."""
    guard, flow = Guard(), make_flow()
    guard.stamp_forward(flow, HERE)
    assert _connect(guard, make_client(), HERE).error
    assert _connect(guard, flow.client_conn, HERE).error is None


def test_approvals_are_bounded() -> None:
    """A client that asks for ever more targets keeps the way to the newest."""
    guard, client = Guard(), make_client()
    for port in range(1, 1001):
        flow = make_flow(client=client)
        guard.stamp_forward(flow, ("10.0.0.1", port))
    allowed = [
        port for port in range(1, 1001) if _connect(guard, client, ("10.0.0.1", port)).error is None
    ]
    assert allowed == list(range(1000 - len(allowed) + 1, 1001))
    assert len(allowed) < 1000


@pytest.mark.parametrize(
    ("mode", "is_refused"),
    [
        ("reverse:http://127.0.0.1:9", False),
        ("reverse:https://x@8443", False),
        ("regular", True),
        ("socks5", True),
        ("upstream:http://x", True),
        ("transparent", True),
    ],
)
def test_client_connected(mode: str, is_refused: bool) -> None:
    """A connection that came before the mode was set is closed."""
    client = make_client(mode_specs.ProxyMode.parse(mode))
    Guard().client_connected(client)
    assert is_refused == (client.error is not None)


@pytest.fixture
async def host() -> AsyncIterator[Any]:
    """mitmproxy, that would listen at a free port."""
    host = make_host()
    host.options.update(listen_host="127.0.0.1", listen_port=0, connection_strategy="lazy")
    yield host
    host.options.update(server=False)
    await host.master.addons.get("proxyserver").setup_servers()


async def _run(host: Any, guard: Guard) -> None:
    """What mitmproxy does at its start."""
    proxyserver = host.master.addons.get("proxyserver")
    await proxyserver.setup_servers()
    proxyserver.running()
    await guard.running()


@pytest.mark.parametrize("mode", [None, "reverse:http://127.0.0.1:10@0"])
async def test_running(host: Any, caplog: pytest.LogCaptureFixture, mode: str | None) -> None:
    """It becomes a reverse proxy to a dead end, or stays the one that it is, and says where."""
    caplog.set_level(logging.INFO)
    if mode is not None:
        host.options.update(mode=[mode])
    guard = Guard()
    guard.describe = lambda: "upstreams none"
    await _run(host, guard)
    assert host.options.mode == [mode or DEAD_END]
    ((address, port),) = {address[:2] for address in listen_addresses()}
    (server,) = host.master.addons.get("proxyserver").servers
    assert server.mode.full_spec == host.options.mode[0]
    assert address == "127.0.0.1"
    assert f"route_addon listens at 127.0.0.1:{port}; upstreams none" in caplog.messages


async def test_listens_for_tls_with_a_certificate(host: Any) -> None:
    """Where only TLS is wanted it listens once there is a certificate, and not before."""
    guard, certificates = Guard(), list[str]()
    guard.addresses = [ListenAddress("127.0.0.1", 0), ListenAddress("127.0.0.1", 0, True)]
    guard.has_certificate = lambda: bool(certificates)
    await _run(host, guard)
    await guard.listen_for_tls()
    (plain,) = listen_addresses()
    certificates.append("one")
    await guard.listen_for_tls()
    await guard.listen_for_tls()
    both = listen_addresses()
    assert both[0] == plain
    assert len(both) == 2
    for address in both:
        (await asyncio.open_connection(*address))[1].close()
    (server,) = host.master.addons.get("proxyserver").servers
    assert server.is_running


async def test_tls_that_cannot_be_listened_for(host: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Somebody else has the port by then: it is told of, and tried again at the next reload."""
    guard, certificates = Guard(), list[str]()
    guard.addresses = [ListenAddress("127.0.0.1", 0), ListenAddress("127.0.0.1", 0, True)]
    guard.has_certificate = lambda: bool(certificates)
    await _run(host, guard)
    certificates.append("one")
    address = guard._shut[0].getsockname()
    # Both may be bound to it as long as nobody listens.
    with socket.create_server(address):
        await guard.listen_for_tls()
    assert f"cannot listen at 127.0.0.1:{address[1]}: Address already in use" in caplog.text
    assert len(listen_addresses()) == 1
    await guard.listen_for_tls()
    assert listen_addresses()[1] == address


@pytest.mark.parametrize("has_terminal", [True, False])
def test_terminal(has_terminal: bool) -> None:
    """It knows whether a terminal controls it, whose end SIGHUP would tell of."""
    code = "from route_addon.carry.guard import _has_terminal; print(_has_terminal())"
    words = [sys.executable, "-c", code]
    if has_terminal:
        words = [sys.executable, "-c", f"import pty; pty.spawn({words})"]
    told = subprocess.run(
        words, stdin=subprocess.DEVNULL, capture_output=True, check=True, start_new_session=True
    )
    assert told.stdout.split() == [str(has_terminal).encode()]


async def test_connected_at_the_dead_end(host: Any) -> None:
    """Who connects then is asked nothing, and nothing is connected to for the sake of it."""
    guard = Guard()
    host.master.addons.add(guard)
    await _run(host, guard)
    ((_, port),) = {address[:2] for address in listen_addresses()}
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    status = await asyncio.wait_for(reader.readline(), 3)
    assert status == b"HTTP/1.1 500 Internal Server Error\r\n"
    writer.close()
    await writer.wait_closed()


async def test_no_listener(host: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A listener that cannot be opened is an error, which ends the start."""
    with_listener = await asyncio.start_server(lambda *streams: None, "127.0.0.1", 0)
    port = with_listener.sockets[0].getsockname()[1]
    host.options.update(listen_port=port)
    await _run(host, Guard())
    assert ("route_addon.carry.guard", logging.ERROR, "no listener could be opened") in (
        caplog.record_tuples
    )
    with_listener.close()
    await with_listener.wait_closed()


async def test_no_server(host: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Without a listener nothing is changed and nothing said."""
    caplog.set_level(logging.INFO)
    host.options.update(server=False)
    await Guard().running()
    assert host.options.mode == ["regular"]
    assert caplog.messages == []


@pytest.mark.parametrize("is_ours", [True, False])
async def test_tls(host: Any, is_ours: bool) -> None:
    """TLS with a certificate that mitmproxy has made up is refused."""
    session = SSL.Connection(SSL.Context(SSL.TLS_SERVER_METHOD))
    if is_ours:
        session.set_app_data(Offer((b"http/1.1",), lambda name: SSL.Context(SSL.TLS_SERVER_METHOD)))
    client = make_client()
    data = tls.TlsData(client, context.Context(client, host.options), ssl_conn=session)
    Guard().tls_start_client(data)
    assert is_ours == (data.ssl_conn is session)
