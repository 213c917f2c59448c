"""Takes the pictures of the documentation: the demo page, a desktop, and ten cases in mitmweb."""

import asyncio
import sys
from typing import TYPE_CHECKING

from demo.leash import ROOT
from tests.browser.cases import CASES
from tests.browser.driver import Client, chromium, missing, reaches, run, running_demo, shows
from tests.browser.flow_page import FlowPage
from tests.browser.mitmweb import Watched, running_mitmweb

if TYPE_CHECKING:
    from playwright.async_api import ViewportSize

DOCS = ROOT / "docs"
TOKEN_LIFE_S = 420
DRAWN_S = 1.0  # xterm's window and what it shows come a little after the connection
SEEN_S = 5.0  # until the pool's tile has shown who takes over
CASE_SIZE: "ViewportSize" = {"width": 1200, "height": 620}
COMMANDS = (
    "echo X server $DISPLAY, $(stty size) characters",
    r'for i in {40..47}; do printf "\e[${i}m    "; done; tput sgr0; echo',
)


async def take(client: Client) -> None:
    """Take them all."""
    session = client.launch()
    async with chromium() as browser:
        page = await browser.new_page(viewport={"width": 1280, "height": 1100})
        await page.goto(client.url(""))
        await shows(page, "#summary", "locations answer")
        await asyncio.sleep(DRAWN_S)
        await page.screenshot(path=DOCS / "demo.png")

        await page.click("#pool button[data-server=a]")
        await page.click("#cache button[data-cache=default]")
        await asyncio.sleep(SEEN_S)
        await page.locator("#front").screenshot(path=DOCS / "front.png")

        page = await browser.new_page(viewport={"width": 800, "height": 549})
        await page.goto(client.url("desktop.html", session))
        await reaches(page, "open")
        await asyncio.sleep(DRAWN_S)
        for command in COMMANDS:
            await run(page, command)
            await asyncio.sleep(DRAWN_S)
        await page.screenshot(path=DOCS / "desktop.png")


async def take_cases(watched: Watched) -> None:
    """Take one of each case."""
    async with chromium() as browser:
        page = await browser.new_page(viewport=CASE_SIZE)
        await page.goto(watched.url)
        flows = FlowPage(page)
        for case in CASES:
            await flows.go_through(case, watched)
            await page.screenshot(path=DOCS / "seeing-in" / f"{case.name}.png")


def main() -> None:
    """Run the demo, then mitmweb, and take the pictures."""
    if reason := missing():
        sys.exit(f"scripts/pictures: no pictures, because {reason}")
    with running_demo(TOKEN_LIFE_S) as client:
        asyncio.run(take(client))
    with running_mitmweb() as watched:
        asyncio.run(take_cases(watched))
    for picture in sorted(DOCS.glob("**/*.png")):
        print(picture.relative_to(ROOT))


if __name__ == "__main__":
    main()
