"""What the HTTP cache may store, and what it must forget.

**Where RFC 9111 leaves a choice, what could be one user's own is not stored**: an answer with
Set-Cookie; one to a request with credentials, unless it says that it may be shared (3.5); one to a
request with a Cookie, unless the origin said how long it is fresh, or ``public``; one that varies
on a Cookie that was sent. Nor is an error stored that tells what was wrong with *this* request
(``_BLAMES_REQUEST``): else one client's odd request would be everybody's error page. Part of an
answer is never stored, so there is nothing to combine.
"""

from typing import Final
from urllib.parse import urljoin, urlsplit

from route_addon.core.cache_control import Directives
from route_addon.core.errors import BadTarget
from route_addon.core.freshness import HEURISTICALLY_CACHEABLE
from route_addon.core.httpcache_request import CacheRequest
from route_addon.core.httpcache_stored import Stored
from route_addon.core.messages import Fields
from route_addon.core.path import parse_target

_BLAMES_REQUEST: Final = frozenset(
    {
        *(400, 401, 402, 403, 406, 407, 408, 409, 411, 412, 413, 415, 416, 417, 418, 421, 422),
        *(423, 424, 425, 426, 428, 429, 431, 494, 495, 496, 497, 505, 507, 511),
    }
)
"""Statuses that say what was wrong with one request or its sender, not what the resource is."""

_UNDERSTOOD: Final = HEURISTICALLY_CACHEABLE | {302, 303, 307, 451, 500, 502, 503, 504}
"""The statuses whose caching we implement (RFC 9111 5.2.2.3); never 206 and 304."""


def why_not_at_all(request: CacheRequest, status: int) -> bytes:
    """Why no answer with this status to this request is stored, whatever it says.

    Args:
        request: What is answered.
        status: The answer's status.

    Returns:
        A token; empty when there is no reason. So do the three below.
    """
    if request.method != b"GET":
        return b"method"
    if request.bypass:
        return request.bypass
    if not 200 <= status <= 599 or status in (206, 304) or status in _BLAMES_REQUEST:
        return b"status"
    return b""


def why_not_kept(directives: Directives, status: int) -> bytes:
    """Why an answer that says this of its storing is not stored, whatever else it says.

    Args:
        directives: What it says.
        status: Its status.
    """
    if directives.must_understand and status not in _UNDERSTOOD:
        return b"not-understood"
    # RFC 9111 5.2.2.3: who understands the status heeds must-understand instead.
    if directives.no_store and not directives.must_understand:
        return b"no-store"
    return b"private" if directives.private else b""


def why_not_shared(request: CacheRequest, fields: Fields, stored: Stored) -> bytes:
    """Why others than who asked must not have an answer.

    Args:
        request: What it answers.
        fields: Its fields as they came.
        stored: What would be stored of it.
    """
    directives = stored.directives
    if why := why_not_kept(directives, stored.status):
        return why
    if stored.selected is None:
        return b"vary"
    if any(name.lower() == b"set-cookie" for name, _ in fields):
        return b"set-cookie"
    if request.has_credentials and not directives.is_shareable:
        return b"authorization"
    if b"cookie" in request.values:
        if any(name == b"cookie" for name, _ in stored.selected):
            return b"vary-cookie"
        if not (stored.has_lifetime or directives.public):
            return b"cookie"
    return b""


def why_of_no_use(stored: Stored) -> bytes:
    """Why an answer would never be used again, or may not be stored without saying for how long.

    Args:
        stored: What would be stored of it.
    """
    directives = stored.directives
    if not (stored.has_lifetime or directives.public or stored.status in HEURISTICALLY_CACHEABLE):
        return b"no-lifetime"
    is_fresh = stored.lifetime > stored.initial_age and not directives.no_cache
    serves_stale = directives.stale_if_error or directives.stale_while_revalidate
    if not (is_fresh or serves_stale or stored.has_validator):
        return b"stale" if stored.has_lifetime else b"no-lifetime"
    return b""


def find_changed(request: CacheRequest, fields: Fields) -> list[bytes]:
    """The targets that an unsafe request has changed (RFC 9111 4.4).

    Its own, and those that Location and Content-Location name, on the same host only: an upstream
    must not empty another's part of the store.

    Args:
        request: The request.
        fields: The answer's fields.
    """
    hosts = {request.key.host.lower()}
    hosts.update(value.lower() for value in request.values.get(b"x-forwarded-host", ()))
    base = b"http://%b%b" % (request.key.host, request.key.target)
    targets = [request.key.target]
    for name, value in fields:
        if name.lower() not in (b"location", b"content-location"):
            continue
        try:
            url = urlsplit(urljoin(base, value))
            path = url._replace(scheme=b"", netloc=b"", fragment=b"").geturl()
            target = parse_target(path or b"/")
        except (ValueError, BadTarget):
            continue
        if url.scheme in (b"http", b"https") and url.netloc.lower() in hosts:
            query = target.query
            targets.append(target.path if query is None else b"%b?%b" % (target.path, query))
    return targets
