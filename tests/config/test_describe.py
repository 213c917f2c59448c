"""The options and the locations as tables."""

from collections.abc import Iterable

import pytest

from route_addon.config.describe import locations_table, markdown_table, options_table
from route_addon.core.locations import Location
from route_addon.core.table import PORTS, ROWS, Row, build_locations
from route_addon.options import OPTIONS


def _cells(table: str) -> list[list[str]]:
    """The cells of each row."""
    lines = [line.replace("\\|", "\0").strip("|").split("|") for line in table.splitlines()]
    return [[cell.strip().replace("\0", "|") for cell in line] for line in lines]


def test_markdown() -> None:
    """A head, a rule, and the rows."""
    assert markdown_table(("a", "b"), [("1", "2"), ("x|y", "")]) == (
        "| a | b |\n| --- | --- |\n| 1 | 2 |\n| x\\|y |  |"
    )


def test_empty_markdown() -> None:
    """A table may have no rows."""
    assert markdown_table(("a",), []) == "| a |\n| --- |"


def test_options() -> None:
    """Every option has a row with what there is to say of it, in the order of the options."""
    head, _, *rows = _cells(options_table())
    assert head == ["option", "default", "unit", "deployed environment", "meaning"]
    assert [f"`{option.name}`" for option in OPTIONS] == [row[0] for row in rows]
    for option, row in zip(OPTIONS, rows, strict=True):
        assert len(row) == len(head)
        assert option.help == row[-1]
        assert row[1] == (f"`{option.default}`" if option.default != "" else "")
        assert all(f"`{name}`" in row[3] for name in option.environment)


def _rows(locations: Iterable[Location]) -> list[list[str]]:
    head, _, *rows = _cells(locations_table(locations))
    assert all(len(row) == len(head) for row in rows)
    return rows


def test_locations() -> None:
    """Every location has a row, in the order of the table."""
    rows = _rows(build_locations().all)
    assert [f"`{row.location}`" for row in ROWS] == [row[0] for row in rows]


POD = ("prefix", "pod:xterm", ("header",))

LOCATIONS = {
    "pod": (
        Row("/x", *POD),
        ["`/x`", "prefix", "pod:29781", "header", "as sent", "client", "P", "collect", "1 MiB"],
    ),
    "port of the path": (
        Row("/c/{port}", "pattern", "pod:{port}", ("query", "cookie"), body="stream"),
        [
            *("`/c/{port}`", "pattern", "pod:{port}", "query, cookie"),
            *("as sent", "client", "P", "stream", "1 MiB"),
        ],
    ),
    "shared upstream": (
        Row("/x", "exact", "pyos", path="as sent", host="upstream"),
        ["`/x`", "exact", "pyos", "-", "as sent", "upstream", "P", "collect", "1 MiB"],
    ),
    "answer of our own": (
        Row("/x", "exact", "here:healthz", body="drop"),
        ["`/x`", "exact", "healthz", "-", "-", "-", "-", "drop", "1 MiB", "-"],
    ),
}


@pytest.mark.parametrize(("row", "expected"), LOCATIONS.values(), ids=list(LOCATIONS.keys()))
def test_one_location(row: Row, expected: list[str]) -> None:
    """The columns are those of the table; what an answer of our own does not have is a dash."""
    described = _rows(build_locations(PORTS, (row,)).all)[-1]
    assert expected == described[: len(expected)]


@pytest.mark.parametrize(
    ("limit", "within", "expected"),
    [
        (2**30, 60, ["1 GiB", "60 s"]),
        ("8 GiB", "2 min", ["8 GiB", "120 s"]),
        ("1536 MiB", 0.5, ["1536 MiB", "0.5 s"]),
        ("512 KiB", 1800.25, ["0.5 MiB", "1800.25 s"]),
    ],
)
def test_quantities(limit: int | str, within: float | str, expected: list[str]) -> None:
    """Sizes and times have units that can be read."""
    row = Row("/x", *POD, body_limit=limit, answer_within=within)
    assert expected == _rows(build_locations(PORTS, (row,)).all)[-1][-2:]
