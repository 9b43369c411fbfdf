"""What the org grants: what is believed of it, what waits when it becomes scarce, and what the stream brought us."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import func, update

from listener import allowance
from listener.allowance import CAN_WAIT, Limit, Usage
from listener.arrivals import PRIORITY
from listener.change import Ours, Source
from listener.database import Database
from listener.entry import State
from listener.listen import Intake, keep
from listener.schema import allowance as figures
from listener.schema import delivery
from listener.stream import Batch
from tests.outbox_rows import CHANNEL, NOON, UPDATED, a_change, arrive, claim, claimed, record, save


async def told(db: Database, **limits: tuple[int, int]) -> None:
    async with db.writing() as tx:
        await allowance.put(tx, {Limit[name]: figures for name, figures in limits.items()})


async def believed(db: Database) -> Mapping[Limit, Usage]:
    async with db.reading() as tx:
        return await allowance.read(tx)


async def let_pass(db: Database, span: timedelta) -> None:
    async with db.writing() as tx:
        await tx.execute(update(figures).values(told_at=func.db_after(-span.total_seconds())))


async def test_the_newest_figure_counts(db: Database) -> None:
    await told(db, CALLS=(10, 100), EVENTS=(0, 50_000))
    await told(db, CALLS=(11, 100))
    found = await believed(db)
    assert [(one.used, one.allowed) for one in found.values()] == [(11, 100), (0, 50_000)]


async def test_an_old_figure_is_not_believed(db: Database) -> None:
    await told(db, CALLS=(100, 100))
    await let_pass(db, timedelta(hours=2, seconds=1))
    assert await believed(db) == {}


@pytest.mark.parametrize(("used", "tight"), [(0, False), (79, False), (80, True), (100, True), (140, True)])
def test_it_is_tight_from_eighty_per_cent_on(used: int, tight: bool) -> None:
    usage = Usage(limit=Limit.CALLS, used=used, allowed=100, told_at=NOON)
    assert usage.is_tight is tight
    assert f"({used}%)" in usage.said


async def test_who_was_there_before_waits_while_calls_are_scarce_and_nobody_else_does(db: Database) -> None:
    for number, source in enumerate((Source.BACKFILL, Source.SWEEP, Source.STREAM), start=1):
        await arrive(db, replace(a_change(number), source=source))
    await told(db, CALLS=(80, 100))
    assert [(await claimed(db)).record_id for _ in range(2)] == [record(3), record(2)]
    assert await claim(db) is None
    await told(db, CALLS=(79, 100))
    assert (await claimed(db)).record_id == record(1)


async def test_its_write_back_waits_as_well(db: Database) -> None:
    await arrive(db, replace(a_change(1), source=Source.BACKFILL))
    entry = await claimed(db)
    assert await save(db, entry, replace(entry.pushed(UPDATED), leased=False))
    await told(db, CALLS=(99, 100))
    assert await claim(db, State.PUSHED) is None
    await told(db, CALLS=(1, 100))
    assert (await claimed(db, State.PUSHED)).record_id == record(1)


async def test_nothing_waits_for_events_nor_for_a_figure_that_nobody_renews(db: Database) -> None:
    await arrive(db, replace(a_change(1), source=Source.BACKFILL), replace(a_change(2), source=Source.BACKFILL))
    await told(db, CALLS=(1, 100), EVENTS=(100, 100))
    await claimed(db)
    await told(db, CALLS=(100, 100))
    assert await claim(db) is None
    await let_pass(db, timedelta(hours=2, seconds=1))
    await claimed(db)


def test_what_can_wait_is_a_backfill_alone() -> None:
    assert [source for source, priority in PRIORITY.items() if priority >= CAN_WAIT] == [Source.BACKFILL]


async def test_what_the_stream_brings_is_counted_by_the_hour_for_a_day(db: Database) -> None:
    async with db.writing() as tx:
        await allowance.count(tx, CHANNEL, 3)
        await allowance.count(tx, CHANNEL, 4)
        await allowance.count(tx, "/data/Other__chn", 5)
    async with db.reading() as tx:
        assert await allowance.counted(tx) == 12
    async with db.writing() as tx:
        moved = update(delivery).where(delivery.c.channel == CHANNEL)
        await tx.execute(moved.values(hour=func.db_after(-timedelta(hours=25).total_seconds())))
    async with db.reading() as tx:
        assert await allowance.counted(tx) == 5


async def test_every_message_of_a_batch_counts_also_one_that_is_dropped(db: Database) -> None:
    ours = Ours(user_id=None, client="fusion-sync", fields=frozenset())
    intake = Intake(db=db, ours=ours, watched=frozenset(), settle=timedelta(0), wake=lambda: None)
    async with db.writing() as tx:
        await keep(tx, Batch(channel=CHANNEL, messages=({"a": 1}, {"b": 2})), intake)
    async with db.reading() as tx:
        assert await allowance.counted(tx) == 2
