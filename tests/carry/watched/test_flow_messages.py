"""Requests and answers of flows are the ones that mitmproxy makes."""

from typing import Any

import pytest
from mitmproxy import http

from route_addon.carry.watched.flow_messages import make_request, make_response
from tests.minting import NOW

COMMON: dict[str, Any] = {
    "http_version": b"HTTP/1.1",
    "headers": http.Headers([(b"A", b"b")]),
    "content": b"x",
    "trailers": None,
    "timestamp_start": NOW,
    "timestamp_end": None,
}
REQUEST: dict[str, Any] = {
    **COMMON,
    "host": "desk.example",
    "port": 80,
    "method": b"GET",
    "scheme": b"http",
    "authority": b"",
    "path": b"/a",
}
ANSWER: dict[str, Any] = {**COMMON, "status_code": 200, "reason": b"OK"}


@pytest.mark.parametrize(
    ("made", "theirs"),
    [
        pytest.param(make_request(**REQUEST), http.Request(**REQUEST), id="request"),
        pytest.param(make_response(**ANSWER), http.Response(**ANSWER), id="answer"),
    ],
)
def test_nothing_is_missing(made: Any, theirs: Any) -> None:
    """They have all that mitmproxy's own have, and are copied, saved and compared alike."""
    assert type(made) is type(theirs)
    assert vars(made).keys() == vars(theirs).keys()
    assert type(made.data) is type(theirs.data)
    assert vars(made.data) == vars(theirs.data)
    assert made.get_state() == theirs.get_state() == made.copy().get_state()
