"""Content, in both directions."""

import threading

import pytest

from tests.e2e.harness import (
    PATIENCE_S,
    Backend,
    Fleet,
    Request,
    Router,
    Wire,
    build_chunks,
    build_request,
    check_refusal,
)

MIB = 2**20
CHUNKED = (b"Transfer-Encoding", b"chunked")


def _pod_target(fleet: Fleet, path: bytes = b"x") -> tuple[Backend, bytes]:
    """A location whose content is streamed."""
    backend = fleet.alice["pulseaudio_http"]
    return backend, b"/container/%b/%d/%b" % (fleet.alice.token, backend.port, path)


@pytest.mark.parametrize("size", [0, 1, 1000, 70_000, MIB])
@pytest.mark.parametrize("framing", ["Content-Length", "chunked"])
def test_content_arrives_whole(size: int, framing: str, router: Router, fleet: Fleet) -> None:
    """To a location that collects, and to one that streams."""
    body = bytes(range(256)) * (size // 256) + bytes(size % 256)
    streamed, target = _pod_target(fleet)
    for backend, where in ((fleet.pyos, b"/API/x"), (streamed, target)):
        if framing == "chunked":
            parts = [body[at : at + 4096] for at in range(0, size, 4096)]
            request = build_request(where, CHUNKED, method=b"POST") + build_chunks(*parts)
        else:
            request = build_request(where, method=b"POST", body=body)
        answer = router.ask(request)
        assert answer.status == 200
        assert backend.request.body == body


@pytest.mark.parametrize("framing", ["Content-Length", "chunked"])
def test_content_is_streamed(framing: str, router: Router, fleet: Fleet) -> None:
    """The pod gets the first half before the second is sent, framed as the client framed it."""
    backend, target = _pod_target(fleet)
    with router.connect() as client:
        if framing == "chunked":
            client.send(build_request(target, CHUNKED, method=b"POST") + b"5\r\nfirst\r\n")
            second = b"6\r\nsecond\r\n0\r\n\r\n"
        else:
            length = (b"Content-Length", b"11")
            client.send(build_request(target, length, method=b"POST") + b"first")
            second = b"second"
        backend.wait_for(b"first")
        assert b"second" not in backend.received
        client.send(second)
        assert client.read_answer(b"POST").status == 200
    assert backend.request.body == b"firstsecond"
    framed_by = {b"content-length", b"transfer-encoding"} & set(backend.request.names())
    assert framed_by == {framing.lower().encode().replace(b"chunked", b"transfer-encoding")}


def test_content_byte_by_byte(router: Router, fleet: Fleet) -> None:
    """Heads and chunks may come in any pieces."""
    backend, target = _pod_target(fleet)
    with router.connect() as client:
        client.send_slowly(build_request(target, CHUNKED, method=b"POST"))
        client.send_slowly(build_chunks(b"abc", b"defg"))
        assert client.read_answer(b"POST").status == 200
    assert backend.request.body == b"abcdefg"


def test_expect_continue(router: Router, fleet: Fleet) -> None:
    """A client that waits for a 100 gets it, and then its answer; the pod is not asked."""
    backend, target = _pod_target(fleet)
    expect = ((b"Expect", b"100-continue"), (b"Content-Length", b"5"))
    with router.connect() as client:
        client.send(build_request(target, *expect, method=b"POST"))
        assert client.read_answer(b"POST").status == 100
        client.send(b"hello")
        assert client.read_answer(b"POST").status == 200
    assert backend.request.body == b"hello"
    assert backend.request.get(b"Expect") is None


@pytest.mark.parametrize(
    ("target", "limit"),
    [
        pytest.param(b"/API/x", MIB, id="API"),
        pytest.param(b"/x", MIB, id="website"),
        pytest.param(b"/healthz", MIB, id="healthz"),
        pytest.param(b"/filer/x", 8 * 2**30, id="filer"),
        pytest.param(b"/spawner", 8 * MIB, id="spawner"),
        pytest.param(b"/API/manager/image", 16 * MIB, id="images"),
        pytest.param(b"/speedtest/x", 256 * MIB, id="speedtest"),
    ],
)
def test_a_length_over_the_limit(target: bytes, limit: int, router: Router, fleet: Fleet) -> None:
    """One byte more than the location takes is a 413, before the token is looked at."""
    length = (b"Content-Length", b"%d" % (limit + 1))
    with router.connect() as client:
        client.send(build_request(target, length, method=b"POST"))
        if limit == MIB:
            client.send(bytes(limit + 1))
            check_refusal(client.read_answer(b"POST"), 413, fleet)
    assert fleet.is_untouched


def test_an_upload_that_is_refused(router: Router, fleet: Fleet) -> None:
    """A client that sends it all gets its 401, and the pod none of it."""
    upload = build_request(b"/filer/x", method=b"POST", body=bytes(3 * MIB))
    check_refusal(router.ask(upload), 401, fleet)
    chunks = build_chunks(*[bytes(65536)] * 16)
    upload = build_request(b"/filer/x", CHUNKED, method=b"POST") + chunks
    check_refusal(router.ask(upload), 401, fleet)


# --- answers


@pytest.mark.parametrize(
    ("head", "parts"),
    [
        pytest.param(b"Content-Length: 11\r\n", [b"first", b"second"], id="Content-Length"),
        pytest.param(
            b"Transfer-Encoding: chunked\r\n",
            [b"5\r\nfirst\r\n", b"6\r\nsecond\r\n0\r\n\r\n"],
            id="chunked",
        ),
        pytest.param(b"", [b"first", b"second"], id="until the end"),
    ],
)
@pytest.mark.parametrize("where", ["/API/x", "pod"])
def test_an_answer_is_streamed(
    head: bytes, parts: list[bytes], where: str, router: Router, fleet: Fleet
) -> None:
    """The client gets the first half before the second is there."""
    backend, target = (fleet.pyos, b"/API/x") if where != "pod" else _pod_target(fleet)
    seen = threading.Event()

    def script(wire: Wire, request: Request) -> None:
        wire.send(b"HTTP/1.1 200 OK\r\n%b\r\n%b" % (head, parts[0]))
        seen.wait(PATIENCE_S)
        wire.send(parts[1])
        if not head:
            wire.close()

    with router.connect() as client:
        backend.play(script)
        client.send(build_request(target))
        received = b""
        while b"first" not in received:
            received += client.receive()
        assert b"second" not in received
        seen.set()
        while b"second" not in received:
            received += client.receive()


@pytest.mark.parametrize(
    ("method", "raw", "status"),
    [
        pytest.param(b"HEAD", b"200 OK\r\nContent-Length: 5\r\n\r\n", 200, id="HEAD"),
        pytest.param(b"GET", b"204 No Content\r\n\r\n", 204, id="204"),
        pytest.param(b"GET", b"304 Not Modified\r\nETag: x\r\n\r\n", 304, id="304"),
        pytest.param(b"GET", b"404 Nix\r\nContent-Length: 3\r\n\r\nabc", 404, id="404"),
        pytest.param(b"GET", b"500 Oh\r\nContent-Length: 0\r\n\r\n", 500, id="500"),
    ],
)
def test_the_connection_stays_in_step(
    method: bytes, raw: bytes, status: int, router: Router, fleet: Fleet
) -> None:
    """After an answer without content, the next request on the connection gets its own."""
    fleet.pyos.play(b"HTTP/1.1 " + raw)
    with router.connect() as client:
        assert client.ask(build_request(b"/API/x", method=method)).status == status
        fleet.pyos.forget()
        assert client.ask(build_request(b"/API/x")).body == b"pyos"


def test_a_large_answer(router: Router, fleet: Fleet) -> None:
    """It comes whole."""
    body = bytes(range(256)) * (8 * MIB // 256)
    fleet.pyos.play(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
    assert router.ask(build_request(b"/API/x")).body == body


def test_a_cut_answer_is_seen_as_cut(router: Router, fleet: Fleet) -> None:
    """What the upstream leaves unfinished is not made to look whole."""

    def script(wire: Wire, request: Request) -> None:
        wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        wire.close()

    fleet.pyos.play(script)
    with router.connect() as client:
        client.send(build_request(b"/API/x"))
        assert client.read_head().startswith(b"HTTP/1.1 200")
        assert client.read_to_end() == b"half"
