"""A batch of answers of which Salesforce takes a part: each record ends in its own way; judged by the org's ledger.

No portal is visited: whatever goes wrong here is told again, or a person is told.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from listener import gates
from listener.database import Database
from listener.standin.faults import Fault
from listener.standin.package import shipped
from tests.org_metadata import changed, xml, zipped
from tests.story.stage import Stage, stage
from tests.story.test_writeback import COLLECTIONS, ID, STATUS, answered, children, deeds, our_writes, states

pytestmark = [pytest.mark.story, pytest.mark.timeout(120)]

CODE = "Fusion_Sync_Error_Code__c"
RULE = xml(
    "CustomObject",
    f"""<validationRules><fullName>No_Chart_For_Five</fullName><active>true</active>
    <errorConditionFormula>AND(ISCHANGED({ID}), Last_Name__c = 'Story0005')</errorConditionFormula>
    <errorMessage>Ask the front desk.</errorMessage></validationRules>""",
)
"""The clinic's own, which spares nobody."""


@asynccontextmanager
async def to_be_told(url: str, folder: Path, number: int, **knobs: Any) -> AsyncIterator[tuple[Stage, list[str]]]:
    """That many records whose charts are made, and of which Salesforce is told by the next process."""
    async with stage(url, folder, **knobs) as on:
        ids = [on.org.control.create(one) for one in children(number)]
        on.org.control.forget_events()
        answered(on, ids)
        yield on, ids
        assert deeds(on) == []


async def while_the_batch_is_on_its_way(on: Stage) -> None:
    """Returns when it has been sent; it arrives a second later."""
    async with asyncio.timeout(30):
        while not on.org.ledger.of("fault", method="PATCH"):
            await asyncio.sleep(0.02)


def of(on: Stage, record_id: str) -> tuple[Any, ...]:
    record = on.org.control.record(record_id)
    return record[STATUS], record[CODE], record[ID]


async def test_every_record_of_a_batch_has_its_own_end(migrated_url: str, tmp_path: Path) -> None:
    async with to_be_told(migrated_url, tmp_path, 8) as (on, ids):
        fine, locked, deleted, purged, typed, ruled, double, other = ids
        assert on.org.control.deploy(zipped({"objects/Patient__c.object": RULE}))["success"]
        on.org.control.lock(locked, times=2)
        on.org.control.update(typed, {ID: "31999999"}, automation=False)
        with on.sql() as connection:  # its chart has been written to another record by hand
            connection.execute(text("DELETE FROM outbox WHERE record_id = :id"), {"id": other})
        on.org.control.update(other, {ID: str(30_000_000 + ids.index(double))}, automation=False)
        on.org.control.forget_events()
        on.org.control.faults.add(Fault(path=COLLECTIONS, method="PATCH", delay=1.0))

        process = on.start()
        await while_the_batch_is_on_its_way(on)
        on.org.control.delete(deleted)
        on.org.control.save({"op": "purge", "id": purged})
        on.org.control.forget_events()
        await on.rest(hurry=True)
        assert await on.end(process) == 0

        wrote = [(line["id"], line["error"]) for line in our_writes(on)]
        assert [error for one, error in wrote if one == locked] == ["UNABLE_TO_LOCK_ROW", "UNABLE_TO_LOCK_ROW", None]
        errors = sorted(str(error) for one, error in wrote if error and one != locked)
        expected = ["DUPLICATE_VALUE", "ENTITY_IS_DELETED", "FIELD_CUSTOM_VALIDATION_EXCEPTION", "NOT_FOUND"]
        assert sorted({*errors}) == expected
        assert [of(on, one)[0] for one in (fine, locked)] == ["Synced", "Synced"]
        assert of(on, typed) == ("Needs Attention", "different_portal_id", "31999999")
        assert of(on, ruled) == ("Needs Attention", "not_told", None)
        assert of(on, double) == ("Needs Attention", "linked_elsewhere", None)
        with on.sql() as connection:
            found = connection.execute(text("SELECT record_id, state, parked_reason FROM outbox")).all()
        ends = {record_id: (state, reason) for record_id, state, reason in found}
        assert ends == {
            **dict.fromkeys((fine, locked, deleted, purged), ("DONE", None)),
            typed: ("PARKED", "identity"),
            ruled: ("PARKED", "not_told"),
            double: ("PARKED", "ambiguous"),
        }


async def test_a_token_that_ends_under_a_batch_is_renewed_once_and_the_batch_goes_out_once(
    migrated_url: str, tmp_path: Path
) -> None:
    async with to_be_told(migrated_url, tmp_path, 5) as (on, ids):
        on.org.control.faults.add(Fault(path=COLLECTIONS, method="PATCH", delay=1.0))
        process = on.start()
        await while_the_batch_is_on_its_way(on)
        on.org.control.expire_tokens()
        await on.rest()
        assert await on.end(process) == 0
        assert [line["status"] for line in on.org.ledger.of("token")] == [200, 200]
        assert sorted(line["id"] for line in our_writes(on)) == sorted(ids)
        assert states(on) == {"DONE": 5}


async def test_a_batch_whose_answer_was_lost_is_read_back_and_not_written_again(
    migrated_url: str, tmp_path: Path
) -> None:
    async with to_be_told(migrated_url, tmp_path, 20) as (on, ids):
        on.org.control.faults.add(Fault(path=COLLECTIONS, method="PATCH", status=502, after=True))
        process = on.start()
        await on.rest()
        assert await on.end(process) == 0
        assert sorted(line["id"] for line in our_writes(on)) == sorted(ids)
        assert {of(on, one)[0] for one in ids} == {"Synced"}
        with on.sql() as connection:
            assert connection.execute(text("SELECT count(*) FROM gate WHERE state <> 'open'")).scalar_one() == 0


async def test_calls_that_are_used_up_shut_the_gate_for_long_and_nobody_is_charged(
    migrated_url: str, tmp_path: Path
) -> None:
    async with to_be_told(migrated_url, tmp_path, 5) as (on, ids):
        allowance = on.org.control.allowance
        allowance.calls_max = allowance.calls_used
        process = on.start()
        async with asyncio.timeout(30):
            while not (shut := await _shut(on)):
                await asyncio.sleep(0.05)
        assert shut.keys() == {"salesforce"}
        assert timedelta(minutes=10) < shut["salesforce"] < timedelta(minutes=20)
        async with asyncio.timeout(30):  # each gives its attempt back once it has seen the gate
            while _attempts(on) != {0}:
                await asyncio.sleep(0.05)
        before = allowance.calls_used
        allowance.calls_max = 100_000
        await on.rest(hurry=True)
        assert await on.end(process) == 0
        assert allowance.calls_used - before <= 5
        assert sorted(line["id"] for line in our_writes(on)) == sorted(ids)


def _attempts(on: Stage) -> set[int]:
    """How many attempts rows were charged with."""
    with on.sql() as connection:
        return {row.attempts for row in connection.execute(text("SELECT attempts FROM outbox"))}


async def _shut(on: Stage) -> dict[str, timedelta]:
    """The lanes that are shut, and for how long."""
    db = Database(on.url)
    async with db.reading() as tx:
        found = await gates.read(tx)
    await db.close()
    now = datetime.now(UTC)
    return {str(lane): gate.until - now for lane, gate in found.items() if gate.state == "shut" and gate.until}


async def test_a_right_that_is_missing_stops_the_process_and_no_row_pays(migrated_url: str, tmp_path: Path) -> None:
    async with to_be_told(migrated_url, tmp_path, 3) as (on, ids):
        file = "permissionsets/Fusion_Sync_Integration.permissionset"
        may = f"<editable>true</editable>\n        <field>Patient__c.{STATUS}</field>"
        narrow = changed(shipped(), (file, may, may.replace("true", "false")))
        assert on.org.control.deploy(narrow)["success"]
        process = on.start()
        assert await on.death_of(process) == 0
        assert f"may not write {STATUS} of Patient__c" in on.told()
        with on.sql() as connection:
            rows = connection.execute(text("SELECT state, attempts, leased_until FROM outbox")).all()
        assert {tuple(row) for row in rows} == {("PUSHED", 0, None)}

        assert on.org.control.deploy(shipped())["success"]
        process = on.start()
        await on.rest()
        assert await on.end(process) == 0
        assert {of(on, one)[0] for one in ids} == {"Synced"}
