"""What a claim costs where much was finished before, and where many changes stand behind one record."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from statistics import median
from typing import Any

import psycopg

from fusion import turn
from listener import outbox
from listener.change import Change, RecordId, long_id
from listener.database import Database
from listener.entry import OutboxEntry
from tests.bench.ours import UNCHANGED, append, changes, save, worker
from tests.bench.rivals import plain

LEASE = timedelta(minutes=10)
WAYS = ("past it", "one more", "its own")


def finish_many(url: str, rows: int) -> None:
    """Make so many finished rows at once, as if they had been worked over a year; and let the database look at them."""
    postgres = url.startswith("postgresql")
    stamp = "timestamptz '2026-11-03 12:00Z'" if postgres else "'2026-11-03 12:00:00.000000'"
    number = "lpad((i % 50000)::text, 11, '0')" if postgres else "substr('00000000000' || (i % 50000), -11)"
    made = (
        "INSERT INTO outbox (object_name, record_id, state, priority, due_at, changed_at, created_at, outcome, "
        f"finished_at) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows}) "
        f"SELECT 'Patient__c', 'a0P9' || {number} || 'AAA', 'DONE', 10, {stamp}, {stamp}, {stamp}, 'updated', {stamp} "
        "FROM n"
    )
    connection: Any
    if postgres:
        with psycopg.connect(plain(url), autocommit=True) as connection:
            if rows:
                connection.execute(made)
            connection.execute("VACUUM ANALYZE outbox")
            connection.execute("CHECKPOINT")
        return
    connection = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
    if rows:
        connection.execute(made)
    connection.execute("ANALYZE")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


async def claim_cost(db: Database, claims: int) -> float:
    """The milliseconds that a claim takes, in the middle of so many; each row is then worked to its end."""
    await append(db, changes(claims))
    me, costs = worker(db), []
    for _ in range(claims):
        began = time.perf_counter()
        claimed = await turn.claim(me)
        costs.append(time.perf_counter() - began)
        assert claimed is not None
        await _finish(db, claimed.entry)
    return median(costs) * 1000


async def one_record(db: Database, behind: int, *, samples: int) -> dict[str, float]:
    """The milliseconds that three things take while so many changes stand behind one record that is being worked.

    `past it`: to claim and finish a row of another record; `one more`: to append one more change of it; `its own`: to
    claim the row of all those changes, and give it back.
    """
    hot = long_id(f"a0Phot{next(_hot):09}")
    await append(db, changes(1, of=hot))
    busy = await _claimed(db)
    for batch in _batches(changes(behind, of=hot)):
        await append(db, batch)
    await append(db, changes(samples))
    past = await _timed(samples, lambda: _worked(db))
    more = await _timed(samples, lambda: append(db, changes(1, of=hot)))
    await _finish(db, busy)
    own = await _timed(samples, lambda: _given_back(db, hot))
    await _worked(db)
    return dict(zip(WAYS, (past, more, own), strict=True))


_hot = iter(range(1, 10**9))


def _batches(whole: list[Change]) -> list[list[Change]]:
    return [whole[start : start + 200] for start in range(0, len(whole), 200)]


async def _timed(times: int, act: Callable[[], Awaitable[None]]) -> float:
    costs = []
    for _ in range(times):
        began = time.perf_counter()
        await act()
        costs.append(time.perf_counter() - began)
    return median(costs) * 1000


async def _claimed(db: Database) -> OutboxEntry:
    async with db.writing() as tx:
        entry = await outbox.claim(tx, worker="bench", lease=LEASE)
    assert entry is not None
    return entry


async def _finish(db: Database, entry: OutboxEntry) -> None:
    pushed = entry.pushed(UNCHANGED)
    await save(db, entry, pushed)
    await save(db, pushed, pushed.settled())


async def _worked(db: Database) -> None:
    await _finish(db, await _claimed(db))


async def _given_back(db: Database, record: RecordId) -> None:
    entry = await _claimed(db)
    assert entry.record_id == record
    await save(db, entry, entry.released())
