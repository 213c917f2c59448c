"""What stands behind every proxy: an nginx that answers at once, and WebSockets that echo.

It listens on all of 127.0.0.0/8, so that a thousand desktops may have an address each.
"""

import asyncio
import contextlib
import hashlib
import os
import sys
import tempfile
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from scripts.benchmarks.machine import LOAD_CORE, free_port, pinned, wait_for_port

GIB: Final = 2**30
_PAGE: Final = "x" * 1024
_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

NGINX_USER: Final = "user root; " if os.getuid() == 0 else ""
"""Its workers must read our folders."""

_NGINX: Final = """
{user}daemon off; pid {folder}/pid; error_log {folder}/error.log; worker_processes 1;
events {{ worker_connections 16384; }}
http {{
    access_log off; sendfile on; keepalive_requests 1000000000; keepalive_timeout 3600;
    client_max_body_size 0; client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u;
    scgi_temp_path {folder}/s;
    server {{
        listen 0.0.0.0:{port} backlog=4096 default_server;
        default_type application/octet-stream;
        location / {{ add_header Cache-Control no-store; return 200 "{page}"; }}
        location /kept {{ add_header Cache-Control "max-age=3600"; return 200 "{page}"; }}
        location /filer/big {{ alias {folder}/big; }}
    }}
}}
"""


class Origin(NamedTuple):
    """Where it listens, at every address of 127.0.0.0/8."""

    http_port: int
    websocket_port: int


@contextlib.contextmanager
def run_origin() -> Iterator[Origin]:
    """Both, on the load's core."""
    with tempfile.TemporaryDirectory() as folder:
        with Path(folder, "big").open("wb") as big:
            os.truncate(big.fileno(), GIB)
        port, websocket_port = free_port(), free_port()
        config = Path(folder, "nginx.conf")
        config.write_text(_NGINX.format(user=NGINX_USER, folder=folder, port=port, page=_PAGE))
        nginx = ["nginx", "-p", folder, "-e", f"{folder}/error.log", "-c", str(config)]
        echo = [sys.executable, "-m", "scripts.benchmarks.origin", str(websocket_port)]
        with pinned(nginx, LOAD_CORE), pinned(echo, LOAD_CORE):
            wait_for_port(port)
            wait_for_port(websocket_port)
            yield Origin(port, websocket_port)


class _Echo(asyncio.BufferedProtocol):
    """Sends back what it gets, message by message. Clients mask with zeros, which masks nothing."""

    def __init__(self) -> None:
        self._buffer = bytearray(2**20)
        self._end = 0
        self._is_open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def get_buffer(self, sizehint: int) -> memoryview:
        return memoryview(self._buffer)[self._end :]

    def buffer_updated(self, nbytes: int) -> None:
        self._end += nbytes
        if not self._is_open:
            self._accept()
        start = 0
        while (end := self._echo(start)) > start:
            start = end
        self._buffer[: self._end - start] = self._buffer[start : self._end]
        self._end -= start

    def _accept(self) -> None:
        head = bytes(self._buffer[: self._end])
        if not head.endswith(b"\r\n\r\n"):
            return
        key = next(
            line.split(b":", 1)[1].strip()
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"sec-websocket-key:")
        )
        accept = b64encode(hashlib.sha1(key + _GUID).digest())
        self._transport.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: %b\r\n\r\n" % accept
        )
        self._is_open = True
        self._end = 0

    def _echo(self, start: int) -> int:
        """Send one message back (RFC 6455 5.2).

        Returns:
            Where it ends, or its start while it is not whole.
        """
        have = self._end - start
        if not self._is_open or have < 6:
            return start
        length, width = self._buffer[start + 1] & 0x7F, {126: 2, 127: 8}
        extra = width.get(length, 0)
        if extra:
            length = int.from_bytes(self._buffer[start + 2 : start + 2 + extra], "big")
        head = 2 + extra
        whole = head + 4 + length
        if have < whole:
            return start
        lead = bytes([self._buffer[start], self._buffer[start + 1] & 0x7F])
        lead += bytes(self._buffer[start + 2 : start + head])
        self._transport.write(lead + self._buffer[start + head + 4 : start + whole])
        return start + whole


async def _serve_echo(port: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(_Echo, "0.0.0.0", port, backlog=4096)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve_echo(int(sys.argv[1])))
