"""Holding on to one entry, and knowing in time when it is ours no longer."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from fusion.lease import Hold, LeaseTimes
from listener.change import RecordId
from listener.database import Database, Tx
from listener.entry import OutboxEntry
from listener.errors import Conflict, EntryError, LeaseLost, Outage
from listener.links import Link
from tests import outbox_rows as rows
from tests.outbox_rows import arrive, claimed, let_the_lease_run_out, record, row

MINUTE = LeaseTimes(length=timedelta(seconds=60), deadline=timedelta(seconds=180))
QUICK = LeaseTimes(length=timedelta(seconds=0.2), deadline=timedelta(seconds=5))


def hold(db: Database, entry: OutboxEntry, *, ago: float = 0.0, times: LeaseTimes = MINUTE) -> Hold:
    return Hold(db, entry, known_at=time.monotonic() - ago, times=times)


async def an_entry(db: Database, number: int = 1, *, lease: timedelta = MINUTE.length) -> OutboxEntry:
    await arrive(db, number)
    return await claimed(db, lease=lease)


def a_link(number: int = 1, portal_id: str = "10000001") -> Link:
    return Link(record_id=record(number), portal_id=portal_id, how="created", identity=None)


class Away(Database):
    """A database that answers until it is `gone`."""

    gone = False

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[Tx]:
        if self.gone:
            raise Outage("the database is not answering", hint="is it running?")
        async with super().writing() as tx:
            yield tx

    @asynccontextmanager
    async def at_once(self) -> AsyncIterator[Tx]:
        if self.gone:
            raise Outage("the database is not answering", hint="is it running?")
        async with super().at_once() as tx:
            yield tx


@pytest.fixture
async def away(url: str) -> AsyncIterator[Away]:
    database = Away(url)
    yield database
    await database.close()


# ---- right before the click


async def test_the_intent_is_committed_before_the_click(db: Database) -> None:
    entry = await an_entry(db)
    await hold(db, entry).about_to_save()
    found = await row(db, entry.id)
    assert (found["intent_fence"], found["intent_at"] is not None) == (entry.fence, True)


async def test_who_was_taken_over_does_not_click(db: Database) -> None:
    entry = await an_entry(db)
    await let_the_lease_run_out(db, entry)
    other = await claimed(db, worker="two")
    with pytest.raises(LeaseLost):
        await hold(db, entry).about_to_save()
    assert (await row(db, entry.id))["intent_fence"] is None
    await hold(db, other).about_to_save()


async def test_whose_lease_ran_out_does_not_click_though_nobody_has_it(db: Database) -> None:
    entry = await an_entry(db)
    await let_the_lease_run_out(db, entry)
    with pytest.raises(LeaseLost):
        await hold(db, entry).about_to_save()


async def test_who_was_frozen_for_half_a_lease_does_not_click_though_the_database_says_yes(db: Database) -> None:
    entry = await an_entry(db)
    await hold(db, entry, ago=29.0).about_to_save()
    with pytest.raises(LeaseLost, match="too long since"):
        await hold(db, entry, ago=31.0).about_to_save()


async def test_a_beat_that_came_through_allows_the_click_again(db: Database) -> None:
    entry = await an_entry(db)
    mine = hold(db, entry, ago=10.0, times=LeaseTimes(length=timedelta(seconds=2)))
    async with mine.kept():
        await asyncio.sleep(0.7)
        await mine.about_to_save()


async def test_who_cannot_ask_the_database_does_not_click_and_blames_no_lane(away: Away) -> None:
    entry = await an_entry(away)
    mine = hold(away, entry)
    away.gone = True
    with pytest.raises(LeaseLost, match="cannot be known"):
        await mine.about_to_save()


# ---- doubt


async def test_a_doubt_begins_with_the_intent_and_ends_with_the_link(db: Database) -> None:
    mine = hold(db, await an_entry(db))
    assert not await mine.in_doubt()
    await mine.about_to_save()
    assert await mine.in_doubt()
    await mine.keep(a_link())
    assert not await mine.in_doubt()


async def test_a_doubt_is_handed_on_to_the_next_holder(db: Database) -> None:
    entry = await an_entry(db)
    await hold(db, entry).about_to_save()
    await let_the_lease_run_out(db, entry)
    assert await hold(db, await claimed(db, worker="two")).in_doubt()


async def test_an_intent_whose_commit_was_not_heard_of_is_a_doubt(away: Away) -> None:
    mine = hold(away, await an_entry(away))
    away.gone = True
    with pytest.raises(LeaseLost):
        await mine.about_to_save()
    assert await mine.in_doubt()


# ---- links


async def test_a_link_is_kept_and_read_from_both_ends(db: Database) -> None:
    mine = hold(db, await an_entry(db))
    await mine.keep(a_link())
    assert await mine.of_record(record(1)) == await mine.of_chart("10000001") == a_link()
    assert await mine.of_record(RecordId("a0P000000000009AAA")) is None


async def test_a_link_is_not_kept_by_who_was_taken_over(db: Database) -> None:
    entry = await an_entry(db)
    await let_the_lease_run_out(db, entry)
    await claimed(db, worker="two")
    with pytest.raises(LeaseLost):
        await hold(db, entry).keep(a_link())
    assert await hold(db, entry).of_record(record(1)) is None


async def test_a_chart_has_one_record_and_a_record_one_chart(db: Database) -> None:
    one, two = hold(db, await an_entry(db, 1)), hold(db, await an_entry(db, 2))
    await one.keep(a_link(1))
    with pytest.raises(Conflict):
        await two.keep(a_link(2))
    with pytest.raises(Conflict):
        await one.keep(a_link(1, "10000002"))


# ---- while the browser works


async def test_the_lease_outlives_a_visit_that_is_longer(db: Database) -> None:
    entry = await an_entry(db, lease=timedelta(seconds=1.2))
    mine = hold(db, entry, times=LeaseTimes(length=timedelta(seconds=2)))
    async with mine.kept():
        await asyncio.sleep(1.4)
        assert await rows.claim(db, worker="two") is None
        await mine.about_to_save()


async def lost_by(mine: Hold, work: Callable[[], Awaitable[object]]) -> None:
    """The work is cut off for a lost lease, and nothing of that stays with the task that did it."""
    with pytest.raises(LeaseLost):
        await kept(mine, work)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def kept(mine: Hold, work: Callable[[], Awaitable[object]]) -> None:
    async with mine.kept():
        await work()


async def test_a_lost_lease_cuts_the_visit_off(db: Database) -> None:
    entry = await an_entry(db)
    await rows.alter(db, entry.id, fence=entry.fence + 1)
    done: list[str] = []

    async def visit() -> None:
        await asyncio.sleep(30)
        done.append("went on")

    await lost_by(hold(db, entry, times=QUICK), visit)
    assert done == []


async def test_a_lease_that_is_lost_as_the_visit_ends_is_lost(db: Database) -> None:
    entry = await an_entry(db)
    await rows.alter(db, entry.id, fence=entry.fence + 1)
    over = asyncio.Event()

    class Watched(Hold):
        async def _beat(self) -> bool:
            alive = await super()._beat()
            over.set()
            return alive

    # The visit ends in the very step of the loop in which its heart cuts it off.
    await lost_by(Watched(db, entry, known_at=time.monotonic(), times=QUICK), over.wait)


async def test_the_deadline_ends_a_visit_that_hangs(db: Database) -> None:
    entry = await an_entry(db)
    times = LeaseTimes(length=timedelta(seconds=60), deadline=timedelta(seconds=0.05))
    with pytest.raises(EntryError, match="deadline"):
        await kept(hold(db, entry, times=times), lambda: asyncio.sleep(30))


async def test_a_time_out_of_the_visits_own_is_not_called_the_deadline(db: Database) -> None:
    entry = await an_entry(db)
    with pytest.raises(TimeoutError, match="mine"):
        async with hold(db, entry).kept():
            raise TimeoutError("mine")


async def test_who_is_cancelled_from_outside_is_cancelled(db: Database) -> None:
    entry = await an_entry(db)
    begun = asyncio.Event()

    async def visit() -> None:
        async with hold(db, entry).kept():
            begun.set()
            await asyncio.sleep(3)

    task = asyncio.create_task(visit())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_beat_that_the_database_does_not_answer_is_no_loss(away: Away) -> None:
    entry = await an_entry(away, lease=timedelta(seconds=60))
    mine = hold(away, entry, times=QUICK)
    async with mine.kept():
        away.gone = True
        await asyncio.sleep(0.15)
        away.gone = False
    assert (await row(away, entry.id))["leased_until"] is not None


async def test_no_heart_beats_on_after_the_visit(db: Database) -> None:
    entry = await an_entry(db, lease=timedelta(seconds=60))
    with pytest.raises(ZeroDivisionError):
        async with hold(db, entry, times=QUICK).kept():
            raise ZeroDivisionError
    before: Any = (await row(db, entry.id))["leased_until"]
    await asyncio.sleep(0.12)
    assert (await row(db, entry.id))["leased_until"] == before
    assert not [one for one in asyncio.all_tasks() if one.get_name().startswith("heartbeat")]
