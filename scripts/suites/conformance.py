"""Outside suites against a relay: WebSockets, slow attacks, our own answers linted, the cache.

scripts/conformance [kosoku] [slowhttptest] [httplint] [cache]
"""

import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from scripts.suites.echo import run_echo
from scripts.suites.http_cache import run_http_cache
from scripts.suites.relays import Row, relay
from tests.e2e.fleet import ALICE, Fleet
from tests.e2e.footprint import Footprint, Memory
from tests.e2e.harness import Answer, Field, Router, build_chunks, build_request
from tests.e2e.process import close_confdir

MIB = 2**20
SLOW = {
    f"route_{name}_timeout": 5 for name in ("head", "body", "send", "keepalive", "tls_handshake")
}
ATTACKS = {
    "slow heads": ("-H", "-i", "1"),
    "slow bodies": ("-B", "-i", "1", "-s", "8192", "-x", "10"),
    "slow readers": ("-X", "-w", "1", "-y", "10", "-n", "1", "-z", "1", "-k", "3"),
}
CONNECTIONS = 200


# --- kosoku


def run_kosoku(programs: Path) -> Iterator[Row]:
    """Autobahn's cases through a tunnel, watched and not."""
    for watch in ("never", "always"):
        with (
            run_echo(ALICE) as port,
            relay(route_watch=watch, route_ports=f"ws_tcp_bridge={port}") as (
                router,
                fleet,
            ),
            tempfile.TemporaryDirectory() as folder,
        ):
            token = fleet.alice.mint(life_s=3600).decode()
            excluded = [word for cases in ("9.*", "12.*", "13.*") for word in ("-x", cases)]
            target = f"127.0.0.1:{router.port}/websockify?{token}"
            command = [str(programs / "kosoku"), *excluded, "-o", folder, target]
            subprocess.run(command, capture_output=True, check=False)
            (cases,) = json.loads(Path(folder, "index.json").read_text()).values()
        failed = [name for name, case in cases.items() if "FAILED" in case["behavior"]]
        name = "watched" if watch == "always" else "unwatched"
        result = f"{len(cases) - len(failed)} of {len(cases)}"
        yield Row("kosoku", f"WebSocket, {name}", " ".join([result, *failed]), not failed)


# --- slowhttptest


def run_slowhttptest(programs: Path) -> Iterator[Row]:
    """Slow clients, and how others fare meanwhile."""
    if shutil.which("slowhttptest") is None:
        yield Row("slowhttptest", "all", "not installed", True)
        return
    with relay(**SLOW) as (router, fleet):
        body = bytes(2 * MIB)
        fleet.website.play(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        for name, attack in ATTACKS.items():
            yield _attack(router, name, attack)


def _attack(router: Router, name: str, attack: tuple[str, ...]) -> Row:
    before = Footprint.measure(router)
    memory = Memory(before.pid)
    url = f"http://127.0.0.1:{router.port}/"
    count = ("-c", str(CONNECTIONS), "-r", str(CONNECTIONS), "-l", "15", "-p", "3")
    command = ["slowhttptest", *count, "-u", url, *attack]
    worst_s, most = 0.0, 0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as tester:
        while tester.poll() is None:
            began = time.monotonic()
            assert router.ask(build_request(b"/API/x")).status == 200
            worst_s = max(worst_s, time.monotonic() - began)
            most = max(most, Footprint.measure(router).connections)
            time.sleep(0.1)
    end = time.monotonic() + 30
    while (left := Footprint.measure(router).connections) and time.monotonic() < end:
        time.sleep(0.2)
    grown = memory.growth_bytes
    result = (
        f"{most} held at most, {left} at the end; others within {worst_s * 1000:.0f} ms; "
        f"{grown / MIB:+.0f} MiB"
    )
    is_good = worst_s < 1 and not left and grown < 25 * MIB
    return Row("slowhttptest", f"{name} x {CONNECTIONS}", result, is_good)


# --- httplint


def _requests(fleet: Fleet) -> Iterator[tuple[str, bytes, bytes]]:
    """What is asked, by name: the method, and the request."""
    json_type: Field = (b"Accept", b"application/json")
    html: Field = (b"Accept", b"text/html")
    chunked: Field = (b"Transfer-Encoding", b"chunked")
    for name, target, fields in (
        ("healthz", b"/healthz", ()),
        ("node", b"/node", ()),
        ("401", b"/filer/x", ()),
        ("401 in JSON", b"/filer/x", (json_type,)),
        ("401 in HTML", b"/filer/x", (html,)),
        ("401, bad token", b"/filer/x", ((b"ABCAuthorization", b"x"),)),
        ("400", b"/API/%zz", ()),
        ("404", b"/container/x/0/", ()),
        ("502", b"/container/%b/1/x" % fleet.alice.token, ()),
        ("forwarded", b"/API/x", ()),
    ):
        yield name, b"GET", build_request(target, *fields)
        yield f"{name}, HEAD", b"HEAD", build_request(target, *fields, method=b"HEAD")
    yield "405", b"TRACE", build_request(b"/API/x", method=b"TRACE")
    large = build_request(b"/API/x", chunked, method=b"POST") + build_chunks(bytes(MIB), b"x")
    yield "413", b"POST", large
    yield "414", b"GET", build_request(b"/" + b"x" * 9000)
    yield "417", b"GET", build_request(b"/", (b"Expect", b"x"))
    yield "431", b"GET", build_request(b"/", (b"X", b"x" * 9000))
    yield "501", b"POST", build_request(b"/", (b"Transfer-Encoding", b"gzip"), method=b"POST")
    yield "505", b"GET", build_request(b"/", version=b"HTTP/3.7")


def _as_json(name: str, method: bytes, answer: Answer) -> str:
    return json.dumps(
        {
            "name": name,
            "method": method.decode(),
            "status": answer.status,
            "reason": answer.start_line.split(b" ", 2)[2].decode("latin-1"),
            "fields": [(name.decode(), value.decode("latin-1")) for name, value in answer.fields],
            "body": answer.body.decode("latin-1"),
        }
    )


def run_httplint(programs: Path) -> Iterator[Row]:
    """Our own answers, and one that is passed on."""
    with relay(route_node_name="node-7") as (router, fleet):
        answers = []
        for name, method, request in _requests(fleet):
            with router.connect() as client:
                client.send(request)
                answers.append(_as_json(name, method, client.read_answer(method)))
    script = Path(__file__).with_name("lint_answers.py")
    done = subprocess.run(
        [str(programs / "python"), str(script)],
        input="\n".join(answers),
        capture_output=True,
        text=True,
        check=True,
    )
    notes = done.stdout.splitlines()
    bad = [note for note in notes if note.startswith("BAD")]
    for text, count in _count(re.sub(r" .*?:", "", note, count=1) for note in notes).items():
        yield Row(
            "httplint", text, f"{count} of {len(answers)} answers", not text.startswith("BAD")
        )
    yield Row("httplint", "faults", f"{len(bad)} in {len(answers)} answers", not bad)


def _count(texts: Iterator[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for text in texts:
        counts[text] = counts.get(text, 0) + 1
    return counts


SUITES: dict[str, Callable[[Path], Iterator[Row]]] = {
    "kosoku": run_kosoku,
    "slowhttptest": run_slowhttptest,
    "httplint": run_httplint,
    "cache": run_http_cache,
}


def main() -> int:
    """Run the suites named on the command line, or all."""
    programs = Path(sys.argv[1], "bin").absolute()
    chosen = sys.argv[2:] or list(SUITES)
    unknown = [name for name in chosen if name not in SUITES]
    if unknown:
        print(f"scripts/conformance: no suite {unknown[0]!r}; there are: {', '.join(SUITES)}")
        return 2
    rows = [row for name in chosen for row in SUITES[name](programs)]
    close_confdir()
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    for row in rows:
        mark = "ok " if row.is_good else "BAD"
        print(f"{mark}  {row.suite:{widths[0]}}  {row.what:{widths[1]}}  {row.result}")
    return 0 if all(row.is_good for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
