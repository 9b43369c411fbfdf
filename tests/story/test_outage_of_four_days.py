"""Salesforce is out of reach for four days, longer than it keeps events: nothing that happened meanwhile is missed."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from fusion.capture import Capture
from fusion.codes import Code
from fusion.drain import drain
from fusion.scheduler import Scheduler
from fusion.settings import SyncSettings
from fusion.turn import Worker
from listener import gaps, schema
from listener.change import Ours, Source
from listener.database import Database
from listener.entry import ParkedReason, State
from listener.gaps import Gap
from listener.listen import Intake
from listener.login import Login
from listener.org import CLIENT, SalesforceOrg
from listener.positions import FIRST_START
from listener.standin import StandInOrg
from tests.fake_portal import FakePortal
from tests.fusion.desk import INTAKE, MAPPING
from tests.org_rig import settings_for, stand_in
from tests.outbox_rows import NO_TIME, rows

pytestmark = [pytest.mark.story, pytest.mark.timeout(180)]

DAYS = timedelta(days=4, hours=1)
EDITED, NEW, DELETED, KEPT = 20, 37, 2, timedelta(hours=72)


@dataclass(slots=True)
class Clock:
    """The org's time; `behind` is how much the world's is ahead of it."""

    behind: timedelta = DAYS

    def __call__(self) -> datetime:
        return datetime.now(UTC) - self.behind


@dataclass(slots=True, kw_only=True)
class Scene:
    """An org, a database, a portal in memory, and a process that listens and works on them from time to time."""

    org: StandInOrg
    db: Database
    clock: Clock
    portal: FakePortal = field(default_factory=FakePortal)

    def intake(self, number: int) -> str:
        """A child unlike all others is taken in."""
        letters = "".join("abcdefghijklmnopqrstuvwxyz"[int(digit)] for digit in f"{number:03d}")
        return self.org.control.create(
            {
                **INTAKE,
                "First_Name__c": f"Mia{letters}",
                "Last_Name__c": f"Sample{letters[::-1]}",
                "Date_of_Birth__c": (date(2018, 1, 1) + timedelta(days=number)).isoformat(),
                "SSN__c": f"9{number:02d}-12-3456",
                "Guardian_Phone__c": f"(919) 555-01{number:02d}",
                "Insurance_Id_Number__c": f"CM-{number}",
            }
        )

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """The listening part of a process, from its start to its end."""
        settings = settings_for(self.org)
        login = Login(settings, clock=self.clock)
        org = SalesforceOrg(login, api_version="66.0")
        scheduler, stopping = Scheduler(), asyncio.Event()
        own = frozenset(MAPPING.own.names())
        capture = Capture(
            intake=Intake(
                db=self.db,
                ours=Ours(user_id=(await login.token()).user_id, client=CLIENT, fields=own),
                watched=frozenset({MAPPING.object_name}),
                settle=NO_TIME,
                wake=lambda: None,
            ),
            org=org,
            login=login,
            salesforce=settings,
            sync=SyncSettings(),
            object_name=MAPPING.object_name,
            ready=f"{MAPPING.ready_field} = true",
            stopping=stopping,
            pulses={},
        )
        scheduler.start()
        listens = asyncio.create_task(capture.run(scheduler))
        try:
            yield
        finally:
            stopping.set()
            await scheduler.stop(grace=timedelta(seconds=5))
            await listens
            await org.close()
            await login.close()

    async def work(self) -> None:
        """Everything that is due is worked."""
        login = Login(settings_for(self.org), clock=self.clock)
        org = SalesforceOrg(login, api_version="66.0")
        worker = Worker(db=self.db, org=org, portal=self.portal, mapping=MAPPING, name="one", clock=self.clock)
        report = await drain(worker, stopping=asyncio.Event())
        assert report.stopped_by is None
        await org.close()
        await login.close()

    async def gaps(self, *, only_open: bool = False) -> list[Gap]:
        async with self.db.reading() as tx:
            return await gaps.list_gaps(tx, only_open=only_open)

    async def until(self, true: Callable[[], Any]) -> None:
        async with asyncio.timeout(60):
            while not await true():
                await asyncio.sleep(0.05)


@pytest.fixture
async def scene(migrated_url: str) -> AsyncIterator[Scene]:
    clock = Clock()
    async with stand_in(clock=clock) as org:
        scene = Scene(org=org, db=Database(migrated_url), clock=clock)
        yield scene
        await scene.db.close()


@pytest.mark.parametrize("bus_forgets_all", [False, True])
async def test_after_four_days_all_changes_are_enqueued_and_deletes_wait_for_a_person(
    scene: Scene, bus_forgets_all: bool
) -> None:
    """`bus_forgets_all`: not even what is younger than 72 h comes, and the sweep has to find all of it."""
    before = [scene.intake(number) for number in range(EDITED + DELETED)]

    async def first_start_is_swept() -> bool:
        return len(await rows(scene.db)) == len(before) and not await scene.gaps(only_open=True)

    async with scene.listening():
        await scene.until(first_start_is_swept)
    await scene.work()
    assert {row["state"] for row in await rows(scene.db)} == {State.DONE}
    charts = {one["record_id"]: one["portal_id"] for one in await rows(scene.db, schema.link)}
    assert len(charts) == len(before)

    # Nobody listens while the org's time passes. Of what happens, the first day is older than any event is kept.
    deeds: list[Callable[[], Any]] = [
        lambda one=one: scene.org.control.update(one, {"Presenting_Concerns__c": "Speaks more."})
        for one in before[:EDITED]
    ]
    deeds += [lambda number=number: scene.intake(number) for number in range(40, 40 + NEW)]
    deeds = deeds[::3] + deeds[1::3] + deeds[2::3]
    binned, purged = before[EDITED:]
    deeds[7:7] = [
        lambda: scene.org.control.delete(binned),
        lambda: scene.org.control.save({"op": "purge", "id": purged}),
    ]
    for number, deed in enumerate(deeds):
        scene.clock.behind = DAYS - timedelta(hours=1) - number * (timedelta(days=4) / len(deeds))
        deed()
    scene.clock.behind = NO_TIME
    forgotten = sum(DAYS - timedelta(hours=1) - n * (timedelta(days=4) / len(deeds)) > KEPT for n in range(len(deeds)))

    if bus_forgets_all:
        scene.org.control.forget_events()

    async def everything_is_known() -> bool:
        told = {one["record_id"] for one in await rows(scene.db, schema.change) if one["id"] > known}
        return len(told) == len(deeds) and len(await scene.gaps()) == 2 and not await scene.gaps(only_open=True)

    known = max(one["id"] for one in await rows(scene.db, schema.change))
    old = {row["id"] for row in await rows(scene.db)}
    async with scene.listening():
        await scene.until(everything_is_known)

    first, gap = await scene.gaps()
    assert first.reason == FIRST_START
    assert "no longer known" in gap.reason
    by_sweep = {
        one["record_id"]
        for one in await rows(scene.db, schema.change)
        if one["source"] == Source.SWEEP and one["id"] > known
    }
    assert (gap.changed, gap.deleted) == (EDITED + NEW, DELETED)
    assert gap.enqueued == len(by_sweep - {binned, purged})
    assert gap.enqueued == EDITED + NEW if bus_forgets_all else forgotten - DELETED <= gap.enqueued <= EDITED + NEW
    new = [row for row in await rows(scene.db) if row["id"] not in old]
    assert len(new) == len({row["record_id"] for row in new}) == EDITED + NEW + DELETED
    assert {row["state"] for row in new} == {State.PENDING}
    if bus_forgets_all:
        return  # the rows are the same, and so is the work

    await scene.work()
    ended = [row for row in await rows(scene.db) if row["id"] not in old]
    assert Counter(row["state"] for row in ended) == {State.DONE: EDITED + NEW, State.PARKED: DELETED}
    parked = {row["record_id"]: row for row in ended if row["state"] == State.PARKED}
    assert set(parked) == {binned, purged}
    for row in parked.values():
        assert (row["code"], row["parked_reason"]) == (Code.DELETED_IN_SALESFORCE, ParkedReason.DELETED)
        assert row["message"] == Code.DELETED_IN_SALESFORCE.sentence()
    # The charts of the deleted are as they were; each of the others was typed once.
    assert len(scene.portal.charts) == EDITED + DELETED + NEW
    touched = Counter(chart for _, chart, *_ in scene.portal.ledger)
    assert len(touched) == EDITED + DELETED + NEW
