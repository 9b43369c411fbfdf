"""What is written: a new chart, and edits of an existing one, each behind its gate."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from playwright.async_api import Locator

from fusion.codes import Code
from fusion.pages import document, form
from fusion.pages.chart import ChartPage, chart_at_hand, id_on, is_newer, open_chart, read_chart
from fusion.pages.locate import row_css
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
    page = await chart_at_hand(tab, portal_id, wary=wary) or await open_chart(tab, portal_id, wary=wary)
    if page is None:
        raise Refused(Code.CHART_NOT_FOUND)
    if not page.shown.identity.agrees_with(expect):
        raise Refused(Code.IDENTITY_MISMATCH)
    if any(edit.seen is not None and edit.seen != page.shown.rows_of(edit.section) for edit in edits):
        raise Overtaken("the chart is no longer as it was read")
    revisions = dict(page.revisions)
    for edit in edits:
        if edit.values:
            saved = await _save(tab, page, edit, revisions[edit.section], about_to_save)
            revisions |= dict.fromkeys(revisions if tab.pack.chart.counts else [edit.section], saved)
    if not tab.saves:
        return page.shown
    after = await open_chart(tab, portal_id, wary=wary)
    if after is None:
        raise EntryError(f"chart {portal_id} is gone right after a save", hint="it is looked for again")
    return after.shown


async def _save(tab: Tab, page: ChartPage, edit: Edit, before: str, about_to_save: AboutToSave) -> str:
    """Make one edit in its form; the revision that the portal gave it, or *before* if there was nothing to save."""
    spec, chart = tab.pack.sections[edit.section], tab.pack.chart
    box = await _opened(tab, page, edit, spec)
    row = next((row for row in page.shown.rows_of(edit.section) if row.key == (edit.row or "")), None)
    shows = None if row is None else await form.is_as_read(tab, box, spec, row.values, edit.values)
    evidence = _evidence(tab, spec, before)
    if not await form.fill(tab, box, spec, edit.values, shows=shows):
        await tab.click(spec.cancel, box)
        return before
    await form.save(tab, box, spec, edit.values, saved=evidence, about_to_save=about_to_save)
    if chart.revision is None:
        return before
    revision = await evidence.get_attribute(chart.revision) or ""
    if not is_newer(revision, before):
        raise EntryError("the portal's evidence of a save is older than the save", hint="the chart is read again")
    if chart.counts and int(revision) != int(before) + 1:
        raise Overtaken("somebody else saved the chart at the same time", saved=True)
    return revision


async def _opened(tab: Tab, page: ChartPage, edit: Edit, spec: FormSpec) -> Locator:
    """The open form of that section or row."""
    scope, opens = tab.place.locator(spec.area).first, spec.open
    if edit.row is None:
        opens = spec.add or spec.open
    elif spec.rows is not None:
        if edit.row not in (row.key for row in page.shown.rows[edit.section]):
            raise EntryError(f"a row of {edit.section} is gone from the chart", hint="the chart is read again")
        scope = scope.locator(row_css(spec.rows, tab.pack.chart.row_key, edit.row)).first
    box = tab.visible(spec.form, None if spec.elsewhere else scope)
    await tab.click_open(opens, scope, {"form": box}, expected=f'the form of "{edit.section}"')
    if spec.elsewhere and await id_on(tab) != page.shown.portal_id:
        raise Refused(Code.IDENTITY_MISMATCH)
    return box


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
