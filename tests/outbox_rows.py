"""What the outbox's tests do over and over: a change arrives, a worker claims, time passes; and what is there then."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from sqlalchemy import Table, func, select, update

from listener import outbox, schema
from listener.change import Change, ChangeKind, RecordId, Source, long_id
from listener.database import Database
from listener.entry import OutboxEntry, Outcome, ParkedReason, State, SyncResult
from listener.positions import Position

CHANNEL = "/data/FusionSync__chn"
NOON = datetime(2026, 11, 3, 12, 0, tzinfo=UTC)
LEASE = timedelta(seconds=60)
NO_TIME = timedelta(0)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
UPDATED = SyncResult(outcome=Outcome.UPDATED, portal_id="40001")

_keys = count(1)


def record(number: int) -> RecordId:
    """The id of a made-up record."""
    return long_id(f"a0P{number:012}")


def a_change(number: int = 1, **fields: Any) -> Change:
    """A change of record `number`, unlike any before it."""
    new: dict[str, Any] = {
        "object_name": "Patient__c",
        "record_id": record(number),
        "kind": ChangeKind.UPDATE,
        "fields": frozenset({"First_Name__c"}),
        "changed_at": NOON,
        "dedupe_key": f"test:{next(_keys)}",
        "source": Source.STREAM,
    }
    return Change(**new | fields)


def refused(reason: ParkedReason) -> SyncResult:
    """A visit that ended in a person's lap."""
    return SyncResult(outcome=Outcome.REFUSED, code=str(reason).upper(), message="See there.", reason=reason)


async def arrive(
    db: Database, *changes: Change | int, settle: timedelta = NO_TIME, position: Position | None = None
) -> int:
    """Append changes, or one new change of each record given by number, in a transaction of its own."""
    whole = [a_change(one) if isinstance(one, int) else one for one in changes]
    async with db.writing() as tx:
        return await outbox.append(tx, whole, position, settle=settle)


async def claim(
    db: Database, stage: State = State.PENDING, *, worker: str = "one", lease: timedelta = LEASE
) -> OutboxEntry | None:
    """What the worker gets."""
    async with db.writing() as tx:
        return await outbox.claim_to_probe(tx, stage, worker=worker, lease=lease)


async def claimed(
    db: Database, stage: State = State.PENDING, *, worker: str = "one", lease: timedelta = LEASE
) -> OutboxEntry:
    """What the worker gets, where there must be something."""
    entry = await claim(db, stage, worker=worker, lease=lease)
    assert entry is not None
    return entry


async def save(db: Database, before: OutboxEntry, after: OutboxEntry, *, error: str | None = None) -> bool:
    """Whether the arrow was ours to draw."""
    async with db.writing() as tx:
        return await outbox.save(tx, before, after, error=error)


async def push(db: Database, entry: OutboxEntry, result: SyncResult = UPDATED) -> OutboxEntry:
    """The entry as PUSHED, saved, still held for the write-back."""
    pushed = entry.pushed(result)
    assert await save(db, entry, pushed)
    return pushed


async def settle(db: Database, entry: OutboxEntry, result: SyncResult = UPDATED) -> OutboxEntry:
    """The entry worked to its end: DONE, or PARKED for the result's reason."""
    pushed = await push(db, entry, result)
    assert await save(db, pushed, pushed.settled())
    return pushed.settled()


async def intend(db: Database, entry: OutboxEntry) -> None:
    """Commit the intent, or raise `LeaseLost`."""
    async with db.writing() as tx:
        await outbox.intend(tx, entry)


async def beat(db: Database, entry: OutboxEntry, *, deadline: timedelta = DAY) -> bool:
    """Whether the lease is ours for another one."""
    async with db.writing() as tx:
        return await outbox.beat(tx, entry, lease=LEASE, deadline=deadline)


async def alter(db: Database, entry_id: int, **values: Any) -> None:
    """Change one row by hand."""
    async with db.writing() as tx:
        await tx.execute(update(schema.outbox).where(schema.outbox.c.id == entry_id).values(values))


async def let_the_lease_run_out(db: Database, entry: OutboxEntry) -> None:
    """As if the holder had been silent for a lease and a minute."""
    await alter(db, entry.id, leased_until=func.db_after(-60.0))


async def rows(db: Database, table: Table = schema.outbox) -> Sequence[dict[str, Any]]:
    """Every row of a table, oldest first."""
    async with db.reading() as tx:
        found = await tx.execute(select(table).order_by(*table.primary_key.columns))
        return [dict(row) for row in found.mappings()]


async def row(db: Database, entry_id: int) -> dict[str, Any]:
    """One row of the outbox."""
    (found,) = [one for one in await rows(db) if one["id"] == entry_id]
    return found


async def states(db: Database) -> list[State]:
    """The states of all rows, oldest first."""
    return [State(one["state"]) for one in await rows(db)]


async def now(db: Database) -> datetime:
    """The database's own time."""
    async with db.reading() as tx:
        moment: datetime = (await tx.execute(select(func.db_now()))).scalar_one()
        return moment
