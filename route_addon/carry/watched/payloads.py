"""What passes in WebSockets: to be seen while somebody looks, and not to be kept.

Keys that are typed, screens and sound go through them. A flow that is written to a file holds none
of it: not by ``-w``, not as HAR, not by an export.
"""

import copy
from collections.abc import Sequence
from typing import Any

from mitmproxy import flow, http
from mitmproxy.websocket import WebSocketData


class UnrecordedWebSocket(WebSocketData):
    """A WebSocket whose messages are in no file."""

    def get_state(self) -> Any:
        return {**super().get_state(), "messages": []}

    def _get_formatted_messages(self) -> bytes:
        """What an export writes of them."""
        return b""


def without_payloads(shown: flow.Flow) -> flow.Flow:
    """A flow as it may be written: without the messages of an ``UnrecordedWebSocket``."""
    if not isinstance(shown, http.HTTPFlow) or not isinstance(shown.websocket, UnrecordedWebSocket):
        return shown
    written = copy.copy(shown)
    written.websocket = WebSocketData.from_state(shown.websocket.get_state())
    return written


def keep_payloads_out_of_har(savehar: Any) -> None:
    """Let mitmproxy's addon for HAR files, which reads the messages of flows themselves, find none.

    Args:
        savehar: The addon.
    """
    if "make_har" in vars(savehar):
        # Before the script was loaded anew.
        return
    make_har = savehar.make_har

    def make_har_without(flows: Sequence[flow.Flow]) -> Any:
        return make_har([without_payloads(one) for one in flows])

    savehar.make_har = make_har_without
