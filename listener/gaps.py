"""Spans in which the stream may have missed something: opened with the event that says so, closed by the sweep.

Their moments are Salesforce's, so that a wrong clock of ours leaves no change out.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, insert, or_, select, update

from listener.database import Tx
from listener.errors import Conflict
from listener.schema import gap

_NOW = func.db_now()


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """A row of the table. `from_at` None: from the beginning of time. `swept_until`: how far a sweep has come in it.

    `changed`: records that changed in the span; `enqueued`: those of them that the stream had not told of; `deleted`:
    deletes that it had not told of. `note`: what could not be looked up.
    """

    id: int
    channel: str
    object_name: str | None
    opened_at: datetime
    from_at: datetime | None
    to_at: datetime | None
    reason: str
    swept_until: datetime | None
    closed_at: datetime | None
    changed: int | None
    enqueued: int | None
    deleted: int | None
    note: str | None


async def open_gap(
    tx: Tx, channel: str, *, reason: str, object_name: str | None, since: datetime | None, until: datetime | None
) -> int:
    """The id of a gap that covers that span: a new one, or one that waits for its sweep for the same reason.

    `until` is for people: what is swept goes on to the moment of the sweep.
    """
    same = (
        gap.c.channel == channel,
        gap.c.reason == reason,
        gap.c.object_name.is_not_distinct_from(object_name),
        gap.c.closed_at.is_(None),
        gap.c.swept_until.is_(None),
        gap.c.from_at.is_(None) if since is None else or_(gap.c.from_at.is_(None), gap.c.from_at <= since),
    )
    found = (await tx.execute(select(gap.c.id).where(*same).order_by(gap.c.id).limit(1))).scalar_one_or_none()
    if found is not None:
        await tx.execute(update(gap).where(gap.c.id == found).values(to_at=until))
        return int(found)
    row = insert(gap).values(
        channel=channel, object_name=object_name, opened_at=_NOW, from_at=since, to_at=until, reason=reason
    )
    gap_id: int = (await tx.execute(row.returning(gap.c.id))).scalar_one()
    return gap_id


async def list_gaps(
    tx: Tx, *, channel: str | None = None, only_open: bool = False, limit: int | None = None
) -> list[Gap]:
    """Gaps, oldest first; with `limit` the newest of them."""
    rows = select(gap).order_by(gap.c.id.desc()).limit(limit)
    if channel is not None:
        rows = rows.where(gap.c.channel == channel)
    if only_open:
        rows = rows.where(gap.c.closed_at.is_(None))
    return [Gap(**row) for row in (await tx.execute(rows)).mappings()][::-1]


async def sweep_came_to(
    tx: Tx,
    gap_id: int,
    *,
    before: datetime | None,
    until: datetime,
    changed: int = 0,
    enqueued: int = 0,
    deleted: int = 0,
) -> None:
    """Put down how far a sweep has come, and add what it found on the way since `before`.

    Raises `Conflict` where another sweep has been there meanwhile: else the same records would count twice.
    """
    counts = {"changed": changed, "enqueued": enqueued, "deleted": deleted}
    added = {name: func.coalesce(gap.c[name], 0) + number for name, number in counts.items()}
    where = (gap.c.id == gap_id, gap.c.closed_at.is_(None), gap.c.swept_until.is_not_distinct_from(before))
    if (await tx.execute(update(gap).where(*where).values(swept_until=until, **added))).rowcount != 1:
        raise Conflict("another sweep is at work", hint="let that one come to its end")


async def close_gap(tx: Tx, gap_id: int, *, until: datetime | None = None, note: str | None = None) -> None:
    """Put down that a gap was swept to its end; its counts are what was added on the way."""
    counts = {name: func.coalesce(gap.c[name], 0) for name in ("changed", "enqueued", "deleted")}
    end = {} if until is None else {"swept_until": until, "to_at": func.coalesce(gap.c.to_at, until)}
    await tx.execute(update(gap).where(gap.c.id == gap_id).values(closed_at=_NOW, note=note, **end, **counts))
