"""One process at a time holds a name; who died gives way at once, and who cannot be known to be dead does not."""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
from sqlalchemy import func, insert, update

from listener import holders, outbox, schema
from listener.database import Database
from listener.errors import SetupError
from tests.outbox_rows import arrive, beat, claim, claimed, row, rows

NAME = "portal login robot@example.com"
LEASE = timedelta(seconds=30)
ROOT = Path(__file__).parents[2]

ANOTHER = """
import asyncio, sys
from datetime import timedelta
from listener import holders, outbox
from listener.database import Database
from listener.entry import State

async def main(url, deed, name):
    db = Database(url)
    async with db.writing() as tx:
        if deed == "take":
            other = await holders.take(tx, name, lease=timedelta(seconds=30))
        else:
            other = await outbox.claim(
                tx, worker=holders.this_process(), lease=timedelta(seconds=30)
            ) and None
    print(other or holders.this_process(), flush=True)
    await asyncio.Event().wait()

asyncio.run(main(*sys.argv[1:]))
"""

Start = Callable[[str], tuple["subprocess.Popen[str]", str]]


@pytest.fixture
def another(db: Database) -> Iterator[Start]:
    """Starts a real process that takes the name or claims an entry, and then lives on; and what it says of itself."""
    started: list[subprocess.Popen[str]] = []

    def start(deed: str) -> tuple["subprocess.Popen[str]", str]:
        url = db.url.render_as_string(hide_password=False)
        process = subprocess.Popen(
            [sys.executable, "-c", ANOTHER, url, deed, NAME], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        assert process.stdout is not None
        return process, process.stdout.readline().strip()

    yield start
    for process in started:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


async def take(db: Database, name: str = NAME) -> str | None:
    async with db.writing() as tx:
        return await holders.take(tx, name, lease=LEASE)


async def keep(db: Database, name: str = NAME) -> bool:
    async with db.writing() as tx:
        return await holders.keep(tx, name, lease=LEASE)


async def held_by(db: Database, worker: str, *, seconds: float) -> None:
    """As if that process held the name, for so many seconds yet."""
    async with db.writing() as tx:
        await tx.execute(
            insert(schema.holder).values(
                name=NAME, worker=worker, taken_at=func.db_now(), leased_until=func.db_after(seconds)
            )
        )


async def the_holder(db: Database) -> dict[str, Any]:
    (found,) = await rows(db, schema.holder)
    return found


def otherwise(**part: str) -> str:
    """The name of this process with one part otherwise."""
    host, boot, pid, start = holders.this_process().rsplit("/", 3)
    whole = {"host": host, "boot": boot, "pid": pid, "start": start} | part
    return "/".join(whole.values())


# ---- real processes


async def test_a_living_process_is_not_put_aside(db: Database, another: Start) -> None:
    _, name = await asyncio.to_thread(another, "take")
    assert await take(db) == name
    assert (await the_holder(db))["worker"] == name
    assert not holders.is_dead_here(name)


async def test_a_second_process_is_refused_while_we_live(db: Database, another: Start) -> None:
    assert await take(db) is None
    _, answer = await asyncio.to_thread(another, "take")
    assert answer == holders.this_process()
    assert (await the_holder(db))["worker"] == holders.this_process()


async def test_a_process_that_was_killed_gives_way_at_once(db: Database, another: Start) -> None:
    process, name = await asyncio.to_thread(another, "take")
    process.kill()
    process.wait()
    assert holders.is_dead_here(name)
    assert await take(db) is None
    assert (await the_holder(db))["worker"] == holders.this_process()


async def test_a_process_that_nobody_has_buried_yet_is_dead(db: Database, another: Start) -> None:
    process, name = await asyncio.to_thread(another, "take")
    process.kill()
    while psutil.Process(process.pid).status() != psutil.STATUS_ZOMBIE:
        await asyncio.sleep(0.005)
    assert holders.is_dead_here(name)


async def test_what_a_killed_worker_held_is_free_at_once_and_what_we_hold_is_not(db: Database, another: Start) -> None:
    await arrive(db, 1)
    process, name = await asyncio.to_thread(another, "claim")
    await arrive(db, 2)
    ours = await claimed(db, worker=holders.this_process())
    assert await holders.free_leases_of_the_dead(db) == 0
    assert await claim(db, worker="two") is None

    process.kill()
    process.wait()
    assert await holders.free_leases_of_the_dead(db) == 1
    freed = await claimed(db, worker="two")
    assert (freed.id != ours.id, freed.attempts, freed.fence) == (True, 2, 2)
    (before,) = [one for one in await rows(db, schema.attempt) if one["worker"] == name]
    assert before["ended_at"] is None
    assert await beat(db, ours)


# ---- by name


async def test_a_process_is_not_dead_to_itself(db: Database) -> None:
    assert holders.this_process() == otherwise(pid=str(os.getpid()))
    assert not holders.is_dead_here(holders.this_process())
    assert [await take(db), await take(db)] == [None, None]


@pytest.mark.parametrize(
    "part",
    [
        {"pid": "4194304"},  # above the highest that Linux gives
        {"start": "1"},  # the pid was given out again
        {"boot": "deadbeef"},
        {"boot": "deadbeef.4026531836"},
    ],
)
async def test_what_is_known_to_be_dead_gives_way(db: Database, part: dict[str, str]) -> None:
    assert holders.is_dead_here(otherwise(**part))
    await held_by(db, otherwise(**part), seconds=3600)
    assert await take(db) is None


def of_other_pids() -> str:
    boot = holders.this_process().rsplit("/", 3)[1]
    return f"{boot.partition('.')[0]}.1"


@pytest.mark.parametrize(
    "name",
    [
        otherwise(host="another-host"),
        otherwise(host="another-host", boot="deadbeef", pid="1"),
        otherwise(boot=of_other_pids(), pid="4194304"),  # another container of this host: its pids are not ours
        "one",
        f"{socket.gethostname()}/x/y/z",
    ],
    # The names hold our pid, which is another in each of pytest's workers.
    ids=["another host", "its pid 1", "another container", "no name of ours", "no numbers"],
)
async def test_what_cannot_be_known_to_be_dead_keeps_its_lease_till_it_runs_out(db: Database, name: str) -> None:
    assert not holders.is_dead_here(name)
    await held_by(db, name, seconds=3600)
    assert await take(db) == name
    async with db.writing() as tx:
        await tx.execute(update(schema.holder).values(leased_until=func.db_after(-0.1)))
    assert await take(db) is None


async def test_the_leases_of_other_hosts_are_left_alone(db: Database) -> None:
    await arrive(db, 1)
    entry = await claimed(db, worker=otherwise(host="another-host"))
    assert await holders.free_leases_of_the_dead(db) == 0
    assert await beat(db, entry)


async def test_a_lease_that_ran_out_on_another_host_needs_no_freeing(db: Database) -> None:
    await arrive(db, 1)
    async with db.writing() as tx:
        await outbox.claim(tx, worker="another-host/b/1/1", lease=timedelta(0))
    assert await holders.free_leases_of_the_dead(db) == 0
    assert await claim(db, worker="two") is not None


# ---- keeping and giving back


async def test_who_holds_may_keep_on_holding(db: Database) -> None:
    await take(db)
    async with db.writing() as tx:
        await tx.execute(update(schema.holder).values(leased_until=func.db_after(1.0)))
    before = (await the_holder(db))["leased_until"]
    assert await keep(db)
    assert (await the_holder(db))["leased_until"] > before


async def test_who_was_put_aside_learns_it(db: Database) -> None:
    await held_by(db, otherwise(host="another-host"), seconds=30)
    assert not await keep(db)
    assert not await keep(db, "a name that nobody holds")


async def test_what_is_given_back_is_free_and_nobody_elses_is(db: Database) -> None:
    await take(db)
    async with db.writing() as tx:
        await holders.give_back(tx, NAME)
    assert await rows(db, schema.holder) == []
    await held_by(db, otherwise(host="another-host"), seconds=30)
    async with db.writing() as tx:
        await holders.give_back(tx, NAME)
    assert len(await rows(db, schema.holder)) == 1


async def test_two_names_are_two_things(db: Database) -> None:
    await held_by(db, otherwise(host="another-host"), seconds=30)
    assert await take(db, "channel /data/FusionSync__chn") is None


async def test_of_two_that_come_first_at_one_moment_one_waits(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second looks before the first has written, and is told by the row that it met."""
    if db.is_sqlite:
        pytest.skip("SQLite has one writer: the second looks when the first is through")
    names = iter([otherwise(host="host-a"), otherwise(host="host-b")])
    looked = asyncio.Barrier(2)

    async def one(name: str) -> str | None:
        async with db.writing() as tx:
            await tx.execute(schema.holder.select().where(schema.holder.c.name == NAME))
            await looked.wait()
            monkeypatch.setattr(holders, "this_process", lambda: name)
            return await holders.take(tx, NAME, lease=LEASE)

    answers = await asyncio.gather(*(one(name) for name in names))
    assert sorted(answer is None for answer in answers) == [False, True]


async def test_the_row_of_a_claim_names_this_process(db: Database) -> None:
    await arrive(db, 1)
    entry = await claimed(db, worker=holders.this_process())
    assert (await row(db, entry.id))["worker"] == holders.this_process()
    async with db.reading() as tx:
        assert await outbox.leasing_workers(tx) == [holders.this_process()]


async def test_held_is_held_while_the_body_runs_and_given_back_after_it(db: Database) -> None:
    async with holders.held(db, NAME, lease=LEASE):
        [row_] = await rows(db, schema.holder)
        assert row_["worker"] == holders.this_process()
    assert await rows(db, schema.holder) == []
    with pytest.raises(LookupError):
        async with holders.held(db, NAME, lease=LEASE):
            raise LookupError
    assert await rows(db, schema.holder) == []


async def test_held_by_another_is_refused(db: Database, another: Start) -> None:
    _, who = await asyncio.to_thread(another, "take")
    with pytest.raises(SetupError, match="is held by another process"):
        async with holders.held(db, NAME, lease=LEASE):
            pytest.fail("the body ran")
    [row_] = await rows(db, schema.holder)
    assert row_["worker"] == who


async def test_who_loses_the_name_is_cut_off(db: Database) -> None:
    async def robbed() -> None:
        async with holders.held(db, NAME, lease=timedelta(seconds=0.4)):
            async with db.writing() as tx:
                await tx.execute(update(schema.holder).values(worker="another"))
            await asyncio.sleep(20)

    with pytest.raises(SetupError, match="was taken over"):
        await robbed()
    [row_] = await rows(db, schema.holder)
    assert row_["worker"] == "another"


async def test_who_is_cancelled_while_holding_is_cancelled(db: Database) -> None:
    async def body() -> None:
        async with holders.held(db, NAME, lease=LEASE):
            await asyncio.sleep(20)

    task = asyncio.create_task(body())
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await rows(db, schema.holder) == []
