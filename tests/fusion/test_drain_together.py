"""Rounds in which several rows are told together, and what Salesforce hears of rows that are not answered yet."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, update

from fusion.drain import DrainReport
from fusion.pace import Pace
from listener import gates, interventions, schema
from listener.change import RecordId
from listener.database import Database
from listener.entry import Outcome, State
from listener.errors import EntryError, Outage
from listener.gates import Lane
from tests import outbox_rows as rows
from tests.fake_org import FakeOrg
from tests.fusion.desk import OWN, raising
from tests.fusion.round import Round
from tests.fusion.test_drain import AWAY, lines, of

__all__ = ["lines"]  # a fixture for every test here: what is logged, as the program logs it


@pytest.fixture
def work(db: Database) -> Round:
    return Round(db)


# ---- answers that gather


async def test_answers_gather_while_more_visits_are_due_and_go_out_in_one_call(work: Round) -> None:
    ids = [await work.intake() for _ in range(5)]
    calls: list[list[RecordId]] = []

    class Counting(FakeOrg):
        async def update(self, object_name: str, values: Any) -> Any:
            calls.append(sorted(values))
            return await super().update(object_name, values)

    counting = Counting()
    counting.records, work.org = work.org.records, counting
    assert await work.go() == DrainReport(settled=5)
    assert calls == [sorted(ids)]
    assert {record[OWN.status] for record in work.org.records.values()} == {"Synced"}
    tried = await rows.rows(work.db, schema.attempt)
    assert [of(one, "step", "outcome") for one in tried] == [("portal", "created")] * 5 + [("writeback", "told")] * 5
    assert all(one["ended_at"] is not None for one in tried)


async def test_an_answer_waits_no_longer_than_it_may(work: Round) -> None:
    work.tell_after = timedelta(0)
    for _ in range(3):
        await work.intake()
    told: list[int] = []

    async def looked() -> None:
        told.append(len(work.org.writes))

    work.portal.at["find"] = looked
    await work.go()
    assert told == [0, 1, 2]


async def test_answers_that_wait_are_told_together_whatever_the_pace_of_visits(work: Round) -> None:
    for _ in range(3):
        await work.intake()
        pushed = await rows.push(work.db, await rows.claimed(work.db))
        await rows.save(work.db, pushed, pushed.released())
    paced = replace(work.worker(), pace=Pace(1, burst=1))
    assert await work.drain(paced) == DrainReport(settled=3)


async def test_a_refusal_and_a_success_are_told_together_and_end_each_in_its_own_way(work: Round) -> None:
    await work.intake()
    await work.intake(Date_of_Birth__c=None)
    assert await work.go() == DrainReport(settled=1, parked=1)
    assert sorted(await rows.states(work.db)) == [State.DONE, State.PARKED]


async def test_an_outage_while_many_are_told_charges_nobody_and_loses_nothing(work: Round) -> None:
    for _ in range(4):
        await work.intake()

    async def the_org_goes_before_it_is_told() -> None:
        if work.portal.creates == 4:
            work.org.outages.append(Outage("the org is away"))

    work.portal.at["created"] = the_org_goes_before_it_is_told
    report = await work.go()
    assert (report.postponed, report.settled) == (4, 0)
    assert {of(row, "state", "attempts", "leased_until") for row in await rows.rows(work.db)} == {
        (State.PUSHED, 0, None)
    }
    visited = list(work.portal.calls)
    await work.all_due()
    assert await work.go() == DrainReport(settled=4)
    assert work.portal.calls == visited


async def test_a_row_that_cannot_even_be_asked_about_does_not_take_the_others_with_it(work: Round) -> None:
    ids = [await work.intake() for _ in range(4)]

    class Choosy(FakeOrg):
        async def read(self, object_name: str, record_ids: Any, fields: Any) -> Any:
            if ids[2] in record_ids and len(fields) < 10:
                raise EntryError("Salesforce refused a request (MALFORMED_ID)")
            return await super().read(object_name, record_ids, fields)

    choosy = Choosy()
    choosy.records, work.org = work.org.records, choosy
    assert await work.go() == DrainReport(settled=3, postponed=1)
    assert [row["state"] for row in await rows.rows(work.db) if row["record_id"] == ids[2]] == [State.PUSHED]


async def test_who_is_taken_over_while_many_are_told_leaves_that_one_alone(work: Round) -> None:
    ids = [await work.intake() for _ in range(3)]

    class Slow(FakeOrg):
        async def update(self, object_name: str, values: Any) -> Any:
            if len(values) == 3:
                entry = next(row for row in await rows.rows(work.db) if row["record_id"] == ids[1])
                await rows.alter(work.db, entry["id"], fence=entry["fence"] + 1, worker="two")
            return await super().update(object_name, values)

    slow = Slow()
    slow.records, work.org = work.org.records, slow
    assert await work.go() == DrainReport(settled=2, lost=1)
    left = next(row for row in await rows.rows(work.db) if row["record_id"] == ids[1])
    assert of(left, "state", "worker") == (State.PUSHED, "two")


async def test_an_orderly_stop_leaves_no_answer_waiting(work: Round) -> None:
    for _ in range(3):
        await work.intake()
    stopping = asyncio.Event()

    async def at_the_second() -> None:
        if work.portal.creates == 2:
            stopping.set()

    work.portal.at["created"] = at_the_second
    assert await work.go(stopping) == DrainReport(settled=2)
    assert len(work.org.writes) == 2


# ---- what is not answered yet


async def test_a_failed_try_shows_as_retrying_and_the_next_as_synced(work: Round) -> None:
    record_id = await work.intake()
    work.portal.at["find"] = raising(EntryError("the search did not load"))
    await work.go()
    record = work.org.records[record_id]
    assert (record[OWN.status], record[OWN.attempts], record.get(OWN.error_code)) == ("Retrying", 1, None)
    del work.portal.at["find"]
    await work.all_due()
    await work.go()
    assert (record[OWN.status], record[OWN.attempts], record[OWN.error]) == ("Synced", 2, None)


async def test_that_several_are_tried_again_is_one_call(work: Round) -> None:
    for _ in range(3):
        await work.intake()
    work.portal.at["find"] = raising(EntryError("the search did not load"))
    calls = 0

    class Counting(FakeOrg):
        async def update(self, object_name: str, values: Any) -> Any:
            nonlocal calls
            calls += 1
            return await super().update(object_name, values)

    counting = Counting()
    counting.records, work.org = work.org.records, counting
    await work.go()
    assert (calls, len(work.org.writes)) == (1, 3)


async def test_salesforce_away_keeps_nobody_from_the_next_try(work: Round) -> None:
    await work.intake()

    async def fails_and_the_org_goes() -> None:
        work.org.outages.append(Outage("the org is away"))
        raise EntryError("the search did not load")

    work.portal.at["find"] = fails_and_the_org_goes
    assert await work.go() == DrainReport(postponed=1)
    assert work.org.writes == []
    assert (await work.gate(Lane.SALESFORCE)).is_open


async def test_a_long_visit_shows_as_in_progress_until_it_is_over(work: Round) -> None:
    work.long_visit = timedelta(seconds=0.05)
    record_id = await work.intake()
    shown: list[Any] = []

    async def slow() -> None:
        await asyncio.sleep(0.3)
        shown.append(work.org.records[record_id].get(OWN.status))

    work.portal.at["find"] = slow
    await work.go()
    assert shown == ["In Progress"]
    assert work.org.records[record_id][OWN.status] == "Synced"


async def test_a_long_visit_that_ends_in_an_outage_does_not_stand_in_progress(work: Round) -> None:
    work.long_visit = timedelta(seconds=0.05)
    record_id = await work.intake()

    async def slow() -> None:
        await asyncio.sleep(0.3)
        raise Outage(AWAY)

    work.portal.at["find"] = slow
    await work.go()
    assert work.org.records[record_id][OWN.status] == "Pending"


async def test_a_resync_that_was_asked_for_is_one_visit_and_then_ticked_off(work: Round) -> None:
    record_id = await work.intake()
    await work.go()
    work.portal.calls.clear()
    await work.changes(record_id, **{OWN.resync_requested: True, OWN.status: "Pending"})
    assert await work.go() == DrainReport(settled=1)
    record = work.org.records[record_id]
    assert (record[OWN.resync_requested], record[OWN.status]) == (False, "Synced")
    assert work.portal.calls == ["read"]
    assert of(await work.entry(2), "outcome") == (Outcome.UNCHANGED,)


async def test_what_changes_while_an_answer_gathers_is_not_shown_as_synced(work: Round) -> None:
    first = await work.intake()
    await work.intake()

    async def the_first_is_edited() -> None:
        work.portal.at.clear()
        change = rows.a_change(record_id=first)
        work.org.edit(first, {OWN.status: "Pending", "Guardian_Street__c": "9 Elm Street"})
        await rows.arrive(work.db, change, settle=timedelta(hours=1))

    work.portal.at["created"] = the_first_is_edited
    await work.go()
    record = work.org.records[first]
    assert (record[OWN.status], record[OWN.portal_id]) == ("Pending", "10000001")


# ---- records that wait for a person, and are saved meanwhile


async def blocked(work: Round) -> RecordId:
    """A record of which nobody knows whether its chart was made."""
    work.portal_attempts = 1
    record_id = await work.intake()
    work.portal.inner.lose_reply = True
    await work.go()
    return record_id


async def saved_by_a_person(work: Round, record_id: RecordId, **changes: Any) -> None:
    """As the org's flow leaves it: on its way, for all that it knows."""
    flow = {OWN.status: "Pending", OWN.error_code: None, OWN.error: None, OWN.attempts: 0}
    await work.changes(record_id, **changes, **flow)


async def test_a_save_of_a_blocked_record_is_told_its_reason_again_once_and_without_a_visit(work: Round) -> None:
    record_id = await blocked(work)
    record, row = work.org.records[record_id], await work.entry()
    told = {name: record[name] for name in (OWN.status, OWN.error_code, OWN.error, OWN.attempts)}
    calls, writes = len(work.portal.calls), len(work.org.writes)
    for city, resync in (("Durham", False), ("Cary", True)):
        await saved_by_a_person(work, record_id, Guardian_City__c=city, **{OWN.resync_requested: resync})
        assert await work.go() == DrainReport(parked=1)
        assert {name: record[name] for name in told} == told
        assert not record[OWN.resync_requested]
        writes += 1
        assert await work.go() == DrainReport()
        assert (len(work.portal.calls), len(work.org.writes)) == (calls, writes)
    assert told[OWN.status] == "Needs Attention"
    assert await rows.states(work.db) == [State.PARKED, State.PENDING]
    again = await work.entry()
    assert of(again, "parked_reason", "code", "message") == of(row, "parked_reason", "code", "message")


async def test_a_save_during_the_visit_that_blocks_the_record_is_not_missed(work: Round) -> None:
    record_id = await work.intake()
    work.portal_attempts = 1
    work.portal.inner.lose_reply = True

    async def saved_just_after_it_was_read() -> None:
        await saved_by_a_person(work, record_id, Guardian_City__c="Durham")

    work.portal.at["find"] = saved_just_after_it_was_read
    await work.go()
    assert work.org.records[record_id][OWN.error_code] == "in_doubt"
    assert await work.go() == DrainReport()
    assert await rows.states(work.db) == [State.PARKED, State.PENDING]


async def test_nothing_is_told_again_while_salesforce_is_away_so_that_a_person_can_resolve_it(work: Round) -> None:
    record_id = await blocked(work)
    await saved_by_a_person(work, record_id)
    async with work.db.writing() as tx:
        await gates.pause(tx, Lane.SALESFORCE, actor="dana", reason="She called.")
    assert await work.go() == DrainReport()
    assert await rows.states(work.db) == [State.PARKED, State.PENDING]
    async with work.db.writing() as tx:
        await gates.resume(tx, Lane.SALESFORCE, actor="dana")
    assert await work.go() == DrainReport(parked=1)


async def test_where_the_clock_is_put_back_nothing_is_told_again_and_again(work: Round) -> None:
    record_id = await blocked(work)
    await saved_by_a_person(work, record_id)
    async with work.db.writing() as tx:
        await tx.execute(update(schema.change).values(received_at=func.db_after(3600.0)))
    assert await work.go() == DrainReport()
    async with work.db.writing() as tx:  # an hour later
        await tx.execute(update(schema.change).values(received_at=func.db_now()))
    assert await work.go() == DrainReport(parked=1)
    assert await work.go() == DrainReport()


async def test_what_was_held_by_a_person_was_never_told_and_is_not_now(work: Round) -> None:
    record_id = await work.intake()
    entry_id = (await work.entry())["id"]
    async with work.db.writing() as tx:
        await interventions.hold(tx, entry_id, actor="dana", reason="She called.")
    await saved_by_a_person(work, record_id)
    assert await work.go() == DrainReport()
    assert work.org.writes == []
