"""What the stream missed is found, and only that; gaps are closed with what was found in them."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from listener import gaps, links, positions, schema
from listener.change import ChangeKind, Ours, RecordId, Source
from listener.database import Database
from listener.entry import ParkedReason
from listener.errors import Conflict, Outage
from listener.links import Link
from listener.listen import Intake
from listener.org import Touched
from listener.sweep import BEGINNING, Swept, look, pages, sweep
from tests.fake_org import FakeOrg
from tests.outbox_rows import (
    CHANNEL,
    NO_TIME,
    UPDATED,
    a_change,
    arrive,
    claimed,
    now,
    refused,
    rows,
    settle,
)

SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
P, READY = "Patient__c", "Ready_for_Fusion__c = true"


class Standing(FakeOrg):
    """An org whose clock is ahead of the last write to it by `later`."""

    later = MINUTE

    async def now(self) -> datetime:
        return await super().now() + self.later


@dataclass
class Sweeper:
    """An org whose clock is `at`, and sweeps of it some time later by its own clock."""

    db: Database
    at: datetime
    org: Standing = field(init=False)
    woken: int = 0

    def __post_init__(self) -> None:
        self.org = Standing(clock=lambda: self.at)

    def _wake(self) -> None:
        self.woken += 1

    @property
    def intake(self) -> Intake:
        return Intake(
            db=self.db,
            ours=Ours(user_id=None, client="fusion-sync", fields=frozenset()),
            watched=frozenset({P}),
            settle=NO_TIME,
            wake=self._wake,
        )

    async def sweep(self, *, org: Standing | None = None, later: timedelta = MINUTE) -> Swept:
        org = org or self.org
        org.later = later
        return await sweep(org, self.intake, object_name=P, channel=CHANNEL, where=READY)

    async def gap(self, since: datetime | None, *, channel: str = CHANNEL) -> int:
        async with self.db.writing() as tx:
            return await gaps.open_gap(tx, channel, reason="away", object_name=None, since=since, until=self.at)

    async def swept_until(self) -> datetime | None:
        async with self.db.reading() as tx:
            standing = await positions.standing(tx, CHANNEL)
        return standing.swept_until if standing else None

    async def swept_already(self, until: datetime) -> None:
        async with self.db.writing() as tx:
            await positions.swept(tx, CHANNEL, until, missed=0, done=True)


@pytest.fixture
async def sweeper(db: Database) -> Sweeper:
    """A minute ago, so that the org's clock at a sweep is as the database's, unless a test says otherwise."""
    return Sweeper(db, (await now(db)).replace(microsecond=0) - MINUTE)


async def found_by_sweeps(db: Database) -> list[RecordId]:
    return [one["record_id"] for one in await rows(db, schema.change) if one["source"] == Source.SWEEP]


async def test_what_the_stream_missed_is_found_and_only_that(sweeper: Sweeper) -> None:
    heard, missed = sweeper.org.create({}), sweeper.org.create({})
    await arrive(sweeper.db, a_change(record_id=heard, changed_at=sweeper.at))
    done = await sweeper.sweep()
    assert (done.changed, done.missed, done.deleted) == (2, 1, 0)
    assert await found_by_sweeps(sweeper.db) == [missed]
    (row,) = [row for row in await rows(sweeper.db) if row["record_id"] == missed]
    assert (row["state"], row["priority"], row["changed_at"]) == ("PENDING", 20, sweeper.at)
    assert sweeper.woken == 1


async def test_a_sweep_that_finds_nothing_wakes_nobody(sweeper: Sweeper) -> None:
    await arrive(sweeper.db, a_change(record_id=sweeper.org.create({}), changed_at=sweeper.at))
    assert (await sweeper.sweep()).missed == 0
    assert sweeper.woken == 0


async def test_what_was_swept_once_is_not_swept_again(sweeper: Sweeper) -> None:
    sweeper.org.create({})
    assert [(await sweeper.sweep()).missed for _ in range(3)] == [1, 0, 0]


async def test_a_change_later_than_what_we_heard_is_found(sweeper: Sweeper) -> None:
    record_id = sweeper.org.create({})
    await arrive(sweeper.db, a_change(record_id=record_id, changed_at=sweeper.at - 3 * SECOND))
    assert (await sweeper.sweep()).missed == 1


@pytest.mark.parametrize("milliseconds", [0, 1, 999])
async def test_a_moment_of_whole_seconds_is_not_taken_for_another(sweeper: Sweeper, milliseconds: int) -> None:
    record_id = sweeper.org.create({})
    stamp = sweeper.at - timedelta(milliseconds=milliseconds)
    await arrive(sweeper.db, a_change(record_id=record_id, changed_at=stamp))
    assert (await sweeper.sweep()).missed == 0


async def test_the_first_sweep_looks_back_a_little_and_the_next_begin_before_the_last(sweeper: Sweeper) -> None:
    start = sweeper.at
    first = await sweeper.sweep(later=NO_TIME)
    assert (first.since, first.until) == (start - 10 * MINUTE, start - 5 * SECOND)
    assert await sweeper.swept_until() == first.until
    sweeper.at += HOUR
    second = await sweeper.sweep(later=NO_TIME)
    assert second.since == first.until - 10 * MINUTE


async def test_what_is_older_than_the_span_is_left_alone(sweeper: Sweeper) -> None:
    sweeper.org.create({})
    sweeper.at += HOUR
    assert (await sweeper.sweep()).changed == 0


async def test_a_deleted_record_is_told_as_such(sweeper: Sweeper) -> None:
    record_id = sweeper.org.create({})
    await arrive(sweeper.db, a_change(record_id=record_id, changed_at=sweeper.at))
    sweeper.at += MINUTE
    sweeper.org.delete(record_id)
    done = await sweeper.sweep()
    assert (done.changed, done.missed, done.deleted) == (0, 0, 1)
    assert [one["kind"] for one in await rows(sweeper.db, schema.change)] == [ChangeKind.UPDATE, ChangeKind.DELETE]


# ---- our own write-backs


async def worked(sweeper: Sweeper, **result: Any) -> RecordId:
    """A record that was visited, and to which we have just written the answer."""
    record_id = sweeper.org.create({})
    await arrive(sweeper.db, a_change(record_id=record_id, changed_at=sweeper.at))
    await settle(sweeper.db, await claimed(sweeper.db), **result)
    async with sweeper.db.writing() as tx:
        ago = {"started_at": sweeper.at, "ended_at": sweeper.at + SECOND}
        await tx.execute(schema.attempt.update().values(ago))
    sweeper.org.edit(record_id, {"Fusion_Sync_Status__c": "Synced"})
    return record_id


async def long_ago(db: Database) -> None:
    """As if the changes that we know had happened an hour before."""
    async with db.writing() as tx:
        await tx.execute(schema.change.update().values(changed_at=datetime.now(UTC) - HOUR))


@pytest.mark.parametrize("result", [UPDATED, refused(ParkedReason.BAD_DATA)])
async def test_our_own_write_back_is_not_seen_as_a_change(sweeper: Sweeper, result: Any) -> None:
    await worked(sweeper, result=result)
    await long_ago(sweeper.db)
    assert (await sweeper.sweep()).missed == 0


async def test_an_edit_after_our_write_back_is_found(sweeper: Sweeper) -> None:
    record_id = await worked(sweeper)
    await long_ago(sweeper.db)
    sweeper.at += 7 * SECOND
    sweeper.org.edit(record_id, {"First_Name__c": "Mia"})
    assert (await sweeper.sweep(later=53 * SECOND)).missed == 1


async def test_an_edit_before_our_write_back_began_is_found(sweeper: Sweeper) -> None:
    record_id = await worked(sweeper)
    await long_ago(sweeper.db)
    sweeper.at -= 10 * SECOND
    sweeper.org.edit(record_id, {"First_Name__c": "Mia"})
    assert (await sweeper.sweep(later=70 * SECOND)).missed == 1


async def test_in_a_gap_an_edit_may_hide_under_our_write_back_so_it_is_looked_at_again(sweeper: Sweeper) -> None:
    await worked(sweeper)
    await long_ago(sweeper.db)
    await sweeper.gap(sweeper.at - MINUTE)
    assert (await sweeper.sweep()).missed == 1
    assert (await sweeper.sweep()).missed == 0


# ---- gaps


async def test_a_gap_is_swept_from_its_beginning_and_closed_with_what_was_found(sweeper: Sweeper) -> None:
    await sweeper.swept_already(sweeper.at)
    heard = sweeper.org.create({})
    await arrive(sweeper.db, a_change(record_id=heard, changed_at=sweeper.at))
    sweeper.org.create({})
    sweeper.org.delete(sweeper.org.create({}))
    sweeper.at += 5 * HOUR
    gap_id = await sweeper.gap(sweeper.at - 5 * HOUR)
    done = await sweeper.sweep()
    assert (done.since, done.missed, done.gaps) == (sweeper.at - 5 * HOUR - 10 * MINUTE, 1, 1)
    (gap,) = await rows(sweeper.db, schema.gap)
    assert (gap["id"], gap["changed"], gap["enqueued"], gap["deleted"]) == (gap_id, 2, 1, 1)
    assert gap["closed_at"] is not None


async def test_a_gap_without_a_beginning_is_swept_from_the_beginning_of_time(sweeper: Sweeper) -> None:
    old = sweeper.org.create({})
    sweeper.at += timedelta(days=4000)
    await sweeper.gap(None)
    done = await sweeper.sweep()
    assert (done.since, done.missed) == (BEGINNING, 1)
    assert await found_by_sweeps(sweeper.db) == [old]


async def test_another_channels_gap_stays_open(sweeper: Sweeper) -> None:
    await sweeper.gap(sweeper.at - HOUR, channel="/data/ChangeEvents")
    done = await sweeper.sweep(later=NO_TIME)
    assert done.since == sweeper.at - 10 * MINUTE
    assert [gap["closed_at"] for gap in await rows(sweeper.db, schema.gap)] == [None]


async def test_a_gap_that_opens_during_the_sweep_stays_open(sweeper: Sweeper) -> None:
    class Opening(Standing):
        async def changed_since(self, *_args: Any, **_kwargs: Any) -> AsyncIterator[Touched]:
            await sweeper.gap(sweeper.at)
            nothing: list[Touched] = []
            for one in nothing:
                yield one

    await sweeper.sweep(org=Opening(clock=lambda: sweeper.at))
    assert [gap["closed_at"] for gap in await rows(sweeper.db, schema.gap)] == [None]


async def test_a_sweep_that_breaks_off_is_begun_again_where_it_was_and_finds_nothing_twice(sweeper: Sweeper) -> None:
    class BreaksOff(Standing):
        left = 501

        async def changed_since(self, *args: Any, **kwargs: Any) -> AsyncIterator[Touched]:
            async for one in super().changed_since(*args, **kwargs):
                yield one
                self.left -= 1
                if self.left == 0:
                    raise Outage("the org is away")

    org = BreaksOff(clock=lambda: sweeper.at)
    ids = []
    for _ in range(620):
        ids.append(org.create({}))
        sweeper.at += SECOND
    before = sweeper.at - 2 * HOUR
    await sweeper.swept_already(before)
    await sweeper.gap(before)
    with pytest.raises(Outage):
        await sweeper.sweep(org=org)
    assert [gap["closed_at"] for gap in await rows(sweeper.db, schema.gap)] == [None]
    kept = len(await found_by_sweeps(sweeper.db))
    assert kept == 500

    done = await sweeper.sweep(org=org)
    assert done.missed == 120
    (gap,) = await rows(sweeper.db, schema.gap)
    assert (gap["changed"], gap["enqueued"]) == (620, 620)
    assert sorted(await found_by_sweeps(sweeper.db)) == sorted(ids)
    assert await sweeper.swept_until() == done.until


async def test_what_bears_one_moment_is_kept_in_one_piece(sweeper: Sweeper) -> None:
    """Else who goes on behind that moment would leave out the rest, or count it twice."""
    touched = [Touched(record_id=a_change(n).record_id, modified_at=sweeper.at, deleted=False) for n in range(1200)]
    later = replace(touched[0], modified_at=sweeper.at + SECOND)

    async def told() -> AsyncIterator[Touched]:
        for one in [*touched, *[later] * 499]:
            yield one

    assert [len(page) async for page in pages(told())] == [1200, 499]


# ---- deletes in a gap


async def linked(sweeper: Sweeper) -> RecordId:
    """A record with a chart."""
    record_id = sweeper.org.create({})
    async with sweeper.db.writing() as tx:
        await links.make(tx, Link(record_id=record_id, portal_id=record_id[-5:], how="created", identity=None))
    return record_id


async def test_a_patient_who_was_purged_in_a_gap_is_told_as_deleted_once(sweeper: Sweeper) -> None:
    gone, nobody = await linked(sweeper), sweeper.org.create({})
    sweeper.at += MINUTE
    for one in (gone, nobody):
        sweeper.org.purge(one)
    for _ in range(2):
        await sweeper.gap(sweeper.at - HOUR)
        await sweeper.sweep()
    deletes = [one for one in await rows(sweeper.db, schema.change) if one["kind"] == ChangeKind.DELETE]
    assert [one["record_id"] for one in deletes] == [gone]
    assert [gap["deleted"] for gap in await rows(sweeper.db, schema.gap)] == [1, 0]


async def test_a_patient_in_the_recycle_bin_is_counted_once_though_both_ways_show_it(sweeper: Sweeper) -> None:
    sweeper.org.delete(await linked(sweeper))
    await sweeper.gap(sweeper.at - HOUR)
    assert (await sweeper.sweep()).deleted == 1
    (gap,) = await rows(sweeper.db, schema.gap)
    assert (gap["changed"], gap["enqueued"], gap["deleted"], gap["note"]) == (0, 0, 1, None)


async def test_without_a_gap_the_log_of_deletes_is_not_asked(sweeper: Sweeper) -> None:
    class Counting(Standing):
        asked = 0

        async def deleted_since(self, *args: Any) -> AsyncIterator[Touched]:
            self.asked += 1
            async for one in super().deleted_since(*args):
                yield one

    org = Counting(clock=lambda: sweeper.at)
    await sweeper.sweep(org=org)
    assert org.asked == 0
    await sweeper.gap(sweeper.at - HOUR)
    await sweeper.sweep(org=org)
    assert org.asked == 1


async def test_a_gap_that_is_older_than_the_log_of_deletes_says_so(sweeper: Sweeper) -> None:
    await sweeper.gap(sweeper.at - timedelta(days=16))
    await sweeper.sweep()
    (gap,) = await rows(sweeper.db, schema.gap)
    assert "log of deletes reaches back to" in gap["note"]
    assert "nightly comparison" in gap["note"]


# ---- clocks


@pytest.mark.parametrize("wrong", [-HOUR, HOUR])
async def test_a_clock_of_ours_that_is_wrong_by_an_hour_loses_nothing(db: Database, wrong: timedelta) -> None:
    """The org's clock is right, and ours is not: what is saved between any two sweeps is found."""
    sweeper = Sweeper(db, (await now(db)).replace(microsecond=0) + wrong)
    ids = []
    for _ in range(3):
        ids.append(sweeper.org.create({}))
        assert (await sweeper.sweep(later=10 * SECOND)).missed == 1
        sweeper.at += 15 * MINUTE
    assert await found_by_sweeps(db) == ids


@pytest.mark.parametrize("wrong", [-HOUR, HOUR])
async def test_nor_does_it_take_our_own_write_back_for_somebody_elses_edit(sweeper: Sweeper, wrong: timedelta) -> None:
    ours = await worked(sweeper)
    await long_ago(sweeper.db)
    sweeper.at += wrong
    sweeper.org.edit(ours, {"Fusion_Sync_Status__c": "Synced"})
    assert (await sweeper.sweep()).missed == 0


async def test_nor_somebody_elses_edit_for_our_own_write_back(sweeper: Sweeper) -> None:
    """The org is an hour ahead. The edit bears the moment that our own clock showed as we wrote back, an hour later."""
    record_id = await worked(sweeper)
    sweeper.org.edit(record_id, {"First_Name__c": "Mia"})
    await long_ago(sweeper.db)
    await sweeper.swept_already(sweeper.at)
    assert (await sweeper.sweep(later=HOUR + MINUTE)).missed == 1


# ---- two at a time, and none


async def test_of_two_sweeps_of_one_gap_the_second_gives_way_and_nothing_counts_twice(sweeper: Sweeper) -> None:
    sweeper.org.create({})
    await sweeper.gap(sweeper.at - HOUR)

    class Overtaken(Standing):
        async def changed_since(self, *args: Any, **kwargs: Any) -> AsyncIterator[Touched]:
            async for one in super().changed_since(*args, **kwargs):
                await sweeper.sweep()
                yield one

    slow = Overtaken(clock=lambda: sweeper.at)
    slow.records = sweeper.org.records
    with pytest.raises(Conflict):
        await sweeper.sweep(org=slow)
    (gap,) = await rows(sweeper.db, schema.gap)
    assert (gap["changed"], gap["enqueued"]) == (1, 1)
    assert len(await found_by_sweeps(sweeper.db)) == 1


async def test_a_look_says_what_a_sweep_would_find_and_writes_nothing(sweeper: Sweeper) -> None:
    sweeper.org.create({})
    sweeper.org.delete(sweeper.org.create({}))
    await arrive(sweeper.db, a_change(record_id=sweeper.org.create({}), changed_at=sweeper.at))
    before = [await rows(sweeper.db, table) for table in schema.metadata.sorted_tables]
    done = await look(sweeper.org, sweeper.db, object_name=P, where=READY, since=sweeper.at - HOUR)
    assert (done.changed, done.missed, done.deleted) == (2, 1, 1)
    assert [await rows(sweeper.db, table) for table in schema.metadata.sorted_tables] == before


async def test_what_sweeps_found_beside_the_stream_is_counted_for_good(sweeper: Sweeper) -> None:
    for _ in range(2):
        sweeper.org.create({})
        await sweeper.sweep()
        sweeper.at += HOUR
    await sweeper.sweep()
    async with sweeper.db.reading() as tx:
        standing = await positions.standing(tx, CHANNEL)
    assert standing is not None
    assert (standing.missed, standing.missed_at is not None, standing.swept_at is not None) == (2, True, True)
