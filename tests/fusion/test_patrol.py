"""A portal that changes while rows are worked: what stops, what goes on, what waits, and when it goes on again."""

import asyncio
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import func, select, update

from fusion.codes import Code
from fusion.drift import Place, Walk
from fusion.patient import Field, Section
from fusion.patrol import AGAIN, Patrol
from fusion.portal import Refused
from listener import drifts, gates, schema
from listener.change import RecordId
from listener.database import Database
from listener.entry import CONFIRMED_NEW, ParkedReason, State
from listener.errors import EntryError, Outage
from listener.gates import Lane
from tests import outbox_rows as rows
from tests.fusion.desk import OWN, Moment, patient_of, put_chart, raising
from tests.fusion.round import Round

PHONE = {Place.CONTACTS: '"Phone"'}


class Clinic(Round):
    """A round with a patrol, and what its tests ask for again and again."""

    def __init__(self, db: Database) -> None:
        super().__init__(db)
        self.seconds = 0.0
        self.walk: Moment | None = None  # what happens to a walk
        self.failed = 0
        self.new_pack("one")

    def new_pack(self, edition: str) -> None:
        zone = ZoneInfo("America/New_York")
        self.patrol = Patrol(self.db, self._walked, pack=edition, zone=zone, clock=lambda: self.seconds)

    async def _walked(self, chart: str | None) -> Walk:
        if self.walk is not None:
            self.failed += 1
            await self.walk()
        return await self.portal.inner.walk(chart)

    @property
    def walks(self) -> list[str | None]:
        return self.portal.inner.walks

    @property
    def changed(self) -> dict[Place, str]:
        return self.portal.inner.changed

    async def linked(self, **differs: Any) -> RecordId:
        """A record whose chart shows all that it did, before these fields were changed."""
        number = len(self.org.records)
        record_id = await self.intake(Case_Notes__c=None)  # the note of a chart bears its record's id
        chart = put_chart(self.portal.inner, self.org.records[record_id])
        self.org.edit(record_id, {OWN.portal_id: chart, **(differs or {"Preferred_Name__c": f"Nick {number}"})})
        return record_id

    async def looked_long_ago(self, ago: timedelta = AGAIN) -> None:
        """As if so much time had passed since the last walk."""
        self.seconds += ago.total_seconds()
        async with self.db.writing() as tx:
            await tx.execute(update(schema.drift).values(checked_at=func.db_after(-ago.total_seconds())))

    async def waits(self) -> dict[str, int]:
        async with self.db.reading() as tx:
            return dict(await drifts.waits(tx))

    async def due_now(self) -> int:
        async with self.db.reading() as tx:
            due = select(func.count()).select_from(schema.outbox).where(schema.outbox.c.due_at <= func.db_now())
            return int((await tx.execute(due.where(schema.outbox.c.state == "PENDING"))).scalar_one())

    def told(self, record_id: RecordId) -> tuple[Any, ...]:
        record = self.org.records[record_id]
        return record.get(OWN.status), record.get(OWN.error_code), record.get(OWN.error)


@pytest.fixture
def clinic(db: Database) -> Clinic:
    return Clinic(db)


def of(row: dict[str, Any], *names: str) -> tuple[Any, ...]:
    return tuple(row[name] for name in names)


async def test_the_first_write_of_a_day_is_preceded_by_a_walk_and_the_next_is_not(clinic: Clinic) -> None:
    await clinic.linked()
    await clinic.linked()
    unchanged = await clinic.intake()
    put = put_chart(clinic.portal.inner, clinic.org.records[unchanged])
    clinic.org.edit(unchanged, {OWN.portal_id: put})
    assert (await clinic.go()).settled == 3
    assert clinic.walks == ["10000001"]
    await clinic.looked_long_ago(timedelta(days=1))
    await clinic.changes(unchanged)
    await clinic.go()
    assert clinic.walks == ["10000001"]  # nothing to write, nothing to look at
    await clinic.changes(unchanged, Preferred_Name__c="Goes by")
    await clinic.go()
    assert clinic.walks == ["10000001", put]


async def test_the_day_is_the_clinics(clinic: Clinic) -> None:
    await clinic.linked()
    await clinic.go()
    # Half an hour before the clinic's midnight, whatever the time is now.
    async with clinic.db.reading() as tx:
        now = (await tx.execute(select(func.db_now()))).scalar_one().astimezone(ZoneInfo("America/New_York"))
    since_midnight = now - now.replace(hour=0, minute=0, second=0, microsecond=0)
    await clinic.linked()
    await clinic.looked_long_ago(since_midnight - timedelta(seconds=1) if since_midnight.seconds > 1 else timedelta(0))
    await clinic.go()
    assert len(clinic.walks) == 1
    await clinic.linked()
    await clinic.looked_long_ago(since_midnight + timedelta(minutes=30))
    await clinic.go()
    assert len(clinic.walks) == 2


async def test_what_is_typed_in_a_changed_section_waits_and_the_rest_is_done(clinic: Clinic) -> None:
    record_id = await clinic.linked(Preferred_Name__c="Mimi", Guardian_Phone__c="(919) 555-0199")
    clinic.changed.update(PHONE)
    clinic.portal.inner.in_form = {Place.CONTACTS}
    assert (await clinic.go()).postponed == 1
    assert clinic.portal.deeds == [("save", Section.PATIENT, (Field.NICKNAME,))]
    assert of(await clinic.entry(), "state", "attempts", "code") == (State.PENDING, 0, Code.PORTAL_CHANGED)
    assert await clinic.waits() == {"Contacts": 1}
    said = (
        'The portal has changed. Contacts: expected "Phone". This waits for it. '
        "Developer: run `fusion-sync doctor --portal` and mend the pack."
    )
    assert clinic.told(record_id) == ("Retrying", "portal_changed", said)
    await clinic.go()
    assert (len(clinic.walks), len(clinic.portal.deeds)) == (1, 1)  # at rest


async def test_a_section_that_cannot_be_read_is_not_guessed_and_costs_no_attempt(clinic: Clinic) -> None:
    await clinic.linked(Preferred_Name__c="Mimi")
    clinic.changed.update(PHONE)
    await clinic.go()
    # Met first by reading, found by the walk, and then known: a second visit does what can be done.
    assert clinic.portal.deeds == [("save", Section.PATIENT, (Field.NICKNAME,))]
    assert of(await clinic.entry(), "state", "attempts") == (State.PENDING, 0)
    assert await clinic.waits() == {"Contacts": 1}


async def test_a_record_that_has_nothing_to_say_there_does_not_wait(clinic: Clinic) -> None:
    clinic.changed[Place.NOTES] = '"Note"'
    await clinic.linked(Case_Notes__c="Prefers mornings.")
    await clinic.go()
    record_id = await clinic.intake(Case_Notes__c=None)
    chart = put_chart(clinic.portal.inner, clinic.org.records[record_id])
    clinic.org.edit(record_id, {OWN.portal_id: chart, "Preferred_Name__c": "Goes by"})
    await clinic.go()
    assert [of(row, "state", "outcome") for row in await rows.rows(clinic.db)] == [
        ("PENDING", None),
        ("DONE", "updated"),
    ]


@pytest.mark.parametrize("place", [Place.SEARCH, Place.PATIENT])
async def test_where_nobody_can_say_whose_chart_it_is_every_visit_waits_untouched(clinic: Clinic, place: Place) -> None:
    await clinic.linked()
    clinic.changed[place] = '"Birthdate"'
    await clinic.go()
    calls = list(clinic.portal.calls)
    await clinic.linked()
    await clinic.intake()
    await clinic.go()
    assert clinic.portal.calls == calls
    assert [of(row, "state", "attempts") for row in await rows.rows(clinic.db)] == [("PENDING", 0)] * 3
    assert await clinic.waits() == {str(place): 3}
    assert clinic.portal.deeds == []


async def test_without_the_new_form_no_chart_is_made_and_others_go_on(clinic: Clinic) -> None:
    clinic.changed[Place.NEW] = "the form of a new patient"
    await clinic.intake()
    await clinic.linked()
    assert (await clinic.go()).settled == 1
    assert clinic.portal.creates == 0
    assert of(await clinic.entry(), "state", "attempts", "intent_at") == (State.PENDING, 0, None)
    assert clinic.walks == [None, "10000001"]


async def test_a_new_chart_is_made_without_what_has_changed_and_waits_for_it(clinic: Clinic) -> None:
    record_id = await clinic.intake()
    clinic.changed.update(PHONE)
    await clinic.go()
    made = [("create", Section.PATIENT), ("add", Section.CASES), ("add", Section.PAYERS), ("add", Section.NOTES)]
    assert [deed[:2] for deed in clinic.portal.deeds] == made
    assert clinic.told(record_id)[:2] == ("Retrying", "portal_changed")
    clinic.changed.clear()
    await clinic.looked_long_ago()
    assert (await clinic.go()).settled == 1
    assert [deed[:2] for deed in clinic.portal.deeds] == [*made, ("add", Section.CONTACTS)]
    assert clinic.told(record_id) == ("Synced", None, None)
    assert of(await clinic.entry(), "state", "outcome") == ("DONE", "updated")


async def test_no_chart_is_made_where_one_that_may_be_the_childs_could_not_be_read_whole(clinic: Clinic) -> None:
    await clinic.linked()
    clinic.changed.update(PHONE)
    await clinic.go()
    record_id = await clinic.intake()
    clinic.portal.inner.put({**patient_of(clinic.org.records[record_id]).values, Field.SSN: ""})
    await clinic.go()
    assert clinic.portal.creates == 0
    assert of(await clinic.entry(2), "state", "attempts") == (State.PENDING, 0)
    assert await clinic.waits() == {"Contacts": 2}


async def test_once_it_is_mended_all_that_waited_goes_at_once_and_each_value_is_typed_once(clinic: Clinic) -> None:
    for _ in range(3):
        await clinic.linked(Guardian_Phone__c="(919) 555-0199")
    clinic.changed.update(PHONE)
    clinic.portal.inner.in_form = {Place.CONTACTS}
    await clinic.go()
    assert (await clinic.waits(), await clinic.due_now(), clinic.portal.deeds) == ({"Contacts": 3}, 0, [])
    assert [row["attempts"] for row in await rows.rows(clinic.db)] == [0, 0, 0]
    clinic.changed.clear()
    await clinic.go()
    assert await clinic.due_now() == 0  # nobody has looked yet
    await clinic.looked_long_ago()
    assert (await clinic.go()).settled == 3
    assert clinic.portal.deeds == [("save", Section.CONTACTS, (Field.PHONE,))] * 3
    assert await clinic.waits() == {}


async def test_a_mended_pack_lifts_what_was_found_by_the_old_one(clinic: Clinic) -> None:
    await clinic.linked(Guardian_Phone__c="(919) 555-0199")
    clinic.changed.update(PHONE)
    clinic.portal.inner.in_form = {Place.CONTACTS}
    await clinic.go()
    clinic.changed.clear()
    clinic.new_pack("two")
    assert (await clinic.go()).settled == 1
    async with clinic.db.reading() as tx:
        assert {(one.pack, one.since) for one in await drifts.read(tx)} == {("two", None)}


async def test_a_change_in_the_middle_of_the_day_is_looked_into_and_bounded(clinic: Clinic) -> None:
    await clinic.linked()
    await clinic.go()
    clinic.changed.update(PHONE)
    second = await clinic.linked()
    await clinic.go()
    # A moment ago all was well: it is put off until it may be looked at again, and parks nothing.
    assert (len(clinic.walks), await clinic.waits()) == (1, {})
    assert of(await clinic.entry(2), "state", "attempts", "code") == (State.PENDING, 0, Code.PORTAL_CHANGED)
    assert 'expected "Phone"' in (await clinic.entry(2))["message"]
    assert clinic.told(second)[0] == "Retrying"
    await clinic.looked_long_ago()
    await clinic.all_due()
    await clinic.go()
    assert (clinic.walks[1:], await clinic.waits()) == (["10000002", "10000001"], {"Contacts": 1})
    for _ in range(3):
        await clinic.all_due()
        await clinic.go()
    assert (len(clinic.walks), (await clinic.entry(2))["attempts"]) == (3, 0)


async def test_what_only_one_chart_shows_parks_that_entry_alone(clinic: Clinic) -> None:
    await clinic.linked()
    await clinic.linked()
    clinic.portal.at["read"] = raising(Refused(Code.PORTAL_CHANGED, 'expected "Zip"'))
    await clinic.go()
    assert [of(row, "state", "code") for row in await rows.rows(clinic.db)] == [
        ("PARKED", "portal_changed"),
        ("PENDING", "portal_changed"),  # the walk is too young to be made for the second again
    ]
    await clinic.all_due()
    await clinic.go()
    assert of(await clinic.entry(2), "state", "parked_reason") == (State.PARKED, ParkedReason.EXHAUSTED)
    assert len(clinic.walks) == 1


async def test_one_odd_chart_does_not_hold_up_the_others(clinic: Clinic) -> None:
    await clinic.linked()
    odd = await clinic.linked(Guardian_Phone__c="(919) 555-0199")
    clinic.changed.update(PHONE)
    clinic.portal.inner.odd = clinic.org.records[odd][OWN.portal_id]
    await clinic.go()
    await clinic.looked_long_ago()
    await clinic.all_due()
    await clinic.linked(Guardian_Phone__c="(919) 555-0198")
    await clinic.go()
    found = [of(row, "state", "code") for row in await rows.rows(clinic.db)]
    assert found == [("DONE", None), ("PARKED", "portal_changed"), ("DONE", None)]
    assert clinic.portal.deeds[1:] == [("save", Section.CONTACTS, (Field.PHONE,))]


@pytest.mark.parametrize("code", [Code.UNEXPECTED_PAGE, Code.NOT_SAVED])
async def test_after_another_surprise_the_next_that_writes_looks_first(clinic: Clinic, code: Code) -> None:
    await clinic.linked()
    await clinic.go()
    clinic.portal.at["update"] = raising(Refused(code, "something"))
    await clinic.linked()
    await clinic.go()
    assert (await clinic.entry(2))["state"] == State.PARKED
    del clinic.portal.at["update"]
    await clinic.linked()
    await clinic.go()
    assert len(clinic.walks) == 1  # too soon
    await clinic.looked_long_ago()
    await clinic.linked()
    await clinic.linked()
    await clinic.go()
    assert len(clinic.walks) == 2


async def test_a_persons_decision_outlives_the_wait(clinic: Clinic) -> None:
    await clinic.intake()
    clinic.changed[Place.NEW] = "the form of a new patient"
    async with clinic.db.writing() as tx:
        await tx.execute(update(schema.outbox).values(code=CONFIRMED_NEW))
    await clinic.go()
    assert of(await clinic.entry(), "state", "code") == (State.PENDING, CONFIRMED_NEW)
    clinic.changed.clear()
    await clinic.looked_long_ago()
    assert (await clinic.go()).settled == 1


async def test_nobody_looks_again_while_the_portal_is_left_alone(clinic: Clinic) -> None:
    await clinic.linked()
    clinic.changed[Place.PATIENT] = '"Birthdate"'
    await clinic.go()
    await clinic.looked_long_ago()
    async with clinic.db.writing() as tx:
        await gates.pause(tx, Lane.PORTAL, actor="ops", reason="lunch")
    await clinic.go()
    assert len(clinic.walks) == 1


async def test_a_wait_that_was_lifted_meanwhile_is_none(clinic: Clinic) -> None:
    """Found by one worker, lifted by another, before the first has put its row aside."""
    async with clinic.db.writing() as tx:
        await drifts.keep(tx, "one", {"Contacts": ['Contacts: expected "Phone"']})
    await clinic.linked(Guardian_Phone__c="(919) 555-0199")
    entry_id = (await clinic.entry())["id"]
    async with clinic.db.writing() as tx:
        assert await drifts.wait_for(tx, entry_id, {"Contacts", "Notes"}) is True
        assert await drifts.keep(tx, "one", {"Contacts": []}) == {"Contacts"}
        assert await drifts.wait_for(tx, entry_id, {"Contacts"}) is False


async def test_who_waits_and_who_lifts_at_the_same_moment_leave_nobody_waiting(clinic: Clinic) -> None:
    """The row is put aside in one transaction while another one ends what it waits for."""
    async with clinic.db.writing() as tx:
        await drifts.keep(tx, "one", {"Contacts": ['Contacts: expected "Phone"']})
    await clinic.linked()
    entry_id, lifting = (await clinic.entry())["id"], asyncio.Event()

    async def lift() -> None:
        await lifting.wait()
        async with clinic.db.writing() as tx:
            await drifts.keep(tx, "one", {"Contacts": []})

    lifter = asyncio.create_task(lift())
    async with clinic.db.writing() as tx:
        assert await drifts.wait_for(tx, entry_id, {"Contacts"})
        later = update(schema.outbox).values(due_at=func.db_after(86_400.0))
        await tx.execute(later)
        lifting.set()
        await asyncio.sleep(0.2)
        assert not lifter.done()
    await lifter
    assert (await clinic.due_now(), await clinic.waits()) == (1, {})


async def test_a_portal_that_is_away_while_it_is_walked_through_costs_no_attempt(clinic: Clinic) -> None:
    await clinic.linked()
    clinic.walk = raising(Outage("the portal does not answer"))
    await clinic.go()
    assert (await clinic.gate(Lane.PORTAL)).state == "shut"
    assert of(await clinic.entry(), "state", "attempts", "intent_at") == (State.PENDING, 0, None)
    clinic.walk = None
    await clinic.all_due()
    assert (await clinic.go()).settled == 1


async def test_a_look_that_fails_is_not_tried_again_at_once_and_stops_nobody(clinic: Clinic) -> None:
    await clinic.linked(Guardian_Phone__c="(919) 555-0199")
    clinic.changed.update(PHONE)
    clinic.portal.inner.in_form = {Place.CONTACTS}
    await clinic.go()
    await clinic.looked_long_ago()
    clinic.walk = raising(EntryError("the page did not do as it was told"))
    for _ in range(3):
        await clinic.go()
    assert (clinic.failed, await clinic.waits()) == (1, {"Contacts": 1})
    unchanged = await clinic.intake(Case_Notes__c=None)
    clinic.org.edit(unchanged, {OWN.portal_id: put_chart(clinic.portal.inner, clinic.org.records[unchanged])})
    assert (await clinic.go()).settled == 1


async def test_since_when_is_kept_from_walk_to_walk(clinic: Clinic) -> None:
    seen = []
    for said in (["a"], ["a", "b"], [], ["a"]):
        async with clinic.db.writing() as tx:
            await drifts.keep(tx, "one", {"Contacts": said})
            (one,) = await drifts.read(tx)
            seen.append(one.since)
    assert seen[0] == seen[1]
    assert seen[2] is None
    assert seen[3] is not None
