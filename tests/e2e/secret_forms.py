"""The forms in which a secret may show, for tests that look for it in what was written."""

import base64
from collections.abc import Iterable, Iterator
from urllib.parse import quote

_PIECE_BYTES = 16


class Search:
    """Looks for secrets in texts, in any form.

    Args:
        secrets: What to look for.
    """

    def __init__(self, secrets: Iterable[bytes]) -> None:
        self._forms = {form: secret for secret in secrets for form in forms(secret)}

    def find(self, text: bytes) -> dict[bytes, bytes]:
        """Each secret that is there, with a piece of the form that it has."""
        pieces = (text[start : start + _PIECE_BYTES] for start in range(len(text)))
        return {self._forms[piece]: piece for piece in pieces if piece in self._forms}


def forms(secret: bytes) -> Iterator[bytes]:
    """All forms of a secret: pieces of it as it is, and of what encodings make of it."""
    yield from _pieces(secret)
    escaped = b"".join(b"%%%02X" % byte for byte in secret)
    dotted = quote(secret, safe="").encode().replace(b".", b"%2E")
    in_json = b"".join(b"\\u%04x" % byte for byte in secret)
    for whole in (
        escaped,
        escaped.lower(),
        dotted,
        in_json,
        in_json.upper(),
        secret.hex().encode(),
        secret.decode("latin-1").encode("utf-16-le"),
    ):
        yield from _pieces(whole)
    yield from _pieces(secret.replace(b".", b"\\u002e"))
    for offset in range(3):
        yield from _base64(secret, offset)


def _pieces(whole: bytes) -> Iterator[bytes]:
    """Every piece of one length, one behind the other: a part of twice that holds one of them."""
    assert len(whole) >= _PIECE_BYTES
    for start in range(0, len(whole) - _PIECE_BYTES + 1, _PIECE_BYTES):
        yield whole[start : start + _PIECE_BYTES]


def _base64(secret: bytes, offset: int) -> Iterator[bytes]:
    """What base64 makes of it behind so many other bytes, but for letters shared with others."""
    first, end = -(-8 * offset // 6), 8 * (offset + len(secret)) // 6
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        yield from _pieces(encode(bytes(offset) + secret)[first:end])
