"""The demo's keys and tokens: made, kept and minted as an installation's are."""

import base64
import stat
import subprocess
import sys
import time
from pathlib import Path

import jwt
import pytest
from Crypto.Cipher import PKCS1_v1_5
from Crypto.PublicKey import RSA

from demo import keys, tokens


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with keys."""
    made = tmp_path_factory.mktemp("demo") / "keys"
    keys.make_keys(made)
    return made


def mint(folder: Path, target: str, life_s: float = 60) -> str:
    """Mint a token with the folder's keys."""
    return tokens.mint(
        target,
        signing_private=keys.private_path(folder, "signing").read_bytes(),
        payload_public=keys.public_path(folder, "payload").read_bytes(),
        now=time.time(),
        life_s=life_s,
    )


def run(module: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run one of the demo's commands."""
    return subprocess.run(
        [sys.executable, "-m", module, *words],
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("pair", keys.PAIRS)
def test_private_keys_are_their_owner_s_alone(folder: Path, pair: str) -> None:
    """Nobody else may read a private key; both halves belong together."""
    private = keys.private_path(folder, pair)
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    key = RSA.import_key(private.read_bytes())
    assert key.size_in_bits() == keys.KEY_SIZE_BITS
    assert key.public_key() == RSA.import_key(keys.public_path(folder, pair).read_bytes())


def test_keys_are_never_overwritten(folder: Path) -> None:
    """A second run refuses, and leaves the keys as they are."""
    before = {path: path.read_bytes() for path in folder.iterdir()}
    answer = run("demo.keys", str(folder))
    assert (answer.returncode, answer.stderr) == (
        1,
        f"scripts/keys: {keys.private_path(folder, 'signing')}: File exists\n",
    )
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_token_has_the_claims_that_pyos_gives(folder: Path) -> None:
    """RS256, the four claims, and the target under the payload key."""
    token = mint(folder, "10.0.0.7")
    assert jwt.get_unverified_header(token)["alg"] == "RS256"
    claims = jwt.decode(
        token, keys.public_path(folder, "signing").read_bytes(), algorithms=["RS256"]
    )
    assert set(claims) == {"key", "nfb", "exp", "hash"}
    assert (claims["key"], claims["exp"] - claims["nfb"]) == (0, 60)
    cipher = PKCS1_v1_5.new(RSA.import_key(keys.private_path(folder, "payload").read_bytes()))
    assert cipher.decrypt(base64.b64decode(claims["hash"]), b"") == b"10.0.0.7"


def test_negative_life_is_over(folder: Path) -> None:
    """A token can be minted that has expired."""
    with pytest.raises(jwt.ExpiredSignatureError):
        jwt.decode(
            mint(folder, "10.0.0.7", life_s=-1),
            keys.public_path(folder, "signing").read_bytes(),
            algorithms=["RS256"],
        )


def test_token_command_prints_a_token(folder: Path) -> None:
    """One line, which verifies."""
    answer = run("demo.tokens", "--keys", str(folder), "::1")
    assert answer.returncode == 0
    public = keys.public_path(folder, "signing").read_bytes()
    assert jwt.decode(answer.stdout.strip(), public, algorithms=["RS256"])


@pytest.mark.parametrize("target", ["é", "a" * 300], ids=["not ASCII", "longer than the key"])
def test_token_command_refuses_in_one_line(folder: Path, target: str) -> None:
    """No traceback."""
    answer = run("demo.tokens", "--keys", str(folder), target)
    assert answer.returncode == 1
    assert answer.stderr.startswith("scripts/token: ")
    assert answer.stderr.count("\n") == 1


def test_token_command_says_which_file_is_missing(tmp_path: Path) -> None:
    """A folder without keys is named."""
    answer = run("demo.tokens", "--keys", str(tmp_path), "::1")
    assert str(keys.private_path(tmp_path, "signing")) in answer.stderr
    assert answer.returncode == 1
