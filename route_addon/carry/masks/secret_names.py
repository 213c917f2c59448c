"""Which names stand before secrets: of arguments, members of JSON, and header fields."""

import re
from collections.abc import Callable
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
_RAREST_FIRST: Final = b"%=_-zqxjkvbpygfwmucldrhsnioate3"


def _with_rarest(word: bytes) -> tuple[bytes, bytes]:
    """A word behind the letter of it that the fewest texts have."""
    return bytes([min(word, key=_RAREST_FIRST.index)]), word


_NAMES: Final = tuple(_with_rarest(stem.encode()) for stem in _STEMS)
_ARGUMENTS: Final = tuple(map(_with_rarest, (b"code=", b"code%3d", b"state=", b"state%3d")))

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
    return _holds_any(text.lower(), _NAMES)


def may_name_secret(text: bytes) -> bool:
    """Whether a text could name a secret, as a member of JSON or as an argument.

    What a name may hide behind, letters beyond ASCII or escapes of JSON, counts as one.
    """
    if not text.isascii() or (b"\\" in text and b"\\u" in text):
        return True
    lower = text.lower()
    has_arguments = b"=" in lower or b"%" in lower
    return _holds_any(lower, _NAMES) or (has_arguments and _holds_any(lower, _ARGUMENTS))


def _holds_any(lower: bytes, words: tuple[tuple[bytes, bytes], ...]) -> bool:
    # A pattern of all words takes ten times as long as they one by one, a letter a fiftieth of one.
    return any(letter in lower and word in lower for letter, word in words)


def replace_arguments(text: bytes, replace: Callable[[bytes], bytes]) -> bytes:
    """A text with something else in the place of every secret argument's value.

    Args:
        text: Any text.
        replace: Told a value, gives what shall stand there.
    """
    return _ARGUMENT.sub(lambda found: bytes(found["name"] + replace(found["value"])), text)
