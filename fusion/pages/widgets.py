"""How a value gets into one field, and what the field then shows: a gesture for each kind of widget.

Entering a field leaves the one before; the last one is left by `leave`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from playwright.async_api import Locator

from fusion.codes import Code
from fusion.pages.locate import locate, visible
from fusion.pages.pack import Entry, Kind
from fusion.pages.script import script
from fusion.pages.tab import Tab
from fusion.pages.values import keys, option_named
from fusion.patient import folded
from fusion.portal import Refused

_BY_KEYS = (Kind.DATE, Kind.PHONE, Kind.SSN)
_TRIES = 3
_SHOWN = script("form.js")
_TYPED = "boxes => boxes.map((box) => box.value ?? '')"
_CHOSEN = "boxes => boxes.map((box) => box.selectedOptions?.[0]?.label ?? '')"
_OFFERED = "boxes => [...(boxes[0]?.options ?? [])].map((option) => option.label)"


async def enter(tab: Tab, form: Locator, entry: Entry, text: str, *, empty: bool, again: bool) -> None:
    """Put *text*, as the portal writes it, into the field, which is known to be *empty* or else is emptied first.

    A mask takes its whole text at once or only key by key; the latter is done *again* where the former did not do.
    Raises Refused (`UNKNOWN_OPTION`) if no option has it.
    """
    box = tab.visible(entry.box, form)
    wait = tab.patience.action * 1000
    match entry.kind:
        case Kind.SELECT:
            await _select(tab, box, entry, text)
        case Kind.TYPEAHEAD:
            await _choose(tab, form, box, entry, text)
        case _ if (entry.gesture or ("keys" if again and entry.kind in _BY_KEYS else "fill")) == "keys":
            await _press(tab, box, keys(entry, text), empty=empty)
        case _:
            await box.fill(text, timeout=wait)
    if again:
        # A page that lost a value may need more time, or the key itself.
        await box.press("Tab", timeout=wait)


async def showing(
    tab: Tab, form: Locator, entries: Sequence[Entry], *, leaving: Entry | None = None
) -> list[list[str]]:
    """What each field shows now: the text in it, or the name of the option that is chosen. One text for each visible
    box that goes by its entry; a form in order has one.

    *leaving*: the field that was typed in last is left before; masks and "Save" only take notice of what was left.
    """
    if _in_page(entries):
        asked = [[{"label": spot.label, "row": spot.row, "css": spot.css} for spot in entry.box] for entry in entries]
        # All in one call, without waiting.
        told = await form.evaluate_all(_SHOWN, {"asked": asked, "leave": leaving is not None})
        found: list[list[str]] = json.loads(told)
        return found
    if leaving is not None:
        await tab.visible(leaving.box, form).blur(timeout=tab.patience.action * 1000)
    return [await _one_by_one(tab, form, entry) for entry in entries]


def _in_page(entries: Sequence[Entry]) -> bool:
    """Whether all boxes go by what the page itself can look for: labels, rows, and CSS alone."""
    return all(spot.role is None and spot.text is None for entry in entries for spot in entry.box)


async def _one_by_one(tab: Tab, form: Locator, entry: Entry) -> list[str]:
    boxes = tab.all_of(entry.box, form).filter(visible=True)
    texts: list[str] = await boxes.evaluate_all(_CHOSEN if entry.kind is Kind.SELECT else _TYPED)
    return texts


async def _press(tab: Tab, box: Locator, text: str, *, empty: bool = False) -> None:
    wait = tab.patience.action * 1000
    if not empty:
        await box.press("ControlOrMeta+a", timeout=wait)
        await box.press("Delete", timeout=wait)
    if not text:
        return
    # On the element, not on the keyboard: the lock may take the focus between two keys.
    await box.press_sequentially(text, timeout=wait + 100 * len(text))


async def _select(tab: Tab, box: Locator, entry: Entry, text: str) -> None:
    offered: list[str] = await box.evaluate_all(_OFFERED)
    # The portal may itself write an option by one of its other names.
    index = next((at for at, name in enumerate(offered) if folded(option_named(entry, name)) == folded(text)), None)
    if index is None:
        raise Refused(Code.UNKNOWN_OPTION, entry.label)
    await box.select_option(index=index, timeout=tab.patience.action * 1000)


async def _choose(tab: Tab, form: Locator, box: Locator, entry: Entry, text: str) -> None:
    """Type, wait for the list to drop down, and choose from it: what is only typed does not count as chosen.

    The list may stay away though all is well: typed too soon after the form opened, or the focus lost to the lock.
    """
    if not text:
        await _press(tab, box, "")
        return
    opened = False
    for _ in range(_TRIES):
        await _press(tab, box, text)
        if not await _menu_opens(tab, form, entry):
            continue
        opened = True
        options = locate(visible(form, entry.menu or ()), entry.option or ())
        offered = [folded(name) for name in await options.all_inner_texts()]
        if offered.count(folded(text)) == 1:
            await options.nth(offered.index(folded(text))).click(timeout=tab.patience.action * 1000)
            return
    if opened:
        raise Refused(Code.UNKNOWN_OPTION, entry.label)
    raise tab.nothing_came(f"the list of {entry.box[0].says}", tab.patience.menu)


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
