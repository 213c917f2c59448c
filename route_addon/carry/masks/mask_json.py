"""JSON with placeholders in the place of secrets; all else stays as it is, byte for byte.

So what was hidden can be put back, whatever somebody changed around it.
"""

import json
import re
from collections.abc import Iterator
from typing import Final

from route_addon.carry.masks.mask import Masked
from route_addon.carry.masks.secret_names import is_secret_name

_LEXEME: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\]:,]|[^\s{}\[\]:,"]+', re.DOTALL)
_DEEPER: Final = {b"{": 1, b"[": 1, b"}": -1, b"]": -1}
_NO_SECRETS: Final = frozenset({b"true", b"false", b"null", b'""'})

type Span = tuple[int, int, bool]
"""Where a value begins and ends, and whether its name says that it is a secret."""


def is_json(text: bytes) -> bool:
    """Whether a text is JSON, in UTF-8."""
    try:
        json.loads(text.decode())
    except (ValueError, RecursionError):
        return False
    return True


def hide_json(masked: Masked, text: bytes) -> bytes:
    """Hide the secrets of a text that is JSON.

    Members are hidden by their name, at any depth, also in strings that are JSON themselves;
    and in all other strings, names among them, what looks like a secret anywhere.
    """
    pieces: list[bytes] = []
    done = 0
    for start, end, is_secret in _find_values(text):
        value = text[start:end]
        if value[:1] != b'"':
            hidden = masked.hide_value(value)
        elif is_secret:
            hidden = b'"%b"' % masked.hide(value[1:-1])
        else:
            hidden = b'"%b"' % _hide_string(masked, value)
        pieces += (text[done:start], hidden)
        done = end
    return b"".join([*pieces, text[done:]])


def _find_values(text: bytes) -> Iterator[Span]:
    """All strings, and all else whose name says that it is a secret."""
    is_secret, name = False, b'""'
    start = depth = 0
    for found in _LEXEME.finditer(text):
        lexeme = found[0]
        deeper = _DEEPER.get(lexeme, 0)
        if depth:
            depth += deeper
            if not depth:
                yield start, found.end(), True
        elif lexeme == b":":
            is_secret = is_secret_name(_read(name).decode("utf-8", "replace"))
        elif is_secret and deeper > 0:
            start, depth, is_secret = found.start(), 1, False
        elif lexeme[:1] == b'"':
            name = lexeme
            if lexeme not in _NO_SECRETS:
                yield found.start(), found.end(), is_secret
            is_secret = False
        else:
            if is_secret and lexeme not in _NO_SECRETS and not deeper:
                yield found.start(), found.end(), True
            is_secret = False


def _hide_string(masked: Masked, string: bytes) -> bytes:
    """Hide what a string holds; it comes with its quotes, and goes without."""
    raw, plain = string[1:-1], _read(string)
    if plain[:1] in (b"{", b"[") and is_json(plain):
        return masked.hide(raw) if hide_json(masked, plain) != plain else raw
    hidden = masked.hide_text(plain)
    if hidden == plain:
        return raw
    # Where there are escapes, what was hidden could not be put back among them.
    return hidden if plain == raw else masked.hide(raw)


def _read(string: bytes) -> bytes:
    """What a string of JSON stands for, in UTF-8."""
    if b"\\" not in string:
        return string[1:-1]
    return str(json.loads(string)).encode("utf-8", "surrogatepass")
