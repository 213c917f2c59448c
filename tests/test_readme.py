"""The documentation's generated tables are those of the code, and its words lead somewhere."""

import re
from pathlib import Path

from route_addon.core.table import build_locations
from route_addon.describe import locations_table, options_table

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
GENERATED = ROOT / "docs" / "configuration.md"


def with_tables(text: str) -> str:
    """A page's text with its tables written anew, between their marks."""
    tables = {"locations": locations_table(build_locations().all), "options": options_table()}
    for name, table in tables.items():
        before, begin, rest = text.partition(f"<!-- {name} -->\n")
        _, end, after = rest.partition(f"<!-- end of {name} -->")
        text = f"{before}{begin}{table}\n{end}{after}"
    return text


def test_tables_are_those_of_the_code() -> None:
    """Writing the tables anew changes nothing (scripts/docs does it)."""
    text = GENERATED.read_text("utf-8")
    assert text.count("<!-- end of ") == 2
    assert with_tables(text) == text


def test_links_lead_to_files() -> None:
    """Every relative link of the README and the pages of docs/ names a file that is there."""
    for page in PAGES:
        for link in re.findall(r"\]\(([^)#]+)", page.read_text("utf-8")):
            if "://" not in link:
                assert (page.parent / link).exists(), f"{page.name}: {link}"


if __name__ == "__main__":
    GENERATED.write_text(with_tables(GENERATED.read_text("utf-8")), "utf-8")
