"""The click that saves: one, on a button over which nothing lies.

Playwright's own waits for two frames to see whether the button moves, then moves a mouse to where it was; a page may
change in between. A button of the browser's own kind is looked at and clicked within one turn of the page's script.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from playwright.async_api import Locator
from playwright.async_api import TimeoutError as PlaywrightTimeout

from fusion.pages.script import script
from fusion.pages.tab import Tab

T = TypeVar("T")
PRESS = script("press.js")


async def press(tab: Tab, button: Locator) -> None:
    """Click it once: by the mouse if it is no button of the browser's, if something lies over it, or if the pack says
    so. Raises Playwright's errors; the click may have been made then."""
    # A script of ours that loads another document may not live to tell.
    if not tab.pack.page.loads and not tab.pack.page.mouse and await in_time(tab, button.evaluate_all(PRESS)):
        return
    await button.click(timeout=tab.patience.action * 1000)


async def in_time(tab: Tab, click: Awaitable[T]) -> T:
    """What a script says that clicks. Raises Playwright's timeout where a page does not let go of it."""
    try:
        async with asyncio.timeout(tab.patience.action):
            return await click
    except TimeoutError:
        raise PlaywrightTimeout("the page does not take a click") from None
