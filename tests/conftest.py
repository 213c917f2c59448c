"""What all tests share: keys, made once."""

import asyncio
import compileall
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import settings

import route_addon
from route_addon.core.keys import Keys
from route_addon.serve.loop import choose_loop
from tests.keys import Pems, make_pems
from tests.minting import KeyPair, key_pair, keys_in_force, write_keys

# No test of ours asserts how long something takes.
settings.register_profile("tests", settings.default, deadline=None)
settings.load_profile("tests")

_LOOPED = ("test_kernel", "test_metrics_exposition", "test_pools", "test_reading", "test_upstream")
"""The modules of tests of what stands on a loop's transports: they run on each loop."""


def pytest_asyncio_loop_factories(
    item: pytest.Item,
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The loop under mitmproxy, and where it makes a difference that of workers, too."""
    loops = {"asyncio": asyncio.new_event_loop}
    return {**loops, "worker": choose_loop().make} if item.path.stem in _LOOPED else loops


@pytest.fixture(scope="session", autouse=True)
def compiled() -> None:
    """The package's compiled files, where Python is told to leave none (PYTHONDONTWRITEBYTECODE).

    Each process that a test starts would compile all of it anew, in a quarter of a second.
    """
    compileall.compile_dir(Path(route_addon.__file__).parent, quiet=2)


@pytest.fixture(scope="session")
def signing() -> KeyPair:
    """The pair that signs tokens."""
    return key_pair("signing")


@pytest.fixture(scope="session")
def payload() -> KeyPair:
    """The pair that targets are encrypted with."""
    return key_pair("payload")


@pytest.fixture(scope="session")
def stranger() -> KeyPair:
    """A pair that no router knows."""
    return key_pair("stranger")


@pytest.fixture(scope="session")
def keys() -> Keys:
    """The keys that a router holds."""
    return keys_in_force()


@pytest.fixture(scope="session")
def key_options(
    tmp_path_factory: pytest.TempPathFactory, signing: KeyPair, payload: KeyPair
) -> Mapping[str, str]:
    """The options that name the keys in force, as files."""
    return write_keys(tmp_path_factory.mktemp("keys"), signing, payload)


@pytest.fixture(scope="session")
def pems(signing: KeyPair) -> Pems:
    """PEM texts by what they hold."""
    return make_pems(signing.private)
