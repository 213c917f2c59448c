"""The two kinds of RSA key: signing keys (public) and payload keys (private)."""

import hashlib
from collections.abc import Iterable
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

WEAK_BITS = 2048
"""Keys below this size load with a warning (NIST SP 800-131A)."""

KNOWN_FINGERPRINTS = frozenset(
    {
        "de485303e71b7343a82ef6952a45b6245131962f4dc8be0795ba039c4fd97cb6",
        "90e2aa68622380190d94ef8df730fee76577d42f4707a2a47d16a90e440f1596",
    }
)
"""Keys that everybody has: a public image of the upstream project ships both halves."""


class KeyFault(ValueError):
    """A key that cannot be used; the text says why, without any part of the key."""


class Keys(NamedTuple):
    """All keys in force; several of a kind overlap during a rotation."""

    signing: tuple[RSAPublicKey, ...]
    payload: tuple[RSAPrivateKey, ...]


NO_KEYS = Keys((), ())


def load_signing_key(pem: bytes) -> RSAPublicKey:
    """Load a public key: PKIX PEM, PKCS#1 PEM or a certificate.

    Raises:
        KeyFault: Not such a key, or not RSA.
    """
    try:
        is_certificate = b"-----BEGIN CERTIFICATE-----" in pem
        key: object = (
            x509.load_pem_x509_certificate(pem).public_key()
            if is_certificate
            else load_pem_public_key(pem)
        )
    except (ValueError, UnsupportedAlgorithm):
        raise KeyFault(_explain(pem, "an RSA public key or a certificate in PEM")) from None
    if not isinstance(key, RSAPublicKey):
        raise KeyFault("the key is not an RSA key")
    return key


def load_payload_key(pem: bytes) -> RSAPrivateKey:
    """Load a private key: PKCS#1 or PKCS#8 PEM, not encrypted.

    Raises:
        KeyFault: Not such a key, or not RSA.
    """
    try:
        key = load_pem_private_key(pem, password=None)
    except TypeError:
        raise KeyFault("the key is encrypted with a password") from None
    except (ValueError, UnsupportedAlgorithm):
        raise KeyFault(_explain(pem, "an RSA private key in PEM")) from None
    if not isinstance(key, RSAPrivateKey):
        raise KeyFault("the key is not an RSA key")
    return key


def fingerprint(key: RSAPublicKey | RSAPrivateKey) -> str:
    """SHA-256 of the public half (SubjectPublicKeyInfo, DER), in hex."""
    public = key.public_key() if isinstance(key, RSAPrivateKey) else key
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()


def is_known(key: RSAPublicKey | RSAPrivateKey, known: Iterable[str] = KNOWN_FINGERPRINTS) -> bool:
    """Whether this key is one that everybody has."""
    return fingerprint(key) in known


def _explain(pem: bytes, wanted: str) -> str:
    if not pem.strip():
        return "the file is empty"
    if b"-----BEGIN " not in pem:
        return f"the file is not {wanted}"
    return f"the file does not hold {wanted}, or not of a size that can be used"
