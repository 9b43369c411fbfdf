"""How a value gets into one field, and what the field then shows: a gesture for each kind of widget.

Entering a field leaves the one before; the last one is left before it is read (`showing`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from playwright.async_api import Locator

from fusion.codes import Code
from fusion.pages import calendar, choosing
from fusion.pages.entry import Entry, Gesture, Kind
from fusion.pages.keys import press_keys
from fusion.pages.script import script
from fusion.pages.tab import Tab
from fusion.pages.values import keys
from fusion.portal import Refused

_TYPED = [Gesture.FILL, Gesture.KEYS, Gesture.SLOW]
"""Each is tried where the one before did not do."""
BOXES = script("boxes.js")
_FORM = f"(forms, ask) => ({script('form.js')})(forms, ask, {BOXES})"
_FIELDS = script("fields.js")
_IN_BOXES = "boxes => boxes.map((box) => box.options ? (box.selectedOptions[0]?.label ?? '') : (box.value ?? ''))"


async def enter(tab: Tab, form: Locator, entry: Entry, text: str, *, empty: bool, tried: int) -> None:
    """Put *text*, as the portal writes it, into the field, which is known to be *empty* or else is emptied first.

    A mask may take its whole text at once, or only key by key, or only slowly: where it did not do, it is *tried* in
    the next way. Raises Refused: `UNKNOWN_OPTION` if no option has it, `NOT_SAVED` if the field cannot be emptied.
    """
    box = tab.visible(entry.box, form)
    wait = tab.patience.action * 1000
    match _gesture(entry, tried):
        case _ if not text and entry.clear is not None:
            await _clear(tab, form, box, entry)
        case Gesture.CHECKS:
            await choosing.tick(tab, box, entry, text)
        case Gesture.CALENDAR if entry.calendar is not None:
            if not text:
                raise Refused(Code.NOT_SAVED, entry.label)
            # A calendar date has no zone.
            await calendar.pick(tab, box, entry.calendar, datetime.strptime(text, tab.pack.forms.date))  # noqa: DTZ007
        case Gesture.CHOOSE if text:
            await choosing.choose(tab, form, box, entry, text, slowly=tried > 1)
        case None:
            await choosing.select(tab, box, entry, text)
        case Gesture.FILL:
            await box.fill(text, timeout=wait)
        case how:
            bare = keys(entry, text)
            await press_keys(tab, box, bare, empty=empty, slowly=how is Gesture.SLOW)
            if tried and bare != text and await box.input_value(timeout=wait) == bare:
                # No mask has put it in form.
                await box.fill(text, timeout=wait)
    if tried and entry.gesture not in (Gesture.CHECKS, Gesture.CALENDAR):
        # A page that lost a value may need more time, or the key itself.
        await box.press("Tab", timeout=wait)


def _gesture(entry: Entry, tried: int) -> Gesture | None:
    """What to do; None: select in a native list."""
    if entry.is_chosen:
        return Gesture.CHOOSE
    if entry.gesture not in (None, *_TYPED) or entry.kind is Kind.SELECT:
        return entry.gesture
    ways = _TYPED[_TYPED.index(entry.gesture or Gesture.FILL) :]
    # A long text by keys would take minutes.
    return ways[0] if entry.kind is Kind.TEXTAREA else ways[min(tried, len(ways) - 1)]


async def _clear(tab: Tab, form: Locator, box: Locator, entry: Entry) -> None:
    if entry.calendar is not None:
        await box.click(timeout=tab.patience.action * 1000)
    await tab.click(entry.clear or (), form)


async def showing(
    tab: Tab, form: Locator, entries: Sequence[Entry], *, leaving: Entry | None = None
) -> list[list[str]]:
    """What each field shows now: the text in it, or the name of the option that is chosen. One text for each visible
    box that goes by its entry; a form in order has one.

    *leaving*: the field that was typed in last is left before; masks and "Save" only take notice of what was left.
    """
    if (asked := asked_of(entries)) is not None:
        return await _told(form, {"asked": asked, "typed": [], "leave": leaving is not None})
    if leaving is not None:
        await tab.visible(leaving.box, form).blur(timeout=tab.patience.action * 1000)
    return [await _one_by_one(tab, form, entry) for entry in entries]


async def put(
    tab: Tab, form: Locator, texts: Sequence[tuple[Entry, str]], entries: Sequence[Entry]
) -> list[list[str]] | None:
    """Put texts into those of the fields that take them all at once, leave the last, and say what *entries* show then.

    One call, and a first try alone: what shows something else then, be it that a dialog holds the page, is entered in
    its own way. None, with nothing done, where there is no such field, or it takes more than one call.
    """
    asked = asked_of(entries)
    typed = [
        [entries.index(entry), text]
        for entry, text in texts
        if _gesture(entry, 0) is Gesture.FILL and (text or entry.clear is None)
    ]
    if asked is None or tab.pack.page.loads or not typed:
        return None
    return await _told(form, {"asked": asked, "typed": typed, "leave": True})


def asked_of(entries: Sequence[Entry]) -> list[dict[str, Any]] | None:
    """The fields as `boxes.js` finds them; None if it does not find them all: it knows labels, rows, and CSS alone."""
    if not all(map(_in_page, entries)):
        return None
    return [
        {
            "spots": [{"label": spot.label, "row": spot.row, "css": spot.css} for spot in entry.box],
            "chosen": [spot.css for spot in entry.chosen] if entry.chosen else None,
        }
        for entry in entries
    ]


async def _told(form: Locator, ask: Mapping[str, object]) -> list[list[str]]:
    # As text: Playwright's own way with values takes as long as reading them.
    found: list[list[str]] = json.loads(await form.evaluate_all(_FORM, ask))
    return found


async def labels_of(thing: Locator, which: Literal["all", "marked", "unsent"]) -> list[str]:
    """Labels of a form's fields, or of those marked as wrong; of a button, of those the browser will not send."""
    labels: list[str] = await thing.evaluate_all(_FIELDS, which)
    return labels


def _in_page(entry: Entry) -> bool:
    """Whether it goes by what the page itself can look for: labels, rows, and CSS alone."""
    boxes = all(spot.role is None and spot.text is None for spot in entry.box)
    return boxes and all(spot.css is not None and spot.text is None for spot in entry.chosen or ())


async def _one_by_one(tab: Tab, form: Locator, entry: Entry) -> list[str]:
    boxes = tab.all_of(entry.box, form).filter(visible=True)
    if entry.chosen is None:
        texts: list[str] = await boxes.evaluate_all(_IN_BOXES)
        return texts
    texts = []
    for box in await boxes.all():
        area = form if await box.evaluate("box => box.matches('input')") else box
        texts.append(", ".join(await tab.all_of(entry.chosen, area).all_inner_texts()))
    return texts
