"""Where the relay's time goes, at one of the works of ``scripts/bench``.

scripts/profile [TEXT] [--watched] [--seconds S] [--rows N] [--lines]

TEXT is a part of a work's name, by default "warm GET, 1 KiB"; watched, flows are built of it.
Shown are the CPU time that the process spent for each, and the shares of functions: of their own
and with all that they call.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from scripts.benchmarks.compare import make_files
from scripts.benchmarks.inside import run_inside, wait_for_start
from scripts.benchmarks.origin import run_origin
from scripts.benchmarks.proxies import COLD, RELAY, STARTS, WATCHED
from scripts.benchmarks.works import WORKS, Tokens, Work

_ROOTS: Final = (Path(__file__).parents[2], *(Path(one) for one in sys.path if one))
_WARM_S: Final = 1.0
_START: Final = "from scripts.benchmarks.sampler import SAMPLER; SAMPLER.start()"
_STOP: Final = "from scripts.benchmarks.sampler import SAMPLER; result = SAMPLER.stop()"


def _find_work(text: str) -> Work:
    """The first work with a relay of ours whose name holds a text.

    Raises:
        SystemExit: There is none.
    """
    ours = [work for work in WORKS if RELAY in work.proxies or COLD in work.proxies]
    for work in ours:
        if text.lower() in work.name.lower():
            return work
    sys.exit(f"scripts/profile: no work {text!r}; there are: {'; '.join(w.name for w in ours)}")


def _shorten(file: str) -> str:
    """A file's name, from the folder of its package on."""
    for root in sorted(_ROOTS, key=lambda one: len(str(one)), reverse=True):
        if file.startswith(f"{root}/"):
            return file[len(str(root)) + 1 :]
    return file


def _print_shares(title: str, counts: Counter[str], samples: int, rows: int) -> None:
    print(f"\n{title}")
    for place, count in counts.most_common(rows):
        print(f"  {count / samples:6.1%}  {place}")


def _count(items: Iterable[tuple[tuple[str, int, str], int]], *, lines: bool) -> Counter[str]:
    counts: Counter[str] = Counter()
    for (file, line, function), count in items:
        where = f"{_shorten(file)}:{line}" if lines else _shorten(file)
        counts[f"{function} ({where})"] += count
    return counts


def main() -> int:
    """Print it."""
    parser = argparse.ArgumentParser(prog="scripts/profile", description=__doc__)
    parser.add_argument("text", nargs="?", default="warm GET, 1 KiB")
    parser.add_argument("--watched", action="store_true")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rows", type=int, default=40)
    parser.add_argument("--lines", action="store_true", help="by line, not by function")
    options = parser.parse_args()
    work = _find_work(options.text)
    unwatched = RELAY if RELAY in work.proxies else COLD
    name = WATCHED if options.watched else unwatched
    tokens = Tokens()
    with make_files() as files, run_origin() as origin, STARTS[name](name, origin, files) as proxy:
        wait_for_start(proxy)
        work.load(proxy, tokens, _WARM_S)
        plain = work.load(proxy, tokens, options.seconds)
        run_inside(proxy, _START)
        sampled = work.load(proxy, tokens, options.seconds)
        samples, own, whole = json.loads(run_inside(proxy, _STOP))
    print(f"{work.name}: {plain.cpu_us:.1f} us of CPU for each, {plain.rate:.0f} {work.unit}/s")
    print(f"sampled {samples} times, at {sampled.cpu_us:.1f} us for each")
    _print_shares("of its own", _count(own, lines=options.lines), samples, options.rows)
    _print_shares("with what it calls", _count(whole, lines=False), samples, options.rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
