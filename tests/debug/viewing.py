"""What a content view shows, as mitmproxy asks it."""

from typing import Any

from mitmproxy import contentviews
from mitmproxy.contentviews import Contentview, Metadata
from mitmproxy.websocket import WebSocketData, WebSocketMessage

from route_addon.carry.evidence import EVIDENCE
from tests.hosting import make_flow

MAX_CHARS = 70_000
"""What any view shows at most: 64 KiB, who sent how much, and that it was cut."""


class Socket:
    """A WebSocket that is watched.

    Args:
        location: Its location, as the evidence says it.
    """

    def __init__(self, location: str) -> None:
        self.flow = make_flow()
        self.flow.websocket = WebSocketData()
        self.flow.metadata[EVIDENCE] = {"location": location}

    @property
    def messages(self) -> list[WebSocketMessage]:
        """What is kept of it."""
        assert self.flow.websocket is not None
        return self.flow.websocket.messages

    def pass_on(self, data: bytes, *, from_client: bool) -> WebSocketMessage:
        """A message passes."""
        message = WebSocketMessage(2, from_client, data)
        self.messages.append(message)
        return message

    def show(self, view: Contentview, message: WebSocketMessage) -> list[str]:
        """What a view shows of a message, in lines."""
        metadata = Metadata(flow=self.flow, websocket_message=message)
        return view.prettify(message.content, metadata).split("\n")


def find_chosen(data: bytes, metadata: Metadata, view: Contentview) -> str:
    """Which view is chosen, with this one beside mitmproxy's own."""
    registry: Any = type(contentviews.registry)()
    for one in [*contentviews.registry.values(), view]:
        registry.register(one)
    found: Contentview = registry.get_view(data, metadata)
    return found.name
