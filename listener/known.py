"""What we know already of records that Salesforce shows us: heard of, our own doing, waiting, or decided by a person.

Moments of records and changes are Salesforce's; those of attempts are the database's, so they are moved by `ahead`,
how far Salesforce's clock is ahead of it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select

from listener.change import ChangeKind, RecordId
from listener.database import Tx
from listener.due import BLOCKING_REASONS
from listener.entry import State
from listener.schema import attempt, change, link, outbox

_SAME_MOMENT = timedelta(seconds=2)
"""SystemModstamp has whole seconds, a change event's commit time has milliseconds."""
_CLOCKS = timedelta(seconds=3)
"""The same, and that `ahead` is known to a second only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """Of some records: those that have a chart, whose row a worker has still to do with, and whose row is parked.

    `blocked`: parked so that whatever follows must wait; `decided`: when a person last said that the record is done.
    """

    linked: frozenset[RecordId]
    in_work: frozenset[RecordId]
    parked: frozenset[RecordId]
    blocked: frozenset[RecordId]
    decided: Mapping[RecordId, datetime]


async def unheard(
    tx: Tx, modified: Mapping[RecordId, datetime], *, trust_own: bool, ahead: timedelta = timedelta(0)
) -> frozenset[RecordId]:
    """Those of the records whose last modification is not known to us, neither as a change nor as our own doing.

    Known is a change from that moment or later. `trust_own`: a modification while we were telling Salesforce is ours;
    not so after a gap, since a person's edit just before would hide under it.
    """
    if not modified:
        return frozenset()
    heard = (
        select(change.c.record_id, func.max(change.c.changed_at).label("latest"))
        .where(change.c.record_id.in_(modified))
        .group_by(change.c.record_id)
    )
    latest: dict[str, datetime] = {row.record_id: row.latest for row in await tx.execute(heard)}
    missed = {
        one: moment for one, moment in modified.items() if one not in latest or latest[one] + _SAME_MOMENT < moment
    }
    return frozenset(missed.keys() - (await _our_own(tx, missed, ahead) if missed and trust_own else frozenset()))


async def known(tx: Tx, ids: Collection[RecordId], *, ahead: timedelta = timedelta(0)) -> Known:
    """What we know of those records."""
    linked = select(link.c.record_id).where(link.c.record_id.in_(ids))
    rows = select(
        outbox.c.record_id, outbox.c.state, outbox.c.parked_reason.in_(BLOCKING_REASONS).label("blocks")
    ).where(outbox.c.record_id.in_(ids), outbox.c.state.in_([State.PENDING, State.PUSHED, State.PARKED]))
    decided = (
        select(outbox.c.record_id, func.max(outbox.c.resolved_at).label("at"))
        .where(outbox.c.record_id.in_(ids), outbox.c.state == State.DONE, outbox.c.resolved_at.is_not(None))
        .group_by(outbox.c.record_id)
    )
    found = (await tx.execute(rows)).all()
    return Known(
        linked=frozenset((await tx.execute(linked)).scalars()),
        in_work=frozenset(RecordId(row.record_id) for row in found if row.state != State.PARKED),
        parked=frozenset(RecordId(row.record_id) for row in found if row.state == State.PARKED),
        blocked=frozenset(RecordId(row.record_id) for row in found if row.state == State.PARKED and row.blocks),
        decided={RecordId(row.record_id): row.at + ahead + _CLOCKS for row in await tx.execute(decided)},
    )


async def told_as_deleted(tx: Tx, ids: Collection[RecordId]) -> frozenset[RecordId]:
    """Those of the records of which the last thing we heard is that they were deleted."""
    last = select(func.max(change.c.id)).where(change.c.record_id.in_(ids)).group_by(change.c.record_id)
    deleted = select(change.c.record_id).where(change.c.id.in_(last), change.c.kind == ChangeKind.DELETE)
    return frozenset((await tx.execute(deleted)).scalars())


async def all_linked(tx: Tx) -> set[RecordId]:
    """Every record that has a chart."""
    return {RecordId(one) for one in (await tx.execute(select(link.c.record_id))).scalars()}


async def _our_own(tx: Tx, modified: Mapping[RecordId, datetime], ahead: timedelta) -> frozenset[RecordId]:
    """Those that were modified between the begin and the end of an attempt to tell Salesforce."""
    told = (
        select(outbox.c.record_id, attempt.c.started_at, attempt.c.ended_at)
        .join(attempt, attempt.c.outbox_id == outbox.c.id)
        .where(
            outbox.c.record_id.in_(modified),
            attempt.c.step == "writeback",
            attempt.c.ended_at >= min(modified.values()) - ahead - _CLOCKS,
        )
    )
    return frozenset(
        one
        for one, began, ended in await tx.execute(told)
        if began + ahead - _CLOCKS <= modified[one] <= ended + ahead + _CLOCKS
    )
