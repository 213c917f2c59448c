"""What of an upstream's answer reaches the client."""

import contextlib

import pytest

from tests.e2e.harness import Answer, Backend, Fleet, Router, build_request


def _ask(router: Router, backend: Backend, target: bytes, *lines: bytes) -> Answer:
    fields = b"".join(line + b"\r\n" for line in lines)
    backend.play(b"HTTP/1.1 200 OK\r\n%bContent-Length: 2\r\n\r\nok" % fields)
    return router.ask(build_request(target))


def test_fields_of_the_upstream(router: Router, fleet: Fleet) -> None:
    """Its software and its connection are not told of; the rest passes in order, repeats too."""
    answer = _ask(
        router,
        fleet.pyos,
        b"/API/x",
        b"Server: CherryPy/18",
        b"X-Powered-By: Express",
        b"X-Accel-Redirect: /API/secret",
        b"X-Accel-Buffering: no",
        b"x-accel-whatever: 1",
        b"Connection: keep-alive, X-Hop",
        b"Keep-Alive: timeout=5",
        b"X-Hop: 1",
        b"Proxy-Connection: x",
        b"Upgrade: h2c",
        b"Trailer: x",
        b"Set-Cookie: a=1; Path=/",
        b"Set-Cookie: b=2",
        b'ETag: W/"1"',
        b"Date: Thu, 01 Jan 1970 00:00:00 GMT",
    )
    assert answer.body == b"ok"
    assert answer.names() == [
        b"set-cookie",
        b"set-cookie",
        b"etag",
        b"date",
        b"x-frame-options",
        b"x-xss-protection",
        b"content-length",
    ]
    assert answer.get_all(b"Set-Cookie") == [b"a=1; Path=/", b"b=2"]


def test_security_fields_of_the_upstream_s_own(router: Router, fleet: Fleet) -> None:
    """Its own stay, and are not said twice; a Connection field cannot take them away."""
    answer = _ask(
        router,
        fleet.website,
        b"/x",
        b"x-frame-options: DENY",
        b"X-XSS-Protection: 0",
        b"Connection: X-Frame-Options",
    )
    assert answer.get(b"X-Frame-Options") == b"DENY"
    assert answer.get(b"X-XSS-Protection") == b"0"


@pytest.mark.parametrize("status", [b"200 OK", b"302 Found", b"404 Not Found", b"500 Oh"])
def test_security_fields_are_on_every_status(status: bytes, router: Router, fleet: Fleet) -> None:
    """Not only on the good ones."""
    fleet.pyos.play(b"HTTP/1.1 %b\r\nContent-Length: 0\r\n\r\n" % status)
    answer = router.ask(build_request(b"/API/x"))
    assert answer.get(b"X-Frame-Options") == b"SAMEORIGIN"
    assert answer.get(b"X-XSS-Protection") == b"1; mode=block"


@pytest.mark.parametrize(
    ("target", "upstream", "location", "seen"),
    [
        ("/x", "website", "http://{own}/y?z#f", "http://desk.example:8443/y?z#f"),
        ("/x", "website", "//{own}/y", "http://desk.example:8443/y"),
        ("/x", "website", "http://{own}", "http://desk.example:8443/"),
        ("/x", "website", "/y", "/y"),
        ("/x", "website", "https://elsewhere.example/y", "https://elsewhere.example/y"),
        ("/API/x", "pyos", "http://{own}/API/y", "http://desk.example:8443/API/y"),
        ("/console/x", "console", "http://{own}/y", "http://desk.example:8443/console/y"),
        ("/speedtest/x", "speedtest", "http://{own}/y", "http://desk.example:8443/speedtest/y"),
    ],
)
def test_location(
    target: str, upstream: str, location: str, seen: str, router: Router, fleet: Fleet
) -> None:
    """A redirect to the upstream's own address leads to where the client came from."""
    backend = fleet.servers[upstream]
    url = location.replace("{own}", backend.authority)
    backend.play(
        f"HTTP/1.1 302 Found\r\nLocation: {url}\r\nRefresh: 5; url={url}\r\n"
        "Content-Length: 0\r\n\r\n".encode()
    )
    answer = router.ask(build_request(target.encode(), host=b"desk.example:8443"))
    assert answer.get(b"Location") == seen.encode()
    assert answer.get(b"Refresh") == b"5; url=" + seen.encode()


def test_location_of_a_pod(router: Router, fleet: Fleet) -> None:
    """A pod's own address is not told."""
    backend = fleet.alice["file_service"]
    url = backend.url.encode()
    backend.play(b"HTTP/1.1 302 Found\r\nLocation: %b/filer/y\r\nContent-Length: 0\r\n\r\n" % url)
    answer = router.ask(build_request(b"/filer/x", (b"ABCAuthorization", fleet.alice.token)))
    assert answer.get(b"Location") == b"http://desk.example/filer/y"


def test_a_101_that_was_not_asked_for(router: Router, fleet: Fleet) -> None:
    """An upstream cannot make a tunnel of a plain request."""
    fleet.pyos.play(
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
    )
    with router.connect() as client:
        client.send(build_request(b"/API/x") + build_request(b"/healthz"))
        assert client.read_answer().status == 502
        with contextlib.suppress(EOFError):
            assert client.read_answer().body == b"OK\n"
