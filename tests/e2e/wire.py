"""HTTP/1 messages on a socket, read as plainly as can be. Both ends of a test use it."""

import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

type Field = tuple[bytes, bytes]

PATIENCE_S = 10.0
"""How long a test waits for anything that it is sure of."""

_CHUNK_BYTES = 65536


@dataclass(frozen=True, slots=True)
class Message:
    """A request or an answer, as it came."""

    start_line: bytes
    fields: tuple[Field, ...]
    body: bytes
    """The content, without the framing of chunks."""
    raw: bytes
    """Every byte of the message."""

    def get_all(self, name: bytes) -> list[bytes]:
        """The values of all lines of a field, in the order received."""
        return [value for line, value in self.fields if line.lower() == name.lower()]

    def get(self, name: bytes) -> bytes | None:
        """The value of a field that may stand there once at most."""
        values = self.get_all(name)
        assert len(values) <= 1, f"{name!r} stands there {len(values)} times"
        return values[0] if values else None

    def names(self) -> list[bytes]:
        """The names of all fields, in lower case, in the order received."""
        return [name.lower() for name, _ in self.fields]


class Request(Message):
    """A request, as a back end got it."""

    __slots__ = ()

    @property
    def method(self) -> bytes:
        return self.start_line.split(b" ")[0]

    @property
    def target(self) -> bytes:
        return self.start_line.split(b" ")[1]


class Answer(Message):
    """An answer, as a client got it."""

    __slots__ = ()

    @property
    def status(self) -> int:
        return int(self.start_line.split(b" ")[1])


class Wire:
    """One end of a connection.

    Args:
        connection: The socket; it is closed with the wire.
        on_bytes: Told of every byte received, as soon as it is there.
    """

    def __init__(
        self, connection: socket.socket, on_bytes: Callable[[bytes], None] = lambda data: None
    ) -> None:
        self.socket = connection
        self.on_bytes = on_bytes
        self._buffer = b""
        connection.settimeout(PATIENCE_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close it in an orderly way."""
        self.socket.close()

    def reset(self) -> None:
        """Close it with a TCP reset."""
        linger = (1).to_bytes(4, "little") + bytes(4)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.socket.close()

    def send(self, data: bytes) -> None:
        """Send it whole."""
        self.socket.sendall(data)

    def send_slowly(self, data: bytes, pause_s: float = 0.0005) -> None:
        """Send it byte by byte, each in a segment of its own."""
        if self.socket.family != socket.AF_UNIX:
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for octet in data:
            self.socket.sendall(bytes((octet,)))
            time.sleep(pause_s)

    def receive(self) -> bytes:
        """What is there, at least a byte; empty at the end of the connection."""
        data, self._buffer = self._buffer or self._receive(), b""
        return data

    def read_to_end(self) -> bytes:
        """Everything until the other end closes."""
        data = b""
        while part := self.receive():
            data += part
        return data

    def is_closed(self, within_s: float = PATIENCE_S) -> bool:
        """Whether the other end closes, and sends nothing before it does."""
        self.socket.settimeout(within_s)
        try:
            return not self.receive()
        except TimeoutError:
            return False
        except ConnectionError:
            return True
        finally:
            self.socket.settimeout(PATIENCE_S)

    def read_head(self) -> bytes:
        """A message's head, with the empty line that ends it.

        Raises:
            EOFError: The connection ended before it.
        """
        while b"\r\n\r\n" not in self._buffer:
            self._fill()
        head, end, self._buffer = self._buffer.partition(b"\r\n\r\n")
        return head + end

    def read_request(self) -> Request:
        """One request.

        Raises:
            EOFError: The connection ended before its end.
        """
        head = self.read_head()
        start_line, fields = _parse_head(head)
        if _is_chunked(fields):
            raw, body = self._read_chunks()
        else:
            raw = body = self._read(_length(fields) or 0)
        return Request(start_line, fields, body, head + raw)

    def read_answer(self, method: bytes = b"GET") -> Answer:
        """One answer.

        Args:
            method: The request's: an answer to HEAD has no body.

        Raises:
            EOFError: The connection ended before its end.
        """
        head = self.read_head()
        start_line, fields = _parse_head(head)
        status = int(start_line.split(b" ")[1])
        length = _length(fields)
        if method == b"HEAD" or status in (204, 304) or status < 200:
            raw = body = b""
        elif _is_chunked(fields):
            raw, body = self._read_chunks()
        elif length is not None:
            raw = body = self._read(length)
        else:
            raw = body = self.read_to_end()
        return Answer(start_line, fields, body, head + raw)

    def _read_chunks(self) -> tuple[bytes, bytes]:
        """Chunked content: as it came, and without its framing."""
        raw = body = b""
        while True:
            line = self._read_line()
            size = int(line.partition(b";")[0], 16)
            data = self._read(size)
            end = self._read_line()
            raw += line + data + end
            body += data
            if not size:
                assert end == b"\r\n", "trailers"
                return raw, body

    def _read_line(self) -> bytes:
        while b"\r\n" not in self._buffer:
            self._fill()
        line, end, self._buffer = self._buffer.partition(b"\r\n")
        return line + end

    def _read(self, size: int) -> bytes:
        parts = [self._buffer]
        missing = size - len(self._buffer)
        while missing > 0:
            parts.append(self._receive())
            if not parts[-1]:
                raise EOFError
            missing -= len(parts[-1])
        data = b"".join(parts)
        self._buffer = data[size:]
        return data[:size]

    def _fill(self) -> None:
        data = self._receive()
        if not data:
            raise EOFError
        self._buffer += data

    def _receive(self) -> bytes:
        data = self.socket.recv(_CHUNK_BYTES)
        self.on_bytes(data)
        return data


def _parse_head(head: bytes) -> tuple[bytes, tuple[Field, ...]]:
    start_line, *lines = head[:-4].split(b"\r\n")
    pairs = (line.partition(b":") for line in lines)
    return start_line, tuple((name, value.strip(b" \t")) for name, _, value in pairs)


def _is_chunked(fields: tuple[Field, ...]) -> bool:
    return any(
        name.lower() == b"transfer-encoding" and value.lower() == b"chunked"
        for name, value in fields
    )


def _length(fields: tuple[Field, ...]) -> int | None:
    return next((int(value) for name, value in fields if name.lower() == b"content-length"), None)


def wait_until(is_so: Callable[[], object], what: str, within_s: float = PATIENCE_S) -> None:
    """Wait until something is so.

    Args:
        is_so: Asked again and again.
        what: Said when it never is.
        within_s: How long to wait.
    """
    end = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < end, f"not within {within_s} s: {what}"
        time.sleep(0.01)
