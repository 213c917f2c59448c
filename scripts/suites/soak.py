"""Every kind of traffic at once, for minutes, and what the relay holds before and after.

scripts/soak [MINUTES]
"""

import contextlib
import random
import re
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from scripts.suites.conformance import relay
from tests.e2e.fleet import ALICE, Fleet
from tests.e2e.footprint import MIB, Footprint, wait_for_rest
from tests.e2e.harness import Client, Router, Wire, build_chunks, build_request
from tests.e2e.process import close_confdir
from tests.e2e.raw_server import RawServer

THREADS = 12
REPORT_S = 15.0
HANDSHAKE = (
    (b"Connection", b"Upgrade"),
    (b"Upgrade", b"websocket"),
    (b"Sec-WebSocket-Version", b"13"),
    (b"Sec-WebSocket-Key", b"dGhlIHNhbXBsZSBub25jZQ=="),
)

type Deed = Callable[[Router, Fleet, random.Random], object]


def _serve(wire: Wire) -> None:
    """A pod's server that fails in some way after every other request."""
    chance = random.Random()
    while True:
        head = wire.read_head()
        if b"Upgrade: websocket" in head:
            wire.send(b"HTTP/1.1 101 X\r\n\r\n")
            while data := wire.receive():
                wire.send(data)
                if chance.random() < 0.1:
                    wire.reset()
            return
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + bytes(100_000)
        cut = chance.choice((len(answer), len(answer), 5, 50_000))
        wire.send(answer[:cut])
        if cut < len(answer):
            return


def _ask(router: Router, fleet: Fleet, chance: random.Random) -> None:
    with router.connect() as client:
        for _ in range(chance.randrange(1, 50)):
            client.ask(build_request(chance.choice((b"/API/x", b"/", b"/healthz", b"/filer/x"))))


def _pipeline(router: Router, fleet: Fleet, chance: random.Random) -> None:
    count = chance.randrange(1, 100)
    with router.connect() as client:
        client.send(build_request(b"/API/x") * count)
        for _ in range(chance.randrange(count)):
            client.read_answer()


def _upload(router: Router, fleet: Fleet, chance: random.Random) -> None:
    size = chance.choice((10, 70_000, MIB, 2 * MIB))
    target = chance.choice((b"/API/x", b"/speedtest/x", b"/filer/x"))
    authorization = (b"ABCAuthorization", b"Bearer " + fleet.alice.token)
    sent = chance.choice((size, size // 2))
    with router.connect() as client:
        length = (b"Content-Length", b"%d" % size)
        head = build_request(target, length, authorization, method=b"POST")
        client.send(head + bytes(sent))
        if sent == size:
            client.read_answer(b"POST")


def _upload_chunks(router: Router, fleet: Fleet, chance: random.Random) -> None:
    chunked = (b"Transfer-Encoding", b"chunked")
    parts = [bytes(chance.randrange(1, 100_000)) for _ in range(chance.randrange(1, 20))]
    with router.connect() as client:
        head = build_request(b"/API/x", chunked, method=b"POST")
        client.send(head + build_chunks(*parts))
        client.read_answer(b"POST")


def _visit_pod(router: Router, fleet: Fleet, chance: random.Random) -> None:
    with router.connect() as client:
        for _ in range(10):
            client.ask(build_request(_target(fleet)))


def _open_websocket(router: Router, fleet: Fleet, chance: random.Random) -> None:
    with router.connect() as client:
        client.send(build_request(_target(fleet), *HANDSHAKE))
        client.read_head()
        for _ in range(chance.randrange(20)):
            client.send(bytes(chance.randrange(1, 10_000)))
            client.receive()
        if chance.random() < 0.5:
            client.reset()


def _leave(router: Router, fleet: Fleet, chance: random.Random) -> None:
    with router.connect() as client:
        request = build_request(_target(fleet))
        client.send(request[: chance.randrange(len(request))] or request)
        if chance.random() < 0.5:
            client.reset()


def _talk_nonsense(router: Router, fleet: Fleet, chance: random.Random) -> None:
    with router.connect() as client:
        client.send(chance.randbytes(chance.randrange(1, 1000)) + b"\r\n\r\n")
        client.read_to_end()


def _read_slowly(router: Router, fleet: Fleet, chance: random.Random) -> None:
    with router.connect() as client:
        client.send(build_request(_target(fleet)) * 20)
        time.sleep(chance.random())
        client.receive()


DEEDS: tuple[Deed, ...] = (
    _ask,
    _pipeline,
    _upload,
    _upload_chunks,
    _visit_pod,
    _open_websocket,
    _leave,
    _talk_nonsense,
    _read_slowly,
)

_port = 0


def _target(fleet: Fleet) -> bytes:
    return b"/container/%b/%d/x" % (fleet.alice.token, _port)


class Crowd:
    """Clients that do all kinds of things until they are told to stop.

    Args:
        router: The relay.
        fleet: What is behind it.
    """

    def __init__(self, router: Router, fleet: Fleet) -> None:
        self.deeds: Counter[str] = Counter()
        self.surprises: Counter[str] = Counter()
        self._router, self._fleet = router, fleet
        self._is_over = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(random.Random(number),), daemon=True)
            for number in range(THREADS)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Let all of them end what they do."""
        self._is_over.set()
        for thread in self._threads:
            thread.join()

    def _run(self, chance: random.Random) -> None:
        while not self._is_over.is_set():
            deed = chance.choice(DEEDS)
            try:
                deed(self._router, self._fleet, chance)
            except TimeoutError:
                self.surprises[f"{deed.__name__} timed out"] += 1
            except (OSError, EOFError):
                pass
            self.deeds[deed.__name__] += 1


def _rss_mib(pid: int) -> float:
    match = re.search(r"^VmRSS:\s+([0-9]+) kB", Path(f"/proc/{pid}/status").read_text(), re.M)
    assert match is not None
    return int(match[1]) / 1024


def _print_footprint(when: str, now: Footprint) -> None:
    print(
        f"{when:>8}  {_rss_mib(now.pid):7.1f} MiB  {now.open_files:5} files  {now.tasks:5} tasks  "
        f"{now.connections:5} connections  {now.deadlines:5} deadlines  "
        f"{now.spooled_bytes:9} bytes spooled",
        flush=True,
    )


def main() -> int:
    """Run for as many minutes as the command line says, or for two."""
    global _port
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 2.0
    with (
        RawServer(_serve, ALICE) as server,
        relay(
            # Every visit has a token of its own: those that are remembered would look like a leak.
            route_cache_entries=256
        ) as (router, fleet),
    ):
        _port = server.port
        with contextlib.suppress(EOFError, OSError):
            Client(router.address).ask(build_request(b"/API/x"))
        before = Footprint.measure(router)
        _print_footprint("before", before)
        crowd = Crowd(router, fleet)
        began = time.monotonic()
        while (elapsed := time.monotonic() - began) < minutes * 60:
            time.sleep(min(REPORT_S, minutes * 60 - elapsed))
            _print_footprint(f"{time.monotonic() - began:.0f} s", Footprint.measure(router))
            # The back ends of the tests keep all that they get.
            fleet.forget()
        crowd.stop()
        try:
            after = wait_for_rest(router, before)
        except AssertionError as fault:
            print(f"it does not come to rest: {fault}")
            return 1
        _print_footprint("after", after)
        faults = [line for line in router.log.splitlines() if "failed:" in line]
    close_confdir()
    print(f"{sum(crowd.deeds.values())} deeds: {dict(crowd.deeds)}")
    for text in [*map(str, crowd.surprises.items()), *faults]:
        print(f"surprise: {text}")
    return 1 if crowd.surprises or faults else 0


if __name__ == "__main__":
    sys.exit(main())
