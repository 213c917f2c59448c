"""Flows that are loaded from a file stay as they were recorded.

In reverse mode mitmproxy makes each of them, its Host too, name the address that it would forward
to. Ours is a dead end, and a flow that is judged is judged by its Host.
"""

from mitmproxy import addonmanager, ctx, eventsequence, flow


class Loading:
    """Loads flows in mitmproxy's place."""

    name = "route_loading"

    def load(self, loader: addonmanager.Loader) -> None:
        """Take mitmproxy's place."""
        vars(ctx.master)["load_flow"] = _load_flow

    def done(self) -> None:
        """Leave it, unless somebody else has taken it since."""
        if vars(ctx.master).get("load_flow") is _load_flow:
            del vars(ctx.master)["load_flow"]


async def _load_flow(loaded: flow.Flow) -> None:
    for event in eventsequence.iterate(loaded):
        await ctx.master.addons.handle_lifecycle(event)
