"""The door: who lets connections in, and by which way."""

import json
import types
from typing import Any

import pytest

from route_addon.carry.listen.door import Door
from tests.hosting import make_host

HOOKS = (
    "client_connected",
    "client_disconnected",
    "next_layer",
    "tls_clienthello",
    "tls_start_client",
    "tls_established_client",
    "tls_failed_client",
)


class Ours:
    """An addon of ours: what it does when it is asked, the relay does unasked."""

    name = "ours"

    def client_connected(self, client: object) -> None:
        """Is not called."""


class Other:
    """Somebody else's addon."""

    name = "other"

    def __init__(self, **members: object) -> None:
        vars(self).update(members)


def _asker(hook: str) -> Other:
    return Other(**{hook: lambda data: None})


@pytest.fixture
async def host() -> Any:
    """mitmproxy with its own addons, and one of ours."""
    host = make_host()
    host.options.update(block_global=False)
    host.master.addons.add(Ours())
    return host


@pytest.fixture
def door(host: Any) -> Door:
    """Lets in whoever need not be asked about."""
    relay: Any = types.SimpleNamespace(is_watched=False)
    return Door(relay, Ours)


async def test_nobody_asks(door: Door) -> None:
    """mitmproxy's own addons and ours do not count."""
    first, second = door.admit(), door.admit()
    assert first is not None
    assert second is not None
    assert first is not second


async def test_watched(door: Door) -> None:
    """Flows are mitmproxy's, and so are the connections that they come by."""
    door._relay.is_watched = True  # type: ignore[misc]
    assert door.admit() is None
    door._relay.is_watched = False  # type: ignore[misc]
    assert door.admit() is not None


@pytest.mark.parametrize("hook", HOOKS)
async def test_an_addon_that_asks(hook: str, host: Any, door: Door) -> None:
    """From the moment that it is there to the moment that it is not."""
    assert door.admit() is not None
    other = _asker(hook)
    host.master.addons.add(other)
    assert door.admit() is None
    assert door.admit() is None
    host.master.addons.remove(other)
    assert door.admit() is not None


async def test_an_addon_below_another(host: Any, door: Door) -> None:
    """As a script is below the addon that loads it."""
    host.master.addons.add(Other(addons=[Other(name="inner", client_connected=print)]))
    assert door.admit() is None


async def test_a_kind_of_ours(host: Any, door: Door) -> None:
    """What looks like one of ours is somebody else's."""

    class Alike(Ours):
        name = "alike"

    host.master.addons.add(Alike())
    assert door.admit() is None


@pytest.mark.parametrize(
    "other", [Other(), Other(requestheaders=print), Other(next_layer=json)], ids=range(3)
)
async def test_an_addon_that_asks_for_nothing(other: Other, host: Any, door: Door) -> None:
    """A hook of requests is not asked about connections, and a module is no hook."""
    host.master.addons.add(other)
    assert door.admit() is not None


@pytest.mark.parametrize("blocking", ["block_global", "block_private"])
async def test_blocking(blocking: str, host: Any, door: Door) -> None:
    """mitmproxy refuses them itself: it is asked as long as it is to."""
    assert door.admit() is not None
    host.options.update(**{blocking: True})
    door.look_again()
    assert door.admit() is None
    host.options.update(**{blocking: False})
    door.look_again()
    assert door.admit() is not None
