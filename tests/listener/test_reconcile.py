"""All ready records against all charts: what nobody has looked at is found once, and what is in order is left alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest

from listener import interventions, links, positions, schema
from listener.change import ChangeKind, Ours, RecordId, Source
from listener.database import Database
from listener.entry import ParkedReason
from listener.errors import Outage
from listener.links import Link
from listener.listen import Intake
from listener.reconcile import Compared, reconcile
from tests.fake_org import FakeOrg
from tests.outbox_rows import CHANNEL, DAY, HOUR, NO_TIME, a_change, alter, arrive, claimed, now, refused, rows, settle

P, READY = "Patient__c", "Ready_for_Fusion__c = true"


class Gated(FakeOrg):
    """An org that knows the condition of a record that is ready."""

    async def changed_since(self, *args: Any, where: str | None = None, **kwargs: Any) -> Any:
        async for one in super().changed_since(*args, **kwargs):
            if where is None or self.records[one.record_id].get("Ready_for_Fusion__c"):
                yield one


@dataclass
class Clinic:
    """An org whose clock is `at`, the database's own, and records that were worked or not."""

    db: Database
    at: datetime
    org: Gated = field(init=False)
    woken: int = 0

    def __post_init__(self) -> None:
        self.org = Gated(clock=lambda: self.at)

    def _wake(self) -> None:
        self.woken += 1

    def ready(self) -> RecordId:
        """A new record that is ready."""
        return self.org.create({"Ready_for_Fusion__c": True})

    async def heard(self, record_id: RecordId) -> None:
        """The stream told of the record as it is now."""
        await arrive(self.db, a_change(record_id=record_id, changed_at=self.at))

    async def linked(self, *, heard: bool = True) -> RecordId:
        """A record with a chart, worked to its end."""
        record_id = self.ready()
        if heard:
            await self.heard(record_id)
            await settle(self.db, await claimed(self.db))
        async with self.db.writing() as tx:
            link = Link(record_id=record_id, portal_id=f"4{record_id[-8:-3]}", how="created", identity=None)
            await links.make(tx, link)
        return record_id

    async def compare(self, *, only_count: bool = False) -> Compared:
        intake = Intake(
            db=self.db,
            ours=Ours(user_id=None, client="fusion-sync", fields=frozenset()),
            watched=frozenset({P}),
            settle=NO_TIME,
            wake=self._wake,
        )
        return await reconcile(self.org, intake, object_name=P, channel=CHANNEL, where=READY, only_count=only_count)

    async def enqueued(self) -> list[tuple[str, str]]:
        """Which records the comparison enqueued, as what."""
        changes = await rows(self.db, schema.change)
        return [(one["record_id"], one["kind"]) for one in changes if one["source"] == Source.SWEEP]


@pytest.fixture
async def clinic(db: Database) -> Clinic:
    return Clinic(db, (await now(db)).replace(microsecond=0))


async def test_a_ready_record_that_was_never_worked_is_enqueued_once(clinic: Clinic) -> None:
    record_id = clinic.ready()
    assert await clinic.compare() == Compared(ready=1, never_worked=1)
    assert await clinic.enqueued() == [(record_id, ChangeKind.UPDATE)]
    assert await clinic.compare() == Compared(ready=1)
    assert (await clinic.enqueued(), clinic.woken) == ([(record_id, ChangeKind.UPDATE)], 1)


async def test_however_old_it_is(clinic: Clinic) -> None:
    clinic.ready()
    clinic.at += 1000 * DAY
    assert (await clinic.compare()).never_worked == 1


async def test_what_is_worked_waits_or_is_parked_is_left_alone(clinic: Clinic) -> None:
    await clinic.linked()
    for number in range(2):
        await clinic.heard(clinic.ready())
        if number == 0:
            await settle(clinic.db, await claimed(clinic.db), refused(ParkedReason.BAD_DATA))
    assert await clinic.compare() == Compared(ready=3, linked=1)
    assert await clinic.enqueued() == []


async def test_what_was_skipped_and_became_ready_unheard_is_found(clinic: Clinic) -> None:
    record_id = clinic.ready()
    await clinic.heard(record_id)
    await settle(clinic.db, await claimed(clinic.db))  # skipped, so without a link
    clinic.at += HOUR
    clinic.org.edit(record_id, {"Ready_for_Fusion__c": True})
    assert (await clinic.compare()).never_worked == 1


async def test_what_a_person_called_done_is_not_brought_up_again_until_it_changes(clinic: Clinic) -> None:
    clinic.at -= 2 * HOUR
    record_id = clinic.ready()
    await clinic.heard(record_id)
    entry = await settle(clinic.db, await claimed(clinic.db), refused(ParkedReason.AMBIGUOUS))
    async with clinic.db.writing() as tx:
        await interventions.resolve_as_done(tx, entry.id, actor="dana", reason="made by hand")
    await alter(clinic.db, entry.id, resolved_at=clinic.at + HOUR)
    clinic.at += 2 * HOUR
    assert await clinic.compare() == Compared(ready=1)
    clinic.org.edit(record_id, {"First_Name__c": "Mia"})
    assert (await clinic.compare()).never_worked == 1


async def test_an_edit_under_our_own_write_back_is_found_and_looked_at_once(clinic: Clinic) -> None:
    """The write-back stamped the record last, so that neither its time nor its author tells of the edit before."""
    record_id = await clinic.linked()
    clinic.at += timedelta(seconds=5)
    clinic.org.edit(record_id, {"First_Name__c": "Mia", "Fusion_Sync_Status__c": "Synced"})
    assert await clinic.compare() == Compared(ready=1, linked=1, hidden=1)
    assert await clinic.enqueued() == [(record_id, ChangeKind.UPDATE)]
    await settle(clinic.db, await claimed(clinic.db))
    assert await clinic.compare() == Compared(ready=1, linked=1)


async def test_what_hides_in_work_or_behind_a_person_is_left_to_them(clinic: Clinic) -> None:
    for reason in (ParkedReason.AMBIGUOUS, None):
        await clinic.heard(clinic.ready())
        entry = await claimed(clinic.db)
        if reason is not None:
            await settle(clinic.db, entry, refused(reason))
    clinic.at += timedelta(seconds=5)
    for record_id in clinic.org.records:
        clinic.org.edit(record_id, {"Fusion_Sync_Status__c": "Needs Attention"})
    assert await clinic.compare() == Compared(ready=2)


async def test_a_parked_record_that_was_mended_under_our_write_back_is_found(clinic: Clinic) -> None:
    record_id = clinic.ready()
    await clinic.heard(record_id)
    await settle(clinic.db, await claimed(clinic.db), refused(ParkedReason.BAD_DATA))
    clinic.at += timedelta(seconds=5)
    clinic.org.edit(record_id, {"Date_of_Birth__c": "2019-03-04", "Fusion_Sync_Status__c": "Needs Attention"})
    assert await clinic.compare() == Compared(ready=1, hidden=1)


async def test_of_what_is_older_than_our_memory_nobody_says_that_it_was_missed(clinic: Clinic) -> None:
    """Finished entries go with their changes after a time, and nothing may be enqueued for that."""
    await clinic.linked(heard=False)
    clinic.at += 8 * DAY
    assert await clinic.compare() == Compared(ready=1, linked=1)


@pytest.mark.parametrize("purged", [False, True])
async def test_a_linked_record_that_is_gone_is_told_once(clinic: Clinic, purged: bool) -> None:
    record_id = await clinic.linked()
    clinic.at += HOUR
    if purged:
        clinic.org.purge(record_id)
    else:
        clinic.org.delete(record_id)
    assert await clinic.compare() == Compared(linked=1, gone=1)
    assert await clinic.enqueued() == [(record_id, ChangeKind.DELETE)]
    assert await clinic.compare() == Compared(linked=1)


async def test_a_deleted_record_without_a_chart_is_nobodys_concern(clinic: Clinic) -> None:
    clinic.org.delete(clinic.ready())
    assert await clinic.compare() == Compared()


async def test_a_linked_record_that_is_no_longer_ready_is_counted_and_left_alone(clinic: Clinic) -> None:
    clinic.org.edit(await clinic.linked(), {"Ready_for_Fusion__c": False})
    assert await clinic.compare() == Compared(linked=1, not_ready=1)
    assert await clinic.enqueued() == []


async def test_what_lies_before_a_first_start_with_now_is_not_ours(clinic: Clinic) -> None:
    before = clinic.ready()
    clinic.at += HOUR
    async with clinic.db.writing() as tx:
        await positions.begin(tx, CHANNEL, start="now", at=clinic.at)
    after = clinic.ready()
    assert await clinic.compare() == Compared(ready=2, never_worked=1, before_start=1)
    assert await clinic.enqueued() == [(after, ChangeKind.UPDATE)]
    clinic.at += HOUR
    clinic.org.edit(before, {"First_Name__c": "Mia"})
    assert (await clinic.compare()).never_worked == 1


async def test_a_count_alone_writes_nothing(clinic: Clinic) -> None:
    clinic.ready()
    gone = await clinic.linked()
    clinic.org.purge(gone)
    before = [await rows(clinic.db, table) for table in schema.metadata.sorted_tables]
    assert await clinic.compare(only_count=True) == Compared(ready=1, linked=1, never_worked=1, gone=1)
    assert [await rows(clinic.db, table) for table in schema.metadata.sorted_tables] == before
    assert clinic.woken == 0


async def test_the_comparison_is_put_down_only_when_it_came_to_its_end(clinic: Clinic) -> None:
    async def compared_at() -> datetime | None:
        async with clinic.db.reading() as tx:
            standing = await positions.standing(tx, CHANNEL)
        return standing.compared_at if standing else None

    clinic.org.outages = [Outage("the org is away")]
    with pytest.raises(Outage):
        await clinic.compare()
    assert await compared_at() is None
    await clinic.compare()
    assert await compared_at() is not None


async def test_more_records_than_a_page_are_compared(clinic: Clinic) -> None:
    linked = [clinic.ready() for _ in range(620)]
    async with clinic.db.writing() as tx:
        for number, one in enumerate(linked):
            await links.make(tx, Link(record_id=one, portal_id=str(number), how="matched", identity=None))
    clinic.at += 8 * DAY
    clinic.ready()
    for one in linked[:110]:
        clinic.org.purge(one)
    assert await clinic.compare() == Compared(ready=511, linked=620, never_worked=1, gone=110)
