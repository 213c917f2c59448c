"""What a GET of the website costs the relay: pools, cache and compression, off and on.

CPU time of the relay's process for each request, so that the load beside it does not matter; the
ratios are to the relay with one server and nothing on. Rounds alternate; the least counts.
Needs wrk (Debian's package).
"""

import asyncio
import contextlib
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from scripts.suites.relays import relay
from tests.e2e.process import Router

_ROUNDS: Final = 3
_LOAD_S: Final = 2
_TEXT: Final = b"<p>A line of a page, and another one.</p>\n" * 100
_TICKS: Final = os.sysconf("SC_CLK_TCK")


class _Website(asyncio.Protocol):
    """Answers every request at once, by its path."""

    answers: Mapping[bytes, bytes]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        for request in data.split(b"\r\n\r\n")[:-1]:
            self._transport.write(self.answers[request.split(b" ", 2)[1]])


def _say(fields: bytes, body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\n%bContent-Length: %d\r\n\r\n%b" % (fields, len(body), body)


_Website.answers = {
    b"/plain": _say(b"Cache-Control: no-store\r\n", bytes(1024)),
    b"/fresh": _say(b"Cache-Control: max-age=9999\r\n", bytes(1024)),
    b"/stale": _say(b'ETag: "1"\r\nCache-Control: no-cache\r\n', bytes(1024)),
    b"/text": _say(b"Cache-Control: no-store\r\nContent-Type: text/html\r\n", _TEXT),
    b"/kept": _say(b"Cache-Control: max-age=9999\r\nContent-Type: text/html\r\n", _TEXT),
}


@contextlib.contextmanager
def run_website() -> Iterator[int]:
    """A website in a thread of its own."""
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(loop.create_server(_Website, "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        server.close()
        loop.close()


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _measure_us(router: Router, pid: int, path: str, fields: tuple[str, ...]) -> float:
    url = f"http://127.0.0.1:{router.port}{path}"
    words = ["wrk", "-t1", "-c16", f"-d{_LOAD_S}s", *(f"-H{field}" for field in fields), url]
    before = _cpu_s(pid)
    told = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    spent = _cpu_s(pid) - before
    match = re.search(r"([0-9]+) requests in", told)
    assert match is not None and "Non-2xx" not in told, told
    return spent / int(match[1]) * 1e6


def main() -> int:
    """Print the table."""
    if shutil.which("wrk") is None:
        print("scripts/bench website: needs wrk (apt-get install wrk)")
        return 2
    gzip = ("Accept-Encoding: gzip",)
    with contextlib.ExitStack() as stack:
        ports = [stack.enter_context(run_website()) for _ in range(2)]
        one, two = (f"http://127.0.0.1:{port}" for port in ports)
        off = {"route_http_cache": "none", "route_compress": "none"}
        relays = {
            name: stack.enter_context(relay(**options))[0]
            for name, options in {
                "off": {"route_website": one, **off},
                "pool": {"route_website": f"{one},{two}", **off},
                "cache": {"route_website": one, "route_compress": "none"},
                "gzip": {"route_website": one, "route_http_cache": "none"},
                "all": {"route_website": f"{one},{two}"},
            }.items()
        }
        pids = {
            name: int(router.run_inside("import os; result = os.getpid()"))
            for name, router in relays.items()
        }
        cases = {
            "1 KiB, all off": ("off", "/plain", ()),
            "1 KiB, a pool of two": ("pool", "/plain", ()),
            "1 KiB, the cache on, not to be stored": ("cache", "/plain", ()),
            "1 KiB, validated each time": ("cache", "/stale", ()),
            "1 KiB, a hit": ("cache", "/fresh", ()),
            "4 KiB of text, all off": ("off", "/text", gzip),
            "4 KiB of text, gzip": ("gzip", "/text", gzip),
            "4 KiB of text, a hit that is kept as gzip": ("all", "/kept", gzip),
        }
        spent: dict[str, list[float]] = {name: [] for name in cases}
        for _ in range(_ROUNDS):
            for name, (which, path, fields) in cases.items():
                spent[name].append(_measure_us(relays[which], pids[which], path, fields))
    unit = min(spent["1 KiB, all off"])
    for name, values in spent.items():
        least, most = min(values), max(values)
        print(f"{name:45} {least:7.1f} us  {least / unit:5.2f}  (spread {most / least:.2f})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
