"""What a client gets to read when it is refused: nothing but a reason and the request's id."""

import json
from functools import lru_cache
from http import HTTPStatus
from typing import Final

from route_addon.core.errors import RouteError
from route_addon.core.locations import Location
from route_addon.core.messages import Field, Respond

SECURITY_FIELDS: Final[tuple[Field, ...]] = (
    (b"X-Frame-Options", b"SAMEORIGIN"),
    (b"X-XSS-Protection", b"1; mode=block"),
)
"""On every answer that does not carry its own."""

_PLAIN = "text/plain"
_PROBLEM = "application/problem+json"
_HTML = "text/html"

_MEDIA_TYPES: Final = {
    _PLAIN: _PLAIN,
    _HTML: _HTML,
    _PROBLEM: _PROBLEM,
    "application/json": _PROBLEM,
    "application/xhtml+xml": _HTML,
}
"""What a media type in Accept is answered with; of those that a wildcard takes, the first."""

_REMEMBERED_BYTES: Final = 256
"""Longer ones are worked out each time, so that memory stays small."""

_MAX_RANGES: Final = 32
"""How many media ranges of an Accept are looked at; browsers send about eight."""


def respond_error(
    error: RouteError, request_id: bytes, accept: bytes = b"", location: Location | None = None
) -> Respond:
    """The answer to a refused request.

    Args:
        error: Why; only its class speaks to the client.
        request_id: Shown, so that the log line can be found.
        accept: The request's Accept values, joined by commas.
        location: Where it was refused, for the log.
    """
    media_type = choose_media_type(accept)
    body = _BUILDERS[media_type](error, request_id.decode("ascii"))
    fields: list[Field] = [
        (b"Content-Type", f"{media_type}; charset=utf-8".encode()),
        (b"Cache-Control", b"no-store"),
        (b"X-Content-Type-Options", b"nosniff"),
        *SECURITY_FIELDS,
        (b"X-Request-ID", request_id),
        *error.fields,
    ]
    return Respond(location, error.status, fields, body.encode("utf-8"), error, request_id)


def choose_media_type(accept: bytes) -> str:
    """Choose how to say it (RFC 9110 12.5.1).

    The highest quality wins, then the more specific range, then the one named first; text/plain
    where none is preferred.
    """
    if len(accept) <= _REMEMBERED_BYTES:
        return _choose_remembered(accept)
    return _choose(accept)


def _choose(accept: bytes) -> str:
    best: tuple[float, int, int] = (0.0, 0, 0)
    chosen = _PLAIN
    media_ranges = accept.decode("latin-1").lower().split(",", _MAX_RANGES)[:_MAX_RANGES]
    for position, media_range in enumerate(media_ranges):
        name, *parameters = (part.strip() for part in media_range.split(";"))
        quality = _quality(parameters)
        for media_type, answer in _MEDIA_TYPES.items():
            specificity = _specificity(name, media_type)
            rank = (quality, specificity, -position)
            if specificity and quality and rank > best:
                best, chosen = rank, answer
    return chosen


_choose_remembered = lru_cache(maxsize=256)(_choose)


def _specificity(media_range: str, media_type: str) -> int:
    if media_range == media_type:
        return 3
    if media_range == media_type.partition("/")[0] + "/*":
        return 2
    return 1 if media_range == "*/*" else 0


def _quality(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                quality = float(value)
            except ValueError:
                return 0.0
            return quality if 0 <= quality <= 1 else 0.0
    return 1.0


def _title(error: RouteError) -> str:
    return HTTPStatus(error.status).phrase


def _build_plain(error: RouteError, request_id: str) -> str:
    return f"{error.status} {_title(error)}: {error.reason} (request {request_id})\n"


def _build_html(error: RouteError, request_id: str) -> str:
    heading = f"{error.status} {_title(error)}"
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{heading}</title>'
        f"<h1>{heading}</h1><p>{error.reason}</p><p>Request <code>{request_id}</code></p></html>\n"
    )


def _build_problem(error: RouteError, request_id: str) -> str:
    """RFC 9457, with the members ``message`` and ``request_id`` that the website shows."""
    problem = {
        "type": "about:blank",
        "title": _title(error),
        "status": error.status,
        "detail": error.reason,
        "message": error.reason,
        "request_id": request_id,
    }
    return json.dumps(problem) + "\n"


_BUILDERS = {_PLAIN: _build_plain, _HTML: _build_html, _PROBLEM: _build_problem}
