"""What a flow shows of content, and how an edit of it is told from what was shown."""

from mitmproxy import http

from route_addon.carry.masks.mask import Mask, Masked
from route_addon.carry.watched.content import Kept, WatchedContent

LOGIN = b'{"password":"abc"}'
MASKED_LOGIN = b'{"password":"%b"}' % Mask(b"k" * 32).placeholder(b"abc")


def _request() -> http.Request:
    return http.Request.make("POST", "http://x/", b"", [(b"Content-Type", b"application/json")])


def _content(max_bytes: int = 1000) -> WatchedContent:
    return WatchedContent(Masked(Mask(b"k" * 32)), max_bytes)


def test_strict_from_the_start() -> None:
    """Where names give secrets away, what they name is hidden, and comes back whole."""
    content, request = _content(), _request()
    content.look_closer(request)
    content.request.add([LOGIN[:5], LOGIN[5:]])
    content.show_request(request)
    assert request.content == MASKED_LOGIN
    assert content.reveal(request) == LOGIN
    assert not content.is_request_edited(request)


def test_strict_later() -> None:
    """What was shown when it was to go elsewhere is hidden then."""
    content, request = _content(), _request()
    content.request.add([LOGIN])
    content.show_request(request)
    assert request.content == LOGIN
    content.look_closer(request)
    assert request.content == MASKED_LOGIN


def test_nothing_is_shown_twice() -> None:
    """At the end what has passed is shown, but never over what somebody may have changed."""
    content, request = _content(), _request()
    content.show_passed(request)
    assert request.content == b""
    content.request.add([b"a"])
    content.show_passed(request)
    assert request.content == b"a"
    content.request.add([b"b"])
    content.show_passed(request)
    assert request.content == b"a"


def test_an_edit() -> None:
    """It is seen, taken with its secrets in their places, and then stands for what was sent."""
    content, request = _content(), _request()
    content.look_closer(request)
    content.request.add([LOGIN])
    content.show_request(request)
    request.content = b'{"more":1,' + MASKED_LOGIN[1:]
    assert content.is_request_edited(request)
    assert content.take_request(request) == b'{"more":1,' + LOGIN[1:]
    assert request.content == b'{"more":1,' + MASKED_LOGIN[1:]
    assert not content.is_request_edited(request)


def test_content_where_there_was_none() -> None:
    """That is an edit, too, once it is known that the request has none."""
    content, request = _content(), _request()
    request.content = b"a"
    assert not content.is_request_edited(request)
    content.show_no_request()
    assert content.is_request_edited(request)


def test_what_is_cut_cannot_be_edited() -> None:
    """More has passed than is shown: nothing that is written there could be sent."""
    content, request = _content(3), _request()
    content.request.add([b"abcdef"])
    content.show_request(request)
    request.content = b"x"
    assert not content.is_request_edited(request)
    assert content.sum_up()["request_cut"]


def test_an_answer() -> None:
    """It is shown as far as it has come; what is changed then is an edit."""
    content = _content()
    response = http.Response.make(200, b"", [(b"Content-Type", b"text/plain")])
    content.answer.add([b"abc"])
    shown = response.data.content = content.hide_answer(response)
    assert shown == b"abc"
    assert not content.is_answer_edited(response, shown)
    response.content = b"other"
    assert content.is_answer_edited(response, shown)


def test_what_cannot_be_read() -> None:
    """It is withheld, and the evidence says so."""
    content, request = _content(), _request()
    content.look_closer(request)
    content.request.add([b'{"password":"abc"'])
    content.show_request(request)
    assert request.raw_content is None
    assert content.sum_up() == {
        "request_bytes": 17,
        "answer_bytes": 0,
        "request_cut": False,
        "answer_cut": False,
        "request_withheld": True,
        "answer_withheld": False,
    }


def test_copy_is_bounded() -> None:
    """It knows how much has passed, and keeps the first of it."""
    kept = Kept(5)
    kept.add([b"abc"])
    assert (kept.join(), kept.size, kept.is_cut) == (b"abc", 3, False)
    kept.add([b"def", b"ghi"])
    kept.add([b"jkl"])
    assert (kept.join(), kept.size, kept.is_cut) == (b"abcde", 12, True)
    assert Kept(0).join() == b""
