"""When a worker looks whether the portal has changed, and what it takes for a change."""

import asyncio
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import func, select

from fusion.codes import Code
from fusion.drift import Drift, Place, Walk
from fusion.patient import Field, Section
from fusion.portal import Refused
from listener import gates
from listener.entry import ParkedReason, State
from listener.errors import EntryError, Outage
from listener.gates import Lane
from tests import outbox_rows as rows
from tests.fusion.desk import OWN, put_chart, raising
from tests.fusion.patrolled import PHONE, Clinic, clinic, of
from tests.fusion.round import cancelled

__all__ = ["clinic"]  # a fixture


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


async def test_nobody_looks_again_while_the_portal_is_left_alone(clinic: Clinic) -> None:
    await clinic.linked()
    clinic.changed[Place.PATIENT] = '"Birthdate"'
    await clinic.go()
    await clinic.looked_long_ago()
    async with clinic.db.writing() as tx:
        await gates.pause(tx, Lane.PORTAL, actor="ops", reason="lunch")
    await clinic.go()
    assert len(clinic.walks) == 1


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


async def test_a_walk_that_takes_too_long_goes_on_where_it_was_and_costs_no_attempt(clinic: Clinic) -> None:
    clinic.new_pack("one", within=timedelta(seconds=0.05))
    clinic.portal_attempts = 1
    record_id = await clinic.linked()
    clinic.portal.inner.hangs = [Place.CONTACTS, Place.PAYERS]
    assert (await clinic.go()).settled == 1
    anew = [Place.CONTACTS, Place.PAYERS]
    assert clinic.portal.inner.looked == sorted([*Place, *anew], key=list(Place).index)
    assert [deed[:2] for deed in clinic.portal.deeds] == [("save", Section.PATIENT)]
    assert clinic.told(record_id) == ("Synced", None, None)


async def test_where_a_walk_does_not_come_on_the_setting_is_named(clinic: Clinic) -> None:
    clinic.new_pack("one", within=timedelta(seconds=0.05))
    record_id = await clinic.linked()
    clinic.portal.inner.hangs = [Place.CASES] * 2
    await clinic.go()
    assert of(await clinic.entry(), "state", "attempts") == (State.PENDING, 1)
    assert "FUSION_SYNC_DEADLINE_SECONDS" in (await clinic.entry())["message"]
    assert clinic.told(record_id)[0] == "Retrying"
    assert clinic.portal.deeds == []
    await clinic.all_due()
    assert (await clinic.go()).settled == 1
    assert clinic.portal.inner.looked[-3:] == [Place.CASES, Place.PAYERS, Place.NOTES]


async def test_a_walk_that_is_cut_off_is_gone_on_with_by_the_next_process(clinic: Clinic) -> None:
    await clinic.linked()
    clinic.portal.inner.hangs = [Place.CASES]
    walking = asyncio.create_task(clinic.go())
    async with asyncio.timeout(20):
        while clinic.portal.inner.hangs:
            await asyncio.sleep(0.01)
    await cancelled(walking)
    clinic.new_pack("one")
    clinic.portal.inner.looked.clear()
    assert (await clinic.go()).settled == 1
    assert clinic.portal.inner.looked == [Place.CASES, Place.PAYERS, Place.NOTES]


def test_a_second_chart_gainsays_what_it_could_have_shown() -> None:
    view = Drift(place=Place.CONTACTS, expected='"Phone"', in_view=True)
    form = Drift(place=Place.CONTACTS, expected='"Email"')
    walk = Walk(found={Place.SEARCH: [], Place.CONTACTS: [view, form]})
    for other, left in (
        (Walk(), [view, form]),
        (Walk(found={Place.CONTACTS: []}), []),
        (Walk(found={Place.CONTACTS: [form]}), [form]),
        (Walk(found={Place.CONTACTS: []}, bare={Place.CONTACTS}), [view]),
        (Walk(found={Place.CONTACTS: [form]}, bare={Place.CONTACTS}), [view, form]),
    ):
        assert walk.confirmed_by(other).found == {Place.SEARCH: [], Place.CONTACTS: left}
