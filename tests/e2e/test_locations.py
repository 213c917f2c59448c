"""Every location, from the client's bytes to the upstream's."""

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import pytest

from route_addon.core.table import ROWS
from tests.e2e.conftest import Carrier
from tests.e2e.harness import (
    ALICE,
    ROOT,
    Backend,
    Fleet,
    Router,
    build_request,
    check_refusal,
)

T = "{token}"


class Case(NamedTuple):
    """What a client asks for, and what comes out."""

    target: str
    """``{token}`` and ``{port}`` stand for a token and for a port of the pod."""
    backend: str
    """The pod's port name, or an upstream."""
    path: str
    """What is sent on, with the same placeholders."""
    host: str = "pod"
    """``pod``: address and port; ``client``: what the client named; ``upstream``."""
    header: bool = False
    """Whether the token stands in ABCAuthorization."""


CASES = [
    Case("/websockify?{token}", "ws_tcp_bridge", "/"),
    Case("/websockify?jwt_token={token}", "ws_tcp_bridge", "/"),
    Case("/websockify", "ws_tcp_bridge", "/", header=True),
    Case("/signalling?JWT_Token={token}&x=1", "signalling_service", "/"),
    Case("/broadcast?jwt_token={token}", "broadcast", "/broadcast"),
    Case("/broadcast/a/b?x=1&jwt_token={token}&y=%20", "broadcast", "/broadcast/a/b?x=1&y=%20"),
    Case("/sound?{token}", "sound_service", "/"),
    Case("/sound/?{token}", "sound_service", "/"),
    Case("/microphone?{token}", "microphone_service", "/"),
    Case("/microphone/?{token}", "microphone_service", "/"),
    Case("/gamepad?{token}", "gamepad_service", "/"),
    Case("/gamepad/?{token}", "gamepad_service", "/"),
    Case("/terminals/websocket/1?jwt_token={token}", "xterm", "/terminals/websocket/1"),
    Case("/terminals/?{token}", "xterm", "/terminals/"),
    Case(
        "/terminals/7/size?cols=80&rows=24",
        "xterm",
        "/terminals/7/size?cols=80&rows=24",
        "pod",
        True,
    ),
    Case("/terminals", "xterm", "/terminals", header=True),
    Case("/filer", "file_service", "/filer", header=True),
    Case(
        "/filer/home/a%2Fb?directory=~",
        "file_service",
        "/filer/home/a%2Fb?directory=~",
        "pod",
        True,
    ),
    Case("/printerfiler/list", "printerfile_service", "/printerfiler/list", header=True),
    Case("/spawner/run", "spawner_service", "/spawner/run", "client", True),
    Case("/snapshot/x", "snapshot_service", "/snapshot/x", header=True),
    Case("/container/{token}/{port}/a/b?c=d", "pulseaudio_http", "/a/b?c=d", "client"),
    Case("/container/{token}/{port}/", "pulseaudio_http", "/", "client"),
    Case("/container/{token}/{port}", "pulseaudio_http", "/", "client"),
    Case("/container/{token}/{port}?c=d", "pulseaudio_http", "/?c=d", "client"),
    Case("/container/{port}", "pulseaudio_http", "/container/{port}", "client", True),
    Case("/container/0{port}", "pulseaudio_http", "/container/0{port}", "client", True),
    Case("/API", "pyos", "/API", "client"),
    Case("/API/composer/launchdesktop", "pyos", "/API/composer/launchdesktop", "client"),
    Case("/API/manager/image/x", "pyos", "/API/manager/image/x", "client"),
    Case("/API/user/getlocation?x=%zz", "pyos", "/API/user/getlocation?x=%zz", "client"),
    Case("/API/container/x/80/y", "pyos", "/API/container/x/80/y", "client"),
    Case("/status", "pyos", "/status", "client"),
    Case("/moauth", "pyos", "/moauth", "client"),
    Case("/fauth/x", "pyos", "/fauth/x", "client"),
    Case("/gauth", "pyos", "/gauth", "client"),
    Case("/oauth?code=1", "pyos", "/oauth?code=1", "client"),
    Case("/autologin", "pyos", "/autologin", "client"),
    Case("/console", "console", "/", "client"),
    Case("/console/", "console", "/", "client"),
    Case("/console/css/x?y=1", "console", "/css/x?y=1", "client"),
    Case("/speedtest", "speedtest", "/", "upstream"),
    Case("/speedtest/garbage?cors=true", "speedtest", "/garbage?cors=true", "upstream"),
    Case("/", "website", "/", "upstream"),
    Case("/index.html?x=1", "website", "/index.html?x=1", "upstream"),
    Case("/sound/connexion.mp3", "website", "/sound/connexion.mp3", "upstream"),
    Case("/filerx", "website", "/filerx", "upstream"),
    Case("/APIx", "website", "/APIx", "upstream"),
    Case("/consolex", "website", "/consolex", "upstream"),
    Case("/api", "website", "/api", "upstream"),
    # One canonical path chooses the location, and the same one is sent.
    Case("//API//x", "pyos", "/API/x", "client"),
    Case("/x/../API/./y", "pyos", "/API/y", "client"),
    Case("/%41%50I/%7Ex", "pyos", "/API/~x", "client"),
    Case("/filer/../API/x", "pyos", "/API/x", "client"),
    Case("/filer/%2e%2e/API/x", "pyos", "/API/x", "client"),
    Case("/x/..%2fAPI/y", "website", "/x/..%2fAPI/y", "upstream"),
    Case("/API/..%2f..%2ffiler", "pyos", "/API/..%2f..%2ffiler", "client"),
    Case('/API/|"<\\', "pyos", '/API/|"<\\', "client"),
    Case("/API/x#fragment", "pyos", "/API/x", "client"),
    Case("http://desk.example/API/x", "pyos", "/API/x", "client"),
]


def test_no_location_is_left_out() -> None:
    """The cases below reach every row of the location table that has an upstream."""
    ports = {row.upstream.partition(":")[2] for row in ROWS if row.upstream.startswith("pod:")}
    upstreams = {row.upstream for row in ROWS if ":" not in row.upstream}
    reached = {case.backend for case in CASES}
    assert reached == ports - {"{port}"} | upstreams | {"pulseaudio_http"}


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.target} {case.header or ''}")
def test_location(case: Case, router: Router, fleet: Fleet) -> None:
    """The upstream gets exactly these bytes, and no other back end gets any."""
    backend = _find(fleet, case.backend)
    token = fleet.alice.token
    fill = _filler(token, fleet.alice["pulseaudio_http"].port)
    own = ((b"ABCAuthorization", token),) if case.header else ()

    answer = router.ask(
        build_request(
            fill(case.target), (b"X-Request-ID", b"id-1"), (b"Accept", b"text/*, */*;q=0.1"), *own
        )
    )

    assert answer.status == 200, answer.raw
    assert answer.body == backend.name.encode()
    host = {"pod": backend.authority, "client": "desk.example", "upstream": backend.authority}
    lines = [
        b"GET %b HTTP/1.1" % fill(case.path),
        b"Host: %b" % host[case.host].encode(),
        b"X-Real-IP: 127.0.0.1",
        b"X-Forwarded-For: 127.0.0.1",
        b"X-Forwarded-Proto: http",
        b"X-Forwarded-Host: desk.example",
        b"X-Forwarded-Port: %d" % router.port,
        b"X-Request-ID: id-1",
        b"Accept: text/*, */*;q=0.1",
        *(b"%b: %b" % field for field in own),
        b"",
        b"",
    ]
    assert backend.received == b"\r\n".join(lines)
    assert fleet.touched_but(backend) == []


@pytest.mark.parametrize("method", [b"HEAD", b"POST", b"PUT", b"DELETE", b"PATCH", b"PROPFIND"])
def test_method(method: bytes, router: Router, fleet: Fleet) -> None:
    """Any method in capitals goes on as it is."""
    answer = router.ask(build_request(b"/API/x", method=method))
    assert answer.status == 200
    assert fleet.pyos.request.start_line == b"%b /API/x HTTP/1.1" % method


@pytest.mark.parametrize(
    ("target", "body"),
    [
        pytest.param(b"/healthz", b"OK\n", id="healthz"),
        pytest.param(b"/node", b"node-7\n", id="node"),
        pytest.param(b"/.well-known/acme-challenge/challenge", b"proof", id="acme challenge"),
    ],
)
def test_own_answer(target: bytes, body: bytes, router: Router, fleet: Fleet) -> None:
    """Answers of our own need no upstream."""
    answer = router.ask(build_request(target))
    check_refusal(answer, 200, fleet)
    assert answer.body == body
    assert answer.get(b"Content-Type") == b"text/plain"
    assert answer.get(b"X-Frame-Options") == b"SAMEORIGIN"


@pytest.mark.parametrize(
    "target",
    [
        "/.well-known/acme-challenge/absent",
        "/.well-known/acme-challenge/a%2Fb",
        "/.well-known/acme-challenge/..%2f..%2fcertificate.pem",
        "/container/{token}/0/x",
        "/container/{token}/65536/x",
        "/container/{token}/99999999999999999999/",
        "/container/0",
        "/container/000",
    ],
)
def test_nothing_is_there(target: str, router: Router, fleet: Fleet) -> None:
    """An absent challenge and a port that is none are a 404, whatever the token."""
    answer = router.ask(build_request(_filler(fleet.alice.token, 0)(target)))
    check_refusal(answer, 404, fleet)


def test_host_keeps_its_port_and_loses_its_capitals(router: Router, fleet: Fleet) -> None:
    """Where the client's Host is sent on, it is normalised, with its port."""
    router.ask(build_request(b"/API/x", host=b"Desk.EXAMPLE.:8443"))
    assert fleet.pyos.request.get(b"Host") == b"desk.example:8443"
    assert fleet.pyos.request.get(b"X-Forwarded-Host") == b"desk.example:8443"


def test_hop_by_hop_fields_stay_behind(router: Router, fleet: Fleet) -> None:
    """Fields of the connection, those it names, and names that CGI would fold do not go on."""
    router.ask(
        build_request(
            b"/API/x",
            (b"Connection", b"X-Hop, ABCAuthorization, keep-alive, Cookie, X-Forwarded-For"),
            (b"Keep-Alive", b"timeout=5"),
            (b"Proxy-Connection", b"keep-alive"),
            (b"TE", b"trailers"),
            (b"Upgrade", b"h2c"),
            (b"X-Hop", b"1"),
            (b"X_Forwarded_For", b"1.2.3.4"),
            (b"ABCAuthorization", b"the user's own token"),
            (b"Cookie", b"session=1"),
            (b"X-Own", b"kept"),
        )
    )
    request = fleet.pyos.request
    assert request.get(b"ABCAuthorization") == b"the user's own token"
    assert request.get(b"Cookie") == b"session=1"
    assert request.get(b"X-Own") == b"kept"
    assert request.get(b"X-Forwarded-For") == b"127.0.0.1"
    gone = {b"keep-alive", b"proxy-connection", b"te", b"upgrade", b"x-hop", b"x_forwarded_for"}
    assert gone.isdisjoint(request.names())
    assert b"connection" not in request.names()


@pytest.fixture(scope="module")
def configured(
    usual_options: Mapping[str, object], carrier: Carrier, shared_fleet: Fleet
) -> Iterator[Router]:
    """A router with the example configuration file, and a list of container ports."""
    port = shared_fleet.alice["pulseaudio_http"].port
    options = {
        **usual_options,
        "route_config": ROOT / "docs/examples/route.toml",
        "route_container_ports": f"1-3,{port}",
    }
    with Router(carrier.start(options)) as router:
        yield router


def test_a_port_outside_the_allow_list_is_not_there(configured: Router, fleet: Fleet) -> None:
    """``route_container_ports`` narrows what /container may name, before the token is looked at."""
    allowed, denied = fleet.alice["pulseaudio_http"].port, fleet.alice["xterm"].port
    for token in (fleet.alice.token, b"no-token"):
        request = build_request(b"/container/%b/%d/x" % (token, denied))
        check_refusal(configured.ask(request), 404, fleet)
    request = build_request(b"/container/%b/%d/x" % (fleet.alice.token, allowed))
    assert configured.ask(request).status == 200


@pytest.mark.parametrize("target", [b"/s16_1_44100", b"/s16_1_22050", b"/u8_1_11025"])
def test_the_example_s_locations(target: bytes, configured: Router, fleet: Fleet) -> None:
    """They reach the pod's PulseAudio, and need a token; no other location is lost."""
    check_refusal(configured.ask(build_request(target)), 401, fleet)
    answer = configured.ask(build_request(b"%b?%b" % (target, fleet.alice.token)))
    assert answer.body == f"pulseaudio_http at {ALICE}".encode()
    assert fleet.alice["pulseaudio_http"].request.target == target
    assert configured.ask(build_request(b"/API/x")).body == b"pyos"


def _find(fleet: Fleet, name: str) -> Backend:
    return fleet.servers[name] if name in fleet.servers else fleet.alice[name]


def _filler(token: bytes, port: int) -> Callable[[str], bytes]:
    return lambda text: text.replace(T, token.decode()).replace("{port}", str(port)).encode()
