"""What a process leaves undone when Salesforce's calls are scarce, and where that is to be seen."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import typer
from aiohttp.test_utils import TestClient, TestServer
from org_rig import settings_for, stand_in
from sqlalchemy import func, update
from typer.testing import CliRunner

from fusion.capture import Capture
from fusion.ops import health
from fusion.settings import SyncSettings
from listener import allowance, gaps
from listener.alarms import Expected
from listener.allowance import Limit
from listener.change import Ours
from listener.checkup import Verdict, examine
from listener.database import Database
from listener.listen import Intake
from listener.login import Login
from listener.org import SalesforceOrg
from listener.schema import stream
from listener.standin import StandInOrg
from listener.stream import StreamHealth

EXPECTED = Expected(sweep=timedelta(minutes=15))


@pytest.fixture
async def db(migrated_url: str) -> AsyncIterator[Database]:
    database = Database(migrated_url)
    yield database
    await database.close()


@pytest.fixture
async def standing() -> AsyncIterator[StandInOrg]:
    async with stand_in() as org:
        yield org


@pytest.fixture
async def capture(db: Database, standing: StandInOrg) -> AsyncIterator[Capture]:
    """A listening process whose stream is open; its chores are run by hand."""
    settings = settings_for(standing)
    login = Login(settings)
    org = SalesforceOrg(login, api_version="66.0")
    ours = Ours(user_id=None, client="fusion-sync", fields=frozenset())
    watched = frozenset({"Patient__c"})
    found = Capture(
        intake=Intake(db=db, ours=ours, watched=watched, settle=timedelta(0), wake=lambda: None),
        org=org,
        login=login,
        salesforce=settings,
        sync=SyncSettings(),
        object_name="Patient__c",
        ready="Ready_for_Fusion__c = true",
        stopping=asyncio.Event(),
        pulses={},
    )
    found._health = StreamHealth(sessions=1)
    yield found
    await org.close()
    await login.close()


async def told(db: Database, **limits: tuple[int, int]) -> None:
    async with db.writing() as tx:
        await allowance.put(tx, {Limit[name]: figures for name, figures in limits.items()})


async def spent(standing: StandInOrg, capture: Capture, name: str) -> int:
    """How many calls the chore makes."""
    before = standing.control.allowance.calls_used
    await next(chore for chore in capture.chores() if chore.name == name).run()
    return standing.control.allowance.calls_used - before


async def let_pass(db: Database, minutes: int) -> None:
    async with db.writing() as tx:
        await tx.execute(update(stream).values(swept_at=func.db_after(-60.0 * minutes)))


async def test_of_three_sweeps_one_is_made_when_calls_are_scarce(
    db: Database, standing: StandInOrg, capture: Capture
) -> None:
    assert await spent(standing, capture, "sweep") > 0
    await told(db, CALLS=(80, 100))
    for minutes, made in ((15, False), (30, False), (45, True), (15, False)):
        await let_pass(db, minutes)
        assert (await spent(standing, capture, "sweep") > 0) is made, minutes
    await told(db, CALLS=(79, 100))
    assert await spent(standing, capture, "sweep") > 0


async def test_a_gap_is_swept_however_few_calls_are_left(db: Database, standing: StandInOrg, capture: Capture) -> None:
    await spent(standing, capture, "sweep")
    await told(db, CALLS=(99, 100))
    async with db.writing() as tx:
        await gaps.open_gap(tx, standing.channel, reason="lost", object_name=None, since=None, until=None)
    assert await spent(standing, capture, "sweep") > 0
    async with db.reading() as tx:
        assert await gaps.list_gaps(tx, only_open=True) == []


async def test_the_nightly_comparison_waits(db: Database, standing: StandInOrg, capture: Capture) -> None:
    await spent(standing, capture, "sweep")
    await told(db, CALLS=(80, 100))
    assert await spent(standing, capture, "reconcile") == 0
    await told(db, CALLS=(1, 100))
    assert await spent(standing, capture, "reconcile") > 0


async def test_the_health_page_has_the_figures(db: Database) -> None:
    await told(db, CALLS=(80, 100), EVENTS=(5, 50))
    server = TestServer(health.app(db, pulse=dict, expected=EXPECTED))
    async with TestClient(server) as client:
        answer = await client.get("/readyz")
        found = await answer.json()
    assert (answer.status, found["events_in_24_hours"]) == (200, 0)  # thrifty, and still ready
    assert found["limits"] == {
        "DailyApiRequests": {"used": 80, "allowed": 100, "tight": True},
        "DailyDeliveredPlatformEvents": {"used": 5, "allowed": 50, "tight": False},
    }


async def test_the_doctor_warns_from_eighty_per_cent_on(db: Database) -> None:
    await told(db, CALLS=(80, 100), EVENTS=(5, 50))
    found = [one for one in await examine(db, expected=EXPECTED) if one.check == "limits"]
    assert [one.verdict for one in found] == [Verdict.WARNING, Verdict.OK]
    assert found[0].said == "Of 100 API calls in 24 hours 80 are used (80%)."


async def shown(name: str, *args: str) -> str:
    alone = typer.Typer()
    alone.command(name=name)(import_module(f"fusion.cli.{name}").command)
    result = await asyncio.to_thread(CliRunner().invoke, alone, list(args))
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture
def here(migrated_url: str, standing: StandInOrg, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", migrated_url)
    for name in ("login_url", "client_id", "username", "private_key_file"):
        monkeypatch.setenv(f"SALESFORCE_{name.upper()}", str(getattr(settings_for(standing), name)))


@pytest.mark.usefixtures("here")
async def test_the_outbox_says_so_above_all(db: Database) -> None:
    await told(db, CALLS=(80, 100))
    assert "Of 100 API calls in 24 hours 80 are used (80%)." in await shown("outbox")
    await told(db, CALLS=(79, 100))
    assert "API calls" not in await shown("outbox")


@pytest.mark.usefixtures("here")
async def test_the_limits_as_they_were_told_last_and_as_they_are_now(standing: StandInOrg) -> None:
    assert "`fusion-sync limits --now` asks" in await shown("limits")
    assert standing.control.allowance.calls_used == 0
    standing.control.allowance.events_used = 45_000
    now: Any = json.loads((await shown("limits", "--now", "--json")).splitlines()[-1])  # before it: the log
    assert [(one["limit"], one["used"], one["tight"]) for one in now["limits"]] == [
        ("DailyApiRequests", 1, False),
        ("DailyDeliveredPlatformEvents", 45_000, True),
    ]
    again = await shown("limits")
    assert "90%" in again
    assert "Each listener counts" in again
    assert standing.control.allowance.calls_used == 1
