"""Rounds of a worker over a real database in tests, with an org and a portal in memory."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from sqlalchemy import func, update

from fusion.drain import DrainReport, drain
from fusion.lease import LeaseTimes
from fusion.patrol import Patrol
from fusion.turn import Limits, Worker
from listener import gates, schema
from listener.change import RecordId
from listener.database import Database, Tx
from listener.gates import Gate, Lane
from tests import outbox_rows as rows
from tests.fake_org import FakeOrg
from tests.fusion.desk import INTAKE, MAPPING, NOON, DisturbedPortal

MINUTE = timedelta(minutes=1)
SISTERS = ("Mia", "Ada", "Bea", "Cleo", "Dora", "Eve")


@dataclass(slots=True)
class Round:
    """What a worker works with. `limits` and `times` may be changed until the next round."""

    db: Database
    org: FakeOrg = field(default_factory=FakeOrg)
    portal: DisturbedPortal = field(default_factory=DisturbedPortal)
    length: timedelta = MINUTE
    deadline: timedelta = timedelta(minutes=3)
    portal_attempts: int = 6
    writeback_attempts: int = 25
    tell_after: timedelta = MINUTE
    long_visit: timedelta = MINUTE
    patrol: Patrol | None = None

    def worker(self, name: str = "one", *, portal: DisturbedPortal | None = None) -> Worker:
        return Worker(
            db=self.db,
            org=self.org,
            portal=portal or self.portal,
            mapping=MAPPING,
            name=name,
            patrol=self.patrol,
            limits=Limits(
                lease=LeaseTimes(length=self.length, deadline=self.deadline),
                portal_attempts=self.portal_attempts,
                writeback_attempts=self.writeback_attempts,
                look_again=timedelta(0),
                tell_after=self.tell_after,
                long_visit=self.long_visit,
            ),
            clock=lambda: NOON,
            unit=lambda: 0.0,
        )

    async def go(self, stopping: asyncio.Event | None = None) -> DrainReport:
        """One round, to its end."""
        return await self.drain(self.worker(), stopping)

    async def drain(self, worker: Worker, stopping: asyncio.Event | None = None) -> DrainReport:
        """One round of that worker."""
        return await drain(worker, stopping=stopping or asyncio.Event())

    async def intake(self, **changes: Any) -> RecordId:
        """A new record, of the next of six sisters, and the change that tells of it."""
        number = len(self.org.records)
        hers = {"First_Name__c": SISTERS[number], "SSN__c": f"900-12-345{6 + number}" if number < 4 else None}
        record_id = self.org.create({**INTAKE, **hers, **changes})
        await self.changes(record_id)
        return record_id

    async def changes(self, record_id: RecordId, **changes: Any) -> None:
        """The record is edited, and a change tells of it."""
        self.org.edit(record_id, changes)
        await rows.arrive(self.db, rows.a_change(record_id=record_id))

    async def entry(self, number: int = 1) -> dict[str, Any]:
        """The n-th row of the outbox."""
        return (await rows.rows(self.db))[number - 1]

    async def all_due(self) -> None:
        """As if whatever waits for its next try, and every gate that is shut, had waited long enough."""
        async with self.db.writing() as tx:
            await tx.execute(update(schema.outbox).values(due_at=func.db_after(-1.0)))
            await tx.execute(
                update(schema.gate).where(schema.gate.c.until.is_not(None)).values(until=func.db_after(-1.0))
            )

    async def leases_run_out(self) -> None:
        """As if every holder had been silent for a lease and a second."""
        async with self.db.writing() as tx:
            held = update(schema.outbox).where(schema.outbox.c.leased_until.is_not(None))
            await tx.execute(held.values(leased_until=func.db_after(-1.0)))

    async def gate(self, lane: Lane) -> Gate:
        async with self.db.reading() as tx:
            return (await gates.read(tx))[lane]


class PausingDatabase(Database):
    """A database whose commits wait once it is `armed`: `waiting` is set then, and they go on with `go_on`."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.armed: Callable[[], bool] = lambda: False
        self.waiting, self.go_on = asyncio.Event(), asyncio.Event()

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[Tx]:
        async with super().writing() as tx:
            yield tx
            await self._wait_if_armed()

    @asynccontextmanager
    async def at_once(self) -> AsyncIterator[Tx]:
        if not self.is_sqlite:
            await self._wait_if_armed()  # here the statement is the commit
        async with super().at_once() as tx:
            yield tx

    async def _wait_if_armed(self) -> None:
        if self.armed():
            self.armed = lambda: False
            self.waiting.set()
            await self.go_on.wait()


def for_ever() -> tuple[asyncio.Event, Callable[[], Awaitable[None]]]:
    """A moment that never passes, and what is set when it has come."""
    come = asyncio.Event()

    async def moment() -> None:
        come.set()
        await asyncio.Event().wait()

    return come, moment


async def cancelled(task: "asyncio.Task[Any]") -> None:
    """Cut it off where it awaits, and see that it says so."""
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
