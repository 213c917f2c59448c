"""The options and the locations as tables, for the documentation and for a person."""

from collections.abc import Iterable, Sequence

from route_addon.core.locations import HERE, NO_PORT, POD, Location
from route_addon.core.table import GIB, MIB
from route_addon.options import OPTIONS


def options_table() -> str:
    """All options, as a Markdown table."""
    rows = [
        (
            f"`{option.name}`",
            f"`{option.default}`" if option.default != "" else "",
            option.unit,
            ", ".join(f"`{name}`" for name in option.environment),
            option.help,
        )
        for option in OPTIONS
    ]
    return markdown_table(("option", "default", "unit", "deployed environment", "meaning"), rows)


def locations_table(locations: Iterable[Location]) -> str:
    """Locations, as a Markdown table."""
    names, rows = location_rows(locations)
    return markdown_table(names, [(f"`{row[0]}`", *row[1:]) for row in rows])


def location_rows(
    locations: Iterable[Location],
) -> tuple[Sequence[str], list[Sequence[str]]]:
    """Locations, as the columns' names and the rows of a table."""
    rows: list[Sequence[str]] = [
        (
            location.location,
            location.kind,
            _upstream(location),
            ", ".join(location.token) or "-",
            location.path if location.upstream != HERE else "-",
            location.host if location.upstream != HERE else "-",
            location.headers if location.upstream != HERE else "-",
            location.body,
            _size(location.body_limit_bytes),
            f"{location.answer_within_s:g} s" if location.upstream != HERE else "-",
        )
        for location in locations
    ]
    names = ("location", "kind", "upstream", "token from", "path sent", "Host sent", "headers")
    return (*names, "body", "body limit", "answer within"), rows


def text_table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of text in columns, for whoever reads it as it is.

    Args:
        names: The columns' names.
        rows: As many cells each.
    """
    lines = [names, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def markdown_table(names: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table.

    Args:
        names: The columns' names.
        rows: As many cells each.
    """
    lines = [names, ["---"] * len(names), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines
    )


def _upstream(location: Location) -> str:
    if location.upstream == POD:
        port = "{port}" if location.port == NO_PORT else str(location.port)
        return f"pod:{port}"
    return location.answer if location.upstream == HERE else location.upstream


def _size(size_bytes: int) -> str:
    return f"{size_bytes // GIB} GiB" if size_bytes % GIB == 0 else f"{size_bytes / MIB:g} MiB"
