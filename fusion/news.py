"""What Salesforce hears of entries that are not answered yet: that they are tried again, or worked on for long.

It is a courtesy to who looks at the record: never waited for, told in one call for many, and forgotten in a crash. What
it says is never left standing, since each visit reads the record, and whatever comes of it says otherwise.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import structlog

from fusion.codes import Code
from fusion.turn import Turn, Worker
from fusion.writeback import fields_for, in_progress
from listener import tellings
from listener.entry import OutboxEntry, State
from listener.errors import EntryError, Outage
from listener.org import Record

log = structlog.get_logger()


@dataclass(slots=True)
class News:
    """Entries that are to be tried again, with their records as they were seen last."""

    _kept: dict[int, tuple[OutboxEntry, Record]] = field(default_factory=dict)
    _since: float = 0.0

    def hear_of(self, turn: Turn, *, charged: Collection[int]) -> None:
        """Keep what a turn left for later: where an attempt was `charged`, it waits for the portal to be
        as it was, or Salesforce shows that we are at it."""
        for entry in turn.entries.values():
            record = turn.seen.get(entry.record_id)
            self._kept.pop(entry.id, None)
            if entry.state is not State.PENDING or record is None or record.get("IsDeleted"):
                continue
            if entry.id in charged or turn.shown or entry.code == Code.PORTAL_CHANGED:
                self._since = self._since if self._kept else time.monotonic()
                self._kept[entry.id] = entry, record

    def is_time(self, worker: Worker) -> bool:
        """Whether enough has gathered, or the oldest has waited long enough."""
        waited = time.monotonic() - self._since
        return bool(self._kept) and (
            len(self._kept) >= tellings.MOST or waited >= worker.limits.tell_after.total_seconds()
        )

    async def tell(self, worker: Worker) -> None:
        """Tell what is still so. Raises `SetupError`, and `Outage` where the database does not answer."""
        kept, self._kept = self._kept, {}
        if not kept:
            return
        async with worker.db.reading() as tx:
            still = await tellings.not_claimed_since(tx, [entry for entry, _ in kept.values()])
        values = {
            entry.record_id: changed
            for entry, record in kept.values()
            if entry.id in still and (changed := fields_for(entry, record, worker.mapping.own, now=worker.clock()))
        }
        try:
            await worker.org.update(worker.mapping.object_name, values)
        except (Outage, EntryError) as error:
            log.info("not told that it is tried again", entries=sorted(still), why=str(error))


@asynccontextmanager
async def of_a_long_visit(turn: Turn, worker: Worker) -> AsyncIterator[None]:
    """Say that the visit is in progress, if the body takes so long that a person may wonder."""
    saying = asyncio.create_task(_say_in_progress(turn, worker), name=f"news of entry {turn.entry.id}")
    try:
        yield
    finally:
        saying.cancel()
        await asyncio.gather(saying, return_exceptions=True)


async def _say_in_progress(turn: Turn, worker: Worker) -> None:
    await asyncio.sleep(worker.limits.long_visit.total_seconds())
    entry = turn.entry
    record = turn.seen.get(entry.record_id)
    if record is None or record.get("IsDeleted"):
        return
    if says := in_progress(record, worker.mapping.own):
        # Before it is sent: whether it was taken may never be known, and what is said next must differ from it.
        turn.shown, turn.seen[entry.record_id] = True, {**record, **says}
        await worker.org.update(entry.object_name, {entry.record_id: says})
