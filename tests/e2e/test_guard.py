"""Fail closed: whatever breaks, no request reaches an upstream that nobody decided.

Each fault is provoked in a running router, whose back ends must not hear of it.
"""

import contextlib
import os
import shutil
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.e2e.harness import (
    SCRIPT,
    Answer,
    Backend,
    Client,
    Command,
    Fleet,
    Router,
    build_request,
    check_refusal,
    check_secrets,
    record_flows,
)
from tests.e2e.ports import free_port
from tests.e2e.test_websockets import HANDSHAKE


@pytest.fixture(scope="module")
def stock_options(installation: Mapping[str, object]) -> Mapping[str, object]:
    """The options of a router of the stock carrier, whose hooks are looked at here."""
    return {**installation, "route_carrier": "stock"}


@pytest.fixture(scope="module")
def guarded(stock_options: Mapping[str, object]) -> Iterator[Router]:
    """A router that can be broken from within."""
    with Router(Command(stock_options), has_remote=True) as router:
        yield router


@pytest.fixture
def victim() -> Iterator[Backend]:
    """A server that is none of the upstreams, on every address of this machine."""
    with Backend("", name="victim") as backend:
        yield backend


def _good(fleet: Fleet) -> list[bytes]:
    """Requests that pass when all is well; their tokens are fresh, so nobody remembers them."""
    field = (b"ABCAuthorization", fleet.alice.token)
    return [
        build_request(b"/filer/x", field),
        build_request(b"/filer/x", field, method=b"POST", body=b"hello"),
        build_request(b"/websockify?" + fleet.alice.mint(life_s=400), *HANDSHAKE),
        build_request(b"/container/%b/%d/x" % (fleet.bob.token, fleet.bob["xterm"].port)),
    ]


def _doubtful(fleet: Fleet) -> list[bytes]:
    """Requests that must not pass, however the router fares."""
    expired = fleet.alice.mint(life_s=-1)
    return [
        build_request(b"/filer/x"),
        build_request(b"/filer/x", (b"ABCAuthorization", expired)),
        build_request(b"/filer/x", (b"ABCAuthorization", b"x"), method=b"POST", body=b"hello"),
        build_request(b"/websockify?" + expired, *HANDSHAKE),
        build_request(b"/API/%zz"),
        build_request(b"/API/x", host=None),
    ]


def _all(fleet: Fleet) -> list[bytes]:
    return [*_good(fleet), *_doubtful(fleet), build_request(b"/x"), build_request(b"/API/x")]


def _ask(router: Router, request: bytes) -> Answer | None:
    """The answer; None when the connection is closed instead."""
    try:
        return router.ask(request)
    except (EOFError, ConnectionError):
        return None


def _check_refused(router: Router, fleet: Fleet, *requests: bytes) -> None:
    """Check that each is answered with an error, or not at all, and that nobody heard of it."""
    answers = [_ask(router, request) for request in requests]
    assert fleet.is_untouched, fleet.touched_but()
    for answer in filter(None, answers):
        assert answer.status >= 400
        check_secrets(answer.raw or answer.body)


def _check_well(router: Router, fleet: Fleet) -> None:
    """Check that all is well (again)."""
    for request in _good(fleet):
        answer = router.ask(request)
        assert answer.status in (200, 101)
    fleet.forget()
    _check_refused(router, fleet, *_doubtful(fleet))


# --- exceptions

BREAK = """
import builtins, importlib, inspect
owner = importlib.import_module({module!r})
*path, name = {path!r}.split(".")
for part in path:
    owner = getattr(owner, part)
builtins.broken = (owner, name, inspect.getattr_static(owner, name))
def raise_it(*args, **kwargs):
    raise {exception}
setattr(owner, name, raise_it)
"""
MEND = "import builtins; setattr(*builtins.broken)"


@contextlib.contextmanager
def _broken(router: Router, where: str, exception: str) -> Iterator[None]:
    """Let a function raise, whenever it is called."""
    module, _, path = where.partition(":")
    assert not router.run_inside(BREAK.format(module=module, path=path, exception=exception))
    try:
        yield
    finally:
        assert not router.run_inside(MEND)


SEND_REQUEST = "route_addon.carry.stock:Stock.send_request"
REQUESTHEADERS = "route_addon.addon:RouteAddon.requestheaders"

DECIDING = [
    SEND_REQUEST,
    "route_addon.carry.stock:Stock._decide",
    "route_addon.carry.stock:Stock._resolve",
    "route_addon.carry.stock:Stock._stream",
    "route_addon.carry.stock:Stock._forward",
    "route_addon.carry.stock:read_head",
    "route_addon.carry.stock:check_head",
    "route_addon.carry.stock:make_request_id",
    "route_addon.carry.stock:write_evidence",
    "route_addon.carry.upstreams.resolve:Resolver.resolve",
    "route_addon.carry.guard:Guard.stamp_forward",
    "route_addon.core.router:Router.decide",
    "route_addon.core.router:Router.verify",
    "route_addon.core.sender:sort_request",
    "route_addon.core.locations:Locations.find",
    "route_addon.core.router:build_forward",
    "route_addon.core.router:verify_token",
    "route_addon.core.targetmap:TargetMap.get",
    "route_addon.core.targetmap:TargetMap.put",
    REQUESTHEADERS,
]
"""What has to work for a request with a token to pass."""

HELPING = [
    "route_addon.carry.stock:Stock._answer",
    "route_addon.carry.stock:Stock.send_answer",
    "route_addon.carry.stock:hide_tokens",
    "route_addon.carry.stock:build_response",
    "route_addon.carry.stock:describe_answer",
    "route_addon.core.router:Router.refuse",
    "route_addon.core.router:respond_error",
    "route_addon.addon:RouteAddon.next_layer",
    "route_addon.addon:describe_fault",
    "route_addon.carry.guard:Guard.stamp_answer",
    "route_addon.carry.guard:Guard.client_connected",
    "route_addon.carry.guard:Guard.requestheaders",
    "route_addon.carry.guard:Guard.request",
    "route_addon.carry.guard:Guard.server_connect",
    "route_addon.carry.guard:Guard._check",
    "route_addon.carry.guard:build_response",
    "route_addon.carry.guard:respond_error",
]
"""What a refusal is made with, and each single line of the defence."""


def _name(where: str) -> str:
    return where.partition(":")[2]


@pytest.mark.parametrize("where", [*DECIDING, *HELPING], ids=_name)
def test_an_exception_lets_nothing_through(where: str, guarded: Router, fleet: Fleet) -> None:
    """Wherever it is raised: what must not pass does not, and the log shows no token of it."""
    token = fleet.alice.token.decode()
    with _broken(guarded, where, f"RuntimeError({token!r})"):
        _check_refused(guarded, fleet, *_doubtful(fleet))
        if where in DECIDING:
            _check_refused(guarded, fleet, *_good(fleet))
    _check_well(guarded, fleet)
    assert token not in guarded.log


@pytest.mark.parametrize(
    "exception",
    [
        "UnicodeEncodeError('ascii', {token!r}, 0, 1, {token!r})",
        "KeyError({token!r})",
        "RecursionError({token!r})",
        "AssertionError({token!r})",
        "StopIteration({token!r})",
        "__import__('mitmproxy.exceptions').exceptions.AddonHalt({token!r})",
    ],
    ids=lambda exception: exception.rpartition("(")[0].rpartition(".")[2],
)
@pytest.mark.parametrize("where", [SEND_REQUEST, REQUESTHEADERS], ids=_name)
def test_any_exception_will_do(where: str, exception: str, guarded: Router, fleet: Fleet) -> None:
    """Also those that mean something to Python or to mitmproxy."""
    token = fleet.alice.token.decode()
    with _broken(guarded, where, exception.format(token=token)):
        _check_refused(guarded, fleet, *_all(fleet))
    _check_well(guarded, fleet)
    assert token not in guarded.log


@pytest.mark.parametrize(
    "where",
    ["route_addon.carry.stock:Stock.send_answer", "route_addon.carry.stock:answer_fields"],
    ids=_name,
)
def test_an_answer_that_cannot_be_mended(where: str, guarded: Router, fleet: Fleet) -> None:
    """It is not sent, with all that it says of the upstream."""
    fleet.website.play(b"HTTP/1.1 200 OK\r\nServer: own\r\nContent-Length: 3\r\n\r\nown")
    with _broken(guarded, where, "RuntimeError"), guarded.connect() as client:
        client.send(build_request(b"/x"))
        client.socket.settimeout(1)
        received = b""
        with contextlib.suppress(OSError):
            received = client.read_to_end()
        assert b"own" not in received
    _check_well(guarded, fleet)


# --- other addons, and the lack of ours


@contextlib.contextmanager
def _addon(router: Router, hook: str, *lines: str) -> Iterator[None]:
    """Another addon, behind ours."""
    body = "\n        ".join(lines)
    code = f"""
class Other:
    name = "other"
    def {hook}(self, flow):
        {body}
ctx.master.addons.add(Other())
"""
    assert not router.run_inside(code)
    try:
        yield
    finally:
        assert not router.run_inside('ctx.master.addons.remove(ctx.master.addons.get("other"))')


CHANGES = {
    "the request's host": "flow.request.host, flow.request.port = '127.0.0.1', {port}",
    "the bare host": "flow.request.data.host, flow.request.data.port = '127.0.0.1', {port}",
    "the port": "flow.request.data.port = {port}",
}


@pytest.mark.parametrize("hook", ["requestheaders", "request"])
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_destination_that_was_changed_since(
    hook: str, change: str, guarded: Router, fleet: Fleet, victim: Backend
) -> None:
    """Another addon can send a decided request nowhere else."""
    with _addon(guarded, hook, change.format(port=victim.port)):
        for request in (*_good(fleet), build_request(b"/x")):
            _ask(guarded, request)
            assert victim.is_untouched
    fleet.forget()
    _check_well(guarded, fleet)


def test_a_request_that_reached_no_decision(guarded: Router, fleet: Fleet) -> None:
    """Whatever a flow looks like, without a stamp of ours it goes nowhere."""
    unstamp = "ctx.master.addons.get('route_guard')._stamps.pop(flow, None)"
    with _addon(guarded, "requestheaders", "from mitmproxy import ctx", unstamp):
        bodiless = [request for request in _good(fleet) if not request.startswith(b"POST")]
        _check_refused(guarded, fleet, *bodiless, *_doubtful(fleet))
    fleet.forget()
    _check_well(guarded, fleet)


@pytest.mark.parametrize("hook", ["requestheaders", "request"])
def test_a_refusal_that_another_addon_takes_away(hook: str, guarded: Router, fleet: Fleet) -> None:
    """What is left is a request without a decision."""
    with _addon(guarded, hook, "flow.response = None"):
        _check_refused(guarded, fleet, *_doubtful(fleet))
    _check_well(guarded, fleet)


def test_our_addon_unloaded(stock_options: Mapping[str, object], fleet: Fleet) -> None:
    """The guard outlives it and refuses everything, on open connections too."""
    with (
        Router(Command(stock_options), has_remote=True) as router,
        router.connect() as client,
    ):
        assert client.ask(_good(fleet)[0]).status == 200
        fleet.forget()
        unload = f"ctx.options.scripts = [x for x in ctx.options.scripts if x != {str(SCRIPT)!r}]"
        assert not router.run_inside(unload)
        check_refusal(client.ask(_good(fleet)[0]), 500, fleet)
        _check_refused(router, fleet, *_all(fleet))
        router.wait_for("undecided: the request was refused")


def test_the_script_edited_while_it_runs(
    usual_options: Mapping[str, object], fleet: Fleet, tmp_path: Path
) -> None:
    """Broken, mended, deleted: while it is not whole nothing passes, and once it is all does."""
    script = tmp_path / "script.py"
    shutil.copy(SCRIPT, script)
    whole = script.read_text()
    impatient = tmp_path / "impatient.py"
    impatient.write_text("from mitmproxy.addons import script\nscript.ReloadInterval = 0.1\n")
    options = {"flow_detail": 0, **usual_options}
    with Router(Command(options, scripts=(impatient, script))) as router:
        _check_well(router, fleet)
        for text in ("def (", "raise RuntimeError", "import no_such_module", ""):
            _edit(router, script, text)
            fleet.forget()
            _check_refused(router, fleet, *_all(fleet))
        _edit(router, script, whole)
        _check_well(router, fleet)
        script.unlink()
        router.wait_for("Un-loading script")
        fleet.forget()
        _check_refused(router, fleet, *_all(fleet))


def _edit(router: Router, script: Path, text: str) -> None:
    """Change the script, and wait until mitmproxy has taken notice."""
    seen = router.log.count("Loading script")
    changed = script.stat().st_mtime
    script.write_text(text)
    os.utime(script, (changed + 1, changed + 1))
    router.wait_for("Loading script", seen + 1)
    router.settle()  # the line comes first


# --- the first moments, and replays


def test_connections_before_the_router_runs(
    stock_options: Mapping[str, object], victim: Backend
) -> None:
    """mitmproxy is a forward proxy for a moment: nobody gets through it, then or later."""
    port = free_port()
    host = b"127.0.0.1:%d" % victim.port
    forward = build_request(b"http://%b/x" % host, host=host)
    with contextlib.ExitStack() as stack:
        knocker = stack.enter_context(Knocker(port, forward))
        router = stack.enter_context(Router(Command(stock_options, port=port)))
        knocker.stop()
        for client in knocker.clients:
            client.socket.settimeout(1)
            with contextlib.suppress(EOFError, OSError):
                client.send(forward)
                assert client.read_answer().body in (b"website", b"")
        # Now it is what it should be: the location decides where this goes, not the target.
        assert router.ask(forward).body == b"website"
        assert len(knocker.clients) > 1
    assert victim.is_untouched


class Knocker:
    """Connects again and again, from before anybody listens; every other client asks at once.

    Args:
        port: Where to.
        request: What to ask.
    """

    def __init__(self, port: int, request: bytes) -> None:
        self.clients: list[Client] = []
        self._port = port
        self._request = request
        self._is_stopped = threading.Event()
        self._thread = threading.Thread(target=self._knock)

    def __enter__(self) -> "Knocker":
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()
        for client in self.clients:
            client.close()

    def stop(self) -> None:
        """Knock no more."""
        self._is_stopped.set()
        self._thread.join()

    def _knock(self) -> None:
        while not self._is_stopped.wait(0.002):
            with contextlib.suppress(OSError):
                client = Client(("127.0.0.1", self._port))
                self.clients.append(client)
                if len(self.clients) % 2:
                    client.send(self._request)


def test_replayed_requests(
    stock_options: Mapping[str, object], fleet: Fleet, victim: Backend, tmp_path: Path
) -> None:
    """Neither ``-C FILE`` nor the replay command sends anything to the recorded address."""
    recording = tmp_path / "flows.mitm"
    token = (b"ABCAuthorization", fleet.alice.token)
    record_flows(
        recording,
        victim,
        [build_request(b"/x"), build_request(b"/filer/x", token, method=b"POST", body=b"hello")],
    )
    assert len(victim.requests) == 2
    victim.forget()
    options = {**stock_options, "keepserving": "true"}
    with Router(Command(options, arguments=("-C", str(recording))), has_remote=True) as router:
        router.wait_for("undecided: the request was refused")
        assert not router.run_inside(
            f"ctx.master.commands.execute('replay.client.file {recording}')"
        )
        router.wait_for("undecided", 4)
        assert victim.is_untouched
        assert fleet.is_untouched
        _check_well(router, fleet)
    assert victim.is_untouched
