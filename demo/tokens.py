"""Desktop tokens, minted the way pyos does it: PyJWT and PyCryptodome."""

import argparse
import base64
import time
from pathlib import Path

import jwt
from Crypto.Cipher import PKCS1_v1_5
from Crypto.PublicKey import RSA

from demo import keys

DEFAULT_LIFE_S = 420


def mint(
    target: str, *, signing_private: bytes, payload_public: bytes, now: float, life_s: float
) -> str:
    """Build a desktop token.

    Args:
        target: The address or name of the user's pod, ASCII.
        signing_private: PEM of the key that signs.
        payload_public: PEM of the key that the target is encrypted with.
        now: The time of issue.
        life_s: Seconds until it expires; a negative life is over already.
    """
    cipher = PKCS1_v1_5.new(RSA.import_key(payload_public))
    encrypted_target = base64.b64encode(cipher.encrypt(target.encode("ascii")))
    claims = {
        "key": 0,
        "nfb": int(now),  # pyos' spelling
        "exp": int(now + life_s),
        "hash": encrypted_target.decode("ascii"),
    }
    return jwt.encode(claims, signing_private, algorithm="RS256")


def main() -> None:
    """Print a token for the target named on the command line."""
    parser = argparse.ArgumentParser(prog="scripts/token", description=__doc__)
    parser.add_argument("target", help="the pod's address or name")
    parser.add_argument(
        "--keys", type=Path, required=True, metavar="DIR", help="as scripts/keys makes it"
    )
    parser.add_argument(
        "--life", type=float, default=DEFAULT_LIFE_S, metavar="SECONDS", help="default: %(default)s"
    )
    arguments = parser.parse_args()
    try:
        token = mint(
            arguments.target,
            signing_private=keys.private_path(arguments.keys, "signing").read_bytes(),
            payload_public=keys.public_path(arguments.keys, "payload").read_bytes(),
            now=time.time(),
            life_s=arguments.life,
        )
    except OSError as error:
        parser.exit(1, f"scripts/token: {error.filename}: {error.strerror}\n")
    except ValueError as error:
        parser.exit(1, f"scripts/token: {error}\n")
    print(token)


if __name__ == "__main__":
    main()
