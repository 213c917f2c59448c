"""What became of the client's fields on their way upstream, found by laying both side by side."""

from collections.abc import Iterator
from typing import Final, Protocol

from route_addon.core.fields import HOP_BY_HOP, SET_BY_US, find_fate
from route_addon.core.messages import Field, Fields
from route_addon.core.wording import printable

_MENDED: Final = {
    b"cookie": "the token is not the pod's",
    b"forwarded": "does not come from a trusted proxy",
    b"referer": "its URL holds a token",
}


class Hider(Protocol):
    """Puts placeholders in the place of secrets."""

    def hide_target(self, target: bytes) -> bytes:
        """A request target without secrets."""

    def hide_fields(self, fields: Fields) -> list[Field]:
        """Fields without secrets."""


def compare_fields(client: Fields, sent: Fields, hider: Hider) -> Iterator[str]:
    """How the fields that are sent differ from those that came.

    Args:
        client: The client's, in order.
        sent: Those that the upstream gets, in order, with Host.
        hider: Hides the secrets in what is told.
    """
    left, new = _without(client, sent), _without(sent, client)
    new_names = {name.lower() for name, _ in new}
    for field in left:
        lower = field[0].lower()
        if lower not in new_names:
            yield f"dropped {_show(field, hider)}: {_reason(lower)}"
    for field in new:
        lower = field[0].lower()
        before = [one for one in left if one[0].lower() == lower]
        if before:
            yield f"changed {_show(field, hider)}; it was {_show_values(before, hider)}"
        else:
            yield f"added {_show(field, hider)}"


def _without(fields: Fields, others: Fields) -> list[Field]:
    """The fields that are not among the others; each of those stands for one."""
    rest = list(others)
    alone: list[Field] = []
    for field in fields:
        if field in rest:
            rest.remove(field)
        else:
            alone.append(field)
    return alone


def _reason(lower: bytes) -> str:
    fate = find_fate(lower)
    if lower in HOP_BY_HOP:
        return "belongs to the client's connection"
    if lower in SET_BY_US:
        return "is ours to say"
    if lower in _MENDED:
        return _MENDED[lower]
    if fate is None or fate.is_sent:
        return "the Connection field names it"
    return "is written anew" if fate.noted_as else "its name holds more than letters, digits and -"


def _show(field: Field, hider: Hider) -> str:
    ((name, value),) = hider.hide_fields([field])
    return f"{printable(name)}: {printable(value)}"


def _show_values(fields: Fields, hider: Hider) -> str:
    return " and ".join(printable(value) for _, value in hider.hide_fields(fields))
