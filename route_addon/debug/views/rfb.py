"""The desktop: RFB in the messages of websockify (RFC 6143)."""

from weakref import WeakKeyDictionary

from mitmproxy import contentviews, flow, http
from mitmproxy.websocket import WebSocketMessage

from route_addon.debug.views.location_view import MessageView, bound, describe_direction
from route_addon.debug.views.rfb_conversation import Conversation


class Rfb(MessageView):
    """What a desktop and its viewer say to each other: kinds, counts and sizes.

    Never which key, and nothing of a clipboard.
    """

    name = "RFB"
    locations = frozenset({"/websockify"})

    def __init__(self) -> None:
        self._conversations: WeakKeyDictionary[flow.Flow, Conversation] = WeakKeyDictionary()

    def prettify(self, data: bytes, metadata: contentviews.Metadata) -> str:
        """Describe one message, which the ones before it explain."""
        message = metadata.websocket_message or WebSocketMessage(2, True, data)
        lines = self._conversation(metadata).describe(message, _messages(metadata))
        return bound("\n".join([describe_direction(metadata, len(data)), *lines]))

    def _conversation(self, metadata: contentviews.Metadata) -> Conversation:
        if metadata.flow is None:
            return Conversation()
        return self._conversations.setdefault(metadata.flow, Conversation())


def _messages(metadata: contentviews.Metadata) -> list[WebSocketMessage]:
    if isinstance(metadata.flow, http.HTTPFlow) and metadata.flow.websocket is not None:
        return metadata.flow.websocket.messages
    return []
