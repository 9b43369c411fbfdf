"""Our outbox as the product uses it: `listen` appends, `drain` claims and saves.

Three ways to the end of a row. `Round` is `fusion.drain.drain` itself, with a record that is gone, so that there is
nothing to do for the portal; it adds the read of the link, the heartbeat's task, the gates and the log line.
`TwoStages` is what that does to the outbox: claim, save PUSHED, save DONE, three commits. `OneFinish` leaves PUSHED
out, which the product never does: that is the claim and finish of other queues.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from fusion import drain, turn
from fusion.cli.migrate import migrate
from fusion.mapping import load_mapping
from listener import outbox
from listener.change import Change, ChangeKind, RecordId, Source, long_id
from listener.database import Database
from listener.entry import OutboxEntry, Outcome, SyncResult
from listener.errors import LeaseLost
from listener.org import Record
from listener.positions import Position
from tests.bench.queues import BATCH
from tests.fake_org import FakeOrg
from tests.fake_portal import FakePortal

CHANNEL = "/data/FusionSync__chn"
UNCHANGED = SyncResult(outcome=Outcome.UNCHANGED, portal_id="40001")

_numbers = count(1)


def changes(rows: int, *, of: RecordId | None = None) -> list[Change]:
    """New changes, each of another record, or all of the one given."""
    return [
        Change(
            object_name="Patient__c",
            record_id=of or long_id(f"a0P{number:012}"),
            kind=ChangeKind.UPDATE,
            fields=frozenset({"First_Name__c", "Guardian_Phone__c"}),
            changed_at=datetime.now(UTC),
            dedupe_key=f"bench:{number}",
            source=Source.STREAM,
        )
        for _ in range(rows)
        for number in [next(_numbers)]
    ]


async def append(db: Database, batch: Sequence[Change]) -> None:
    """One transaction as `listen` has it: the changes, their rows, the position."""
    async with db.writing() as tx:
        await outbox.append(tx, batch, Position(channel=CHANNEL, replay_id=batch[-1].dedupe_key), settle=timedelta(0))


async def save(db: Database, before: OutboxEntry, after: OutboxEntry) -> None:
    """One transaction as `drain` has it."""
    async with db.at_once() as tx:
        if not await outbox.save(tx, before, after):
            raise LeaseLost(f"entry {before.id} is no longer ours")


class _Ours:
    def __init__(self, url: str) -> None:
        """`url` as in DATABASE_URL."""
        self._url = url

    async def prepare(self) -> None:
        await asyncio.to_thread(migrate, self._url)

    async def open(self) -> None:
        self.db = Database(self._url)
        self.worker = worker(self.db)
        await self.db.check()

    async def append(self, rows: int) -> None:
        for one in changes(rows):
            await append(self.db, [one])

    async def append_batches(self, rows: int) -> None:
        for _ in range(rows // BATCH):
            await append(self.db, changes(BATCH))

    async def close(self) -> None:
        await self.db.close()


class OneFinish(_Ours):
    """Claim and finish, two commits."""

    async def drain(self, done: Callable[[], None]) -> None:
        while (claimed := await turn.claim(self.worker)) is not None:
            await save(self.db, claimed.entry, claimed.entry.pushed(UNCHANGED).settled())
            done()


class TwoStages(_Ours):
    """Claim, answer of the portal, Salesforce told: three commits."""

    async def drain(self, done: Callable[[], None]) -> None:
        while (claimed := await turn.claim(self.worker)) is not None:
            pushed = claimed.entry.pushed(UNCHANGED)
            await save(self.db, claimed.entry, pushed)
            await save(self.db, pushed, pushed.settled())
            done()


class Round(_Ours):
    """The product's own round."""

    async def drain(self, done: Callable[[], None]) -> None:
        await drain.drain(worker(self.db, org=_CountingOrg(done)), stopping=asyncio.Event())


class _CountingOrg(FakeOrg):
    """An org without records, which is asked once a visit."""

    def __init__(self, asked: Callable[[], None]) -> None:
        super().__init__()
        self._asked = asked

    async def read(
        self, object_name: str, record_ids: Sequence[RecordId], fields: Sequence[str]
    ) -> dict[RecordId, Record]:
        self._asked()
        return {}


def worker(db: Database, org: Any = None) -> turn.Worker:
    """A worker as `app` makes it, with nothing to do."""
    return turn.Worker(db=db, org=org or FakeOrg(), portal=FakePortal(), mapping=load_mapping(None), name="bench")
