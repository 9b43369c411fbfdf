"""What each guard is good for: with it nothing is done twice; without it the checker must see that something was.

The processes here do not die: one is frozen for longer than its lease, as on a host that swaps or a laptop that sleeps,
another takes over, and then the first one goes on as if nothing had been.
"""

from __future__ import annotations

import asyncio
import os
from datetime import timedelta
from pathlib import Path
from signal import SIGSTOP

import pytest

from fusion.standin.intakes import intakes
from tests.story.stage import Stage, stage, thaw

pytestmark = [pytest.mark.story, pytest.mark.timeout(150)]

LEASE = timedelta(seconds=0.8)
WHOLE = os.environ.get("FUSION_TEST_MATRIX") == "full"
FROZEN = ["save:asked", "org.update:before", *(["portal.find:after", "portal.create:after"] if WHOLE else [])]

# SQLite has one worker, and a writer that is frozen in mid-transaction keeps all others out.
several_workers = pytest.mark.parametrize(
    "migrated_url", [pytest.param("postgres", marks=pytest.mark.postgres)], indirect=True
)


async def frozen_and_taken_over(on: Stage, point: str, **more: bool) -> None:
    """One process freezes at the point; another does its work; then the first goes on, and ends when told to."""
    on.knobs["lease"] = LEASE
    on.org.control.create(next(intakes(3)).record)
    listener = on.start(works=False)
    one = on.start(listens=False, fatal=(point, 1), fatal_signal=SIGSTOP, **more)
    async with asyncio.timeout(20):
        while point not in on.passes:
            await asyncio.sleep(0.02)
    other = on.start(listens=False, user=2, **more)
    await on.rest()
    thaw(one)
    await asyncio.sleep(0.5)
    assert await on.end(one) == 0
    await on.rest()
    assert [await on.end(process) for process in (other, listener)] == [0, 0]


@several_workers
@pytest.mark.parametrize("point", FROZEN)
async def test_who_was_frozen_for_longer_than_its_lease_does_nothing_any_more(
    point: str, migrated_url: str, tmp_path: Path
) -> None:
    async with stage(migrated_url, tmp_path) as on:
        await frozen_and_taken_over(on, point)
        assert on.complaints() == []


@several_workers
async def test_without_the_fence_the_frozen_one_makes_a_second_chart(migrated_url: str, tmp_path: Path) -> None:
    async with stage(migrated_url, tmp_path, fenced=False) as on:
        await frozen_and_taken_over(on, "save:asked")
        assert any("2 charts that we made" in one for one in on.complaints()), on.complaints()


@several_workers
@pytest.mark.parametrize("heeds_warning", [True, False])
async def test_a_freeze_between_the_last_check_and_the_click_is_left_to_the_portals_own_warning(
    heeds_warning: bool, migrated_url: str, tmp_path: Path
) -> None:
    """The limit of what a client can do alone: no check lies later than the last one."""
    async with stage(migrated_url, tmp_path, heeds_warning=heeds_warning) as on:
        await frozen_and_taken_over(on, "click:create:before")
        doubled = [one for one in on.complaints() if "2 charts that we made" in one]
        assert len(doubled) == (0 if heeds_warning else 1), on.complaints()


@several_workers
async def test_a_freeze_right_before_a_row_is_added_can_double_that_row_and_no_more(
    migrated_url: str, tmp_path: Path
) -> None:
    async with stage(migrated_url, tmp_path) as on:
        await frozen_and_taken_over(on, "click:add:before")
        [only] = on.complaints()
        assert only.endswith("the chart has 2 rows in Contacts, not 1")


@pytest.mark.parametrize("intending", [True, False])
async def test_only_the_intent_finds_a_chart_that_the_search_does_not_show_yet(
    intending: bool, migrated_url: str, tmp_path: Path
) -> None:
    async with stage(migrated_url, tmp_path, intending=intending, look_again=timedelta(seconds=3)) as on:
        on.org.control.create(next(intakes(3)).record)
        on.portal.control.search_lag(2.5)
        dying = on.start(fatal=("click:create:after", 1))
        assert await on.death_of(dying) == -9
        heir = on.start()
        await on.rest()
        assert await on.end(heir) == 0
        found = on.complaints()
        if intending:
            assert found == []
        else:
            assert any("2 charts that we made" in one for one in found), found
            assert any("without an intent" in one for one in found), found


@pytest.mark.parametrize(
    "correction", [{"First_Name__c": "Zelda"}, {"Last_Name__c": "Quince"}, {"Date_of_Birth__c": "2019-03-03"}]
)
@pytest.mark.parametrize("migrated_url", ["sqlite"], indirect=True)
async def test_a_child_that_is_called_otherwise_after_a_cut_off_save_gets_no_second_chart(
    correction: dict[str, str], migrated_url: str, tmp_path: Path
) -> None:
    """What was made bears the old name; a search for the new one shows nothing, and that proves nothing."""
    async with stage(migrated_url, tmp_path) as on:
        record_id = on.org.control.create(next(intakes(3)).but(SSN__c=None).record)
        dying = on.start(fatal=("click:create:after", 1))
        assert await on.death_of(dying) == -9
        on.org.control.update(record_id, correction)
        heir = on.start()
        await on.rest()
        assert await on.end(heir) == 0
        assert sum(line["kind"] == "create" for line in on.portal.control.ledger()) == 1
        assert on.org.control.record(record_id)["Fusion_Sync_Error_Code__c"] == "in_doubt"
        assert on.complaints() == []


@several_workers
async def test_who_was_frozen_before_telling_does_not_undo_what_was_told_since(
    migrated_url: str, tmp_path: Path
) -> None:
    async with stage(migrated_url, tmp_path, lease=LEASE) as on:
        record_id = on.org.control.create(next(intakes(3)).record)
        listener = on.start(works=False)
        # The visit's own reading is the first.
        one = on.start(listens=False, fatal=("org.read:after", 2), fatal_signal=SIGSTOP)
        async with asyncio.timeout(20):
            while on.passes.count("org.read:after") < 2:
                await asyncio.sleep(0.02)
        other = on.start(listens=False, user=2)
        await on.rest()
        on.org.control.update(record_id, {"Date_of_Birth__c": None}, automation=False)
        await on.rest()
        thaw(one)
        await asyncio.sleep(0.5)
        assert [await on.end(process) for process in (one, other, listener)] == [0, 0, 0]
        assert on.complaints() == []
