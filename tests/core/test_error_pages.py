"""What a client reads when it is refused."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from route_addon.core.error_pages import choose_media_type, respond_error
from route_addon.core.errors import ContentTooLarge, MethodNotAllowed, TargetDenied, TokenMissing
from route_addon.core.locations import Location
from route_addon.core.messages import Respond
from tests.core.heads import values

PLAIN, PROBLEM, HTML = "text/plain", "application/problem+json", "text/html"


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        pytest.param(b"", PLAIN, id="nothing said"),
        pytest.param(b"*/*", PLAIN, id="anything"),
        pytest.param(b"image/png", PLAIN, id="nothing that we have"),
        pytest.param(b"text/*", PLAIN, id="any text"),
        pytest.param(b"text/plain", PLAIN, id="plain text"),
        pytest.param(b"application/json", PROBLEM, id="JSON"),
        pytest.param(b"Application/JSON", PROBLEM, id="in any case"),
        pytest.param(b"application/problem+json", PROBLEM, id="a problem"),
        pytest.param(b"application/*", PROBLEM, id="any application"),
        pytest.param(b"application/json, text/plain, */*", PROBLEM, id="a web client"),
        pytest.param(b"application/json;q=0.5, */*;q=0.8", PLAIN, id="rather anything else"),
        pytest.param(b"text/html", HTML, id="HTML"),
        pytest.param(b"application/xhtml+xml", HTML, id="XHTML"),
        pytest.param(
            b"text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8",
            HTML,
            id="a browser",
        ),
        pytest.param(b"text/html;q=0.2, application/json;q=0.3", PROBLEM, id="rather JSON"),
        pytest.param(b"*/*, text/html", HTML, id="the more specific wins"),
        pytest.param(b"*/*, text/*, application/json;q=0.9", PLAIN, id="but quality comes first"),
        pytest.param(b"text/html, application/json", HTML, id="the one named first wins"),
        pytest.param(b"application/json, text/html", PROBLEM, id="named first, the other way"),
        pytest.param(b"text/html;q=0", PLAIN, id="not HTML"),
        pytest.param(b"text/html;q=x, application/json;q=0.1", PROBLEM, id="a bad quality is 0"),
        pytest.param(b"text/html;q=2", PLAIN, id="a quality above 1 is 0"),
        pytest.param(b"text/html;q=nan", PLAIN, id="nor is NaN one"),
        pytest.param(b"text/html;level=1; Q=0.5, text/plain;q=0.4", HTML, id="more parameters"),
        pytest.param(b"text/html ; q = 0.1 , text/plain;q=0.4", PLAIN, id="white space"),
        pytest.param(b",,;,text/html", HTML, id="empty members"),
        pytest.param(b"\xff, text/html", HTML, id="no text"),
        pytest.param(b"a/b, " * 31 + b"text/html", HTML, id="the last that is looked at"),
        pytest.param(b"a/b, " * 32 + b"text/html", PLAIN, id="a list without end"),
        pytest.param(b"text/html" + b" " * 300, HTML, id="longer than what is remembered"),
    ],
)
def test_the_media_type(accept: bytes, expected: str) -> None:
    """The client gets what it prefers, and plain text where it prefers nothing."""
    assert expected == choose_media_type(accept)


def _fields(answer: Respond) -> dict[bytes, bytes]:
    fields = dict(answer.fields)
    assert len(fields) == len(answer.fields)
    return fields


def test_plain_text() -> None:
    """One line: status, reason and the request's id."""
    location = Location("/filer", "prefix", "pod")
    error = TokenMissing("detail")
    answer = respond_error(error, b"id-1", location=location)
    assert answer.body == b"401 Unauthorized: A desktop token is required. (request id-1)\n"
    assert (location, 401, error, b"id-1") == (
        answer.location,
        answer.status,
        answer.error,
        answer.request_id,
    )
    assert _fields(answer) == {
        b"Content-Type": b"text/plain; charset=utf-8",
        b"Cache-Control": b"no-store",
        b"X-Content-Type-Options": b"nosniff",
        b"X-Frame-Options": b"SAMEORIGIN",
        b"X-XSS-Protection": b"1; mode=block",
        b"X-Request-ID": b"id-1",
        b"WWW-Authenticate": b"Bearer",
    }


def test_a_problem() -> None:
    """RFC 9457, with the members that the website's client shows."""
    answer = respond_error(ContentTooLarge("detail"), b"id-1", b"application/json")
    assert _fields(answer)[b"Content-Type"] == b"application/problem+json; charset=utf-8"
    problem = json.loads(answer.body)
    assert re.fullmatch("Content Too Large|Request Entity Too Large", problem.pop("title"))
    assert problem == {
        "type": "about:blank",
        "status": 413,
        "detail": "The request's content is too large.",
        "message": "The request's content is too large.",
        "request_id": "id-1",
    }


def test_html() -> None:
    """A small page, without script or style."""
    answer = respond_error(MethodNotAllowed("detail", allow=b"GET"), b"id-1", b"text/html")
    fields = _fields(answer)
    assert fields[b"Content-Type"] == b"text/html; charset=utf-8"
    assert fields[b"Allow"] == b"GET"
    page = answer.body.decode()
    assert page.startswith("<!doctype html>")
    for part in ("<h1>405 Method Not Allowed</h1>", "not allowed here.", "<code>id-1</code>"):
        assert part in page
    assert "<script" not in page


@given(st.binary(max_size=60), st.text(max_size=20))
def test_any_accept_gives_an_answer_without_the_detail(accept: bytes, detail: str) -> None:
    """Only the error's class speaks to the client."""
    answer = respond_error(TargetDenied(detail), b"id-1", accept)
    assert respond_error(TargetDenied(), b"id-1", accept)[1:4] == answer[1:4]
    assert values(answer.fields, b"content-type")[0].partition(b";")[0].decode() in (
        PLAIN,
        PROBLEM,
        HTML,
    )
