"""What the tables say, for people. Reads only."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import func, select

from listener.change import RecordId
from listener.database import Tx
from listener.entry import State
from listener.schema import attempt, change, dead_letter, gap, outbox, stream


async def counts(tx: Tx) -> Mapping[State, int]:
    """How many rows there are in each state."""
    rows = select(outbox.c.state, func.count()).group_by(outbox.c.state)
    found = {State(state): number for state, number in (await tx.execute(rows)).all()}
    return {state: found.get(state, 0) for state in State}


async def entries(
    tx: Tx, *, states: list[State] | None = None, record_id: RecordId | None = None, limit: int = 100
) -> list[dict[str, Any]]:
    """The newest rows of those states, and of that record if one is named, as they are, newest first."""
    rows = select(outbox).order_by(outbox.c.id.desc()).limit(limit)
    if states:
        rows = rows.where(outbox.c.state.in_(states))
    if record_id:
        rows = rows.where(outbox.c.record_id == record_id)
    return [dict(row) for row in (await tx.execute(rows)).mappings()]


async def story(tx: Tx, entry_id: int) -> dict[str, Any] | None:
    """One row with the changes that it stands for and every attempt on it; None if there is no such row."""
    row = (await tx.execute(select(outbox).where(outbox.c.id == entry_id))).mappings().first()
    if row is None:
        return None
    changes = select(change).where(change.c.outbox_id == entry_id).order_by(change.c.id)
    attempts = select(attempt).where(attempt.c.outbox_id == entry_id).order_by(attempt.c.id)
    return {
        "entry": dict(row),
        "changes": [dict(one) for one in (await tx.execute(changes)).mappings()],
        "attempts": [dict(one) for one in (await tx.execute(attempts)).mappings()],
    }


async def oldest_open(tx: Tx) -> datetime | None:
    """When the oldest change happened that is not answered yet; None if all are."""
    open_states = (State.PENDING, State.PUSHED)
    oldest = select(func.min(outbox.c.changed_at)).where(outbox.c.state.in_(open_states))
    found: datetime | None = (await tx.execute(oldest)).scalar_one()
    return found


async def streams(tx: Tx) -> list[dict[str, Any]]:
    """Every channel's position and when it was last heard."""
    return [dict(row) for row in (await tx.execute(select(stream).order_by(stream.c.channel))).mappings()]


async def doubts(tx: Tx) -> Mapping[str, int]:
    """What is not known for sure: gaps that were not swept yet, and messages that could not be read."""
    gaps = select(func.count()).select_from(gap).where(gap.c.closed_at.is_(None))
    letters = select(func.count()).select_from(dead_letter)
    return {
        "open_gaps": (await tx.execute(gaps)).scalar_one(),
        "dead_letters": (await tx.execute(letters)).scalar_one(),
    }
