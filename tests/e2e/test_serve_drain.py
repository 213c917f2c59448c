"""The end of a service: nobody who can be waited for is cut."""

import contextlib
import signal
import ssl
import threading
import time
from collections.abc import Iterator, Mapping

import pytest
from websockets.exceptions import ConnectionClosed

from tests.e2e.harness import (
    Client,
    Command,
    Fleet,
    Request,
    Router,
    ServeCommand,
    Wire,
    build_request,
    wait_until,
)
from tests.http2_frames import NO_ERROR, Heard, Speaker

REQUESTS = 40
WEBSOCKETS = 20
DRAIN = {"ROUTE_DRAIN": "6", "ROUTE_DRAIN_WEBSOCKETS": "7"}
HEALTHZ = build_request(b"/healthz")
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslow"


class Slow:
    """Answers when it is told to."""

    def __init__(self) -> None:
        self.may_answer = threading.Event()
        self.waiting = 0

    def __call__(self, wire: Wire, request: Request) -> None:
        self.waiting += 1
        self.may_answer.wait(20)
        wire.send(ANSWER)


class Crowd:
    """All whom a router serves at the moment, and what becomes of them.

    Args:
        router: The router.
        stack: Closes what is opened.
    """

    def __init__(self, router: Router, stack: contextlib.ExitStack) -> None:
        self.router = router
        self._stack = stack

    def open_websockets(self, target: str) -> None:
        """Twenty of them."""
        opened = (self.router.open_websocket(target) for _ in range(WEBSOCKETS))
        self._sockets = [self._stack.enter_context(one) for one in opened]

    def ask_slowly(self, tls_h2: ssl.SSLContext) -> None:
        """Forty requests, and one on HTTP/2."""
        connect, stack = self.router.connect, self._stack
        self._clients = [stack.enter_context(connect()) for _ in range(REQUESTS)]
        for client in self._clients:
            client.send(build_request())
        self._http2, self._speaker = stack.enter_context(connect(tls=tls_h2)), Speaker()
        self._http2.send(self._speaker.greet() + self._speaker.head(1, path=b"/"))
        self._resting = stack.enter_context(connect())
        assert self._resting.ask(HEALTHZ).status == 200

    def check_told(self) -> None:
        """Who comes in the first three seconds is served, and told that it ends."""
        told = self.router.ask(HEALTHZ)
        assert (told.status, told.get(b"connection")) == (503, b"close")
        for ask in (self.router.ask, self._resting.ask):
            answer = ask(build_request(b"/API/x"))
            assert (answer.status, answer.get(b"connection")) == (200, b"close")

    def check_answered(self) -> None:
        """All requests are answered."""
        for client in self._clients:
            answer = client.read_answer()
            assert (answer.status, answer.body) == (200, b"slow")
            assert answer.get(b"connection") == b"close"
        heard = self._speaker.hear(self._http2.read_to_end())
        assert Heard("GOAWAY", 0, NO_ERROR) in heard
        assert b"".join(frame.value for frame in heard if frame.kind == "DATA") == b"slow"

    def check_echoed(self) -> None:
        """All WebSockets are still there."""
        for opened in self._sockets:
            opened.send("still here")
        assert {opened.recv(10) for opened in self._sockets} == {"still here"}

    def check_closed(self, code: int | None) -> None:
        """They are closed, with this code."""
        for opened in self._sockets:
            with pytest.raises(ConnectionClosed) as closed:
                opened.recv(10)
            received = closed.value.rcvd
            assert (received.code if received is not None else None) == code


@pytest.fixture
def crowds(installation: Mapping[str, object]) -> Iterator[list[Crowd]]:
    """Those of a watched and of an unwatched router, of two workers each."""
    with contextlib.ExitStack() as stack:
        crowds = []
        for watch in ("always", "never"):
            options = {**installation, "route_workers": 2, "route_watch": watch}
            router = stack.enter_context(Router(ServeCommand(options, environment=DRAIN)))
            router.wait_for("2 workers are ready")
            crowds.append(Crowd(router, stack))
        yield crowds


def _is_listening(router: Router) -> bool:
    try:
        Client(router.address).close()
    except ConnectionRefusedError:
        return False
    return True


def test_nobody_is_cut(crowds: list[Crowd], fleet: Fleet, tls_h2: ssl.SSLContext) -> None:
    """40 slow requests and 20 WebSockets outlive SIGTERM for as long as they were promised."""
    slow = Slow()
    fleet.website.play(slow)
    for crowd in crowds:
        crowd.open_websockets(f"/websockify?jwt_token={fleet.alice.token.decode()}")
        crowd.ask_slowly(tls_h2)
    wait_until(lambda: slow.waiting == 2 * (REQUESTS + 1), "all requests have arrived")
    for crowd in crowds:
        crowd.router.signal(signal.SIGTERM)
    for crowd in crowds:
        crowd.router.wait_for("draining: ends in 7 s at most")
        crowd.check_told()
    wait_until(lambda: not any(_is_listening(crowd.router) for crowd in crowds), "it ends")
    slow.may_answer.set()
    for crowd in crowds:
        crowd.check_answered()
        crowd.check_echoed()
    # Only who has read its frames can send one more.
    for crowd, code in zip(crowds, (1001, None), strict=True):
        crowd.check_closed(code)
        assert crowd.router.wait() == 0


def test_who_takes_too_long(installation: Mapping[str, object], fleet: Fleet) -> None:
    """Requests that outlive route_drain are refused, and the exit status is 0."""
    slow = Slow()
    fleet.website.play(slow)
    environment = {"ROUTE_DRAIN": "1", "ROUTE_DRAIN_WEBSOCKETS": "0"}
    with Router(ServeCommand(installation, environment=environment)) as router:
        with router.connect() as client:
            client.send(build_request())
            wait_until(lambda: slow.waiting == 1, "the request has arrived")
            router.signal(signal.SIGINT)
            answer = client.read_answer()
        assert (answer.status, b"about to end" in answer.body) == (503, True)
        assert router.wait() == 0
    slow.may_answer.set()


def test_another_signal_ends_at_once(installation: Mapping[str, object], fleet: Fleet) -> None:
    """Who does not want to wait sends another SIGTERM."""
    with Router(ServeCommand(installation, environment=DRAIN)) as router:
        target = f"/websockify?jwt_token={fleet.alice.token.decode()}"
        with router.open_websocket(target):
            router.signal(signal.SIGTERM)
            router.wait_for("draining")
            began = time.monotonic()
            router.signal(signal.SIGTERM)
            assert router.wait() == 1
            assert time.monotonic() - began < 3


def test_under_mitmdump(installation: Mapping[str, object], fleet: Fleet) -> None:
    """SIGTERM drains there, too, with either carrier."""
    slow = Slow()
    fleet.website.play(slow)
    environment = {"ROUTE_DRAIN": "3", "ROUTE_DRAIN_WEBSOCKETS": "0"}
    commands = [
        Command({**installation, "route_carrier": carrier}, environment=environment)
        for carrier in ("relay", "stock")
    ]
    with contextlib.ExitStack() as stack:
        routers = [stack.enter_context(Router(command)) for command in commands]
        clients = [stack.enter_context(router.connect()) for router in routers]
        for client in clients:
            client.send(build_request())
        wait_until(lambda: slow.waiting == 2, "the requests have arrived")
        for router in routers:
            router.signal(signal.SIGTERM)
        for router in routers:
            router.wait_for("draining")
            assert router.ask(HEALTHZ).status == 503
        slow.may_answer.set()
        assert [client.read_answer().body for client in clients] == [b"slow", b"slow"]
        for client in clients:
            client.close()
        assert [router.wait() for router in routers] == [0, 0]
