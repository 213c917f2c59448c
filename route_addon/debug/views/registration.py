"""The content views, as an addon: they come and go with the script."""

from collections.abc import Sequence

from mitmproxy import addonmanager, contentviews


class Views:
    """Registers content views.

    Args:
        views: The views.
    """

    name = "route_views"

    def __init__(self, views: Sequence[contentviews.Contentview]) -> None:
        self._views = views

    def load(self, loader: addonmanager.Loader) -> None:
        """Register them."""
        for view in self._views:
            contentviews.add(view)

    def done(self) -> None:
        """Take them away, unless others of their names have come: the script is loaded anew.

        mitmproxy has no call for it; without, views would outlive the router that they ask.
        """
        registered = contentviews.registry._by_name
        for view in self._views:
            if registered.get(view.name.lower()) is view:
                del registered[view.name.lower()]
