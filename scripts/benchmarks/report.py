"""What was measured, as tables for a terminal and for the documentation, as JSON, and a picture."""

import json
from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Final, NamedTuple

from route_addon.config.describe import markdown_table
from scripts.benchmarks.proxies import PARENT, PLAIN, POOLED, RELAY, SERVE, STARTS, WATCHED
from scripts.benchmarks.works import Work

DOCS: Final = Path(__file__).parents[2] / "docs"
_BEGIN: Final = "<!-- measured -->"
_END: Final = "<!-- end of measured -->"


class Result(NamedTuple):
    """What some rounds of one work told of one proxy."""

    rate: float
    """The median, a second."""
    spread: float
    """The greatest rate over the least."""
    cpu_us: float
    """The least CPU time for each, in microseconds."""
    p50_ms: float | None
    p99_ms: float | None
    memory_mib: float | None


type Results = Mapping[tuple[str, str], Result]
"""By work and proxy."""

type Cell = Callable[[Result, Result], str]
"""The text of a result beside the one that it is compared with."""


def _rate(result: Result, base: Result) -> str:
    return f"{result.rate / base.rate:.2f}"


def _cpu(result: Result, base: Result) -> str:
    return f"{result.cpu_us / base.cpu_us:.2f}" if base.cpu_us else "-"


def _spread(result: Result, base: Result) -> str:
    return f"{result.spread:.2f}"


def _latency(result: Result, base: Result) -> str:
    if result.p50_ms is None or result.p99_ms is None:
        return ""
    return f"{result.p50_ms:.2f} / {result.p99_ms:.2f}"


def _memory(result: Result, base: Result) -> str:
    return f"{result.memory_mib:.0f}" if result.memory_mib is not None else ""


TABLES: Final[Sequence[tuple[str, str, Cell]]] = (
    ("Rate, as a multiple of nginx as the parent is configured", PARENT, _rate),
    ("Rate, as a multiple of plain mitmdump", PLAIN, _rate),
    ("CPU time of the proxy for each, as a multiple of nginx as the parent is", PARENT, _cpu),
    ("Spread of the rates: the greatest round over the least", "", _spread),
    ("Latency, ms: half of them within / 99 of 100 within", "", _latency),
    ("Memory at its peak above what it was before, MiB", "", _memory),
)


def tables(results: Results, works: Sequence[Work]) -> list[tuple[str, list[list[str]]]]:
    """All tables: a title, and rows of cells with the names first."""
    made = []
    for title, base_name, cell in TABLES:
        rows = []
        for work in works:
            row = [_cell(results, work, name, base_name, cell) for name in STARTS]
            if any(row):
                rows.append([work.name, *row])
        if rows:
            made.append((title, rows))
    return made


def _cell(results: Results, work: Work, name: str, base_name: str, cell: Cell) -> str:
    result = results.get((work.name, name))
    base = results.get((work.name, base_name)) if base_name else result
    return cell(result, base) if result is not None and base is not None else ""


def print_table(results: Results, works: Sequence[Work]) -> None:
    """Print the tables, and the figures as they are."""
    width = max(len(work.name) for work in works) + 2
    for title, rows in tables(results, works):
        print(f"\n{title}")
        for row in rows:
            named = [f"{name} {text}" for name, text in zip(STARTS, row[1:], strict=True) if text]
            print(f"  {row[0]:{width}}" + "   ".join(named))
    print("\nAs measured on this machine, in this run")
    for (work_name, name), result in results.items():
        print(f"  {work_name:{width}}{name:34}{result.rate:12.1f}/s {result.cpu_us:9.1f} us")


def write_report(results: Results, works: Sequence[Work], machine: str) -> None:
    """Write the tables into docs/performance.md, and the rest beside it."""
    page = DOCS / "performance.md"
    before, _, rest = page.read_text().partition(_BEGIN)
    _, _, after = rest.partition(_END)
    parts = [f"{_BEGIN}\n\nMachine: {machine}. One core for the proxy, one for load and origin.\n"]
    for title, rows in tables(results, works):
        names = [name for name in STARTS if any(row[1 + list(STARTS).index(name)] for row in rows)]
        columns = [1 + list(STARTS).index(name) for name in names]
        body = [(row[0], *(row[column] for column in columns)) for row in rows]
        parts.append(f"### {title}\n\n{markdown_table(('work', *names), body)}\n")
    page.write_text(before + "\n".join(parts) + _END + after)
    data = {
        "machine": machine,
        "results": [
            {"work": work, "proxy": name, **result._asdict()}
            for (work, name), result in results.items()
        ],
    }
    (DOCS / "performance.json").write_text(json.dumps(data, indent=1) + "\n")
    (DOCS / "performance.svg").write_text(draw(results, works))


_SHOWN: Final = {
    SERVE: "#1d7d46",
    RELAY: "#2563c9",
    WATCHED: "#9db8e8",
    POOLED: "#999",
    PLAIN: "#d66",
}
_BAR, _GAP, _LEFT, _SCALE, _MOST = 11, 14, 290, 130, 4.0


def draw(results: Results, works: Sequence[Work]) -> str:
    """Bars: rates as multiples of the parent's, work by work; SVG."""
    parts: list[str] = []
    top = 44
    for work in works:
        base = results.get((work.name, PARENT))
        if base is None:
            continue
        shown = [name for name in _SHOWN if (work.name, name) in results]
        middle = top + _BAR * len(shown) / 2 + 4
        parts.append(
            f'<text x="{_LEFT - 10}" y="{middle:.0f}" text-anchor="end">{escape(work.name)}</text>'
        )
        for name in shown:
            ratio = results[work.name, name].rate / base.rate
            width = min(ratio, _MOST) * _SCALE
            parts.append(
                f'<rect x="{_LEFT}" y="{top}" width="{width:.1f}" height="{_BAR - 1}" '
                f'fill="{_SHOWN[name]}"/><text x="{_LEFT + width + 4:.1f}" y="{top + _BAR - 2}" '
                f'class="n">{ratio:.2f}</text>'
            )
            top += _BAR
        top += _GAP
    legend = "".join(
        f'<rect x="{_LEFT + 130 * index}" y="10" width="10" height="10" fill="{color}"/>'
        f'<text x="{_LEFT + 130 * index + 15}" y="19">{escape(name)}</text>'
        for index, (name, color) in enumerate(_SHOWN.items())
    )
    line = _LEFT + _SCALE
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_LEFT + int(_MOST * _SCALE) + 140}" '
        f'height="{top}" font-family="sans-serif" font-size="12">'
        f"<style>.n{{font-size:9px;fill:#555}}</style>"
        f'<rect width="100%" height="100%" fill="#fff"/>{legend}'
        f'<line x1="{line}" y1="34" x2="{line}" y2="{top}" stroke="#000" stroke-dasharray="3 3"/>'
        f"{''.join(parts)}</svg>\n"
    )
