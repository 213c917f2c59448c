"""What passes in WebSockets is seen, and is in no file."""

import io
from typing import Any

import pytest
from mitmproxy import http
from mitmproxy.addons import export, savehar
from mitmproxy.io import FlowReader, FlowWriter
from mitmproxy.websocket import WebSocketData, WebSocketMessage
from wsproto.frame_protocol import Opcode

from route_addon.carry.watched.payloads import (
    UnrecordedWebSocket,
    keep_payloads_out_of_har,
    without_payloads,
)
from tests.hosting import answer, make_flow

TYPED = b"typed-by-somebody"


def _flow(websocket: WebSocketData) -> http.HTTPFlow:
    flow = make_flow(b"/websockify")
    flow.request.data.content = b""
    flow.request.timestamp_end = flow.request.timestamp_start
    response = answer(flow, 101)
    response.data.content, response.timestamp_end = b"", response.timestamp_start
    flow.websocket = websocket
    for is_text in (Opcode.TEXT, Opcode.BINARY):
        flow.websocket.messages.append(WebSocketMessage(is_text, True, TYPED))
    flow.websocket.close_code = 1000
    return flow


def _write(flow: http.HTTPFlow) -> bytes:
    file = io.BytesIO()
    writer: Any = FlowWriter
    writer(file).add(flow)
    return file.getvalue()


def test_not_in_a_recording() -> None:
    """All else of the WebSocket is, and the flow that is seen keeps them."""
    flow = _flow(UnrecordedWebSocket())
    written = _write(flow)
    assert TYPED not in written
    [read] = FlowReader(io.BytesIO(written)).stream()
    assert isinstance(read, http.HTTPFlow)
    assert read.websocket is not None
    assert (read.websocket.messages, read.websocket.close_code) == ([], 1000)
    assert flow.websocket is not None
    assert len(flow.websocket.messages) == 2


def test_in_a_recording_when_wanted() -> None:
    """mitmproxy's own class is what it always is."""
    assert _write(_flow(WebSocketData())).count(TYPED) == 2


def test_not_in_an_export() -> None:
    """The raw form holds both heads, and none of what followed."""
    raw: Any = export.raw
    exported = raw(_flow(UnrecordedWebSocket()))
    assert b"GET /websockify" in exported
    assert TYPED not in exported
    assert TYPED in raw(_flow(WebSocketData()))


@pytest.mark.parametrize("times", [1, 2])
def test_not_in_har(times: int) -> None:
    """However often the script is loaded; those that may be written are."""
    addon = savehar.SaveHar()
    for _ in range(times):
        keep_payloads_out_of_har(addon)
    flows = [_flow(UnrecordedWebSocket()), _flow(WebSocketData())]
    hidden, shown = addon.make_har(flows)["log"]["entries"]
    assert hidden["_webSocketMessages"] == []
    assert hidden["request"]["url"] == shown["request"]["url"]
    assert len(shown["_webSocketMessages"]) == 2


def test_other_flows_are_written_as_they_are() -> None:
    """The same object."""
    plain, own = make_flow(), _flow(WebSocketData())
    assert without_payloads(plain) is plain
    assert without_payloads(own) is own
