"""What a person approved of a backfill: into the outbox by the rows and arrows of all else, whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from sqlalchemy import select, update

from listener import interventions, links, outbox
from listener.change import Change, ChangeKind, RecordId, Source
from listener.database import Tx
from listener.entry import CONFIRMED_NEW, State
from listener.errors import Conflict
from listener.known import known as known_of
from listener.schema import change, link
from listener.schema import outbox as entries

T = TypeVar("T")
_AT_ONCE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Approved:
    """One record that is to be worked. `chart`: a person says it is this one; `is_new`: that there is none.

    `modified_at`: the state of the record that was looked at. With neither, the worker finds out by itself.
    """

    record_id: RecordId
    object_name: str
    modified_at: datetime
    chart: str | None = None
    is_new: bool = False

    @property
    def change(self) -> Change:
        """The change that stands for the approval; the same for the same state of the record."""
        return Change(
            object_name=self.object_name,
            record_id=self.record_id,
            kind=ChangeKind.UPDATE,
            changed_at=self.modified_at,
            dedupe_key=f"backfill:{self.record_id}:{self.modified_at.isoformat()}",
            source=Source.BACKFILL,
        )


async def settled(tx: Tx, record_ids: Sequence[RecordId]) -> tuple[frozenset[RecordId], frozenset[RecordId]]:
    """Those of the records that have a chart; and the others of which a worker or a person has an entry in hand."""
    linked, in_hand = set[RecordId](), set[RecordId]()
    for ids in _portions(record_ids):
        known = await known_of(tx, ids)
        linked |= known.linked
        in_hand |= known.in_work | known.parked
    return frozenset(linked), frozenset(in_hand - linked)


async def owners(tx: Tx, portal_ids: Sequence[str]) -> Mapping[str, RecordId]:
    """Whose those charts are, of those that are somebody's."""
    found: dict[str, RecordId] = {}
    for ids in _portions(portal_ids):
        rows = await tx.execute(select(link.c.portal_id, link.c.record_id).where(link.c.portal_id.in_(ids)))
        found |= {portal_id: RecordId(record_id) for portal_id, record_id in rows}
    return found


async def approve(tx: Tx, approved: Sequence[Approved], *, actor: str, reason: str, target: str) -> int:
    """The number of records that were put into the outbox; those that were approved before add nothing.

    `Conflict` where a decision cannot be made true any more: then leave the transaction, and nothing of it is.
    """
    known = await _approved_before(tx, approved)
    # Sorted, so that it locks rows in the order in which the listener does.
    new = sorted((one for one in approved if one.record_id not in known), key=lambda one: one.record_id)
    if not new:
        return 0
    for portion in (new[start : start + _AT_ONCE] for start in range(0, len(new), _AT_ONCE)):
        await outbox.append(tx, [one.change for one in portion], None, settle=timedelta(0))
    for one in new:
        if one.chart is not None:
            await interventions.link_by_hand(tx, one.record_id, one.chart)
        elif one.is_new:
            await _confirm_new(tx, one.record_id)
    await interventions.note(tx, actor, "backfill", target, f"{len(new)} records: {reason}")
    return len(new)


async def _confirm_new(tx: Tx, record_id: RecordId) -> None:
    if await links.of_record(tx, record_id) is not None:
        raise Conflict(f"record {record_id} has a chart already", hint="preview again")
    waiting = update(entries).where(
        entries.c.record_id == record_id,
        entries.c.state == State.PENDING,
        entries.c.leased_until.is_(None),
        entries.c.intent_fence.is_(None),
    )
    if (await tx.execute(waiting.values(code=CONFIRMED_NEW))).rowcount != 1:
        raise Conflict(f"record {record_id} is being worked on", hint="approve again in a minute")


async def _approved_before(tx: Tx, approved: Sequence[Approved]) -> frozenset[RecordId]:
    by_key = {one.change.dedupe_key: one.record_id for one in approved}
    found: set[RecordId] = set()
    for keys in _portions(list(by_key)):
        rows = await tx.execute(select(change.c.dedupe_key).where(change.c.dedupe_key.in_(keys)))
        found |= {by_key[key] for key in rows.scalars()}
    return frozenset(found)


def _portions(ids: Sequence[T]) -> Iterator[list[T]]:
    return (list(ids[start : start + _AT_ONCE]) for start in range(0, len(ids), _AT_ONCE))
