"""This router and other proxies, side by side at the same work, in alternating rounds.

scripts/bench [--rounds N] [--seconds S] [--only TEXT]... [--proxy NAME]... [--write]

Every proxy runs on one core (two workers on two), the load and the origin on the other. A ratio
is of rates within one run; CPU is what the proxy itself spent. The least of the rounds' CPU and
the median of their rates count; the spread is the rates' greatest over their least.
"""

import argparse
import contextlib
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from scripts.benchmarks.loads import Measure
from scripts.benchmarks.machine import describe
from scripts.benchmarks.origin import run_origin
from scripts.benchmarks.proxies import PARENT, STARTS, Files, Proxy
from scripts.benchmarks.report import Result, Results, print_table, write_report
from scripts.benchmarks.works import WORKS, Tokens, Work
from tests.e2e.certificates import make_certificate
from tests.minting import key_pair


@contextlib.contextmanager
def make_files() -> Iterator[Files]:
    """Keys and a certificate."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = Files(folder, folder / "certificate.pem", folder / "signing", folder / "payload")
        files.certificate.write_bytes(make_certificate("localhost"))
        files.signing_key.write_bytes(key_pair("signing").public_pem)
        files.payload_key.write_bytes(key_pair("payload").private_pem)
        yield files


def measure_all(
    works: Sequence[Work], names: Sequence[str], rounds: int, seconds: float
) -> Results:
    """Let all do all their works, in turn, some times over."""
    measures: dict[tuple[str, str], list[Measure]] = {}
    tokens = Tokens()
    with make_files() as files, run_origin() as origin, contextlib.ExitStack() as stack:
        proxies: dict[str, Proxy] = {}
        for name in names:
            if any(name in work.proxies for work in works):
                proxies[name] = stack.enter_context(STARTS[name](name, origin, files))
        for number in range(rounds):
            for work in works:
                for name in work.proxies:
                    if name not in proxies:
                        continue
                    _say(f"round {number + 1} of {rounds}: {work.name}, {name}")
                    try:
                        measure = work.load(proxies[name], tokens, seconds)
                    except (AssertionError, OSError) as fault:
                        _say(f"spoilt: {work.name}, {name}: {fault}\n")
                    else:
                        measures.setdefault((work.name, name), []).append(measure)
    return {key: _result(values) for key, values in measures.items()}


def _result(values: Sequence[Measure]) -> Result:
    rates = [one.rate for one in values]

    def least(picked: Iterator[float | None]) -> float | None:
        known = [value for value in picked if value is not None]
        return min(known) if known else None

    return Result(
        rate=statistics.median(rates),
        spread=max(rates) / max(min(rates), 1e-9),
        cpu_us=min(one.cpu_us for one in values),
        p50_ms=least(one.p50_ms for one in values),
        p99_ms=least(one.p99_ms for one in values),
        memory_mib=max(
            (one.memory_mib for one in values if one.memory_mib is not None), default=None
        ),
    )


def _say(text: str) -> None:
    print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def main() -> int:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2, help="for each load")
    parser.add_argument(
        "--only", action="append", default=[], metavar="TEXT", help="in a work's name"
    )
    parser.add_argument("--proxy", action="append", default=[], choices=list(STARTS))
    parser.add_argument("--write", action="store_true", help="write docs/performance.*, too")
    chosen = parser.parse_args()
    works = [
        work for work in WORKS if not chosen.only or any(text in work.name for text in chosen.only)
    ]
    names = [name for name in STARTS if not chosen.proxy or name in (*chosen.proxy, PARENT)]
    results = measure_all(works, names, chosen.rounds, chosen.seconds)
    _say("")
    print(describe())
    print_table(results, works)
    if chosen.write:
        write_report(results, works, describe())
    return 0


if __name__ == "__main__":
    sys.exit(main())
