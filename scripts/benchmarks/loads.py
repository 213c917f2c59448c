"""Loads: outside programs and clients of our own, pinned to the load's core, for some seconds."""

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from typing import Final, NamedTuple

from scripts.benchmarks.machine import LOAD_CORE, cpu_s, reset_peak, rss_mib
from scripts.benchmarks.proxies import Proxy

CONNECTIONS: Final = 16
_PATIENCE_S: Final = 20


class Measure(NamedTuple):
    """What one load told of one proxy."""

    rate: float
    """How much a second: requests, connections, messages or MiB."""
    cpu_us: float
    """The CPU time that the proxy spent for each, in microseconds."""
    p50_ms: float | None = None
    p99_ms: float | None = None
    memory_mib: float | None = None
    """How much more memory than before the proxy held at its peak, or for each socket."""


_LUA: Final = """
local i = 0
request = function()
    i = i + 1
    wrk.headers["ABCAuthorization"] = tokens[(i % #tokens) + 1]
    return wrk.format()
end
"""


def wrk(
    proxy: Proxy,
    target: str,
    seconds: float,
    *,
    fields: Sequence[str] = (),
    tokens: Sequence[str] = (),
    body_bytes: int = 0,
    is_tls: bool = False,
    status: int = 200,
) -> Measure:
    """GET, or POST, as fast as some connections can.

    Args:
        proxy: Whom to ask.
        target: What to ask for.
        seconds: How long.
        fields: Header lines.
        tokens: One of them goes with each request, in turn.
        body_bytes: How much is sent with each request.
        is_tls: Whether by https.
        status: What is expected; anything else spoils the measure.
    """
    scheme, port = ("https", proxy.tls_port) if is_tls else ("http", proxy.port)
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        if tokens:
            listed = ",".join(f'"{one}"' for one in tokens)
            script.write(f"tokens = {{{listed}}}\n{_LUA}")
        elif body_bytes:
            script.write(f'wrk.method = "POST"\nwrk.body = string.rep("x", {body_bytes})\n')
        script.flush()
        words = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{max(1, round(seconds))}s", "--latency"]
        words += [f"-H{field}" for field in fields]
        words += ["-s", script.name] if tokens or body_bytes else []
        before = cpu_s(proxy.pid)
        told = _run([*words, f"{scheme}://127.0.0.1:{port}{target}"])
        spent_s = cpu_s(proxy.pid) - before
    count, rate = (
        int(_find(r"(\d+) requests in", told)),
        float(_find(r"Requests/sec:\s+(\S+)", told)),
    )
    bad = int(_find(r"Non-2xx or 3xx responses: (\d+)", told, "0"))
    assert (bad == 0) if status < 300 else (bad == count), told
    p50, p99 = (_milliseconds(_find(rf"\n +{share}% +(\S+)", told)) for share in (50, 99))
    return Measure(rate, spent_s / max(count, 1) * 1e6, p50, p99)


def h2load(proxy: Proxy, target: str, seconds: float, fields: Sequence[str]) -> Measure:
    """GET over HTTP/2: a few connections with many streams each."""
    # It has been seen to miss its end, and to go on for ever.
    words = ["timeout", str(_PATIENCE_S + round(seconds)), "h2load", "-t1", "-c4", "-m8"]
    words += ["-D", str(max(1, round(seconds)))]
    words += [f"-H{field}" for field in fields]
    before = cpu_s(proxy.pid)
    told = _run([*words, f"https://127.0.0.1:{proxy.tls_port}{target}"])
    spent_s = cpu_s(proxy.pid) - before
    count = int(_find(r"(\d+) 2xx", told))
    rate = float(_find(r"finished in .*?, (\S+) req/s", told))
    return Measure(rate, spent_s / max(count, 1) * 1e6)


def handshakes(proxy: Proxy, target: str, seconds: float, *, is_resumed: bool) -> Measure:
    """One GET on each TLS connection."""
    words = ["openssl", "s_time", "-connect", f"127.0.0.1:{proxy.tls_port}", "-www", target]
    words += ["-time", str(max(1, round(seconds))), "-reuse" if is_resumed else "-new"]
    before = cpu_s(proxy.pid)
    told = _run(words)
    spent_s = cpu_s(proxy.pid) - before
    count, real_s = map(int, re.findall(r"(\d+) connections in (\d+) real seconds", told)[-1])
    return Measure(count / max(real_s, 1), spent_s / max(count, 1) * 1e6)


def client(proxy: Proxy, kind: str, seconds: float, **details: object) -> Measure:
    """One of our own clients: see ``scripts.benchmarks.clients``."""
    has_websockets = kind in ("echo_latency", "echo_throughput", "rest")
    port = (proxy.websocket_port if has_websockets else 0) or proxy.port
    request = {"kind": kind, "port": port, "seconds": seconds, **details}
    reset_peak(proxy.pid)
    resting_mib, before = rss_mib(proxy.pid), cpu_s(proxy.pid)
    told = json.loads(
        _run([sys.executable, "-m", "scripts.benchmarks.clients", json.dumps(request)])
    )
    # Where sockets were opened first, most of it went there.
    spent_s = cpu_s(proxy.pid) - before if kind != "rest" else 0.0
    return Measure(
        told["count"] / told["seconds"],
        spent_s / max(told["count"], 1) * 1e6,
        told.get("p50_ms"),
        told.get("p99_ms"),
        rss_mib(proxy.pid, "VmHWM") - resting_mib,
    )


def _run(words: Sequence[str]) -> str:
    done = subprocess.run(
        ["taskset", "-c", LOAD_CORE, *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{words[0]}: {done.stdout}{done.stderr}"
    return done.stdout


def _find(pattern: str, text: str, default: str | None = None) -> str:
    match = re.search(pattern, text)
    if match is None:
        assert default is not None, text
        return default
    return match[1]


def _milliseconds(text: str) -> float:
    for unit, factor in (("us", 1e-3), ("ms", 1.0), ("s", 1e3), ("m", 6e4)):
        if text.endswith(unit):
            return float(text.removesuffix(unit)) * factor
    raise ValueError(text)
