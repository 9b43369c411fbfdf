"""A gap is opened once, counted as it is swept, and closed with what was found; never swept by two at a time."""

from __future__ import annotations

from datetime import datetime

import pytest

from listener import gaps
from listener.database import Database
from listener.errors import Conflict
from listener.gaps import Gap
from tests.outbox_rows import CHANNEL, HOUR, NOON, now


async def opened(
    db: Database,
    since: datetime | None,
    *,
    reason: str = "away",
    object_name: str | None = None,
    channel: str = CHANNEL,
) -> int:
    """A new gap, in a transaction of its own."""
    async with db.writing() as tx:
        return await gaps.open_gap(tx, channel, reason=reason, object_name=object_name, since=since, until=NOON)


async def listed(db: Database, *, only_open: bool = False, limit: int | None = None) -> list[Gap]:
    """What there is."""
    async with db.reading() as tx:
        return await gaps.list_gaps(tx, only_open=only_open, limit=limit)


async def test_a_gap_stays_open_until_it_is_closed_with_what_was_found_on_the_way(db: Database) -> None:
    first, second = await opened(db, None, reason="down"), await opened(db, NOON, reason="overflow")
    assert [(gap.id, gap.reason, gap.from_at) for gap in await listed(db, only_open=True)] == [
        (first, "down", None),
        (second, "overflow", NOON),
    ]
    async with db.writing() as tx:
        await gaps.sweep_came_to(tx, first, before=None, until=NOON, changed=5, enqueued=2)
        await gaps.sweep_came_to(tx, first, before=NOON, until=NOON + HOUR, changed=4, deleted=1)
        await gaps.close_gap(tx, first, until=NOON + 2 * HOUR, note="so far back only")
    assert [gap.id for gap in await listed(db, only_open=True)] == [second]
    closed = (await listed(db))[0]
    assert (closed.changed, closed.enqueued, closed.deleted, closed.note) == (9, 2, 1, "so far back only")
    assert closed.swept_until == NOON + 2 * HOUR
    assert closed.closed_at is not None
    assert closed.opened_at <= closed.closed_at <= await now(db)


async def test_a_gap_in_which_nothing_was_found_counts_nothing_and_ends_where_it_was_swept_to(db: Database) -> None:
    async with db.writing() as tx:
        gap_id = await gaps.open_gap(tx, CHANNEL, reason="away", object_name=None, since=NOON, until=None)
        await gaps.close_gap(tx, gap_id, until=NOON + HOUR)
    (gap,) = await listed(db)
    assert (gap.changed, gap.enqueued, gap.deleted, gap.to_at) == (0, 0, 0, NOON + HOUR)


async def test_what_an_open_gap_covers_opens_no_second_one(db: Database) -> None:
    gap_id = await opened(db, NOON)
    assert await opened(db, NOON) == gap_id
    assert await opened(db, NOON + HOUR) == gap_id
    assert len(await listed(db)) == 1


async def test_a_gap_that_begins_earlier_or_has_another_cause_is_another(db: Database) -> None:
    ids = [
        await opened(db, NOON),
        await opened(db, NOON - HOUR),
        await opened(db, None),
        await opened(db, NOON, reason="overflow"),
        await opened(db, NOON, object_name="Patient__c"),
        await opened(db, NOON, channel="/data/ChangeEvents"),
    ]
    assert len(set(ids)) == 6


async def test_a_gap_whose_sweep_has_begun_takes_in_nothing_new(db: Database) -> None:
    gap_id = await opened(db, NOON)
    async with db.writing() as tx:
        await gaps.sweep_came_to(tx, gap_id, before=None, until=NOON + HOUR)
    assert await opened(db, NOON) != gap_id


@pytest.mark.parametrize("closed", [False, True])
async def test_of_two_sweeps_of_a_gap_the_later_one_gives_way(db: Database, closed: bool) -> None:
    gap_id = await opened(db, NOON)
    async with db.writing() as tx:
        await gaps.sweep_came_to(tx, gap_id, before=None, until=NOON, enqueued=1)
        if closed:
            await gaps.close_gap(tx, gap_id)
    with pytest.raises(Conflict):
        async with db.writing() as tx:
            await gaps.sweep_came_to(tx, gap_id, before=NOON if closed else None, until=NOON, enqueued=1)
    assert [gap.enqueued for gap in await listed(db)] == [1]


async def test_the_newest_gaps_are_listed_and_the_oldest_of_them_first(db: Database) -> None:
    ids = [await opened(db, NOON, reason=str(number)) for number in range(4)]
    assert [gap.id for gap in await listed(db, limit=2)] == ids[2:]
