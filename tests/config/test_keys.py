"""The keys that options name: which are taken, which refused, and what is told of them."""

import functools
from collections.abc import Mapping
from pathlib import Path

import pytest

from route_addon.core.keys import fingerprint, is_known
from route_addon.options import OPTIONS, BadOption
from tests.config.building import KEYS, Build, build, refusal
from tests.keys import Pems
from tests.minting import KeyPair, key_pair


@pytest.mark.parametrize("name", KEYS)
def test_missing_keys(build_with_keys: Build, name: str) -> None:
    """A listener needs keys: the refusal says how to name them."""
    option = next(option for option in OPTIONS if option.name == name)
    for value in ("", ":", "::"):
        assert refusal({name: value}, build_with_keys) == (
            f"{name}: is not set; name a PEM file, by --set {name}=PATH or {option.environment[0]}"
        )


def test_no_keys() -> None:
    """Without a listener keys may be missing."""
    settings = build(dict.fromkeys(KEYS, ""))
    assert settings.rules.keys == ((), ())
    assert settings.describe().endswith("; signing key sha256 none; payload key sha256 none")


@pytest.mark.parametrize("name", KEYS)
def test_bad_key_without_listener(name: str) -> None:
    """But a key that is named must be good even then."""
    assert "No such file" in refusal({name: "/no/such.pem"})


def test_several_keys(
    build_with_keys: Build, tmp_path: Path, signing: KeyPair, payload: KeyPair
) -> None:
    """Keys overlap during a rotation, the first one is tried first."""
    other = key_pair("stranger")
    files = {
        "old.pem": signing.public_pem,
        "new.pem": other.public_pem,
        "old.key": payload.private_pem,
        "new.key": other.private_pem,
    }
    for name, pem in files.items():
        (tmp_path / name).write_bytes(pem)
    settings = build_with_keys(
        {
            "route_signing_key": f"{tmp_path}/new.pem:{tmp_path}/old.pem",
            "route_payload_key": f"{tmp_path}/new.key::{tmp_path}/old.key:",
        }
    )
    assert settings.rules.keys.signing == (other.public, signing.public)
    assert settings.signing_fingerprints == (
        fingerprint(other.public),
        fingerprint(signing.public),
    )
    assert settings.payload_fingerprints == (
        fingerprint(other.private),
        fingerprint(payload.private),
    )
    assert ",".join(settings.signing_fingerprints) in settings.describe()


@pytest.mark.parametrize("is_first", [True, False])
def test_one_bad_key_of_several(
    build_with_keys: Build,
    tmp_path: Path,
    key_options: Mapping[str, str],
    is_first: bool,
) -> None:
    """One bad key refuses all, and is the one that is named."""
    bad = tmp_path / "bad.pem"
    bad.write_text("nonsense")
    paths = [str(bad), key_options["route_signing_key"]]
    joined = ":".join(paths if is_first else paths[::-1])
    assert refusal({"route_signing_key": joined}, build_with_keys).startswith(
        f"route_signing_key={bad}: "
    )


@pytest.mark.parametrize(
    ("name", "kind", "fault"),
    [
        ("route_signing_key", "empty", "the file is empty"),
        ("route_signing_key", "garbage", "the file is not an RSA public key or a certificate"),
        ("route_signing_key", "private PKCS#8", "the file does not hold an RSA public key"),
        ("route_signing_key", "public EC", "the key is not an RSA key"),
        ("route_payload_key", "white space", "the file is empty"),
        ("route_payload_key", "garbage", "the file is not an RSA private key"),
        ("route_payload_key", "public PKIX", "the file does not hold an RSA private key"),
        ("route_payload_key", "private PKCS#8, encrypted", "the key is encrypted with a password"),
        ("route_payload_key", "private Ed25519", "the key is not an RSA key"),
    ],
)
def test_never_keys(
    build_with_keys: Build,
    tmp_path: Path,
    pems: Pems,
    name: str,
    kind: str,
    fault: str,
) -> None:
    """A file that holds no such key is refused with the reason, and nothing of the file."""
    path = tmp_path / "key.pem"
    path.write_bytes(pems[kind])
    sentence = refusal({name: str(path)}, build_with_keys)
    assert sentence.startswith(f"{name}={path}: {fault}")
    assert "\n" not in sentence


@pytest.mark.parametrize(
    ("name", "kind"),
    [("route_signing_key", "public, 1024 bits"), ("route_payload_key", "private, 1024 bits")],
)
def test_weak_keys(
    build_with_keys: Build, tmp_path: Path, pems: Pems, name: str, kind: str
) -> None:
    """Keys of old installations load, with a warning."""
    path = tmp_path / "key.pem"
    path.write_bytes(pems[kind])
    assert build_with_keys({name: str(path)}).warnings == (
        f"{name}: a key of 1024 bits is weak; use 2048 or more",
    )


@pytest.mark.parametrize(
    ("name", "kind"),
    [("route_signing_key", "public, 512 bits"), ("route_payload_key", "private, 512 bits")],
)
def test_keys_of_512_bits(
    build_with_keys: Build, tmp_path: Path, pems: Pems, name: str, kind: str
) -> None:
    """So do the weakest where the library can; where it cannot, the refusal names the size."""
    path = tmp_path / "key.pem"
    path.write_bytes(pems[kind])
    try:
        settings = build_with_keys({name: str(path)})
    except BadOption as error:
        assert str(error).startswith(f"{name}={path}: ")
        assert "of a size that can be used (1024 bits at least)" in str(error)
    else:
        assert settings.warnings == (f"{name}: a key of 512 bits is weak; use 2048 or more",)


@pytest.mark.parametrize("name", KEYS)
def test_known_keys(
    build_with_keys: Build,
    monkeypatch: pytest.MonkeyPatch,
    key_options: Mapping[str, str],
    signing: KeyPair,
    payload: KeyPair,
    name: str,
) -> None:
    """A key that everybody has is refused, unless that is allowed."""
    known = {
        "route_signing_key": fingerprint(signing.public),
        "route_payload_key": fingerprint(payload.private),
    }[name]
    monkeypatch.setattr(
        "route_addon.config.keys.is_known", functools.partial(is_known, known={known})
    )
    assert refusal({}, build_with_keys).startswith(
        f"{name}={key_options[name]}: everybody has this key: a public image ships it; make keys "
        "of your own"
    )
    assert build_with_keys({"route_allow_known_keys": True}).warnings == ()
