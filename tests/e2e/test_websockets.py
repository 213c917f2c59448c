"""WebSockets, by a real client through the router to a real echo."""

import contextlib
import threading
import time
from collections.abc import Iterator

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection
from websockets.typing import Subprotocol

from tests.e2e.harness import (
    ABORT,
    LEAVE,
    Backend,
    Field,
    Fleet,
    Request,
    Router,
    Wire,
    build_request,
    check_refusal,
    wait_until,
)

ROWS = {
    "/websockify?{token}": "ws_tcp_bridge",
    "/websockify?jwt_token={token}": "ws_tcp_bridge",
    "/signalling?{token}": "signalling_service",
    "/broadcast?jwt_token={token}": "broadcast",
    "/broadcast/x?{token}": "broadcast",
    "/sound?{token}": "sound_service",
    "/sound/?{token}": "sound_service",
    "/microphone?{token}": "microphone_service",
    "/microphone/?{token}": "microphone_service",
    "/gamepad?{token}": "gamepad_service",
    "/gamepad/?{token}": "gamepad_service",
    "/terminals/websocket/1?{token}": "xterm",
    "/container/{token}/{port}/socket?x=1": "pulseaudio_http",
    "/container/{token}/{port}": "pulseaudio_http",
}

HANDSHAKE: tuple[Field, ...] = (
    (b"Connection", b"keep-alive, Upgrade"),
    (b"Upgrade", b"websocket"),
    (b"Sec-WebSocket-Version", b"13"),
    (b"Sec-WebSocket-Key", b"dGhlIHNhbXBsZSBub25jZQ=="),
)


def _fill(target: str, fleet: Fleet) -> str:
    port = fleet.alice["pulseaudio_http"].port
    return target.replace("{token}", fleet.alice.token.decode()).replace("{port}", str(port))


@pytest.fixture
def websocket(router: Router, fleet: Fleet) -> Iterator[ClientConnection]:
    """An open WebSocket to Alice's desktop."""
    with router.open_websocket(_fill("/websockify?{token}", fleet)) as connection:
        yield connection


@pytest.mark.parametrize(("target", "service"), ROWS.items())
def test_every_row(target: str, service: str, router: Router, fleet: Fleet) -> None:
    """Text and binary messages go there and back, and only to the pod that the token names."""
    with router.open_websocket(_fill(target, fleet)) as connection:
        connection.send("text ✓")
        assert connection.recv() == "text ✓"
        connection.send(b"\x00\xff")
        assert connection.recv() == b"\x00\xff"
    backend = fleet.alice[service]
    assert fleet.touched_but(backend) == []
    assert fleet.alice.token not in backend.received
    request = backend.request
    assert request.get(b"Upgrade") == b"websocket"
    assert request.get(b"Connection") == b"Upgrade"
    assert request.get(b"Host") is not None


def test_the_handshake_passes_through(router: Router, fleet: Fleet) -> None:
    """What a pod may need to know arrives as it was sent."""
    own = (
        (b"Origin", b"http://desk.example"),
        (b"Cookie", b"a=1"),
        (b"Authorization", b"Basic eDp5"),
        (b"Sec-WebSocket-Protocol", b"binary, chat"),
    )
    with router.connect() as client:
        target = b"/websockify?" + fleet.alice.token
        client.send(build_request(target, *HANDSHAKE, *own))
        answer = client.read_answer()
    assert answer.status == 101
    assert answer.get(b"Upgrade") == b"websocket"
    assert answer.get(b"Sec-WebSocket-Accept") == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    assert answer.get(b"Sec-WebSocket-Protocol") == b"binary"
    request = fleet.alice["ws_tcp_bridge"].request
    for name, value in (*own, *HANDSHAKE[2:]):
        assert request.get(name) == value


def test_subprotocols(router: Router, fleet: Fleet) -> None:
    """The pod chooses."""
    target = _fill("/websockify?{token}", fleet)
    wanted = [Subprotocol("unknown"), Subprotocol("chat"), Subprotocol("binary")]
    with router.open_websocket(target, subprotocols=wanted) as connection:
        assert connection.subprotocol == "chat"
    with router.open_websocket(target, subprotocols=wanted[:1]) as connection:
        assert connection.subprotocol is None


@pytest.mark.parametrize("compression", [None, "deflate"])
@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536, 4 * 2**20])
def test_messages_of_any_size(
    size: int, compression: str | None, router: Router, fleet: Fleet
) -> None:
    """They come back whole."""
    message = bytes(range(256)) * (size // 256) + bytes(size % 256)
    target = _fill("/websockify?{token}", fleet)
    with router.open_websocket(target, compression=compression) as connection:
        connection.send(message)
        assert connection.recv() == message


def test_many_messages(websocket: ClientConnection) -> None:
    """They keep their order."""
    texts = [f"message {number}" for number in range(200)]
    for text in texts:
        websocket.send(text)
    assert [websocket.recv() for _ in texts] == texts


def test_fragments(websocket: ClientConnection) -> None:
    """A message in fragments is one message."""
    websocket.send(["a", "b", "c"])
    assert websocket.recv() == "abc"


def test_ping(websocket: ClientConnection) -> None:
    """A ping gets its pong."""
    assert websocket.ping().wait(10)


def test_a_close_by_the_client(websocket: ClientConnection, fleet: Fleet) -> None:
    """Its code and reason reach the pod, whose close comes back."""
    websocket.close(4321, "bye")
    assert websocket.protocol.close_rcvd is not None
    assert websocket.protocol.close_rcvd.code == 4321


def test_a_close_by_the_pod(websocket: ClientConnection) -> None:
    """Its code and reason reach the client."""
    websocket.send(LEAVE)
    with pytest.raises(ConnectionClosed) as closed:
        websocket.recv()
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4001, "as asked")


def test_a_pod_that_vanishes(websocket: ClientConnection) -> None:
    """The client's connection ends too."""
    websocket.send(ABORT)
    with pytest.raises(ConnectionClosed):
        websocket.recv(timeout=10)


def test_a_client_that_vanishes(router: Router, fleet: Fleet) -> None:
    """The pod's connection ends too."""
    ended = threading.Event()

    def watch(wire: Wire, request: Request) -> None:
        with contextlib.suppress(EOFError, OSError):
            backend.answer(wire, request)
        ended.set()
        wire.close()

    backend = fleet.alice["ws_tcp_bridge"]
    backend.play(watch)
    with router.connect() as client:
        client.send(build_request(b"/websockify?" + fleet.alice.token, *HANDSHAKE))
        assert client.read_answer().status == 101
        client.reset()
    wait_until(ended.is_set, "the pod's connection ends")


def test_what_is_open_outlives_its_token(router: Router, fleet: Fleet) -> None:
    """A token that expires cuts nothing; it opens nothing new."""
    exp = time.time() + 2
    token = fleet.alice.mint(claims={"exp": exp}).decode()
    with router.open_websocket(f"/websockify?{token}") as connection:
        time.sleep(max(0.0, exp - time.time()) + 0.1)
        connection.send("still here")
        assert connection.recv() == "still here"
        fleet.forget()
        with pytest.raises(InvalidStatus) as refused:
            router.open_websocket(f"/websockify?{token}")
        assert refused.value.response.status_code == 401
        assert fleet.alice["ws_tcp_bridge"].connections == 0
        connection.send("and still")
        assert connection.recv() == "and still"


def test_two_users(router: Router, fleet: Fleet) -> None:
    """Side by side, each reaches the own pod."""
    with contextlib.ExitStack() as stack:
        sockets = [
            stack.enter_context(router.open_websocket(f"/websockify?{pod.token.decode()}"))
            for pod in (fleet.alice, fleet.bob) * 3
        ]
        for number, connection in enumerate(sockets):
            connection.send(f"user {number % 2}")
        for number, connection in enumerate(sockets):
            assert connection.recv() == f"user {number % 2}"
    for pod in (fleet.alice, fleet.bob):
        assert len(pod["ws_tcp_bridge"].requests) == 3


# --- refusals


@pytest.mark.parametrize(
    "target",
    ["/websockify", "/websockify?x", "/broadcast?jwt_token=x.y.z", "/container/x/80/socket"],
)
def test_a_handshake_without_a_good_token(target: str, router: Router, fleet: Fleet) -> None:
    """It is answered with a 401 instead of a 101."""
    answer = router.ask(build_request(target.encode(), *HANDSHAKE))
    check_refusal(answer, 401, fleet)


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (b"http://desk.example", 101),
        (b"https://desk.example", 101),
        (b"http://evil.example", 403),
        (b"null", 403),
        (None, 403),
    ],
)
def test_a_cookie_opens_a_websocket_for_our_own_pages_only(
    origin: bytes | None, status: int, router: Router, fleet: Fleet
) -> None:
    """Browsers send cookies along whoever asks: the Origin must name us."""
    fields = [(b"Cookie", b"jwt_token=" + fleet.alice.token)]
    fields += [(b"Origin", origin)] if origin is not None else []
    answer = router.ask(build_request(b"/websockify", *HANDSHAKE, *fields))
    if status == 101:
        assert answer.status == 101
    else:
        check_refusal(answer, status, fleet)


def _plain(backend: Backend, raw_answer_status: int) -> None:
    request = backend.request
    assert raw_answer_status == 200
    assert request.get(b"Upgrade") is None
    assert request.get(b"Connection") is None


@pytest.mark.parametrize("target", [b"/API/x", b"/x", b"/console/x", b"/speedtest/x"])
def test_no_upgrade_elsewhere(target: bytes, router: Router, fleet: Fleet) -> None:
    """Outside the WebSocket rows a handshake goes on as the plain request that it is."""
    answer = router.ask(build_request(target, *HANDSHAKE))
    touched = [backend for backend in fleet.servers.values() if backend.requests]
    assert len(touched) == 1
    _plain(touched[0], answer.status)


def test_no_upgrade_to_a_plain_row_of_the_pod(router: Router, fleet: Fleet) -> None:
    """A pod's file service opens no tunnel."""
    token = (b"ABCAuthorization", fleet.alice.token)
    answer = router.ask(build_request(b"/filer/x", *HANDSHAKE, token))
    _plain(fleet.alice["file_service"], answer.status)


@pytest.mark.parametrize(
    "request_bytes",
    [
        pytest.param(
            build_request(b"{}", (b"Connection", b"Upgrade"), (b"Upgrade", b"h2c")), id="h2c"
        ),
        pytest.param(build_request(b"{}", (b"Upgrade", b"websocket")), id="without Connection"),
        pytest.param(build_request(b"{}", *HANDSHAKE, method=b"POST", body=b"x"), id="POST"),
        pytest.param(build_request(b"{}", *HANDSHAKE, (b"Upgrade", b"h2c")), id="two protocols"),
        pytest.param(build_request(b"{}", *HANDSHAKE, version=b"HTTP/1.0"), id="HTTP/1.0"),
    ],
)
def test_no_other_upgrade(request_bytes: bytes, router: Router, fleet: Fleet) -> None:
    """Any upgrade but a proper WebSocket handshake is dropped, on a WebSocket row too."""
    target = b"/websockify?" + fleet.alice.token
    answer = router.ask(request_bytes.replace(b"{}", target))
    _plain(fleet.alice["ws_tcp_bridge"], answer.status)


def test_a_handshake_that_the_pod_refuses(router: Router, fleet: Fleet) -> None:
    """Its answer is passed on, and the connection serves the next request."""
    backend = fleet.alice["ws_tcp_bridge"]
    backend.play(b"HTTP/1.1 403 No\r\nContent-Length: 4\r\nX-Own: 1\r\n\r\nnope")
    with router.connect() as client:
        answer = client.ask(build_request(b"/websockify?" + fleet.alice.token, *HANDSHAKE))
        assert (answer.status, answer.body, answer.get(b"X-Own")) == (403, b"nope", b"1")
        assert answer.get(b"Upgrade") is None
        assert client.ask(build_request(b"/healthz")).body == b"OK\n"


def test_a_handshake_to_a_pod_that_is_gone(router: Router, fleet: Fleet) -> None:
    """502, and no word of where the pod was."""
    pod = Backend(fleet.alice.address)
    pod.close()
    target = b"/container/%b/%d/x" % (fleet.alice.token, pod.port)
    check_refusal(router.ask(build_request(target, *HANDSHAKE)), 502, fleet)
