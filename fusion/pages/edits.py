"""What is written: a new chart, and edits of an existing one, each behind its gate."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Sequence

from playwright.async_api import Locator

from fusion.codes import Code
from fusion.pages import document, form
from fusion.pages.chart import ChartPage, chart_at_hand, id_on, is_newer, is_still, open_chart, read_chart
from fusion.pages.locate import row_css
from fusion.pages.open_form import open_and_read
from fusion.pages.pack import Form as FormSpec
from fusion.pages.tab import Tab
from fusion.patient import Edit, Identity, Patient, Section, Shown
from fusion.portal import AboutToSave, Overtaken, Refused
from listener.errors import EntryError

_ROWS = frozenset(Section) - {Section.PATIENT}


async def create(tab: Tab, patient: Patient, about_to_save: AboutToSave) -> str:
    """The id of a new chart with the patient's values of section Patient, as the portal shows it."""
    new, spec = tab.pack.new, tab.pack.sections[Section.PATIENT]
    values = {field: value for field, value in patient.values.items() if field.section is Section.PATIENT and value}
    box = tab.visible(new.form)
    await tab.open(tab.pack.routes.new, {"form": box}, expected="the form of a new patient", fresh=False)
    await tab.clear()
    await form.fill(tab, box, spec, values)
    try:
        await form.save(
            tab,
            box,
            spec,
            values,
            saved=_evidence(tab, spec, None),
            duplicate=tab.visible(new.duplicate),
            about_to_save=about_to_save,
        )
    except Refused as refused:
        if refused.code is Code.DUPLICATE_WARNING:
            await tab.click(new.cancel, tab.visible(new.duplicate))
        raise
    # Whatever else lies over the page now: there is a chart, and its id must come out.
    shown = (await read_chart(tab, wary=_ROWS)).shown
    if not shown.identity.agrees_with(patient.identity):
        raise EntryError(f"after the save the portal shows another chart, {shown.portal_id}", hint="it is looked for")
    return shown.portal_id


async def update(
    tab: Tab,
    portal_id: str,
    edits: Sequence[Edit],
    *,
    expect: Identity,
    about_to_save: AboutToSave,
    wary: Collection[Section] = (),
) -> Shown:
    """The chart after the edits, from a fresh page load; see `fusion.portal.Portal.update`."""
    page = chart_at_hand(tab, portal_id, wary=wary)
    if page is not None:
        with contextlib.suppress(_Moved):
            return await _edited(tab, page, edits, expect=expect, about_to_save=about_to_save, wary=wary, at_hand=True)
    page = await open_chart(tab, portal_id, wary=wary)
    if page is None:
        raise Refused(Code.CHART_NOT_FOUND)
    return await _edited(tab, page, edits, expect=expect, about_to_save=about_to_save, wary=wary, at_hand=False)


class _Moved(Exception):
    """The page no longer shows the chart as it was read; nothing was done on it yet."""


async def _edited(
    tab: Tab,
    page: ChartPage,
    edits: Sequence[Edit],
    *,
    expect: Identity,
    about_to_save: AboutToSave,
    wary: Collection[Section],
    at_hand: bool,
) -> Shown:
    """The chart after the edits of what *page* shows, which was read before if it is *at_hand*."""
    portal_id, revisions = page.shown.portal_id, dict(page.revisions)
    if not page.shown.identity.agrees_with(expect):
        raise Refused(Code.IDENTITY_MISMATCH)
    if any(edit.seen is not None and edit.seen != page.shown.rows_of(edit.section) for edit in edits):
        raise Overtaken("the chart is no longer as it was read")
    unsure = at_hand
    for edit in edits:
        if edit.values:
            saved = await _save(tab, page, edit, revisions[edit.section], about_to_save, unsure=unsure)
            revisions |= dict.fromkeys(revisions if tab.pack.chart.counts else [edit.section], saved)
            unsure = False
    if not tab.saves:
        if unsure and not await is_still(tab, page):
            raise _Moved
        return page.shown
    after = await open_chart(tab, portal_id, wary=wary)
    if after is None:
        raise EntryError(f"chart {portal_id} is gone right after a save", hint="it is looked for again")
    return after.shown


async def _save(tab: Tab, page: ChartPage, edit: Edit, before: str, about_to_save: AboutToSave, *, unsure: bool) -> str:
    """Make one edit in its form; the revision that the portal gave it, or *before* if there was nothing to save.

    Raises `_Moved` if it is *unsure* whether the page still shows the chart, and it does not.
    """
    spec, chart = tab.pack.sections[edit.section], tab.pack.chart
    box, at_first = await _opened(tab, page, edit, spec, unsure=unsure)
    row = next((row for row in page.shown.rows_of(edit.section) if row.key == (edit.row or "")), None)
    if row is not None:
        shows = await form.is_as_read(tab, box, spec, row.values, edit.values, at_first=at_first)
    else:
        shows = form.in_order(spec, at_first or [])
    evidence = _evidence(tab, spec, before)
    if not await form.fill(tab, box, spec, edit.values, shows=shows):
        await tab.click(spec.cancel, box)
        return before
    told = await form.save(tab, box, spec, edit.values, saved=evidence, about_to_save=about_to_save)
    if chart.revision is None:
        return before
    revision = told or await evidence.get_attribute(chart.revision) or ""
    if not is_newer(revision, before):
        raise EntryError("the portal's evidence of a save is older than the save", hint="the chart is read again")
    if chart.counts and int(revision) != int(before) + 1:
        raise Overtaken("somebody else saved the chart at the same time", saved=True)
    return revision


async def _opened(
    tab: Tab, page: ChartPage, edit: Edit, spec: FormSpec, *, unsure: bool
) -> tuple[Locator, list[list[str]] | None]:
    """The open form of that section or row, and what all its fields were seen to show as it came up, if they were."""
    path, scope, opens = [spec.area], tab.place.locator(spec.area).first, spec.open
    if edit.row is None:
        opens = spec.add or spec.open
    elif spec.rows is not None:
        if edit.row not in (row.key for row in page.shown.rows[edit.section]):
            raise EntryError(f"a row of {edit.section} is gone from the chart", hint="the chart is read again")
        path.append(row_css(spec.rows, tab.pack.chart.row_key, edit.row))
        scope = scope.locator(path[-1]).first
    box = tab.visible(spec.form, None if spec.elsewhere else scope)
    expected = f'the form of "{edit.section}"'
    texts = await open_and_read(tab, spec, opens, path, scope=scope, chart=page.text if unsure else None)
    if texts is not None:
        if not texts:
            await tab.opened(opens, scope, {"form": box}, expected)
        return box, texts or None
    await tab.look_over()
    if unsure and not await is_still(tab, page):
        raise _Moved
    await tab.click_open(opens, scope, {"form": box}, expected)
    if spec.elsewhere and await id_on(tab) != page.shown.portal_id:
        raise Refused(Code.IDENTITY_MISMATCH)
    return box, None


def _evidence(tab: Tab, spec: FormSpec, before: str | None) -> Locator:
    """The section's "saved", with another revision than *before*; or in a document that was loaded after the save."""
    attribute = tab.pack.chart.revision
    area = document.anew(tab) if spec.elsewhere else document.anew(tab).locator(spec.area)
    if attribute is None:
        return tab.visible(spec.saved, area)
    css = f"[{attribute}]"
    if before is not None:
        css += f":not({row_css('', attribute, before)})"
    return tab.all_of(spec.saved, area).and_(tab.place.locator(css)).filter(visible=True).first
