"""Request heads and routers for the tests of the core."""

import ipaddress
from collections.abc import Mapping
from typing import Any

from route_addon.core.forwarded import PRIVATE_NETWORKS, TrustedProxies
from route_addon.core.messages import (
    HTTP_11,
    Decision,
    Field,
    Fields,
    Forward,
    Peer,
    RequestHead,
    Respond,
    Server,
    Verify,
)
from route_addon.core.router import Router, Rules
from route_addon.core.table import build_locations
from route_addon.core.targetmap import TargetMap
from route_addon.core.targets import TargetPolicy
from tests.minting import NOW, keys_in_force

CLIENT = Peer("203.0.113.7", b"http", 8080)
"""Somebody on the Internet who reached us without a proxy."""
PROXY = Peer("10.9.9.9", b"http", 8080)
"""A proxy of our own, trusted by default."""
TLS_CLIENT = Peer("203.0.113.7", b"https", 8443)

HOST = (b"Host", b"Desk.Example:8080")
REQUEST_ID = b"made-by-us"

UPSTREAMS: Mapping[str, tuple[Server, ...]] = {
    "website": (Server(b"http", "website", 80),),
    "pyos": (Server(b"http", "pyos", 8000),),
    "console": (Server(b"http", "console", 80),),
    "speedtest": (Server(b"http", "speedtest", 80),),
}


def make_head(
    target: bytes = b"/",
    *fields: Field,
    method: bytes = b"GET",
    version: bytes = HTTP_11,
    authority: bytes | None = None,
    host: Field | None = HOST,
    length: int = 0,
    peer: Peer = CLIENT,
) -> RequestHead:
    """A request head with a Host."""
    own: Fields = fields if host is None else (host, *fields)
    return RequestHead(method, target, version, authority, own, length, peer, REQUEST_ID)


def make_rules(**changes: Any) -> Rules:
    """The rules of an installation where nothing is set but keys and upstreams."""
    usual: dict[str, Any] = {
        "locations": build_locations(),
        "upstreams": UPSTREAMS,
        "proxies": TrustedProxies(map(ipaddress.ip_network, PRIVATE_NETWORKS)),
        "policy": TargetPolicy(),
        "keys": keys_in_force(),
    }
    return Rules(**{**usual, **changes})


def make_router(**changes: Any) -> Router:
    """A router with an empty cache."""
    return Router(make_rules(**changes), TargetMap(1000, 600))


def decide(router: Router, head: RequestHead, now: float = NOW) -> Decision:
    """Decide as a carrier does: verify the token where that is asked for, and decide again."""
    decision = router.decide(head, now)
    if isinstance(decision, Verify):
        decision = router.decide(head, now, router.verify(decision.token, now))
        assert not isinstance(decision, Verify)
    return decision


def forward(router: Router, head: RequestHead, now: float = NOW) -> Forward:
    """Decide, where the request must be forwarded."""
    decision = decide(router, head, now)
    assert isinstance(decision, Forward), decision
    return decision


def refusal(router: Router, head: RequestHead, now: float = NOW) -> tuple[int, str]:
    """Decide, where the request must be refused.

    Returns:
        Status and slug.
    """
    decision = decide(router, head, now)
    assert isinstance(decision, Respond), decision
    assert decision.error is not None, decision
    assert decision.error.status == decision.status
    return decision.status, decision.error.slug


def values(fields: Fields, name: bytes) -> list[bytes]:
    """The values of all lines of a field."""
    return [value for known, value in fields if known.lower() == name.lower()]
