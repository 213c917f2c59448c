"""Flows of the relay: how heads are shown, and how strictly they are read back."""

from typing import Any

import pytest
from mitmproxy import http

from route_addon.carry.flows import read_head
from route_addon.carry.masks.mask import Mask, Masked
from route_addon.carry.watched.flow import (
    AnswerHead,
    ShownHead,
    answer_state,
    build_answer,
    build_request,
    default_reason,
    hide_answer,
    hide_request,
    read_answer,
    read_fields,
    read_own_answer,
    read_request,
    request_state,
    restore_host,
    show_request,
    shown_head,
)
from route_addon.core.errors import BadField, BadTarget, InternalError, RouteError
from route_addon.core.framing import CHUNKED
from route_addon.core.messages import HTTP_2, HTTP_10, RequestHead, Respond
from tests.core.heads import make_head
from tests.hosting import answer, make_client, make_flow
from tests.minting import NOW, mint

TOKEN = mint()
HEADS = [
    pytest.param(make_head(b"/a?b=%20", (b"X", b"\xff"), (b"x", b"")), id="origin-form"),
    pytest.param(make_head(b"http://Desk.example:8080/a?b"), id="absolute-form"),
    pytest.param(make_head(b"*", method=b"OPTIONS"), id="asterisk"),
    pytest.param(make_head(b"nonsense"), id="nonsense"),
    pytest.param(make_head(b"/", version=HTTP_10, host=None), id="HTTP/1.0"),
    pytest.param(
        make_head(b"/a", version=HTTP_2, authority=b"desk.example", host=None), id="HTTP/2"
    ),
    pytest.param(make_head(b"/a", version=HTTP_2, host=None), id="HTTP/2 without authority"),
    pytest.param(
        make_head(
            b"/a?jwt_token=" + TOKEN,
            (b"ABCAuthorization", b"Bearer " + TOKEN),
            (b"Cookie", b"a=b; jwt_token=" + TOKEN),
        ),
        id="tokens",
    ),
]


def show(head: RequestHead) -> tuple[http.Request, Masked]:
    """The request of a flow, and what was hidden of it."""
    masked = Masked(Mask())
    return build_request(head, masked, NOW), masked


def show_answer(head: AnswerHead) -> tuple[http.Response, ShownHead, Masked]:
    """The answer of a flow to change, what it said before, and what was hidden of it."""
    masked = Masked(Mask())
    response = build_answer(head, masked, NOW)
    return response, shown_head(response), masked


@pytest.mark.parametrize("head", HEADS)
def test_head_that_is_shown_reads_back(head: RequestHead) -> None:
    """What nobody changed says what the client sent, secrets in their places."""
    request, masked = show(head)
    assert TOKEN not in request.data.path + repr(request.data.headers.fields).encode()
    assert read_request(request, head, masked, head.length) == replace(head)


def replace(head: RequestHead) -> RequestHead:
    """A head as it is compared: its fields as a list."""
    return head._replace(fields=list(head.fields))


@pytest.mark.parametrize("head", HEADS)
def test_recording_says_the_same_head(head: RequestHead) -> None:
    """A judge reads it as the carrier of stock flows does, but for what is hidden."""
    flow = make_flow(client=make_client(alpn=b"h2" if head.version == HTTP_2 else None))
    flow.request, masked = show(head)
    read = read_head(flow, head.request_id)
    assert masked.reveal_text(read.target) == head.target
    assert (read.method, read.version, read.authority) == head[:1] + head[2:4]


def test_content_is_missing_until_it_is_there() -> None:
    """A request without content says so at once."""
    assert show(make_head())[0].raw_content == b""
    assert show(make_head(length=3))[0].raw_content is None
    assert show(make_head(length=CHUNKED))[0].timestamp_end is None


@pytest.mark.parametrize(
    ("edit", "error"),
    [
        ({"headers": http.Headers([(b"a", b"b\r\nc: d")])}, BadField),
        ({"headers": http.Headers([(b"a", b"\0")])}, BadField),
        ({"headers": http.Headers([(b"a b", b"c")])}, BadField),
        ({"headers": http.Headers([(b"", b"c")])}, BadField),
        ({"path": b"/a b"}, BadTarget),
        ({"path": b"/a\r\nX: y"}, BadTarget),
        ({"authority": b"a\r\nb"}, BadTarget),
    ],
    ids=str,
)
def test_edit_that_cannot_be_sent(edit: dict[str, Any], error: type[RouteError]) -> None:
    """What an addon puts into one field must not become two."""
    head = make_head()
    request, masked = show(head)
    for name, value in edit.items():
        setattr(request.data, name, value)
    with pytest.raises(error):
        read_request(request, head, masked, 0)


def test_edit_is_read() -> None:
    """Method, path and fields; what was hidden comes back where it still stands."""
    head = make_head(b"/a", (b"Authorization", b"Bearer " + TOKEN))
    request, masked = show(head)
    before = request_state(request)
    request.method = "PUT"
    request.path = "/b"
    request.headers["X-Mine"] = "1"
    assert request_state(request) != before
    read = read_request(request, head, masked, 5)
    assert (read.method, read.target, read.length) == (b"PUT", b"/b", 5)
    assert list(read.fields) == [*head.fields, (b"X-Mine", b"1")]


@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
def test_head_is_not_changed_to_another_method(method: bytes) -> None:
    """Nor the other way round: the client waits for content, or for none."""
    head = make_head(method=method)
    request, masked = show(head)
    request.data.method = b"HEAD" if method == b"GET" else b"GET"
    assert read_request(request, head, masked, 0).method == method


@pytest.mark.parametrize("is_http2", [False, True])
def test_url_that_somebody_edited(is_http2: bool) -> None:
    """A user interface has the destination's port in it: it does not get into Host."""
    name = b"Desk.example:8443"
    head = make_head(host=(b"Host", name))
    if is_http2:
        head = make_head(version=HTTP_2, authority=name, host=None)
    request, _ = show(head)
    request.data.host, request.data.port = "10.0.0.1", 29783
    shown = show_request(request)
    request.host, request.port = "desk.example", 29783
    assert request_state(request) != shown.state
    restore_host(request, shown)
    assert show_request(request) == shown


@pytest.mark.parametrize(
    ("host", "port", "named"),
    [
        ("desk.example", 8080, "desk.example:8080"),
        ("elsewhere.example", 29783, "elsewhere.example:29783"),
    ],
)
def test_host_that_somebody_edited(host: str, port: int, named: str) -> None:
    """What was meant is left."""
    request, _ = show(make_head(host=(b"Host", b"desk.example")))
    request.data.host, request.data.port = "10.0.0.1", 29783
    shown = show_request(request)
    request.host, request.port = host, port
    restore_host(request, shown)
    assert request.headers["Host"] == named


def test_token_that_somebody_wrote_is_hidden() -> None:
    """A flow that was edited shows no more than before."""
    head = make_head()
    request, masked = show(head)
    request.headers["ABCAuthorization"] = TOKEN.decode()
    request.path = f"/?{TOKEN.decode()}"
    read = read_request(request, head, masked, 0)
    hide_request(request, masked)
    assert TOKEN not in request.data.path + request.data.headers.fields[-1][1]
    assert read_request(request, head, masked, 0) == read


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(make_head(method=TOKEN), id="the method"),
        pytest.param(make_head(version=HTTP_2, authority=TOKEN, host=None), id="the authority"),
        pytest.param(make_head(b"http://%b/" % TOKEN), id="of the target"),
        pytest.param(make_head(b"http://u:%b@h/" % TOKEN), id="before it"),
        pytest.param(make_head(b"/", (TOKEN, b"x")), id="a field's name"),
    ],
)
def test_misplaced_token_is_hidden(head: RequestHead) -> None:
    """Wherever a client has put it; and it is read back."""
    request, masked = show(head)
    data = request.data
    shown = data.method + data.authority + data.path + repr(data.headers.fields).encode()
    assert TOKEN not in shown
    assert read_request(request, head, masked, 0) == head._replace(fields=list(head.fields))
    hide_request(request, masked)
    assert shown == data.method + data.authority + data.path + repr(data.headers.fields).encode()


def test_own_answer_shows_no_secret() -> None:
    """A redirect says again what was asked for."""
    target = b"https://desk.example/filer?jwt_token=%b&code=abc" % TOKEN
    response = answer(make_flow(), 308, (b"Location", target))
    masked = Masked(Mask())
    hide_answer(response, masked)
    shown = response.data.headers.fields[0][1]
    assert TOKEN not in shown
    assert b"abc" not in shown
    assert read_fields(response, masked) == [(b"Location", target)]


ANSWER = AnswerHead(200, b"Fine", [(b"X", b"1"), (b"Set-Cookie", b"a=b")], 3)


def test_answer_that_nobody_changed_is_the_same_object() -> None:
    """Nothing of it is made anew."""
    response, shown, masked = show_answer(ANSWER)
    read = read_answer(response, ANSWER, shown, masked)
    assert read == ANSWER
    assert read.fields is ANSWER.fields
    assert response.headers["Content-Length"] == "3"
    assert response.headers["Set-Cookie"].startswith("a=hidden.")


def test_answer_of_unknown_length_shows_chunks() -> None:
    """As it leaves."""
    response, _, _ = show_answer(ANSWER._replace(length=CHUNKED))
    assert response.headers["Transfer-Encoding"] == "chunked"
    assert "Content-Length" not in show_answer(ANSWER._replace(length=None))[0].headers


def test_reason_shows_no_token() -> None:
    """Though an upstream puts one there; it is sent as it came, around an edit, too."""
    sent = ANSWER._replace(reason=TOKEN)
    response, shown, masked = show_answer(sent)
    assert TOKEN not in response.data.reason
    assert read_answer(response, sent, shown, masked) == sent
    response.data.reason += b" indeed"
    assert read_answer(response, sent, shown, masked).reason == TOKEN + b" indeed"


def test_edited_answer_is_read() -> None:
    """Status and fields, the framing excepted; a new status has its own reason phrase."""
    response, shown, masked = show_answer(ANSWER)
    response.status_code = 404
    response.headers["X"] = "2"
    response.headers["Content-Length"] = "99"
    response.headers["Transfer-Encoding"] = "chunked"
    read = read_answer(response, ANSWER, shown, masked)
    assert read == AnswerHead(404, None, [(b"X", b"2"), (b"Set-Cookie", b"a=b")], 3)


def test_edited_reason_is_read() -> None:
    """But not one that breaks the line."""
    response, shown, masked = show_answer(ANSWER)
    response.reason = "Quite fine"
    assert read_answer(response, ANSWER, shown, masked).reason == b"Quite fine"
    response.reason = "Fine\r\nX: y"
    with pytest.raises(InternalError):
        read_answer(response, ANSWER, shown, masked)


@pytest.mark.parametrize(
    ("sent", "edited", "expected"),
    [
        pytest.param((200, 3), 204, (200, 3), id="content would follow a 204"),
        pytest.param((200, 3), 304, (200, 3), id="content would follow a 304"),
        pytest.param((200, 3), 101, (200, 3), id="no answer"),
        pytest.param((200, 3), 999, (200, 3), id="no status"),
        pytest.param((304, 9), 200, (200, 0), id="no content follows a 304"),
        pytest.param((304, 9), 204, (204, None), id="204 has no length"),
        pytest.param((200, 3), 500, (500, 3), id="any other"),
    ],
)
def test_status_and_length_fit(
    sent: tuple[int, int], edited: int, expected: tuple[int, int | None]
) -> None:
    """An edited status cannot change what follows."""
    head = AnswerHead(sent[0], b"", [], sent[1])
    response, shown, masked = show_answer(head)
    response.status_code = edited
    read = read_answer(response, head, shown, masked)
    assert (read.status, read.length) == expected
    assert response.status_code == expected[0]


def test_own_answer_is_read() -> None:
    """Status, fields and content; a field that breaks the line is our fault."""
    ours = Respond(None, 401, [(b"A", b"1")], b"no", None, b"id")
    masked = Masked(Mask())
    response = http.Response.make(418, b"tea", {"X": "y"})
    assert read_own_answer(response, ours, masked) == ours._replace(
        status=418, fields=[(b"X", b"y")], body=b"tea"
    )
    response.status_code = 204
    assert read_own_answer(response, ours, masked).body == b""
    response.status_code = 101
    with pytest.raises(InternalError):
        read_own_answer(response, ours, masked)
    response.status_code = 200
    response.headers["X"] = "y\r\nZ: z"
    with pytest.raises(InternalError):
        read_own_answer(response, ours, masked)


def test_answer_state_sees_what_counts() -> None:
    """Not the framing, nor times."""
    response = http.Response.make(200, b"a", {"X": "y"})
    state = answer_state(response)
    response.timestamp_end = NOW
    response.headers["Content-Length"] = "9"
    assert answer_state(response) == state
    response.raw_content = b"b"
    assert answer_state(response) != state


def test_reasons() -> None:
    """Of a status that nobody knows there is none."""
    assert (default_reason(404), default_reason(299)) == (b"Not Found", b"")
