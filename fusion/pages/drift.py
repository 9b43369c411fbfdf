"""Is the portal still as its pack says? A walk through search, the form of a new patient, and the sections of a chart.

Forms are opened empty and cancelled; nothing is typed, nothing saved. What is found in place of an expected label is
only proposed: a person decides, and nothing is written by a guess.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from playwright.async_api import Locator
from rapidfuzz import fuzz, process

from fusion.codes import Code
from fusion.drift import Drift, Place, Walk
from fusion.pages.chart import open_chart
from fusion.pages.entry import Entry, Gesture, Kind
from fusion.pages.pack import Form
from fusion.pages.script import script
from fusion.pages.tab import Tab
from fusion.patient import Section, folded
from fusion.portal import Refused

Keep = Callable[[], Awaitable[str]]
"""Keeps what the page looks like now, without a patient's values; the path of it."""

# Labels are the portal's own words; whatever has digits or is long may be a value and is not looked at.
_LABELS = """form => [...form.querySelectorAll("label, dt, th, td:first-child")]
  .map((node) => node.textContent.replace(/[:*]/g, "").trim().replace(/\\s+/g, " "))
  .filter((text) => text && text.length <= 40 && !/\\d/.test(text))"""
_BOXES = """boxes => boxes.map((box) => ({
  tag: box.tagName.toLowerCase(),
  type: box.getAttribute("type") ?? "text",
  editable: box.isContentEditable,
  fixed: box.readOnly === true,
  options: [...(box.options ?? [])].map((option) => option.label),
}))"""
_IN_VIEW = script("labels.js")
_ALIKE = 55
"""Labels that mean the same are this much alike: "Birthdate" and "Date of birth" 78; others stay below 46."""

_SELECT, _AREA, _LINE = "a select", "a text area", "a text box"
_GROUP, _FIXED = "something that is no box", "a box in which nothing can be typed"
_FITS: Mapping[Kind, frozenset[str]] = {
    Kind.TEXT: frozenset({_LINE, _AREA}),
    Kind.TEXTAREA: frozenset({_AREA}),
    Kind.DATE: frozenset({_LINE}),
    Kind.PHONE: frozenset({_LINE}),
    Kind.SSN: frozenset({_LINE}),
    Kind.SELECT: frozenset({_SELECT}),
    Kind.TYPEAHEAD: frozenset({_LINE}),
}
_FITS_GESTURE: Mapping[Gesture, frozenset[str]] = {
    Gesture.CHOOSE: frozenset({_LINE}),
    Gesture.CALENDAR: frozenset({_LINE, _FIXED}),
    Gesture.CHECKS: frozenset({_GROUP}),
}
"""What each kind can be typed into. A line break would be lost in a box of one line."""
_TYPES = {
    **dict.fromkeys(("text", "search", "tel", "email", "number", "password", "url"), _LINE),
    **dict.fromkeys(("date", "datetime-local", "month"), "a date picker"),
    **dict.fromkeys(("checkbox", "radio"), "a box to tick"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """Something visible on the page that goes by an entry's spots: what it is, and what it offers to choose from."""

    what: str
    options: tuple[str, ...] = ()


async def walk(tab: Tab, chart: str | None, keep: Keep, places: Collection[Place], seen: Walk) -> None:
    """Put down in *seen* what of these places differs from the pack, each as soon as it was looked at. Saves nothing.

    Sections are looked at on *chart*; without one they are left out. Raises Refused for an unknown dialog, and as
    everything does that opens a page.
    """

    async def look(place: Place, looking: Awaitable[list[Drift]]) -> bool:
        seen.bare.discard(place)
        try:
            drifts = await looking
        except Refused as refused:
            drifts = [_what_changed(place, refused)]
        if drifts:
            seen.evidence[place] = await keep()
        seen.found[place] = drifts
        return not drifts

    if Place.SEARCH in places:
        await look(Place.SEARCH, _search(tab))
    if Place.NEW in places:
        await look(Place.NEW, _new(tab))
    sections = [section for section in Section if Place(section.value) in places]
    while chart is not None and sections:
        # Anew after each section that is not in order: it may have left a form open.
        try:
            if await open_chart(tab, chart, wary=frozenset(Section)) is None:
                break
        except Refused as refused:
            # Without its header nobody can say whose chart it is.
            seen.evidence.setdefault(Place.PATIENT, await keep())
            seen.found[Place.PATIENT] = [_what_changed(Place.PATIENT, refused)]
            break
        in_order = True
        while in_order and sections:
            section = sections.pop(0)
            in_order = await look(Place(section.value), _section(tab, section, seen))
    known = {(drift.expected, drift.about) for drift in seen.found.get(Place.PATIENT, ())}
    if Place.NEW in seen.found:
        seen.found[Place.NEW] = [one for one in seen.found[Place.NEW] if (one.expected, one.about) not in known]


def _what_changed(place: Place, refused: Refused) -> Drift:
    if refused.code is not Code.PORTAL_CHANGED:
        raise refused
    return Drift(place=place, expected=refused.detail.removeprefix("expected "))


async def _search(tab: Tab) -> list[Drift]:
    search, box = tab.pack.search, tab.visible(tab.pack.search.box)
    # Loaded anew: a page that is open keeps the words that it had.
    await tab.open(tab.pack.routes.home, {"box": box}, expected=search.box[0].says)
    await tab.clear()
    spots = search.inactive
    if spots is not None and not await tab.all_of(spots).count():
        return [Drift(place=Place.SEARCH, expected=spots[0].says)]
    return []


async def _new(tab: Tab) -> list[Drift]:
    box, form = tab.visible(tab.pack.new.form), tab.pack.sections[Section.PATIENT]
    await tab.open(tab.pack.routes.new, {"form": box}, expected="the form of a new patient", fresh=False)
    await tab.clear()
    return await _in_form(tab, box, form, Place.NEW)


async def _section(tab: Tab, section: Section, seen: Walk) -> list[Drift]:
    place, form = Place(section.value), tab.pack.sections[section]
    area = tab.place.locator(form.area).first
    found = await _in_view(tab, area, form, place)
    if found is None:
        seen.bare.add(place)
        found = []
    box = tab.visible(form.form, None if form.elsewhere else area)
    await tab.click_open(form.add or form.open, area, {"form": box}, expected=f'the form of "{section}"')
    found += [drift for drift in await _in_form(tab, box, form, place) if drift not in found]
    await tab.click(form.cancel, box)
    if form.elsewhere:
        await tab.first_of({"chart": tab.visible(tab.pack.chart.ready)}, expected="the chart after Cancel")
    return found


async def _in_view(tab: Tab, area: Locator, form: Form, place: Place) -> list[Drift] | None:
    """What a chart shows: the labels of the section, or of its first row; None where it has no row."""
    await tab.first_of({"it": area}, expected=f'"{place}"')
    chart = tab.pack.chart
    spec = {"pair": chart.pair, "label": chart.label, "value": chart.value, "rows": form.rows, "heads": form.heads}
    labels: list[str] | None = await area.evaluate(_IN_VIEW, spec)
    if labels is None:
        return None
    entries = list(form.fields.values())
    counts = [labels.count(entry.label) for entry in entries]
    return [replace(drift, in_view=True) for drift in _missing(place, entries, counts, labels)]


async def _in_form(tab: Tab, box: Locator, form: Form, place: Place) -> list[Drift]:
    """What is not in an open form as it should be: fields, their kinds and options, the buttons."""
    entries = list(form.fields.values())
    boxes = await _boxes(tab, box, entries)
    if late := next((entry for entry, one in zip(entries, boxes, strict=True) if not one), None):
        # Once for all that may still be drawn.
        await tab.first_of_soon({"it": tab.visible(late.box, box)}, within=tab.patience.menu)
        boxes = await _boxes(tab, box, entries)
    labels: list[str] = await box.evaluate(_LABELS)
    found = [*_missing(place, entries, [len(one) for one in boxes], labels)]
    for entry, there in zip(entries, boxes, strict=True):
        if len(there) == 1:
            found += _otherwise(place, entry, there[0])
    # Who makes a new chart does not cancel it.
    for spots in (form.save, form.cancel) if place is not Place.NEW else (form.save,):
        if not await tab.all_of(spots, box).filter(visible=True).count():
            found.append(Drift(place=place, expected=spots[0].says))
    return found


async def _boxes(tab: Tab, form: Locator, entries: Sequence[Entry]) -> list[list[Box]]:
    return [
        [_box(one) for one in await tab.all_of(entry.box, form).filter(visible=True).evaluate_all(_BOXES)]
        for entry in entries
    ]


def _box(told: Mapping[str, Any]) -> Box:
    match told["tag"]:
        case "select":
            what = _SELECT
        case "textarea":
            what = _AREA
        case "input":
            what = _TYPES.get(told["type"].lower(), "a button")
            what = _FIXED if told["fixed"] and what == _LINE else what
        case _:
            what = _AREA if told["editable"] else _GROUP
    return Box(what=what, options=tuple(told["options"]))


def _missing(place: Place, entries: Sequence[Entry], counts: Sequence[int], labels: Sequence[str]) -> Iterator[Drift]:
    """The fields that are not there just once; for one that is gone the new label that is likest to its own."""
    known = {entry.label for entry in entries}
    new = [label for label in dict.fromkeys(labels) if label not in known]
    for entry, count in zip(entries, counts, strict=True):
        if count > 1:
            yield Drift(place=place, expected=f'one "{entry.label}"', found=str(count))
        elif not count:
            yield Drift(place=place, expected=f'"{entry.label}"', found=likest(entry.label, new))


def _otherwise(place: Place, entry: Entry, box: Box) -> Iterator[Drift]:
    """What of a field is not as expected: what kind of box it is, and which options it offers."""
    fits = (_FITS_GESTURE.get(entry.gesture) if entry.gesture else None) or _FITS.get(entry.kind)
    if fits is not None and box.what not in fits:
        yield Drift(place=place, about=f'"{entry.label}"', expected=sorted(fits)[-1], found=box.what)
    elif box.what == _SELECT and entry.options:
        offered = {folded(name) for name in box.options}
        new = [name for name in box.options if name and folded(name) not in {folded(one) for one in entry.options}]
        for option in entry.options:
            if folded(option) not in offered:
                about = f'options of "{entry.label}"'
                yield Drift(place=place, about=about, expected=f'"{option}"', found=likest(option, new))


def likest(gone: str, new: Sequence[str]) -> str:
    """Which of the new words is likest to the one that is gone, in quotes; "" if none is like it."""
    by_word = {word.casefold(): word for word in new}
    near = process.extractOne(gone.casefold(), list(by_word), scorer=fuzz.WRatio, score_cutoff=_ALIKE)
    return f'"{by_word[near[0]]}"' if near else ""
