"""What files looked like when they were read, so that it can be seen that they have changed."""

from collections.abc import Iterable, Iterator
from itertools import chain

from route_addon.carry.tls.certificate import stamp_file
from route_addon.config import nginx_files
from route_addon.config.keys import KEY_OPTIONS
from route_addon.config.values import OptionValues


def stamp_files(paths: Iterable[str]) -> dict[str, object]:
    """What tells that files have changed, by path."""
    return {path: stamp_file(path) for path in paths}


def find_files(values: OptionValues) -> Iterator[str]:
    """The files that settings are made of: keys, CAs, the configuration file.

    So is a certificate of nginx's, where it would be used: it may come later. Those that an option
    names are looked at when handshakes come.
    """
    keys = (values.paths(name) for name in KEY_OPTIONS)
    others = (values.text(name) for name in ("route_config", "route_upstream_ca"))
    mounted = nginx_files.certificate_files(nginx_files.FOLDER)
    certificate = () if values.text("route_certs") else (mounted.chain, mounted.key)
    return filter(None, chain(*keys, others, certificate))
