"""The comparison of all: every record that is ready against every chart that we linked, once a night.

It finds what neither stream nor sweep can show: a record that is ready and was never worked, an edit that lies hidden
under our own write-back, a patient with a chart whose record is gone. A page of records is held at a time, and the ids
of all linked ones (about 100 bytes each).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta

import structlog

from listener import known, outbox, positions
from listener.change import Change, ChangeKind, RecordId, Source
from listener.database import Tx
from listener.listen import Intake
from listener.org import Org, Touched
from listener.sweep import BEGINNING, change_of, pages
from listener.upkeep import SHORTEST

log = structlog.get_logger()

_READ = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """What the comparison came to, in records.

    `ready`: all that are marked as ready; `never_worked`, `hidden`, `gone`: enqueued, since a ready one has neither
    chart nor row, since its last edit was not heard of, since a linked one was deleted. `not_ready`: linked and no
    longer marked; their charts are left as they are. `before_start`: ready and not ours, since the first start was
    "now".
    """

    ready: int = 0
    linked: int = 0
    never_worked: int = 0
    hidden: int = 0
    gone: int = 0
    not_ready: int = 0
    before_start: int = 0

    def __add__(self, other: Compared) -> Compared:
        return Compared(**{one.name: getattr(self, one.name) + getattr(other, one.name) for one in fields(self)})

    @property
    def enqueued(self) -> int:
        """How many records will be looked at."""
        return self.never_worked + self.hidden + self.gone


async def reconcile(
    org: Org, intake: Intake, *, object_name: str, channel: str, where: str, only_count: bool = False
) -> Compared:
    """Compare everything and enqueue what is found; with `only_count` nothing is written. Raises `Outage`.

    `where`: the SOQL condition of a record that is ready. What was enqueued once is not again until it changes.
    """
    at = await org.now()
    async with intake.db.reading() as tx:
        standing = await positions.standing(tx, channel)
        linked = await known.all_linked(tx)
        ahead = at - await positions.now(tx)
    not_ours_before = (standing.covers_from if standing else None) or BEGINNING
    done = Compared(linked=len(linked))
    async for page in pages(org.changed_since(object_name, BEGINNING, at, where=where)):
        live = [one for one in page if not one.deleted]
        linked.difference_update(one.record_id for one in live)
        async with intake.db.reading() as tx:
            counts, found = await _look(tx, live, at=at, ahead=ahead, not_ours_before=not_ours_before)
        done += counts
        await _enqueue([change_of(object_name, one) for one in found], intake, only_count=only_count)
    async for counts, deleted in _those_not_seen(org, intake, sorted(linked), object_name=object_name, at=at):
        done += counts
        await _enqueue(deleted, intake, only_count=only_count)
    if not only_count:
        async with intake.db.writing() as tx:
            await positions.compared(tx, channel)
        if done.enqueued:
            intake.wake()
        log.info(
            "compared all records",
            channel=channel,
            seen=done.ready,
            new=done.never_worked,
            missed=done.hidden,
            deleted=done.gone,
        )
    return done


async def _look(
    tx: Tx, page: Sequence[Touched], *, at: datetime, ahead: timedelta, not_ours_before: datetime
) -> tuple[Compared, list[Touched]]:
    """Counts of a page, and those of it that must be looked at."""
    modified = {one.record_id: one.modified_at for one in page}
    told = await known.known(tx, modified, ahead=ahead)
    decided = {one for one, moment in told.decided.items() if modified[one] <= moment}
    loose = modified.keys() - told.linked - told.in_work - told.parked - decided
    before = {one for one in loose if modified[one] < not_ours_before}
    # Not further back than the changes that we hold for sure: of what is older nobody knows whether it was heard.
    recent = {one: moment for one, moment in modified.items() if moment > at - SHORTEST and one not in loose | decided}
    unheard = await known.unheard(tx, recent, trust_own=False)
    # Not what is being worked (the next night will tell), nor what waits behind a person: then it is read anew.
    hidden = unheard - told.in_work - told.blocked
    wanted = (loose - before) | hidden
    counts = Compared(
        ready=len(modified), never_worked=len(loose - before), hidden=len(hidden), before_start=len(before)
    )
    return counts, [one for one in page if one.record_id in wanted]


async def _those_not_seen(
    org: Org, intake: Intake, ids: Sequence[RecordId], *, object_name: str, at: datetime
) -> AsyncIterator[tuple[Compared, list[Change]]]:
    """Linked records that are not among the ready ones: gone, or no longer ready."""
    for start in range(0, len(ids), _READ):
        portion = ids[start : start + _READ]
        found = await org.read(object_name, portion, [])
        gone = {one for one in portion if one not in found or found[one].get("IsDeleted")}
        async with intake.db.reading() as tx:
            new = gone - await known.told_as_deleted(tx, gone)
        changes = [
            Change(
                object_name=object_name,
                record_id=one,
                kind=ChangeKind.DELETE,
                changed_at=at,
                dedupe_key=f"gone:{one}:{at.isoformat()}",
                source=Source.SWEEP,
            )
            for one in sorted(new)
        ]
        yield Compared(gone=len(new), not_ready=len(portion) - len(gone)), changes


async def _enqueue(changes: Sequence[Change], intake: Intake, *, only_count: bool) -> None:
    if changes and not only_count:
        async with intake.db.writing() as tx:
            await outbox.append(tx, changes, None, settle=intake.settle)
