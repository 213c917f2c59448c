"""Placeholders in the place of secrets, in what a flow shows and mitmproxy keeps.

A flow is built with placeholders, before the first hook sees it. What is sent to an upstream
comes from the relay's own memory; only when a flow was edited is it read back, and there a
placeholder stands for the secret that it took the place of. Nowhere else does it stand for
anything: it is an HMAC under a key of this process, so that two requests with the same token can
be seen to have the same, and nothing more.
"""

import hmac
import os
import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Final
from urllib.parse import unquote_to_bytes

from route_addon.carry.masks.secret_names import is_secret_name, may_name_secret, replace_arguments
from route_addon.core.credentials import ARGUMENT, replace_tokens
from route_addon.core.messages import Field, Fields
from route_addon.core.tokens import PLACEHOLDER

_BEGINNING: Final = b"hidden."
_HIDDEN: Final = re.compile(rb'"%b"|%b' % (PLACEHOLDER.pattern, PLACEHOLDER.pattern))
"""With quotes it may stand for what has none: a number of JSON."""

_AUTHORIZATIONS: Final = frozenset({b"abcauthorization", b"authorization", b"proxy-authorization"})
_SCHEME_AND_REST: Final = re.compile(
    rb"(?i)((?:(?:Basic|Bearer|Digest|Negotiate|NTLM)[ \t]+)?)(.*)", re.DOTALL
)

_LETTER: Final = rb"[A-Za-z0-9_-]"
_ENDING: Final = re.compile(rb"\.(?<=%b{8}\.)%b{64}" % (_LETTER, _LETTER))
"""The least that a token ends in. A pattern that begins with a dot goes from one to the next."""
_DOT_ESCAPE: Final = re.compile(rb"%(?=2[Ee])..", re.DOTALL)
_LEAST_TOKEN_BYTES: Final = 90
"""A token without a name is no shorter."""
_MOST_FIELDS: Final = 1024
_LONGEST_FIELD_BYTES: Final = 4096
"""What is remembered of fields at most."""
_ESCAPE_DEPTH: Final = 2
"""A URL may be an argument of a URL."""
_CUT_TOKEN: Final = re.compile(rb"eyJ[A-Za-z0-9_.%-]*\Z")
"""What may be the beginning of a token, at the end of what was cut."""


class Mask:
    """Makes placeholders: one for all exchanges of a process.

    Args:
        key: What they are made with; a random one unless told.
    """

    def __init__(self, key: bytes | None = None) -> None:
        self._key = key if key is not None else os.urandom(32)
        self.hide_field = lru_cache(_MOST_FIELDS)(self._hide_field)
        """A field with placeholders, and the secrets by their placeholders: the same ones come
        with each request of a client, and each answer of a server."""

    def placeholder(self, secret: bytes) -> bytes:
        """The placeholder of a secret: the same one each time. A placeholder is its own."""
        if PLACEHOLDER.fullmatch(secret) is not None:
            return secret
        return b"hidden.%b.token" % hmac.digest(self._key, secret, "sha256")[:8].hex().encode()

    def _hide_field(self, field: Field) -> tuple[Field, Mapping[bytes, bytes]]:
        masked = Masked(self)
        return masked.hide_field(field), masked.secrets

    def hide_message(self, content: bytes, *, is_cut: bool = False) -> bytes:
        """A message with a placeholder in the place of every token; nothing brings them back.

        Args:
            content: The message.
            is_cut: Whether there was more, so that a token may have been cut.
        """
        return hide_tokens(content, self.placeholder, is_cut=is_cut)


def hide_tokens(
    content: bytes, replace: Callable[[bytes], bytes], *, is_cut: bool = False
) -> bytes:
    """Content with something else in the place of every token.

    As ``replace_tokens`` does it, but where there is nothing that ends like a token, as in most
    of what is large, a fortieth of the time finds that out.

    Args:
        content: The content.
        replace: Told a token, gives what shall stand there.
        is_cut: Whether there was more, so that a token may have been cut.
    """
    if _ends_like_token(content) or ARGUMENT in content.lower():
        content = replace_tokens(content, replace)
    return _CUT_TOKEN.sub(lambda found: replace(found[0]), content) if is_cut else content


class Masked:
    """What was hidden of one exchange.

    Args:
        mask: Makes the placeholders.
    """

    def __init__(self, mask: Mask) -> None:
        self._mask = mask
        self.secrets: dict[bytes, bytes] = {}
        """By their placeholders."""

    def hide_text(self, text: bytes) -> bytes:
        """A text with a placeholder in the place of every token and every secret argument."""
        if _is_plain(text) or not may_hold_secret(text):
            return text
        hidden = replace_arguments(hide_tokens(text, self.hide), self.hide)
        # Escapes inside hide it from the eye, and not from who takes them out.
        return self.hide(text) if b"%" in hidden and _shows_secret(hidden) else hidden

    def hide_content(self, content: bytes, *, is_cut: bool = False) -> bytes:
        """Content with a placeholder in the place of every token.

        Args:
            content: The content.
            is_cut: Whether there was more, so that a token may have been cut.
        """
        return hide_tokens(content, self.hide, is_cut=is_cut)

    def hide_target(self, target: bytes) -> bytes:
        """A request target with a placeholder in the place of every secret."""
        hidden = self.hide_text(target)
        return hidden if hidden[:1] in (target[:1], b"") else b"/" + self.hide(target[1:])

    def hide_fields(self, fields: Fields) -> list[Field]:
        """Fields with placeholders in the place of credentials."""
        hidden: list[Field] = []
        for field in fields:
            if _is_known_alike(*field):
                known, secrets = self._mask.hide_field(field)
                self.secrets.update(secrets)
                hidden.append(known)
            else:
                hidden.append(self.hide_field(field))
        return hidden

    def hide_field(self, field: Field) -> Field:
        """A field with placeholders in the place of credentials."""
        name, value = field
        return self.hide_name(name), self._hide_value(name.lower(), value)

    def hide_name(self, name: bytes) -> bytes:
        """A name that should hold no token, and does if somebody made a mistake."""
        return name if _is_plain(name) else hide_tokens(name, self.hide)

    def hide_authority(self, authority: bytes) -> bytes:
        """An authority without the password that a URL may have before its host."""
        userinfo, at, host = authority.rpartition(b"@")
        return self.hide(userinfo) + at + self.hide_name(host)

    def hide(self, secret: bytes) -> bytes:
        """The placeholder of a secret, which stands for it from now on."""
        # What is hidden already is not hidden twice: it would not come back whole.
        secret = self.reveal_text(secret)
        if not secret:
            return secret
        return self.learn(secret)

    def learn(self, secret: bytes, placeholder: bytes | None = None) -> bytes:
        """Let a placeholder stand for a secret that was hidden in another exchange.

        Args:
            secret: The secret.
            placeholder: The placeholder; the secret's own unless told.

        Returns:
            The placeholder.
        """
        placeholder = placeholder or self._mask.placeholder(secret)
        self.secrets[placeholder] = secret
        return placeholder

    def hide_value(self, value: bytes) -> bytes:
        """The placeholder of a value of JSON that is no string: a string."""
        value = self.reveal_text(value)
        placeholder = b'"%b"' % self._mask.placeholder(b"JSON " + value)
        self.secrets[placeholder] = value
        return placeholder

    def reveal_text(self, text: bytes) -> bytes:
        """A text with the secrets that were hidden, where their placeholders stand."""
        return _HIDDEN.sub(lambda found: self._reveal(found[0]), text)

    def reveal_fields(self, fields: Fields) -> list[Field]:
        """Fields with the secrets that were hidden, where their placeholders stand."""
        return [(self.reveal_text(name), self.reveal_text(value)) for name, value in fields]

    def _reveal(self, placeholder: bytes) -> bytes:
        secret = self.secrets.get(placeholder)
        if secret is None and placeholder[:1] == b'"':
            return b'"%b"' % self._reveal(placeholder[1:-1])
        return placeholder if secret is None else secret

    def _hide_value(self, name: bytes, value: bytes) -> bytes:
        if name == b"host":
            return self.hide_authority(value)
        if name in _AUTHORIZATIONS:
            match = _SCHEME_AND_REST.fullmatch(value)
            assert match is not None
            return match[1] + self.hide(match[2])
        if name == b"cookie":
            return b";".join(self._hide_pairs(value.split(b";")))
        if name == b"set-cookie":
            pair, *attributes = value.split(b";")
            return b";".join([*self._hide_pairs([pair]), *map(self.hide_text, attributes)])
        if PLACEHOLDER.fullmatch(name) is None and is_secret_name(name.decode("latin-1")):
            return self.hide(value)
        return self.hide_text(value)

    def _hide_pairs(self, pairs: Sequence[bytes]) -> list[bytes]:
        """Cookie pairs (RFC 6265 4.2.1) whose values are hidden; their names tell what is there."""
        hidden: list[bytes] = []
        for pair in pairs:
            name, equals, value = pair.partition(b"=")
            if equals:
                hidden.append(self.hide_text(name) + equals + self.hide(value))
            else:
                # A value without a name (RFC 6265bis 5.6), behind a space.
                value = pair.lstrip()
                hidden.append(pair[: len(pair) - len(value)] + self.hide(value))
        return hidden


def may_hold_secret(text: bytes) -> bool:
    """Whether to search a text for secrets, which takes ten times as long as this look at it.

    Escapes are taken out as often as the search takes them out.
    """
    for _ in range(_ESCAPE_DEPTH + 1):
        if may_name_secret(text) or _ends_like_token(text):
            return True
        if b"%" not in text:
            return False
        text = unquote_to_bytes(text)
    return False


def _ends_like_token(text: bytes) -> bool:
    if b"%" in text:
        text = _DOT_ESCAPE.sub(b".", text)
    return b"." in text and _ENDING.search(text) is not None


def _is_known_alike(name: bytes, value: bytes) -> bool:
    """Whether a field is hidden alike in all exchanges: a placeholder means something in one."""
    return (
        len(name) + len(value) <= _LONGEST_FIELD_BYTES
        and _BEGINNING not in value
        and _BEGINNING not in name
    )


def _is_plain(text: bytes) -> bool:
    """Whether there is room for no token in it, and nothing that could be a secret's name."""
    return len(text) < _LEAST_TOKEN_BYTES and b"=" not in text and b"%" not in text


def _shows_secret(hidden: bytes) -> bool:
    """Whether a secret is left once escapes are taken out, and those within them."""
    left: list[bytes] = []

    def keep(secret: bytes) -> bytes:
        left.append(secret)
        return b""

    for _ in range(_ESCAPE_DEPTH):
        hidden = unquote_to_bytes(hidden)
        replace_tokens(hidden, keep)
        replace_arguments(hidden, keep)
    return any(secret and PLACEHOLDER.fullmatch(secret) is None for secret in left)
