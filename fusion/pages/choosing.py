"""A value that is chosen and not typed: from a native list, from one that drops down, among boxes to tick."""

from __future__ import annotations

import asyncio
import re

from playwright.async_api import Locator
from playwright.async_api import TimeoutError as PlaywrightTimeout

from fusion.codes import Code
from fusion.pages.entry import Entry
from fusion.pages.keys import press_keys
from fusion.pages.locate import locate, visible
from fusion.pages.tab import Tab
from fusion.pages.values import option_named
from fusion.patient import folded
from fusion.portal import Refused

_TRIES = 3
_OFFERED = "boxes => [...(boxes[0]?.options ?? [])].map((option) => option.label)"
_TO_THE_LAST = "options => options.at(-1)?.scrollIntoView({ block: 'start', behavior: 'instant' })"
_MOST_SCREENS = 500
_DRAWN = 0.05
"""Seconds in which a list that was scrolled has drawn what is in view now."""


async def select(tab: Tab, box: Locator, entry: Entry, text: str) -> None:
    """Select it in a native list. Raises Refused (`UNKNOWN_OPTION`) if no option has it."""
    offered: list[str] = await box.evaluate_all(_OFFERED)
    index = _index(entry, offered, text)
    if index is None:
        raise Refused(Code.UNKNOWN_OPTION, entry.label)
    await box.select_option(index=index, timeout=tab.patience.action * 1000)


async def choose(tab: Tab, form: Locator, box: Locator, entry: Entry, text: str, *, slowly: bool) -> None:
    """Type, wait for the list to drop down, and choose from it: what is only typed does not count as chosen.

    The list may stay away though all is well: typed too soon after the form opened, or the focus lost to the lock. It
    may have no more than what is in view: then it is scrolled. Raises Refused (`UNKNOWN_OPTION`) if no option has it.
    """
    opened = False
    for _ in range(_TRIES):
        await press_keys(tab, box, text, slowly=slowly)
        if not await _menu_opens(tab, form, entry):
            continue
        opened = True
        if await _clicked(tab, locate(visible(form, entry.menu or ()), entry.option or ()), entry, text):
            return
    if opened:
        raise Refused(Code.UNKNOWN_OPTION, entry.label)
    raise tab.nothing_came(f"the list of {entry.box[0].says}", tab.patience.menu)


async def tick(tab: Tab, box: Locator, entry: Entry, text: str) -> None:
    """Tick the box of that option, and none else. Raises Refused (`UNKNOWN_OPTION`) if there is no such box."""
    wait = tab.patience.action * 1000
    options, ticked = locate(box, entry.option or ()), locate(box, entry.chosen or ())
    offered = await options.all_inner_texts()
    index = _index(entry, offered, text)
    if text and index is None:
        raise Refused(Code.UNKNOWN_OPTION, entry.label)
    wanted = offered[index].strip() if index is not None and text else ""
    if wanted and wanted not in _stripped(await ticked.all_inner_texts()) and index is not None:
        await options.nth(index).click(timeout=wait)
    # Some kits take back the others by themselves, some do not.
    while others := [one for one in _stripped(await ticked.all_inner_texts()) if one != wanted]:
        await options.nth(_stripped(offered).index(others[0])).click(timeout=wait)
        if others[0] in _stripped(await ticked.all_inner_texts()):
            raise Refused(Code.NOT_SAVED, entry.label)


async def _menu_opens(tab: Tab, form: Locator, entry: Entry) -> bool:
    """Whether there are options to choose from; Refused if the portal says that it has none."""
    menu = visible(form, entry.menu or ())
    states = {"option": tab.visible(entry.option or (), menu)}
    if entry.nothing:
        states["nothing"] = tab.visible(entry.nothing, menu)
    state = await tab.first_of_soon(states, within=tab.patience.menu)
    if state == "nothing":
        raise Refused(Code.UNKNOWN_OPTION, entry.label)
    return state == "option"


async def _clicked(tab: Tab, options: Locator, entry: Entry, text: str) -> bool:
    """Click the one option of that name, scrolling on while further ones come into view; False if there is none."""
    seen: set[str] = set()
    for _ in range(_MOST_SCREENS):
        offered = await options.all_inner_texts()
        names = [folded(option_named(entry, " ".join(name.split()))) for name in offered]
        if names.count(folded(text)) == 1:
            # By its words and not by its place: the list may be drawn anew in between.
            words = re.escape(" ".join(offered[names.index(folded(text))].split()))
            wanted = options.filter(has_text=re.compile(rf"^\s*{words}\s*$")).first
            try:
                await wanted.click(timeout=tab.patience.menu * 1000)
            except PlaywrightTimeout:
                return False
            return True
        if not set(names) - seen:
            return False
        seen.update(names)
        await options.evaluate_all(_TO_THE_LAST)
        await asyncio.sleep(_DRAWN)
    return False


def _index(entry: Entry, offered: list[str], text: str) -> int | None:
    # The portal may itself write an option by one of its other names.
    names = [folded(option_named(entry, " ".join(name.split()))) for name in offered]
    return names.index(folded(text)) if folded(text) in names else None


def _stripped(texts: list[str]) -> list[str]:
    return [text.strip() for text in texts]
