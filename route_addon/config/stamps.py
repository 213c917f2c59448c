"""What files looked like when they were read, so that it can be seen that they have changed."""

from collections.abc import Iterable, Iterator
from itertools import chain

from route_addon.carry.certificate import stamp_file
from route_addon.config.keys import KEY_OPTIONS
from route_addon.config.values import OptionValues


def stamp_files(paths: Iterable[str]) -> dict[str, object]:
    """What tells that files have changed, by path."""
    return {path: stamp_file(path) for path in paths}


def find_files(values: OptionValues) -> Iterator[str]:
    """The files that settings are made of: keys, CAs, the configuration file."""
    keys = (values.paths(name) for name in KEY_OPTIONS)
    others = (values.text(name) for name in ("route_config", "route_upstream_ca"))
    return filter(None, chain(*keys, others))
