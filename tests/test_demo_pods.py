"""The demo's pods: every service says what it received."""

import json
from collections.abc import AsyncIterator

import pytest
from tornado.httpclient import AsyncHTTPClient, HTTPRequest
from tornado.websocket import websocket_connect

from demo import echo, pods
from demo.listen import CannotListenError, Listener, authority, listen
from demo.pods import Pod
from route_addon.core.table import PORTS


@pytest.fixture
async def service() -> AsyncIterator[tuple[Listener, echo.Service]]:
    """One service of a pod, on a free port."""
    one = echo.Service("file_service", "127.0.0.1")
    listener = listen(echo.application(one), "127.0.0.1")
    yield listener, one
    await listener.stop()


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_service_says_what_it_received(
    service: tuple[Listener, echo.Service], method: str
) -> None:
    """Pod, service, method, path, header fields, and how much of a body."""
    listener, counted = service
    request = HTTPRequest(
        f"{listener.url}/a//b%2F?c=1",
        method=method,
        body=b"x" * 70_000,
        headers={"ABCAuthorization": "a.b.c"},
        allow_nonstandard_methods=True,
    )
    received = json.loads((await AsyncHTTPClient().fetch(request)).body)
    fields = {name.lower(): value for name, value in received.pop("headers").items()}
    assert received == {
        "pod": "127.0.0.1",
        "service": "file_service",
        "note": None,
        "method": method,
        "path": "/a//b%2F?c=1",
        "body_bytes": 70_000,
    }
    assert fields["abcauthorization"] == "a.b.c"
    assert fields["host"] == f"127.0.0.1:{listener.port}"
    assert counted.requests == 1


async def test_service_answers_head_without_a_body(
    service: tuple[Listener, echo.Service],
) -> None:
    """As GET, but for the body."""
    answer = await AsyncHTTPClient().fetch(f"{service[0].url}/", method="HEAD")
    assert (answer.code, answer.body) == (200, b"")


@pytest.mark.parametrize("message", ["text ü", b"\x00\xff binary", "", "x" * 2**20])
async def test_service_greets_and_echoes(
    service: tuple[Listener, echo.Service], message: str | bytes
) -> None:
    """A greeting that names pod and service, then every message as it came."""
    listener, _ = service
    socket = await websocket_connect(
        listener.url.replace("http", "ws") + "/ws?x", subprotocols=["binary", "other"]
    )
    greeting = json.loads(await socket.read_message() or "")
    assert (greeting["pod"], greeting["service"], greeting["path"]) == (
        "127.0.0.1",
        "file_service",
        "/ws?x",
    )
    assert socket.selected_subprotocol == "binary"
    await socket.write_message(message, binary=isinstance(message, bytes))
    assert await socket.read_message() == message
    socket.close()
    assert await socket.read_message() is None


async def test_pod_counts_the_requests_of_all_services() -> None:
    """What reaches any service is counted; nothing else is."""
    pod = await Pod("127.0.0.1").start({"file_service": 0, "sound_service": 0})
    assert pod.requests == 0
    for listener in pod.listeners:
        await AsyncHTTPClient().fetch(f"{listener.url}/")
    assert pod.requests == 2
    await pod.stop()


async def test_taken_port_is_said_and_nothing_is_left() -> None:
    """The address and port are named, and what has started is stopped."""
    with_port = listen(echo.application(echo.Service("other")), "127.0.0.1")
    pod = Pod("127.0.0.1")
    with pytest.raises(CannotListenError) as caught:
        await pod.start({"file_service": 0, "sound_service": with_port.port})
    assert str(caught.value) == f"127.0.0.1:{with_port.port} is taken"
    assert not pod.listeners
    await with_port.stop()


def test_address_of_another_machine_cannot_be_had() -> None:
    """RFC 5737: 192.0.2.1 is nobody's."""
    with pytest.raises(CannotListenError, match=r"192\.0\.2\.1:1 cannot be had"):
        listen(echo.application(echo.Service("none")), "192.0.2.1", 1)


def test_pods_have_every_port_of_the_table() -> None:
    """And one more for /container."""
    assert dict(pods.POD_PORTS) == {**PORTS, "container": pods.CONTAINER_PORT}
    assert len(set(pods.POD_PORTS.values())) == len(pods.POD_PORTS)


def test_two_pods_have_two_addresses() -> None:
    """The second user's pod is another one, on every system."""
    first, second = pods.addresses()
    assert first != second


def test_authority_puts_ipv6_in_brackets() -> None:
    """RFC 3986 3.2.2."""
    assert authority("::1", 80) == "[::1]:80"
    assert authority("127.0.0.1", 80) == "127.0.0.1:80"
