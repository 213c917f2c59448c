"""Ten things that happen to requests, and what a person sees of each."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.browser.mitmweb import NO_POD, Watched
from tests.desktop_session import play_desktop, play_viewer
from tests.e2e.harness import ALICE, BOB, Request, Wire, build_request

OTHER_PORT = 29000


@dataclass(frozen=True)
class Case:
    """One of them.

    Attributes:
        name: The picture's name.
        path: What finds the flow in the list.
        happen: Lets it happen; gives a recording to open, where there is one.
        mark: What marks the flow.
        comment: A pattern of what its comment says.
        explained: What the explanation says, among other things.
        tab: The tab of the detail that says most.
        told: What that tab says, besides the explanation.
    """

    name: str
    path: str
    happen: Callable[[Watched], Path | None]
    mark: str
    comment: re.Pattern[str]
    explained: tuple[str, ...]
    tab: str = "Request"
    told: tuple[str, ...] = ()


def ask(watched: Watched, path: str, token: bytes | None = None) -> int:
    """Ask for a path; the status of the answer."""
    fields = [(b"ABCAuthorization", token)] if token is not None else []
    return watched.router.ask(build_request(path.encode(), *fields)).status


def _be_good(watched: Watched) -> None:
    assert ask(watched, "/filer/good", watched.token(ALICE)) == 200


def _expire(watched: Watched) -> None:
    assert ask(watched, "/filer/expired", watched.token(ALICE, -12)) == 401


def _be_signed_by_a_stranger(watched: Watched) -> None:
    token = watched.token(ALICE, key="stranger")
    assert ask(watched, "/filer/wrong-key", token) == 401


def _be_of_another_user(watched: Watched) -> None:
    assert ask(watched, "/filer/another-user", watched.token(BOB)) == 200


def _be_unknown(watched: Watched) -> None:
    watched.fleet.website.play(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
    assert ask(watched, "/filers/unknown") == 404
    watched.fleet.website.forget()


def _be_down(watched: Watched) -> None:
    assert ask(watched, "/filer/down", watched.token(NO_POD)) == 502


def _be_slow(watched: Watched) -> None:
    watched.fleet.alice["file_service"].play(_wait_until_cut)
    assert ask(watched, "/filer/slow", watched.token(ALICE)) == 504
    watched.fleet.alice["file_service"].forget()


def _wait_until_cut(wire: Wire, request: Request) -> None:
    wire.receive()


def _hit_the_cache(watched: Watched) -> None:
    fresh = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nContent-Length: 1\r\n\r\nx"
    watched.fleet.website.play(fresh)
    assert ask(watched, "/app.js?cache-hit") == 200
    watched.fleet.website.forget()
    assert ask(watched, "/app.js?cache-hit") == 200
    assert watched.fleet.website.is_untouched


def _talk(watched: Watched) -> None:
    token = watched.token(ALICE).decode()
    watched.fleet.alice["ws_tcp_bridge"].play(play_desktop)
    with watched.router.open_websocket(f"/websockify?jwt_token={token}") as websocket:
        play_viewer(websocket)


def _replay_differently(watched: Watched) -> Path:
    """Record a request, and have its service listen elsewhere from then on."""
    assert ask(watched, "/printerfiler/replayed", watched.token(ALICE)) == 200
    recording = watched.folder / "recording"
    watched.web.run("save.file", "~u /printerfiler/replayed", str(recording))
    ports = watched.fleet.options["route_ports"]
    watched.web.run("set", f"route_ports={ports},printerfile_service={OTHER_PORT}")
    return recording


CASES = (
    Case(
        "good",
        "/filer/good",
        _be_good,
        "✅",
        re.compile(rf"^/filer -> pod {ALICE}:\d+ · token from header, \w+, \d+ s left"),
        (
            f"✓ token target hash decrypts to {ALICE}",
            "the target of the token",
            "answered by the upstream",
        ),
    ),
    Case(
        "expired",
        "/filer/expired",
        _expire,
        "🔒",
        re.compile(r"^401 token_expired: expired 1\d s ago · token from header · /filer"),
        ("✗ token 401 token_expired: expired 1", "answered by us"),
    ),
    Case(
        "wrong-key",
        "/filer/wrong-key",
        _be_signed_by_a_stranger,
        "🔒",
        re.compile(r"^401 token_signature"),
        ("✗ token 401 token_signature",),
    ),
    Case(
        "another-user",
        "/filer/another-user",
        _be_of_another_user,
        "✅",
        re.compile(rf"^/filer -> pod {BOB}:\d+ · token from header"),
        (f"✓ token target hash decrypts to {BOB}", f"what {BOB}:"),
    ),
    Case(
        "unknown-path",
        "/filers/unknown",
        _be_unknown,
        "⚠",
        re.compile(r"^/ -> website 127\.0\.0\.1:\d+"),
        ("✓ location / (prefix) -> website", "not /filer (prefix): is for whole segments"),
    ),
    Case(
        "pod-down",
        "/filer/down",
        _be_down,
        "💥",
        re.compile(rf"^502 \w+.* · /filer -> pod {NO_POD}:\d+"),
        ("502 upstream_refused", f"✓ token target hash decrypts to {NO_POD}", "answered by us"),
    ),
    Case(
        "pod-slow",
        "/filer/slow",
        _be_slow,
        "💥",
        re.compile(rf"^504 \w+.* · /filer -> pod {ALICE}:\d+"),
        ("504 upstream_timeout", f"✓ token target hash decrypts to {ALICE}", "answered by us"),
    ),
    Case(
        "cache-hit",
        "/app.js?cache-hit",
        _hit_the_cache,
        "⚡",
        re.compile(r"^/ -> website 127\.0\.0\.1:\d+ · route-addon; hit"),
        ("answered by the HTTP cache", "would get, with placeholders"),
    ),
    Case(
        "websocket",
        "/websockify",
        _talk,
        "🔌",
        re.compile(rf"^/websockify -> pod {ALICE}:\d+ · token from query"),
        ("a WebSocket: a tunnel in both directions",),
        tab="WebSocket",
        told=("ServerInit: 800x520", "key event: 1"),
    ),
    Case(
        "replay-difference",
        "/printerfiler/replayed",
        _replay_differently,
        "🔀",
        re.compile(rf"^different in port, host; now /printerfiler -> pod {ALICE}:{OTHER_PORT}"),
        ("this is not what was decided then:", f"+ port: {OTHER_PORT}"),
    ),
)
