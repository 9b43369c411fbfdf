"""Where each click loads a document: the one that was there before a deed, marked, and whatever was loaded since.

What a marked one shows is no answer to what was done in it; and a form is saved in the one where it was filled in. A
page that draws itself instead has one document, to which none of this applies.
"""

from __future__ import annotations

from playwright.async_api import Locator

from fusion.pages.locate import Place
from fusion.pages.tab import Tab

_MARK = "data-fusion-sync-past"


async def mark(tab: Tab) -> None:
    """Know this document again."""
    if tab.pack.page.loads:
        await tab.evaluate("name => document.documentElement.setAttribute(name, '')", _MARK)


async def is_marked(tab: Tab) -> bool:
    """Whether it is still there: one that was loaded since has lost what was typed."""
    return not tab.pack.page.loads or bool(await tab.place.locator(f":root[{_MARK}]").count())


def marked(tab: Tab, thing: Locator) -> Locator:
    """The thing, in the marked document alone."""
    return thing.and_(tab.place.locator(f":root[{_MARK}] *")) if tab.pack.page.loads else thing


def anew(tab: Tab) -> Place | Locator:
    """Where an answer comes up: in a document that was loaded since."""
    return tab.place.locator(f":root:not([{_MARK}])") if tab.pack.page.loads else tab.place
