"""What mitmproxy keeps, writes and prints holds no secret that passed, in any form.

One relay that is watched in every way at once carries all kinds of secrets, and then all that it
left behind is searched for each of them.
"""

import base64
import contextlib
import gzip
import json
import secrets
import ssl
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from mitmproxy import http, io

from tests.e2e.harness import (
    Command,
    Fleet,
    Http2Client,
    Request,
    Router,
    Wire,
    build_chunks,
    build_request,
)
from tests.e2e.secret_forms import Search
from tests.minting import key_pair

KEPT_BYTES = 20_000
PLACEHOLDER = b"hidden."
MARKER = b"plain-to-see"
"""What is no secret, and must be found wherever secrets are not."""
FORM = (b"Content-Type", b"application/x-www-form-urlencoded")
JSON = (b"Content-Type", b"application/json")
IMAGE = (b"Content-Type", b"image/png")
GZIP = (b"Content-Encoding", b"gzip")
CLOSE = (b"Connection", b"close")


class Traffic:
    """Secrets, and what carries them.

    Args:
        fleet: The back ends.
    """

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.sent: list[bytes] = []
        """Secrets that back ends must have received."""
        self.told: list[bytes] = []
        """Secrets that clients must have received."""
        self.refused: list[bytes] = []
        """Secrets that went nowhere."""
        self.typed = self._make()
        """What is a secret only because of where it was typed: in a terminal."""
        self.received = b""
        """All that clients received."""
        fleet.pyos.play(self._answer_api)
        fleet.website.play(self._answer_page)

    @property
    def all(self) -> list[bytes]:
        """All secrets, but for what was typed."""
        return [*self.sent, *self.told, *self.refused]

    def token(self, **claims: Any) -> bytes:
        """A good token, not used before."""
        token = self.fleet.alice.mint(claims={"jti": secrets.token_hex(4)}, **claims)
        self.sent.append(token)
        return token

    def echoed(self) -> bytes:
        """A good token that comes back."""
        self.told.append(self.token())
        return self.sent.pop()

    def bad_token(self, **details: Any) -> bytes:
        """A token that opens nothing."""
        token = self.fleet.alice.mint(**details)
        self.refused.append(token)
        return token

    def secret(self) -> bytes:
        """A secret that is sent."""
        self.sent.append(self._make())
        return self.sent[-1]

    def lost(self) -> bytes:
        """A secret that goes nowhere."""
        self.refused.append(self._make())
        return self.refused[-1]

    def answered(self) -> bytes:
        """A secret that is answered."""
        self.told.append(self._make())
        return self.told[-1]

    def token_shaped(self) -> bytes:
        """What looks like a token, and is no longer than the reason of a close may be."""
        self.refused.append(b"eyJ%b.%b.%b" % (self._make()[:14], self._make()[:8], self._make()))
        self.refused[-1] += self._make()[:20]
        return self.refused[-1]

    @staticmethod
    def _make() -> bytes:
        return secrets.token_urlsafe(33).encode()

    def heads(self) -> list[tuple[bytes, list[tuple[bytes, bytes]]]]:
        """Targets and fields that carry secrets."""
        token, secret = self.token, self.secret
        port = self.fleet.alice["xterm"].port
        cookie = b"jwt_token=%b; session=%b"
        page = b"https://desk.example/a?jwt_token=%b&code=%b#access_token=%b"
        nested = b"/x?to=https%%3A%%2F%%2Fidp%%2F%%3Fstate%%3D%b&b=1"
        return [
            (b"/filer/plain-to-see", [(b"ABCAuthorization", token())]),
            (b"/filer/a", [(b"ABCAuthorization", b"Bearer " + token())]),
            (b"/filer/a", [(b"authorization", b"Bearer " + token())]),
            (b"/filer/a", [(b"Cookie", cookie % (token(), secret()))]),
            (b"/filer/a", [(b"Cookie", b"jwt_token=%b; %b" % (token(), secret()))]),
            (b"/container/%b/%d/a" % (self._in_path(), port), []),
            (b"/broadcast/a?b=1&jwt_token=" + self._in_path(), []),
            (b"/websockify?" + self._in_path(), []),
            (b"/a?" + token(), [(b"Referer", page % (self.lost(), self.lost(), self.lost()))]),
            (b"/a", [(b"Referer", b"https://desk.example/?state=" + secret())]),
            (b"/a", [(b"X-Original-URL", b"/b?jwt_token=" + token())]),
            (b"/API/a", [(b"ABCAuthorization", secret()), (b"X-API-Key", secret())]),
            (b"/API/a", [(b"ABCDESKTOPUSERCERT", secret()), (b"X-Auth-Token", secret())]),
            (b"/API/a", [(b"Authorization", b"Basic " + base64.b64encode(secret()))]),
            (b"/API/a", [(b"Proxy-Authorization", b"Basic " + self.lost())]),
            (b"/oauth/a?code=%b&state=%b" % (secret(), secret()), []),
            (b"/API/a?password=%b&secret=%b" % (secret(), secret()), []),
            (nested % secret(), []),
            (b"/a?c%%6fde=%b" % secret(), []),
            (b"/a?x=" + token().replace(b".", b"%2E"), []),
            (b"/page", [(b"Accept-Encoding", b"gzip")]),
            (b"/moved", []),
            (b"/phrase", []),
            (b"/wide", []),
            (b"/API/answer/json", []),
            (b"/API/answer/gzip", []),
            (b"/API/answer/page", []),
            (b"/API/answer/long", []),
        ]

    def refusals(self) -> list[tuple[bytes, list[tuple[bytes, bytes]]]]:
        """Targets and fields that are refused with their secrets."""
        bad, good = self.bad_token, self.bad_token()
        return [
            (b"/filer", [(b"ABCAuthorization", bad(life_s=-9))]),
            (b"/filer", [(b"ABCAuthorization", bad(signing=key_pair("stranger")))]),
            (b"/filer", [(b"ABCAuthorization", good), (b"ABCAuthorization", bad())]),
            (b"/filer", [(b"Cookie", b"jwt_token=%b; jwt_token=%b" % (good, bad()))]),
            (b"/filer?%zz" + bad(), [(b"Authorization", b"Bearer " + good)]),
            (b"/container/%b/0/" % good, []),
            (b"/filer/%zz/" + bad(), []),
            (b"/filer/a?code=" + self.lost(), [(b"X-API-Key", self.lost())]),
        ]

    def broken(self) -> list[bytes]:
        """Requests that cannot be read, or not answered."""
        own = (b"ABCAuthorization", self.bad_token())
        return [
            build_request(b"/a", method=self.bad_token()),
            build_request(b"/a", (self.bad_token(), b"x")),
            build_request(b"/a", host=self.bad_token()),
            build_request(b"/a", host=b"user:%b@desk.example" % self.lost()),
            build_request(b"http://user:%b@desk.example/a" % self.lost()),
            build_request(b"/filer/a", own, (b"X", b"a\0b")),
            build_request(b"/filer/a", own, (b"Content-Length", b"1"), body=b"ab"),
            b"GET /filer?%b HTTP/1.1\nHost x\n\n" % self.bad_token(),
            b"%b\r\n\r\n" % self.bad_token(),
            build_request(b"/filer/" + self.bad_token() * 40, own),
            build_request(b"/API/closes", (b"X-API-Key", self.secret())),
            build_request(b"/API/cut", method=b"POST", body=b"0123456789")[:-5],
        ]

    def bodies(self) -> list[tuple[bytes, list[tuple[bytes, bytes]], list[bytes]]]:
        """Targets, fields, and content in pieces."""
        token, secret = self.token, self.secret
        login = {
            "user": "plain-to-see",
            "password": secret().decode(),
            "more": [{"VncPassword": secret().decode(), "jwt_user_token": token().decode()}],
            "jwt_user": secret().decode(),
            "api_key": secret().decode(),
            "url": f"https://idp/?state={secret().decode()}",
            "text": json.dumps({"secretkey": secret().decode()}),
        }
        document = json.dumps(login).encode()
        form = b"user=plain-to-see&password=%b&code=%b&t=%b" % (secret(), secret(), token())
        part = b'--x\r\nContent-Disposition: form-data; name="password"\r\n\r\n%b\r\n--x--\r\n'
        long = b'{"user":"plain-to-see","password":"%b","a":"%b","b":"%b"}'
        many = (b"Content-Type", b"multipart/form-data; boundary=x")
        escaped = b'{"pass\\u0077ord":"%b","a":"%b"}'
        up = token()
        token_in_json = token().replace(b".", b"\\u002e")
        # The copy that is kept ends within the last token.
        filling = b"x" * (KEPT_BYTES - 200)
        return [
            (b"/API/login", [JSON], [document]),
            (b"/API/login", [JSON], [document[:60], document[60:70], document[70:]]),
            (b"/API/login", [JSON, GZIP], [gzip.compress(document)]),
            (b"/API/login", [], [escaped % (secret(), token_in_json)]),
            (b"/API/login", [JSON], [document[:-1]]),
            (b"/API/login", [FORM], [form[:40], form[40:]]),
            (b"/API/login", [many], [part % secret()]),
            (b"/API/login", [IMAGE], [b'{"user":"plain-to-see","password":"%b"}' % secret()]),
            (b"/API/login", [JSON], [long % (secret(), filling, token())]),
            (b"/filer/up", [self._own()], [b"\xff\0 plain-to-see " + up, b"\0"]),
            (b"/filer/up", [self._own()], [filling + token()]),
            (b"/filer/up", [self._own(), GZIP], [gzip.compress(b"plain-to-see " + up)]),
            (b"/speedtest/up", [], [b"plain-to-see " + token()[:300], self.sent[-1][300:]]),
        ]

    def _own(self) -> tuple[bytes, bytes]:
        return b"ABCAuthorization", self.token()

    def _in_path(self) -> bytes:
        """A token that is good, and taken out before the pod is asked."""
        token = self.token()
        self.refused.append(self.sent.pop())
        return token

    def _answer_api(self, wire: Wire, request: Request) -> None:
        what = request.target.rpartition(b"/")[2].decode()
        if what == "closes":
            wire.close()
            return
        token = self.fleet.alice.mint(claims={"jti": secrets.token_hex(4)})
        self.told.append(token)
        answer = {
            "result": {"name": "plain-to-see", "authorization": self.answered().decode()},
            "jwt_desktop_token": token.decode(),
            "list": [{"tokens": [self.answered().decode()], "secret": {"a": 7}}],
        }
        text = json.dumps(answer).encode()
        if what == "page":
            text = b"<html>plain-to-see<script>var a = %b</script>" % text
        if what == "long":
            text = text[:-1] + b', "more": "%b"}' % (b"x" * KEPT_BYTES)
        fields = b"Content-Type: text/html\r\n" if what == "page" else b""
        fields += b"Set-Cookie: session=%b; Path=/\r\n" % self.answered()
        if what == "gzip":
            fields, text = fields + b"Content-Encoding: gzip\r\n", gzip.compress(text)
        head = b"HTTP/1.1 200 OK\r\n%bTransfer-Encoding: chunked\r\n\r\n" % fields
        body = build_chunks(text[:50], text[50:])
        wire.send(head + body[:40])
        wire.send(body[40:])

    def _answer_page(self, wire: Wire, request: Request) -> None:
        """A page with a token in it, large enough to be compressed; or another place to go to."""
        if request.target == b"/phrase":
            wire.send(b"HTTP/1.1 200 %b\r\nContent-Length: 0\r\n\r\n" % self.bad_token())
            return
        if request.target == b"/wide":
            page = f"<p>{self.bad_token().decode()}</p>".encode("utf-16")
            wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(page), page))
            return
        token = self.fleet.alice.mint(claims={"jti": secrets.token_hex(4)})
        self.told.append(token)
        if request.target == b"/moved":
            there = b"https://idp/?code=%b&state=%b#access_token=%b"
            fields = b"Location: " + there % (self.answered(), self.answered(), token)
            wire.send(b"HTTP/1.1 302 Found\r\n%b\r\nContent-Length: 0\r\n\r\n" % fields)
            return
        page = b"<p>plain-to-see %b</p>" % token + b"word " * 600
        fields = b"Content-Type: text/html\r\nContent-Length: %d\r\n" % len(page)
        wire.send(b"HTTP/1.1 200 OK\r\n%b\r\n%b" % (fields, page))


def play(traffic: Traffic, router: Router, tls: ssl.SSLContext, tls_h2: ssl.SSLContext) -> None:
    """Let it all pass: HTTP/1 plain and under TLS, HTTP/2, WebSockets."""
    for context in (None, tls):
        for target, fields in (*traffic.heads(), *traffic.refusals()):
            _keep(traffic, router.ask(build_request(target, *fields), tls=context))
        for target, fields, pieces in traffic.bodies():
            chunked = (b"Transfer-Encoding", b"chunked")
            head = build_request(target, *fields, chunked, method=b"POST")
            with router.connect(tls=context) as client:
                client.send(head)
                chunks = build_chunks(*pieces)
                client.send(chunks[:30])
                client.send(chunks[30:])
                _keep(traffic, client.read_answer())
    for request in traffic.broken():
        with router.connect() as client, contextlib.suppress(EOFError, OSError):
            client.send(request)
            client.socket.settimeout(0.3)
            while part := client.receive():
                traffic.received += part
    with Http2Client(router.address, tls_h2) as http2:
        for target, fields in (*traffic.heads(), *traffic.refusals()):
            small = [(name.lower(), value) for name, value in fields]
            _keep(traffic, http2.ask(target, *small))
        _keep(traffic, http2.read_answer(http2.start(authority=traffic.bad_token())))
        for target, fields, pieces in traffic.bodies():
            small = [(name.lower(), value) for name, value in fields]
            stream = http2.start(target, *small, method=b"POST", ends=False)
            for piece in pieces:
                http2.send(stream, piece)
            http2.send(stream, b"", ends=True)
            _keep(traffic, http2.read_answer(stream))
    _open_websockets(traffic, router)
    _cut_websockets(traffic, router)


def _keep(traffic: Traffic, answer: Any) -> None:
    body = answer.body
    if answer.get(b"content-encoding") == b"gzip":
        body = gzip.decompress(body)
    traffic.received += repr(answer.fields).encode() + body


def _open_websockets(traffic: Traffic, router: Router) -> None:
    cookie = {"Cookie": f"jwt_token={traffic.token().decode()}", "Origin": "http://desk.example"}
    targets: list[tuple[str, dict[str, Any]]] = [
        (f"/websockify?{traffic._in_path().decode()}", {}),
        (f"/terminals/a?jwt_token={traffic._in_path().decode()}", {"compression": "deflate"}),
        (f"/container/{traffic._in_path().decode()}/{_port(traffic)}/a", {}),
        ("/signalling", {"additional_headers": cookie}),
    ]
    for target, details in targets:
        with router.open_websocket(target, **details) as websocket:
            messages = (b"binary " + traffic.echoed(), f"text {traffic.echoed().decode()}")
            for message in (*messages, traffic.typed.decode()):
                websocket.send(message)
                assert websocket.recv() == message
                traffic.received += message if isinstance(message, bytes) else message.encode()


def _cut_websockets(traffic: Traffic, router: Router) -> None:
    """A message of which the beginning alone is kept, and a reason that should hold no token."""
    target = f"/websockify?{traffic._in_path().decode()}"
    with router.open_websocket(target) as websocket:
        websocket.send(b"x" * (KEPT_BYTES - 200) + traffic.echoed())
        received = websocket.recv()
        assert isinstance(received, bytes)
        traffic.received += received
        websocket.close(1000, traffic.token_shaped().decode())


def _port(traffic: Traffic) -> int:
    port: int = traffic.fleet.alice["xterm"].port
    return port


class Left:
    """What a relay left behind.

    Args:
        traffic: What passed.
        log: All that it printed.
        live: The messages of WebSockets as who looks on sees them.
        recording: The file of ``-w``.
        redacted: The file of ``route_record``.
        har: The file of ``hardump``.
        exports: The files of ``export.file``.
    """

    def __init__(
        self,
        traffic: Traffic,
        log: bytes,
        live: bytes,
        recording: Path,
        redacted: Path,
        har: Path,
        exports: Path,
    ) -> None:
        self.traffic = traffic
        self.search = Search(traffic.all)
        self.log = log
        self.live = live
        self.recording = recording.read_bytes()
        self.redacted = redacted.read_bytes()
        self.har = har.read_bytes()
        self.exports = b"\n".join(path.read_bytes() for path in sorted(exports.iterdir()))
        with recording.open("rb") as file:
            self.flows = [flow for flow in io.FlowReader(file).stream()]

    @property
    def decoded(self) -> bytes:
        """The contents of all flows, as a user interface shows them."""
        contents: list[bytes] = []
        for flow in self.flows:
            assert isinstance(flow, http.HTTPFlow)
            for message in (flow.request, flow.response):
                if message is not None:
                    contents.append(message.get_content(strict=False) or b"")
        return b"\n".join(contents)

    @property
    def har_strings(self) -> bytes:
        """All strings of the HAR file, those in base64 as what they are."""
        found: list[bytes] = []

        def walk(value: Any) -> None:
            if isinstance(value, str):
                found.append(value.encode("utf-8", "surrogatepass"))
                with contextlib.suppress(ValueError):
                    found.append(base64.b64decode(value, validate=True))
            elif isinstance(value, Mapping):
                for name, inner in value.items():
                    walk(name)
                    walk(inner)
            elif isinstance(value, list):
                for inner in value:
                    walk(inner)

        walk(json.loads(self.har))
        return b"\n".join(found)


LOG = """
import logging
logging.warning("GET %s HTTP/1.1, which another addon logs, with %s", target, token)
try:
    raise ValueError(target)
except ValueError:
    logging.exception("another addon is at fault")
"""
"""Logs what mitmproxy's own layers and other addons may."""

EXPORT = """
savehar = ctx.master.addons.get("savehar")
for number, flow in enumerate(savehar.flows):
    for form in ctx.master.commands.call("export.formats"):
        try:
            ctx.master.commands.call("export.file", form, flow, f"{folder}/{number}.{form}")
        except Exception:
            # It cannot export contents that are missing, and no HTTP/2 to a command line.
            pass
flows = [flow for flow in savehar.flows if flow.websocket is not None]
result = b" ".join(message.content for flow in flows for message in flow.websocket.messages).hex()
"""
"""Exports all flows; tells the messages of WebSockets as they are seen live."""


@pytest.fixture(scope="module")
def left(
    shared_fleet: Fleet,
    key_options: Mapping[str, str],
    certificate: Path,
    tls: ssl.SSLContext,
    tls_h2: ssl.SSLContext,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Left]:
    """Let everything pass by a relay that is watched in every way, and gather what it left."""
    folder = tmp_path_factory.mktemp("left")
    exports = folder / "exports"
    exports.mkdir()
    options = {
        **shared_fleet.options,
        **key_options,
        "certs": f"*={certificate}",
        "route_trusted_proxies": "127.0.0.1/32",
        "route_watch_body_bytes": KEPT_BYTES,
        "route_websocket_history_bytes": KEPT_BYTES,
        "route_record": folder / "redacted",
        "hardump": folder / "har",
        "termlog_verbosity": "debug",
        "flow_detail": 4,
    }
    shared_fleet.forget()
    traffic = Traffic(shared_fleet)
    router = Router(Command(options, arguments=("-w", str(folder / "flows"))), has_remote=True)
    with router:
        play(traffic, router, tls, tls_h2)
        router.wait_for("WebSocket connection closed", 5)
        target = b"/a?jwt_token=%b&code=%b" % (traffic.bad_token(), traffic.lost())
        names = {"target": target.decode(), "token": traffic.bad_token().decode()}
        assert not router.run_inside(f"globals().update({names!r})" + LOG)
        assert not router.run_inside("ctx.options.update(route_https_redirect=443)")
        redirect = router.ask(build_request(target))
        assert (redirect.status, redirect.get(b"location")) == (
            308,
            b"https://desk.example" + target,
        )
        told = router.run_inside(f"folder = {str(exports)!r}" + EXPORT)
        assert "Error" not in told, told
        live = bytes.fromhex(told)
    wire = b"".join(backend.received for backend in shared_fleet)
    shared_fleet.forget()
    assert "failed:" not in router.log
    missing = set(traffic.sent) - set(Search(traffic.sent).find(wire))
    assert not missing, "a secret did not reach its back end"
    files = (folder / name for name in ("flows", "redacted", "har", "exports"))
    yield Left(traffic, bytes(router._output), live, *files)


def test_all_forms_are_found() -> None:
    """A search that finds nothing would prove nothing."""
    secret = secrets.token_urlsafe(150).encode() + b".part"
    search = Search([secret])
    texts = [secret[20:60], b"a" + base64.b64encode(b"x" + secret), secret.hex().encode()]
    texts += [base64.urlsafe_b64encode(bytes(shift) + secret) for shift in range(3)]
    texts += ["".join(f"\\u{byte:04x}" for byte in secret).encode()]
    texts += ["".join(f"%{byte:02x}" for byte in secret).encode(), secret.replace(b".", b"%2E")]
    for text in texts:
        assert search.find(b"before " + text + b" after"), text
    assert search.find(b"before and after") == {}


@pytest.mark.parametrize(
    "read",
    [
        pytest.param(lambda left: left.log, id="printed"),
        pytest.param(lambda left: left.recording, id="-w"),
        pytest.param(lambda left: left.redacted, id="route_record"),
        pytest.param(lambda left: left.decoded, id="contents"),
        pytest.param(lambda left: left.har, id="HAR"),
        pytest.param(lambda left: left.har_strings, id="HAR decoded"),
        pytest.param(lambda left: left.exports, id="exports"),
    ],
)
def test_no_secret_is_left(read: Callable[[Left], bytes], left: Left) -> None:
    """Neither a token nor anything else, whole or in part; and what is no secret is."""
    text = read(left)
    assert left.search.find(text) == {}
    assert text.count(MARKER) > 10
    assert text.count(PLACEHOLDER) > 100


def test_payloads_are_seen_and_not_kept(left: Left) -> None:
    """What was typed into a WebSocket is seen by who looks on, but for tokens; it is in no file."""
    typed = Search([left.traffic.typed])
    for kept in (left.recording, left.redacted, left.har, left.har_strings, left.exports):
        assert typed.find(kept) == {}
    assert typed.find(left.live)
    assert left.search.find(left.live) == {}
    assert left.live.count(PLACEHOLDER) == 17
    websockets = [flow for flow in left.flows if getattr(flow, "websocket", None)]
    seen = [flow.metadata["route"]["websocket"] for flow in websockets]
    assert [one["messages"] for one in seen] == [6, 6, 6, 6, 2]
    assert [one["cut"] for one in seen] == [0, 0, 0, 0, 2]


def test_clients_got_their_secrets(left: Left) -> None:
    """Watching never changes the wire."""
    missing = [secret for secret in left.traffic.told if secret not in left.traffic.received]
    assert missing == []


def test_same_token_has_the_same_placeholder(left: Left) -> None:
    """Wherever it stands: so requests can be told to be of one user."""
    shown = {
        flow.request.headers["ABCAuthorization"].removeprefix("Bearer ")
        for flow in left.flows
        if isinstance(flow, http.HTTPFlow) and flow.request.path == "/filer/plain-to-see"
    }
    assert len(shown) == 3
