"""What the stream may have missed: records compared by SystemModstamp, into the same outbox.

SystemModstamp is indexed and moves with every write, automated ones too ("sObject Get Updated"). A record counts as
heard if a change of it, or our own write-back, is known from the same moment or later.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from listener import board, outbox, positions
from listener.change import Change, ChangeKind, Source
from listener.listen import Intake
from listener.org import Org, Touched

log = structlog.get_logger()

_PAGE = 500
_RETENTION = timedelta(hours=72)  # of change events ("Message Durability")
_SETTLED = timedelta(seconds=5)  # SystemModstamp has whole seconds: the current one may not be over yet


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """What a sweep came to: records that changed in the span, and those of them that the stream had missed."""

    since: datetime
    until: datetime
    seen: int = 0
    missed: int = 0
    deleted: int = 0


async def sweep(
    org: Org,
    intake: Intake,
    *,
    channel: str,
    where: str | None,
    now: datetime,
    overlap: timedelta = timedelta(minutes=10),
) -> Swept:
    """Compare everything since the last sweep, less `overlap`, and close the gaps that lie in that span.

    `where`: a SOQL condition that the channel's own filter sets on events.

    Raises `Outage` where Salesforce does not answer; then the next sweep begins where this one did.
    """
    async with intake.db.reading() as tx:
        last = await positions.swept_until(tx, channel)
        gaps = [gap for gap in await positions.open_gaps(tx) if gap["channel"] == channel]
    starts = [gap["from_at"] or now - _RETENTION for gap in gaps] + [last or now]
    until = now - _SETTLED
    span = (min(starts) - overlap, until)
    done = await _compare(org, intake, where=where, span=span, trust_own=not gaps)
    async with intake.db.writing() as tx:
        await positions.sweep_done(tx, channel, until)
        for gap in gaps:
            await positions.close_gap(tx, gap["id"], changed=done.seen, enqueued=done.missed, deleted=done.deleted)
    log.info("swept", channel=channel, seen=done.seen, missed=done.missed, deleted=done.deleted, gaps=len(gaps))
    if done.missed:
        intake.wake()
    return done


async def _compare(
    org: Org, intake: Intake, *, where: str | None, span: tuple[datetime, datetime], trust_own: bool
) -> Swept:
    seen = missed = deleted = 0
    since, until = span
    for object_name in sorted(intake.watched):
        async for page in _pages(org.changed_since(object_name, since, until, where=where)):
            seen += len(page)
            deleted += sum(one.deleted for one in page)
            async with intake.db.writing() as tx:
                modified = {one.record_id: one.modified_at for one in page}
                unheard = await board.unheard(tx, modified, trust_own=trust_own)
                changes = [_change(object_name, one) for one in page if one.record_id in unheard]
                missed += await outbox.append(tx, changes, None, settle=intake.settle)
    return Swept(since=since, until=until, seen=seen, missed=missed, deleted=deleted)


def _change(object_name: str, one: Touched) -> Change:
    return Change(
        object_name=object_name,
        record_id=one.record_id,
        kind=ChangeKind.DELETE if one.deleted else ChangeKind.UPDATE,
        changed_at=one.modified_at,
        dedupe_key=f"sweep:{one.record_id}:{one.modified_at.isoformat()}",
        source=Source.SWEEP,
    )


async def _pages(touched: AsyncIterator[Touched]) -> AsyncIterator[Sequence[Touched]]:
    page: list[Touched] = []
    async for one in touched:
        page.append(one)
        if len(page) == _PAGE:
            yield page
            page = []
    if page:
        yield page
