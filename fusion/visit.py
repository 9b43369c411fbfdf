"""What a visit finds out before it writes anything: the patient as of now, and which chart is this patient's.

All of it reads alone, so a preview and a visit that writes ask the same questions in the same order.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from typing import Protocol

from fusion import identity
from fusion.codes import Code
from fusion.differences import differences
from fusion.drift import Place, Waits, waits
from fusion.mapping import MERGED_INTO, RecordMapping
from fusion.matching import Decision, Match, decide, grade, plausible
from fusion.patient import Edit, Identity, Patient, Section, Shown
from fusion.portal import Portal, Refused
from fusion.transforms import patient_from
from listener.change import RecordId
from listener.entry import Outcome, SyncResult
from listener.errors import EntryError, Outage
from listener.gates import Lane
from listener.links import Link
from listener.org import Org, Record

_CHARTS_OPENED = 8
"""More charts than this that could be the child are not compared one by one: a person must look."""

_GONE = "The record is gone from Salesforce; it never had a chart."
_NOT_READY = "The record is not marked as ready."


class KnownLinks(Protocol):
    """Which chart is whose, as far as is known."""

    async def of_record(self, record_id: RecordId) -> Link | None:
        """The record's link, if it has one."""
        ...

    async def of_chart(self, portal_id: str) -> Link | None:
        """The chart's link, if it has one."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What one looks with. `look_again`: seconds between two looks for a save that was cut off.

    `heard` fills with the lanes that answered last when they were asked, for their gates; `seen` with the records that
    were read. `drifts`: what is known to have changed in the portal; sections of a chart that cannot be read for that
    are in `unread`.
    """

    org: Org
    portal: Portal
    mapping: RecordMapping
    links: KnownLinks
    today: Callable[[], date]
    look_again: float = 5.0
    heard: set[Lane] = field(default_factory=set)
    seen: dict[RecordId, Record] = field(default_factory=dict)
    drifts: dict[Place, str] = field(default_factory=dict)
    unread: set[Section] = field(default_factory=set)

    @property
    def wary(self) -> frozenset[Section]:
        """The sections that are known to have changed."""
        return frozenset(place.section for place in self.drifts if place.section is not None)

    def waits_for(self, sections: Collection[Section]) -> Waits:
        """What to raise where the visit cannot go on without these, which are among the `drifts`."""
        return waits(self.drifts, {Place(section.value) for section in sections})


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """The chart that is this patient's, as it shows now, and how we came to it.

    `as_linked`: the link that we keep says so already, with this very name and birth date.
    """

    shown: Shown
    how: str
    outcome: Outcome
    as_linked: bool = False


class Unclear(Refused):
    """Charts that may be this patient's, or not: `candidates` by their ids, the likeliest first."""

    def __init__(self, code: Code, candidates: Sequence[tuple[str, Match]]) -> None:
        ids = ", ".join(portal_id for portal_id, _ in candidates)
        super().__init__(code, f"Chart {ids}" if len(candidates) == 1 else f"Charts {ids}")
        self.candidates = tuple(candidates)


@dataclass(slots=True, kw_only=True)
class Doubt:
    """Whether a click may have made a chart that nobody has seen since; an earlier holder's, or our own.

    `whom`: the digest of the patient that it was made for, where that is known.
    """

    open: bool
    whom: str | None = None

    async def is_about(self, patient: Patient) -> bool:
        """Whether that chart would bear the patient's present name and birth date, by which it is looked for."""
        return self.whom is None or await identity.is_of(patient.identity, self.whom)


async def read_patient(object_name: str, record_id: RecordId, doubt: Doubt, sight: Sight) -> Patient | SyncResult:
    """The patient as Salesforce has it now, or the result if there is nothing to do for the portal; else `Refused`.

    Closes the doubt where the record has a chart.
    """
    with on_lane(Lane.SALESFORCE, sight.heard):
        found = await sight.org.read(object_name, [record_id], sight.mapping.reads)
    sight.seen.update(found)
    return await patient_in(found.get(record_id), record_id, doubt, sight)


async def patient_in(record: Record | None, record_id: RecordId, doubt: Doubt, sight: Sight) -> Patient | SyncResult:
    """The same for a record that was read already; None: it is gone."""
    link = await sight.links.of_record(record_id)
    doubt.open = doubt.open and link is None
    gone = record is None or record.get("IsDeleted")
    if gone and link is not None:
        raise await _gone(record, link, sight)
    if record is None or gone or not record.get(sight.mapping.ready_field):
        if doubt.open:
            raise Refused(Code.IN_DOUBT)
        return SyncResult(outcome=Outcome.SKIPPED, message=_GONE if gone else _NOT_READY)

    told = str(record.get(sight.mapping.own.portal_id) or "") or None
    if told and link and told != link.portal_id:
        raise Refused(Code.DIFFERENT_PORTAL_ID)
    portal_id = link.portal_id if link else told
    return patient_from(record, sight.mapping, record_id=record_id, portal_id=portal_id, today=sight.today())


async def _gone(record: Record | None, link: Link, sight: Sight) -> Refused:
    """A record that had a chart: deleted, or merged into another, which may have a chart, too."""
    survivor = record.get(MERGED_INTO) if record is not None else None
    if not survivor:
        return Refused(Code.DELETED_IN_SALESFORCE)
    its = await sight.links.of_record(RecordId(survivor))
    has = f"chart {its.portal_id}" if its else "no chart"
    return Refused(Code.MERGED_IN_SALESFORCE, f"{survivor} has {has}, this one has chart {link.portal_id}")


async def chart_of(patient: Patient, doubt: Doubt, sight: Sight) -> Chart | None:
    """The one chart that is this patient's: the linked one, else a certain match; None: there is none, make one.

    Raises `Refused` (`Unclear` where charts may be this patient's), `EntryError` and `Outage`.
    """
    if patient.portal_id is not None:
        return await _linked(patient, patient.portal_id, sight)
    if doubt.open and not await doubt.is_about(patient):
        # Corrected since. What we would look for is not what we may have made, and nobody found is nothing known.
        raise Refused(Code.IN_DOUBT)
    decision = await _look(patient, sight, cut_off=doubt.open)
    if doubt.open and decision.is_new:
        # A search index may lag behind a save. Only when a second look shows nothing is the save surely absent.
        await asyncio.sleep(sight.look_again)
        decision = await _look(patient, sight, cut_off=True)
    if decision.portal_id is None and sight.unread:
        # What is unread may be the very fact that tells. Neither a second chart nor a person's time is to pay for it.
        raise sight.waits_for(sight.unread)
    if decision.portal_id is not None:
        return await _matched(patient, decision.portal_id, doubt, sight)
    if decision.candidates:
        raise Unclear(Code.IN_DOUBT if doubt.open else Code.AMBIGUOUS_MATCH, decision.candidates)
    return None


def edits_for(patient: Patient, chart: Chart | None, mapping: RecordMapping) -> tuple[Edit, ...]:
    """What a visit would type: what differs on the chart, or everything for a chart that is still to be made."""
    if chart is not None:
        return differences(chart.shown, patient, mapping.policy)
    first = {name: value for name, value in patient.values.items() if name.section is Section.PATIENT and value}
    made = Shown(portal_id="", values=patient.values)
    return (Edit(section=Section.PATIENT, row=None, values=first), *differences(made, patient, mapping.policy))


async def open_chart(portal_id: str, sight: Sight) -> Shown | None:
    """That chart from a fresh page load; None if the portal has none. `Refused` if the page shows another's id."""
    with on_lane(Lane.PORTAL, sight.heard):
        shown = await sight.portal.read(portal_id, wary=sight.wary)
    if shown is not None:
        sight.unread.update(shown.unread)
    if shown is not None and shown.portal_id != portal_id:
        raise Refused(Code.IDENTITY_MISMATCH)
    return shown


async def _linked(patient: Patient, portal_id: str, sight: Sight) -> Chart:
    link = await sight.links.of_record(patient.record_id)
    digest = link.identity if link else None
    # The digest takes its time, and the chart mostly shows the very name and birth date that the record has.
    shown, as_last_seen = await asyncio.gather(open_chart(portal_id, sight), _is_of(patient.identity, digest))
    if shown is None:
        raise Refused(Code.CHART_NOT_FOUND)
    if not shown.identity.agrees_with(patient.identity):
        # A corrected name or birth date: then the chart still shows what we saw there last.
        as_last_seen = await _is_of(shown.identity, digest)
        if not as_last_seen:
            raise Refused(Code.IDENTITY_MISMATCH)
    if link is None:
        await _owned_by_nobody_else(patient, portal_id, sight)
    how = link.how if link else "matched"
    return Chart(shown=shown, how=how, outcome=Outcome.UPDATED, as_linked=as_last_seen)


async def _is_of(seen: Identity, digest: str | None) -> bool:
    return digest is not None and await identity.is_of(seen, digest)


async def _look(patient: Patient, sight: Sight, *, cut_off: bool) -> Decision:
    with on_lane(Lane.PORTAL, sight.heard):
        hits = [hit for hit in await sight.portal.find(patient) if plausible(patient, hit)]
    if len(hits) > _CHARTS_OPENED:
        raise Refused(Code.AMBIGUOUS_MATCH, f"More than {_CHARTS_OPENED} charts")
    graded = []
    for hit in hits:
        shown = await open_chart(hit.portal_id, sight)
        if shown is not None:
            graded.append((hit.portal_id, grade(patient, shown)))
    return decide(graded, cut_off=cut_off)


async def _matched(patient: Patient, portal_id: str, doubt: Doubt, sight: Sight) -> Chart:
    await _owned_by_nobody_else(patient, portal_id, sight)
    shown = await open_chart(portal_id, sight)
    if shown is None:
        raise EntryError("a chart that the search showed a moment ago is gone", hint="it is looked for again")
    if not shown.identity.agrees_with(patient.identity):
        raise Refused(Code.IDENTITY_MISMATCH)
    # Before our intent to create there was no such chart; the one that is there now is what was cut off.
    how, outcome = ("created", Outcome.CREATED) if doubt.open else ("matched", Outcome.LINKED)
    return Chart(shown=shown, how=how, outcome=outcome)


async def _owned_by_nobody_else(patient: Patient, portal_id: str, sight: Sight) -> None:
    owner = await sight.links.of_chart(portal_id)
    if owner is not None and owner.record_id != patient.record_id:
        raise Refused(Code.LINKED_ELSEWHERE, f"Chart {portal_id} (of {owner.record_id})")


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
