"""Clients that ask without end."""

import contextlib
import selectors
import socket
import ssl
import threading

from tests.e2e.process import Router


class Load(threading.Thread):
    """A client that asks without end, on one connection.

    Args:
        router: Whom it asks.
        requests: What it asks, in turn.
        details: As ``Client`` takes them.
    """

    def __init__(self, router: Router, requests: list[bytes], **details: ssl.SSLContext) -> None:
        super().__init__()
        self.answered = 0
        self.faults: list[str] = []
        self.is_over = False
        self._router = router
        self._requests = requests
        self._details = details

    def run(self) -> None:
        try:
            with self._router.connect(**self._details) as client:
                while not self.is_over:
                    for request in self._requests:
                        status = client.ask(request).status
                        self.answered += 1
                        if status != 200:
                            self.faults.append(f"status {status}")
        except (OSError, EOFError) as error:
            self.faults.append(repr(error))


class Flood(threading.Thread):
    """Clients that open a connection for everything that they ask, all at once.

    Args:
        router: Whom they ask.
        request: What each says first.
        count: How many they are.
        is_patient: Whether they wait for the whole answer, or go with its first bytes.
    """

    def __init__(
        self, router: Router, request: bytes, count: int, *, is_patient: bool = True
    ) -> None:
        super().__init__()
        self.answered = 0
        self.is_over = False
        self._address = router.address
        self._request = request
        self._count = count
        self._is_patient = is_patient
        self._selector = selectors.DefaultSelector()

    def run(self) -> None:
        for _ in range(self._count):
            self._begin()
        while not self.is_over:
            for key, events in self._selector.select(0.1):
                assert isinstance(key.fileobj, socket.socket)
                self._go_on(key.fileobj, events)
        for key in list(self._selector.get_map().values()):
            assert isinstance(key.fileobj, socket.socket)
            key.fileobj.close()
        self._selector.close()

    def _begin(self) -> None:
        client = socket.socket()
        client.setblocking(False)
        client.connect_ex(self._address)
        self._selector.register(client, selectors.EVENT_WRITE)

    def _go_on(self, client: socket.socket, events: int) -> None:
        with contextlib.suppress(OSError):
            if events & selectors.EVENT_WRITE:
                client.send(self._request)
                self._selector.modify(client, selectors.EVENT_READ)
                return
            if client.recv(65536):
                self.answered += 1
                if self._is_patient:
                    return
        self._selector.unregister(client)
        client.close()
        self._begin()
