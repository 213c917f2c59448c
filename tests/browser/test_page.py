"""The demo's page: every location as a tile, with its live state."""

import asyncio
import re
from typing import TYPE_CHECKING

import pytest

from demo.website import FRESH_S
from tests.browser.driver import Client, reaches, shows

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page, Route

pytestmark = pytest.mark.browser

FRESH_HIT = re.compile(r"hit; ttl=([5-9]|10)\b")


async def test_every_tile_is_green_for_a_good_token(client: Client, browser: "Browser") -> None:
    """Every location answers, and so do the desktop and the terminal in the page."""
    page = await browser.new_page()
    await page.goto(client.url(""))
    await shows(page, "#summary", "locations answer")
    assert await page.locator(".tile").count() > 0
    assert await bad(page, ".tile") == []
    for frame in page.frames[1:]:
        await reaches(frame, "open")


@pytest.mark.parametrize("visitor", ["missing", "expired", "other-key"])
async def test_no_pod_answers_a_bad_token(client: Client, browser: "Browser", visitor: str) -> None:
    """Every location of the pod is refused with 401, and no other location is."""
    page = await browser.new_page()
    await page.goto(client.url(""))
    await page.check(f"input[value={visitor}]")
    await shows(page, "#summary", "do not")
    answers = await page.locator("[data-upstream=pod] .answer").all_inner_texts()
    assert [text for text in answers if "401" not in text] == []
    assert await bad(page, ":not([data-upstream=pod]) > .tile") == []


async def test_a_server_of_the_website_is_stopped(client: Client, browser: "Browser") -> None:
    """The other takes over, and no answer is missed; started again, it answers again."""
    page = await browser.new_page()
    await page.goto(client.url(""))
    await page.wait_for_selector("#pool li[data-server=a] ~ li[data-server=b]")
    await page.click("#pool button[data-server=a]")
    await shows(page, "#pool button[data-server=a]", "Start a")
    await page.wait_for_selector("#pool li:nth-last-child(2)[data-server=b] + li[data-server=b]")
    await page.click("#pool button[data-server=a]")
    await page.wait_for_selector("#pool li[data-server=b] + li[data-server=a]:last-child")
    assert await page.locator("#pool li:not([data-server=a]):not([data-server=b])").count() == 0


async def open_with_fresh_news(browser: "Browser", url: str) -> "Page":
    """Open the page, and ask for the news until the cache has what stays fresh for a while.

    What an earlier page left there may grow old at any moment, and is then told of otherwise.
    """
    page = await browser.new_page()
    await page.goto(url)
    status = page.locator("#cache [data-field=cache-status]")
    await shows(page, "#cache [data-field=cache-status]", "route-addon")
    async with asyncio.timeout(2 * FRESH_S):
        while not FRESH_HIT.search(await status.inner_text()):
            await page.click("#cache button[data-cache=default]")
            await page.wait_for_timeout(100)
    return page


async def test_the_cache_tells_what_it_does(client: Client, browser: "Browser") -> None:
    """A hit, with its age; a reload is asked of the server."""
    page = await open_with_fresh_news(browser, client.url(""))
    await page.click("#cache button[data-cache=reload]")
    await shows(page, "#cache [data-field=cache-status]", "fwd=request")


async def test_what_was_asked_last_is_shown(client: Client, browser: "Browser") -> None:
    """An answer that comes late does not stand in the place of the one to a later question."""
    page = await open_with_fresh_news(browser, client.url(""))
    reloaded = asyncio.Event()
    asked: list[Route] = []

    async def hold_up(route: "Route") -> None:
        asked.append(route)
        if len(asked) > 1:
            await route.continue_()
            return
        await reloaded.wait()
        await route.fulfill(json={"server": "a", "made": 0}, headers={"Cache-Status": "late"})

    await page.route("**/demo/news", hold_up)
    await page.click("#cache button[data-cache=default]")
    await page.click("#cache button[data-cache=reload]")
    await shows(page, "#cache [data-field=cache-status]", "fwd=request")
    async with page.expect_response("**/demo/news") as late:
        reloaded.set()
    await (await late.value).finished()
    await page.wait_for_timeout(200)
    await shows(page, "#cache [data-field=cache-status]", "fwd=request")


async def bad(page: "Page", tiles: str) -> list[str]:
    """Collect the texts of the tiles that are not green."""
    texts: list[str] = await page.eval_on_selector_all(
        tiles, "(all) => all.filter((it) => it.dataset.state != 'good').map((it) => it.innerText)"
    )
    return texts
