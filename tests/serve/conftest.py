"""What the tests of the service share."""

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.minting import key_pair, write_keys


@pytest.fixture(autouse=True)
def quiet_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No environment tells the router anything, and its log records are not everybody's."""
    for name in ("JWT_DESKTOP_SIGNING_PUBLIC_KEY", "JWT_DESKTOP_PAYLOAD_PRIVATE_KEY"):
        monkeypatch.delenv(name, raising=False)
    factory = logging.getLogRecordFactory()
    yield
    logging.setLogRecordFactory(factory)


@pytest.fixture(scope="session")
def key_options(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """Small keys, because they are read at each start."""
    pair = key_pair("small", 1024)
    return write_keys(tmp_path_factory.mktemp("keys"), pair, pair)


@pytest.fixture
def argv(key_options: Mapping[str, str]) -> list[str]:
    """The arguments that every start needs."""
    return [word for pair in key_options.items() for word in ("--set", "=".join(pair))]


@pytest.fixture
def options_file(tmp_path: Path) -> Path:
    """Where a file of options is."""
    return tmp_path / "options.yaml"
