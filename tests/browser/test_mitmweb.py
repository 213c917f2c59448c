"""mitmweb, as a person sees it: why a request went there is one click away."""

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from tests.browser.cases import CASES, Case
from tests.browser.driver import chromium, missing_browser
from tests.browser.flow_page import FlowPage
from tests.browser.mitmweb import Watched, running_mitmweb

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]


@pytest.fixture(scope="module")
def watched() -> Iterator[Watched]:
    """A router under mitmweb, once for all of them."""
    if reason := missing_browser():
        pytest.skip(f"skipped, because {reason}")
    with running_mitmweb() as watched:
        yield watched


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def page(watched: Watched) -> AsyncIterator[FlowPage]:
    """mitmweb's page in a browser, once for all of them."""
    async with chromium() as browser:
        page = await browser.new_page()
        await page.goto(watched.url)
        yield FlowPage(page)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_cases(watched: Watched, page: FlowPage, case: Case) -> None:
    """List and detail say what happened, by a mark, in a line, and step by step."""
    await page.go_through(case, watched)
