"""The two RSA key pairs of an installation, as PEM files in one folder.

pyos signs desktop tokens with the *signing* pair and encrypts the pod's address with the
*payload* pair, so each side holds one private half:

    pyos         signing_private.pem   payload_public.pem
    the router   signing_public.pem    payload_private.pem
"""

import argparse
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

PAIRS = ("signing", "payload")
KEY_SIZE_BITS = 2048


def private_path(folder: Path, pair: str) -> Path:
    """Where the private half of a pair is kept."""
    return folder / f"{pair}_private.pem"


def public_path(folder: Path, pair: str) -> Path:
    """Where the public half of a pair is kept."""
    return folder / f"{pair}_public.pem"


def make_pair(folder: Path, pair: str) -> None:
    """Make one key pair.

    Raises:
        FileExistsError: One of the files is there already; no key is ever overwritten.
    """
    key = rsa.generate_private_key(public_exponent=65537, key_size=KEY_SIZE_BITS)
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    _write_new(private_path(folder, pair), private, 0o600)
    _write_new(public_path(folder, pair), public, 0o644)


def make_keys(folder: Path) -> None:
    """Make the folder where it is missing, and both pairs in it.

    Raises:
        FileExistsError: One of the files is there already.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for pair in PAIRS:
        make_pair(folder, pair)


def _write_new(path: Path, pem: bytes, mode: int) -> None:
    # The mode comes first: a private key is not readable by others even for a moment.
    path.touch(mode=mode, exist_ok=False)
    path.write_bytes(pem)


def main() -> None:
    """Make the keys in the folder named on the command line."""
    parser = argparse.ArgumentParser(prog="scripts/keys", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, metavar="DIR")
    folder: Path = parser.parse_args().folder
    try:
        make_keys(folder)
    except OSError as error:
        parser.exit(1, f"scripts/keys: {error.filename}: {error.strerror}\n")
    for pair in PAIRS:
        print(private_path(folder, pair))
        print(public_path(folder, pair))


if __name__ == "__main__":
    main()
