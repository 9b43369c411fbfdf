"""The listening part: how it begins, what it does every night, what it says once, and the heartbeat."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from sqlalchemy import update
from structlog.testing import capture_logs

from fusion.capture import Capture, due_tonight
from fusion.scheduler import Scheduler
from fusion.settings import SyncSettings
from listener import gaps, positions, schema
from listener.change import Ours
from listener.database import Database
from listener.entry import State
from listener.listen import Intake
from listener.login import Login
from listener.org import CLIENT, SalesforceOrg
from listener.positions import FIRST_START, Standing
from listener.standin import StandInOrg
from tests.org_metadata import custom_object, permission_set, xml, zipped
from tests.org_metadata import field as custom_field
from tests.org_rig import patient, settings_for, stand_in
from tests.outbox_rows import HOUR, NO_TIME, now, rows

MINUTE = timedelta(minutes=1)
BEATS = zipped(
    {
        "objects/Beat__c.object": custom_object(custom_field("At__c")),
        "permissionsets/Beats.permissionset": permission_set("Beats", "Beat__c", "At__c"),
        "platformEventChannelMembers/FusionSync_chn_Beat_ChangeEvent.platformEventChannelMember": xml(
            "PlatformEventChannelMember",
            "<eventChannel>FusionSync__chn</eventChannel><selectedEntity>Beat__ChangeEvent</selectedEntity>",
        ),
    }
)
"""What a clinic deploys beside our package to have a heartbeat."""


@dataclass
class Ear:
    """A process that listens to an org, for as long as it is told to."""

    org: StandInOrg
    db: Database
    sync: dict[str, Any] = field(default_factory=dict)
    behind: timedelta = NO_TIME
    """How much the org's clock is behind the world's."""

    @asynccontextmanager
    async def listening(self, *, chores: bool = True) -> AsyncIterator[Capture]:
        """`chores` False: nothing is done beside the stream but what the test does."""
        settings = settings_for(self.org)
        login = Login(settings)
        org = SalesforceOrg(login, api_version="66.0")
        scheduler, stopping = Scheduler(), asyncio.Event()
        sync = SyncSettings(**self.sync)
        ours = Ours(
            user_id=(await login.token()).user_id,
            client=CLIENT,
            fields=frozenset({"Fusion_Web_Id__c"}),
            heartbeat=sync.heartbeat_record,
        )
        capture = Capture(
            intake=Intake(db=self.db, ours=ours, watched=frozenset({"Patient__c"}), settle=NO_TIME, wake=lambda: None),
            org=org,
            login=login,
            salesforce=settings,
            sync=sync,
            object_name="Patient__c",
            ready="Ready_for_Fusion__c = true",
            stopping=stopping,
            pulses={},
        )
        if chores:
            scheduler.start()
        listens = asyncio.create_task(capture.run(scheduler))
        try:
            yield capture
        finally:
            stopping.set()
            if chores:
                await scheduler.stop(grace=timedelta(seconds=5))
            await listens
            await org.close()
            await login.close()

    async def standing(self) -> Standing:
        async with self.db.reading() as tx:
            (found,) = await positions.standings(tx)
        return found

    async def up(self) -> bool:
        """Whether the first start is put down."""
        return bool(await rows(self.db, schema.stream))

    async def swept(self) -> bool:
        """Whether a sweep has come to its end."""
        found = await rows(self.db, schema.stream)
        return bool(found) and found[0]["swept_at"] is not None

    async def known(self) -> list[str]:
        """Records that a row waits for."""
        return [row["record_id"] for row in await rows(self.db) if row["state"] == State.PENDING]


@pytest.fixture
async def ear(db: Database) -> AsyncIterator[Ear]:
    made: list[Ear] = []

    def clock() -> datetime:
        return datetime.now(UTC) - (made[0].behind if made else NO_TIME)

    async with stand_in(clock=clock) as org:
        assert org.control.deploy(BEATS)["success"]
        org.control.assign("integration", "Fusion_Sync_Integration", "Fusion_Sync_Listener", "Beats")
        made.append(Ear(org, db))
        yield made[0]


async def until(true: Any) -> None:
    async with asyncio.timeout(20):
        while not await true():
            await asyncio.sleep(0.02)


# ---- the first start


async def test_the_first_start_takes_in_what_is_ready_however_old(ear: Ear) -> None:
    ear.behind = timedelta(days=1000)
    old = ear.org.control.create(patient())
    ear.org.control.create(patient(Ready_for_Fusion__c=False))
    ear.behind = NO_TIME
    async with ear.listening():
        await until(ear.swept)
    assert await ear.known() == [old]
    async with ear.db.reading() as tx:
        (gap,) = await gaps.list_gaps(tx)
    assert (gap.reason, gap.from_at, gap.enqueued, gap.closed_at is not None) == (FIRST_START, None, 1, True)
    assert (await ear.standing()).start == "retained"


async def test_a_first_start_with_now_leaves_what_was_and_takes_what_comes(ear: Ear) -> None:
    ear.org.control.create(patient())
    ear.sync = {"start": "now"}
    async with ear.listening() as capture:

        async def is_up() -> bool:
            return capture._health.sessions > 0

        await until(is_up)
        new = ear.org.control.create(patient())

        async def is_known() -> bool:
            return new in await ear.known()

        await until(is_known)
    assert await ear.known() == [new]
    standing = await ear.standing()
    assert (standing.start, standing.covers_from is not None) == ("now", True)
    assert await rows(ear.db, schema.gap) == []


async def test_the_choice_is_made_once(ear: Ear) -> None:
    ear.sync = {"start": "now"}
    async with ear.listening():
        await until(ear.swept)
    ear.sync = {"start": "retained"}
    with capture_logs() as lines:
        async with ear.listening():
            await until(ear.swept)
            assert (await ear.standing()).start == "now"

            async def said() -> bool:
                return any(one["event"].startswith("went on where it was") for one in lines)

            await until(said)
    assert await rows(ear.db, schema.gap) == []


# ---- every night


@pytest.mark.parametrize(
    ("last", "due"),
    [
        (None, True),
        (timedelta(hours=9, minutes=1), True),  # yesterday, before three
        (timedelta(hours=8, minutes=59), False),  # this night, after three
        (timedelta(days=3), True),
        (timedelta(0), False),
    ],
)
def test_a_comparison_is_due_once_its_hour_has_come_since_the_last(last: timedelta | None, due: bool) -> None:
    noon = datetime(2026, 11, 24, 12, 0, tzinfo=timezone(timedelta(hours=-5)))
    assert due_tonight(noon, last if last is None else (noon - last).astimezone(UTC), 3) is due


def test_before_its_hour_the_last_night_counts() -> None:
    early = datetime(2026, 11, 24, 1, 0, tzinfo=UTC)
    assert not due_tonight(early, early - timedelta(hours=21), 3)
    assert due_tonight(early, early - timedelta(hours=23), 3)


async def test_the_nightly_comparison_runs_when_it_is_due_and_not_again(ear: Ear) -> None:
    async with ear.listening(chores=False) as capture:
        await until(ear.up)
        begun = (await ear.standing()).compared_at
        assert begun is not None
        await capture._reconcile()
        assert (await ear.standing()).compared_at == begun
        async with ear.db.writing() as tx:
            await tx.execute(update(schema.stream).values(compared_at=begun - timedelta(days=1)))
        await capture._reconcile()
        assert (await ear.standing()).compared_at > begun


# ---- alarms


async def test_an_alarm_is_logged_once_and_its_end_once(ear: Ear) -> None:
    async with ear.listening(chores=False) as capture:
        await until(ear.up)
        moment = await now(ear.db)

        async def aged(hours: int) -> list[tuple[str, str]]:
            async with ear.db.writing() as tx:
                old = moment - hours * HOUR
                await tx.execute(update(schema.stream).values(event_at=old, moved_at=old))
            with capture_logs() as lines:
                for _ in range(2):
                    await capture._watch()
            return [(one["event"], one["code"]) for one in lines if "alarm" in one["event"]]

        assert await aged(1) == []
        assert await aged(25) == [("alarm", "position_24h")]
        assert await aged(26) == []
        assert await aged(49) == [("alarm", "position_48h"), ("alarm is over", "position_24h")]
        assert await aged(0) == [("alarm is over", "position_48h")]


# ---- the heartbeat


async def beating(ear: Ear) -> str:
    record_id = ear.org.control.create({}, object_name="Beat__c")
    ear.sync = {"heartbeat": f"Beat__c/{record_id}/At__c", "heartbeat_minutes": 5}
    return record_id


async def echo_of(ear: Ear) -> datetime | None:
    return (await ear.standing()).echo_at


async def test_a_heartbeat_comes_back_by_the_stream_and_is_no_change(ear: Ear) -> None:
    record_id = await beating(ear)
    async with ear.listening(chores=False) as capture:
        await until(ear.up)
        await capture._heartbeat()
        await until(lambda: echo_of(ear))
        await capture._heartbeat()  # not its time yet
    assert len(ear.org.ledger.of("write", id=record_id)) == 1
    assert await ear.known() == []
    assert await rows(ear.db, schema.dead_letter) == []


async def test_a_heartbeat_that_does_not_come_back_is_an_alarm_and_opens_the_stream_anew(ear: Ear) -> None:
    record_id = await beating(ear)
    ear.org.control.stall()
    async with ear.listening(chores=False) as capture:
        await until(ear.up)
        await capture._heartbeat()

        async def anew() -> bool:
            return capture._health.sessions > sessions

        sessions = 0
        await until(anew)
        async with ear.db.writing() as tx:
            await tx.execute(update(schema.stream).values(beat_at=await now(ear.db) - 6 * MINUTE))
        before, sessions = (await ear.standing()).beat_at, capture._health.sessions
        with capture_logs() as lines:
            for _ in range(2):
                await capture._heartbeat()
                await capture._watch()
        said = [one["event"] for one in lines if one["event"] in ("alarm", "heartbeat did not come back")]
        assert said == ["heartbeat did not come back", "alarm"]
        assert (await ear.standing()).beat_at == before  # what waits for an answer is the beat that got none
        assert len(ear.org.ledger.of("write", id=record_id)) == 2

        await until(anew)
        ear.org.control.stall(False)
        await until(lambda: echo_of(ear))
        with capture_logs() as lines:
            await capture._watch()
        assert [(one["event"], one["code"]) for one in lines if "alarm" in one["event"]] == [
            ("alarm is over", "no_echo")
        ]


async def test_a_heartbeat_that_may_not_be_written_is_told(ear: Ear) -> None:
    record_id = await beating(ear)
    ear.org.control.delete(record_id)
    async with ear.listening(chores=False) as capture:
        await until(ear.up)
        with capture_logs() as lines:
            await capture._heartbeat()
    refused = [one for one in lines if one["event"] == "heartbeat was refused"]
    assert [(one["record"], one["code"]) for one in refused] == [(record_id, "ENTITY_IS_DELETED")]


def test_a_heartbeat_is_an_object_a_record_and_a_field() -> None:
    found = SyncSettings(heartbeat="Beat__c/a1H000000000001/At__c").heartbeat_record
    assert found is not None
    assert (found.object_name, found.record_id, found.field) == ("Beat__c", "a1H000000000001EAA", "At__c")
    assert SyncSettings().heartbeat_record is None
    assert replace(found, field="X") != found
    for wrong in ("Beat__c", "Beat__c/a1H/At__c", "Beat__c/a1H000000000001/At__c/x", "/a1H000000000001/At__c"):
        with pytest.raises(ValueError, match="heartbeat"):
            SyncSettings(heartbeat=wrong)
