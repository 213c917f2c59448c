"""Why a flow went where it went, as a content view: one click away."""

from collections.abc import Callable
from typing import Final

from mitmproxy import contentviews, ctx, http

from route_addon.carry.mask import Mask
from route_addon.core.router import Router
from route_addon.debug.explaining import read_case
from route_addon.debug.explanation_text import build_explanation
from route_addon.debug.views.location_view import bound, read_evidence

_CHOSEN: Final = 2.0
_ON_DEMAND: Final = -1.0
_USER_INTERFACE: Final = "view"
"""The addon by which a person looks at flows: printed ones show the answer itself."""


class ExplanationView(contentviews.Contentview):
    """What ``route.explain`` says of the flow, before the content.

    Args:
        router: The router in force; None while there is none.
        mask: Makes the placeholders.
    """

    name = "Route"

    def __init__(self, router: Callable[[], Router | None], mask: Mask) -> None:
        self._router = router
        self._mask = mask

    def render_priority(self, data: bytes, metadata: contentviews.Metadata) -> float:
        """First for an answer of ours that refuses: why is what everybody will ask."""
        is_refusal = read_evidence(metadata).get("slug") is not None
        is_answer = isinstance(metadata.http_message, http.Response)
        is_looked_at = ctx.master.addons.get(_USER_INTERFACE) is not None
        return _CHOSEN if is_refusal and is_answer and is_looked_at else _ON_DEMAND

    def prettify(self, data: bytes, metadata: contentviews.Metadata) -> str:
        """Explain the flow, then show what content there is."""
        router, flow = self._router(), metadata.flow
        if router is None or not isinstance(flow, http.HTTPFlow):
            raise ValueError("no request that a router decides")
        explanation = build_explanation(read_case(flow), router, self._mask)
        content = data.decode("utf-8", "replace")
        return bound(f"{explanation}\n\nthe content:\n{content}" if content else explanation)
