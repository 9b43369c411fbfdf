"""A sweep that is killed at any page is gone on with behind it, and a large one stays within its calls."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from listener import gaps, schema
from listener.database import Database
from listener.standin import StandInOrg
from listener.sweep import OVERLAP
from tests.listener.sweeping import swept
from tests.org_rig import patient, settings_for, stand_in
from tests.outbox_rows import rows

SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)
ROOT = Path(__file__).parents[2]


@dataclass
class Crowded:
    """An org with many ready records, one a second, and the calls that were made to it."""

    org: StandInOrg
    offset: timedelta = timedelta(0)

    def fill(self, number: int) -> None:
        for count in range(number):
            self.offset = -3 * HOUR + count * SECOND
            self.org.control.create(patient(SSN__c=None))
        self.offset = timedelta(0)

    @property
    def calls(self) -> int:
        return self.org.control.allowance.calls_used

    def reads_since(self, seen: int) -> list[dict[str, Any]]:
        return [one for one in self.org.ledger.entries[seen:] if one["kind"] == "read"]


@pytest.fixture
async def crowded() -> AsyncIterator[Crowded]:
    made: list[Crowded] = []

    def clock() -> datetime:
        return datetime.now(UTC) + (made[0].offset if made else timedelta(0))

    async with stand_in(clock=clock) as org:
        made.append(Crowded(org))
        yield made[0]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("before", [False, True])
async def test_a_sweep_that_is_killed_is_gone_on_with_and_finds_nothing_twice(
    crowded: Crowded, migrated_url: str, before: bool
) -> None:
    crowded.fill(2600)
    settings = settings_for(crowded.org)
    db = Database(migrated_url)
    async with db.writing() as tx:
        await gaps.open_gap(tx, settings.channel, reason="away", object_name=None, since=None, until=None)
    swept_until: list[datetime | None] = []
    for die_at in (2, 3):  # of a page at a time
        orders = {
            "url": migrated_url,
            "salesforce": settings.model_dump(mode="json", exclude={"client_secret"}),
            "die_at": die_at,
            "before": before,
        }
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.listener.sweeping", json.dumps(orders)), cwd=ROOT, stdout=-3, stderr=-3
        )
        assert await process.wait() == -9
        (gap,) = await rows(db, schema.gap)
        swept_until.append(gap["swept_until"])
        assert gap["closed_at"] is None
    assert 1000 <= len(await rows(db, schema.change)) < 2600

    seen, calls = len(crowded.org.ledger.entries), crowded.calls
    await swept(migrated_url, settings)
    (gap,) = await rows(db, schema.gap)
    assert (gap["changed"], gap["enqueued"], gap["deleted"]) == (2600, 2600, 0)
    assert gap["closed_at"] is not None
    changes = await rows(db, schema.change)
    assert len(changes) == len({one["record_id"] for one in changes}) == 2600
    first, *_ = crowded.reads_since(seen)
    assert swept_until[0] is not None
    assert swept_until[1] is not None
    assert swept_until[0] < swept_until[1]
    # What had been committed is not read again, but for the overlap that every sweep has.
    assert f"SystemModstamp >= {swept_until[1] - OVERLAP:%Y-%m-%dT%H:%M:%S}.000Z" in first["soql"]
    assert crowded.calls - calls <= 2600 / 2000 + 5
    await db.close()


async def test_a_large_sweep_stays_within_its_calls(crowded: Crowded, migrated_url: str) -> None:
    crowded.fill(4100)
    settings = settings_for(crowded.org)
    db = Database(migrated_url)
    async with db.writing() as tx:
        await gaps.open_gap(tx, settings.channel, reason="away", object_name=None, since=None, until=None)
    calls = crowded.calls
    done = await swept(migrated_url, settings)
    assert (done.changed, done.missed) == (4100, 4100)
    assert crowded.calls - calls <= 4100 / 2000 + 5
    await db.close()
