"""Two connections at the same moment, on both databases: one wins, and the loser has written nothing.

The first transaction has done its work but not committed when the second begins. SQLite makes the second wait at its
beginning; Postgres where the two meet, or not at all. The end must be the same.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

import pytest
from sqlalchemy import func, select, text

from listener import outbox, schema
from listener.change import Change
from listener.database import Database, Tx
from listener.entry import OutboxEntry, State
from listener.errors import Conflict, LeaseLost
from tests.outbox_rows import (
    DAY,
    LEASE,
    NO_TIME,
    UPDATED,
    a_change,
    alter,
    arrive,
    claim,
    claimed,
    let_the_lease_run_out,
    now,
    push,
    row,
    rows,
    save,
    states,
)

One = TypeVar("One")
Two = TypeVar("Two")


@pytest.fixture
async def other(db: Database) -> AsyncIterator[Database]:
    """The same database for another process: connections of its own."""
    database = Database(db.url.render_as_string(hide_password=False))
    yield database
    await database.close()


async def overlap(
    db: Database,
    other: Database,
    first: Callable[[Tx], Awaitable[One]],
    second: Callable[[Tx], Awaitable[Two]],
    *,
    commit: bool = True,
) -> tuple[One, Two | Conflict | LeaseLost]:
    """What both came to, where the second began before the first committed (or was rolled back)."""

    async def in_its_own_transaction() -> Two | Conflict | LeaseLost:
        try:
            async with other.writing() as tx:
                return await second(tx)
        except (Conflict, LeaseLost) as error:
            return error

    async with db.writing() as tx:
        one = await first(tx)
        running = asyncio.create_task(in_its_own_transaction())
        await _waits_or_is_done(db, running)
        if not commit:
            await tx.rollback()
    return one, await asyncio.wait_for(running, timeout=20)


async def _waits_or_is_done(db: Database, running: asyncio.Task[object]) -> None:
    if db.is_sqlite:
        await asyncio.wait([running], timeout=0.02)
        assert not running.done()
        return
    waiting = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    for _ in range(500):
        async with db.reading() as tx:
            if running.done() or (await tx.execute(waiting)).scalar_one():
                return
        await asyncio.sleep(0.01)
    raise AssertionError("the second transaction neither waits nor ends")


def claims(stage: State = State.PENDING, *, worker: str = "two") -> Callable[[Tx], Awaitable[OutboxEntry | None]]:
    """A claim, for `overlap`."""
    return lambda tx: outbox.claim_to_probe(tx, stage, worker=worker, lease=LEASE)


def appends(*changes: Change) -> Callable[[Tx], Awaitable[int]]:
    """An append, for `overlap`."""
    return lambda tx: outbox.append(tx, changes, None, settle=NO_TIME)


def saves(before: OutboxEntry, after: OutboxEntry) -> Callable[[Tx], Awaitable[bool]]:
    """A save, for `overlap`."""
    return lambda tx: outbox.save(tx, before, after)


def beats(entry: OutboxEntry) -> Callable[[Tx], Awaitable[bool]]:
    """A heartbeat, for `overlap`."""
    return lambda tx: outbox.beat(tx, entry, lease=LEASE, deadline=DAY)


async def silent_holder(db: Database) -> OutboxEntry:
    """What a worker holds whose lease has run out."""
    await arrive(db, 1)
    entry = await claimed(db, worker="one")
    await let_the_lease_run_out(db, entry)
    return entry


async def lines(db: Database) -> list[tuple[str, int]]:
    """Which worker began an attempt under which fence."""
    return [(one["worker"], one["fence"]) for one in await rows(db, schema.attempt)]


# Claim and claim


async def test_of_two_claims_of_one_row_one_gets_it(db: Database, other: Database) -> None:
    await arrive(db, 1)
    first, second = await overlap(db, other, claims(worker="one"), claims())
    assert first is not None
    assert second is None
    assert await lines(db) == [("one", 1)]
    assert (await row(db, first.id))["worker"] == "one"


async def test_a_claim_that_is_rolled_back_was_none(db: Database, other: Database) -> None:
    await arrive(db, 1)
    _, second = await overlap(db, other, claims(worker="one"), claims(), commit=False)
    entry = second or await claimed(db, worker="two")
    assert isinstance(entry, OutboxEntry)
    assert (entry.fence, entry.attempts) == (1, 1)
    assert await lines(db) == [("two", 1)]


async def test_two_claims_take_two_records(db: Database, other: Database) -> None:
    await arrive(db, 1, 2)
    first, second = await overlap(db, other, claims(worker="one"), claims())
    assert isinstance(first, OutboxEntry)
    assert isinstance(second, OutboxEntry)
    assert first.record_id != second.record_id


@pytest.mark.parametrize("stages", [(State.PENDING, State.PUSHED), (State.PUSHED, State.PENDING)])
async def test_two_rows_of_one_record_are_never_in_two_hands(
    db: Database, other: Database, stages: tuple[State, State]
) -> None:
    await arrive(db, 1)
    pushed = await push(db, await claimed(db))
    await save(db, pushed, pushed.released())
    await arrive(db, 1)
    before, began = await rows(db), await lines(db)
    first, second = await overlap(db, other, claims(stages[0], worker="one"), claims(stages[1]))
    assert first is not None
    assert second is None or isinstance(second, Conflict)
    assert [one for one in await rows(db) if one["id"] != first.id] == [one for one in before if one["id"] != first.id]
    assert len(await lines(db)) == len(began) + 1


async def test_of_two_rescues_one_gets_it(db: Database, other: Database) -> None:
    entry = await silent_holder(db)
    first, second = await overlap(db, other, claims(worker="two"), claims(worker="three"))
    assert first is not None
    assert second is None
    assert await lines(db) == [("one", 1), ("two", 2)]
    assert (await row(db, entry.id))["fence"] == 2


# Claim and append


async def test_a_change_that_meets_a_claim_gets_a_row_of_its_own(db: Database, other: Database) -> None:
    await arrive(db, 1)
    entry, new = await overlap(db, other, claims(worker="one"), appends(a_change(1)))
    assert new == 1
    assert entry is not None
    held, follow_up = await rows(db)
    assert (held["changes"], follow_up["changes"], follow_up["state"]) == (1, 1, State.PENDING)
    assert [one["outbox_id"] for one in await rows(db, schema.change)] == [entry.id, follow_up["id"]]


async def test_a_claim_that_meets_a_change_reads_after_it_or_not_at_all(db: Database, other: Database) -> None:
    await arrive(db, 1)
    _, entry = await overlap(db, other, appends(a_change(1)), claims())
    entry = entry or await claimed(db)
    assert isinstance(entry, OutboxEntry)
    assert (entry.changes, len(await rows(db))) == (2, 1)


async def test_a_claim_never_sees_a_change_that_was_rolled_back(db: Database, other: Database) -> None:
    _, entry = await overlap(db, other, appends(a_change(1)), claims(), commit=False)
    assert entry is None
    assert await rows(db, schema.change) == []


# Heartbeat, save and rescue


async def test_a_heartbeat_that_came_first_keeps_the_lease(db: Database, other: Database) -> None:
    entry = await silent_holder(db)
    alive, rescue = await overlap(db, other, beats(entry), claims())
    assert alive is True
    assert rescue is None
    assert (await row(db, entry.id))["fence"] == 1
    assert (await row(db, entry.id))["leased_until"] > await now(db)


async def test_a_heartbeat_that_came_second_learns_that_the_lease_is_lost(db: Database, other: Database) -> None:
    entry = await silent_holder(db)
    rescue, alive = await overlap(db, other, claims(), beats(entry))
    assert rescue is not None
    assert alive is False
    assert (await row(db, entry.id))["leased_until"] - (await row(db, entry.id))["claimed_at"] == LEASE


async def test_a_late_save_that_came_first_is_not_visited_again(db: Database, other: Database) -> None:
    entry = await silent_holder(db)
    saved, rescue = await overlap(db, other, saves(entry, entry.pushed(UPDATED)), claims())
    assert saved is True
    assert rescue is None
    assert await states(db) == [State.PUSHED]


@pytest.mark.parametrize("arrow", ["pushed", "released"])
async def test_a_late_save_that_came_second_writes_nothing(db: Database, other: Database, arrow: str) -> None:
    entry = await silent_holder(db)
    await arrive(db, 1)
    after = entry.pushed(UPDATED) if arrow == "pushed" else entry.released()
    rescue, saved = await overlap(db, other, claims(), saves(entry, after))
    assert rescue is not None
    assert saved is False
    held, follow_up = await rows(db)
    assert (held["state"], held["worker"], held["fence"], held["changes"]) == (State.PENDING, "two", 2, 1)
    assert follow_up["state"] == State.PENDING
    assert await lines(db) == [("one", 1), ("two", 2)]
    assert all(one["ended_at"] is None for one in await rows(db, schema.attempt))


async def test_an_intent_that_came_first_is_seen_by_who_takes_over(db: Database, other: Database) -> None:
    await arrive(db, 1)
    entry = await claimed(db, worker="one")

    async def takes_over(tx: Tx) -> OutboxEntry | None:
        await outbox.expire_leases(tx, ["one"])
        return await outbox.claim(tx, worker="two", lease=LEASE)

    _, taken = await overlap(db, other, lambda tx: outbox.intend(tx, entry), takes_over)
    assert isinstance(taken, OutboxEntry)
    assert taken.in_doubt


async def test_an_intent_that_came_second_is_refused(db: Database, other: Database) -> None:
    await arrive(db, 1)
    entry = await claimed(db, worker="one")
    await alter(db, entry.id, leased_until=func.db_after(-1.0))
    taken, intent = await overlap(db, other, claims(), lambda tx: outbox.intend(tx, entry))
    assert taken is not None
    assert isinstance(intent, LeaseLost)
    assert not taken.in_doubt
    assert (await row(db, entry.id))["intent_at"] is None


# Append and append, append and save


async def test_two_appends_of_one_record_fold_into_one_row(db: Database, other: Database) -> None:
    assert await overlap(db, other, appends(a_change(1), a_change(2)), appends(a_change(2), a_change(1))) == (2, 2)
    assert [one["changes"] for one in await rows(db)] == [2, 2]
    made = Counter(one["outbox_id"] for one in await rows(db, schema.change))
    assert sorted(made.values()) == [2, 2]


@pytest.mark.parametrize("commit", [True, False])
async def test_one_change_appended_twice_counts_once(db: Database, other: Database, commit: bool) -> None:
    change = a_change(1)
    first, second = await overlap(db, other, appends(change), appends(change), commit=commit)
    if isinstance(second, Conflict):
        second = await arrive(other, change)
    assert (first, second) == (1, 0 if commit else 1)
    assert [one["changes"] for one in await rows(db)] == [1]


async def test_a_change_that_meets_a_release_folds_into_the_row(db: Database, other: Database) -> None:
    await arrive(db, 1)
    entry = await claimed(db)
    await arrive(db, 1)
    assert await overlap(db, other, saves(entry, entry.released()), appends(a_change(1))) == (True, 1)
    kept, absorbed = await rows(db)
    assert (kept["state"], kept["changes"], absorbed["state"]) == (State.PENDING, 3, State.SUPERSEDED)
    assert {one["outbox_id"] for one in await rows(db, schema.change)} == {entry.id}


async def test_a_release_that_meets_a_change_absorbs_it_in_the_end(db: Database, other: Database) -> None:
    await arrive(db, 1)
    entry = await claimed(db)
    _, saved = await overlap(db, other, appends(a_change(1)), saves(entry, entry.released()))
    if isinstance(saved, Conflict):
        assert (await row(db, entry.id))["leased_until"] is not None
        saved = await save(db, entry, entry.released())
    assert saved is True
    kept, absorbed = await rows(db)
    assert (kept["state"], kept["changes"], absorbed["state"]) == (State.PENDING, 2, State.SUPERSEDED)
    assert {one["outbox_id"] for one in await rows(db, schema.change)} == {entry.id}


async def test_many_workers_and_a_busy_stream_take_each_row_once(db: Database, other: Database) -> None:
    records = range(12)
    await arrive(db, *records)

    async def works(database: Database, worker: str) -> list[OutboxEntry]:
        taken: list[OutboxEntry] = []
        while len(taken) < 100:
            try:
                entry = await claim(database, worker=worker)
            except Conflict:
                continue
            if entry is None:
                return taken
            assert await save(database, entry, entry.pushed(UPDATED))
            taken.append(entry)
            pushed = entry.pushed(UPDATED)
            assert await save(database, pushed, pushed.settled())
        raise AssertionError("a row came back")

    async def streams() -> None:
        for start in (0, 4, 8):
            await arrive(other, *records[start : start + 4])

    *taken, _ = await asyncio.gather(works(db, "one"), works(other, "two"), works(other, "three"), streams())
    rest = await works(db, "one")
    visits = Counter((entry.id, entry.fence) for entries in (*taken, rest) for entry in entries)
    everything = await rows(db)
    assert set(visits.values()) == {1}
    assert {entry_id for entry_id, _ in visits} == {one["id"] for one in everything}
    assert {one["state"] for one in everything} <= {State.DONE, State.SUPERSEDED}
    assert sum(one["changes"] for one in everything) == 24
    async with db.reading() as tx:
        uncovered = select(func.count()).select_from(schema.change).where(schema.change.c.outbox_id.is_(None))
        assert (await tx.execute(uncovered)).scalar_one() == 0
