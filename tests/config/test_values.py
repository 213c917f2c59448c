"""The values of options, by type."""

import pytest

from route_addon.config.values import split_list


@pytest.mark.parametrize(
    ("text", "items"),
    [("", []), (" , ,", []), ("a", ["a"]), (" a , b,", ["a", "b"]), ("a b", ["a b"])],
)
def test_lists(text: str, items: list[str]) -> None:
    """Commas part, white space around them and empty items do not count."""
    assert items == split_list(text)
