"""What a refused client gets to read, and what the log says of it."""

import json
import re

import pytest

from tests.e2e.harness import (
    TOKEN,
    UNTRUSTED,
    Fleet,
    Router,
    build_request,
    check_refusal,
)

PLAIN = b"text/plain; charset=utf-8"
PROBLEM = b"application/problem+json; charset=utf-8"
HTML = b"text/html; charset=utf-8"

BROWSER = b"text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        pytest.param(None, PLAIN, id="no Accept"),
        pytest.param(b"*/*", PLAIN, id="anything"),
        pytest.param(b"application/json", PROBLEM, id="JSON"),
        pytest.param(b"application/json, text/plain, */*", PROBLEM, id="as axios asks"),
        pytest.param(b"application/problem+json", PROBLEM, id="a problem"),
        pytest.param(BROWSER, HTML, id="as a browser asks"),
        pytest.param(b"text/html;q=0.1, application/json;q=0.2", PROBLEM, id="by quality"),
        pytest.param(b"image/png", PLAIN, id="none of ours"),
        pytest.param(b"application/json;q=x;;,\xff/", PLAIN, id="nonsense"),
    ],
)
def test_the_form_of_an_error(
    accept: bytes | None, content_type: bytes, router: Router, fleet: Fleet
) -> None:
    """The client's Accept chooses; each form holds the reason and the request's identifier."""
    fields = [(b"Accept", accept)] if accept is not None else []
    answer = router.ask(build_request(b"/filer/x", *fields))
    check_refusal(answer, 401, fleet)
    assert answer.get(b"Content-Type") == content_type
    request_id = answer.get(b"X-Request-ID")
    assert request_id is not None
    assert request_id in answer.body
    assert b"A desktop token is required." in answer.body
    if content_type == PROBLEM:
        problem = json.loads(answer.body)
        assert problem["status"] == 401
        assert problem["request_id"] == request_id.decode()
        assert problem["message"] == problem["detail"]


def test_fields_of_an_error(router: Router, fleet: Fleet) -> None:
    """An error is not kept by caches, and carries the security fields; no Server is named."""
    answer = router.ask(build_request(b"/filer/x"))
    check_refusal(answer, 401, fleet)
    assert answer.get(b"WWW-Authenticate") == b"Bearer"
    assert answer.get(b"Cache-Control") == b"no-store"
    assert answer.get(b"X-Content-Type-Options") == b"nosniff"
    assert answer.get(b"X-Frame-Options") == b"SAMEORIGIN"
    assert answer.get(b"X-XSS-Protection") == b"1; mode=block"
    assert answer.get(b"Server") is None


def test_an_error_to_head_has_no_body(router: Router, fleet: Fleet) -> None:
    """An answer to HEAD is a head (RFC 9110 9.3.2), and the connection stays in step."""
    with router.connect() as client:
        for _ in range(2):
            answer = client.ask(build_request(b"/filer/x", method=b"HEAD"))
            check_refusal(answer, 401, fleet)
            assert answer.body == b""
        assert client.ask(build_request(b"/healthz")).body == b"OK\n"


def test_a_request_id_is_found_in_the_log(router: Router, fleet: Fleet) -> None:
    """A trusted proxy's identifier is kept; one line of the log says all about the refusal."""
    request = build_request(b"/filer/x", (b"X-Request-ID", b"trace_1.2-3"))
    answer = router.ask(request)
    check_refusal(answer, 401, fleet)
    assert answer.get(b"X-Request-ID") == b"trace_1.2-3"
    router.wait_for("401 token_missing · /filer · request trace_1.2-3")


@pytest.mark.parametrize(
    ("value", "source"),
    [
        pytest.param(b"own-1", UNTRUSTED, id="from a stranger"),
        pytest.param(b"a b", None, id="with a space"),
        pytest.param(b"<script>", None, id="with markup"),
        pytest.param(b"x" * 129, None, id="too long"),
        pytest.param(b"", None, id="empty"),
    ],
)
def test_a_request_id_that_is_not_believed(
    value: bytes, source: str | None, router: Router, fleet: Fleet
) -> None:
    """A fresh one takes its place, upstream and in the answer."""
    field = (b"X-Request-ID", value)
    answer = router.ask(build_request(b"/filer/x", field), source=source)
    check_refusal(answer, 401, fleet)
    made = answer.get(b"X-Request-ID")
    assert made is not None and re.fullmatch(rb"[0-9a-f]{24}", made)
    router.ask(build_request(b"/API/x", field), source=source)
    sent = fleet.pyos.request.get(b"X-Request-ID")
    assert sent is not None and re.fullmatch(rb"[0-9a-f]{24}", sent)
    assert sent != made


def test_the_log_holds_no_token(router: Router, fleet: Fleet) -> None:
    """Good or bad, in any place, whatever becomes of the request."""
    good, expired = fleet.alice.token, fleet.alice.mint(life_s=-1)
    for token in (good, expired, good[:-9]):
        for request in (
            build_request(b"/filer/x", (b"ABCAuthorization", token)),
            build_request(b"/websockify?" + token),
            build_request(b"/broadcast?x=1&jwt_token=" + token, (b"Referer", b"http://x/" + token)),
            build_request(b"/container/%b/%d/x" % (token, fleet.alice["xterm"].port)),
            build_request(b"/container/%b/1/x" % token),
            build_request(b"/container/%b/0/x" % token),
            build_request(b"/container/%b/80/\x01" % token),
            build_request(b"/websockify?" + token, host=None),
            build_request(b"/websockify?" + token, (b"X", b"\x01" + token)),
            build_request(b"/websockify?" + token, method=b"CONNECT"),
            build_request(b"/websockify?" + token, (b"Content-Length", b"x")),
        ):
            with router.connect() as client:
                client.send(request + b"GET /websockify?%b HTTP/1.1\r\nHo" % token)
                client.read_answer()
    assert TOKEN.search(router.log.encode()) is None
    assert "jwt_token=eyJ" not in router.log
