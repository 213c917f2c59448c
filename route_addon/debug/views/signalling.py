"""Signalling: how two ends of a WebRTC session find each other, as JSON (RFC 8829, RFC 8839).

No name of a member is fixed: every service has its own. A session description and a candidate
are known by how they begin.
"""

import json
from collections import Counter
from typing import Any, Final

from mitmproxy import contentviews

from route_addon.carry.masks.secret_names import may_be_secret
from route_addon.debug.views.location_view import MessageView, bound, describe_direction
from route_addon.debug.views.secrets_in_json import NOT_SHOWN, hide_tokens
from route_addon.debug.views.session_description import (
    describe_candidate,
    describe_session,
    is_candidate,
    is_session,
)
from route_addon.debug.views.tally import shorten

_TYPES: Final = ("type", "janus", "method", "event", "action", "msg")
_MAX_JSON_BYTES: Final = 2**18
_MAX_DEPTH: Final = 8
_MAX_ITEMS: Final = 50


class Signalling(MessageView):
    """What both ends offer each other: media, codecs, candidates."""

    name = "Signalling"
    syntax_highlight: contentviews.SyntaxHighlight = "yaml"
    locations = frozenset({"/signalling"})

    def prettify(self, data: bytes, metadata: contentviews.Metadata) -> str:
        """Describe one message."""
        head = describe_direction(metadata, len(data))
        if len(data) > _MAX_JSON_BYTES:
            return f"{head}\ntoo long to be read"
        try:
            content = json.loads(data)
        except (ValueError, RecursionError):
            return bound(f"{head}\n{_show_text(data.decode('utf-8', 'replace'))}")
        shown = _Shown()
        outline = json.dumps(shown.show(content, 0), indent=2, ensure_ascii=False)
        return bound("\n".join([f"{head}{_describe_type(content)}", *shown.summary(), outline]))


class _Shown:
    """A value as it is shown: bounded, readable, and without secrets."""

    def __init__(self) -> None:
        self._candidates: Counter[str] = Counter()
        self._sessions = 0

    def show(self, value: Any, depth: int) -> Any:
        """A value that JSON can say."""
        if isinstance(value, str):
            return self._show_string(value)
        if depth >= _MAX_DEPTH and isinstance(value, dict | list):
            return "…"
        if isinstance(value, dict):
            items = list(value.items())[:_MAX_ITEMS]
            shown = {shorten(name): self._show_member(name, it, depth) for name, it in items}
            return shown if len(items) == len(value) else {**shown, "…": len(value) - len(items)}
        if isinstance(value, list):
            return [self.show(item, depth + 1) for item in value[:_MAX_ITEMS]]
        return value if not isinstance(value, int) or abs(value) < 2**64 else "…"

    def summary(self) -> list[str]:
        """What was found, in lines."""
        lines = [f"session descriptions: {self._sessions}"] if self._sessions else []
        if self._candidates:
            kinds = ", ".join(f"{number} {kind}" for kind, number in self._candidates.items())
            lines.append(f"candidates: {self._candidates.total()} ({kinds})")
        return lines

    def _show_member(self, name: str, value: Any, depth: int) -> Any:
        if may_be_secret(name) and not isinstance(value, dict | list):
            return NOT_SHOWN
        return self.show(value, depth + 1)

    def _show_string(self, text: str) -> Any:
        if is_session(text):
            self._sessions += 1
            lines, candidates = describe_session(text)
            self._candidates += candidates
            return lines
        if is_candidate(text):
            kind, described = describe_candidate(text)
            self._candidates[kind] += 1
            return described
        return _show_text(text)


def _show_text(text: str) -> str:
    return shorten(hide_tokens(text))


def _describe_type(content: Any) -> str:
    """What kind of message it is, by whatever member says so."""
    if not isinstance(content, dict):
        return ""
    for name in _TYPES:
        if isinstance(content.get(name), str):
            return f": {_show_text(content[name])}"
    return ""
