"""Signing keys and payload keys."""

import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from route_addon.core.keys import (
    KNOWN_FINGERPRINTS,
    KeyFault,
    fingerprint,
    is_known,
    load_payload_key,
    load_signing_key,
)
from tests.keys import Pems
from tests.minting import KeyPair


@pytest.mark.parametrize(
    ("kind", "bits"),
    [
        ("public PKIX", 2048),
        ("public PKCS#1", 2048),
        ("certificate", 2048),
        ("public, 1024 bits", 1024),
    ],
)
def test_signing_keys(pems: Pems, signing: KeyPair, kind: str, bits: int) -> None:
    """PKIX, PKCS#1 and a certificate are the same public key."""
    key = load_signing_key(pems[kind])
    assert bits == key.key_size
    if bits == 2048:
        assert signing.public == key


@pytest.mark.parametrize(
    ("kind", "bits"),
    [("private PKCS#1", 2048), ("private PKCS#8", 2048), ("private, 1024 bits", 1024)],
)
def test_payload_keys(pems: Pems, signing: KeyPair, kind: str, bits: int) -> None:
    """PKCS#1 and PKCS#8 are the same private key."""
    key = load_payload_key(pems[kind])
    assert bits == key.key_size
    if bits == 2048:
        assert signing.private.private_numbers() == key.private_numbers()


@pytest.mark.parametrize("kind", ["public, 512 bits", "private, 512 bits"])
def test_keys_of_512_bits(pems: Pems, kind: str) -> None:
    """They load where the library can, and where it cannot the fault names the size it wants."""
    load = load_signing_key if kind.startswith("public") else load_payload_key
    try:
        key = load(pems[kind])
    except KeyFault as fault:
        assert "of a size that can be used" in str(fault)
    else:
        assert key.key_size == 512


def test_a_payload_key_of_512_bits_decrypts(pems: Pems) -> None:
    """Where it loads, it works: the oldest installations have such keys."""
    try:
        public, private = (
            load_signing_key(pems["public, 512 bits"]),
            load_payload_key(pems["private, 512 bits"]),
        )
        ciphertext = public.encrypt(b"10.0.0.1", PKCS1v15())
    except (KeyFault, ValueError) as fault:
        pytest.skip(f"skipped, because this library takes no 512 bits: {fault}")
    assert private.decrypt(ciphertext, PKCS1v15()) == b"10.0.0.1"


_NO_SIGNING_KEY = "the file does not hold an RSA public key or a certificate in PEM"
_NO_PAYLOAD_KEY = "the file does not hold an RSA private key in PEM"


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("public EC", "the key is not an RSA key"),
        ("certificate EC", "the key is not an RSA key"),
        ("public Ed25519", "the key is not an RSA key"),
        ("public DSA", "the key is not an RSA key"),
        ("private PKCS#8", _NO_SIGNING_KEY),
        ("private PKCS#1", _NO_SIGNING_KEY),
        ("private PKCS#8, encrypted", _NO_SIGNING_KEY),
        ("garbage in PEM", _NO_SIGNING_KEY),
        ("garbage certificate", _NO_SIGNING_KEY),
        ("garbage", "the file is not an RSA public key or a certificate in PEM"),
        ("empty", "the file is empty"),
        ("white space", "the file is empty"),
    ],
)
def test_never_a_signing_key(pems: Pems, kind: str, message: str) -> None:
    """What is no RSA public key is refused with a reason."""
    with pytest.raises(KeyFault) as caught:
        load_signing_key(pems[kind])
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("private EC", "the key is not an RSA key"),
        ("private Ed25519", "the key is not an RSA key"),
        ("private DSA", "the key is not an RSA key"),
        ("private PKCS#1, encrypted", "the key is encrypted with a password"),
        ("private PKCS#8, encrypted", "the key is encrypted with a password"),
        ("public PKIX", _NO_PAYLOAD_KEY),
        ("certificate", _NO_PAYLOAD_KEY),
        ("cut private key", _NO_PAYLOAD_KEY),
        ("garbage in PEM", _NO_PAYLOAD_KEY),
        ("garbage", "the file is not an RSA private key in PEM"),
        ("empty", "the file is empty"),
        ("white space", "the file is empty"),
    ],
)
def test_never_a_payload_key(pems: Pems, kind: str, message: str) -> None:
    """What is no RSA private key is refused with a reason."""
    with pytest.raises(KeyFault) as caught:
        load_payload_key(pems[kind])
    assert str(caught.value).startswith(message)


def test_no_fault_shows_a_key(pems: Pems) -> None:
    """Nothing of a file gets into the text of a fault."""
    for pem in pems.values():
        for load in (load_signing_key, load_payload_key):
            try:
                load(pem)
            except KeyFault as fault:
                lines = [line for line in pem.decode("latin-1").split("\n") if line]
                assert not any(line in str(fault) for line in lines if len(line) > 20)


def test_fingerprint(payload: KeyPair) -> None:
    """It is SHA-256 of the SubjectPublicKeyInfo, and both halves have the same."""
    der = payload.public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    expected = hashlib.sha256(der).hexdigest()
    assert expected == fingerprint(payload.public)
    assert expected == fingerprint(payload.private)


def test_known_keys(signing: KeyPair, payload: KeyPair) -> None:
    """A key is known by its fingerprint alone."""
    known = {fingerprint(signing.public)}
    assert is_known(signing.public, known)
    assert is_known(signing.private, known)
    assert not is_known(payload.public, known)
    assert not is_known(signing.public)


def test_the_keys_that_everybody_has() -> None:
    """Two public halves of the upstream project's image are named."""
    assert frozenset(
        {
            "de485303e71b7343a82ef6952a45b6245131962f4dc8be0795ba039c4fd97cb6",
            "90e2aa68622380190d94ef8df730fee76577d42f4707a2a47d16a90e440f1596",
        }
    ) == (KNOWN_FINGERPRINTS)
