"""A service that says what it received: HTTP as JSON, WebSocket messages as they came."""

from dataclasses import dataclass, field
from typing import Any

from tornado.web import Application, stream_request_body
from tornado.websocket import WebSocketHandler


@dataclass
class Service:
    """Who answers, and how often it was asked.

    The note says what the service stands in for, and what to install to have the real one.
    """

    name: str
    pod: str | None = None
    note: str | None = None
    requests: int = field(default=0, compare=False)


@stream_request_body
class Echo(WebSocketHandler):
    """Answers every method, path and WebSocket.

    The body is counted as it comes: a test may send gigabytes to /filer.
    """

    def initialize(self, service: Service) -> None:
        """Take the service that this one answers for."""
        self._service = service
        self._body_bytes = 0

    def prepare(self) -> None:
        """Count the request, whatever becomes of it."""
        self._service.requests += 1

    def data_received(self, chunk: bytes) -> None:
        """Count a part of the body."""
        self._body_bytes += len(chunk)

    async def get(self, *args: Any, **kwargs: Any) -> None:
        """Open a WebSocket where one is asked for."""
        if self.request.headers.get("Upgrade", "").lower() == "websocket":
            await super().get(*args, **kwargs)
        else:
            self._describe()

    def _describe(self, *args: Any, **kwargs: Any) -> None:
        self.finish(self._received())

    post = put = patch = delete = options = _describe

    def head(self, *args: Any, **kwargs: Any) -> None:
        """Answer as GET does; Tornado leaves the body out."""
        self._describe()

    def _received(self) -> dict[str, object]:
        request = self.request
        return {
            "pod": self._service.pod,
            "service": self._service.name,
            "note": self._service.note,
            "method": request.method,
            "path": request.uri,
            "headers": dict(request.headers),
            "body_bytes": self._body_bytes,
        }

    def check_origin(self, origin: str) -> bool:
        """Take any: whom to let in is the router's decision, and it is what is shown."""
        return True

    def select_subprotocol(self, subprotocols: list[str]) -> str | None:
        """Take the first, as noVNC's `binary`: browsers fail a handshake without one."""
        return subprotocols[0] if subprotocols else None

    def open(self, *args: str, **kwargs: str) -> None:
        """Greet with what the handshake said."""
        self.write_message(self._received())

    def on_message(self, message: str | bytes) -> None:
        """Send it back as the same kind."""
        self.write_message(message, binary=isinstance(message, bytes))


def application(service: Service) -> Application:
    """Build the application of one service."""
    return Application([(r".*", Echo, {"service": service})], websocket_max_message_size=2**24)
