"""Is the portal still as its pack says? Looked at without a patient: the search, and the form of a new chart, unsaved.

What is found in place of an expected label is only proposed: a person decides, and nothing is written by a guess.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rapidfuzz import fuzz, process

from fusion.pages import search
from fusion.pages.pack import Entry, Kind
from fusion.pages.tab import Tab
from fusion.pages.widgets import showing
from fusion.patient import Section, folded

# Labels are the portal's own words; whatever has digits or is long may be a value and is not looked at.
_LABELS = """form => [...form.querySelectorAll("label, dt, th, td:first-child")]
  .map((node) => node.textContent.replace(/[:*]/g, "").trim().replace(/\\s+/g, " "))
  .filter((text) => text && text.length <= 40 && !/\\d/.test(text))"""
_ALIKE = 55
"""Labels that mean the same are this much alike: "Birthdate" and "Date of birth" 78; others stay below 46."""
_OFFERED = "boxes => [...(boxes[0]?.options ?? [])].map((option) => option.label)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """One thing that is not as expected; `found`: what may have taken its place, if anything."""

    where: str
    expected: str
    found: str = ""

    def __str__(self) -> str:
        instead = f', found "{self.found}"' if self.found else ""
        return f'{self.where}: expected "{self.expected}"{instead}'


async def drifts(tab: Tab) -> list[Drift]:
    """What differs from the pack in the search and in the form of a new patient. Types and saves nothing.

    Raises Refused (`PORTAL_CHANGED`) where there is not even the search, or the form.
    """
    await search.be_inside(tab)
    found = []
    spots = tab.pack.search.inactive
    if spots is not None and not await tab.all_of(spots).count():
        found.append(Drift(where="search", expected=spots[0].says.strip('"')))
    box = tab.visible(tab.pack.new.form)
    await tab.open(tab.pack.routes.new, {"form": box}, expected="the form of a new patient")
    await tab.clear()
    entries = list(tab.pack.sections[Section.PATIENT].fields.values())
    boxes = await showing(tab, box, entries)
    labels: list[str] = await box.evaluate(_LABELS)
    gone = [entry for entry, texts in zip(entries, boxes, strict=True) if len(texts) != 1]
    found += replaced(gone, labels, entries)
    for entry in entries:
        if entry.kind is Kind.SELECT and entry.options and entry not in gone:
            offered: list[str] = await tab.all_of(entry.box, box).filter(visible=True).evaluate_all(_OFFERED)
            found += [
                Drift(where=f"options of {entry.label}", expected=option)
                for option in entry.options
                if folded(option) not in {folded(name) for name in offered}
            ]
    return found


def replaced(gone: Sequence[Entry], labels: Sequence[str], entries: Sequence[Entry]) -> list[Drift]:
    """Each field that is gone, with the new label that is likest to its own."""
    known = {entry.label for entry in entries}
    new = {label.casefold(): label for label in labels if label not in known}
    told = []
    for entry in gone:
        near = process.extractOne(entry.label.casefold(), list(new), scorer=fuzz.WRatio, score_cutoff=_ALIKE)
        told.append(Drift(where=Section.PATIENT, expected=entry.label, found=new[near[0]] if near else ""))
    return told
