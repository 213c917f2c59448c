"""The documentation's generated tables are those of the code, and its words lead somewhere."""

import re
from pathlib import Path

from route_addon.config.describe import locations_table, markdown_table, options_table
from route_addon.core.table import build_locations
from route_addon.serve.metrics.families import FAMILIES

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
TABLES = {
    "configuration.md": ("locations", "options"),
    "metrics.md": ("metrics",),
}
"""The generated tables, by page."""


def metrics_table() -> str:
    """All metrics, as a Markdown table."""
    rows = [
        (f"`{family.name}`", family.kind, ", ".join(family.labels), family.joined, family.help)
        for family in FAMILIES
    ]
    return markdown_table(("metric", "kind", "labels", "of workers", "meaning"), rows)


def with_tables(text: str, names: tuple[str, ...]) -> str:
    """A page's text with its tables written anew, between their marks."""
    tables = {
        "locations": locations_table(build_locations().all),
        "options": options_table(),
        "metrics": metrics_table(),
    }
    for name in names:
        table = tables[name]
        before, begin, rest = text.partition(f"<!-- {name} -->\n")
        _, end, after = rest.partition(f"<!-- end of {name} -->")
        text = f"{before}{begin}{table}\n{end}{after}"
    return text


def test_tables_are_those_of_the_code() -> None:
    """Writing the tables anew changes nothing (scripts/docs does it)."""
    for page, names in TABLES.items():
        text = (ROOT / "docs" / page).read_text("utf-8")
        assert text.count("<!-- end of ") == len(names)
        assert with_tables(text, names) == text


def test_links_lead_everywhere() -> None:
    """The README leads to every page, and a page shows every picture."""
    readme = (ROOT / "README.md").read_text("utf-8")
    shown = "".join(page.read_text("utf-8") for page in PAGES)
    assert [page.name for page in PAGES[1:] if f"(docs/{page.name})" not in readme] == []
    assert [one.name for one in ROOT.glob("docs/**/*.png") if f"/{one.name})" not in shown] == []


def test_links_lead_to_files() -> None:
    """Every relative link of the README and the pages of docs/ names a file that is there."""
    for page in PAGES:
        for link in re.findall(r"\]\(([^)#]+)", page.read_text("utf-8")):
            if "://" not in link:
                assert (page.parent / link).exists(), f"{page.name}: {link}"


if __name__ == "__main__":
    for page, names in TABLES.items():
        path = ROOT / "docs" / page
        path.write_text(with_tables(path.read_text("utf-8"), names), "utf-8")
