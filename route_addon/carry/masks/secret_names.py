"""Which names stand before secrets: of arguments, members of JSON, and header fields."""

import re
from collections.abc import Callable, Sequence
from typing import Final
from urllib.parse import unquote_to_bytes

_STEMS: Final = (
    "passw",
    "secret",
    "token",
    "jwt",
    "authorization",
    "api_key",
    "api-key",
    "desktopusercert",
)
"""What a name holds that stands before a secret: so ``vncpassword``, ``jwt_user_token``."""
_STEM: Final = "|".join(_STEMS)
_WIDER: Final = re.compile(rf"(?i){_STEM}|pass|pwd|credential|auth|cookie|apikey|\Akey\Z")
"""And what may stand before one: where nothing is lost if it does not."""
_SECRET_NAME: Final = re.compile(rf"(?i){_STEM}")
_SECRET_ARGUMENT: Final = re.compile(rf"(?i){_STEM}|\A(?:code|state)\Z")
"""And those of OAuth (RFC 6749 4.1.2): as members of JSON these two are everyday words."""
_ARGUMENTS: Final = ("code=", "code%3d", "state=", "state%3d")
_RAREST_FIRST: Final = "%=kwzc"
"""Letters that most texts have few of. Each of those words has one, and is looked for around it."""

type _Search = tuple[tuple[bytes, ...], Callable[[bytes], object]]
"""A letter in all its cases, and what finds words that have it in a text in lower case."""


def _search_around(letter: str, words: Sequence[str]) -> _Search:
    letters = tuple(sorted({letter.encode(), letter.upper().encode()}))
    if len(words) == 1:
        word = words[0].encode()
        return letters, lambda lower: word in lower
    halves = (word.partition(letter) for word in words)
    around = "|".join(f"(?<={before}{letter}){after}" for before, _, after in halves)
    # What begins with one letter goes from one of it to the next: a choice of words takes ten
    # times as long, and they one by one three times.
    return letters, re.compile(f"{letter}(?:{around})".encode()).search


def _search_for(words: Sequence[str]) -> tuple[_Search, ...]:
    """What finds these words: all that share a letter at once."""
    by_letter: dict[str, list[str]] = {}
    for word in words:
        letter = next(letter for letter in _RAREST_FIRST if letter in word)
        by_letter.setdefault(letter, []).append(word)
    return tuple(_search_around(letter, found) for letter, found in by_letter.items())


_NAMES: Final = _search_for(_STEMS)
_NAMES_AND_ARGUMENTS: Final = _search_for((*_STEMS, *_ARGUMENTS))

_ARGUMENT: Final = re.compile(
    rb"(?i)(?P<name>(?:\A|[?&#;]|%%3f|%%26|%%23|%%3b)"
    rb"(?:code|state|[\w.-]{0,64}(?:%b)[\w.-]{0,64})(?:=|%%3d))(?P<value>[^&#\s]+)" % _STEM.encode()
)
"""An argument of a query, of a fragment, or of a URL that is itself an argument's value."""
_ESCAPE: Final = re.compile(rb"\\u00([0-9A-Fa-f]{2})")


def is_secret_name(name: str) -> bool:
    """Whether the value of a member of JSON, or of a header field, is a secret by its name."""
    return _SECRET_NAME.search(name) is not None


def may_be_secret(name: str) -> bool:
    """Whether a value is better not shown to a person, as far as its name can tell."""
    return _WIDER.search(name) is not None


def is_secret_argument(name: str) -> bool:
    """Whether an argument's value is a secret by its name."""
    return _SECRET_ARGUMENT.search(name) is not None


def names_secret(text: bytes) -> bool:
    """Whether a text names a secret anywhere, with escapes or without: one may follow."""
    if b"%" in text:
        text = unquote_to_bytes(text)
    if b"\\u00" in text:
        text = _ESCAPE.sub(lambda escape: bytes.fromhex(escape[1].decode()), text)
    return _holds_any(text, _NAMES)


def may_name_secret(text: bytes) -> bool:
    """Whether a text could name a secret, as a member of JSON or as an argument.

    What a name may hide behind, letters beyond ASCII or escapes of JSON, counts as one.
    """
    if not text.isascii() or (b"\\" in text and b"\\u" in text):
        return True
    return _holds_any(text, _NAMES_AND_ARGUMENTS)


def _holds_any(text: bytes, searches: Sequence[_Search]) -> bool:
    """Whether a text holds one of some words, in any case."""
    # That a letter is nowhere is seen in a twentieth of the time.
    due = [search for letters, search in searches if any(one in text for one in letters)]
    if not due:
        return False
    lower = text.lower()
    return any(search(lower) for search in due)


def replace_arguments(text: bytes, replace: Callable[[bytes], bytes]) -> bytes:
    """A text with something else in the place of every secret argument's value.

    Args:
        text: Any text.
        replace: Told a value, gives what shall stand there.
    """
    return _ARGUMENT.sub(lambda found: bytes(found["name"] + replace(found["value"])), text)
