"""Request target -> the one canonical path that locations match and upstreams get.

What is done, in this order (RFC 3986 6.2.2 and 5.2.4, nginx's ``merge_slashes``): escapes of
unreserved characters are decoded, ``//`` is merged, dot segments are removed, a fragment is
dropped. All other escapes are data and stay as sent; so does the query, always.
"""

import re
from typing import NamedTuple

from route_addon.core.errors import BadTarget

_CANONICAL = re.compile(
    rb"""( / (?: (?!\.\.?(?:[/?]|\Z)) [^\x00-\x20\x7f%\#?/]+ (?: / | (?=\?) | \Z ) )* )
         (?: \? ( [^\x00-\x20\x7f\#]* ) )?""",
    re.VERBOSE,
)
"""An origin-form target that is canonical already: nearly every request has one."""

_FORBIDDEN = re.compile(rb"[\x00-\x20\x7f]")
_ABSOLUTE = re.compile(rb"(?i:https?)://([^/?]*)(.*)", re.DOTALL)
_ESCAPE = re.compile(rb"%(..)", re.DOTALL)
_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})|%00")

_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
"""RFC 3986 2.3."""


class Target(NamedTuple):
    """A request target, taken apart."""

    path: bytes
    """The canonical path; it begins with ``/``."""
    query: bytes | None
    """The query as sent, without ``?``; None when there was no ``?``."""
    authority: bytes | None
    """The authority of an absolute-form target; None for origin-form."""


def parse_target(target: bytes) -> Target:
    """Take a request target apart and make its path canonical.

    Args:
        target: In origin-form or absolute-form (RFC 9112 3.2).

    Raises:
        BadTarget: Control bytes, a space or DEL anywhere; an escape without two hex digits or
            ``%00`` in the path; a ``..`` above the root; any other form of target.
    """
    match = _CANONICAL.fullmatch(target)
    if match is not None:
        return Target(match[1], match[2], None)
    if _FORBIDDEN.search(target):
        raise BadTarget("control byte or space")
    target = target.partition(b"#")[0]
    authority = None
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is not None:
        authority, target = absolute[1], absolute[2]
        if not target.startswith(b"/"):
            target = b"/" + target
    path, mark, query = target.partition(b"?")
    if not path.startswith(b"/"):
        raise BadTarget("not in origin-form")
    return Target(_canonical_path(path), query if mark else None, authority)


def _canonical_path(path: bytes) -> bytes:
    if _BAD_ESCAPE.search(path):
        raise BadTarget("bad escape")
    segments: list[bytes] = []
    last = b""
    for last in _ESCAPE.sub(_decode_unreserved, path).split(b"/"):
        if last == b"..":
            if not segments:
                raise BadTarget("above the root")
            segments.pop()
        elif last and last != b".":
            segments.append(last)
    # A path that ends in a slash or in a dot segment names a folder (RFC 3986 5.2.4).
    is_folder = last in (b"", b".", b"..") and segments
    return b"/" + b"/".join(segments) + (b"/" if is_folder else b"")


def _decode_unreserved(escape: re.Match[bytes]) -> bytes:
    octet = int(escape[1], 16)
    return bytes((octet,)) if octet in _UNRESERVED else escape[0]
