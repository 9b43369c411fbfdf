"""One form: values typed until they stand there, then Save, and what the portal says to that.

No click on Save without `about_to_save` right before it, and never a second click: without evidence the save is in
doubt, and whoever asked for it looks again.
"""

from __future__ import annotations

import asyncio
import re

from playwright.async_api import Locator

from fusion.codes import Code
from fusion.pages.entry import Entry
from fusion.pages.pack import Form as FormSpec
from fusion.pages.press import press
from fusion.pages.tab import UNLOCKED, Tab
from fusion.pages.values import labels_in, same, shown
from fusion.pages.widgets import enter, showing
from fusion.patient import Values
from fusion.portal import AboutToSave, Refused
from listener.errors import EntryError

_TRIES = 3
_WAKES_UP = 1.0
"""Seconds for Save to notice that something was typed."""


async def fill(tab: Tab, form: Locator, spec: FormSpec, values: Values) -> bool:
    """Type the values that the form does not show yet, until it shows them all; False if it showed them already.

    A page may drop a value while it draws itself anew, so all are read back together. Raises Refused with
    `UNKNOWN_OPTION`, `REJECTED_VALUE` (no such form of the value), `PORTAL_CHANGED` (no such field), or `NOT_SAVED`
    if the portal keeps other values than were typed.
    """
    if strange := values.keys() - spec.fields.keys():
        raise Refused(Code.PORTAL_CHANGED, f"no field for {', '.join(sorted(strange))}")
    wanted = [
        (entry, shown(entry, values[field], tab.pack.forms)) for field, entry in spec.fields.items() if field in values
    ]
    last: Entry | None = None
    for number in range(_TRIES):
        wrong = await _not_shown(tab, form, wanted, leaving=last)
        if not wrong:
            return number > 0
        for entry, text, now in wrong:
            await enter(tab, form, entry, text, empty=not now, tried=number)
            last = entry  # the one before was left as this one was entered
    if left := await _not_shown(tab, form, wanted, leaving=last):
        raise Refused(Code.NOT_SAVED, ", ".join(entry.label for entry, _, _ in left))
    return True


async def save(
    tab: Tab,
    form: Locator,
    spec: FormSpec,
    *,
    saved: Locator,
    about_to_save: AboutToSave,
    duplicate: Locator | None = None,
) -> bool:
    """Click Save and wait for *saved*, the save's own evidence. False if Save sleeps, as nothing differs.

    Raises Refused with `REJECTED_VALUE` and the labels the portal complains of, or with `DUPLICATE_WARNING` if
    *duplicate* comes up (it is left open); EntryError if there is no evidence or the row is gone; and whatever
    `about_to_save` raises, before the click.
    """
    button = tab.visible(spec.save, form)
    awake = button.and_(form.locator(":enabled"))
    is_awake, _ = await asyncio.gather(awake.count(), tab.clear())
    if not is_awake:
        if not await _wakes_up(tab, awake):
            await tab.first_of({"it": button}, expected=spec.save[0].says)
            return False
        await tab.clear()
    alert = tab.visible(spec.alert, form)
    if spec.sure is not None:
        await tab.click(spec.save, form)
        button = tab.visible(spec.sure)
        if await tab.first_of({"sure": button, "alert": alert}, expected=spec.sure[0].says) == "alert":
            raise _complaint(tab, spec, await alert.inner_text())
    await tab.all_this_is_past()
    await about_to_save()
    tab.pending = True
    await press(tab, button)
    answers = {"saved": saved, "alert": alert}
    if duplicate is not None:
        answers["duplicate"] = duplicate
    answer = await tab.first_of(answers, expected="evidence of the save", within=tab.patience.save)
    if answer == "alert":
        raise _complaint(tab, spec, await answers["alert"].inner_text())
    tab.pending = False
    if answer == "duplicate":
        raise Refused(Code.DUPLICATE_WARNING)
    tab.saves += 1
    return True


async def _wakes_up(tab: Tab, awake: Locator) -> bool:
    while (state := await tab.first_of_soon({"awake": awake}, within=_WAKES_UP)) == UNLOCKED:
        pass
    return state is not None


def _complaint(tab: Tab, spec: FormSpec, message: str) -> Exception:
    """What an alert in the form means. The message stays here: it may quote the patient."""
    if re.search(tab.pack.messages.trouble, message, re.IGNORECASE):
        return tab.trouble()
    tab.pending = False
    if re.search(tab.pack.messages.gone, message, re.IGNORECASE):
        return EntryError("what was being edited is gone from the chart", hint="the chart is read again")
    labels = labels_in(message, [entry.label for entry in spec.fields.values()])
    return Refused(Code.REJECTED_VALUE, ", ".join(labels) or f"something after {spec.save[0].says}")


async def _not_shown(
    tab: Tab, form: Locator, wanted: list[tuple[Entry, str]], *, leaving: Entry | None
) -> list[tuple[Entry, str, str]]:
    """The fields that show something else than wanted, with what they show."""
    texts = await _shown(tab, form, [entry for entry, _ in wanted], leaving)
    return [
        (entry, text, now)
        for (entry, text), now in zip(wanted, texts, strict=True)
        if not same(entry, now, text, tab.pack.forms)
    ]


async def _shown(tab: Tab, form: Locator, entries: list[Entry], leaving: Entry | None) -> list[str]:
    """What each field shows; waits for all to be there. Raises Refused (`PORTAL_CHANGED`) unless there is just one."""
    found = await showing(tab, form, entries, leaving=leaving)
    if missing := [entry for entry, texts in zip(entries, found, strict=True) if not texts]:
        for entry in missing:
            await tab.first_of({"it": tab.visible(entry.box, form)}, expected=f'"{entry.label}"')
        found = await showing(tab, form, entries)
    for entry, texts in zip(entries, found, strict=True):
        if len(texts) != 1:
            raise Refused(Code.PORTAL_CHANGED, f'expected one "{entry.label}"')
    return [text for texts in found for text in texts]
