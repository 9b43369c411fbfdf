"""How far each channel was heard, what was lost on the way, and what could not be read.

The position moves in the transaction that keeps the changes, so after any crash the stream goes on exactly there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, insert, select, update

from listener.database import Tx, upsert
from listener.schema import dead_letter, gap, stream

_NOW = func.db_now()


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """Where in a channel's stream the changes end; `own` and `unwatched` count the records that were dropped."""

    channel: str
    replay_id: str
    own: int = 0
    unwatched: int = 0


async def move(tx: Tx, position: Position) -> None:
    """Put down how far the channel was heard. The order is that of arrival: replay ids are never compared."""
    fresh = upsert(tx, stream).values(
        channel=position.channel,
        replay_id=position.replay_id,
        moved_at=_NOW,
        heard_at=_NOW,
        own=position.own,
        unwatched=position.unwatched,
    )
    await tx.execute(
        fresh.on_conflict_do_update(
            index_elements=["channel"],
            set_={
                "replay_id": fresh.excluded.replay_id,
                "moved_at": fresh.excluded.moved_at,
                "heard_at": fresh.excluded.heard_at,
                "own": stream.c.own + fresh.excluded.own,
                "unwatched": stream.c.unwatched + fresh.excluded.unwatched,
            },
        )
    )


async def replay_id(tx: Tx, channel: str) -> str | None:
    """The last committed replay id of the channel; None before its first event."""
    return (await tx.execute(select(stream.c.replay_id).where(stream.c.channel == channel))).scalar_one_or_none()


async def heard(tx: Tx, channel: str) -> None:
    """Put down that the channel was alive just now, event or not."""
    fresh = upsert(tx, stream).values(channel=channel, heard_at=_NOW)
    await tx.execute(fresh.on_conflict_do_update(index_elements=["channel"], set_={"heard_at": _NOW}))


async def heard_until(tx: Tx, channel: str) -> datetime | None:
    """Since when the channel may have been missed: the moment of its last committed event, or of its last sign."""
    row = (await tx.execute(select(stream.c.moved_at, stream.c.heard_at).where(stream.c.channel == channel))).first()
    return (row.moved_at or row.heard_at) if row else None


async def swept_until(tx: Tx, channel: str) -> datetime | None:
    """Up to which moment, by Salesforce's SystemModstamp, the sweep has compared everything; None before the first."""
    return (await tx.execute(select(stream.c.swept_until).where(stream.c.channel == channel))).scalar_one_or_none()


async def sweep_done(tx: Tx, channel: str, until: datetime) -> None:
    """Put down that everything up to `until` was compared."""
    fresh = upsert(tx, stream).values(channel=channel, swept_until=until)
    await tx.execute(fresh.on_conflict_do_update(index_elements=["channel"], set_={"swept_until": until}))


async def open_gap(
    tx: Tx, channel: str, *, reason: str, object_name: str | None, since: datetime | None, until: datetime | None
) -> int:
    """The id of a new gap: a span in which the stream may have missed something, to be swept and closed."""
    row = insert(gap).values(
        channel=channel, object_name=object_name, opened_at=_NOW, from_at=since, to_at=until, reason=reason
    )
    gap_id: int = (await tx.execute(row.returning(gap.c.id))).scalar_one()
    return gap_id


async def open_gaps(tx: Tx) -> list[Mapping[str, Any]]:
    """The gaps that were not swept yet, oldest first."""
    rows = select(gap).where(gap.c.closed_at.is_(None)).order_by(gap.c.id)
    return [dict(row) for row in (await tx.execute(rows)).mappings()]


async def close_gap(tx: Tx, gap_id: int, *, changed: int, enqueued: int, deleted: int) -> None:
    """Put down that a gap was swept, and what was found in it."""
    done = update(gap).where(gap.c.id == gap_id)
    await tx.execute(done.values(closed_at=_NOW, changed=changed, enqueued=enqueued, deleted=deleted))


async def bury(tx: Tx, channel: str, message: Any, *, replay_id: str | None, reason: str) -> None:
    """Keep a message that is no change event as a dead letter: its shape and digest, not its values."""
    body = json.dumps(message, sort_keys=True, default=str).encode()
    await tx.execute(
        insert(dead_letter).values(
            channel=channel,
            replay_id=replay_id,
            reason=reason,
            shape=json.dumps(shape_of(message)),
            digest=hashlib.sha256(body).hexdigest(),
            received_at=_NOW,
        )
    )


def shape_of(value: Any, *, depth: int = 8) -> Any:
    """A JSON value with every leaf replaced by the name of its type; keys stay, cut at 80 characters."""
    match value:
        case _ if depth == 0:
            return "…"
        case Mapping():
            return {str(key)[:80]: shape_of(one, depth=depth - 1) for key, one in list(value.items())[:100]}
        case list():
            return [shape_of(one, depth=depth - 1) for one in value[:3]] + (["…"] if len(value) > 3 else [])
        case _:
            return type(value).__name__
