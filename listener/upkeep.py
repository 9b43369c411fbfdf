"""What keeps the tables small, and what tells that they are sound."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import Table, delete, func, select

from listener.database import Database
from listener.schema import dead_letter, gap, outbox

SHORTEST = timedelta(days=7)
"""An event may be delivered again for 72 h and more; what tells that we know it must outlive that."""

_BATCH = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Purged:
    """How many rows went. With an entry go its changes and its attempts."""

    entries: int = 0
    gaps: int = 0
    dead_letters: int = 0


async def purge(db: Database, *, older_than: timedelta, only_count: bool = False) -> Purged:
    """Delete what was finished before that age, in batches so that nobody waits long. Parked rows stay for ever.

    Raises `ValueError` for an age below `SHORTEST`.
    """
    if older_than < SHORTEST:
        raise ValueError(f"what is younger than {SHORTEST.days} days must stay")
    age = -older_than.total_seconds()
    return Purged(
        entries=await _purge(db, outbox, outbox.c.finished_at < func.db_after(age), only_count=only_count),
        gaps=await _purge(db, gap, gap.c.closed_at < func.db_after(age), only_count=only_count),
        dead_letters=await _purge(
            db, dead_letter, dead_letter.c.received_at < func.db_after(age), only_count=only_count
        ),
    )


async def _purge(db: Database, rows: Table, old: Any, *, only_count: bool) -> int:
    if only_count:
        async with db.reading() as tx:
            found: int = (await tx.execute(select(func.count()).select_from(rows).where(old))).scalar_one()
            return found
    gone = 0
    while True:
        # Of two workers that purge at the same hour each takes what the other has not.
        batch = select(rows.c.id).where(old).order_by(rows.c.id).limit(_BATCH).with_for_update(skip_locked=True)
        async with db.writing() as tx:
            ids: Sequence[int] = (await tx.execute(batch)).scalars().all()
            if ids:
                await tx.execute(delete(rows).where(rows.c.id.in_(ids)))
        gone += len(ids)
        if len(ids) < _BATCH:
            return gone
