"""The way in: every batch from the stream becomes changes, outbox rows and a position, in one transaction.

What the database could not take is offered again until it does: a batch is never let go of, and the position never
runs ahead of the rows.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog

from listener import allowance, gaps, outbox, positions
from listener.change import Change, MalformedEvent, Ours, Reading, changes_in, replay_id_of
from listener.database import Database, Tx
from listener.errors import Conflict, Outage
from listener.positions import Position
from listener.stream import Batch, PositionLost

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """Where changes go. `wake` is called after each batch that brought something; `settle`: see `outbox.append`."""

    db: Database
    ours: Ours
    watched: frozenset[str]
    settle: timedelta
    wake: Callable[[], None]


async def listen(events: AsyncIterator[Batch | PositionLost], intake: Intake) -> None:
    """Keep all that the stream yields, until it ends."""
    async for item in events:
        await _until_it_is_kept(item, intake)


async def _until_it_is_kept(item: Batch | PositionLost, intake: Intake) -> None:
    pause = 0.5
    while True:
        try:
            async with intake.db.writing() as tx:
                if isinstance(item, PositionLost):
                    await _open_gap(tx, item)
                    new = 0
                else:
                    new = await keep(tx, item, intake)
        except (Conflict, Outage) as error:
            log.warning("intake waits for the database", channel=item.channel, why=str(error), seconds=pause)
            await asyncio.sleep(pause)
            pause = min(30.0, pause * 2)
        else:
            if new:
                intake.wake()
            return


async def keep(tx: Tx, batch: Batch, intake: Intake) -> int:
    """The number of new changes in the batch, kept with its position; what is no change event becomes a dead letter."""
    changes: list[Change] = []
    own = unwatched = 0
    sweep: dict[str, datetime] = {}
    last: str | None = None
    at: datetime | None = None
    echoed = False
    for message in batch.messages:
        replay_id = _position_in(message)
        last = replay_id or last
        try:
            reading = _reading_of(message, intake)
        except MalformedEvent as error:
            await positions.bury(tx, batch.channel, message, replay_id=replay_id, reason=str(error))
            log.warning("dead letter", channel=batch.channel, replay_id=replay_id, why=str(error))
            continue
        changes += reading.changes
        at, echoed = reading.at or at, echoed or reading.echoed
        own += reading.own
        unwatched += reading.unwatched
        for object_name, since in reading.sweep.items():
            sweep[object_name] = min(since, sweep.get(object_name, since))
    for object_name, since in sweep.items():
        await gaps.open_gap(
            tx, batch.channel, reason="too many changes for ids", object_name=object_name, since=since, until=None
        )
    moved = (
        Position(channel=batch.channel, replay_id=last, at=at, own=own, unwatched=unwatched, echoed=echoed)
        if last
        else None
    )
    new = await outbox.append(tx, changes, moved, settle=intake.settle)
    await allowance.count(tx, batch.channel, len(batch.messages))
    log.info("batch kept", channel=batch.channel, replay_id=last, messages=len(batch.messages), new=new, own=own)
    return new


def _reading_of(message: Any, intake: Intake) -> Reading:
    if not isinstance(message, Mapping):
        raise MalformedEvent("the message is no object")
    return changes_in(message, ours=intake.ours, watched=intake.watched)


def _position_in(message: Any) -> str | None:
    return replay_id_of(message) if isinstance(message, Mapping) else None


async def _open_gap(tx: Tx, lost: PositionLost) -> None:
    """From the last event that we hold, by the clock of who sent it. Where none says, everything must be swept."""
    standing = await positions.standing(tx, lost.channel)
    since = standing.event_at if standing else None
    await gaps.open_gap(tx, lost.channel, reason=lost.reason, object_name=None, since=since, until=None)
    log.warning("position lost", channel=lost.channel, replay_id=lost.replay_id, since=since, why=lost.reason)
