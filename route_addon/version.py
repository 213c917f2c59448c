"""Which version of the package this is."""

from importlib.metadata import PackageNotFoundError, version


def find_version() -> str:
    """The version, or ``unknown`` where the package was imported without having been installed."""
    try:
        return version("route_addon")
    except PackageNotFoundError:
        return "unknown"
