"""What `gaps`, `sweep` and `reconcile` say at the command line, on a stand-in org, and what is true afterwards."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import pytest
import typer
from structlog.testing import capture_logs
from typer.testing import CliRunner

from fusion.cli.starting import settings_from
from listener import gaps, links, schema
from listener.database import Database
from listener.links import Link
from listener.standin import StandInOrg
from tests.org_rig import patient, settings_for, stand_in
from tests.outbox_rows import CHANNEL, rows


@dataclass
class Desk:
    """`fusion-sync NAME …` on an org and a database, as dana. `behind`: how much the org's clock is."""

    org: StandInOrg
    db: Database
    behind: timedelta = timedelta(0)

    async def says(self, name: str, *args: str) -> str:
        """What the command prints. In a thread, since it runs a loop of its own."""
        alone = typer.Typer()
        alone.command(name=name)(import_module(f"fusion.cli.{name}").command)
        with capture_logs():  # which go to stderr, once the command line has set them up
            result = await asyncio.to_thread(CliRunner().invoke, alone, list(args))
        assert result.exit_code == 0, result.output
        return result.stdout

    async def tells(self, name: str, *args: str) -> Any:
        """What it prints for machines."""
        return json.loads(await self.says(name, *args, "--json"))

    def long_ago(self, days: int = 30) -> str:
        """A patient who was ready that long ago."""
        self.behind = timedelta(days=days)
        record_id = self.org.control.create(patient())
        self.behind = timedelta(0)
        return record_id

    async def enqueued(self) -> list[str]:
        return [row["record_id"] for row in await rows(self.db)]


@pytest.fixture
async def desk(db: Database, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Desk]:
    made: list[Desk] = []

    def clock() -> datetime:
        return datetime.now(UTC) - (made[0].behind if made else timedelta(0))

    async with stand_in(clock=clock) as org:
        made.append(Desk(org, db))
        settings = settings_for(org)
        monkeypatch.setenv("DATABASE_URL", url)
        monkeypatch.setenv("LOGNAME", "dana")
        monkeypatch.setenv("SALESFORCE_LOGIN_URL", org.url)
        monkeypatch.setenv("SALESFORCE_CLIENT_ID", settings.client_id)
        monkeypatch.setenv("SALESFORCE_USERNAME", settings.username or "")
        monkeypatch.setenv("SALESFORCE_PRIVATE_KEY_FILE", str(settings.private_key_file))
        monkeypatch.chdir(tmp_path)
        yield made[0]


async def test_a_sweep_since_a_day_enqueues_what_changed_and_puts_down_the_gap_that_it_closed(desk: Desk) -> None:
    old, _older = desk.long_ago(30), desk.long_ago(60)
    since = f"{datetime.now(UTC) - timedelta(days=40):%Y-%m-%d}"
    looked = await desk.tells("sweep", "--since", since, "--dry-run")
    assert (looked["dry_run"], looked["missed"]) == (True, 1)
    assert (await desk.enqueued(), await rows(desk.db, schema.gap)) == ([], [])

    said = await desk.says("sweep", "--since", since)
    assert "Found 1 that the stream had not told of (0 deleted): enqueued." in said
    assert "Gaps closed: 1." in said
    assert await desk.enqueued() == [old]
    (gap,) = await desk.tells("gaps")
    assert (gap["reason"], gap["changed"], gap["enqueued"]) == ("asked for by dana", 1, 1)
    assert gap["closed_at"]


async def test_a_sweep_without_a_day_goes_on_where_the_last_one_was(desk: Desk) -> None:
    desk.long_ago()
    told = await desk.tells("sweep")
    assert (told["missed"], told["gaps"]) == (0, 0)
    assert await desk.tells("sweep", "--dry-run") | {"since": 0, "until": 0} == told | {
        "dry_run": True,
        "since": 0,
        "until": 0,
    }


async def test_a_comparison_enqueues_what_was_never_worked_and_who_is_gone(desk: Desk) -> None:
    loose, gone = desk.long_ago(), desk.long_ago()
    async with desk.db.writing() as tx:
        await links.make(tx, Link(record_id=gone, portal_id="40001", how="created", identity=None))
    desk.org.control.delete(gone)
    counts = {"ready": 1, "linked": 1, "never_worked": 1, "gone": 1, "enqueued": 2}
    looked = await desk.tells("reconcile", "--dry-run")
    assert {name: looked[name] for name in counts} == counts
    assert await desk.enqueued() == []

    said = await desk.says("reconcile")
    assert "1 are ready and were never worked: enqueued." in said
    assert "1 linked ones are gone from Salesforce: enqueued, to be parked for a person." in said
    assert sorted(await desk.enqueued()) == sorted([loose, gone])
    assert (await desk.tells("reconcile"))["enqueued"] == 0


@pytest.mark.parametrize(("given", "start"), [(None, "retained"), ("retained", "retained"), ("now", "now")])
def test_the_first_start_is_as_the_command_line_says_and_else_as_the_setting_does(
    given: Literal["retained", "now"] | None, start: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = settings_from(given, salesforce=False)
    assert settings.sync.start == start
    assert settings.sync.sweep_minutes == 15


async def test_gaps_are_listed_with_what_they_mean(desk: Desk) -> None:
    assert await desk.says("gaps") == "There was no gap.\n"
    async with desk.db.writing() as tx:
        noon = datetime(2026, 11, 3, 12, 0, tzinfo=UTC)
        ids = [
            await gaps.open_gap(tx, CHANNEL, reason=reason, object_name=None, since=noon, until=None)
            for reason in ("first", "second", "third")
        ]
        await gaps.sweep_came_to(tx, ids[0], before=None, until=noon, changed=9, enqueued=3, deleted=1)
        await gaps.close_gap(tx, ids[0], until=noon, note="Purged ones are found at night.")
        await gaps.close_gap(tx, ids[1], until=noon)
    said = await desk.says("gaps")
    assert "4 that the stream had not told of were enqueued. Purged ones are found at night." in said
    assert "Closed: nothing was missed." in said
    assert "Open: changes in it may not be known yet." in said
    assert [gap["reason"] for gap in await desk.tells("gaps", "--open")] == ["third"]
    async with desk.db.writing() as tx:
        await gaps.close_gap(tx, ids[2])
    assert await desk.says("gaps", "--open") == "No gap is open.\n"
