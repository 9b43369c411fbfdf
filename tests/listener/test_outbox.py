"""The way into the outbox and out to a worker, the same on both databases: append, coalesce, claim."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import pytest

from listener import outbox, positions, schema
from listener.change import Source
from listener.database import Database
from listener.entry import BLOCKING, ParkedReason, State
from listener.errors import Conflict
from listener.positions import Position
from tests.outbox_rows import (
    CHANNEL,
    LEASE,
    NOON,
    a_change,
    alter,
    arrive,
    claim,
    claimed,
    let_the_lease_run_out,
    now,
    push,
    record,
    refused,
    row,
    rows,
    save,
    settle,
    states,
)

MINUTE = timedelta(minutes=1)
GIVES_WAY = sorted(set(ParkedReason) - BLOCKING)


# Append


async def test_a_change_becomes_a_row_that_is_due(db: Database) -> None:
    assert await arrive(db, a_change(1, dedupe_key="cdc:1", changed_at=NOON)) == 1
    (entry,), (change,) = await rows(db), await rows(db, schema.change)
    assert entry["state"] == State.PENDING
    assert (entry["record_id"], entry["changes"], entry["changed_at"]) == (record(1), 1, NOON)
    assert (entry["attempts"], entry["fence"], entry["leased_until"]) == (0, 0, None)
    assert (change["dedupe_key"], change["outbox_id"], change["fields"]) == ("cdc:1", entry["id"], ["First_Name__c"])
    assert (await claimed(db)).id == entry["id"]


async def test_a_change_that_is_known_adds_nothing(db: Database) -> None:
    once = a_change(1)
    assert await arrive(db, once) == 1
    assert await arrive(db, once, once) == 0
    assert [one["changes"] for one in await rows(db)] == [1]


async def test_a_known_change_in_a_batch_does_not_hide_the_new_ones(db: Database) -> None:
    known = a_change(1)
    await arrive(db, known)
    assert await arrive(db, known, 1, 2) == 2
    assert [(one["record_id"], one["changes"]) for one in await rows(db)] == [(record(1), 2), (record(2), 1)]


async def test_a_known_change_does_not_wake_a_record_that_is_done(db: Database) -> None:
    once = a_change(1)
    await arrive(db, once)
    await settle(db, await claimed(db))
    assert await arrive(db, once) == 0
    assert await states(db) == [State.DONE]


async def test_changes_of_one_record_fold_into_one_row(db: Database) -> None:
    await arrive(db, 1, 1)
    await arrive(db, 1)
    (entry,) = await rows(db)
    assert entry["changes"] == 3
    assert {one["outbox_id"] for one in await rows(db, schema.change)} == {entry["id"]}


async def test_the_moment_of_a_row_is_that_of_its_latest_change_in_whatever_order_they_come(db: Database) -> None:
    for minutes in (1, 5, 3):
        await arrive(db, a_change(1, changed_at=NOON + minutes * MINUTE))
    assert [one["changed_at"] for one in await rows(db)] == [NOON + 5 * MINUTE]


@pytest.mark.parametrize(
    ("order", "priority"),
    [
        ([Source.BACKFILL], 30),
        ([Source.SWEEP, Source.BACKFILL], 20),
        ([Source.BACKFILL, Source.STREAM], 10),
        ([Source.STREAM, Source.MANUAL, Source.BACKFILL], 0),
    ],
)
async def test_the_most_urgent_change_sets_the_priority(db: Database, order: list[Source], priority: int) -> None:
    for source in order:
        await arrive(db, a_change(1, source=source))
    await arrive(db, *[a_change(2, source=source) for source in order])
    assert [one["priority"] for one in await rows(db)] == [priority, priority]


async def test_a_row_settles_before_it_is_due(db: Database) -> None:
    await arrive(db, 1, settle=MINUTE)
    assert await claim(db) is None
    (entry,) = await rows(db)
    assert timedelta(seconds=50) < entry["due_at"] - await now(db) <= MINUTE


async def test_edits_that_keep_coming_do_not_put_a_row_off_for_ever(db: Database) -> None:
    await arrive(db, 1, settle=MINUTE)
    (first,) = await rows(db)
    await arrive(db, 1, settle=2 * MINUTE)
    (second,) = await rows(db)
    assert second["due_at"] == first["due_at"]


async def test_a_row_that_waits_for_its_next_try_is_tried_sooner_when_the_record_changes(db: Database) -> None:
    await arrive(db, 1)
    entry = await claimed(db)
    await save(db, entry, entry.postponed(60 * MINUTE, code="SLOW", message="Slow."), error="EntryError")
    assert await claim(db) is None
    await arrive(db, 1)
    again = await claimed(db)
    assert (again.id, again.attempts, again.changes) == (entry.id, 2, 2)


async def test_the_position_moves_with_its_changes(db: Database) -> None:
    await arrive(db, 1, position=Position(channel=CHANNEL, replay_id="7001", own=2, unwatched=1))
    await arrive(db, position=Position(channel=CHANNEL, replay_id="7000", own=1))
    (stream,) = await rows(db, schema.stream)
    assert (stream["replay_id"], stream["own"], stream["unwatched"]) == ("7000", 3, 1)
    assert {one["channel"] for one in await rows(db, schema.change)} == {CHANNEL}


async def test_what_is_rolled_back_leaves_neither_changes_nor_position(db: Database) -> None:
    async with db.writing() as tx:
        await outbox.append(tx, [a_change(1)], Position(channel=CHANNEL, replay_id="7001"), settle=MINUTE)
        await tx.rollback()
    async with db.reading() as tx:
        assert await positions.replay_id(tx, CHANNEL) is None
    assert (await rows(db), await rows(db, schema.change)) == ([], [])


async def test_a_change_during_a_lease_makes_exactly_one_follow_up(db: Database) -> None:
    await arrive(db, 1)
    entry = await claimed(db)
    await arrive(db, 1)
    await arrive(db, 1, 1)
    held, follow_up = await rows(db)
    assert (held["changes"], follow_up["changes"]) == (1, 3)
    assert await claim(db) is None  # not while the record is in somebody's hands
    await settle(db, entry)
    assert (await claimed(db)).id == follow_up["id"]


async def test_two_thousand_changes_go_in_at_once(db: Database) -> None:
    began = time.monotonic()
    assert await arrive(db, *[number % 1_500 for number in range(2_000)]) == 2_000
    everything = await rows(db)
    assert (len(everything), sum(one["changes"] for one in everything)) == (1_500, 2_000)
    rows_of = {one["id"]: one["record_id"] for one in everything}
    assert all(rows_of[one["outbox_id"]] == one["record_id"] for one in await rows(db, schema.change))
    assert time.monotonic() - began < 20


async def test_ten_thousand_changes_of_one_record_are_one_row(db: Database) -> None:
    assert await arrive(db, *[1] * 10_000) == 10_000
    (entry,) = await rows(db)
    assert entry["changes"] == 10_000
    assert (await claimed(db)).changes == 10_000


# Claim


async def test_a_claim_leases_the_row_under_a_new_fence(db: Database) -> None:
    await arrive(db, 1)
    entry = await claimed(db, worker="one")
    assert (entry.fence, entry.attempts, entry.worker, entry.leased) == (1, 1, "one", True)
    held = await row(db, entry.id)
    assert held["claimed_at"] == held["leased_until"] - LEASE
    assert await claim(db) is None


async def test_rows_are_claimed_by_urgency_then_by_time_then_by_age(db: Database) -> None:
    await arrive(db, a_change(1, source=Source.BACKFILL))
    for number in (2, 3, 4):
        await arrive(db, number)
    await arrive(db, a_change(5, source=Source.MANUAL))
    moment = await now(db)
    for number, minutes in ((2, 5), (3, 9), (4, 5)):
        (waiting,) = [one for one in await rows(db) if one["record_id"] == record(number)]
        await alter(db, waiting["id"], due_at=moment - minutes * MINUTE)
    assert [(await claimed(db)).record_id for _ in range(5)] == [record(number) for number in (5, 3, 2, 4, 1)]


@pytest.mark.parametrize("stage", [State.PENDING, State.PUSHED])
async def test_rows_whose_lease_ran_out_come_first_and_count_an_attempt(db: Database, stage: State) -> None:
    await arrive(db, 1)
    entry = await claimed(db, worker="one")
    if stage is State.PUSHED:
        entry = await push(db, entry)
    await arrive(db, a_change(2, source=Source.MANUAL))
    await let_the_lease_run_out(db, entry)
    again = await claimed(db, stage, worker="two")
    assert (again.id, again.worker, again.fence) == (entry.id, "two", 2)
    assert again.attempts == entry.attempts + 1


async def test_each_stage_is_claimed_on_its_own(db: Database) -> None:
    await arrive(db, 1, 2)
    entry = await claimed(db)
    pushed = await push(db, entry)
    await save(db, pushed, pushed.released())
    assert (await claimed(db, State.PUSHED)).id == entry.id
    assert (await claimed(db, State.PENDING)).id != entry.id
    assert await claim(db, State.PUSHED) is None
    assert await claim(db, State.PENDING) is None


async def test_a_record_in_hand_keeps_its_other_rows_waiting(db: Database) -> None:
    """Even one whose holder is silent: its own row is claimed anew first."""
    await arrive(db, 1)
    pushed = await push(db, await claimed(db))
    await save(db, pushed, pushed.released())
    await arrive(db, 1)
    visit = await claimed(db, State.PENDING)
    assert await claim(db, State.PUSHED) is None
    await let_the_lease_run_out(db, visit)
    assert await claim(db, State.PUSHED) is None
    assert (await claimed(db, State.PENDING)).id == visit.id


@pytest.mark.parametrize("reason", sorted(BLOCKING))
@pytest.mark.parametrize("told", [False, True])
async def test_what_needs_a_persons_decision_blocks_its_record_alone(
    db: Database, reason: ParkedReason, told: bool
) -> None:
    await arrive(db, 1)
    pushed = await push(db, await claimed(db), refused(reason))
    await save(db, pushed, pushed.settled() if told else pushed.released())
    await arrive(db, 1, 2)
    assert (await claimed(db)).record_id == record(2)
    assert await claim(db) is None
    if told:
        # As a person's decision does: the row is finished, and the record's later changes may go on.
        await alter(db, pushed.id, state=State.DONE, finished_at=NOON)
    else:
        # To be told of it is not blocked; only the portal is.
        assert (await claimed(db, State.PUSHED)).id == pushed.id


@pytest.mark.parametrize("reason", GIVES_WAY)
async def test_what_a_change_may_mend_is_superseded_by_the_next_reading(db: Database, reason: ParkedReason) -> None:
    await arrive(db, 1)
    await settle(db, await claimed(db), refused(reason))
    await arrive(db, 1)
    follow_up = await claimed(db)
    assert await states(db) == [State.PARKED, State.PENDING]  # until the portal has answered anew
    await settle(db, follow_up)
    assert await states(db) == [State.SUPERSEDED, State.DONE]


async def test_a_decision_resolved_lets_the_record_go_on(db: Database) -> None:
    await arrive(db, 1)
    parked = await settle(db, await claimed(db), refused(ParkedReason.IDENTITY))
    await arrive(db, 1)
    assert await claim(db) is None
    await alter(db, parked.id, state=State.DONE, finished_at=NOON, resolved_by="a person", resolved_at=NOON)
    assert (await claimed(db)).record_id == record(1)


async def test_an_answer_that_salesforce_was_not_told_is_superseded_by_a_newer_one(db: Database) -> None:
    await arrive(db, 1)
    older = await push(db, await claimed(db))
    await save(db, older, older.postponed(60 * MINUTE, code=None, message=None), error="UNABLE_TO_LOCK_ROW")
    await arrive(db, 1, 2)
    newer = await claimed(db)
    other = await push(db, await claimed(db))
    await push(db, newer)
    assert (await row(db, older.id))["state"] == State.SUPERSEDED
    assert (await row(db, newer.id))["state"] == State.PUSHED
    assert (await row(db, other.id))["state"] == State.PUSHED
    assert (await row(db, older.id))["finished_at"] is not None


async def test_two_claims_that_meet_on_one_record_are_a_conflict_and_leave_no_trace(db: Database) -> None:
    """The rule that holds when two workers saw the record free at the same moment, each through another row of it."""
    await arrive(db, 1)
    pushed = await push(db, await claimed(db))
    await save(db, pushed, pushed.released())
    await arrive(db, 1)
    await claimed(db)
    before: list[Any] = [await rows(db), await rows(db, schema.attempt)]
    with pytest.raises(Conflict):
        await alter(db, pushed.id, worker="two", leased_until=NOON)
    assert [await rows(db), await rows(db, schema.attempt)] == before


async def test_leases_of_the_dead_run_out_at_once_and_no_others(db: Database) -> None:
    await arrive(db, 1, 2, 3)
    dead, alive = await claimed(db, worker="dead"), await claimed(db, worker="alive")
    async with db.reading() as tx:
        assert sorted(await outbox.leasing_workers(tx)) == ["alive", "dead"]
    async with db.writing() as tx:
        assert await outbox.expire_leases(tx, []) == 0
        assert await outbox.expire_leases(tx, ["dead", "never seen"]) == 1
    assert (await claimed(db, worker="two")).id == dead.id
    assert (await row(db, alive.id))["fence"] == 1
