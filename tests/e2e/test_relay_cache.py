"""The HTTP cache in the relay, through real sockets: what is kept, for whom, and what never is."""

import contextlib
import itertools
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from tests.e2e.footprint import Footprint, Memory, run_relay
from tests.e2e.harness import (
    UNTRUSTED,
    Answer,
    Client,
    Field,
    Fleet,
    Http2Client,
    Request,
    Router,
    Wire,
    build_request,
    wait_until,
)

FRESH: Field = (b"Cache-Control", b"max-age=600")
TAG: Field = (b"ETag", b'"v1"')
SECRET = b"for alice only"
OTHER = b"for everybody"
MIB = 2**20

_numbers = itertools.count()


@pytest.fixture(scope="module", params=["never", "always"], ids=["unwatched", "watched"])
def router(
    request: pytest.FixtureRequest,
    shared_fleet: Fleet,
    key_options: Mapping[str, str],
    certificate: Path,
) -> Iterator[Router]:
    """A relay that keeps what the website answers."""
    with run_relay(
        shared_fleet,
        key_options,
        certs=f"*={certificate}",
        route_watch=request.param,
        route_http_cache_bytes=16 * MIB,
    ) as relay:
        yield relay


@pytest.fixture
def path() -> bytes:
    """A path that no other test asks for."""
    return b"/page/%d" % next(_numbers)


def say(*fields: Field, body: bytes = OTHER, status: bytes = b"200 OK") -> bytes:
    """An upstream's answer."""
    lines = b"".join(b"%b: %b\r\n" % field for field in fields)
    return b"HTTP/1.1 %b\r\n%bContent-Length: %d\r\n\r\n%b" % (status, lines, len(body), body)


def status_of(answer: Answer) -> bytes:
    """What Cache-Status says (RFC 9211)."""
    return answer.get(b"Cache-Status") or b""


def _inside(router: Router, numbers: str) -> list[int]:
    """Numbers that the cache is asked for."""
    code = (
        "cache = ctx.master.addons.get('route').relay.cache\n"
        f"result = ' '.join(map(str, [{numbers}]))"
    )
    return [int(number) for number in router.run_inside(code).split()]


def test_a_hit(router: Router, fleet: Fleet, path: bytes) -> None:
    """The second one is not asked of the website, and says how old it is."""
    fleet.website.play(say(FRESH, TAG))
    first, second = (router.ask(build_request(path)) for _ in range(2))
    assert status_of(first) == b"route-addon; fwd=uri-miss; fwd-status=200; stored"
    assert status_of(second).startswith(b"route-addon; hit; ttl=")
    assert (second.status, second.body, second.get(b"Age")) == (200, OTHER, b"0")
    assert second.get(b"ETag") == b'"v1"'
    assert len(fleet.website.requests) == 1


def test_head_and_range_of_a_stored_answer(router: Router, fleet: Fleet, path: bytes) -> None:
    """Parts of what is whole."""
    fleet.website.play(say(FRESH, TAG))
    router.ask(build_request(path))
    with router.connect() as client:
        client.send(build_request(path, method=b"HEAD"))
        head = client.read_answer(b"HEAD")
    assert (head.status, head.get(b"Content-Length")) == (200, b"%d" % len(OTHER))
    part = router.ask(build_request(path, (b"Range", b"bytes=4-7")))
    assert (part.status, part.body) == (206, OTHER[4:8])
    known = router.ask(build_request(path, (b"If-None-Match", b'"v1"')))
    assert (known.status, known.body) == (304, b"")
    assert len(fleet.website.requests) == 1


def test_validation(router: Router, fleet: Fleet, path: bytes) -> None:
    """What says nothing of its life is asked about each time; a 304 brings no content."""
    fleet.website.play(say(TAG))
    router.ask(build_request(path))
    fleet.website.play(b'HTTP/1.1 304 Not Modified\r\nETag: "v1"\r\n\r\n')
    answer = router.ask(build_request(path))
    assert (answer.status, answer.body) == (200, OTHER)
    assert status_of(answer) == b"route-addon; fwd=stale; fwd-status=304; stored"
    assert fleet.website.requests[-1].get(b"If-None-Match") == b'"v1"'


def test_chunked_answers_are_kept(router: Router, fleet: Fleet, path: bytes) -> None:
    """And have a Content-Length then."""
    fleet.website.play(
        b"HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"3\r\nfor\r\n2\r\n a\r\n0\r\n\r\n"
    )
    first, second = (router.ask(build_request(path)) for _ in range(2))
    assert first.body == second.body == b"for a"
    assert second.get(b"Content-Length") == b"5"
    assert len(fleet.website.requests) == 1


def test_what_is_cut_is_not_kept(router: Router, fleet: Fleet, path: bytes) -> None:
    """Nor what may have been, since it ends with its connection."""

    def cut(wire: Wire, request: Request) -> None:
        wire.send(say(FRESH, body=bytes(99))[:-9])
        wire.close()

    def until_end(wire: Wire, request: Request) -> None:
        wire.send(b"HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\n\r\nx")
        wire.close()

    fleet.website.play(cut)
    with router.connect() as client:
        client.send(build_request(path))
        assert client.read_to_end().startswith(b"HTTP/1.1 200")
    fleet.website.play(until_end)
    assert router.ask(build_request(path)).body == b"x"
    fleet.website.play(say(FRESH))
    answer = router.ask(build_request(path))
    assert (answer.body, status_of(answer)) == (
        OTHER,
        b"route-addon; fwd=uri-miss; fwd-status=200; stored",
    )


def test_large_answers_pass_by(router: Router, fleet: Fleet, path: bytes) -> None:
    """And are not called stored."""
    fleet.website.play(say(FRESH, body=bytes(3 * MIB)))
    for _ in range(2):
        answer = router.ask(build_request(path))
        assert len(answer.body) == 3 * MIB
        assert status_of(answer) == b"route-addon; fwd=uri-miss; fwd-status=200"
    assert len(fleet.website.requests) == 2


def test_the_store_is_bounded(router: Router, fleet: Fleet, path: bytes) -> None:
    """However much is asked for."""
    fleet.website.play(say(FRESH, body=bytes(MIB // 2)))
    with router.connect() as client:
        for number in range(64):
            client.ask(build_request(b"%b/%d" % (path, number)))
    used, held = _inside(router, "cache.store.used_bytes, len(cache.store)")
    assert used <= 16 * MIB
    assert 16 < held < 64


def test_concurrent_misses_become_one(router: Router, fleet: Fleet, path: bytes) -> None:
    """Those that come while one is on its way wait for it."""
    may_answer = threading.Event()

    def answer(wire: Wire, request: Request) -> None:
        may_answer.wait(10)
        wire.send(say(FRESH))

    fleet.website.play(answer)
    clients = [router.connect() for _ in range(20)]
    try:
        for client in clients:
            client.send(build_request(path))
        wait_until(lambda: _waiting(router) == 19, "all others wait")
        may_answer.set()
        answers = [client.read_answer() for client in clients]
    finally:
        for client in clients:
            client.close()
    assert {answer.body for answer in answers} == {OTHER}
    assert len(fleet.website.requests) == 1


def _waiting(router: Router) -> int:
    (waiting,) = _inside(router, "sum(one.waiting for one in cache.fills._fills.values())")
    return waiting


def test_nobody_waits_for_what_is_not_kept(router: Router, fleet: Fleet, path: bytes) -> None:
    """They are let go as soon as the head says so, and the next time none waits."""
    may_end = threading.Event()

    def answer(wire: Wire, request: Request) -> None:
        wire.send(say((b"Cache-Control", b"no-store"))[: -len(OTHER)])
        may_end.wait(10)
        wire.send(OTHER)

    fleet.website.play(answer)
    with router.connect() as first, router.connect() as second:
        first.send(build_request(path))
        wait_until(lambda: len(fleet.website.requests) == 1, "the first is asked for")
        second.send(build_request(path))
        wait_until(lambda: len(fleet.website.requests) == 2, "the second, too")
        may_end.set()
        assert first.read_answer().body == second.read_answer().body == OTHER


def test_a_leader_that_leaves(router: Router, fleet: Fleet, path: bytes) -> None:
    """Those that waited for it ask themselves."""
    is_first = threading.Event()

    def answer(wire: Wire, request: Request) -> None:
        if not is_first.is_set():
            is_first.set()
            wire.receive()
            return
        wire.send(say(FRESH))

    fleet.website.play(answer)
    with router.connect() as second:
        with router.connect() as first:
            first.send(build_request(path))
            assert is_first.wait(10)
            second.send(build_request(path))
            wait_until(lambda: _waiting(router) == 1, "the second waits")
            first.reset()
        assert second.read_answer().body == OTHER


def test_stale_while_revalidate(router: Router, fleet: Fleet, path: bytes) -> None:
    """The stale one at once; the fresh one is fetched for the next."""
    stale: Field = (b"Cache-Control", b"max-age=0, stale-while-revalidate=600")
    fleet.website.play(say(stale, TAG))
    router.ask(build_request(path))
    fleet.website.play(say(FRESH, (b"ETag", b'"v2"'), body=b"new"))
    assert router.ask(build_request(path)).body == OTHER
    wait_until(lambda: router.ask(build_request(path)).body == b"new", "the new one is there")
    assert len(fleet.website.requests) == 2


def test_stale_if_error(router: Router, fleet: Fleet, path: bytes) -> None:
    """A website that fails is not noticed for a while: by a 5xx, a reset."""
    kept: Field = (b"Cache-Control", b"max-age=0, stale-if-error=600")
    fleet.website.play(say(kept, TAG))
    router.ask(build_request(path))
    for script in (say(status=b"503 Off", body=b"no"), _reset):
        fleet.website.play(script)
        answer = router.ask(build_request(path))
        assert (answer.status, answer.body) == (200, OTHER)
        assert b"detail=stale-if-error" in status_of(answer)


def _reset(wire: Wire, request: Request) -> None:
    wire.reset()


def test_an_unsafe_method_forgets(router: Router, fleet: Fleet, path: bytes) -> None:
    """RFC 9111 4.4."""
    fleet.website.play(say(FRESH))
    router.ask(build_request(path))
    assert router.ask(build_request(path, method=b"POST", body=b"x")).status == 200
    fleet.website.play(say(FRESH, body=b"new"))
    assert router.ask(build_request(path)).body == b"new"


def test_only_if_cached(router: Router, fleet: Fleet, path: bytes) -> None:
    """504, and the website is not asked."""
    answer = router.ask(build_request(path, (b"Cache-Control", b"only-if-cached")))
    assert answer.status == 504
    router.wait_for("504 not_cached")
    assert fleet.website.is_untouched


def test_a_hit_on_a_connection_that_goes_on(router: Router, fleet: Fleet, path: bytes) -> None:
    """Hits and misses follow each other, pipelined too."""
    fleet.website.play(say(FRESH))
    with router.connect() as client:
        client.send(b"".join(build_request(path) for _ in range(5)))
        answers = [client.read_answer() for _ in range(5)]
    assert [answer.body for answer in answers] == [OTHER] * 5
    assert len(fleet.website.requests) == 1


@pytest.mark.parametrize("is_secure", [False, True], ids=["plain", "TLS"])
def test_hits_that_are_not_read(
    is_secure: bool, router: Router, fleet: Fleet, path: bytes, tls: ssl.SSLContext
) -> None:
    """Clients that ask for much and take nothing hold none of it; later each gets all of it."""
    body = bytes(range(250)) * 4000
    context = tls if is_secure else None
    fleet.website.play(say(FRESH, body=body))
    router.ask(build_request(path), tls=context)
    memory = Memory(Footprint.measure(router).pid)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(router.connect(tls=context)) for _ in range(20)]
        for client in clients:
            client.send(build_request(path) * 50)
        # Each begins where the last one's were left.
        assert router.ask(build_request(b"/healthz")).status == 200
        for _ in range(50):
            assert clients[-1].read_answer().body == body
    grown = memory.growth_bytes
    assert grown < 40 * MIB, f"{grown / MIB:.0f} MiB"
    assert len(fleet.website.requests) == 1


def test_a_hit_in_portions(
    router: Router, fleet: Fleet, path: bytes, tls_h2: ssl.SSLContext
) -> None:
    """A large answer and a large part of one arrive whole, by HTTP/1 and HTTP/2."""
    body = bytes(range(251)) * 4000
    fleet.website.play(say(FRESH, body=body))
    router.ask(build_request(path))
    part = (b"Range", b"bytes=1000-900000")
    assert router.ask(build_request(path)).body == body
    assert router.ask(build_request(path, part)).body == body[1000:900001]
    with Http2Client(router.address, tls_h2) as client:
        assert client.ask(path).body == body
        assert b"; hit; " in status_of(client.ask(path))
        assert client.ask(path, (b"range", part[1])).body == body[1000:900001]
    # One for each scheme: the key holds it.
    assert len(fleet.website.requests) == 2


def test_what_is_sent_is_still_held(router: Router, fleet: Fleet, path: bytes) -> None:
    """What leaves the store while a client takes it arrives whole, and counts until then."""
    body = bytes(range(251)) * 4000
    fleet.website.play(say(FRESH, body=body))
    router.ask(build_request(path))
    with router.connect() as client:
        client.send(build_request(path) * 20)
        wait_until(lambda: _inside(router, "len(cache.store._lent)") == [1], "it is being sent")
        (before,) = _inside(router, "cache.store.used_bytes")
        router.run_inside("ctx.master.addons.get('route').relay.cache.store.purge()")
        assert before >= _inside(router, "cache.store.used_bytes")[0] > len(body)
        assert [client.read_answer().body for _ in range(20)] == [body] * 20
    wait_until(lambda: _inside(router, "len(cache.store._lent)") == [0], "it has been sent")


def test_who_sends_from_the_store_holds_no_server(
    router: Router, fleet: Fleet, path: bytes
) -> None:
    """A server that has said that an answer holds is free at once, whoever takes it slowly."""
    body = bytes(range(251)) * 4000
    fleet.website.play(say(TAG, body=body))
    router.ask(build_request(path))
    fleet.website.play(say(TAG, status=b"304 Not Modified", body=b""))
    set_website = "ctx.options.update(route_website=%r)"
    assert router.run_inside(set_website % f"{fleet.website.url};max_conns=1") == ""
    try:
        with router.connect() as client:
            client.send(build_request(path) * 20)
            wait_until(lambda: _inside(router, "len(cache.store._lent)") == [1], "it is being sent")
            assert router.ask(build_request(path)).body == body
            assert [client.read_answer().body for _ in range(20)] == [body] * 20
    finally:
        router.run_inside(set_website % fleet.website.url)


def test_other_locations_are_not_kept(router: Router, fleet: Fleet) -> None:
    """pyos, unless somebody names it, and pods whatever anybody names."""
    for backend, target, fields in (
        (fleet.pyos, b"/API/x", ()),
        (fleet.alice["file_service"], b"/filer/x", ((b"ABCAuthorization", fleet.alice.token),)),
    ):
        backend.play(say(FRESH))
        for _ in range(2):
            answer = router.ask(build_request(target, *fields))
            assert answer.get(b"Cache-Status") is None
        assert len(backend.requests) == 2


def test_nothing_is_left(router: Router, fleet: Fleet, path: bytes) -> None:
    """Of clients that leave while they wait, lead or read."""
    fleet.website.play(_never)
    before = Footprint.measure(router)
    clients = [router.connect() for _ in range(9)]
    for client in clients:
        client.send(build_request(path))
    wait_until(lambda: _waiting(router) == 8, "they wait")
    for client in clients:
        client.reset()
    wait_until(lambda: _is_at_rest(router, before), "nothing is left")


def _never(wire: Wire, request: Request) -> None:
    """Say nothing until the router has gone."""
    wire.receive()


def _is_at_rest(router: Router, before: Footprint) -> bool:
    held = _inside(router, "cache.store.filling_bytes, cache.refreshes, len(cache.fills._fills)")
    now = Footprint.measure(router)
    return not any(held) and now.connections <= before.connections and now.tasks <= before.tasks


type Attempt = tuple[Sequence[Field], bytes, bytes]
"""The first request's fields, its method, and the answer to it."""

LEAKS: dict[str, Attempt] = {
    "Set-Cookie": ((), b"GET", say(FRESH, (b"Set-Cookie", b"s=1"), body=SECRET)),
    "private": ((), b"GET", say((b"Cache-Control", b"private, max-age=9"), body=SECRET)),
    "no-store": ((), b"GET", say((b"Cache-Control", b"no-store"), body=SECRET)),
    "Vary: *": ((), b"GET", say(FRESH, (b"Vary", b"*"), body=SECRET)),
    "Vary: Cookie": (
        ((b"Cookie", b"s=alice"),),
        b"GET",
        say(FRESH, (b"Vary", b"Cookie"), body=SECRET),
    ),
    "a Cookie": (((b"Cookie", b"s=alice"),), b"GET", say(TAG, body=SECRET)),
    "Authorization": (((b"Authorization", b"Basic eDp5"),), b"GET", say(FRESH, body=SECRET)),
    "ABCAuthorization": (((b"ABCAuthorization", b"user"),), b"GET", say(FRESH, body=SECRET)),
    "X-Original-URL": (((b"X-Original-URL", b"/admin"),), b"GET", say(FRESH, body=SECRET)),
    "X-Forwarded-Host": (((b"X-Forwarded-Host", b"evil"),), b"GET", say(FRESH, body=SECRET)),
    "X-Forwarded-Scheme": (((b"X-Forwarded-Scheme", b"http"),), b"GET", say(FRESH, body=SECRET)),
    "Forwarded": (((b"Forwarded", b"host=evil"),), b"GET", say(FRESH, body=SECRET)),
    "Range": (
        ((b"Range", b"bytes=0-3"),),
        b"GET",
        say(
            FRESH,
            (b"Content-Range", b"bytes 0-13/14"),
            body=SECRET,
            status=b"206 Partial Content",
        ),
    ),
    "a bad Range": (
        ((b"Range", b"bytes=99-"),),
        b"GET",
        say(FRESH, body=SECRET, status=b"416 Range Not Satisfiable"),
    ),
    "a method override": (
        ((b"X-HTTP-Method-Override", b"DELETE"),),
        b"GET",
        say(FRESH, body=SECRET),
    ),
    "POST": ((), b"POST", say(FRESH, body=SECRET)),
    "Origin": (
        ((b"Origin", b"https://evil.example"),),
        b"GET",
        say(FRESH, (b"Access-Control-Allow-Origin", b"https://evil.example"), body=SECRET),
    ),
    "Accept-Encoding": (
        ((b"Accept-Encoding", b"br"),),
        b"GET",
        say(FRESH, (b"Content-Encoding", b"br"), body=SECRET),
    ),
    "If-Match": (((b"If-Match", b'"x"'),), b"GET", say(FRESH, body=SECRET)),
    "an error of one's own": (
        ((b"X", b"bad"),),
        b"GET",
        say(FRESH, body=SECRET, status=b"400 Bad Request"),
    ),
    "hidden by Connection": (
        (),
        b"GET",
        say(
            (b"Cache-Control", b"private, max-age=9"),
            (b"Connection", b"cache-control"),
            body=SECRET,
        ),
    ),
}


@pytest.mark.parametrize("attempt", LEAKS.values(), ids=LEAKS)
def test_what_is_one_users_own(router: Router, fleet: Fleet, path: bytes, attempt: Attempt) -> None:
    """Whatever the first one says or is told, the second gets an answer of his own."""
    fields, method, said = attempt
    fleet.website.play(said)
    body = b"x" if method == b"POST" else None
    first = router.ask(build_request(path, *fields, method=method, body=body))
    assert first.body == SECRET
    fleet.website.play(say(FRESH))
    assert router.ask(build_request(path)).body == OTHER


@pytest.mark.parametrize(
    "send",
    [
        pytest.param(lambda path: build_request(path, method=b"GET", body=b"fat"), id="fat GET"),
        pytest.param(lambda path: build_request(path, host=b"evil.example"), id="another Host"),
        pytest.param(lambda path: build_request(path + b"/x.css"), id="x.css"),
        pytest.param(lambda path: build_request(path + b"%3f.css"), id="%3f.css"),
        pytest.param(lambda path: build_request(path + b"?x"), id="a query"),
    ],
)
def test_another_place(
    router: Router, fleet: Fleet, path: bytes, send: Callable[[bytes], bytes]
) -> None:
    """What is not the same request has a place of its own."""
    fleet.website.play(say(FRESH, body=SECRET))
    assert router.ask(send(path)).body == SECRET
    fleet.website.play(say(FRESH))
    assert router.ask(build_request(path)).body == OTHER


def test_what_an_untrusted_client_says_of_its_address(
    router: Router, fleet: Fleet, path: bytes
) -> None:
    """It does not reach the website, so it cannot poison what others get."""
    fleet.website.play(say(FRESH))
    with Client(router.address, source=UNTRUSTED) as client:
        client.ask(build_request(path, (b"X-Forwarded-Host", b"evil.example")))
    assert fleet.website.request.get(b"X-Forwarded-Host") != b"evil.example"
