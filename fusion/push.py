"""One entry to one result: read the record, find its chart, see that it is the right one, type what differs.

The change is only a bell: the record as Salesforce has it *now* decides, so partial, merged, late and repeated events
all take this one road. A refusal is a result like any other; an outage or an error is an exception.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import structlog

from fusion import identity
from fusion.codes import Code
from fusion.differences import differences
from fusion.drift import VITAL, Place, waits
from fusion.patient import Edit, Identity, Patient, Section, Shown
from fusion.patrol import Patrol
from fusion.portal import AboutToSave, Overtaken, Refused
from fusion.visit import Chart, Doubt, KnownLinks, Sight, chart_of, on_lane, open_chart, read_patient
from listener.entry import CONFIRMED_NEW, OutboxEntry, Outcome, ParkedReason, SyncResult
from listener.errors import EntryError, Outage
from listener.gates import Lane
from listener.links import Link

log = structlog.get_logger()

_READINGS = 3
"""Times that a chart is read anew in one visit since somebody else is at it."""


class Links(KnownLinks, Protocol):
    """Which chart is whose, as the visit may read and say it."""

    async def keep(self, link: Link) -> None:
        """Make it true, if the entry is still ours (else `LeaseLost`); `Conflict` if either is linked otherwise."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk(Sight):
    """What a visit works with: what it looks with, and the guards of what it writes.

    `patrol`: who knows what of the portal has changed; None: nobody looks.
    """

    links: Links
    about_to_save: AboutToSave
    about_to_create: Callable[[str], Awaitable[None]]
    patrol: Patrol | None = None


async def push(entry: OutboxEntry, desk: Desk) -> SyncResult:
    """What came of the visit. Raises `Outage` (with its lane), `EntryError`, `LeaseLost`, `Conflict`, and `Waits`
    where the portal has changed, maybe after part of it was done; nothing else."""
    doubt = Doubt(open=entry.in_doubt, whom=entry.intent_identity)
    patient: Patient | SyncResult | None = None
    try:
        patient = await read_patient(entry.object_name, entry.record_id, doubt, desk)
        if isinstance(patient, SyncResult):
            return patient
        if desk.patrol is not None:
            _take_in(await desk.patrol.known(), VITAL, desk)
        is_new = entry.code == CONFIRMED_NEW and patient.portal_id is None and not doubt.open
        found = None if is_new else await chart_of(patient, doubt, desk)
        if found is not None:
            chart = await _taken(patient, found, doubt, desk)
        else:
            chart = await (_created if is_new else _created_or_found)(patient, doubt, desk)
        return await _despite_others(patient, chart, desk)
    except Refused as refused:
        if desk.patrol is not None:
            link = await desk.links.of_record(entry.record_id)
            told = patient.portal_id if isinstance(patient, Patient) else None
            waited = entry.code == Code.PORTAL_CHANGED
            await desk.patrol.surprised(refused, link.portal_id if link else told, waited=waited)
        return _refusal(refused, in_doubt=doubt.open)


def _take_in(drifts: Mapping[Place, str], needed: Collection[Place], desk: Desk) -> None:
    """Know what has changed in the portal. Raises `Waits` if it is something that is needed."""
    desk.drifts.clear()
    desk.drifts.update(drifts)
    if missing := needed & drifts.keys():
        raise waits(drifts, missing)


async def _taken(patient: Patient, chart: Chart, doubt: Doubt, desk: Desk) -> Chart:
    """The chart that was found, linked."""
    if not chart.as_linked:
        await _keep(patient, chart.shown.portal_id, chart.shown.identity, chart.how, desk)
    doubt.open = False
    return chart


async def _created_or_found(patient: Patient, doubt: Doubt, desk: Desk) -> Chart:
    """A new chart; or the one that the portal warns of, if it certainly is this patient's."""
    before = Doubt(open=doubt.open, whom=doubt.whom)
    try:
        return await _created(patient, doubt, desk)
    except Refused as warning:
        if warning.code is not Code.DUPLICATE_WARNING:
            raise
        # A moment ago the search showed nothing: its index lags behind whoever made that chart.
        await asyncio.sleep(desk.look_again)
        try:
            found = await chart_of(patient, before, desk)
        except (EntryError, Outage):
            raise warning from None  # a row that is tried again would be taken for one whose save was cut off
        if found is None:
            raise
        return await _taken(patient, found, doubt, desk)


async def _created(patient: Patient, doubt: Doubt, desk: Desk) -> Chart:
    who = await identity.digest_of(patient.identity)

    async def about_to_save() -> None:
        await desk.about_to_create(who)
        doubt.open = True

    doubt.open = False
    if desk.patrol is not None:
        _take_in(await desk.patrol.before_writing(None), VITAL | {Place.NEW}, desk)
    try:
        with on_lane(Lane.PORTAL, desk.heard):
            portal_id = await desk.portal.create(patient, about_to_save=about_to_save)
    except Refused as refused:
        # The portal said no, so there is no chart. But a page that we could not read may have meant yes.
        doubt.open = doubt.open and refused.code.reason is ParkedReason.EXHAUSTED
        raise
    # Before anything else can fail: a chart whose id we know is never made again.
    await desk.links.keep(Link(record_id=patient.record_id, portal_id=portal_id, how="created", identity=who))
    doubt.open = False
    shown = await open_chart(portal_id, desk)
    if shown is None:
        raise EntryError(f"the new chart {portal_id} cannot be opened yet", hint="it is opened again later")
    if not shown.identity.agrees_with(patient.identity):
        raise Refused(Code.IDENTITY_MISMATCH)
    return Chart(shown=shown, how="created", outcome=Outcome.CREATED)


async def _despite_others(patient: Patient, chart: Chart, desk: Desk) -> SyncResult:
    """Bring the chart up to date, from a fresh reading as often as somebody else was faster, but not for ever.

    Raises `Overtaken` then, and `Refused` (`PORTAL_CHANGED`) where a form shows again and again what no chart does.
    """
    saved, labels = False, tuple[str, ...]()
    for _ in range(_READINGS):
        try:
            result = await _bring_up_to_date(patient, chart, desk)
        except Overtaken as overtaken:
            log.warning("chart changed by others", portal_id=chart.shown.portal_id, why=str(overtaken))
            if overtaken.labels and overtaken.labels == labels:
                raise Refused(
                    Code.PORTAL_CHANGED, f"the form shows another {', '.join(labels)} than the chart"
                ) from None
            saved, labels, last = saved or overtaken.saved, overtaken.labels, overtaken
            chart = await _read_again(patient, chart, desk)
        else:
            if saved and result.outcome is Outcome.UNCHANGED:
                return replace(result, outcome=Outcome.UPDATED)
            return result
    raise last


async def _read_again(patient: Patient, chart: Chart, desk: Desk) -> Chart:
    shown = await open_chart(chart.shown.portal_id, desk)
    if shown is None:
        raise Refused(Code.CHART_NOT_FOUND)
    if not shown.identity.agrees_with(chart.shown.identity):
        # Our own correction may have been saved before we were overtaken.
        if not shown.identity.agrees_with(patient.identity):
            raise Refused(Code.IDENTITY_MISMATCH)
        await _keep(patient, shown.portal_id, shown.identity, chart.how, desk)
    return replace(chart, shown=shown)


async def _bring_up_to_date(patient: Patient, chart: Chart, desk: Desk) -> SyncResult:
    """What differs is typed, but for sections that have changed in the portal: then `Waits` comes after the rest."""
    portal_id, policy = chart.shown.portal_id, desk.mapping.policy
    edits = differences(chart.shown, patient, policy)
    if edits and desk.patrol is not None:
        _take_in(await desk.patrol.before_writing(portal_id), VITAL, desk)
    now = [edit for edit in edits if edit.section not in desk.wary]
    shown = await _updated(patient, chart, now, desk) if now else chart.shown
    later = {edit.section for edit in edits} & desk.wary
    if later := later | {section for section in shown.unread if _concerns(patient, section)}:
        raise desk.waits_for(later)
    outcome = chart.outcome
    if not edits and outcome is Outcome.UPDATED:
        outcome = Outcome.UNCHANGED
    return SyncResult(outcome=outcome, portal_id=portal_id)


async def _updated(patient: Patient, chart: Chart, edits: Sequence[Edit], desk: Desk) -> Shown:
    """The chart after these edits. Raises `EntryError` unless it shows them."""
    portal_id, policy = chart.shown.portal_id, desk.mapping.policy
    with on_lane(Lane.PORTAL, desk.heard):
        shown = await desk.portal.update(
            portal_id, edits, expect=chart.shown.identity, about_to_save=desk.about_to_save, wary=desk.wary
        )
    if shown.portal_id != portal_id:
        raise Refused(Code.IDENTITY_MISMATCH)
    if shown.identity.agrees_with(patient.identity) and not shown.identity.agrees_with(chart.shown.identity):
        await _keep(patient, portal_id, shown.identity, chart.how, desk)
    not_shown = [edit for edit in differences(shown, patient, policy) if edit.section not in desk.wary]
    left = sorted({field.value for edit in not_shown for field in edit.values})
    if left:
        raise EntryError(f"chart {portal_id} does not show what was saved: {', '.join(left)}", hint=Code.NOT_SAVED.fix)
    return shown


def _concerns(patient: Patient, section: Section) -> bool:
    """Whether the record has anything to say there."""
    return any(value for field, value in patient.values.items() if field.section is section)


async def _keep(patient: Patient, portal_id: str, seen: Identity, how: str, desk: Desk) -> None:
    digest = await identity.digest_of(seen)
    await desk.links.keep(Link(record_id=patient.record_id, portal_id=portal_id, how=how, identity=digest))


def _refusal(refused: Refused, *, in_doubt: bool) -> SyncResult:
    # A change of the record must not push aside the question whether there is a chart already.
    reason = ParkedReason.IN_DOUBT if in_doubt and not refused.code.reason.blocks else refused.code.reason
    return SyncResult(
        outcome=Outcome.REFUSED,
        code=refused.code,
        message=refused.code.sentence(refused.detail),
        reason=reason,
        evidence=refused.evidence,
    )
