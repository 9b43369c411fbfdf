"""One entry to one result: read the record, find its chart, see that it is the right one, type what differs.

The change is only a bell: the record as Salesforce has it *now* decides, so partial, merged, late and repeated events
all take this one road. A refusal is a result like any other; an outage or an error is an exception.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from typing import Protocol

from fusion import identity
from fusion.codes import Code
from fusion.differences import differences
from fusion.mapping import RecordMapping
from fusion.matching import Decision, decide, grade, plausible
from fusion.patient import Identity, Patient, Shown
from fusion.portal import AboutToSave, Portal, Refused
from fusion.transforms import patient_from
from listener.change import RecordId
from listener.entry import CONFIRMED_NEW, OutboxEntry, Outcome, ParkedReason, SyncResult
from listener.errors import EntryError, Outage
from listener.gates import Lane
from listener.links import Link
from listener.org import Org

_CHARTS_OPENED = 8
"""More charts than this that could be the child are not compared one by one: a person must look."""

_GONE = "The record is gone from Salesforce; it never had a chart."
_NOT_READY = "The record is not marked as ready."


class Links(Protocol):
    """Which chart is whose, as the visit may read and say it."""

    async def of_record(self, record_id: RecordId) -> Link | None:
        """The record's link, if it has one."""
        ...

    async def of_chart(self, portal_id: str) -> Link | None:
        """The chart's link, if it has one."""
        ...

    async def keep(self, link: Link) -> None:
        """Make it true, if the entry is still ours (else `LeaseLost`); `Conflict` if either is linked otherwise."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """What a visit works with. `look_again`: seconds between two looks for a save that was cut off.

    `heard` fills with the lanes that answered last when they were asked, for their gates.
    """

    org: Org
    portal: Portal
    mapping: RecordMapping
    links: Links
    about_to_save: AboutToSave
    about_to_create: Callable[[str], Awaitable[None]]
    today: Callable[[], date]
    look_again: float = 5.0
    heard: set[Lane] = field(default_factory=set)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chart:
    """The chart that is this patient's, as it shows now, and how we came to it."""

    shown: Shown
    how: str
    outcome: Outcome


@dataclass(slots=True, kw_only=True)
class _Doubt:
    """Whether a click may have made a chart that nobody has seen since; an earlier holder's, or our own.

    `whom`: the digest of the patient that it was made for, where that is known.
    """

    open: bool
    whom: str | None = None

    async def is_about(self, patient: Patient) -> bool:
        """Whether that chart would bear the patient's present name and birth date, by which it is looked for."""
        return self.whom is None or await identity.is_of(patient.identity, self.whom)


async def push(entry: OutboxEntry, desk: Desk) -> SyncResult:
    """What came of the visit. Raises `Outage` (with its lane), `EntryError`, `LeaseLost` and `Conflict` only."""
    doubt = _Doubt(open=entry.in_doubt, whom=entry.intent_identity)
    try:
        patient = await _read(entry, doubt, desk)
        if isinstance(patient, SyncResult):
            return patient
        is_new = entry.code == CONFIRMED_NEW and patient.portal_id is None and not doubt.open
        chart = await (_created if is_new else _chart_of)(patient, doubt, desk)
        return await _bring_up_to_date(patient, chart, desk)
    except Refused as refused:
        return _refusal(refused, in_doubt=doubt.open)


async def _read(entry: OutboxEntry, doubt: _Doubt, desk: Desk) -> Patient | SyncResult:
    """The patient as of now, or the result if there is nothing to do for the portal."""
    with on_lane(Lane.SALESFORCE, desk.heard):
        found = await desk.org.read(entry.object_name, [entry.record_id], desk.mapping.reads)
    link = await desk.links.of_record(entry.record_id)
    doubt.open = doubt.open and link is None
    record = found.get(entry.record_id)
    gone = record is None or record.get("IsDeleted")
    if gone and link is not None:
        raise Refused(Code.DELETED_IN_SALESFORCE)
    if record is None or gone or not record.get(desk.mapping.ready_field):
        if doubt.open:
            raise Refused(Code.IN_DOUBT)
        return SyncResult(outcome=Outcome.SKIPPED, message=_GONE if gone else _NOT_READY)

    told = str(record.get(desk.mapping.own.portal_id) or "") or None
    if told and link and told != link.portal_id:
        raise Refused(Code.DIFFERENT_PORTAL_ID)
    portal_id = link.portal_id if link else told
    return patient_from(record, desk.mapping, record_id=entry.record_id, portal_id=portal_id, today=desk.today())


async def _chart_of(patient: Patient, doubt: _Doubt, desk: Desk) -> _Chart:
    """The one chart that is this patient's: the linked one, else a certain match, else a new one."""
    if patient.portal_id is not None:
        return await _linked(patient, patient.portal_id, desk)
    if doubt.open and not await doubt.is_about(patient):
        # Corrected since. What we would look for is not what we may have made, and nobody found is nothing known.
        raise Refused(Code.IN_DOUBT)
    decision = await _look(patient, desk, cut_off=doubt.open)
    if doubt.open and decision.is_new:
        # A search index may lag behind a save. Only when a second look shows nothing is the save surely absent.
        await asyncio.sleep(desk.look_again)
        decision = await _look(patient, desk, cut_off=True)
    if decision.portal_id is not None:
        return await _matched(patient, decision.portal_id, doubt, desk)
    if decision.candidates:
        raise Refused(Code.IN_DOUBT if doubt.open else Code.AMBIGUOUS_MATCH)
    return await _created(patient, doubt, desk)


async def _linked(patient: Patient, portal_id: str, desk: Desk) -> _Chart:
    shown = await _open(portal_id, desk)
    if shown is None:
        raise Refused(Code.CHART_NOT_FOUND)
    link = await desk.links.of_record(patient.record_id)
    how = link.how if link else "matched"
    # A corrected name or birth date: then the chart still shows what we saw there last.
    digest = link.identity if link else None
    as_last_seen = digest is not None and await identity.is_of(shown.identity, digest)
    if not as_last_seen and not shown.identity.agrees_with(patient.identity):
        raise Refused(Code.IDENTITY_MISMATCH)
    if link is None:
        await _owned_by_nobody_else(patient, portal_id, desk)
    if not as_last_seen:
        await _keep(patient, portal_id, shown.identity, how, desk)
    return _Chart(shown=shown, how=how, outcome=Outcome.UPDATED)


async def _look(patient: Patient, desk: Desk, *, cut_off: bool) -> Decision:
    with on_lane(Lane.PORTAL, desk.heard):
        hits = [hit for hit in await desk.portal.find(patient) if plausible(patient, hit)]
    if len(hits) > _CHARTS_OPENED:
        raise Refused(Code.AMBIGUOUS_MATCH, "more charts than we compare could be this patient")
    graded = []
    for hit in hits:
        shown = await _open(hit.portal_id, desk)
        if shown is not None:
            graded.append((hit.portal_id, grade(patient, shown)))
    return decide(graded, cut_off=cut_off)


async def _matched(patient: Patient, portal_id: str, doubt: _Doubt, desk: Desk) -> _Chart:
    await _owned_by_nobody_else(patient, portal_id, desk)
    shown = await _open(portal_id, desk)
    if shown is None:
        raise EntryError("a chart that the search showed a moment ago is gone", hint="it is looked for again")
    if not shown.identity.agrees_with(patient.identity):
        raise Refused(Code.IDENTITY_MISMATCH)
    # Before our intent to create there was no such chart; the one that is there now is what was cut off.
    how, outcome = ("created", Outcome.CREATED) if doubt.open else ("matched", Outcome.LINKED)
    await _keep(patient, portal_id, shown.identity, how, desk)
    doubt.open = False
    return _Chart(shown=shown, how=how, outcome=outcome)


async def _created(patient: Patient, doubt: _Doubt, desk: Desk) -> _Chart:
    who = await identity.digest_of(patient.identity)

    async def about_to_save() -> None:
        await desk.about_to_create(who)
        doubt.open = True

    doubt.open = False
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
    shown = await _open(portal_id, desk)
    if shown is None:
        raise EntryError(f"the new chart {portal_id} cannot be opened yet", hint="it is opened again later")
    if not shown.identity.agrees_with(patient.identity):
        raise Refused(Code.IDENTITY_MISMATCH)
    return _Chart(shown=shown, how="created", outcome=Outcome.CREATED)


async def _bring_up_to_date(patient: Patient, chart: _Chart, desk: Desk) -> SyncResult:
    portal_id, policy = chart.shown.portal_id, desk.mapping.policy
    edits = differences(chart.shown, patient, policy)
    if not edits:
        same = Outcome.UNCHANGED if chart.outcome is Outcome.UPDATED else chart.outcome
        return SyncResult(outcome=same, portal_id=portal_id)
    with on_lane(Lane.PORTAL, desk.heard):
        shown = await desk.portal.update(
            portal_id, edits, expect=chart.shown.identity, about_to_save=desk.about_to_save
        )
    if shown.portal_id != portal_id:
        raise Refused(Code.IDENTITY_MISMATCH)
    if shown.identity.agrees_with(patient.identity) and not shown.identity.agrees_with(chart.shown.identity):
        await _keep(patient, portal_id, shown.identity, chart.how, desk)
    left = sorted({field.value for edit in differences(shown, patient, policy) for field in edit.values})
    if left:
        raise EntryError(f"chart {portal_id} does not show what was saved: {', '.join(left)}", hint=Code.NOT_SAVED.fix)
    return SyncResult(outcome=chart.outcome, portal_id=portal_id)


async def _open(portal_id: str, desk: Desk) -> Shown | None:
    with on_lane(Lane.PORTAL, desk.heard):
        shown = await desk.portal.read(portal_id)
    if shown is not None and shown.portal_id != portal_id:
        raise Refused(Code.IDENTITY_MISMATCH)
    return shown


async def _owned_by_nobody_else(patient: Patient, portal_id: str, desk: Desk) -> None:
    owner = await desk.links.of_chart(portal_id)
    if owner is not None and owner.record_id != patient.record_id:
        raise Refused(Code.LINKED_ELSEWHERE)


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


@contextmanager
def on_lane(lane: Lane, heard: set[Lane] | None = None) -> Iterator[None]:
    """Say whose outage it is, for the gate that is to be shut; note in `heard` who answered, be it with a no."""
    heard = set() if heard is None else heard
    try:
        yield
    except Outage as outage:
        outage.lane = lane
        heard.discard(lane)
        raise
    except Refused:
        heard.add(lane)
        raise
    heard.add(lane)
