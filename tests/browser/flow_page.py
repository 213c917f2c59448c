"""mitmweb's page, as a person uses it."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from tests.browser.cases import Case
from tests.browser.driver import PATIENCE_S
from tests.browser.mitmweb import Watched

if TYPE_CHECKING:
    from playwright.async_api import Locator, Page


class FlowPage:
    """The list of flows, and the detail of one.

    Args:
        page: The page.
    """

    def __init__(self, page: "Page") -> None:
        self._page = page
        self._page.set_default_timeout(PATIENCE_S * 1000)

    async def open(self, case: Case) -> "Locator":
        """Click the newest flow of a case, once its comment says what it should; its row."""
        comment = self._page.locator(".col-comment", has_text=case.comment)
        row = self._page.locator(".flow-table tbody tr", has_text=case.path, has=comment).last
        await row.click()
        return row

    async def open_recording(self, path: Path) -> None:
        """Open a file of flows, as by the menu."""
        await self._page.locator("header nav a", has_text="File").click()
        await self._page.locator("input[type=file]").first.set_input_files(path)

    async def open_tab(self, name: str) -> None:
        """Click one of the tabs of the detail."""
        tab = re.compile(f"^{name}$")
        await self._page.locator(".flow-detail nav a", has_text=tab).click()

    async def shows(self, *texts: str) -> None:
        """Wait until the detail shows all of these."""
        for text in texts:
            await self._page.locator(".flow-detail", has_text=text).wait_for()

    async def go_through(self, case: Case, watched: Watched) -> None:
        """Let a case happen, and see all of it; the tab that says most is open in the end."""
        recording = case.happen(watched)
        if recording is not None:
            await self.open_recording(recording)
        row = await self.open(case)
        await row.locator(".marker", has_text=case.mark).wait_for()
        await self.open_tab("Comment")
        await self._page.locator(".flow-detail .kv-value", has_text=case.comment).wait_for()
        await self.open_tab("Request")
        await self.shows(*case.explained)
        await self.open_tab(case.tab)
        await self.shows(*case.told)
