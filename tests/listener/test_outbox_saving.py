"""Every write after a claim, the same on both databases: whose it is, what it takes over, and what it leaves behind."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from listener import outbox, schema
from listener.change import Source
from listener.database import Database
from listener.entry import OutboxEntry, Outcome, ParkedReason, State
from listener.errors import LeaseLost
from tests.outbox_rows import (
    DAY,
    NO_TIME,
    NOON,
    UPDATED,
    a_change,
    alter,
    arrive,
    beat,
    claim,
    claimed,
    intend,
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


async def everything(db: Database) -> list[Any]:
    """All that a lost holder might have touched."""
    return [await rows(db, table) for table in (schema.outbox, schema.change, schema.attempt, schema.stream)]


# The fence


async def taken_over(db: Database) -> OutboxEntry:
    """What the first holder still believes to hold: the lease ran out, another worker claimed, a change came in."""
    await arrive(db, 1)
    entry = await claimed(db, worker="one")
    await let_the_lease_run_out(db, entry)
    await claimed(db, worker="two")
    await arrive(db, 1)
    return entry


async def taken_over_and_finished(db: Database) -> OutboxEntry:
    """The same, and the other worker is done with it."""
    await arrive(db, 1)
    entry = await claimed(db, worker="one")
    await let_the_lease_run_out(db, entry)
    await settle(db, await claimed(db, worker="two"))
    return entry


async def given_back(db: Database) -> OutboxEntry:
    """Released by the holder itself, who then goes on with the value it had."""
    await arrive(db, 1)
    entry = await claimed(db)
    await save(db, entry, entry.released())
    return entry


STALE: list[Callable[[Database], Awaitable[OutboxEntry]]] = [taken_over, taken_over_and_finished, given_back]
WRITES: list[Callable[[Database, OutboxEntry], Awaitable[bool]]] = [
    lambda db, entry: save(db, entry, entry.pushed(UPDATED)),
    lambda db, entry: save(db, entry, replace(entry.pushed(UPDATED), leased=False)),
    lambda db, entry: save(db, entry, entry.postponed(MINUTE, code="X", message="x"), error="X"),
    lambda db, entry: save(db, entry, entry.released()),
    beat,
]


@pytest.mark.parametrize("stale", STALE)
async def test_a_holder_that_lost_its_lease_writes_nothing(
    db: Database, stale: Callable[[Database], Awaitable[OutboxEntry]]
) -> None:
    entry = await stale(db)
    before = await everything(db)
    for write in WRITES:
        assert await write(db, entry) is False
    with pytest.raises(LeaseLost):
        await intend(db, entry)
    async with db.writing() as tx:
        assert await outbox.holds(tx, entry) is False
    assert await everything(db) == before


async def test_a_write_back_whose_lease_was_lost_writes_nothing(db: Database) -> None:
    await arrive(db, 1)
    pushed = await push(db, await claimed(db, worker="one"))
    await let_the_lease_run_out(db, pushed)
    await claimed(db, State.PUSHED, worker="two")
    before = await everything(db)
    for after in (
        pushed.settled(),
        pushed.not_told(ParkedReason.NOT_TOLD, code="X", message="x"),
        pushed.postponed(MINUTE, code=None, message=None),
        pushed.released(),
    ):
        assert await save(db, pushed, after) is False
    assert await everything(db) == before


async def test_an_answer_whose_commit_was_in_doubt_is_not_drawn_twice(db: Database) -> None:
    """The connection broke during COMMIT: the holder does not know that its row is PUSHED, and gives it back."""
    await arrive(db, 1)
    entry = await claimed(db)
    await push(db, entry)
    await arrive(db, 1)
    before = await everything(db)
    assert await save(db, entry, entry.released(), error="Outage") is False
    assert await save(db, entry, entry.pushed(UPDATED)) is False
    with pytest.raises(LeaseLost):
        await intend(db, entry)
    assert await everything(db) == before


# The lease


async def test_a_heartbeat_moves_the_end_of_the_lease(db: Database) -> None:
    await arrive(db, 1)
    entry = await claimed(db, lease=timedelta(seconds=5))
    first = (await row(db, entry.id))["leased_until"]
    assert await beat(db, entry)
    assert (await row(db, entry.id))["leased_until"] > first + timedelta(seconds=50)


async def test_a_heartbeat_past_the_deadline_fails(db: Database) -> None:
    await arrive(db, 1)
    entry = await claimed(db)
    await alter(db, entry.id, claimed_at=await now(db) - 10 * MINUTE)
    before = await rows(db)
    assert await beat(db, entry, deadline=9 * MINUTE) is False
    assert await rows(db) == before
    assert await beat(db, entry, deadline=11 * MINUTE) is True


async def test_a_late_heartbeat_revives_a_lease_that_nobody_took(db: Database) -> None:
    await arrive(db, 1)
    entry = await claimed(db)
    await let_the_lease_run_out(db, entry)
    assert await beat(db, entry)
    assert await claim(db) is None


async def test_nobody_clicks_on_a_lease_that_ran_out_even_if_nobody_took_it(db: Database) -> None:
    await arrive(db, 1)
    entry = await claimed(db)
    await let_the_lease_run_out(db, entry)
    with pytest.raises(LeaseLost):
        await intend(db, entry)
    assert (await row(db, entry.id))["intent_at"] is None


async def test_times_are_the_databases_and_not_the_workers(db: Database) -> None:
    before = await now(db)
    await arrive(db, 1, settle=NO_TIME)
    entry = await claimed(db, lease=MINUTE)
    found = await row(db, entry.id)
    for moment in (found["created_at"], found["due_at"], found["claimed_at"], found["leased_until"] - MINUTE):
        assert before <= moment <= await now(db)


# Intent


async def test_an_intent_is_in_doubt_for_the_next_holder_alone(db: Database) -> None:
    await arrive(db, 1)
    entry = await claimed(db)
    await intend(db, entry)
    assert (await row(db, entry.id))["intent_fence"] == entry.fence
    await let_the_lease_run_out(db, entry)
    second = await claimed(db)
    assert second.in_doubt
    await intend(db, second)
    await save(db, second, second.postponed(NO_TIME, code="SLOW", message="Slow."), error="EntryError")
    third = await claimed(db)
    assert third.in_doubt
    assert not (await push(db, third)).in_doubt


async def test_a_claim_without_an_intent_is_not_in_doubt(db: Database) -> None:
    await arrive(db, 1)
    await let_the_lease_run_out(db, await claimed(db))
    assert not (await claimed(db)).in_doubt


async def test_an_intent_outlives_the_changes_that_fold_into_its_row(db: Database) -> None:
    await arrive(db, 1)
    entry = await claimed(db)
    await intend(db, entry)
    await arrive(db, 1)
    await save(db, entry, entry.postponed(NO_TIME, code="SLOW", message="Slow."), error="EntryError")
    await arrive(db, 1)
    again = await claimed(db)
    assert (again.id, again.in_doubt, again.changes) == (entry.id, True, 3)


# What a row takes over, and what it leaves


async def test_a_row_that_goes_back_absorbs_the_follow_up_made_meanwhile(db: Database) -> None:
    await arrive(db, a_change(1, source=Source.BACKFILL))
    entry = await claimed(db)
    await arrive(db, a_change(1, changed_at=NOON + MINUTE), a_change(1, changed_at=NOON + 2 * MINUTE))
    await save(db, entry, entry.postponed(60 * MINUTE, code="SLOW", message="Slow."), error="EntryError")
    kept, follow_up = await rows(db)
    assert (kept["state"], follow_up["state"]) == (State.PENDING, State.SUPERSEDED)
    assert (kept["changes"], kept["changed_at"], kept["priority"]) == (3, NOON + 2 * MINUTE, 10)
    assert {one["outbox_id"] for one in await rows(db, schema.change)} == {entry.id}
    assert (await claimed(db)).id == entry.id  # at once: the change may be what mends it


async def test_a_follow_up_that_still_settles_does_not_hurry_the_row_that_absorbs_it(db: Database) -> None:
    await arrive(db, 1)
    entry = await claimed(db)
    await arrive(db, 1, settle=5 * MINUTE)
    await save(db, entry, entry.postponed(60 * MINUTE, code="SLOW", message="Slow."), error="EntryError")
    due = (await row(db, entry.id))["due_at"] - await now(db)
    assert 4 * MINUTE < due <= 5 * MINUTE


async def test_a_retry_that_is_due_sooner_stays_so_with_a_follow_up(db: Database) -> None:
    await arrive(db, 1)
    entry = await claimed(db)
    await arrive(db, 1, settle=5 * MINUTE)
    await save(db, entry, entry.released())
    assert (await claimed(db)).id == entry.id


async def test_an_answered_row_leaves_its_follow_up_alone(db: Database) -> None:
    await arrive(db, 1)
    entry = await claimed(db)
    await arrive(db, 1)
    pushed = await push(db, entry)
    await save(db, pushed, pushed.postponed(MINUTE, code=None, message=None), error="X")
    assert await states(db) == [State.PUSHED, State.PENDING]
    assert (await claimed(db)).id != entry.id


async def test_a_finished_row_says_when_and_drops_its_lease(db: Database) -> None:
    await arrive(db, 1)
    entry = await settle(db, await claimed(db))
    found = await row(db, entry.id)
    assert (found["state"], found["outcome"], found["portal_id"]) == (State.DONE, Outcome.UPDATED, "40001")
    assert (found["leased_until"], found["parked_reason"]) == (None, None)
    assert found["pushed_at"] <= found["finished_at"] <= await now(db)


async def test_a_parked_row_is_not_finished(db: Database) -> None:
    await arrive(db, 1)
    parked = await settle(db, await claimed(db), refused(ParkedReason.BAD_DATA))
    found = await row(db, parked.id)
    assert (found["state"], found["parked_reason"], found["finished_at"]) == (State.PARKED, "bad_data", None)
    assert await claim(db, State.PUSHED) is None


async def test_an_answer_supersedes_nothing_newer_and_no_other_record(db: Database) -> None:
    await arrive(db, 2)
    await settle(db, await claimed(db), refused(ParkedReason.BAD_DATA))
    await arrive(db, 1)
    entry = await claimed(db)
    await arrive(db, 1)
    await settle(db, entry)
    assert await states(db) == [State.PARKED, State.DONE, State.PENDING]


async def test_an_answer_that_is_dropped_with_its_lease_waits_to_be_told(db: Database) -> None:
    await arrive(db, 1)
    entry = await claimed(db)
    assert await save(db, entry, replace(entry.pushed(refused(ParkedReason.EXHAUSTED)), leased=False), error="X")
    told = await claimed(db, State.PUSHED)
    assert (told.id, told.attempts, told.parked_reason) == (entry.id, 1, ParkedReason.EXHAUSTED)


@pytest.mark.parametrize("lease", [timedelta(milliseconds=1), DAY])
async def test_leases_may_be_short_or_long(db: Database, lease: timedelta) -> None:
    await arrive(db, 1)
    entry = await claimed(db, lease=lease)
    held = await row(db, entry.id)
    assert held["leased_until"] - held["claimed_at"] == lease
    assert entry.record_id == record(1)
