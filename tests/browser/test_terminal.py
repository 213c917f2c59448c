"""A real terminal: xterm.js in Chromium, the router, a shell on a pty."""

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.browser.driver import Client, reaches, run, shows

if TYPE_CHECKING:
    from playwright.async_api import Browser

pytestmark = pytest.mark.browser


async def test_a_shell_answers(client: Client, browser: "Browser") -> None:
    """A command that is typed runs, and its output is shown."""
    page = await browser.new_page()
    await page.goto(client.url("terminal.html", client.launch()))
    await reaches(page, "open")
    await run(page, "echo $((6 * 7)) is the answer")
    await shows(page, ".xterm-rows", "42 is the answer")


async def test_the_terminal_has_the_size_of_its_window(client: Client, browser: "Browser") -> None:
    """Another window size is told to the pod by way of /terminals/{id}/size."""
    page = await browser.new_page()
    await page.goto(client.url("terminal.html", client.launch()))
    await reaches(page, "open")
    async with page.expect_response("**/terminals/*/size?*") as resized:
        await page.set_viewport_size({"width": 640, "height": 360})
    answer = await resized.value
    assert answer.status == 200
    query = dict(pair.split("=") for pair in answer.url.partition("?")[2].split("&"))
    await run(page, "stty size")
    await shows(page, ".xterm-rows", f"{query['rows']} {query['cols']}")


async def test_a_bad_token_opens_no_terminal(client: Client, browser: "Browser") -> None:
    """The page says so, in the words of the refusal."""
    page = await browser.new_page()
    await page.goto(client.url("terminal.html", replace(client.launch(), token="x.y.z")))
    await reaches(page, "refused")
    await shows(page, "#state", "401, the token is refused")
