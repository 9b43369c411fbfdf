"""A portal that changes while rows are worked: what stops, what goes on, what waits, and when it goes on again."""

import asyncio

import pytest
from sqlalchemy import func, update

from fusion.codes import Code
from fusion.drift import Place
from fusion.patient import Field, Section
from listener import drifts, schema
from listener.entry import CONFIRMED_NEW, State
from tests import outbox_rows as rows
from tests.fusion.desk import OWN, patient_of, put_chart
from tests.fusion.patrolled import PHONE, Clinic, clinic, of

__all__ = ["clinic"]  # a fixture


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


async def test_what_only_a_row_can_show_waits_with_its_section_where_no_other_chart_has_a_row(clinic: Clinic) -> None:
    bare = await clinic.linked(rows=False)
    assert (await clinic.go()).settled == 1
    await clinic.looked_long_ago()
    clinic.changed.update(PHONE)
    clinic.portal.inner.in_view = {Place.CONTACTS}
    await clinic.linked(Preferred_Name__c="Mimi", Guardian_Phone__c="(919) 555-0199")
    await clinic.go()
    assert clinic.portal.deeds[1:] == [("save", Section.PATIENT, (Field.NICKNAME,))]
    assert of(await clinic.entry(2), "state", "attempts") == (State.PENDING, 0)
    assert await clinic.waits() == {"Contacts": 1}
    # Nor do charts without a row, be they linked last or be it one that waits, say that it is in order again.
    for _ in range(3):
        await clinic.linked(rows=False)
    await clinic.changes(bare, Guardian_First_Name__c="Rosa", Guardian_Last_Name__c="Sample")
    assert (await clinic.go()).settled == 3
    await clinic.looked_long_ago()
    await clinic.go()
    assert (await clinic.waits(), await clinic.due_now()) == ({"Contacts": 2}, 0)
    assert (await clinic.entry(2))["attempts"] == 0
    done = len(clinic.portal.deeds)
    clinic.changed.clear()
    await clinic.looked_long_ago()
    assert (await clinic.go()).settled == 2
    assert sorted(deed[:2] for deed in clinic.portal.deeds[done:]) == [("add", "Contacts"), ("save", "Contacts")]


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
