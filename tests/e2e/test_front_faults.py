"""A fault of our own in HTTP/2, pools, the cache, compression, or whoever counts and logs.

As in ``test_relay_fail_closed``, each function is broken in turn inside a running relay; here what
is asked meets everything that stands before the upstreams. Who gets a 200 gets what was asked for.
"""

import itertools
import ssl
import zlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from h2.exceptions import ProtocolError

from tests.e2e.footprint import relay_options
from tests.e2e.harness import (
    ALICE,
    Answer,
    Client,
    Command,
    Field,
    Fleet,
    Http2Client,
    Router,
    StreamRefused,
    build_request,
    check_secrets,
)
from tests.e2e.test_relay_fail_closed import BREAK, MEND, PATIENCE_S, SECRET, find_places
from tests.e2e.test_websockets import HANDSHAKE

MODULES = (
    "carry.account",
    "carry.upstreams.approach",
    "carry.cache.caching",
    "carry.tls.certificates",
    "carry.http2.client",
    "carry.compress",
    "carry.cache.fills",
    "carry.http1.lines",
    "carry.http1.writer",
    "carry.http2.content",
    "carry.http2.fields",
    "carry.http2.frames",
    "carry.http2.outlet",
    "carry.http2.patience",
    "carry.http2.request",
    "carry.http2.session",
    "carry.http2.stream",
    "carry.upstreams.pools",
    "carry.reading",
    "carry.cache.store",
    "core.attempts",
    "core.httpcache",
    "core.members",
    "core.pools",
    "core.targetmap",
    "serve.access_log.log",
    "serve.access_log.writer",
    "serve.metrics.tally",
    "serve.observing",
)
PAGE = b"<p>a page that is worth to be compressed</p>\n" * 5000
GZIP: Field = (b"accept-encoding", b"gzip")
POOLS = """
[upstream.website]
servers = ["{website};max_conns=1"]
queue_timeout = 1
[upstream.pyos]
servers = ["{pyos};max_conns=1"]
queue_timeout = 1
"""
FORGET = """
for pool in ctx.master.addons.get("route").relay.pools._pools.values():
    for member in pool._members:
        member.conns = 0
"""
"""What a fault of counting has left behind."""

UPLOAD = bytes(100_000)

_numbers = itertools.count()


@pytest.fixture(scope="module")
def router(
    shared_fleet: Fleet,
    key_options: Mapping[str, str],
    certificate: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Router]:
    """A relay with all that it may have, which does not wait long for anything."""
    names = ("head", "body", "send", "keepalive", "answer", "tls_handshake")
    short = {f"route_{name}_timeout": 1 for name in names}
    config = tmp_path_factory.mktemp("pools") / "route.toml"
    config.write_text(POOLS.format(website=shared_fleet.website.url, pyos=shared_fleet.pyos.url))
    command = relay_options(
        shared_fleet,
        key_options,
        certs=f"*={certificate}",
        route_config=config,
        route_metrics="auto",
        route_access_log="json",
        **short,
    )
    # What an option says would win over the file.
    options = {
        name: value
        for name, value in command.options.items()
        if name not in ("route_website", "route_pyos")
    }
    with Router(Command(options), has_remote=True) as relay:
        yield relay
        check_secrets(relay.log.replace(ALICE, "").replace("Traceback", "").encode())


@pytest.fixture(scope="module")
def threads() -> Iterator[ThreadPoolExecutor]:
    """For requests side by side."""
    with ThreadPoolExecutor(4) as executor:
        yield executor


type Outcome = int | None
"""The status of the last answer; None for a closed connection."""


def _by_http1(router: Router, talk: Callable[[Client], Outcome]) -> Outcome:
    try:
        with router.connect() as client:
            client.socket.settimeout(PATIENCE_S)
            return talk(client)
    except TimeoutError:
        raise
    except (EOFError, OSError):
        return None


def _by_http2(
    router: Router, tls: ssl.SSLContext, talk: Callable[[Http2Client], Outcome]
) -> Outcome:
    try:
        with Http2Client(router.address, tls) as client:
            client._socket.settimeout(PATIENCE_S)
            return talk(client)
    except TimeoutError:
        raise
    except (StreamRefused, ProtocolError, OSError):
        return None


def _check(answer: Answer, whole: bytes) -> int:
    """Check that an answer with a 200 is the one that was asked for."""
    if answer.status == 200:
        is_packed = (b"content-encoding", b"gzip") in [
            (name.lower(), value) for name, value in answer.fields
        ]
        assert (zlib.decompress(answer.body, 31) if is_packed else answer.body) == whole
    return answer.status


def _visit(path: bytes) -> Callable[[Client], Outcome]:
    """Ask for a page that is stored and sent in portions, compressed and not; then change it."""

    def talk(client: Client) -> Outcome:
        for fields in ((), (GZIP,), (), (GZIP,)):
            _check(client.ask(build_request(path, *fields)), PAGE)
        return client.ask(build_request(path, method=b"POST", body=b"x")).status

    return talk


def _use(target: bytes, path: bytes) -> Callable[[Http2Client], Outcome]:
    """Ask for a page, upload something, and visit a pod."""

    def talk(client: Http2Client) -> Outcome:
        _check(client.ask(path, GZIP), PAGE)
        _check(client.ask(b"/API/x", method=b"POST", body=UPLOAD), b"pyos")
        return client.ask(target).status

    return talk


def _be_refused(target: bytes) -> Callable[[Http2Client], Outcome]:
    def talk(client: Http2Client) -> Outcome:
        upload = client.start(target, method=b"POST", ends=False)
        client.send(upload, b"x", ends=True)
        return min(client.ask(target).status, client.read_answer(upload).status)

    return talk


def _upgrade(target: bytes) -> Callable[[Client], Outcome]:
    def talk(client: Client) -> Outcome:
        status = client.ask(build_request(target, *HANDSHAKE)).status
        if status == 101:
            client.send(b"\x81\x82\0\0\0\0hi")
            assert client.receive() == b"\x81\x02hi" or client.is_closed()
        return status

    return talk


@pytest.mark.parametrize(
    ("module", "path"), [pytest.param(*place, id=".".join(place)) for place in find_places(MODULES)]
)
def test_a_fault(
    module: str,
    path: str,
    router: Router,
    fleet: Fleet,
    threads: ThreadPoolExecutor,
    tls_h2: ssl.SSLContext,
) -> None:
    """It costs those who meet it their answer; nobody gets another's, and nothing gets through."""
    pod, token = fleet.alice["pulseaudio_http"], fleet.alice.token
    good = b"/container/%b/%d/x" % (token, pod.port)
    # A good request of the fault before this one may still be on its way.
    bad = b"/container/%bAAAAAAAAA/%d/never" % (token[:-9], pod.port)
    page = b"/page/%d" % next(_numbers)
    fleet.website.play(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nCache-Control: max-age=60\r\n"
        b"Content-Length: %d\r\n\r\n%b" % (len(PAGE), PAGE)
    )
    trouble = router.run_inside(
        BREAK.format(module=module, path=path, secret=SECRET.decode("ascii"))
    )
    assert not trouble
    try:
        refused = [
            _by_http1(router, lambda client: client.ask(build_request(bad)).status),
            _by_http2(router, tls_h2, _be_refused(bad)),
        ]
        assert b"never" not in pod.received
        running: list[Future[Outcome]] = [
            threads.submit(_by_http1, router, _visit(page)),
            threads.submit(_by_http1, router, _upgrade(good)),
            threads.submit(_by_http2, router, tls_h2, _use(good, page)),
        ]
        outcomes = [future.result() for future in running]
    finally:
        router.run_inside(MEND.format(module=module) + FORGET)
    assert all(status is None or status >= 400 for status in refused)
    assert all(status in (None, 101, 200) or status >= 400 for status in outcomes)
