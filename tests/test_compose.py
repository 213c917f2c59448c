"""The parts, joined."""

from typing import Any

import pytest

from route_addon.compose import build_addon
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
