"""Visits of every kind at a stand-in portal, from the claim to the answer, and whether what was done there is right.

Judged by the portal's ledger and its charts in the end; what a right chart shows is written out in
`fusion.standin.intakes`, and nothing of the code under test is asked.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from fusion import identity
from fusion.lease import LeaseTimes
from fusion.patient import Edit, Hit, Identity, Patient, Shown
from fusion.portal import AboutToSave, Portal
from fusion.standin.intakes import chart_of, intakes
from fusion.standin.server import StandInPortal
from fusion.turn import Limits, Worker
from listener import interventions, links, schema
from listener.change import RecordId
from listener.database import Database
from listener.links import Link
from tests import outbox_rows as rows
from tests.fusion.desk import MAPPING, NOON
from tests.fusion.round import Round

Record = dict[str, Any]
Write = tuple[str, str]

ROWS = ("Contacts", "Cases", "Payers", "Notes")
_WRITES = ("create", "add", "save")
_ROUNDS = 12
_STAFFS_ROWS = {
    "Contacts": [{"Name": "Nora Staff", "Relationship": "Grandparent", "Phone": "(919) 555-0177"}],
    "Notes": [{"Note": "Called back on Monday."}],
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of visit. `chart`: which sections staff's chart has before, None: there is no chart; `linked`: it is ours
    already. `edit`: what intake saved since. `writes`: what the robot is to write, each once.
    """

    name: str
    writes: tuple[Write, ...]
    chart: tuple[str, ...] | None = ROWS
    linked: bool = True
    edit: Mapping[str, Any] = field(default_factory=dict)


KINDS = (
    Kind(name="create", chart=None, linked=False, writes=(("create", "Patient"), *(("add", one) for one in ROWS))),
    Kind(name="add rows", chart=(), writes=tuple(("add", one) for one in ROWS)),
    Kind(name="link", chart=("Contacts", "Cases", "Payers"), linked=False, writes=(("add", "Notes"),)),
    Kind(name="unchanged", writes=()),
    Kind(name="corrected name", edit={"Last_Name__c": "Newname"}, writes=(("save", "Patient"),)),
    Kind(name="update Patient", edit={"Preferred_Name__c": "Bean"}, writes=(("save", "Patient"),)),
    Kind(name="update Contacts", edit={"Guardian_Street__c": "1 New Street"}, writes=(("save", "Contacts"),)),
    Kind(name="update Cases", edit={"Presenting_Concerns__c": "Sleeps badly."}, writes=(("save", "Cases"),)),
    Kind(name="update Payers", edit={"Insurance_Type__c": "TRICARE"}, writes=(("save", "Payers"),)),
    Kind(name="update Notes", edit={"Case_Notes__c": "Prefers mornings."}, writes=(("save", "Notes"),)),
)


@dataclass(slots=True)
class Watched:
    """The portal, and how often leave to save was given."""

    inner: Portal
    asked: int = 0

    async def find(self, patient: Patient) -> Sequence[Hit]:
        return await self.inner.find(patient)

    async def read(self, portal_id: str, **how: Any) -> Shown | None:
        return await self.inner.read(portal_id, **how)

    async def create(self, patient: Patient, *, about_to_save: AboutToSave) -> str:
        return await self.inner.create(patient, about_to_save=self._noting(about_to_save))

    async def update(self, portal_id: str, edits: Sequence[Edit], *, about_to_save: AboutToSave, **how: Any) -> Shown:
        return await self.inner.update(portal_id, edits, about_to_save=self._noting(about_to_save), **how)

    def _noting(self, about_to_save: AboutToSave) -> AboutToSave:
        async def ask() -> None:
            await about_to_save()
            self.asked += 1

        return ask


@dataclass(slots=True)
class Visit:
    """One record and its row, from a clean clinic on. `mark`: the ledger's number when it began."""

    kind: Kind
    standin: StandInPortal
    round: Round
    portal: Watched
    record_id: RecordId
    before: Mapping[str, Any] = field(default_factory=dict)
    mark: int = 0

    async def work(self, *, pause: float = 0) -> None:
        """Round after round until the row rests, whatever it waits for having come to pass.

        *pause*: seconds that really pass between two rounds, where in the clinic half a minute would.
        """
        for _ in range(_ROUNDS):
            await self.round.drain(self._worker())
            if (await self.row())["state"] not in ("PENDING", "PUSHED"):
                return
            await asyncio.sleep(pause)
            await self.round.all_due()
        raise AssertionError(f"not at rest after {_ROUNDS} rounds: {dict(await self.row())}")

    async def retried(self) -> None:
        """A person has looked and says: again."""
        async with self.round.db.writing() as tx:
            await interventions.retry(tx, (await self.row())["id"], actor="dana", reason="looked at it")
        await self.work()

    async def row(self) -> Mapping[str, Any]:
        """The only row of the outbox."""
        return await self.round.entry(1)

    @property
    def writes(self) -> list[Mapping[str, Any]]:
        """What the robot wrote, by the ledger."""
        return [line for line in self.standin.control.ledger(self.mark) if line["kind"] in _WRITES]

    @property
    def phase(self) -> str:
        """How far the robot is: `looking`; `making` a chart, of which it may not know yet; `saving`, `saved`."""
        if self.portal.asked == 0:
            return "looking"
        if self.portal.asked == 1 and self.kind.chart is None:
            return "making"
        return "saving" if self.portal.asked > len(self.writes) else "saved"

    def complaints(self, *, whole: bool) -> list[str]:
        """What is wrong in the clinic; *whole*: the chart must be as the record says, else it may be on the way."""
        charts = self.standin.control.patients()
        done, right = Counter((one["kind"], one["section"]) for one in self.writes), Counter(self.kind.writes)
        found = [f"{number} times {what}" for what, number in (done - right).items()]
        if len(charts) > 1 or (whole and not charts):
            return [*found, f"{len(charts)} charts"]
        after: Any = chart_of(self.round.org.records[self.record_id], self.record_id)
        if whole:
            found += [f"never {what}" for what in (right - done)]
        for chart in charts:
            found += self._unlike(chart, after, whole=whole)
        return found

    def _unlike(self, chart: Mapping[str, Any], after: Mapping[str, Any], *, whole: bool) -> list[str]:
        found = []
        old = self.before.get("Patient", {})
        for label, value in chart["Patient"].items():
            allowed = {after["Patient"].get(label, "")} | (set() if whole else {old.get(label, "")})
            if value not in allowed:
                found.append(f"{label}: {value!r}, not {sorted(allowed)}")
        for section in ROWS:
            staffs = _STAFFS_ROWS.get(section, []) if self.before else []
            ours, left = self.before.get(section, []), [_filled(row) for row in chart[section]]
            for row in staffs:
                if row not in left:
                    found.append(f"{section}: staff's row is not as it was")
                else:
                    left.remove(row)
            wanted = [[_filled(row) for row in one] for one in ([after[section]] if whole else [after[section], ours])]
            if left not in wanted:
                found.append(f"{section}: {left}")
        return found

    def _worker(self) -> Worker:
        one = self.round
        return Worker(
            db=one.db,
            org=one.org,
            portal=self.portal,
            mapping=MAPPING,
            name="one",
            limits=Limits(
                lease=LeaseTimes(length=one.length, deadline=one.deadline),
                look_again=timedelta(0),
                tell_after=one.tell_after,
                long_visit=one.long_visit,
            ),
            clock=lambda: NOON,
            unit=lambda: 0.0,
        )


def _filled(row: Mapping[str, Any]) -> dict[str, Any]:
    return {label: value for label, value in row.items() if value and label != "row_id"}


async def begin(kind: Kind, standin: StandInPortal, portal: Portal, db: Database) -> Visit:
    """A clinic and an outbox with this one record in them, which has just been saved."""
    async with db.writing() as tx:
        for table in reversed(schema.metadata.sorted_tables):
            await tx.execute(table.delete())
    standin.control.clear_faults()
    standin.control.clear_patients()
    record: Record = {**next(intakes(11)).record, "Insurance_Type__c": "Commercial", "Preferred_Name__c": None}
    round_ = Round(db)
    visit = Visit(kind, standin, round_, Watched(portal), round_.org.create(record))
    if kind.chart is not None:
        whole: Any = chart_of(record, visit.record_id)
        visit.before = {"Patient": whole["Patient"], **{one: whole[one] for one in kind.chart}}
        rows_ = {one: [*visit.before.get(one, []), *_STAFFS_ROWS.get(one, [])] for one in ROWS}
        chart_id = standin.control.put_patient({"Patient": whole["Patient"], **rows_}).id
    if kind.linked:
        born = date.fromisoformat(str(record["Date_of_Birth__c"]))
        who = Identity(first_name=record["First_Name__c"], last_name=record["Last_Name__c"], birth_date=born)
        digest = await identity.digest_of(who)
        async with db.writing() as tx:
            link = Link(record_id=visit.record_id, portal_id=chart_id, how="created", identity=digest)
            await links.make(tx, link)
    visit.round.org.edit(visit.record_id, dict(kind.edit))
    await rows.arrive(db, rows.a_change(record_id=visit.record_id))
    visit.mark = len(standin.ledger.lines())
    return visit
