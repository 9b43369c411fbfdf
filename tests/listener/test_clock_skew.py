"""Clocks that are wrong: a worker's own does not matter, and where the database's jumps nothing is done twice.

Leases, due times and ages are by the database's clock. A jump of it by an hour is played by moving what was put down
before it by an hour the other way.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from listener import interventions, outbox, schema
from listener.database import Database
from listener.entry import State
from listener.holders import free_leases_of_the_dead
from tests.fusion.desk import DisturbedPortal
from tests.fusion.round import Round, for_ever
from tests.outbox_rows import a_change, arrive, now, rows, states

ROOT = Path(__file__).parents[2]
HOUR = timedelta(hours=1)
RECORDS = 6

WORKER = """
import asyncio, json, sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from listener.database import Database
from listener.holders import this_process
from fusion.patient import Field
from tests.fusion.desk import INTAKE
from tests.fusion.round import SISTERS, Round

async def main(url, off, records):
    work = Round(Database(url), length=timedelta(seconds=3))
    for number in range(records):
        work.org.create({**INTAKE, "First_Name__c": SISTERS[number], "SSN__c": None})
    if off < 0:  # each has a portal of its own, whose charts have numbers of their own
        for number in range(records):
            work.portal.inner.put({Field.FIRST_NAME: f"Nobody {number}", Field.BIRTH_DATE: "2001-01-01"})
    worker = replace(work.worker(this_process()), clock=lambda: datetime.now(UTC) + timedelta(seconds=off))

    async def longer_than_a_lease():
        await asyncio.sleep(3.5 if len(work.portal.calls) == 1 else 0.2)

    work.portal.at["find"] = longer_than_a_lease
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    report = await work.drain(worker)
    await work.db.close()
    made = [values[Field.FIRST_NAME] for deed, _, _, values in work.portal.inner.ledger if deed == "create"]
    print(json.dumps({"made": made, "lost": report.lost, "settled": report.settled}))

asyncio.run(main(sys.argv[1], float(sys.argv[2]), int(sys.argv[3])))
"""


async def test_workers_whose_clocks_are_an_hour_off_claim_beat_and_finish_as_always(db: Database) -> None:
    url = db.url.render_as_string(hide_password=False)
    twins = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", WORKER, url, str(off.total_seconds()), str(RECORDS)),
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        for off in (HOUR, -HOUR)
    ]
    for one in twins:
        assert one.stdout is not None
        assert (await asyncio.wait_for(one.stdout.readline(), 30)).strip() == b"ready"
    org = Round(db).org
    await arrive(db, *(a_change(record_id=org.create({})) for _ in range(RECORDS)))
    began = await now(db)
    told = await asyncio.gather(*(asyncio.wait_for(one.communicate(b"go\n"), 30) for one in twins))
    ended = await now(db)
    assert [one.returncode for one in twins] == [0, 0]
    ways = [json.loads(out.splitlines()[-1]) for out, _ in told]

    made = Counter(name for way in ways for name in way["made"])
    assert (len(made), set(made.values())) == (RECORDS, {1})
    assert [way["lost"] for way in ways] == [0, 0]
    assert all(way["made"] for way in ways)  # neither waited for the other's time
    entries = await rows(db)
    assert {one["state"] for one in entries} == {State.DONE}
    tried = Counter((one["outbox_id"], one["step"]) for one in await rows(db, schema.attempt))
    assert (len(tried), set(tried.values())) == (2 * RECORDS, {1})  # each step was claimed once, and kept
    moments = [
        one[name] for one in entries for name in ("claimed_at", "due_at", "pushed_at", "finished_at", "intent_at")
    ]
    moments += [one[name] for one in await rows(db, schema.attempt) for name in ("started_at", "ended_at")]
    assert all(began - timedelta(seconds=1) <= moment <= ended for moment in moments)


async def jump(db: Database, by: timedelta) -> None:
    """The database's clock jumps: what was put down before lies that much further back (or ahead)."""
    columns = ("due_at", "claimed_at", "leased_until", "intent_at")
    found = await rows(db)
    async with db.writing() as tx:
        for one in found:
            moved = {name: one[name] - by for name in columns if one[name] is not None}
            await tx.execute(update(schema.outbox).where(schema.outbox.c.id == one["id"]).values(moved))


async def stopped_at(work: Round, moment: str) -> tuple[asyncio.Task[object], asyncio.Event]:
    """A worker that stands still at that moment of its visit, and what lets it go on."""
    come, go_on = asyncio.Event(), asyncio.Event()

    async def stand_still() -> None:
        del work.portal.at[moment]
        come.set()
        await go_on.wait()

    work.portal.at[moment] = stand_still
    visit = asyncio.create_task(work.go())
    await asyncio.wait_for(come.wait(), 10)
    return visit, go_on


@pytest.mark.parametrize("moment", ["find", "create", "created", "update"])
@pytest.mark.parametrize("blind", [0, 1])
async def test_a_lease_that_runs_out_an_hour_early_makes_no_second_chart(db: Database, moment: str, blind: int) -> None:
    work = Round(db)
    await work.intake()
    slow, go_on = await stopped_at(work, moment)
    await jump(db, HOUR)
    work.portal.blind = blind  # the search shows a new chart a moment later
    other = await work.drain(work.worker("two"))
    assert (other.settled, other.lost) == (1, 0)
    go_on.set()
    late = await slow
    assert (late.settled, late.lost) == (0, 1)  # type: ignore[attr-defined]
    assert work.portal.creates == 1
    deeds = Counter((deed, section) for deed, section, _ in work.portal.deeds)
    assert set(deeds.values()) == {1}
    assert await states(db) == [State.DONE]
    assert len(await rows(db, schema.link)) == 1


async def test_a_worker_alone_whose_lease_ran_out_early_stops_and_begins_again(db: Database) -> None:
    work = Round(db, length=timedelta(seconds=0.4))
    await work.intake()
    visit, _ = await stopped_at(work, "create")
    await jump(db, HOUR)
    # Its next heartbeat says that the visit has lasted an hour. In the same round it claims the row anew.
    report = await asyncio.wait_for(visit, 10)
    assert (report.lost, report.settled) == (1, 1)  # type: ignore[attr-defined]
    assert work.portal.creates == 1
    assert await states(db) == [State.DONE]


async def test_a_lease_that_runs_an_hour_longer_is_put_right_by_the_next_heartbeat(db: Database) -> None:
    work = Round(db, length=timedelta(seconds=0.4))
    await work.intake()
    visit, go_on = await stopped_at(work, "create")
    await jump(db, -HOUR)
    assert (await work.drain(work.worker("two"))).settled == 0  # it is held
    await asyncio.sleep(0.3)
    assert (await work.entry())["leased_until"] < await now(db) + timedelta(seconds=1)
    go_on.set()
    report = await visit
    assert (report.settled, report.lost) == (1, 0)  # type: ignore[attr-defined]
    assert work.portal.creates == 1


async def test_what_a_dead_process_holds_an_hour_too_long_is_freed_by_the_next_start(db: Database) -> None:
    work = Round(db)
    await work.intake()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "from listener.holders import this_process; print(this_process())"),
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
    )
    name = (await process.communicate())[0].decode().strip()
    come, moment = for_ever()
    portal = DisturbedPortal(inner=work.portal.inner, at={"find": moment})
    visit = asyncio.create_task(work.drain(work.worker(name, portal=portal)))
    await asyncio.wait_for(come.wait(), 10)
    async with db.reading() as tx:
        assert await outbox.leasing_workers(tx) == [name]
    await jump(db, -HOUR)
    assert (await work.go()).settled == 0
    assert await free_leases_of_the_dead(db) == 1
    assert (await work.go()).settled == 1
    visit.cancel()
    await asyncio.wait([visit])
    assert (work.portal.creates, await states(db)) == (1, [State.DONE])


@pytest.mark.parametrize("by", [HOUR, -HOUR])
async def test_what_waits_comes_early_or_waits_for_its_hour_or_a_person(db: Database, by: timedelta) -> None:
    work = Round(db)
    record_id = await work.intake()
    await arrive(db, a_change(record_id=record_id), settle=timedelta(minutes=5))
    await jump(db, by)
    settled = (await work.go()).settled
    assert settled == (1 if by > timedelta(0) else 0)
    if not settled:
        async with db.writing() as tx:
            await interventions.retry(tx, (await work.entry())["id"], actor="dana", reason="The clock was wrong.")
        assert (await work.go()).settled == 1
    assert (work.portal.creates, await states(db)) == (1, [State.DONE])
