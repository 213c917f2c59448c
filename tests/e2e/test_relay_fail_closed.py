"""A fault of our own, wherever it is: a refusal or a closed connection, and nothing gets through.

Every function and method of the parts that carry is broken in turn, inside a running relay: it
raises, with a token in its message. What then asks must get its own answer, a refusal, or a
closed connection, in time; what may not pass does not pass; and no log tells the token.
"""

import contextlib
import importlib
import ssl
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from route_addon.carry.splice import LEAST_BYTES
from tests.e2e.footprint import run_relay
from tests.e2e.harness import ALICE, Client, Fleet, Router, build_request, check_secrets
from tests.e2e.test_websockets import HANDSHAKE

MODULES = (
    "carry.listen.arrivals",
    "carry.http1.client",
    "carry.deadlines",
    "carry.listen.door",
    "carry.exchange",
    "carry.tls.handshake",
    "carry.http1.heads",
    "carry.http1.content",
    "carry.http1.parts",
    "carry.relay",
    "carry.upstreams.resolve",
    "carry.splice",
    "carry.spool",
    "carry.tunnel",
    "carry.listen.turns",
    "carry.upstreams.connection",
    "carry.verify",
    "carry.listen.visitor",
    "carry.wire",
    "core.router",
)
HOSTED_MODULES = (
    "addon",
    "carry.guard",
    "carry.listen.hosted",
    "carry.listen.listener",
    "carry.tls.layer",
)
"""What has to do with connections by way of mitmproxy."""

LAST_RESORTS = ("_guard", "connection_made", "let_go")
"""What catches faults, and what closes borrowed sockets after one, cannot be broken and catch its
own: it is a few lines for that reason."""

HOST_ALL = """
class Asker:
    def client_connected(self, client):
        pass
ctx.master.addons.add(Asker())
"""
"""Lets mitmproxy host all connections: somebody wants to know of them."""

SECRET = b"eyJhbGciOiJSUzI1NiJ9.eyJrZXkiOjB9." + b"c2lnbmF0dXJl" * 30
PATIENCE_S = 6.0
"""Longer than all times of the relay here, and the moment that a deadline may be late."""

LONG = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (2 * LEAST_BYTES) + bytes(2 * LEAST_BYTES)
"""An answer that the kernel moves."""

BREAK = """
import importlib
owner = module = importlib.import_module({module!r})
*owners, name = {path!r}.split(".")
for one in owners:
    owner = getattr(owner, one)
module._whole = owner, name, vars(owner)[name]
def broken(*args, **details):
    raise RuntimeError({secret!r})
setattr(owner, name, broken)
"""

MEND = """
import importlib
setattr(*importlib.import_module({module!r})._whole)
"""


def find_places(modules: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Every function and method: its module, and its path in there."""
    for name in modules:
        module = importlib.import_module(f"route_addon.{name}")
        for member, value in vars(module).items():
            if isinstance(value, types.FunctionType) and value.__module__.startswith("route_addon"):
                yield module.__name__, member
            elif isinstance(value, type) and value.__module__ == module.__name__:
                for path in _methods(value):
                    yield module.__name__, path


def _methods(owner: type) -> Iterator[str]:
    if issubclass(owner, tuple | Exception) or getattr(owner, "_is_protocol", False):
        return
    for name, value in vars(owner).items():
        is_special = name.startswith("__") and name != "__init__"
        if isinstance(value, types.FunctionType) and not is_special and name not in LAST_RESORTS:
            yield f"{owner.__name__}.{name}"


@contextlib.contextmanager
def _run(fleet: Fleet, key_options: Mapping[str, str], certificate: Path) -> Iterator[Router]:
    """A relay that does not wait long for anything."""
    names = ("head", "body", "send", "keepalive", "answer", "tls_handshake")
    short = {f"route_{name}_timeout": 1 for name in names}
    with run_relay(fleet, key_options, certs=f"*={certificate}", **short) as relay:
        yield relay
        check_secrets(relay.log.replace(ALICE, "").replace("Traceback", "").encode())


@pytest.fixture(scope="module")
def router(
    shared_fleet: Fleet, key_options: Mapping[str, str], certificate: Path
) -> Iterator[Router]:
    """A relay to which connections come straight."""
    with _run(shared_fleet, key_options, certificate) as relay:
        yield relay


@pytest.fixture(scope="module")
def hosting(
    shared_fleet: Fleet, key_options: Mapping[str, str], certificate: Path
) -> Iterator[Router]:
    """A relay whose connections mitmproxy hosts."""
    with _run(shared_fleet, key_options, certificate) as relay:
        assert not relay.run_inside(HOST_ALL)
        yield relay


@pytest.fixture(scope="module")
def threads() -> Iterator[ThreadPoolExecutor]:
    """For requests side by side."""
    with ThreadPoolExecutor(4) as executor:
        yield executor


type Outcome = int | None
"""The status of an answer; None for a closed connection."""


def _outcome(
    router: Router, talk: Callable[[Client], int], tls: ssl.SSLContext | None = None
) -> Outcome:
    """What came of it.

    Raises:
        TimeoutError: Nothing, for too long.
    """
    try:
        with router.connect(tls=tls) as client:
            client.socket.settimeout(PATIENCE_S)
            return talk(client)
    except TimeoutError:
        raise
    except (EOFError, OSError):
        return None


def _ask(*requests: bytes) -> Callable[[Client], int]:
    """Ask one after the other on one connection; the last one's status counts."""

    def talk(client: Client) -> int:
        return [client.ask(request).status for request in requests][-1]

    return talk


def _talk_websocket(handshake: bytes) -> Callable[[Client], int]:
    def talk(client: Client) -> int:
        status = client.ask(handshake).status
        if status == 101:
            client.send(b"\x81\x82\0\0\0\0hi")
            assert client.receive() == b"\x81\x02hi" or client.is_closed()
        return status

    return talk


def _places(modules: Sequence[str]) -> pytest.MarkDecorator:
    places = [pytest.param(*place, id=".".join(place)) for place in find_places(modules)]
    return pytest.mark.parametrize(("module", "path"), places)


@_places(MODULES)
def test_a_fault(
    module: str,
    path: str,
    router: Router,
    fleet: Fleet,
    threads: ThreadPoolExecutor,
    tls: ssl.SSLContext,
) -> None:
    """It costs those who meet it their answer, and nobody anything else."""
    _check_fault(module, path, router, fleet, threads, tls)


@_places(HOSTED_MODULES)
def test_a_fault_of_hosting(
    module: str,
    path: str,
    hosting: Router,
    fleet: Fleet,
    threads: ThreadPoolExecutor,
    tls: ssl.SSLContext,
) -> None:
    """The same where mitmproxy stands in between."""
    _check_fault(module, path, hosting, fleet, threads, tls)


def _check_fault(
    module: str,
    path: str,
    router: Router,
    fleet: Fleet,
    threads: ThreadPoolExecutor,
    tls: ssl.SSLContext,
) -> None:
    """Break a function while requests come, and check what becomes of them."""
    pod, token = fleet.alice["pulseaudio_http"], fleet.alice.token
    good = b"/container/%b/%d/x" % (token, pod.port)
    # A good request of the fault before this one may still be on its way.
    bad = b"/container/%bAAAAAAAAA/%d/never" % (token[:-9], pod.port)
    trouble = router.run_inside(
        BREAK.format(module=module, path=path, secret=SECRET.decode("ascii"))
    )
    assert not trouble
    fleet.pyos.play(LONG)
    try:
        refused = [
            _outcome(router, _ask(build_request(bad))),
            _outcome(router, _ask(build_request(bad, method=b"POST", body=b"x" * 9))),
        ]
        assert b"never" not in pod.received
        upload = build_request(b"/API/x", method=b"POST", body=bytes(100_000))
        handshake = build_request(good, *HANDSHAKE)
        talks = (
            (None, _ask(*[build_request(good)] * 2)),
            (tls, _ask(build_request(good))),
            (None, _ask(upload)),
            (None, _talk_websocket(handshake)),
        )
        running: list[Future[Outcome]] = [
            threads.submit(_outcome, router, talk, context) for context, talk in talks
        ]
        outcomes = [future.result() for future in running]
    finally:
        router.run_inside(MEND.format(module=module))
    assert all(status is None or status >= 400 for status in refused)
    assert all(status in (None, 101, 200) or status >= 400 for status in outcomes)
