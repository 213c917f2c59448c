"""Session descriptions (SDP, RFC 8866) and candidates (RFC 8839 5.1) for a person.

Their passwords (``ice-pwd``) and keys (``crypto``, RFC 4568) are not shown.
"""

import re
from collections import Counter
from typing import Final

from route_addon.debug.views.tally import shorten

_MAX_LINES: Final = 2000
_CANDIDATE: Final = re.compile(
    r"(?:a=)?candidate:\S+ \d+ (?P<transport>\S+) \d+ (?P<address>\S+) (?P<port>\d+)"
    r" typ (?P<kind>\w+)"
)
_DIRECTIONS: Final = frozenset({"sendrecv", "sendonly", "recvonly", "inactive"})
_UNREAD: Final = "not understood"


def is_session(text: str) -> bool:
    """Whether a text begins as a session description does."""
    return text.startswith(("v=0\r\n", "v=0\n"))


def is_candidate(text: str) -> bool:
    """Whether a text begins as a candidate does."""
    return text.startswith(("candidate:", "a=candidate:"))


def describe_candidate(text: str) -> tuple[str, str]:
    """A candidate's kind, such as ``host`` or ``relay``, and all of it for a person."""
    found = _CANDIDATE.match(text[:1000])
    if found is None:
        return _UNREAD, f"candidate {_UNREAD}"
    kind, address, port = found["kind"], shorten(found["address"], 100), found["port"]
    return kind, f"{kind} candidate: {found['transport'].lower()} {address} port {port}"


def describe_session(text: str) -> tuple[list[str], Counter[str]]:
    """A session description: a line for each medium, and how many candidates of which kind."""
    candidates: Counter[str] = Counter()
    media: list[_Medium] = []
    for line in text.splitlines()[:_MAX_LINES]:
        if line.startswith("m="):
            media.append(_Medium(line.removeprefix("m=")))
        elif is_candidate(line):
            candidates[describe_candidate(line)[0]] += 1
        elif media and line.startswith("a="):
            media[-1].add(line.removeprefix("a="))
    return [shorten(medium.describe()) for medium in media] or ["no medium"], candidates


class _Medium:
    """One medium (RFC 8866 5.14).

    Args:
        line: Its line, without ``m=``.
    """

    def __init__(self, line: str) -> None:
        self._name = line.partition(" ")[0]
        self._codecs: dict[str, None] = {}
        self._direction = "sendrecv"

    def add(self, attribute: str) -> None:
        """Take one of its attributes."""
        name, _, value = attribute.partition(":")
        if name == "rtpmap":
            self._codecs[value.partition(" ")[2].partition("/")[0]] = None
        elif name in _DIRECTIONS:
            self._direction = name

    def describe(self) -> str:
        """In one line."""
        codecs = f": {', '.join(self._codecs)}" if self._codecs else ""
        return f"{self._name}, {self._direction}{codecs}"
