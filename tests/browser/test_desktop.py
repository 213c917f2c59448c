"""A real desktop: noVNC in Chromium, the router, websockify, Xtigervnc."""

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.driver import Client, color, reaches, run, shows, until, written

if TYPE_CHECKING:
    from playwright.async_api import Browser

pytestmark = pytest.mark.browser
MAGENTA = [255, 0, 170]


async def test_typed_text_reaches_the_x_server_and_its_picture_comes_back(
    client: Client, browser: "Browser", tmp_path: Path
) -> None:
    """A shell in the X server gets what is typed, and the colour that it asks for is seen."""
    page = await browser.new_page()
    await page.goto(client.url("desktop.html", client.launch()))
    await reaches(page, "open")
    await run(page, f"echo $DISPLAY > {tmp_path}/typed")
    assert (await written(tmp_path / "typed")).startswith(":")
    await run(page, r"printf '\e]11;#ff00aa\a'")
    for _ in range(100):
        if await color(page) == MAGENTA:
            break
        await asyncio.sleep(0.05)
    assert await color(page) == MAGENTA


@pytest.mark.parametrize("user", [1, 2])
async def test_the_token_decides_whose_desktop_it_is(
    client: Client, browser: "Browser", tmp_path: Path, user: int
) -> None:
    """The same page with another user's token shows another user's pod."""
    session = client.launch(user)
    page = await browser.new_page()
    await page.goto(client.url("desktop.html", session))
    await reaches(page, "open")
    await run(page, f"echo $PS1 > {tmp_path}/prompt")
    assert f"pod {session.pod} " in await written(tmp_path / "prompt")


async def test_an_expired_token_cuts_nothing_and_opens_nothing(
    client: Client, browser: "Browser", tmp_path: Path, token_life_s: float
) -> None:
    """What is open stays so when its token expires; the same token opens nothing new."""
    session = client.launch()
    expires = time.monotonic() + token_life_s
    desktop, terminal = await browser.new_page(), await browser.new_page()
    await desktop.goto(client.url("desktop.html", session))
    await terminal.goto(client.url("terminal.html", session))
    await reaches(desktop, "open")
    await reaches(terminal, "open")
    assert client.shake_hands("/websockify", session.token) == 101

    await asyncio.sleep(expires + 1 - time.monotonic())
    assert client.shake_hands("/websockify", session.token) == 401
    assert client.shake_hands("/terminals/1", session.token) == 401
    for name, page in {"desktop": desktop, "terminal": terminal}.items():
        await page.bring_to_front()
        await run(page, f"touch {tmp_path}/{name}")
        await until((tmp_path / name).exists)
        await reaches(page, "open")

    late = await browser.new_page()
    await late.goto(client.url("desktop.html", session))
    await reaches(late, "refused")
    await shows(late, "#state", "401, the token is refused")
