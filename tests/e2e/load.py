"""Clients that ask without end."""

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
