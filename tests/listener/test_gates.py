"""The lanes' gates: shut while the other side is away, one probe at a time, and a person's pause above all."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import func, update

from listener import gates, schema
from listener.database import Database
from listener.gates import Gate, Lane
from tests.outbox_rows import now

MINUTE = timedelta(minutes=1)


async def gate(db: Database, lane: Lane = Lane.PORTAL) -> Gate:
    """The lane's gate as it is now."""
    async with db.reading() as tx:
        return (await gates.read(tx))[lane]


async def shut(db: Database, *, reason: str = "no answer", wait: timedelta = MINUTE) -> None:
    """The portal did not answer."""
    async with db.writing() as tx:
        await gates.shut(tx, Lane.PORTAL, reason=reason, wait=wait)


async def probe(db: Database, before: Gate) -> bool:
    """Whether we may probe."""
    async with db.writing() as tx:
        return await gates.probe(tx, before, lease=MINUTE)


async def opened(db: Database) -> None:
    """The portal answered."""
    async with db.writing() as tx:
        await gates.opened(tx, Lane.PORTAL)


async def its_time_comes(db: Database) -> None:
    """As if the wait were over."""
    async with db.writing() as tx:
        await tx.execute(update(schema.gate).values(until=func.db_after(-1.0)))


async def test_a_gate_that_nobody_shut_is_open(db: Database) -> None:
    async with db.reading() as tx:
        assert await gates.read(tx) == {lane: Gate(lane=lane) for lane in Lane}
    await opened(db)
    assert (await gate(db)).is_open


async def test_a_shut_gate_lets_nothing_pass_until_its_time_has_come(db: Database) -> None:
    await shut(db, reason="no answer", wait=MINUTE)
    found = await gate(db)
    assert not found.is_open
    assert not found.may_probe
    assert (found.reason, found.failures) == ("no answer", 1)
    assert found.until is not None
    assert timedelta(0) < found.until - await now(db) <= MINUTE
    assert (await gate(db, Lane.SALESFORCE)).is_open
    await its_time_comes(db)
    assert (await gate(db)).may_probe


async def test_one_probe_passes_and_success_opens_the_gate(db: Database) -> None:
    await shut(db)
    await its_time_comes(db)
    assert await probe(db, await gate(db))
    probing = await gate(db)
    assert (probing.state, probing.may_probe) == ("probing", False)
    await opened(db)
    assert await gate(db) == Gate(lane=Lane.PORTAL)


async def test_of_two_that_saw_the_gate_due_only_one_may_probe(db: Database) -> None:
    await shut(db)
    await its_time_comes(db)
    seen_by_one, seen_by_two = await gate(db), await gate(db)
    assert [await probe(db, seen_by_one), await probe(db, seen_by_two)] == [True, False]


async def test_of_two_probers_at_the_same_moment_only_one_passes(db: Database) -> None:
    await shut(db)
    await its_time_comes(db)
    seen = await gate(db)
    other = Database(db.url.render_as_string(hide_password=False))
    async with db.writing() as tx:
        first = await gates.probe(tx, seen, lease=MINUTE)
        second = asyncio.create_task(probe(other, seen))
        await asyncio.wait([second], timeout=0.05)
        assert not second.done()  # it waits for us
    assert (first, await second) == (True, False)
    await other.close()


async def test_a_probe_that_fails_shuts_the_gate_for_longer(db: Database) -> None:
    await shut(db)
    await its_time_comes(db)
    await probe(db, await gate(db))
    await shut(db, reason="still no answer")
    found = await gate(db)
    assert (found.state, found.failures, found.reason, found.may_probe) == ("shut", 2, "still no answer", False)


async def test_a_probe_that_died_makes_room_for_another(db: Database) -> None:
    await shut(db)
    await its_time_comes(db)
    await probe(db, await gate(db))
    await its_time_comes(db)
    left = await gate(db)
    assert (left.state, left.may_probe) == ("probing", True)
    assert await probe(db, left)
    assert not (await gate(db)).may_probe


async def test_a_success_forgets_the_failures(db: Database) -> None:
    await shut(db)
    await shut(db)
    await opened(db)
    await shut(db)
    assert (await gate(db)).failures == 1


@pytest.mark.parametrize("first_shut", [False, True])
async def test_a_persons_pause_wins_over_everything_but_a_person(db: Database, first_shut: bool) -> None:
    if first_shut:
        await shut(db)
    async with db.writing() as tx:
        await gates.pause(tx, Lane.PORTAL, actor="Dana Example", reason="The portal is being updated.")
    paused = await gate(db)
    await shut(db, reason="no answer")
    await opened(db)
    assert not await probe(db, paused)
    after = await gate(db)
    assert (after.state, after.until, after.reason) == ("paused", None, "The portal is being updated.")
    assert (after.actor, after.may_probe, after.is_open) == ("Dana Example", False, False)
    async with db.writing() as tx:
        await gates.resume(tx, Lane.PORTAL, actor="Robin Example")
    assert await gate(db) == Gate(lane=Lane.PORTAL, actor="Robin Example")


async def test_a_pause_during_a_probe_stays(db: Database) -> None:
    await shut(db)
    await its_time_comes(db)
    await probe(db, await gate(db))
    async with db.writing() as tx:
        await gates.pause(tx, Lane.PORTAL, actor="Dana Example", reason="Wait.")
    await opened(db)
    assert (await gate(db)).state == "paused"


async def test_a_person_may_open_what_an_outage_shut(db: Database) -> None:
    await shut(db)
    async with db.writing() as tx:
        await gates.resume(tx, Lane.PORTAL, actor="Dana Example")
        await gates.resume(tx, Lane.SALESFORCE, actor="Dana Example")
    assert (await gate(db)).is_open


def test_a_gate_stays_shut_twice_as_long_each_time_up_to_the_cap() -> None:
    first = timedelta(seconds=30)
    assert [gates.wait_after(n, first=first).total_seconds() for n in range(7)] == [30, 60, 120, 240, 480, 900, 900]
    assert gates.wait_after(10**9, first=first) == timedelta(minutes=15)
