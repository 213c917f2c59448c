"""What all tests share: keys, made once."""

from collections.abc import Mapping

import pytest
from hypothesis import settings

from route_addon.core.keys import Keys
from tests.keys import Pems, make_pems
from tests.minting import KeyPair, key_pair, keys_in_force, write_keys

# No test of ours asserts how long something takes.
settings.register_profile("tests", settings.default, deadline=None)
settings.load_profile("tests")


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
