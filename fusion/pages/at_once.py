"""What is seen, and done, in one turn of the page's script, on a page over which nothing lies."""

from __future__ import annotations

from functools import reduce

from playwright.async_api import Locator

from fusion.pages.tab import ANSWER, Tab

_ATTRIBUTE = "(things, name) => things.map((thing) => thing.getAttribute(name))"


def document(tab: Tab) -> Locator | None:
    """The document. None where one is not all: a frame has its own."""
    return None if tab.only_cover is None else tab.page.locator(":root")


def unlocked(tab: Tab) -> Locator | None:
    """The same, which is not there while the screen is locked."""
    return None if tab.only_cover is None else tab.page.locator(":root").filter(has_not=tab.only_cover.lock)


def uncovered(tab: Tab) -> Locator | None:
    """The same, which is not there while anything lies over it."""
    if tab.only_cover is None:
        return None
    over = reduce(lambda one, other: one.or_(other), tab.only_cover.all(at_login=False))
    return tab.page.locator(":root").filter(has_not=over)


async def told(tab: Tab, thing: Locator, attribute: str) -> str | None:
    """That attribute of a thing that comes with the next answer; None if it is not there at once, on an open screen."""
    await tab.wire.answer(ANSWER)
    page = unlocked(tab)
    found: list[str | None] = await page.locator(thing).evaluate_all(_ATTRIBUTE, attribute) if page else []
    return found[0] if found else None
