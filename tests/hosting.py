"""A mitmproxy in this process, with as much of it as the router leans on, and flows for it.

Nothing of it listens unless a test makes it.
"""

from typing import Any

from mitmproxy import connection, http, options
from mitmproxy.addons import default_addons, tlsconfig
from mitmproxy.proxy import mode_specs
from mitmproxy.test import taddons, tflow

from route_addon.core.messages import Field
from tests.minting import NOW

CLIENT = "203.0.113.7"
"""Somebody on the Internet who reached us without a proxy."""
PORT = 8080
"""Where the router listens, as flows say it."""
HOST = (b"Host", b"desk.example:8080")

_REVERSE = mode_specs.ProxyMode.parse("reverse:http://127.0.0.1:9")
_HTTP_2 = b"HTTP/2.0"


def make_host() -> Any:
    """A context of ``taddons`` with mitmproxy's own addons, but for the one that makes a CA."""
    make_context: Any = taddons.context
    untyped: Any = default_addons
    addons = [addon for addon in untyped() if not isinstance(addon, tlsconfig.TlsConfig)]
    return make_context(*addons, options=options.Options(confdir="/no/such/folder"), loadcore=False)


def make_client(mode: mode_specs.ProxyMode = _REVERSE, **details: Any) -> connection.Client:
    """A client's connection, without TLS; details are attributes of it."""
    client: Any = connection.Client(
        peername=(CLIENT, 50000), sockname=("192.0.2.1", PORT), proxy_mode=mode, timestamp_start=NOW
    )
    for name, value in details.items():
        setattr(client, name, value)
    checked: connection.Client = client
    return checked


def make_flow(
    target: bytes = b"/",
    *fields: Field,
    method: bytes = b"GET",
    version: bytes = b"HTTP/1.1",
    authority: bytes = b"",
    client: connection.Client | None = None,
    live: bool = True,
) -> http.HTTPFlow:
    """A flow whose request head has come, as mitmproxy makes it in reverse mode.

    Args:
        target: In origin-form.
        fields: All but Host.
        method: The method.
        version: ``HTTP/1.1``, ``HTTP/1.0`` or ``HTTP/2.0``.
        authority: That of an absolute-form target, or HTTP/2's.
        client: Who sent it; somebody new unless told.
        live: Whether the client is there.
    """
    request = http.Request(
        "127.0.0.1",
        9,
        method,
        b"http",
        authority,
        target,
        version,
        headers=http.Headers(fields if version == _HTTP_2 else (HOST, *fields)),
        content=None,
        trailers=None,
        timestamp_start=NOW,
        timestamp_end=None,
    )
    return tflow.tflow(client_conn=client or make_client(), req=request, live=live)


def answer(flow: http.HTTPFlow, status: int = 200, *fields: Field) -> http.Response:
    """Give a flow the head of an upstream's answer."""
    flow.response = http.Response(
        b"HTTP/1.1", status, b"", http.Headers(fields), None, None, NOW, None
    )
    return flow.response
