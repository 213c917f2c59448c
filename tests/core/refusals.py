"""Whether a check lets something pass, as a value that can be asserted."""

from collections.abc import Callable

from route_addon.core.errors import RouteError


def refusal[**P](check: Callable[P, object], *args: P.args, **details: P.kwargs) -> str | None:
    """The slug of the error that a check raises; None where it lets pass."""
    try:
        check(*args, **details)
    except RouteError as error:
        return error.slug
    return None
