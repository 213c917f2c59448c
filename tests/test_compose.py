"""The parts, joined."""

from typing import Any

import pytest
from mitmproxy import contentviews

from route_addon.compose import build_addon, build_service
from route_addon.debug.views.registration import Views
from route_addon.debug.views.terminal import Terminal
from tests.hosting import make_host


@pytest.fixture
async def host() -> Any:
    """mitmproxy, before our script is loaded."""
    return make_host()


async def test_parts(host: Any) -> None:
    """One addon for mitmproxy to load, with its parts below it; the judge asks its router."""
    host.options.update(server=False)
    addon = build_addon()
    host.master.addons.add(addon)
    route = host.master.addons.get("route")
    judge = host.master.addons.get("route_judge")
    assert addon.addons[:2] == [route, judge]
    assert judge._router() is route.router
    assert route.router is not None
    host.master.addons.remove(addon)


async def test_parts_of_a_service(host: Any) -> None:
    """A service has the same router, and what an operator asked for; nothing to show to anybody."""
    host.options.update(server=False)
    service = build_service()
    host.master.addons.add(service)
    assert [getattr(one, "name", "") for one in service.addons] == [
        "route",
        "route_recorder",
        "route_observing",
    ]
    assert host.master.addons.get("route").router is not None
    host.master.addons.remove(service)


async def test_script_that_is_loaded_again(host: Any) -> None:
    """The guard is the one that is there already."""
    host.options.update(server=False)
    first = build_addon()
    host.master.addons.add(first)
    guard = host.master.addons.get("route_guard")
    host.master.addons.remove(first)
    second = build_addon()
    host.master.addons.add(second)
    assert host.master.addons.get("route") is not first.addons[0]
    assert host.master.addons.get("route").guard is guard
    assert host.master.addons.get("route_guard") is guard
    assert host.master.addons.chain.count(guard) == 1
    host.master.addons.remove(second)


async def test_views_come_and_go(host: Any) -> None:
    """Views are there while the script is, once each, and those of the script that was reloaded."""
    host.options.update(server=False)
    without = set(contentviews.registry)
    names = {"route", "desktop token", "rfb", "terminal", "signalling"}
    first = build_addon()
    host.master.addons.add(first)
    assert set(contentviews.registry) - without == names
    of_first = contentviews.registry["rfb"]
    host.master.addons.remove(first)
    assert set(contentviews.registry) == without
    second = build_addon()
    host.master.addons.add(second)
    assert set(contentviews.registry) - without == names
    assert contentviews.registry["rfb"] is not of_first
    host.master.addons.remove(second)


async def test_views_of_others_stay(host: Any) -> None:
    """Whoever has taken a view's name since keeps it."""
    host.options.update(server=False)
    addon = build_addon()
    host.master.addons.add(addon)
    others = Terminal()
    contentviews.add(others)
    host.master.addons.remove(addon)
    assert contentviews.registry["terminal"] is others
    Views([others]).done()
    assert "terminal" not in contentviews.registry
