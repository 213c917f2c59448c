"""Servers that speak bytes: for back ends that misbehave, or that must keep nothing."""

import contextlib
import socket
import threading
from collections.abc import Callable
from typing import Self

from tests.e2e.fleet import ALICE
from tests.e2e.wire import Wire

type Serve = Callable[[Wire], object]
"""Serves one connection; it is closed when this returns."""


class RawServer:
    """A TCP server that serves each connection in a thread.

    Args:
        serve: What becomes of a connection.
        address: Where it listens.
        port: Its port; 0 for a free one.
        backlog: How many connections the kernel accepts in advance.
    """

    def __init__(
        self, serve: Serve, address: str = ALICE, port: int = 0, backlog: int = 1024
    ) -> None:
        self.serve = serve
        self.connections = 0
        """How many it has accepted."""
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener = socket.create_server((address, port), backlog=backlog)
        self.address, self.port = self._listener.getsockname()
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def url(self) -> str:
        """Its root."""
        return f"http://{self.address}:{self.port}"

    @property
    def open_connections(self) -> int:
        """How many are open now."""
        return len(self._open)

    def close(self) -> None:
        """Stop listening, and cut what is open."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join()
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with self._lock:
            self._open.add(connection)
        try:
            # A router that cuts the connection is an outcome, not a fault of the server.
            with Wire(connection) as wire, contextlib.suppress(OSError, EOFError):
                self.serve(wire)
        finally:
            with self._lock:
                self._open.discard(connection)
