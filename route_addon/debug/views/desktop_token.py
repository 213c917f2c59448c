"""A desktop token in a content: what it says, and what the router makes of it.

A token is checked as any request's would be. Where a placeholder stands in its place, the token is
looked for among those that are in use; where it is not, only the flow itself can say. Neither a
token nor its signature is shown.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from mitmproxy import contentviews, http

from route_addon.carry.masks.mask import Mask
from route_addon.core.credentials import replace_tokens
from route_addon.core.errors import RouteError
from route_addon.core.inspection import inspect_token
from route_addon.core.router import Router
from route_addon.core.tokens import PLACEHOLDER, has_token_shape
from route_addon.core.wording import describe_error, describe_time
from route_addon.debug.views.location_view import CHOSEN, NOT_CHOSEN, bound, read_evidence
from route_addon.debug.views.secrets_in_json import show_json
from route_addon.debug.views.tally import shorten

_MAX_BYTES: Final = 64 * 1024
"""What is looked through; pyos' answers are a fraction of it."""
_MAX_TOKENS: Final = 8
"""Each is some RSA work, and a content may hold thousands."""
_MAX_LOOKED_AT: Final = 8192
"""Of the tokens in use, the last: some 50 ms, in which nobody else is served."""
_ISSUER: Final = "/API"
_ON_DEMAND: Final = 0.5
"""Below mitmproxy's own views: a content that happens to hold a token is rather JSON."""


class Found(NamedTuple):
    """A token, or the placeholder of one."""

    where: str
    """The members of JSON that lead to it; empty for one in a text."""
    token: bytes

    @property
    def is_placeholder(self) -> bool:
        """Whether the token itself is not here."""
        return PLACEHOLDER.fullmatch(self.token) is not None


class DesktopToken(contentviews.Contentview):
    """The tokens of a content, each with its claims, its life, the verdict and the target.

    Args:
        router: The router in force, whose keys and policy judge; None while there is none.
        mask: Made the placeholders.
    """

    name = "Desktop token"

    def __init__(self, router: Callable[[], Router | None], mask: Mask) -> None:
        self._router = router
        self._mask = mask

    def render_priority(self, data: bytes, metadata: contentviews.Metadata) -> float:
        """First for a content that is a token, and for an answer of pyos that holds one."""
        found = find_tokens(data)
        if not found:
            return NOT_CHOSEN
        location = str(read_evidence(metadata).get("location"))
        is_token = found[0].token == data.strip()
        is_issued = location.startswith(_ISSUER) and isinstance(
            metadata.http_message, http.Response
        )
        return CHOSEN if is_token or is_issued else _ON_DEMAND

    def prettify(self, data: bytes, metadata: contentviews.Metadata) -> str:
        """Describe each token, and show the content without them."""
        tokens = find_tokens(data)[:_MAX_TOKENS]
        known = self._recall({found.token for found in tokens if found.is_placeholder})
        lines = [
            f"{found.where or 'content'}: {self._describe(found, known, metadata)}"
            for found in tokens
        ]
        return bound("\n".join([*(lines or ["no token"]), "", _show_content(data)]))

    def _recall(self, placeholders: set[bytes]) -> Mapping[bytes, bytes]:
        """The tokens that placeholders stand for, as far as they have been used lately."""
        router = self._router()
        if router is None or not placeholders:
            return {}
        tokens = router.targets.tokens()[-_MAX_LOOKED_AT:]
        made = ((self._mask.placeholder(token), token) for token in tokens)
        return {placeholder: token for placeholder, token in made if placeholder in placeholders}

    def _describe(
        self, found: Found, known: Mapping[bytes, bytes], metadata: contentviews.Metadata
    ) -> str:
        token = known.get(found.token)
        if found.is_placeholder and token is None:
            return _describe_placeholder(found.token, metadata)
        router = self._router()
        if router is None:
            return "a token, and no router to judge it"
        stands_for = f"{found.token.decode('ascii')}, in the place of " if token else ""
        return stands_for + _describe_token(token or found.token, router, _time(metadata))


def find_tokens(data: bytes) -> list[Found]:
    """The tokens and placeholders of a content, as far as it is looked through."""
    whole = data.strip()
    if len(data) > _MAX_BYTES:
        return []
    if PLACEHOLDER.fullmatch(whole) or (whole.count(b".") == 2 and _is_token(whole)):
        return [Found("", whole)]
    return [
        Found(where, token)
        for where, text in _read_texts(data)
        for token in dict.fromkeys(_find_in_text(text))
    ]


def _is_token(text: bytes) -> bool:
    """Whether a whole content is a token: three words with dots are one only if JSON begins."""
    return has_token_shape(text) and text.startswith(b"eyJ")


def _find_in_text(text: bytes) -> list[bytes]:
    tokens: list[bytes] = []

    def keep(token: bytes) -> bytes:
        tokens.append(token)
        return b""

    left = replace_tokens(text, keep)
    return [token for token in [*tokens, *PLACEHOLDER.findall(left)] if token]


def _read_texts(data: bytes) -> Iterator[tuple[str, bytes]]:
    """The texts of JSON, with the members that lead to them; all of it where it is none."""
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        yield "", data
        return
    yield from _walk(content, "")


def _walk(content: Any, where: str) -> Iterator[tuple[str, bytes]]:
    waiting = [(where, content)]
    while waiting:
        where, value = waiting.pop()
        if isinstance(value, dict):
            waiting += [(f"{where}.{name}".lstrip("."), it) for name, it in value.items()][::-1]
        elif isinstance(value, list):
            waiting += [(f"{where}[{index}]", it) for index, it in enumerate(value)][::-1]
        elif isinstance(value, str):
            yield shorten(where, 100), value.encode("utf-8", "replace")


def _describe_token(token: bytes, router: Router, now: float) -> str:
    inspection = inspect_token(router.rules, token, now)
    lines = [f"a token, judged as of {describe_time(now)}"]
    for step in inspection.steps:
        lines.append(f"  {step.title}: {step.outcome}, {step.detail}")
        lines += [f"    {more}" for more in step.more]
    outcome = inspection.outcome
    if isinstance(outcome, RouteError):
        lines.append(f"  verdict: {describe_error(outcome)}")
    else:
        lines.append(f"  verdict: opens {outcome.host}, for {outcome.expires - now:.0f} s more")
    return "\n".join(lines)


def _describe_placeholder(placeholder: bytes, metadata: contentviews.Metadata) -> str:
    shown = placeholder.decode("ascii")
    evidence = read_evidence(metadata)
    if evidence.get("token_source") is None or not _is_sent(placeholder, metadata):
        return f"{shown}, in the place of a secret that nobody has used yet, or no more"
    return "\n  ".join([f"{shown}, in the place of this request's token", *_say(evidence)])


def _say(evidence: Mapping[str, Any]) -> Iterator[str]:
    """What the evidence says of the request's token."""
    yield f"source: {evidence['token_source']}"
    if evidence.get("expires") is not None and evidence.get("time") is not None:
        left_s = float(evidence["expires"]) - float(evidence["time"])
        cached = ", from the cache" if evidence.get("token_cached") else ""
        yield f"verdict: good, {left_s:.0f} s left{cached}"
        yield f"target: {evidence.get('host')}"
    elif evidence.get("slug") is not None:
        yield f"verdict: {evidence['slug']}"


def _is_sent(placeholder: bytes, metadata: contentviews.Metadata) -> bool:
    """Whether the flow's request has this placeholder in its head."""
    if not isinstance(metadata.flow, http.HTTPFlow):
        return False
    data = metadata.flow.request.data
    return any(placeholder in value for _, value in [(b"", data.path), *data.headers.fields])


def _time(metadata: contentviews.Metadata) -> float:
    """When the flow's request came: a recording is judged as of then."""
    if isinstance(metadata.flow, http.HTTPFlow):
        return metadata.flow.request.timestamp_start
    return 0.0


def _show_content(data: bytes) -> str:
    cut = data[:_MAX_BYTES]
    if _is_token(cut.strip()):
        return ""
    return show_json(cut) or cut.decode("utf-8", "replace")
