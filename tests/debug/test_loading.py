"""Flows that are loaded from a file, in reverse mode."""

from typing import Any

import pytest
from mitmproxy import http

from route_addon.debug.loading import Loading
from tests.hosting import make_flow, make_host

DEAD_END = "127.0.0.1:9"


@pytest.fixture
async def host() -> Any:
    """mitmproxy in reverse mode, before our script is loaded."""
    host = make_host()
    host.options.update(mode=[f"reverse:http://{DEAD_END}"], server=False)
    return host


def make_loaded() -> http.HTTPFlow:
    """A flow that a file holds."""
    flow = make_flow(b"/filer/x", live=False)
    flow.request.data.host, flow.request.data.port = "10.0.0.1", 29783
    return flow


async def test_loaded_flow(host: Any) -> None:
    """It keeps the Host, and where it went; whoever looks at flows sees it."""
    seen: list[http.HTTPFlow] = []

    class Witness:
        def request(self, flow: http.HTTPFlow) -> None:
            seen.append(flow)

    host.master.addons.add(Witness())
    loading = Loading()
    host.master.addons.add(loading)
    flow = make_loaded()
    before = repr(flow.request.data)
    await host.master.load_flow(flow)
    assert repr(flow.request.data) == before
    assert seen == [flow]
    host.master.addons.remove(loading)


async def test_without_us(host: Any) -> None:
    """mitmproxy itself makes it name the dead end, and does so again once the script is gone."""
    loading = Loading()
    host.master.addons.add(loading)
    host.master.addons.remove(loading)
    flow = make_loaded()
    await host.master.load_flow(flow)
    assert flow.request.headers["Host"] == DEAD_END
    assert flow.request.host == "127.0.0.1"
    loading.done()


async def test_somebody_else(host: Any) -> None:
    """Whoever has taken the place since keeps it."""
    loading = Loading()
    host.master.addons.add(loading)

    async def load_flow(flow: http.HTTPFlow) -> None:
        """Another addon's."""

    host.master.load_flow = load_flow
    host.master.addons.remove(loading)
    assert host.master.load_flow is load_flow
