"""What of a stored answer a request gets: all of it, a range, or the word that it has it.

Preconditions come first, then the range (RFC 9110 13.2.2). They say something of a 200 only.
"""

import re
from typing import Final, NamedTuple

from route_addon.core.freshness import find_date
from route_addon.core.httpcache_request import CacheRequest
from route_addon.core.httpcache_stored import Stored, parse_entity_tags
from route_addon.core.messages import Field

_RANGE = re.compile(rb"bytes[ \t]*=[ \t]*([0-9]*)-([0-9]*)[ \t]*", re.IGNORECASE)
"""One range. Of several the whole is sent (RFC 9110 14.2 lets a server ignore them): many small
ones over each other cost us more than the client."""
_MAX_DIGITS: Final = 18

_OF_CONTENT: Final = frozenset(
    {
        *(b"content-type", b"content-encoding", b"content-language", b"content-range"),
        *(b"content-md5", b"content-digest"),
    }
)
"""What a message without the content does not say of it (RFC 9110 15.4.5)."""


class Part(NamedTuple):
    """What is sent of a stored answer."""

    status: int
    reason: bytes
    fields: list[Field]
    length: int | None
    """What Content-Length says; None to say nothing."""
    start: int
    stop: int
    """The content to send is ``body[start:stop]``."""


def select_part(request: CacheRequest, stored: Stored, now: float) -> Part:
    """Choose what of a stored answer satisfies a request.

    Args:
        request: A GET or a HEAD that the answer was selected for.
        stored: The answer.
        now: The time, for dates with a year of two digits.
    """
    if stored.status == 200:
        if _is_not_modified(request, stored, now):
            return Part(304, b"Not Modified", _without_content(stored), None, 0, 0)
        span = _find_range(request, stored)
        if span is not None:
            return _build_range(stored, *span)
    size = len(stored.body)
    fields = list(stored.fields)
    if stored.status == 204:
        return Part(204, stored.reason, fields, None, 0, 0)
    return Part(
        stored.status, stored.reason, fields, size, 0, 0 if request.method == b"HEAD" else size
    )


def _is_not_modified(request: CacheRequest, stored: Stored, now: float) -> bool:
    """RFC 9111 4.3.2: If-None-Match comes before If-Modified-Since."""
    values = request.values
    tags = values.get(b"if-none-match")
    if tags is not None:
        if [tag.strip() for tag in tags] == [b"*"]:
            return True
        own = stored.etag
        return own is not None and own.removeprefix(b"W/") in {
            tag.removeprefix(b"W/") for tag in parse_entity_tags(tags)
        }
    since = find_date(values.get(b"if-modified-since", ()), now)
    if since is None:
        return False
    modified = stored.date if stored.modified is None else find_date([stored.modified], now)
    return modified is not None and modified <= since


def _find_range(request: CacheRequest, stored: Stored) -> tuple[int, int] | None:
    """The first byte and the one behind the last, which may be the same: nothing can be sent.

    Returns:
        None when all is to be sent.
    """
    ranges = request.values.get(b"range", ())
    if request.method != b"GET" or len(ranges) != 1:
        return None
    match = _RANGE.fullmatch(ranges[0])
    if match is None or not _is_same_version(request, stored):
        return None
    size = len(stored.body)
    first, last = (_parse_position(digits) for digits in match.groups())
    if first is None:
        return None if last is None else (max(0, size - last), size)
    if last is None:
        return min(first, size), size
    return None if last < first else (min(first, size), min(last + 1, size))


def _parse_position(digits: bytes) -> int | None:
    if not digits:
        return None
    return int(digits) if len(digits) <= _MAX_DIGITS else int(b"9" * _MAX_DIGITS)


def _is_same_version(request: CacheRequest, stored: Stored) -> bool:
    """Whether If-Range names the stored version (RFC 9110 13.1.5): by a strong validator only."""
    named = request.values.get(b"if-range")
    if named is None:
        return True
    if len(named) != 1 or named[0].startswith(b"W/"):
        return False
    # A date is strong only when nothing can have changed in its second: the stored answer does
    # not tell, so that it must be a minute older than its Date (RFC 9110 8.8.2.2).
    if named[0] == stored.modified:
        modified = find_date([stored.modified], stored.date)
        return modified is not None and modified + 60 <= stored.date
    return named[0] == stored.etag


def _build_range(stored: Stored, start: int, stop: int) -> Part:
    size = len(stored.body)
    if start >= stop:
        # It speaks of this request alone: nothing that lets anybody store it goes along.
        fields = [field for field in stored.fields if field[0].lower() == b"date"]
        fields.append((b"Content-Range", b"bytes */%d" % size))
        return Part(416, b"Range Not Satisfiable", fields, 0, 0, 0)
    fields = [field for field in stored.fields if field[0].lower() != b"content-range"]
    fields.append((b"Content-Range", b"bytes %d-%d/%d" % (start, stop - 1, size)))
    return Part(206, b"Partial Content", fields, stop - start, start, stop)


def _without_content(stored: Stored) -> list[Field]:
    return [field for field in stored.fields if field[0].lower() not in _OF_CONTENT]
