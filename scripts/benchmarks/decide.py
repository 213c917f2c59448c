"""What a decision costs: by kind, and by the number of tokens in the cache.

Microseconds are this machine's; the ratios are to a bare lookup of the token in a dict.
"""

import base64
import ipaddress
import time
import timeit
from collections.abc import Callable

import jwt
from Crypto.Cipher import PKCS1_v1_5
from Crypto.PublicKey import RSA

from route_addon.core.forwarded import PRIVATE_NETWORKS, TrustedProxies
from route_addon.core.keys import Keys, load_payload_key, load_signing_key
from route_addon.core.messages import HTTP_11, Fields, Peer, RequestHead, Server
from route_addon.core.router import Router, Rules
from route_addon.core.table import build_locations
from route_addon.core.targetmap import TargetMap, Verified
from route_addon.core.targets import TargetPolicy

_ROUNDS, _CALLS = 7, 5000
_BROWSER: Fields = (
    (b"Host", b"desktop.example.com"),
    (b"User-Agent", b"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
    (b"Accept", b"*/*"),
    (b"Accept-Language", b"en-US,en;q=0.5"),
    (b"Accept-Encoding", b"gzip, deflate, br, zstd"),
    (b"Referer", b"https://desktop.example.com/"),
    (b"Connection", b"keep-alive"),
    (b"Cookie", b"theme=dark; session=8c1f3f0b2a"),
    (b"Sec-Fetch-Dest", b"empty"),
    (b"Sec-Fetch-Mode", b"cors"),
    (b"Sec-Fetch-Site", b"same-origin"),
)


def main() -> None:
    """Print the table."""
    signing, payload = RSA.generate(2048), RSA.generate(2048)
    keys = Keys(
        (load_signing_key(signing.publickey().export_key()),),
        (load_payload_key(payload.export_key()),),
    )
    upstreams = {
        name: (Server(b"http", name, 80),) for name in ("website", "pyos", "console", "speedtest")
    }
    proxies = TrustedProxies(map(ipaddress.ip_network, PRIVATE_NETWORKS))
    rules = Rules(build_locations(), upstreams, proxies, TargetPolicy(), keys)
    now = time.time()
    sealed = PKCS1_v1_5.new(payload.publickey()).encrypt(b"10.1.2.3")
    claims = {"key": 0, "exp": int(now) + 420, "hash": base64.b64encode(sealed).decode()}
    token = jwt.encode(claims, signing.export_key(), "RS256").encode()

    bare = {token: 1}
    copy = bytes(bytearray(token))
    unit_us = _measure(lambda: bare[bytes(bytearray(copy))])
    _print("look a token up in a dict", unit_us, unit_us)
    router = Router(rules, TargetMap(65536, 600))
    router.targets.put(token, Verified("10.1.2.3", now + 420), now)
    desktop = _head(b"/filer/home/report.pdf?download=1", token)
    for name, head in (
        ("warm token, a browser's head", desktop),
        (
            "warm token, two fields",
            desktop._replace(fields=(desktop.fields[0], desktop.fields[-1])),
        ),
        ("pyos, a browser's head", _head(b"/API/user/getinfo")),
        ("website, a browser's head", _head(b"/index.html")),
        ("/healthz", _head(b"/healthz")),
        ("no token: 401", _head(b"/filer/home")),
        ("malformed token: 401", _head(b"/filer/home", b"x.y")),
    ):
        _print(name, _measure(lambda head=head: router.decide(head, now)), unit_us)
    _print("verify a cold token", _measure(lambda: router.verify(token, now), 100), unit_us)
    for entries in (1, 100, 10_000, 65_535):
        router = Router(rules, TargetMap(65536, 600))
        for number in range(entries - 1):
            router.targets.put(b"%d.%s" % (number, token), Verified("10.1.2.3", now + 420), now)
        router.targets.put(token, Verified("10.1.2.3", now + 420), now)
        warm_us = _measure(lambda router=router: router.decide(desktop, now))
        _print(f"warm, {entries} tokens cached", warm_us, unit_us)


def _head(target: bytes, token: bytes = b"") -> RequestHead:
    fields = (*_BROWSER, (b"ABCAuthorization", b"Bearer " + token)) if token else _BROWSER
    peer = Peer("203.0.113.7", b"http", 80)
    return RequestHead(b"GET", target, HTTP_11, None, fields, 0, peer, b"0123456789abcdef")


def _measure(call: Callable[[], object], calls: int = _CALLS) -> float:
    """The best of some rounds, in microseconds a call."""
    return min(timeit.repeat(call, number=calls, repeat=_ROUNDS)) / calls * 1e6


def _print(name: str, cost_us: float, unit_us: float) -> None:
    print(f"{name:<34}{cost_us:9.2f} us {cost_us / unit_us:9.1f} x")


if __name__ == "__main__":
    main()
