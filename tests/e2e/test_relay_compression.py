"""Answers that are compressed on their way, through real sockets and to real decoders."""

import threading
import time
import zlib
from collections.abc import Iterator, Mapping

import brotli
import pytest
import zstandard

from tests.e2e.footprint import Memory, run_relay
from tests.e2e.harness import Field, Fleet, Request, Router, Wire, build_request

HTML: Field = (b"Content-Type", b"text/html")
FRESH: Field = (b"Cache-Control", b"max-age=600")
TAG: Field = (b"ETag", b'"v1"')
GZIP: Field = (b"Accept-Encoding", b"gzip")
PAGE = b"<p>a page of some length</p>\n" * 200
MIB = 2**20


@pytest.fixture(scope="module", params=["never", "always"], ids=["unwatched", "watched"])
def router(
    request: pytest.FixtureRequest, shared_fleet: Fleet, key_options: Mapping[str, str]
) -> Iterator[Router]:
    """A relay that knows all codings."""
    with run_relay(
        shared_fleet, key_options, route_watch=request.param, route_compress="gzip,br,zstd"
    ) as relay:
        yield relay


def say(*fields: Field, body: bytes = PAGE) -> bytes:
    """An upstream's answer."""
    lines = b"".join(b"%b: %b\r\n" % field for field in fields)
    return b"HTTP/1.1 200 OK\r\n%bContent-Length: %d\r\n\r\n%b" % (lines, len(body), body)


def test_gzip(router: Router, fleet: Fleet) -> None:
    """A page of pyos', which is in no cache."""
    fleet.pyos.play(say(HTML, TAG, (b"Accept-Ranges", b"bytes")))
    answer = router.ask(build_request(b"/API/page", GZIP))
    assert zlib.decompress(answer.body, 31) == PAGE
    assert answer.get(b"Content-Encoding") == b"gzip"
    assert answer.get(b"ETag") == b'W/"v1"'
    assert answer.get(b"Vary") == b"Accept-Encoding"
    assert answer.get(b"Accept-Ranges") is None
    assert answer.get(b"Transfer-Encoding") == b"chunked"


def test_other_codings(router: Router, fleet: Fleet) -> None:
    """As the client likes best."""
    fleet.pyos.play(say(HTML))
    answer = router.ask(build_request(b"/API/page", (b"Accept-Encoding", b"br, gzip;q=0.5")))
    assert brotli.decompress(answer.body) == PAGE
    answer = router.ask(build_request(b"/API/page", (b"Accept-Encoding", b"zstd")))
    assert zstandard.ZstdDecompressor().decompressobj().decompress(answer.body) == PAGE


def test_head_says_what_get_would(router: Router, fleet: Fleet) -> None:
    """RFC 9110 9.3.2."""

    def answer(wire: Wire, request: Request) -> None:
        wire.send(say(HTML, TAG).removesuffix(PAGE))

    fleet.pyos.play(answer)
    with router.connect() as client:
        client.send(build_request(b"/API/page", GZIP, method=b"HEAD"))
        head = client.read_answer(b"HEAD")
        assert head.get(b"Content-Encoding") == b"gzip"
        assert head.get(b"ETag") == b'W/"v1"'
        assert head.get(b"Content-Length") is None
        client.send(build_request(b"/healthz"))
        assert client.read_answer().status == 200


def test_http_1_0_and_plain_clients(router: Router, fleet: Fleet) -> None:
    """They get it as it is, and caches are told that others do not."""
    fleet.pyos.play(say(HTML))
    for version, fields in ((b"HTTP/1.0", (GZIP,)), (b"HTTP/1.1", ())):
        answer = router.ask(build_request(b"/API/page", *fields, version=version))
        assert answer.body == PAGE
        assert answer.get(b"Content-Encoding") is None
        assert answer.get(b"Vary") == b"Accept-Encoding"


def test_an_event_passes_at_once(router: Router, fleet: Fleet) -> None:
    """Nothing is held back for better compression."""
    go_on = threading.Event()
    events = [b"event %d\n" % number for number in range(20)]

    def answer(wire: Wire, request: Request) -> None:
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n")
        wire.send(b"Transfer-Encoding: chunked\r\n\r\n")
        for event in events:
            go_on.wait(10)
            go_on.clear()
            wire.send(b"%x\r\n%b\r\n" % (len(event), event))
        wire.send(b"0\r\n\r\n")

    fleet.pyos.play(answer)
    decode = zlib.decompressobj(31).decompress
    with router.connect() as client:
        client.send(build_request(b"/API/events", GZIP))
        go_on.set()
        assert b"Content-Encoding: gzip" in client.read_head()
        waits: list[float] = []
        for event in events:
            text = b""
            began = time.monotonic()
            while text != event:
                size = int(client._read_line(), 16)
                text += decode(client._read(size))
                client._read(2)
            waits.append(time.monotonic() - began)
            go_on.set()
    # Each event was waited for before the next was let go: had one been held, this would hang.
    assert len(waits) == len(events)


def test_a_compressed_answer_is_kept_as_such(router: Router, fleet: Fleet) -> None:
    """One variant for each kind of client; each is compressed once."""
    path = b"/kept/%d" % router.port
    fleet.website.play(say(HTML, FRESH, TAG))
    first, second = (router.ask(build_request(path, GZIP)) for _ in range(2))
    assert zlib.decompress(first.body, 31) == zlib.decompress(second.body, 31) == PAGE
    assert second.get(b"Content-Length") == b"%d" % len(first.body)
    assert second.get(b"Content-Encoding") == b"gzip"
    plain = router.ask(build_request(path))
    assert plain.body == PAGE
    again = router.ask(build_request(path))
    assert (b"hit" in (again.get(b"Cache-Status") or b""), again.body) == (True, PAGE)
    known = router.ask(build_request(path, GZIP, (b"If-None-Match", b'W/"v1"')))
    assert (known.status, known.get(b"ETag")) == (304, b'W/"v1"')
    assert len(fleet.website.requests) == 2


def test_memory_is_flat(router: Router, fleet: Fleet) -> None:
    """However long the text is."""
    text = PAGE * 200

    def answer(wire: Wire, request: Request) -> None:
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n")
        wire.send(b"Transfer-Encoding: chunked\r\n\r\n")
        for _ in range(100):
            wire.send(b"%x\r\n%b\r\n" % (len(text), text))
        wire.send(b"0\r\n\r\n")

    fleet.pyos.play(answer)
    router.ask(build_request(b"/API/warm", GZIP))
    memory = Memory(int(router.run_inside("import os; result = os.getpid()")))
    answer_ = router.ask(build_request(b"/API/long", GZIP))
    decoder = zlib.decompressobj(31)
    assert len(decoder.decompress(answer_.body)) == 100 * len(text)
    assert memory.growth_bytes < 40 * MIB


def test_a_cut_is_a_cut(router: Router, fleet: Fleet) -> None:
    """No end is made up for what has none."""

    def answer(wire: Wire, request: Request) -> None:
        wire.send(say(HTML)[:-99])
        wire.close()

    fleet.pyos.play(answer)
    with router.connect() as client:
        client.send(build_request(b"/API/cut", GZIP))
        raw = client.read_to_end()
    assert b"Content-Encoding: gzip" in raw
    assert not raw.endswith(b"0\r\n\r\n")
