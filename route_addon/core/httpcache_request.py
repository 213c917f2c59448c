"""What the HTTP cache needs to know of a request: its key, and what an answer may vary on.

**The key holds everything that our upstream's answer may depend on**, as far as it is known
before the answer is: the upstream, the target and the Host that it gets, where the client thinks
it is (X-Forwarded-Proto, -Host, -Port), and every field that servers are known to take for
something else than content negotiation: any other ``X-`` field, and those of ``_INPUTS``. So a
request that slips an ``X-Original-URL`` or ``X-Forwarded-Scheme`` in finds, and poisons, a place
of its own. What is left out is who the client is (``_UNKEYED``): an answer that depends on that
must say so, by Vary or by ``private``. All else is for Vary, which is read together with what an
answer's fields prove that it varied on (``find_selectors``).

Requests are described as they go to the upstream (``Forward``), not as they came: what was dropped
or rewritten on the way cannot matter.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from route_addon.core.cache_control import Wishes, parse_wishes, split_list
from route_addon.core.fields import Spellings
from route_addon.core.locations import HERE, POD
from route_addon.core.messages import Field, Fields, Forward

type Values = Mapping[bytes, Sequence[bytes]]
"""The values of each field's lines, by name in lower case."""

type Selected = tuple[tuple[bytes, bytes | None], ...]
"""Names that an answer varies on with the request's values, normalised; None for no such field."""

SAFE_METHODS: Final = frozenset({b"GET", b"HEAD", b"OPTIONS", b"PROPFIND", b"REPORT", b"SEARCH"})
"""RFC 9110 9.2.1 and the registry's other safe methods; TRACE never comes here."""

_UNKEYED: Final = frozenset(
    {
        *(b"x-request-id", b"x-real-ip", b"x-forwarded-for", b"x-original-forwarded-for"),
        *(b"x-correlation-id", b"x-amzn-trace-id", b"x-cloud-trace-context"),
        *(b"x-b3-traceid", b"x-b3-spanid", b"x-b3-parentspanid", b"x-b3-sampled"),
    }
)
"""``X-`` fields that name one client or one request: with them in the key nothing would be found
twice."""

_INPUTS: Final = frozenset(
    {
        *(b"forwarded", b"front-end-https", b"proxy-host", b"base-url", b"destination"),
        *(
            b"client-ip",
            b"true-client-ip",
            b"cf-connecting-ip",
            b"cf-visitor",
            b"cluster-client-ip",
        ),
        *(b"request-uri", b"http-host", b"original-url", b"profile"),
    }
)
"""Fields without an ``X-`` that frameworks read the request's address or sender from."""

_OVERRIDES: Final = frozenset({b"x-http-method-override", b"x-http-method", b"x-method-override"})
"""What makes another method of a GET."""

_CREDENTIALS: Final = frozenset({b"authorization", b"abcauthorization", b"proxy-authorization"})
"""ABCAuthorization carries pyos' user token where a location asks for none itself."""

_NOT_PLAIN: Final = _OVERRIDES | {b"if-match", b"if-unmodified-since"}

_CONSTANT: Final = frozenset({b"host", b"x-forwarded-proto", b"x-forwarded-host"})
"""What the key holds already, whenever it is named by Vary."""
_UNORDERED: Final = frozenset({b"accept-language", b"accept-encoding", b"accept-charset"})
"""Lists whose order says nothing, in any case (RFC 9110 12.4.2: the weights do)."""
_NAME = re.compile(rb"[!#$%&'+\-.^_`|~0-9A-Za-z]++")


class CacheKey(NamedTuple):
    """What stored answers are found by. The method is GET (RFC 9111 2)."""

    upstream: str
    target: bytes
    """The path that the upstream gets, with its query."""
    host: bytes
    inputs: tuple[Field, ...]
    """All else that the answer may depend on without saying so; sorted by name."""


class CacheRequest(NamedTuple):
    """A request as the cache sees it."""

    key: CacheKey
    method: bytes
    values: Values
    fields: Fields
    """All fields that go to the upstream."""
    wishes: Wishes
    asked: float
    """When it came, in seconds since the epoch."""
    bypass: bytes
    """Why it is none of the cache's business, as RFC 9211 2.2 names it; empty when it is."""

    @property
    def has_credentials(self) -> bool:
        """Whether it says who its sender is, in a field that is made for it."""
        return not _CREDENTIALS.isdisjoint(self.values)

    @property
    def is_unsafe(self) -> bool:
        """Whether it may change what the upstream answers from now on (RFC 9111 4.4)."""
        return self.method not in SAFE_METHODS or not _OVERRIDES.isdisjoint(self.values)


def describe_request(forward: Forward, length: int, now: float) -> CacheRequest | None:
    """A request that is about to go upstream, as the cache sees it.

    Args:
        forward: The decision.
        length: The content's length in bytes, or a mark of ``core.framing``.
        now: The time.

    Returns:
        None where nothing is ever stored: behind a token, in a pod, and for WebSockets.
    """
    location = forward.location
    if location.token or location.upstream in (POD, HERE) or forward.is_websocket:
        return None
    values: dict[bytes, list[bytes]] = {}
    inputs: list[Field] = []
    for name, value in forward.fields:
        lower, is_input = _names[name]
        if lower in values:
            values[lower].append(value)
        else:
            values[lower] = [value]
        if is_input:
            inputs.append((lower, value))
    inputs.sort(key=lambda field: field[0])
    wishes = parse_wishes(values.get(b"cache-control", ()), values.get(b"pragma", ()))
    key = CacheKey(forward.upstream, forward.path, forward.host, tuple(inputs))
    bypass = _find_bypass(forward.method, length, values, wishes)
    return CacheRequest(key, forward.method, values, forward.fields, wishes, now, bypass)


def _read_name(name: bytes) -> tuple[bytes, bool]:
    """A field's name in lower case, and whether its value is part of the key."""
    lower = name.lower()
    return lower, lower in _INPUTS or (lower.startswith(b"x-") and lower not in _UNKEYED)


_names = Spellings(_read_name)


def _find_bypass(method: bytes, length: int, values: Values, wishes: Wishes) -> bytes:
    if method not in (b"GET", b"HEAD"):
        return b"method"
    # Content in a GET is in no key; a method that is overridden is not what the key says; what
    # an upstream answers to a precondition that only it can judge is for this client alone.
    if length or not _NOT_PLAIN.isdisjoint(values):
        return b"bypass"
    return b"request" if wishes.no_store else b""


def find_selectors(fields: Values) -> frozenset[bytes] | None:
    """The names of the request fields that an answer varied on (RFC 9111 4.1).

    An answer that is encoded varied on Accept-Encoding, and one that lets one origin read it on
    Origin, whether its Vary says so or not.

    Args:
        fields: The answer's.

    Returns:
        None when no request can match: ``*``, or a name that is none.
    """
    names = {name.lower() for line in fields.get(b"vary", ()) for name in split_list(line)}
    if any(_NAME.fullmatch(name) is None for name in names):
        return None
    if b"content-encoding" in fields:
        names.add(b"accept-encoding")
    if any(value != b"*" for value in fields.get(b"access-control-allow-origin", ())):
        names.add(b"origin")
    return frozenset(names - _CONSTANT)


def select(names: frozenset[bytes], request: CacheRequest) -> Selected:
    """What a request says in the fields that an answer varied on."""
    return tuple((name, _normalise(name, request.values.get(name))) for name in sorted(names))


def matches(selected: Selected, request: CacheRequest) -> bool:
    """Whether a request says the same as the one that was answered."""
    return all(value == _normalise(name, request.values.get(name)) for name, value in selected)


def _normalise(name: bytes, lines: Sequence[bytes] | None) -> bytes | None:
    """RFC 9111 4.1: lines are combined; whitespace around commas says nothing."""
    if lines is None:
        return None
    members = [member for line in lines for member in split_list(line)]
    if name in _UNORDERED:
        members = sorted(member.lower().replace(b" ", b"") for member in members)
    return b",".join(members)
