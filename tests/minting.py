"""Desktop tokens as pyos mints them: PyJWT signs, PyCryptodome encrypts the target.

The one place where tests make tokens. Key pairs are made once in a process; a token costs two
RSA operations.
"""

import base64
import itertools
import json
from collections.abc import Mapping
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import jwt
from Crypto.Cipher import PKCS1_v1_5
from Crypto.PublicKey import RSA
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from route_addon.core.keys import Keys
from route_addon.core.targets import parse_target_host

NOW = 1_700_000_000.0
"""When the tests of the pure core take place."""

LIFE_S = 420.0
"""The life of a token in the field."""


class KeyPair:
    """An RSA key pair, in every form that a test asks for.

    Args:
        bits: Its size.
    """

    def __init__(self, bits: int = 2048) -> None:
        self.private = rsa.generate_private_key(65537, bits)
        self.public = self.private.public_key()

    @cached_property
    def private_pem(self) -> bytes:
        """PKCS#8."""
        return self.private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    @cached_property
    def public_pem(self) -> bytes:
        """PKIX."""
        return self.public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    @cached_property
    def cipher(self) -> PKCS1_v1_5.PKCS115_Cipher:
        """PyCryptodome's RSAES-PKCS1-v1_5 with the public half."""
        return PKCS1_v1_5.new(RSA.import_key(self.public_pem))


@cache
def key_pair(name: str, bits: int = 2048) -> KeyPair:
    """A key pair by name: ``signing`` and ``payload`` are in force, all others are strangers."""
    return KeyPair(bits)


def keys_in_force() -> Keys:
    """What a router holds: the halves that pyos does not."""
    return Keys((key_pair("signing").public,), (key_pair("payload").private,))


def write_keys(folder: Path, signing: KeyPair, payload: KeyPair) -> dict[str, str]:
    """Write the halves that a router holds.

    Returns:
        The options that name the files.
    """
    (folder / "signing.pem").write_bytes(signing.public_pem)
    (folder / "payload.pem").write_bytes(payload.private_pem)
    return {
        "route_signing_key": str(folder / "signing.pem"),
        "route_payload_key": str(folder / "payload.pem"),
    }


def encrypt(target: str | bytes, payload: KeyPair | None = None) -> str:
    """The ``hash`` claim: base64 of the target, encrypted."""
    text = target.encode("utf-8") if isinstance(target, str) else target
    ciphertext = (payload or key_pair("payload")).cipher.encrypt(text)
    return base64.b64encode(ciphertext).decode("ascii")


def is_chance(claim: str) -> bool:
    """Whether the payload key in force reads a host out of a claim by mere chance.

    It answers bad padding with random bytes, and in one of a thousand cases these are a letter or
    two: a host name.
    """
    try:
        text = key_pair("payload").private.decrypt(base64.b64decode(claim), PKCS1v15())
    except ValueError:
        return False
    return parse_target_host(text) is not None


def undecryptable() -> str:
    """A ``hash`` claim that is encrypted for a stranger and does not read as a host."""
    claims = (encrypt("10.0.0.1", key_pair("stranger")) for _ in itertools.count())
    return next(claim for claim in claims if not is_chance(claim))


def mint(
    target: str | bytes = "10.0.0.1",
    *,
    now: float = NOW,
    life_s: float = LIFE_S,
    signing: KeyPair | None = None,
    payload: KeyPair | None = None,
    claims: Mapping[str, Any] | None = None,
) -> bytes:
    """A token as pyos makes it.

    Args:
        target: The pod's address or name.
        now: The time of issue.
        life_s: Seconds until it expires; negative for one that has.
        signing: Signs it; the pair in force unless told.
        payload: Encrypts the target; the pair in force unless told.
        claims: Put over the usual ones; a value of None takes a claim away.
    """
    usual: dict[str, Any] = {
        "key": 0,
        "nfb": int(now),  # pyos' spelling
        "exp": int(now + life_s),
        "hash": encrypt(target, payload),
    }
    usual.update(claims or {})
    kept = {name: value for name, value in usual.items() if value is not None}
    private = (signing or key_pair("signing")).private
    return jwt.encode(kept, private, algorithm="RS256").encode("ascii")


def sign(header: Any, payload: Any, signing: KeyPair | None = None) -> bytes:
    """A compact JWS of any header and payload, with a true RS256 signature.

    Args:
        header: JSON, or bytes that are taken as they are.
        payload: JSON, or bytes that are taken as they are.
        signing: Signs it; the pair in force unless told.
    """
    signing_input = base64url(_text(header)) + b"." + base64url(_text(payload))
    private = (signing or key_pair("signing")).private
    return signing_input + b"." + base64url(private.sign(signing_input, PKCS1v15(), SHA256()))


def base64url(text: bytes) -> bytes:
    """Base64url without padding (RFC 7515 2)."""
    return base64.urlsafe_b64encode(text).rstrip(b"=")


def _text(value: Any) -> bytes:
    return value if isinstance(value, bytes) else json.dumps(value).encode("utf-8")
