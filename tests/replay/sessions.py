"""What clients do while somebody records: each session is a file of its own.

Run as a program it makes the recordings of this folder anew, and ``installation.toml`` beside
them: where the back ends were, which is all that a later judgement has to be told.
"""

import contextlib
import json
import ssl
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.certificates import make_certificate
from tests.e2e.harness import (
    NOBODY,
    ROOT,
    START_LINE,
    UNTRUSTED,
    Command,
    Field,
    Fleet,
    Http2Client,
    Router,
    build_chunks,
    build_request,
    echo_websocket,
)
from tests.e2e.ports import free_port
from tests.e2e.process import close_confdir
from tests.minting import key_pair, mint

FOLDER = Path(__file__).parent
CONFIG = FOLDER / "installation.toml"
OPTIONS = {"route_trusted_proxies": "127.0.0.1/32"}
"""Of the router that was recorded; the target policy and the keys are of no use later."""

TOKEN = b"ABCAuthorization"
PODS_OWN = (
    b"/spawner/x",
    b"/snapshot",
    b"/printerfiler/x?y=1",
    b"/terminals",
    b"/terminals/1/size",
)
WEBSOCKETS = ("/websockify", "/signalling", "/sound", "/microphone/", "/gamepad", "/broadcast/x")


@dataclass(frozen=True)
class RecordCommand(Command):
    """``scripts/record``, told as a program of mitmproxy's is."""

    file: Path = Path()

    def words(self) -> list[str]:
        """The command line."""
        _, *words = super().words()
        return [str(ROOT / "scripts" / "record"), str(self.file), *words]


@dataclass(frozen=True)
class Scene:
    """A router that is recorded, with all that stands around it."""

    router: Router
    fleet: Fleet
    tls: ssl.SSLContext

    def ask(self, target: bytes, *fields: Field, method: bytes = b"GET", **details: bytes) -> int:
        """Ask on a connection of one's own, as a proxy of ours does; the answer's status."""
        return self.router.ask(build_request(target, *fields, method=method, **details)).status


def record(session: Callable[[Scene], None], file: Path, fleet: Fleet, folder: Path) -> str:
    """Record one session.

    Args:
        session: What clients do.
        file: The recording.
        fleet: The back ends.
        folder: Where keys and a certificate may be put.

    Returns:
        The router's log.
    """
    certificate = folder / "certificate.pem"
    certificate.write_bytes(make_certificate())
    files = {"signing": key_pair("signing").public_pem, "payload": key_pair("payload").private_pem}
    for name, pem in files.items():
        (folder / name).write_bytes(pem)
    keys = {f"route_{name}_key": folder / name for name in files}
    options = {**fleet.options, **OPTIONS, **keys, "certs": f"*={certificate}"}
    options["route_acme_root"] = folder
    context = ssl.create_default_context(cafile=certificate)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.set_alpn_protocols(["h2"])
    command = RecordCommand(options, scripts=(), port=free_port(), file=file)
    fleet.forget()
    with Router(command) as router:
        router.wait_for(START_LINE)
        session(Scene(router, fleet, context))
    return router.log


def locations(scene: Scene) -> None:
    """Every location that answers over HTTP/1, and what no location wants."""
    token = (TOKEN, scene.fleet.alice.token)
    for target in PODS_OWN:
        assert scene.ask(target, token) == 200
    assert scene.ask(b"/filer//a/%2e/b", token, method=b"POST", body=b"content") == 200
    chunks = build_request(b"/filer/c", token, (b"Transfer-Encoding", b"chunked"), method=b"PUT")
    assert scene.router.ask(chunks + build_chunks(b"one", b"two")).status == 200
    for path in (b"/API/user", b"/status", b"/oauth/x?code=1", b"/autologin", b"/x?y"):
        assert scene.ask(path, (b"Cookie", b"session=secret"), (b"Referer", b"http://a/b")) == 200
    assert scene.ask(b"/API/manager/image", method=b"POST", body=b"{}") == 200
    assert scene.ask(b"/console/users?page=1") == 200
    assert scene.ask(b"/speedtest/upload", method=b"POST", body=b"0" * 100) == 200
    assert scene.ask(b"/healthz") == scene.ask(b"/node") == 200
    assert scene.ask(b"/.well-known/acme-challenge/none") == 404
    forwarded = (b"X-Forwarded-For", b"203.0.113.9"), (b"X-Forwarded-Proto", b"https")
    assert scene.ask(b"/x", *forwarded, (b"X-Request-ID", b"a-proxy-s")) == 200
    assert scene.router.ask(build_request(b"/x", *forwarded), source=UNTRUSTED).status == 200
    for target, status in ((b"/%zz", 400), (b"/../x", 400), (b"/container/0", 404)):
        assert scene.ask(target, token) == status
    assert scene.ask(b"/x", method=b"TRACE") == 405
    assert scene.ask(b"/printerfiler", token, (b"Content-Length", b"9999999")) == 413


def tokens(scene: Scene) -> None:
    """Good tokens from every source, and all that are refused."""
    alice, bob = scene.fleet.alice, scene.fleet.bob
    good = alice.token
    port = b"%d" % alice["file_service"].port
    for field in ((b"Authorization", b"Bearer " + good), (b"Cookie", b"a=b; jwt_token=" + good)):
        assert scene.ask(b"/filer/x", field) == 200
    assert scene.ask(b"/filer/x", (TOKEN, bob.token)) == 200
    for target in (b"/broadcast/x?a=1&jwt_token=%b&b=2", b"/websockify?%b"):
        assert scene.ask(target % good) == 200
    for target in (b"/container/%b/%b/a/b?c", b"/container/%b/%b"):
        assert scene.ask(target % (good, port), (b"Cookie", b"jwt_token=" + good)) == 200
    assert scene.ask(b"/container/" + port, (TOKEN, good)) == 200
    assert scene.ask(b"/filer", (TOKEN, good), (b"Referer", b"http://a/?jwt_token=" + good)) == 200
    page = b"http://a/container/%b/80/" % good
    assert scene.ask(b"/API/x", (b"Referer", page)) == 200
    bad = {
        "expired": alice.mint(life_s=-1),
        "of another key": alice.mint(signing=key_pair("stranger")),
        "of a target that is denied": mint(NOBODY, now=time.time()),
        "of no target": mint("no host at all", now=time.time()),
        "unfinished": good[:-10],
        "no token": b"x",
    }
    for token in bad.values():
        assert scene.ask(b"/filer/x", (TOKEN, token)) == 401
        assert scene.ask(b"/websockify?jwt_token=" + token) == 401
    assert scene.ask(b"/filer/x") == 401
    assert scene.ask(b"/filer/x", (TOKEN, good), (TOKEN, good)) == 401
    foreign = (b"Cookie", b"jwt_token=" + good), (b"Origin", b"http://elsewhere.example")
    assert scene.ask(b"/filer/x", *foreign, method=b"POST", body=b"") == 403


def websockets(scene: Scene) -> None:
    """Every location for WebSockets, one that is refused, and one whose pod is down."""
    for backend in scene.fleet.alice.services.values():
        backend.play(echo_websocket)
    query = f"?jwt_token={scene.fleet.alice.token.decode()}"
    for path in (*WEBSOCKETS, "/terminals/websocket/1"):
        with scene.router.open_websocket(path + query) as websocket:
            websocket.send("some text")
            assert websocket.recv(timeout=10) == "some text"
    with contextlib.suppress(Exception):
        scene.router.open_websocket("/websockify").close()
    handshake = (b"Upgrade", b"websocket"), (b"Connection", b"Upgrade")
    nowhere = b"/container/%b/%d" % (scene.fleet.bob.token, free_port())
    assert scene.ask(nowhere, *handshake) == 502


def http2(scene: Scene) -> None:
    """The same over HTTP/2 and TLS."""
    good = scene.fleet.alice.token
    with Http2Client(scene.router.address, scene.tls) as client:
        for crumbs in ((b"a=b", b"jwt_token=" + good), (b"jwt_token=" + good,)):
            assert client.ask(b"/filer/x", *((b"cookie", crumb) for crumb in crumbs)).status == 200
        assert client.ask(b"/filer/x", (b"abcauthorization", good), body=b"content").status == 200
        assert client.ask(b"/API/x", (b"user-agent", b"tests")).status == 200
        assert client.ask(b"/filer/x").status == 401
        assert client.ask(b"/x", (b"te", b"trailers"), authority=b"Desk.Example:443").status == 200


SESSIONS: Mapping[str, Callable[[Scene], None]] = {
    "locations": locations,
    "tokens": tokens,
    "websockets": websockets,
    "http2": http2,
}


def describe(fleet: Fleet) -> str:
    """Where the back ends are, as a configuration file says it."""
    lines = ["[ports]"]
    lines += [f"{name} = {port}" for name, port in fleet.alice.ports.items()]
    for name, server in fleet.servers.items():
        lines += ["", f"[upstream.{name}]", f"servers = {json.dumps([server.url])}"]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Make the recordings anew."""
    with Fleet() as fleet, tempfile.TemporaryDirectory() as folder:
        CONFIG.write_text(describe(fleet))
        for name, session in SESSIONS.items():
            file = FOLDER / f"{name}.mitm"
            file.unlink(missing_ok=True)
            record(session, file, fleet, Path(folder))
            print(file, file.stat().st_size)
    close_confdir()


if __name__ == "__main__":
    main()
