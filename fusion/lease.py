"""Holding on to one entry while a browser works on it, and knowing in time when it is ours no longer.

Two clocks guard a click. The database's says whose the lease is; our own monotonic one, read *before* each claim or
beat was sent, says how long ago we last knew. A worker that was frozen between the two does not click.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from listener import links, outbox
from listener.database import Database
from listener.entry import OutboxEntry
from listener.errors import EntryError, LeaseLost, Outage
from listener.links import Link, LinksIn


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseTimes:
    """`length`: how long a silent holder keeps the row; `deadline`: how long one visit may take in all."""

    length: timedelta = timedelta(seconds=60)
    deadline: timedelta = timedelta(seconds=180)


class Hold(LinksIn):
    """Our hold on one claimed entry. `about_to_save` is what the portal calls right before each click that saves."""

    def __init__(self, db: Database, entry: OutboxEntry, *, known_at: float, times: LeaseTimes) -> None:
        """`known_at`: `time.monotonic()` read before the claim was sent."""
        super().__init__(db)
        self._entry = entry
        self._known_at = known_at
        self._times = times
        self._intended = False

    async def about_to_save(self) -> None:
        """Commit the intent, then make sure that we have not been away for too long; else `LeaseLost`."""
        await self._intend(None)

    async def about_to_create(self, who: str) -> None:
        """The same for a click that makes a chart. `who`: the digest of the patient that it is made for."""
        await self._intend(who)

    async def still_ours(self, entry: OutboxEntry) -> None:
        """`LeaseLost` unless we knew less than half a lease ago that the entry is ours; asks if need be.

        `entry`: as it was saved last.
        """
        if self._away() and not await self._beat(entry):
            raise LeaseLost(f"entry {self._entry.id} was taken over")
        if self._away():
            raise LeaseLost(f"entry {self._entry.id}: too long since the last heartbeat to write safely")

    def _away(self) -> bool:
        # Half a lease: whoever takes over after a whole one finds what we did, if anything, long done.
        return time.monotonic() - self._known_at > self._times.length.total_seconds() / 2

    async def _intend(self, who: str | None) -> None:
        # Also where the commit's answer is lost: the intent may be there.
        self._intended = True
        try:
            async with self._db.at_once() as tx:
                await outbox.intend(tx, self._entry, identity=who)
        except Outage as outage:
            # Whoever cannot know that the entry is his does not click. It is no outage of the portal's lane.
            raise LeaseLost(f"entry {self._entry.id} cannot be known to be ours: {outage}", hint=outage.hint) from None
        if self._away():
            raise LeaseLost(f"entry {self._entry.id}: too long since the last heartbeat to click safely")

    async def in_doubt(self) -> bool:
        """Whether a save that may have made a chart was begun, now or before, and no link says what became of it."""
        begun = self._intended or self._entry.intent_fence is not None
        return begun and await self.of_record(self._entry.record_id) is None

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Keep the lease alive while the body runs. A lost lease or the deadline cuts the body off where it awaits.

        Raises `LeaseLost`, or `EntryError` at the deadline: the row is tried again, and charged.
        """
        body = asyncio.current_task()
        assert body is not None  # noqa: S101 - always inside a task
        lost: list[LeaseLost] = []

        async def beat() -> None:
            while True:
                await asyncio.sleep(self._times.length.total_seconds() / 4)
                if not await self._beat():
                    lost.append(LeaseLost(f"entry {self._entry.id} was taken over"))
                    body.cancel()
                    return

        heart = asyncio.create_task(beat(), name=f"heartbeat of entry {self._entry.id}")
        limit = asyncio.timeout(self._times.deadline.total_seconds())
        try:
            async with limit:
                yield
        except asyncio.CancelledError:
            if lost and body.uncancel() == 0:
                raise lost[0] from None
            raise
        except TimeoutError:
            if not limit.expired():
                raise
            raise EntryError(
                f"entry {self._entry.id} took longer than its deadline",
                hint="is the portal very slow just now? FUSION_SYNC_DEADLINE_SECONDS says how long a visit may take",
            ) from None
        finally:
            heart.cancel()
            await asyncio.gather(heart, return_exceptions=True)

    async def _beat(self, entry: OutboxEntry | None = None) -> bool:
        asked_at = time.monotonic()
        try:
            async with self._db.at_once() as tx:
                alive = await outbox.beat(
                    tx, entry or self._entry, lease=self._times.length, deadline=self._times.deadline * 1.5
                )
        except Outage:
            # Not known is not lost: the lease runs on, and without news `about_to_save` will not let a click pass.
            return True
        if alive:
            self._known_at = asked_at
        return alive

    async def keep(self, link: Link) -> None:
        """Make the link true; `LeaseLost` if the entry is not ours, `Conflict` if either is linked otherwise."""
        async with self._db.writing() as tx:
            if not await outbox.holds(tx, self._entry):
                raise LeaseLost(f"entry {self._entry.id} is no longer ours")
            await links.make(tx, link)
