"""Options by their names, and what is said of them."""

import pytest

from route_addon.options import OPTIONS, Option

DEFAULTS = {option.name: option.default for option in OPTIONS}
NAMES = [name for option in OPTIONS for name in option.environment_names]


def test_names() -> None:
    """No name means two things, and every option begins with ``route_``."""
    assert len(OPTIONS) == len(DEFAULTS)
    assert len(NAMES) == len(set(NAMES))
    assert all(name.startswith("route_") and name == name.lower() for name in DEFAULTS)


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_documentation(option: Option) -> None:
    """Every option says what it is for, and a number says of what."""
    assert option.help.endswith(".")
    assert option.help[0].isupper()
    if isinstance(option.default, int) and not isinstance(option.default, bool):
        assert option.unit
