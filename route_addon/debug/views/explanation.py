"""Why a flow went where it went, as a content view: one click away."""

from collections.abc import Callable
from typing import Final

from mitmproxy import contentviews, ctx, http

from route_addon.carry.masks.mask import Mask
from route_addon.core.router import Router
from route_addon.debug.explaining import read_case
from route_addon.debug.explanation_text import build_explanation
from route_addon.debug.views.location_view import CHOSEN, NOT_CHOSEN, bound, read_evidence

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
        """First where nothing else is to be seen: a request without content, or a refusal of ours.

        A user interface opens a flow at its request, so the explanation stands there unasked.
        """
        if ctx.master.addons.get(_USER_INTERFACE) is None:
            return NOT_CHOSEN
        if isinstance(metadata.http_message, http.Request):
            return NOT_CHOSEN if data else CHOSEN
        is_answer = isinstance(metadata.http_message, http.Response)
        is_refusal = read_evidence(metadata).get("slug") is not None
        return CHOSEN if is_answer and is_refusal else NOT_CHOSEN

    def prettify(self, data: bytes, metadata: contentviews.Metadata) -> str:
        """Explain the flow, then show what content there is."""
        router, flow = self._router(), metadata.flow
        if router is None or not isinstance(flow, http.HTTPFlow):
            raise ValueError("no request that a router decides")
        explanation = build_explanation(read_case(flow), router, self._mask)
        content = data.decode("utf-8", "replace")
        return bound(f"{explanation}\n\nthe content:\n{content}" if content else explanation)
