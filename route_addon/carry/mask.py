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
from collections.abc import Sequence
from typing import Final
from urllib.parse import unquote_to_bytes

from route_addon.core.credentials import replace_tokens
from route_addon.core.messages import Field, Fields

PLACEHOLDER: Final = re.compile(rb"hidden\.[0-9a-f]{16}\.token")
"""Three base64url parts, as a token has: so it is found wherever a token is looked for when a
recording is judged. It is no token to anybody: its first part is no JOSE header."""

_AUTHORIZATIONS: Final = frozenset({b"abcauthorization", b"authorization", b"proxy-authorization"})
_SECRETS: Final = frozenset({b"x-api-key", b"abcdesktopusercert"})
"""Fields whose whole value is a secret."""

_SCHEME_AND_REST: Final = re.compile(rb"((?:[^ \t]+[ \t]+)?)(.*)", re.DOTALL)


class Mask:
    """Makes placeholders: one for all exchanges of a process.

    Args:
        key: What they are made with; a random one unless told.
    """

    def __init__(self, key: bytes | None = None) -> None:
        self._key = key if key is not None else os.urandom(32)

    def placeholder(self, secret: bytes) -> bytes:
        """The placeholder of a secret: the same one each time."""
        return b"hidden.%b.token" % hmac.digest(self._key, secret, "sha256")[:8].hex().encode()


class Masked:
    """What was hidden of one exchange.

    Args:
        mask: Makes the placeholders.
    """

    def __init__(self, mask: Mask) -> None:
        self._mask = mask
        self._secrets: dict[bytes, bytes] = {}

    def hide_text(self, text: bytes) -> bytes:
        """A text with a placeholder in the place of every token."""
        hidden = replace_tokens(text, self._hide)
        # Escapes inside a token hide it from the eye, and not from who takes them out.
        return self._hide(text) if b"%" in hidden and _shows_token(hidden) else hidden

    def hide_target(self, target: bytes) -> bytes:
        """A request target with a placeholder in the place of every token."""
        hidden = self.hide_text(target)
        return hidden if hidden[:1] in (target[:1], b"") else b"/" + self._hide(target[1:])

    def hide_fields(self, fields: Fields) -> list[Field]:
        """Fields with placeholders in the place of tokens and of other credentials."""
        return [(name, self._hide_value(name.lower(), value)) for name, value in fields]

    def reveal_text(self, text: bytes) -> bytes:
        """A text with the secrets that were hidden, where their placeholders stand."""
        return PLACEHOLDER.sub(lambda found: self._secrets.get(found[0], found[0]), text)

    def reveal_fields(self, fields: Fields) -> list[Field]:
        """Fields with the secrets that were hidden, where their placeholders stand."""
        return [(name, self.reveal_text(value)) for name, value in fields]

    def _hide(self, secret: bytes) -> bytes:
        if not secret:
            return secret
        placeholder = self._mask.placeholder(secret)
        self._secrets[placeholder] = secret
        return placeholder

    def _hide_value(self, name: bytes, value: bytes) -> bytes:
        if name in _AUTHORIZATIONS:
            match = _SCHEME_AND_REST.fullmatch(value)
            assert match is not None
            return self.hide_text(match[1]) + self._hide(match[2])
        if name in _SECRETS:
            return self._hide(value)
        if name == b"cookie":
            return b";".join(self._hide_pairs(value.split(b";")))
        if name == b"set-cookie":
            pair, *attributes = value.split(b";")
            return b";".join([*self._hide_pairs([pair]), *map(self.hide_text, attributes)])
        return self.hide_text(value)

    def _hide_pairs(self, pairs: Sequence[bytes]) -> list[bytes]:
        """Cookie pairs (RFC 6265 4.2.1) whose values are hidden; their names tell what is there."""
        hidden: list[bytes] = []
        for pair in pairs:
            name, equals, value = pair.partition(b"=")
            hidden.append(self.hide_text(name) + equals + self._hide(value))
        return hidden


def _shows_token(hidden: bytes) -> bool:
    """Whether a token is left once all escapes are taken out."""
    left: list[bytes] = []

    def keep(token: bytes) -> bytes:
        left.append(token)
        return b""

    replace_tokens(unquote_to_bytes(hidden), keep)
    return any(token and PLACEHOLDER.fullmatch(token) is None for token in left)
