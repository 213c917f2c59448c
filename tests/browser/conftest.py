"""The whole demo, once for all tests of this folder, and a headless Chromium for each."""

from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

import pytest

from tests.browser.driver import Client, chromium, missing, running_demo

if TYPE_CHECKING:
    from playwright.async_api import Browser

# Long enough for a test to open what it wants to, short enough to see a token expire.
TOKEN_LIFE_S = 12


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say in one line what is missing, also where reasons are not asked for."""
    if reason := missing():
        terminalreporter.write_line(f"tests/browser: skipped, because {reason}")


@pytest.fixture(scope="package")
def token_life_s() -> int:
    """How long the demo's tokens live."""
    return TOKEN_LIFE_S


@pytest.fixture(scope="package")
def client(token_life_s: int) -> Iterator[Client]:
    """A client of a running demo."""
    if reason := missing():
        pytest.skip(f"skipped, because {reason}")
    with running_demo(token_life_s) as client:
        yield client


@pytest.fixture
async def browser(client: Client) -> AsyncIterator["Browser"]:
    """A headless Chromium; the client comes first, for it says what is missing."""
    async with chromium() as browser:
        yield browser
