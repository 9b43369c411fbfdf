"""What the stream may have missed: records compared by SystemModstamp, into the same outbox.

SystemModstamp is indexed and moves with every write, automated ones too ("sObject Get Updated"). A record counts as
heard if a change of it, or our own write-back, is known from the same moment or later. Spans begin and end by
Salesforce's clock, never by ours, and each page is committed with how far it reaches: a sweep that is killed is gone on
with by the next one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import structlog

from listener import gaps, known, outbox, positions
from listener.change import Change, ChangeKind, RecordId, Source
from listener.database import Database, Tx
from listener.gaps import Gap
from listener.listen import Intake
from listener.org import Org, Touched

log = structlog.get_logger()

BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
OVERLAP = timedelta(minutes=10)
"""A transaction may take that long to show a record that it has stamped already (ten minutes: "Apex Governor Limits",
the longest transaction)."""
_PAGE = 500
_LOG_OF_DELETES = timedelta(days=15)  # "sObject Get Deleted"
_SETTLED = timedelta(seconds=5)  # SystemModstamp has whole seconds: the current one may not be over yet


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """What a sweep came to.

    `changed`: records that changed in the span; `missed`: those of them that the stream had not told of; `deleted`:
    deletes that it had not told of; `gaps`: how many were closed.
    """

    since: datetime
    until: datetime
    changed: int = 0
    missed: int = 0
    deleted: int = 0
    gaps: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """What one page came to."""

    changed: int
    missed: frozenset[RecordId]
    deleted: frozenset[RecordId]


async def sweep(
    org: Org, intake: Intake, *, object_name: str, channel: str, where: str | None, overlap: timedelta = OVERLAP
) -> Swept:
    """Compare everything since the last sweep, less `overlap`, and close the gaps that are open.

    `where`: a SOQL condition that the channel's own filter sets on events. Raises `Outage` where Salesforce does not
    answer; then the next sweep goes on behind the last page that was committed.
    """
    at = await org.now()
    until = at - _SETTLED
    async with intake.db.reading() as tx:
        standing = await positions.standing(tx, channel)
        open_gaps = await gaps.list_gaps(tx, channel=channel, only_open=True)
        ahead = at - await positions.now(tx)
    last = (standing.swept_until if standing else None) or at
    starts = {gap.id: _start(gap, overlap) for gap in open_gaps}
    reached = {gap.id: gap.swept_until for gap in open_gaps}
    done = Swept(since=min([last - overlap, *starts.values()]), until=until, gaps=len(open_gaps))

    async for page in pages(org.changed_since(object_name, done.since, until, where=where)):
        async with intake.db.writing() as tx:
            found = await _compare(tx, page, trust_own=not open_gaps, ahead=ahead)
            await _keep(tx, object_name, page, found, intake)
            for gap in open_gaps:
                await _count(tx, gap.id, _in(page, starts[gap.id], reached[gap.id]), found, reached[gap.id])
            number = len(found.missed) + len(found.deleted)
            await positions.swept(tx, channel, page[-1].modified_at, missed=number, done=False)
        reached |= {one: page[-1].modified_at for one in reached if _in(page, starts[one], reached[one])}
        done = _plus(done, found)
    for gap in open_gaps:
        # From its beginning, also where the records are gone on with in the middle.
        whole = (_start(replace(gap, swept_until=None), overlap), until)
        gone = await _deletes(org, intake, gap.id, reached[gap.id], object_name=object_name, span=whole)
        done = replace(done, deleted=done.deleted + gone)
    async with intake.db.writing() as tx:
        for gap in open_gaps:
            await gaps.close_gap(tx, gap.id, until=until, note=_note(gap, until))
        await positions.swept(tx, channel, until, missed=0, done=True)
    log.info(
        "swept",
        channel=channel,
        since=done.since,
        until=done.until,
        gaps=done.gaps,
        seen=done.changed,
        missed=done.missed,
        deleted=done.deleted,
    )
    if done.missed or done.deleted:
        log.warning("the stream had not told of all that changed", channel=channel, missed=done.missed + done.deleted)
        intake.wake()
    return done


async def look(org: Org, db: Database, *, object_name: str, where: str | None, since: datetime) -> Swept:
    """What a sweep from that moment on would come to; nothing is written."""
    at = await org.now()
    async with db.reading() as tx:
        ahead = at - await positions.now(tx)
    done = Swept(since=since, until=at - _SETTLED)
    async for page in pages(org.changed_since(object_name, since, done.until, where=where)):
        async with db.reading() as tx:
            done = _plus(done, await _compare(tx, page, trust_own=False, ahead=ahead))
    return done


def _start(gap: Gap, overlap: timedelta) -> datetime:
    """Where a sweep of the gap begins: behind what was committed of it, else before the gap itself."""
    if gap.swept_until is not None:
        return gap.swept_until
    return gap.from_at - overlap if gap.from_at is not None else BEGINNING


async def _compare(tx: Tx, page: Sequence[Touched], *, trust_own: bool, ahead: timedelta) -> _Found:
    modified = {one.record_id: one.modified_at for one in page}
    new = await known.unheard(tx, modified, trust_own=trust_own, ahead=ahead)
    gone = frozenset(one.record_id for one in page if one.deleted)
    return _Found(changed=len(modified.keys() - gone), missed=new - gone, deleted=new & gone)


async def _keep(tx: Tx, object_name: str, page: Sequence[Touched], found: _Found, intake: Intake) -> None:
    new = found.missed | found.deleted
    changes = [change_of(object_name, one) for one in page if one.record_id in new]
    await outbox.append(tx, changes, None, settle=intake.settle)


def _in(page: Sequence[Touched], start: datetime, reached: datetime | None) -> Sequence[Touched]:
    """What of the page lies in a gap that begins at `start`, behind what was counted before."""
    return [one for one in page if one.modified_at >= start and (reached is None or one.modified_at > reached)]


async def _count(tx: Tx, gap_id: int, page: Sequence[Touched], found: _Found, reached: datetime | None) -> None:
    if page:
        ids = {one.record_id for one in page}
        await gaps.sweep_came_to(
            tx,
            gap_id,
            before=reached,
            until=page[-1].modified_at,
            changed=len({one.record_id for one in page if not one.deleted}),
            enqueued=len(found.missed & ids),
            deleted=len(found.deleted & ids),
        )


async def _deletes(
    org: Org,
    intake: Intake,
    gap_id: int,
    reached: datetime | None,
    *,
    object_name: str,
    span: tuple[datetime, datetime],
) -> int:
    """How many patients with a chart were deleted in the gap and are told of only now.

    By the org's log of deletes, which knows of purged records too. Who has no chart is nobody's concern.
    """
    number = 0
    async for page in pages(org.deleted_since(object_name, *span)):
        async with intake.db.writing() as tx:
            ids = [one.record_id for one in page]
            linked = (await known.known(tx, ids)).linked - await known.told_as_deleted(tx, ids)
            found = _Found(changed=0, missed=frozenset(), deleted=linked)
            await _keep(tx, object_name, page, found, intake)
            await gaps.sweep_came_to(tx, gap_id, before=reached, until=span[1], deleted=len(linked))
        reached = span[1]
        number += len(linked)
    return number


def _note(gap: Gap, until: datetime) -> str | None:
    reaches = until - _LOG_OF_DELETES
    if gap.from_at is None or gap.from_at >= reaches:
        return None
    return (
        f"Salesforce's log of deletes reaches back to {reaches:%Y-%m-%d} only; a patient who was deleted and purged "
        "before that is found by the nightly comparison."
    )


def _plus(done: Swept, found: _Found) -> Swept:
    return replace(
        done,
        changed=done.changed + found.changed,
        missed=done.missed + len(found.missed),
        deleted=done.deleted + len(found.deleted),
    )


def change_of(object_name: str, one: Touched) -> Change:
    """What a look at the record tells: it changed at that moment, in any of its fields."""
    return Change(
        object_name=object_name,
        record_id=one.record_id,
        kind=ChangeKind.DELETE if one.deleted else ChangeKind.UPDATE,
        changed_at=one.modified_at,
        dedupe_key=f"sweep:{one.record_id}:{one.modified_at.isoformat()}",
        source=Source.SWEEP,
    )


async def pages(touched: AsyncIterator[Touched]) -> AsyncIterator[Sequence[Touched]]:
    """What is compared, and committed, at a time. What bears one moment stays together, so that one goes on behind."""
    page: list[Touched] = []
    async for one in touched:
        if len(page) >= _PAGE and one.modified_at != page[-1].modified_at:
            yield page
            page = []
        page.append(one)
    if page:
        yield page
