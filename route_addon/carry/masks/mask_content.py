"""What a flow keeps of content: a copy with placeholders, or nothing.

Tokens are hidden in any content, and found by their shape. Where pyos is spoken to, passwords and
keys pass too, which only their names give away: there the content is read as JSON or as a form,
and what cannot be read, and might hold one, is not kept.
"""

from codecs import getincrementaldecoder
from typing import Final
from urllib.parse import unquote_plus

from route_addon.carry.decompress import IDENTITY, compress, decompress
from route_addon.carry.masks.mask import Masked, may_hold_secret
from route_addon.carry.masks.mask_json import hide_json, is_json
from route_addon.carry.masks.secret_names import is_secret_argument, is_secret_name, names_secret
from route_addon.core.credentials import holds_token
from route_addon.core.fields import field_values
from route_addon.core.messages import Fields

_FORM: Final = b"application/x-www-form-urlencoded"
_NO_TEXT: Final = (b"image/", b"font/", b"audio/", b"video/")
_MOST_QUOTES: Final = 40_000
_MOST_ARGUMENTS: Final = 10_000
"""What has more of them is not read: it would hold up the connections of all others."""
_MOST_TIMES: Final = 16
"""How many times its length compressed content may become to be read."""
_LEAST_BYTES: Final = 2**20


def hide_content(
    masked: Masked, content: bytes, fields: Fields, *, is_strict: bool, is_cut: bool
) -> bytes | None:
    """The copy of content that may be kept.

    Args:
        masked: What is hidden of the exchange.
        content: The content, or its beginning.
        fields: The fields of its message.
        is_strict: Whether names give secrets away.
        is_cut: Whether there was more.

    Returns:
        None to keep nothing.
    """
    coding = _find_coding(fields)
    if not content:
        return content
    if is_cut and coding != IDENTITY:
        return None
    plain = _unpack(content, coding)
    if plain is None:
        return None
    is_binary = _find(fields, b"content-type").startswith(_NO_TEXT) and not _is_text(plain, is_cut)
    if is_strict and not is_binary:
        hidden = _hide_named(masked, plain, fields, is_cut)
    elif _holds_wide_token(masked, plain, is_cut):
        hidden = None
    else:
        hidden = masked.hide_content(plain, is_cut=is_cut)
    if hidden is None or hidden == plain:
        return content if hidden is not None else None
    return compress(hidden, coding)


def reveal_content(masked: Masked, content: bytes, fields: Fields) -> bytes:
    """Content that somebody edited, with the secrets that were hidden in their places."""
    coding = _find_coding(fields)
    plain = _unpack(content, coding)
    if plain is None:
        return content
    revealed = masked.reveal_text(plain)
    return content if revealed == plain else compress(revealed, coding)


def _unpack(content: bytes, coding: str) -> bytes | None:
    return decompress(content, coding, max(_MOST_TIMES * len(content), _LEAST_BYTES))


def _hide_named(masked: Masked, plain: bytes, fields: Fields, is_cut: bool) -> bytes | None:
    if not _is_text(plain, is_cut):
        return None
    if not is_cut and not may_hold_secret(plain):
        return plain
    if not is_cut and plain.count(b'"') <= _MOST_QUOTES and is_json(plain):
        return hide_json(masked, plain)
    is_form = _find(fields, b"content-type").partition(b";")[0].strip() == _FORM
    if is_form and plain.count(b"&") <= _MOST_ARGUMENTS:
        return _hide_form(masked, plain)
    if names_secret(plain):
        return None
    return masked.hide_content(masked.hide_text(plain), is_cut=is_cut)


def _holds_wide_token(masked: Masked, plain: bytes, is_cut: bool) -> bool:
    """Whether there is a token in letters of two bytes each (UTF-16), where none is found."""
    if b"e\0y\0J" not in plain:
        return False
    narrow = plain.replace(b"\0", b"")
    return masked.hide_content(narrow, is_cut=is_cut) != narrow


def _is_text(plain: bytes, is_cut: bool) -> bool:
    """Whether it is UTF-8, but for a last letter that was cut."""
    if b"\0" in plain:
        return False
    # Nearly all is ASCII, and that is seen ten times as fast.
    if plain.isascii():
        return True
    try:
        getincrementaldecoder("utf-8")().decode(plain, not is_cut)
    except ValueError:
        return False
    return True


def _hide_form(masked: Masked, plain: bytes) -> bytes:
    return b"&".join(_hide_argument(masked, argument) for argument in plain.split(b"&"))


def _hide_argument(masked: Masked, argument: bytes) -> bytes:
    name, equals, value = argument.partition(b"=")
    is_secret_by_name = is_secret_argument if equals else is_secret_name
    is_secret = (
        is_secret_by_name(unquote_plus(name.decode("utf-8", "replace")))
        or holds_token(value)
        or names_secret(value)
        # Without a name it is whatever it is.
        or (not equals and holds_token(name))
    )
    if not is_secret:
        return masked.hide_text(argument)
    return name + equals + masked.hide(value) if equals else masked.hide(name)


def _find_coding(fields: Fields) -> str:
    """The content coding, in lower case; several are one that nobody knows."""
    values = field_values(fields, b"content-encoding")
    return b",".join(values).strip().lower().decode("latin-1") or IDENTITY


def _find(fields: Fields, wanted: bytes) -> bytes:
    """The value of a field, in lower case; the first, and empty where there is none."""
    return next((value.strip().lower() for value in field_values(fields, wanted)), b"")
