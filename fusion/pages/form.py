"""One form: values typed until they stand there, then Save, and what the portal says to that.

No click on Save without `about_to_save` right before it, and never a second click: without evidence the save is in
doubt, and whoever asked for it looks again.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterable, Mapping, Sequence

from playwright.async_api import Locator
from playwright.async_api import TimeoutError as PlaywrightTimeout

from fusion.codes import Code
from fusion.differences import same as equal
from fusion.pages import document
from fusion.pages.at_once import told
from fusion.pages.entry import Entry, Kind
from fusion.pages.last_look import LastLook, alone, last_look
from fusion.pages.pack import Form as FormSpec
from fusion.pages.press import press
from fusion.pages.tab import UNLOCKED, Tab
from fusion.pages.values import canonical, labels_in, same, shown
from fusion.pages.widgets import enter, labels_of, put, showing
from fusion.patient import Field, Values
from fusion.portal import AboutToSave, Overtaken, Refused
from listener.errors import EntryError

_TRIES = 3
_LOOK = 0.05
_WAKES_UP = 1.0
"""Seconds for Save to notice that something was typed."""


async def fill(
    tab: Tab, form: Locator, spec: FormSpec, values: Values, *, shows: Mapping[Field, str] | None = None
) -> bool:
    """Type the values that the form does not show yet, until it shows them all; False if it showed them already.

    *shows*: what all its fields were seen to show just now, so that they need not be looked at first. A page may drop
    a value while it draws itself anew, so all are read back together. Raises Refused with `UNKNOWN_OPTION`,
    `REJECTED_VALUE` (no such form of the value), `PORTAL_CHANGED` (no such field), or `NOT_SAVED` if the portal keeps
    other values than were typed.
    """
    if strange := values.keys() - spec.fields.keys():
        raise Refused(Code.PORTAL_CHANGED, f"no field for {', '.join(sorted(strange))}")
    wanted = _written(tab, spec, values)
    last: Entry | None = None
    for number in range(_TRIES):
        # A lock may bring the form anew at any time, as it was before: it is saved in this document, or not at all.
        await document.mark(tab)
        if shows is not None and not number:
            wrong = _others(tab, wanted, [shows[field] for field in spec.fields if field in values])
        else:
            wrong = await _not_shown(tab, form, wanted, leaving=last)
        if not wrong:
            return number > 0
        if not number and not (wrong := await _left_after_a_first_try(tab, form, wanted, wrong)):
            return True
        for entry, text, now in wrong:
            await enter(tab, form, entry, text, empty=not now, tried=number)
            last = entry  # the one before was left as this one was entered
    if left := await _not_shown(tab, form, wanted, leaving=last):
        raise Refused(Code.NOT_SAVED, ", ".join(entry.label for entry, _, _ in left))
    return True


async def _left_after_a_first_try(
    tab: Tab, form: Locator, wanted: list[tuple[Entry, str]], wrong: list[tuple[Entry, str, str]]
) -> list[tuple[Entry, str, str]]:
    """What is still wrong once all that can be was put in at once."""
    texts = await put(tab, form, [(entry, text) for entry, text, _ in wrong], [entry for entry, _ in wanted])
    if texts is None or any(len(found) != 1 for found in texts):
        return wrong
    return _others(tab, wanted, [text for [text] in texts])


async def is_as_read(
    tab: Tab, form: Locator, spec: FormSpec, read: Values, typed: Values, *, at_first: list[list[str]] | None = None
) -> Mapping[Field, str] | None:
    """See that an open form shows what the chart did, and say what it shows; None if not all of its fields are there.

    *at_first*: what it was seen to show as it came up.

    Raises `Overtaken` if a field shows something else. A form may be drawn before its values have come. A field that is
    empty and about to be typed holds nothing to lose.
    """
    until = time.monotonic() + tab.patience.menu
    while True:
        found, at_first = at_first or await showing(tab, form, list(spec.fields.values())), None
        texts = dict(zip(spec.fields, found, strict=True))
        shows = {field: each[0] for field, each in texts.items() if len(each) == 1}
        now = {
            field: canonical(spec.fields[field], text, tab.pack.forms)
            for field, text in shows.items()
            if (text.strip() or field not in typed) and not _is_masked(spec.fields[field], text, read.get(field, ""))
        }
        if not (others := [field for field, value in now.items() if not equal(field, value, read.get(field, ""))]):
            return shows if len(shows) == len(texts) else None
        if time.monotonic() > until:
            labels = tuple(spec.fields[field].label for field in others)
            raise Overtaken(
                f"the form shows other values than the chart did: {', '.join(labels)}",
                saved=bool(tab.saves),
                labels=labels,
            )
        await asyncio.sleep(_LOOK)


def in_order(spec: FormSpec, found: list[list[str]]) -> Mapping[Field, str] | None:
    """What each field shows, if each is there just once; else None."""
    texts = {field: each[0] for field, each in zip(spec.fields, found, strict=False) if len(each) == 1}
    return texts if len(texts) == len(spec.fields) else None


def _is_masked(entry: Entry, one: str, other: str) -> bool:
    """Whether either shows the last digits alone: then nobody can say whether they agree."""
    return entry.kind is Kind.SSN and re.search(r"[Xx*•]", one + other) is not None


async def save(
    tab: Tab,
    form: Locator,
    spec: FormSpec,
    values: Values,
    *,
    saved: Locator,
    about_to_save: AboutToSave,
    duplicate: Locator | None = None,
) -> str | None:
    """Click Save and wait for *saved*, the save's own evidence; its revision, where that was read along with it.
    *values* are what was typed.

    Raises Refused with `REJECTED_VALUE` and the labels the portal complains of, before the click where it does so
    already; with `NOT_SAVED` if Save sleeps; or with `DUPLICATE_WARNING` if *duplicate* comes up (it is left open).
    `Overtaken` if the portal says that somebody else saved; EntryError if there is no evidence or the row is gone; and
    whatever `about_to_save` raises, before the click.
    """
    typed = _written(tab, spec, values)
    alert = tab.visible(spec.alert, form)
    look = last_look(tab, form, spec, [entry for entry, _ in typed])
    seen = await _seen_ready(tab, look, typed)
    button = await _ready_here(tab, form, spec, values, typed) if seen is None else tab.visible(spec.save, form)
    await about_to_save()
    tab.pending = True
    if look is None or seen is None:
        await press(tab, button)
    elif not await look.press(seen):
        # Nothing was clicked: something came up, or what was typed is gone.
        tab.pending = False
        button = await _ready_here(tab, form, spec, values, typed)
        await about_to_save()
        tab.pending = True
        await press(tab, button)
    attribute = tab.pack.chart.revision
    if attribute is not None and (revision := await told(tab, saved, attribute)):
        tab.pending = False
        tab.saves += 1
        return revision
    answers = {"saved": saved, "alert": alert}
    if duplicate is not None:
        answers["duplicate"] = duplicate
    answer = await tab.first_of(answers, expected="evidence of the save", within=tab.patience.save)
    if answer == "alert":
        raise await _complaint(tab, form, spec, typed, await answers["alert"].inner_text())
    tab.pending = False
    if answer == "duplicate":
        raise Refused(Code.DUPLICATE_WARNING)
    tab.saves += 1
    return None


async def _ready_here(
    tab: Tab, form: Locator, spec: FormSpec, values: Values, typed: list[tuple[Entry, str]]
) -> Locator:
    """The button that saves, as `_ready` finds it; EntryError if what was typed went with its document."""
    try:
        return await _ready(tab, form, spec, values, typed)
    except (Refused, PlaywrightTimeout) as reason:
        unexpected = isinstance(reason, Refused) and reason.code is Code.UNEXPECTED_PAGE
        if unexpected or await document.is_marked(tab):
            raise
        raise EntryError("the page was loaded anew before what was typed was saved", hint="it is typed again") from None


async def _seen_ready(tab: Tab, look: LastLook | None, typed: list[tuple[Entry, str]]) -> str | None:
    """What the last look saw, if Save could be clicked and all shows what was typed; None: see step by step."""
    seen = None if look is None else await look.sees()
    texts = None if seen is None else alone(seen)
    return seen if texts is not None and not _others(tab, typed, texts) else None


async def _ready(tab: Tab, form: Locator, spec: FormSpec, values: Values, typed: list[tuple[Entry, str]]) -> Locator:
    """The button that saves, in a form that shows what was typed, with nothing over it; raises as `save` does."""
    button = document.marked(tab, tab.visible(spec.save, form))
    awake = button.and_(form.locator(":enabled"))
    for _ in range(_TRIES):
        is_awake, stopped, dropped, _ = await asyncio.gather(
            awake.count(), labels_of(button, "unsent"), _not_shown(tab, form, typed, leaving=None), tab.clear()
        )
        if not dropped and await document.is_marked(tab):
            break
        # Drawn or loaded anew a moment after all was there.
        await fill(tab, form, spec, values)
    if not is_awake:
        if not await _wakes_up(tab, awake):
            await tab.first_of({"it": button}, expected=spec.save[0].says)
            if marked := await labels_of(form, "marked"):
                raise Refused(Code.REJECTED_VALUE, _named(marked, spec))
            raise Refused(Code.NOT_SAVED, f"{spec.save[0].says} cannot be clicked")
        await tab.clear()
    if stopped:
        raise Refused(Code.REJECTED_VALUE, _named(stopped, spec))
    if spec.sure is None:
        return button
    await tab.click(spec.save, document.marked(tab, form))
    sure, alert = document.marked(tab, tab.visible(spec.sure)), tab.visible(spec.alert, form)
    if await tab.first_of({"sure": sure, "alert": alert}, expected=spec.sure[0].says) == "alert":
        raise await _complaint(tab, form, spec, typed, await alert.inner_text())
    return sure


async def _wakes_up(tab: Tab, awake: Locator) -> bool:
    while (state := await tab.first_of_soon({"awake": awake}, within=_WAKES_UP)) == UNLOCKED:
        pass
    return state is not None


async def _complaint(
    tab: Tab, form: Locator, spec: FormSpec, typed: list[tuple[Entry, str]], message: str
) -> Exception:
    """What an alert in the form means. The message stays here: it may quote the patient."""
    messages = tab.pack.messages
    if re.search(messages.trouble, message, re.IGNORECASE):
        return tab.trouble()
    tab.pending = False
    if messages.stale is not None and re.search(messages.stale, message, re.IGNORECASE):
        return Overtaken("the portal says that somebody else saved the chart", saved=bool(tab.saves))
    if re.search(messages.gone, message, re.IGNORECASE):
        return EntryError("what was being edited is gone from the chart", hint="the chart is read again")
    if dropped := await _not_shown(tab, form, typed, leaving=None):
        lost = ", ".join(entry.label for entry, _, _ in dropped)
        return EntryError(f"the page dropped what was typed: {lost}", hint="it is typed again on a fresh page")
    labels = labels_in(message, {*(entry.label for entry in spec.fields.values()), *await labels_of(form, "all")})
    return Refused(Code.REJECTED_VALUE, _named(labels, spec) or f"something after {spec.save[0].says}")


def _named(labels: Iterable[str], spec: FormSpec) -> str:
    """Labels as a message names them: of those that are no fields of ours it says so, as no record can mend them."""
    ours = {entry.label for entry in spec.fields.values()}
    return ", ".join(label if label in ours else f"{label} (only staff can fill it in)" for label in labels)


def _written(tab: Tab, spec: FormSpec, values: Values) -> list[tuple[Entry, str]]:
    return [
        (entry, shown(entry, values[field], tab.pack.forms)) for field, entry in spec.fields.items() if field in values
    ]


async def _not_shown(
    tab: Tab, form: Locator, wanted: list[tuple[Entry, str]], *, leaving: Entry | None
) -> list[tuple[Entry, str, str]]:
    """The fields that show something else than wanted, with what they show."""
    return _others(tab, wanted, await _shown(tab, form, [entry for entry, _ in wanted], leaving))


def _others(tab: Tab, wanted: list[tuple[Entry, str]], texts: Sequence[str]) -> list[tuple[Entry, str, str]]:
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
