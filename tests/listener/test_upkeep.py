"""What is deleted by age, and what never is."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Table, func, insert, select, update

from listener import gaps, positions, schema, upkeep
from listener.database import Database
from listener.entry import ParkedReason, State
from listener.upkeep import SHORTEST, Purged, purge
from tests.outbox_rows import CHANNEL, DAY, NOON, arrive, claimed, push, record, refused, rows, save, settle, states

MONTH = timedelta(days=30)


async def finish(db: Database, number: int, *, age: timedelta) -> int:
    """An entry of that record that was finished so long ago; its number."""
    await arrive(db, number)
    done = await settle(db, await claimed(db))
    await finished(db, done.id, age)
    return done.id


async def finished(db: Database, entry_id: int, age: timedelta) -> None:
    """As if it had been finished so long ago."""
    async with db.writing() as tx:
        mine = update(schema.outbox).where(schema.outbox.c.id == entry_id)
        await tx.execute(mine.values(finished_at=func.db_after(-age.total_seconds())))


async def made_long_ago(db: Database) -> None:
    """As if every row that is there had come a year ago."""
    a_year = func.db_after(-365 * 86400.0)
    async with db.writing() as tx:
        await tx.execute(update(schema.outbox).values(created_at=a_year, changed_at=a_year, due_at=a_year))


async def count(db: Database, table: Table) -> int:
    async with db.reading() as tx:
        number: int = (await tx.execute(select(func.count()).select_from(table))).scalar_one()
        return number


async def many(db: Database, number: int, *, age: timedelta) -> None:
    """That many finished entries."""
    when = func.db_after(-age.total_seconds())
    values: dict[str, Any] = {"object_name": "Patient__c", "state": State.DONE, "priority": 10, "changed_at": NOON}
    async with db.writing() as tx:
        row = insert(schema.outbox).values(**values, due_at=when, created_at=when, finished_at=when)
        await tx.execute(row, [{"record_id": record(one)} for one in range(number)])


async def test_only_what_was_finished_before_the_age_goes_with_its_changes_and_attempts(db: Database) -> None:
    old = [await finish(db, number, age=MONTH + timedelta(minutes=1)) for number in (1, 2)]
    young = await finish(db, 3, age=MONTH - timedelta(minutes=1))
    assert await purge(db, older_than=MONTH) == Purged(entries=2)
    assert [one["id"] for one in await rows(db)] == [young]
    for table in (schema.change, schema.attempt):
        left = {one["outbox_id"] for one in await rows(db, table)}
        assert left == {young}, table
    assert not left & set(old)


async def test_what_was_superseded_goes_as_well(db: Database) -> None:
    await arrive(db, 1)
    entry = await claimed(db)
    await arrive(db, 1)
    await save(db, entry, entry.released())
    (superseded,) = [one["id"] for one in await rows(db) if one["state"] == State.SUPERSEDED]
    await finished(db, superseded, MONTH * 2)
    assert await purge(db, older_than=MONTH) == Purged(entries=1)
    assert await states(db) == [State.PENDING]


@pytest.mark.parametrize("reason", list(ParkedReason))
async def test_what_waits_for_a_person_stays_for_ever(db: Database, reason: ParkedReason) -> None:
    await arrive(db, 1)
    if reason is ParkedReason.NOT_TOLD:
        entry = await push(db, await claimed(db))
        await save(db, entry, entry.not_told(reason, code="X", message="No."))
    else:
        await settle(db, await claimed(db), refused(reason))
    await made_long_ago(db)
    assert await purge(db, older_than=SHORTEST) == Purged()
    assert await states(db) == [State.PARKED]
    assert await count(db, schema.attempt) == 2


async def test_what_is_still_open_stays_however_old_it_is(db: Database) -> None:
    await arrive(db, 1)
    pushed = await push(db, await claimed(db))
    await save(db, pushed, pushed.released())
    await arrive(db, 2, 3)
    await claimed(db)
    await made_long_ago(db)
    assert await purge(db, older_than=SHORTEST) == Purged()
    assert await states(db) == [State.PUSHED, State.PENDING, State.PENDING]


async def test_links_and_what_people_did_stay(db: Database) -> None:
    await finish(db, 1, age=MONTH * 2)
    async with db.writing() as tx:
        await tx.execute(insert(schema.link).values(record_id=record(1), portal_id="1", made_at=NOON, how="created"))
        await tx.execute(insert(schema.action).values(at=NOON, actor="dana", verb="retry", target="1", reason="So."))
    assert await purge(db, older_than=MONTH) == Purged(entries=1)
    assert (await count(db, schema.link), await count(db, schema.action)) == (1, 1)


async def test_closed_gaps_and_dead_letters_go_by_age_and_open_gaps_stay(db: Database) -> None:
    async with db.writing() as tx:
        for closed in (True, True, False):
            gap = await gaps.open_gap(tx, CHANNEL, reason="lost", object_name=None, since=None, until=None)
            if closed:
                await gaps.close_gap(tx, gap)
        for _ in range(2):
            await positions.bury(tx, CHANNEL, {}, replay_id=None, reason="no header")
        past = func.db_after(-(MONTH * 2).total_seconds())
        await tx.execute(update(schema.gap).values(opened_at=past))
        await tx.execute(update(schema.gap).where(schema.gap.c.id == gap - 2).values(closed_at=past))
        first = select(func.min(schema.dead_letter.c.id)).scalar_subquery()
        letter = update(schema.dead_letter).where(schema.dead_letter.c.id == first)
        await tx.execute(letter.values(received_at=past))
    assert await purge(db, older_than=MONTH) == Purged(gaps=1, dead_letters=1)
    assert [one["closed_at"] is None for one in await rows(db, schema.gap)] == [False, True]
    assert await count(db, schema.dead_letter) == 1


async def test_to_count_deletes_nothing(db: Database) -> None:
    await many(db, 7, age=MONTH)
    assert await purge(db, older_than=SHORTEST, only_count=True) == Purged(entries=7)
    assert await count(db, schema.outbox) == 7


@pytest.mark.parametrize("age", [timedelta(0), timedelta(days=7) - timedelta(seconds=1), -DAY])
async def test_what_may_still_be_delivered_again_is_never_purged(db: Database, age: timedelta) -> None:
    await many(db, 1, age=MONTH)
    with pytest.raises(ValueError, match="younger than 7 days"):
        await purge(db, older_than=age)
    assert await count(db, schema.outbox) == 1


@pytest.mark.parametrize("number", [1, 999, 1000, 1001, 2500])
async def test_it_goes_in_batches_and_all_of_it_goes(db: Database, number: int) -> None:
    await many(db, number, age=MONTH)
    assert await purge(db, older_than=SHORTEST) == Purged(entries=number)
    assert await count(db, schema.outbox) == 0
    assert upkeep._BATCH == 1000


async def test_two_workers_that_purge_at_once_share_it(db: Database) -> None:
    await many(db, 3000, age=MONTH)
    other = Database(db.url.render_as_string(hide_password=False))
    both = await asyncio.gather(purge(db, older_than=SHORTEST), purge(other, older_than=SHORTEST))
    await other.close()
    assert sum(one.entries for one in both) == 3000
    assert await count(db, schema.outbox) == 0


async def test_a_number_is_never_given_twice(db: Database) -> None:
    last = await finish(db, 1, age=MONTH)
    await purge(db, older_than=SHORTEST)
    await arrive(db, 1)
    (after,) = await rows(db)
    assert after["id"] > last
