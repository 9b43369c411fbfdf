"""How far each channel was heard and swept, and what could not be read.

The position moves in the transaction that keeps the changes, so after any crash the stream goes on exactly there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Boolean, bindparam, case, func, insert, select
from sqlalchemy.dialects import postgresql, sqlite

from listener import gaps
from listener.database import Tx, upsert
from listener.schema import dead_letter, stream

FIRST_START = "first start"
"""The reason of the gap that lies before a channel's first event."""

_NOW = func.db_now()


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """Where in a channel's stream the changes end, and what was in it besides.

    `at`: when the last event was committed, by Salesforce's clock; None if none of them says so. `own` and `unwatched`
    count the records that were dropped; `echoed`: whether our heartbeat came back.
    """

    channel: str
    replay_id: str
    at: datetime | None = None
    own: int = 0
    unwatched: int = 0
    echoed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a channel stands. `now` is the database's clock, as are the moments without another word.

    By Salesforce's clock: `event_at`, the commit of the last event that we hold; `swept_until`, up to which all was
    compared; `covers_from`, before which nothing is ours to care for (None: everything is). `missed`: changes that
    sweeps found and the stream had not told of, the last of them found at `missed_at`; `compared_at`: the last
    comparison of all records with all links; `beat_at`, `echo_at`: when the heartbeat was set off, and last came back.
    """

    channel: str
    now: datetime
    replay_id: str | None
    start: str | None
    moved_at: datetime | None
    heard_at: datetime | None
    event_at: datetime | None
    covers_from: datetime | None
    swept_until: datetime | None
    swept_at: datetime | None
    missed: int
    missed_at: datetime | None
    compared_at: datetime | None
    beat_at: datetime | None
    echo_at: datetime | None

    @property
    def began(self) -> bool:
        """Whether the first start is behind us."""
        return self.start is not None or self.replay_id is not None


async def begin(tx: Tx, channel: str, *, start: str, at: datetime) -> bool:
    """Whether this was the channel's first start; it is put down, once and for ever.

    `retained`: the stream begins with all that Salesforce still keeps, and everything older is swept. `now`: with what
    changes from `at` on, by Salesforce's clock.
    """
    found = await standing(tx, channel)
    if found is not None and found.began:
        return False
    # There is nothing yet that a comparison could find and the first sweep could not.
    told: dict[str, Any] = {"start": start, "compared_at": _NOW}
    if start == "now":
        told |= {"covers_from": at, "swept_until": at}
    else:
        await gaps.open_gap(tx, channel, reason=FIRST_START, object_name=None, since=None, until=at)
    fresh = upsert(tx, stream).values(channel=channel, **told)
    await tx.execute(fresh.on_conflict_do_update(index_elements=["channel"], set_=told))
    return True


async def move(tx: Tx, position: Position) -> None:
    """Put down how far the channel was heard. The order is that of arrival: replay ids are never compared."""
    await tx.execute(MOVE[tx.dialect.name], values(position))


def values(position: Position) -> dict[str, Any]:
    """What `MOVE` wants to know."""
    return {
        "moved_channel": position.channel,
        "moved_to": position.replay_id,
        "moved_event_at": position.at,
        "moved_echoed": position.echoed,
        "moved_own": position.own,
        "moved_unwatched": position.unwatched,
    }


async def replay_id(tx: Tx, channel: str) -> str | None:
    """The last committed replay id of the channel; None before its first event."""
    return (await tx.execute(select(stream.c.replay_id).where(stream.c.channel == channel))).scalar_one_or_none()


async def standing(tx: Tx, channel: str) -> Standing | None:
    """How the channel stands; None if it was never begun."""
    return next((one for one in await standings(tx) if one.channel == channel), None)


async def standings(tx: Tx) -> list[Standing]:
    """How each channel stands, by name."""
    columns = [stream.c[name] for name in Standing.__dataclass_fields__ if name != "now"]
    rows = (await tx.execute(select(*columns, _NOW.label("now")).order_by(stream.c.channel))).mappings()
    return [Standing(**row) for row in rows]


async def now(tx: Tx) -> datetime:
    """What time it is by the database's clock."""
    moment: datetime = (await tx.execute(select(_NOW))).scalar_one()
    return moment


async def swept(tx: Tx, channel: str, until: datetime, *, missed: int, done: bool) -> None:
    """Put down up to which moment all was compared, and how much of it was news; `done`: the sweep is at its end."""
    told: dict[str, Any] = {"swept_until": until, "missed": missed}
    told |= {"missed_at": _NOW} if missed else {}
    told |= {"swept_at": _NOW} if done else {}
    fresh = upsert(tx, stream).values(channel=channel, **told)
    later = case(
        (stream.c.swept_until > fresh.excluded.swept_until, stream.c.swept_until), else_=fresh.excluded.swept_until
    )
    more = {"swept_until": later, "missed": stream.c.missed + fresh.excluded.missed}
    await tx.execute(fresh.on_conflict_do_update(index_elements=["channel"], set_=told | more))


async def compared(tx: Tx, channel: str) -> None:
    """Put down that all records were compared with all links."""
    await _note(tx, channel, compared_at=_NOW)


async def beat(tx: Tx, channel: str) -> None:
    """Put down that the heartbeat is set off now."""
    await _note(tx, channel, beat_at=_NOW)


async def _note(tx: Tx, channel: str, **moments: Any) -> None:
    fresh = upsert(tx, stream).values(channel=channel, **moments)
    await tx.execute(fresh.on_conflict_do_update(index_elements=["channel"], set_=moments))


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


def _moved(insert: Any) -> Any:
    fresh = insert(stream).values(
        channel=bindparam("moved_channel"),
        replay_id=bindparam("moved_to"),
        moved_at=_NOW,
        heard_at=_NOW,
        event_at=bindparam("moved_event_at"),
        echo_at=case((bindparam("moved_echoed", type_=Boolean), _NOW)),
        own=bindparam("moved_own"),
        unwatched=bindparam("moved_unwatched"),
    )
    return fresh.on_conflict_do_update(
        index_elements=["channel"],
        set_={
            "replay_id": fresh.excluded.replay_id,
            "moved_at": fresh.excluded.moved_at,
            "heard_at": fresh.excluded.heard_at,
            "event_at": func.coalesce(fresh.excluded.event_at, stream.c.event_at),
            "echo_at": func.coalesce(fresh.excluded.echo_at, stream.c.echo_at),
            "own": stream.c.own + fresh.excluded.own,
            "unwatched": stream.c.unwatched + fresh.excluded.unwatched,
        },
    )


MOVE: Mapping[str, Any] = {"postgresql": _moved(postgresql.insert), "sqlite": _moved(sqlite.insert)}
"""`move` as a statement, by dialect; on Postgres it is part of another one when changes arrive."""
