"""The work that proxies are compared at, as data: what is asked, and of whom."""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from scripts.benchmarks.inside import run_inside
from scripts.benchmarks.loads import Measure, client, h2load, handshakes, wrk
from scripts.benchmarks.origin import GIB
from scripts.benchmarks.proxies import (
    COLD,
    COLD_2,
    HAPROXY,
    PARENT,
    PLAIN,
    POOLED,
    RELAY,
    SERVE,
    SERVE_2,
    STOCK,
    WATCHED,
    Proxy,
)
from tests.minting import mint

type Load = Callable[[Proxy, "Tokens", float], Measure]

ALL: Final = (PARENT, POOLED, HAPROXY, PLAIN, STOCK, WATCHED, RELAY, SERVE, SERVE_2)
_BULK: Final = (PARENT, POOLED, HAPROXY, STOCK, WATCHED, RELAY, SERVE)
_OURS: Final = (RELAY,)
_OTHERS: Final = (PARENT, POOLED, HAPROXY, PLAIN)
_MANY: Final = 1000
_LIFE_S: Final = 7200.0


class Tokens:
    """Tokens for as many desktops as are asked for; each has an address of its own."""

    def __init__(self) -> None:
        self._minted: list[str] = []

    def first(self, count: int) -> list[str]:
        """The first so many."""
        while len(self._minted) < count:
            number = len(self._minted)
            address = f"127.0.{number // 200 + 1}.{number % 200 + 1}"
            self._minted.append(mint(address, now=time.time(), life_s=_LIFE_S).decode())
        return self._minted[:count]


@dataclass(frozen=True)
class Work:
    """One kind of work.

    Attributes:
        name: What is done.
        unit: What is counted.
        load: Does it.
        proxies: Who is asked.
    """

    name: str
    unit: str
    load: Load
    proxies: Sequence[str] = ALL


def _get(proxy: Proxy, tokens: Tokens, seconds: float, *, is_tls: bool = False) -> Measure:
    (token,) = tokens.first(1)
    return wrk(proxy, "/filer/x", seconds, fields=[f"ABCAuthorization: {token}"], is_tls=is_tls)


def _get_for(count: int, proxy: Proxy, tokens: Tokens, seconds: float) -> Measure:
    return wrk(proxy, "/filer/x", seconds, tokens=tokens.first(count))


def _get_warm_for(count: int, proxy: Proxy, tokens: Tokens, seconds: float) -> Measure:
    _get_for(count, proxy, tokens, 1)  # until all are known
    return _get_for(count, proxy, tokens, seconds)


def _get_among(entries: int, proxy: Proxy, tokens: Tokens, seconds: float) -> Measure:
    _fill_cache(proxy, entries)
    return _get(proxy, tokens, seconds)


def _fill_cache(proxy: Proxy, entries: int) -> None:
    """Let it hold so many verified tokens: to mint them all would take minutes."""
    code = f"""
import time
from route_addon.core.targetmap import Verified
targets, now = ctx.master.addons.get("route").router.targets, time.time()
for number in range({entries}):
    token = b"%d.%s" % (number, b"x" * 600)
    targets.put(token, Verified("127.0.0.1", now + 3600), now)
result = len(targets)
"""
    told = run_inside(proxy, code)
    assert int(told) >= min(entries, 60_000), told


def _refuse(proxy: Proxy, tokens: Tokens, seconds: float) -> Measure:
    target = "/refused" if proxy.name in _OTHERS else "/filer/x"
    return wrk(proxy, target, seconds, status=401)


def _website(target: str, proxy: Proxy, tokens: Tokens, seconds: float) -> Measure:
    return wrk(proxy, target, seconds)


def _post(size: int, proxy: Proxy, tokens: Tokens, seconds: float) -> Measure:
    return wrk(proxy, "/API/x", seconds, body_bytes=size)


def _h2(proxy: Proxy, tokens: Tokens, seconds: float) -> Measure:
    (token,) = tokens.first(1)
    return h2load(proxy, "/filer/x", seconds, [f"ABCAuthorization: {token}"])


def _handshake(proxy: Proxy, tokens: Tokens, seconds: float, *, is_resumed: bool) -> Measure:
    return handshakes(proxy, "/API/x", seconds, is_resumed=is_resumed)


def _client(
    kind: str, details: dict[str, object], proxy: Proxy, tokens: Tokens, seconds: float
) -> Measure:
    (token,) = tokens.first(1)
    if kind == "rest":
        details = {**details, "http_port": proxy.port}
    return client(proxy, kind, seconds, token=token, **details)


def _own(kind: str, **details: object) -> Load:
    json.dumps(details)
    return partial(_client, kind, details)


WORKS: Final = (
    Work("warm GET, 1 KiB", "requests", _get),
    Work("warm GET over TLS", "requests", partial(_get, is_tls=True)),
    Work("warm GET over HTTP/2", "requests", _h2),
    Work("refusal: no token", "requests", _refuse, tuple(name for name in ALL if name != PLAIN)),
    Work("cold tokens", "requests", partial(_get_for, _MANY), (COLD, COLD_2)),
    Work("GET on a new connection", "connections", _own("connect")),
    Work("GET on a new TLS connection", "connections", partial(_handshake, is_resumed=False)),
    Work("the same, resumed", "connections", partial(_handshake, is_resumed=True)),
    Work("WebSocket, 64 B echo", "messages", _own("echo_latency", size=64)),
    Work("WebSocket, 64 KiB echo", "MiB", _own("echo_throughput", size=2**16)),
    Work("1 GiB down", "MiB", _own("download", size=GIB), _BULK),
    Work("1 GiB up, collected", "MiB", _own("upload", size=GIB), (PARENT, POOLED, RELAY, SERVE)),
    Work("GETs beside 1,000 WebSockets at rest", "requests", _own("rest", count=_MANY)),
    Work("GETs alone", "requests", _own("ask")),
    Work("warm GET, 1 desktop", "requests", partial(_get_warm_for, 1), (RELAY, SERVE)),
    Work("warm GET, 100 desktops", "requests", partial(_get_warm_for, 100), (RELAY, SERVE)),
    Work("warm GET, 1,000 desktops", "requests", partial(_get_warm_for, _MANY), (RELAY, SERVE)),
    Work("warm GET, 65,536 tokens kept", "requests", partial(_get_among, 65_536), _OURS),
    Work(
        "website, cache hit",
        "requests",
        partial(_website, "/kept"),
        (*_OTHERS, WATCHED, RELAY, SERVE),
    ),
    Work("website, not to be kept", "requests", partial(_website, "/x")),
    Work("POST of 2 KiB to /API", "requests", partial(_post, 2048)),
    Work("POST of 1 MiB to /API", "requests", partial(_post, 2**20)),
)
"""All works, in the order of the table."""
