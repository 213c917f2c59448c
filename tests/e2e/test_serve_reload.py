"""Changed keys and configuration are taken while requests pass, and none of them is lost."""

import os
import shutil
import signal
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.e2e.harness import Command, Fleet, Router, ServeCommand, build_request, wait_until
from tests.e2e.load import Load
from tests.minting import KeyPair

RELOADS = 100
CLIENTS = 4


class Volume:
    """Files as Kubernetes mounts a secret: all of them change at once, by a link.

    Args:
        folder: Where it is mounted.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._version = 0
        folder.mkdir()

    def write(self, files: Mapping[str, bytes]) -> None:
        """Put other files in the place of those that are there."""
        self._version += 1
        old = (self.folder / "..data").resolve()
        new = self.folder / f"..version-{self._version}"
        new.mkdir()
        for name, content in files.items():
            (new / name).write_bytes(content)
            link = self.folder / name
            if not link.is_symlink():
                link.symlink_to(Path("..data") / name)
        swap = self.folder / "..swap"
        swap.symlink_to(new.name)
        os.rename(swap, self.folder / "..data")
        if self._version > 1:
            shutil.rmtree(old)


@pytest.fixture(scope="module")
def others(signing: KeyPair) -> KeyPair:
    """The signing keys to change to."""
    return KeyPair(2048)


@pytest.fixture(scope="module")
def volume(tmp_path_factory: pytest.TempPathFactory) -> Volume:
    """Where the keys are."""
    return Volume(tmp_path_factory.mktemp("reload") / "secret")


@pytest.fixture
def keys(volume: Volume, signing: KeyPair, payload: KeyPair, others: KeyPair) -> "Keys":
    """The keys, with both signing keys in force."""
    keys = Keys(volume, payload)
    keys.sign_by(signing, others)
    return keys


class Keys:
    """The keys of a router."""

    def __init__(self, volume: Volume, payload: KeyPair) -> None:
        self._volume = volume
        self._payload = payload

    def sign_by(self, first: KeyPair | bytes, second: KeyPair) -> None:
        """Let tokens of these two be good."""
        pem = first if isinstance(first, bytes) else first.public_pem
        self._volume.write(
            {
                "one.pem": pem,
                "two.pem": second.public_pem,
                "payload.pem": self._payload.private_pem,
                "config.toml": b"[ports]\n",
            }
        )


@pytest.fixture(scope="module")
def router(
    installation: Mapping[str, object],
    volume: Volume,
    signing: KeyPair,
    payload: KeyPair,
    others: KeyPair,
) -> Iterator[Router]:
    """One worker, whose log tells of every reload."""
    Keys(volume, payload).sign_by(signing, others)
    options = {
        **installation,
        "route_signing_key": f"{volume.folder}/one.pem:{volume.folder}/two.pem",
        "route_payload_key": f"{volume.folder}/payload.pem",
        "route_config": f"{volume.folder}/config.toml",
        "route_workers": 1,
    }
    with Router(ServeCommand(options)) as router:
        yield router


@pytest.fixture
def reloaded(router: Router, keys: Keys, fleet: Fleet) -> Callable[[], int]:
    """Counts the reloads that have succeeded, once those of earlier tests are over."""
    request = _get(fleet.alice.token)
    wait_until(lambda: router.ask(request).status == 200, "the usual keys are in force")
    return lambda: router.count("reloaded; ")


def _get(token: bytes) -> bytes:
    return build_request(b"/filer", (b"ABCAuthorization", token))


def test_a_hundred_reloads(
    router: Router,
    keys: Keys,
    reloaded: Callable[[], int],
    fleet: Fleet,
    signing: KeyPair,
    others: KeyPair,
    tls: ssl.SSLContext,
) -> None:
    """Under load they lose no request, of either key's tokens, and WebSockets stay."""
    tokens = [fleet.alice.mint(signing=pair) for pair in (signing, others)]
    requests = [build_request(), *map(_get, tokens)]
    target = f"/websockify?jwt_token={tokens[0].decode()}"
    with router.open_websocket(target) as opened:
        loads = [Load(router, requests, **({"tls": tls} if n % 2 else {})) for n in range(CLIENTS)]
        for load in loads:
            load.start()
        begun = reloaded()
        for count in range(RELOADS):
            keys.sign_by(*((others, signing) if count % 2 else (signing, others)))
            router.signal(signal.SIGHUP)
            wait_until(lambda count=count: reloaded() > begun + count, "it is reloaded")  # type: ignore[misc]
            opened.send(str(count))
            assert opened.recv(10) == str(count)
        for load in loads:
            load.is_over = True
            load.join()
    assert [load.faults for load in loads] == [[]] * CLIENTS
    assert min(load.answered for load in loads) > RELOADS


def test_a_key_that_leaves(
    router: Router,
    keys: Keys,
    fleet: Fleet,
    signing: KeyPair,
    others: KeyPair,
) -> None:
    """A swapped link is seen without a word; a token that was known leaves with its key."""
    old, new = (_get(fleet.alice.mint(signing=pair)) for pair in (signing, others))
    wait_until(lambda: router.ask(old).status == 200, "the old key is in force")
    assert router.ask(new).status == 200
    keys.sign_by(others, others)
    wait_until(lambda: router.ask(old).status == 401, "the old key has left")
    assert router.ask(new).status == 200


@pytest.mark.parametrize(
    ("files", "fault"),
    [
        ({"one.pem": b"no key"}, "one.pem: "),
        ({"config.toml": b"[portz]"}, "config.toml: "),
        ({}, "config.toml: cannot be read"),
    ],
    ids=["a bad key", "a bad configuration", "no files"],
)
def test_files_that_cannot_be_used(
    router: Router,
    volume: Volume,
    keys: Keys,
    reloaded: Callable[[], int],
    fleet: Fleet,
    files: Mapping[str, bytes],
    fault: str,
) -> None:
    """They change nothing, are told of once, and are tried again when they have changed."""
    sentence = "not reloaded, the old settings stay in force: "
    told, begun = router.count(sentence), reloaded()
    whole = {path.name: path.read_bytes() for path in (volume.folder / "..data").iterdir()}
    volume.write({**whole, **files} if files else {"one.pem": whole["one.pem"]})
    router.wait_for(sentence, told + 1)
    time.sleep(1.5)
    assert router.log.count(sentence) == told + 1
    assert fault in router.log.rpartition(sentence)[2]
    assert router.ask(_get(fleet.alice.token)).status == 200
    volume.write(whole)
    wait_until(lambda: reloaded() > begun, "it is reloaded")


def test_a_signal_under_mitmdump(installation: Mapping[str, object], fleet: Fleet) -> None:
    """Without a terminal SIGHUP reads the files again there, too, and connections stay."""
    # Whoever runs the tests by nohup lets them, and what they start, ignore it.
    inherited = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    router = Router(Command(installation))
    with router, router.connect() as client:
        signal.signal(signal.SIGHUP, inherited)
        assert client.ask(build_request()).status == 200
        router.signal(signal.SIGHUP)
        router.wait_for("reloaded; ")
        assert client.ask(build_request()).status == 200
