"""A tour of the location table: one request for each location, good for a page and for a check."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from demo.pods import CONTAINER_PORT

ROUTER = "router"
PYOS = "pyos"
STAND_IN_TERMINAL = "1"  # where no real one has answered with its number


@dataclass(frozen=True)
class Stop:
    """One request, and who has to answer it.

    Attributes:
        location: The location as the table has it.
        service: The upstream, or the pod's service, by name.
        path: The request target; `{token}` and `{id}` stand for a token and a terminal's number.
        sent: What the router has to make of the path; the same when None.
        method: Of a request that opens no WebSocket.
        websocket: Whether it opens a WebSocket.
        header: Whether the token goes into ABCAuthorization.
    """

    location: str
    service: str
    path: str
    sent: str | None = None
    method: str = "GET"
    websocket: bool = False
    header: bool = False

    @property
    def is_guarded(self) -> bool:
        """Whether it takes a token to get there."""
        return self.header or "{token}" in self.path

    @property
    def seen(self) -> str:
        """The request target that an echo service behind it has to see."""
        return (self.path if self.sent is None else self.sent).replace("{id}", STAND_IN_TERMINAL)

    def target(self, token: str | None, terminal: str = STAND_IN_TERMINAL) -> str:
        """Build the request target.

        A missing token takes its query along; in a path, where the segment has to stay, stands a
        dash.
        """
        before, place, after = self.path.replace("{id}", terminal).partition("{token}")
        if place and token is None and "?" in before:
            return before.partition("?")[0]
        return before + ((token or "-") if place else "") + after

    def fields(self, token: str | None) -> Mapping[str, str]:
        """Build the header fields."""
        return {"ABCAuthorization": token} if self.header and token else {}


def _socket(location: str, service: str, query: str, sent: str | None = "/") -> Stop:
    return Stop(location, service, f"{location}?{query}", sent, websocket=True)


_BARE = "{token}"
_ARGUMENT = "jwt_token={token}"

TOUR = (
    _socket("/websockify", "ws_tcp_bridge", _ARGUMENT),
    Stop("/terminals", "xterm", "/terminals", method="POST", header=True),
    Stop(
        "/terminals/{id}/size",
        "xterm",
        "/terminals/{id}/size?cols=100&rows=30",
        method="POST",
        header=True,
    ),
    Stop(
        "/terminals/",
        "xterm",
        "/terminals/{id}?jwt_token={token}",
        sent="/terminals/{id}",
        websocket=True,
    ),
    _socket("/signalling", "signalling_service", _ARGUMENT),
    _socket("/broadcast", "broadcast", f"room=1&{_ARGUMENT}", sent="/broadcast?room=1"),
    _socket("/sound", "sound_service", _BARE),
    _socket("/sound/", "sound_service", _BARE),
    _socket("/microphone", "microphone_service", _BARE),
    _socket("/microphone/", "microphone_service", _BARE),
    _socket("/gamepad", "gamepad_service", _BARE),
    _socket("/gamepad/", "gamepad_service", _BARE),
    Stop("/filer", "file_service", "/filer/notes.txt?v=1", method="POST", header=True),
    Stop("/printerfiler", "printerfile_service", "/printerfiler/job", header=True),
    Stop("/spawner", "spawner_service", "/spawner/getappforfile", method="POST", header=True),
    Stop("/snapshot", "snapshot_service", "/snapshot/screen.png", header=True),
    Stop(
        "/container/{token}/{port}/{rest}",
        "container",
        f"/container/{{token}}/{CONTAINER_PORT}/app/live?x=1",
        sent="/app/live?x=1",
        websocket=True,
    ),
    Stop(
        "/container/{token}/{port}",
        "container",
        f"/container/{{token}}/{CONTAINER_PORT}?x=1",
        sent="/?x=1",
    ),
    Stop("/container/{port}", "container", f"/container/{CONTAINER_PORT}", header=True),
    Stop("/API/composer/launchdesktop", PYOS, "/API/composer/launchdesktop", method="POST"),
    Stop("/API/manager/image", PYOS, "/API/manager/image", method="POST"),
    Stop("/API", PYOS, "/API/healthz"),
    Stop("/status", PYOS, "/status"),
    Stop("/moauth", PYOS, "/moauth/callback"),
    Stop("/fauth", PYOS, "/fauth/callback"),
    Stop("/gauth", PYOS, "/gauth/callback"),
    Stop("/oauth", PYOS, "/oauth/callback"),
    Stop("/autologin", PYOS, "/autologin"),
    Stop("/console", "console", "/console/users?page=1", sent="/users?page=1"),
    Stop("/speedtest", "speedtest", "/speedtest/upload", sent="/upload", method="POST"),
    Stop("/", "website", "/"),
    Stop("/.well-known/acme-challenge/", ROUTER, "/.well-known/acme-challenge/demo"),
    Stop("/healthz", ROUTER, "/healthz"),
    Stop("/node", ROUTER, "/node"),
)


def as_json() -> str:
    """Build the tour for the page, which leaves the same request to the browser."""
    return json.dumps([asdict(stop) | {"guarded": stop.is_guarded} for stop in TOUR])
