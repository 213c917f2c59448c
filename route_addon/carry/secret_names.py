"""Which names stand before secrets: of arguments, members of JSON, and header fields."""

import re
from collections.abc import Callable
from typing import Final
from urllib.parse import unquote_to_bytes

_STEMS: Final = ("passw", "secret", "token", "jwt", "authorization", "api_key", "api-key")
"""What a name holds that stands before a secret: so ``vncpassword``, ``jwt_user_token``."""
_OAUTH: Final = frozenset({"code", "state"})
"""RFC 6749 4.1.2. Only of arguments: as members of JSON these two are everyday words."""
_OWN_NAMES: Final = frozenset({"abcdesktopusercert", "x-api-key"})

_STEM: Final = "|".join(map(re.escape, _STEMS)).encode()
_ARGUMENT: Final = re.compile(
    rb"(?i)(?P<name>(?:\A|[?&#;]|%%3f|%%26|%%23|%%3b)"
    rb"(?:code|state|[\w.-]{0,64}(?:%b)[\w.-]{0,64})(?:=|%%3d))(?P<value>[^&#\s]+)" % _STEM
)
"""An argument of a query, of a fragment, or of a URL that is itself an argument's value."""
_ESCAPE: Final = re.compile(rb"\\u00([0-9A-Fa-f]{2})")


def is_secret_name(name: str) -> bool:
    """Whether the value of a member of JSON, or of a header field, is a secret by its name."""
    name = name.lower()
    return name in _OWN_NAMES or any(stem in name for stem in _STEMS)


def is_secret_argument(name: str) -> bool:
    """Whether an argument's value is a secret by its name."""
    return name.lower() in _OAUTH or is_secret_name(name)


def names_secret(text: bytes) -> bool:
    """Whether a text names a secret anywhere, with escapes or without: one may follow."""
    plain = _ESCAPE.sub(lambda escape: bytes.fromhex(escape[1].decode()), unquote_to_bytes(text))
    plain = plain.lower()
    return any(stem.encode() in plain for stem in _STEMS)


def replace_arguments(text: bytes, replace: Callable[[bytes], bytes]) -> bytes:
    """A text with something else in the place of every secret argument's value.

    Args:
        text: Any text.
        replace: Told a value, gives what shall stand there.
    """
    return _ARGUMENT.sub(lambda found: bytes(found["name"] + replace(found["value"])), text)
