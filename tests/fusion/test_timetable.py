"""Outside of the hours rows wait, no attempt is charged, what is only to be told is told; and it is said why."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from fusion.drain import DrainReport
from fusion.pace import Hours, Pace, windows
from fusion.timetable import Timetable
from fusion.turn import Worker
from listener import gates, interventions, schema
from listener.database import Database
from listener.entry import State
from listener.gates import Lane
from tests import outbox_rows as rows
from tests.fusion.desk import NOON
from tests.fusion.round import Round

AFTERNOON = Hours(open=windows("mon-sun 13:00-19:00"), zone=UTC)


@pytest.fixture
def work(db: Database) -> Round:
    return Round(db)


def by_the_clock(work: Round, moment: datetime, timetable: Timetable | None = None) -> Worker:
    return replace(work.worker(), timetable=timetable or Timetable(AFTERNOON), clock=lambda: moment)


async def test_rows_wait_for_the_hours_and_cost_nothing(work: Round) -> None:
    assert NOON.hour < 13
    await work.intake()
    timetable = Timetable(AFTERNOON)
    for _ in range(3):
        assert await work.drain(by_the_clock(work, NOON, timetable)) == DrainReport()
    row, gate = await work.entry(), await work.gate(Lane.PORTAL)
    assert (row["state"], row["attempts"], work.portal.creates) == (State.PENDING, 0, 0)
    assert gate.rests
    assert gate.reason == f"the clinic's hours are over until {NOON:%a %Y-%m-%d} 13:00 UTC"
    await work.all_due()
    assert await work.drain(by_the_clock(work, NOON + timedelta(hours=1), timetable)) == DrainReport(settled=1)
    assert (await work.gate(Lane.PORTAL)).is_open


async def test_a_process_that_is_started_with_other_hours_does_not_wait_for_the_old_ones(work: Round) -> None:
    await work.intake()
    await work.drain(by_the_clock(work, NOON))
    assert await work.drain(work.worker()) == DrainReport(settled=1)


async def test_what_is_only_to_be_told_is_told_at_any_time(work: Round) -> None:
    await work.intake()
    await work.go()
    async with work.db.writing() as tx:
        await tx.execute(schema.outbox.update().values(state=State.PUSHED, finished_at=None, pushed_at=NOON))
    assert await work.drain(by_the_clock(work, NOON)) == DrainReport(settled=1)


async def test_a_pause_stays_a_pause_and_a_failure_a_failure(work: Round) -> None:
    async with work.db.writing() as tx:
        await interventions.pause(tx, Lane.PORTAL, actor="dana", reason="Moving house.")
    await work.drain(by_the_clock(work, NOON))
    assert (await work.gate(Lane.PORTAL)).reason == "Moving house."
    async with work.db.writing() as tx:
        await interventions.resume(tx, Lane.PORTAL, actor="dana", reason="Moved.")
        await gates.shut(tx, Lane.PORTAL, reason="away", wait=timedelta(minutes=15))
    assert not (await work.gate(Lane.PORTAL)).rests
    await work.drain(work.worker())
    assert (await work.gate(Lane.PORTAL)).reason == "away"


async def test_visits_keep_the_pace_and_a_stop_does_not_wait_for_it(work: Round) -> None:
    for _ in range(4):
        await work.intake()
    stopping = asyncio.Event()
    worker = replace(work.worker(), pace=Pace(0.1, burst=2))

    async def stop_after_two() -> None:
        while sum(row["state"] != State.PENDING for row in await rows.rows(work.db)) < 2:
            await asyncio.sleep(0.05)
        stopping.set()

    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        tasks.create_task(stop_after_two())
        report = await work.drain(worker, stopping)
    assert report.settled == 2
    states = [row["state"] for row in await rows.rows(work.db)]
    assert states == [State.DONE, State.DONE, State.PENDING, State.PENDING]
