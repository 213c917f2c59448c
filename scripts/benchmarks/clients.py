"""Clients for what no outside program does: sockets that echo or rest, and large bodies.

Run as a program with one JSON argument, it prints one JSON answer: how much of what was done in
how many seconds. Plain blocking sockets: a client must cost less than the proxy that it measures.
"""

import json
import selectors
import socket
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any, Final

MIB: Final = 2**20
_WINDOW: Final = 8
"""Messages that are under way at once where throughput counts."""
_HANDSHAKE: Final = (
    "GET /websockify?{token} HTTP/1.1\r\nHost: desk.example\r\nConnection: Upgrade\r\n"
    "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)

type Answer = dict[str, float]


def _connect(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), 60)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def _open(port: int, token: str) -> socket.socket:
    """Open a WebSocket."""
    connection = _connect(port)
    connection.sendall(_HANDSHAKE.format(token=token).encode())
    head = b""
    while b"\r\n\r\n" not in head:
        received = connection.recv(4096)
        assert received, f"closed: {head!r}"
        head += received
    assert b" 101 " in head, head
    return connection


def _frame(size: int) -> tuple[bytes, int]:
    """A binary message, masked with zeros, and how long its echo is (RFC 6455 5.2)."""
    if size < 126:
        length = bytes([0x80 | size])
    elif size < 2**16:
        length = b"\xfe" + size.to_bytes(2, "big")
    else:
        length = b"\xff" + size.to_bytes(8, "big")
    return b"\x82" + length + bytes(4) + bytes(size), 1 + len(length) + size


def _receive(connection: socket.socket, size: int, into: memoryview) -> None:
    left = size
    while left:
        received = connection.recv_into(into[:left] if left < len(into) else into)
        assert received, "closed"
        left -= received


def echo_latency(port: int, seconds: float, token: str, size: int) -> Answer:
    """One message after the other; how many."""
    frame, echo_bytes = _frame(size)
    buffer = memoryview(bytearray(MIB))
    taken_s: list[float] = []
    with _open(port, token) as connection:
        began = time.perf_counter()
        while (now := time.perf_counter()) - began < seconds:
            connection.sendall(frame)
            _receive(connection, echo_bytes, buffer)
            taken_s.append(time.perf_counter() - now)
    return {"count": len(taken_s), "seconds": seconds, **_percentiles(taken_s)}


def echo_throughput(port: int, seconds: float, token: str, size: int) -> Answer:
    """Some messages under way at once; how many MiB came back."""
    frame, echo_bytes = _frame(size)
    buffer = memoryview(bytearray(MIB))
    count = 0
    with _open(port, token) as connection:
        began = time.perf_counter()
        for _ in range(_WINDOW):
            connection.sendall(frame)
        while time.perf_counter() - began < seconds:
            _receive(connection, echo_bytes, buffer)
            connection.sendall(frame)
            count += 1
        elapsed = time.perf_counter() - began
    return {"count": count * size / MIB, "seconds": elapsed}


def rest(port: int, seconds: float, token: str, count: int, http_port: int) -> Answer:
    """Many sockets rest; GETs are timed meanwhile."""
    opened = [_open(port, token) for _ in range(count)]
    try:
        return ask(http_port, seconds, token)
    finally:
        for connection in opened:
            connection.close()


def ask(port: int, seconds: float, token: str) -> Answer:
    """One GET after the other, on one connection."""
    request = (
        f"GET /filer/x HTTP/1.1\r\nHost: desk.example\r\nABCAuthorization: {token}\r\n\r\n"
    ).encode()
    taken_s: list[float] = []
    with _connect(port) as connection:
        began = time.perf_counter()
        while (now := time.perf_counter()) - began < seconds:
            connection.sendall(request)
            answer = connection.recv(65536)
            while len(answer) < 1024:
                answer += connection.recv(65536)
            assert answer.startswith(b"HTTP/1.1 200"), answer[:200]
            taken_s.append(time.perf_counter() - now)
    return {"count": len(taken_s), "seconds": seconds, **_percentiles(taken_s)}


def download(port: int, seconds: float, token: str, size: int) -> Answer:
    """One large answer; in MiB."""
    buffer = memoryview(bytearray(MIB))
    with _connect(port) as connection:
        began = time.perf_counter()
        connection.sendall(
            f"GET /filer/big HTTP/1.1\r\nHost: desk.example\r\nConnection: close\r\n"
            f"ABCAuthorization: {token}\r\n\r\n".encode()
        )
        received = 0
        while count := connection.recv_into(buffer):
            received += count
    assert received >= size, received
    return {"count": size / MIB, "seconds": time.perf_counter() - began}


def upload(port: int, seconds: float, token: str, size: int) -> Answer:
    """One large request; in MiB."""
    block = memoryview(bytes(MIB))
    with _connect(port) as connection:
        began = time.perf_counter()
        connection.sendall(
            f"POST /filer/x HTTP/1.1\r\nHost: desk.example\r\nContent-Length: {size}\r\n"
            f"ABCAuthorization: {token}\r\n\r\n".encode()
        )
        for _ in range(size // MIB):
            connection.sendall(block)
        answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 200"), answer[:200]
    return {"count": size / MIB, "seconds": time.perf_counter() - began}


def connect(port: int, seconds: float, token: str) -> Answer:
    """One GET on each connection, some at once."""
    request = (
        f"GET /filer/x HTTP/1.1\r\nHost: desk.example\r\nABCAuthorization: {token}\r\n"
        "Connection: close\r\n\r\n"
    ).encode()
    selector = selectors.DefaultSelector()
    count = 0

    def begin() -> None:
        connection = _connect(port)
        connection.sendall(request)
        selector.register(connection, selectors.EVENT_READ)

    began = time.perf_counter()
    for _ in range(16):
        begin()
    while time.perf_counter() - began < seconds:
        for key, _ in selector.select(1):
            connection = key.fileobj
            assert isinstance(connection, socket.socket)
            if not connection.recv(65536):
                selector.unregister(connection)
                connection.close()
                count += 1
                begin()
    return {"count": count, "seconds": time.perf_counter() - began}


def _percentiles(taken_s: list[float]) -> Answer:
    cuts = statistics.quantiles(taken_s, n=100)
    return {"p50_ms": cuts[49] * 1e3, "p99_ms": cuts[98] * 1e3}


KINDS: Final[dict[str, Callable[..., Answer]]] = {
    one.__name__: one
    for one in (echo_latency, echo_throughput, rest, ask, download, upload, connect)
}


if __name__ == "__main__":
    request: dict[str, Any] = json.loads(sys.argv[1])
    print(json.dumps(KINDS[request.pop("kind")](**request)))
