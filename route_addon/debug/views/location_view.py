"""A content view that is chosen by the location of the flow that it looks at."""

import string
from collections.abc import Mapping
from typing import Any, Final

from mitmproxy import contentviews

from route_addon.carry.evidence import EVIDENCE
from route_addon.debug.views.secrets_in_json import hide_tokens

MAX_CHARS: Final = 64 * 1024
"""What a view shows at most."""
_TOKEN_CHARS: Final = string.ascii_letters + string.digits + "-_.%"
CHOSEN: Final = 2.0
"""A view's priority, over those of mitmproxy's own views, which say 1."""
NOT_CHOSEN: Final = -1.0
"""Not even by mitmproxy itself; a person may."""


def read_evidence(metadata: contentviews.Metadata) -> Mapping[str, Any]:
    """What the flow says of its decision; empty where it says nothing."""
    evidence = metadata.flow.metadata.get(EVIDENCE) if metadata.flow is not None else None
    return evidence if isinstance(evidence, dict) else {}


def bound(text: str) -> str:
    """A text of bounded length, which says when it was cut, and without tokens in it.

    A word that the cut goes through is left out, for it may be a token's first half.
    """
    shown = hide_tokens(text)
    if len(shown) <= MAX_CHARS:
        return shown
    return f"{shown[:MAX_CHARS].rstrip(_TOKEN_CHARS)}\n… cut"


class MessageView(contentviews.Contentview):
    """A view of the WebSocket messages of some locations."""

    locations: frozenset[str] = frozenset()

    def render_priority(self, data: bytes, metadata: contentviews.Metadata) -> float:
        """Before all others, for a message at one of the locations."""
        is_ours = read_evidence(metadata).get("location") in self.locations
        return CHOSEN if is_ours and metadata.websocket_message is not None else NOT_CHOSEN


def describe_direction(metadata: contentviews.Metadata, size: int) -> str:
    """Who sent how much."""
    message = metadata.websocket_message
    if message is None:
        return f"{size} bytes"
    return f"{'client' if message.from_client else 'pod'} sends {size} bytes"
