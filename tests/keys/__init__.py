"""PEM files of every kind of key, the right ones and the wrong ones.

Nearly all are made when the tests start. Files stand here only for what neither library makes:
RSA keys of 512 bits, as the oldest installations have them.
"""

import datetime
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import NameOID

type Pems = Mapping[str, bytes]

_FOLDER = Path(__file__).parent
_PLAIN = NoEncryption()


def make_pems(key: rsa.RSAPrivateKey) -> Pems:
    """PEM texts by what they hold; the good ones of 2048 bits are all of one key."""
    weak = rsa.generate_private_key(65537, 1024)
    elliptic = ec.generate_private_key(ec.SECP256R1())
    edwards = ed25519.Ed25519PrivateKey.generate()
    digital = dsa.generate_private_key(1024)
    return MappingProxyType(
        {
            "public PKIX": _public(key, PublicFormat.SubjectPublicKeyInfo),
            "public PKCS#1": _public(key, PublicFormat.PKCS1),
            "certificate": _certificate(key),
            "private PKCS#1": _private(key, PrivateFormat.TraditionalOpenSSL),
            "private PKCS#8": _private(key, PrivateFormat.PKCS8),
            "private PKCS#1, encrypted": _encrypted(key, PrivateFormat.TraditionalOpenSSL),
            "private PKCS#8, encrypted": _encrypted(key, PrivateFormat.PKCS8),
            "public, 1024 bits": _public(weak, PublicFormat.SubjectPublicKeyInfo),
            "private, 1024 bits": _private(weak, PrivateFormat.TraditionalOpenSSL),
            "public, 512 bits": (_FOLDER / "rsa_512_public.pem").read_bytes(),
            "private, 512 bits": (_FOLDER / "rsa_512_private.pem").read_bytes(),
            "public EC": _public(elliptic, PublicFormat.SubjectPublicKeyInfo),
            "private EC": _private(elliptic, PrivateFormat.PKCS8),
            "certificate EC": _certificate(elliptic),
            "public Ed25519": _public(edwards, PublicFormat.SubjectPublicKeyInfo),
            "private Ed25519": _private(edwards, PrivateFormat.PKCS8),
            "public DSA": _public(digital, PublicFormat.SubjectPublicKeyInfo),
            "private DSA": _private(digital, PrivateFormat.PKCS8),
            "empty": b"",
            "white space": b" \n\t\n",
            "garbage": b"\x00\xff not a key at all \x80",
            "garbage in PEM": b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
            "garbage certificate": (
                b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
            ),
            "cut private key": _private(key, PrivateFormat.PKCS8)[:-200],
        }
    )


type _Key = (
    rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | dsa.DSAPrivateKey
)


def _public(key: _Key, form: PublicFormat) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, form)


def _private(key: _Key, form: PrivateFormat) -> bytes:
    return key.private_bytes(Encoding.PEM, form, _PLAIN)


def _encrypted(key: _Key, form: PrivateFormat) -> bytes:
    return key.private_bytes(Encoding.PEM, form, BestAvailableEncryption(b"a password"))


def _certificate(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "pyos")])
    start = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(Encoding.PEM)
