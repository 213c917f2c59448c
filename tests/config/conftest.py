"""Settings with the keys in force."""

from collections.abc import Mapping
from types import MappingProxyType

import pytest

from tests.config.building import Build, build


@pytest.fixture
def build_with_keys(key_options: Mapping[str, str]) -> Build:
    """Builds settings from the defaults, the keys in force, and changes."""
    return lambda changes=MappingProxyType({}), **details: build(
        {**key_options, **changes}, **{"need_keys": True, **details}
    )
