"""Why this location, and not another that one might have thought of."""

from collections.abc import Iterator
from typing import Final

from route_addon.core.locations import (
    EXACT,
    NO_PORT,
    PATTERN,
    POD,
    PREFIX,
    Kind,
    Location,
    Locations,
    first_segment,
)

_LOST: Final[dict[tuple[Kind, Kind], str]] = {
    (EXACT, PATTERN): "fits, but an exact location goes first",
    (EXACT, PREFIX): "fits, but an exact location goes first",
    (PATTERN, PATTERN): "fits, but stands further down",
    (PATTERN, PREFIX): "fits, but patterns go before prefixes",
    (PREFIX, PREFIX): "fits, but is the shorter prefix",
}
"""Why a location that fits is not taken: by the kind of the one that is, and by its own."""

_UNFIT: Final[dict[Kind, str]] = {
    EXACT: "is for that very path",
    PATTERN: "must fit from end to end",
    PREFIX: "is for whole segments",
}
"""Why a location that looks near does not fit."""


def describe_location(location: Location) -> str:
    """A location in a few words."""
    way = location.answer or location.upstream
    if location.upstream == POD:
        way += ":{port}" if location.port == NO_PORT else f":{location.port}"
    arrow = "is answered here:" if location.answer else "->"
    return f"{location.location} ({location.kind}) {arrow} {way}"


def list_losers(locations: Locations, path: bytes, chosen: Location) -> Iterator[str]:
    """The locations that fit or look near, and why each is not the one.

    Args:
        locations: All of them.
        path: The canonical path.
        chosen: The one that it was given to.
    """
    for location in locations.all:
        if location is chosen:
            continue
        name = f"not {location.location} ({location.kind}):"
        if Locations((location,)).match(path) is not None:
            yield f"{name} {_LOST[chosen.kind, location.kind]}"
        elif _is_near(location, path):
            yield f"{name} {_UNFIT[location.kind]}"


def _is_near(location: Location, path: bytes) -> bool:
    first = first_segment(location.location.encode("utf-8"))
    return bool(first) and path.startswith(b"/" + first)
