"""Telling Salesforce, from the portal's answer to the record and back by the stream; judged by the org's ledger."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from fusion.standin.intakes import intakes
from listener.standin.faults import Fault
from tests.org_metadata import xml, zipped
from tests.story.stage import Stage, stage

pytestmark = [pytest.mark.story, pytest.mark.timeout(120)]

COLLECTIONS = "/services/data/v66.0/composite/sobjects"
CITY = "Guardian_City__c"
STATUS, ID, RESYNC = "Fusion_Sync_Status__c", "Fusion_Web_Id__c", "Fusion_Resync_Requested__c"


def children(number: int) -> list[dict[str, Any]]:
    child = intakes(23)
    return [{**next(child).record, "Last_Name__c": f"Story{n:04}", "SSN__c": None} for n in range(number)]


def answered(on: Stage, ids: list[str]) -> None:
    """The portal has answered for each of them, and nobody has been told."""
    now = "strftime('%Y-%m-%d %H:%M:%f000', 'now')" if on.url.startswith("sqlite") else "statement_timestamp()"
    columns = "object_name, record_id, state, priority, due_at, changed_at, created_at, outcome, portal_id"
    with on.sql() as connection:
        connection.execute(
            text(
                f"INSERT INTO outbox ({columns}) VALUES ('Patient__c', :record, 'PUSHED', 10, {now}, {now}, {now}, "
                "'created', :chart)"
            ),
            [{"record": one, "chart": str(30_000_000 + n)} for n, one in enumerate(ids)],
        )


def deeds(on: Stage) -> list[Mapping[str, Any]]:
    """What was done or looked at in the portal."""
    return [line for line in on.portal.control.ledger() if line["kind"] in ("create", "save", "add", "read", "search")]


def our_writes(on: Stage) -> list[Mapping[str, Any]]:
    return [line for line in on.org.ledger.of("write") if line["method"] == "PATCH"]


def states(on: Stage) -> dict[str, int]:
    with on.sql() as connection:
        counts = connection.execute(text("SELECT state, count(*) FROM outbox GROUP BY state"))
        return dict(counts.all())


@pytest.mark.parametrize("carries_client", [False, True])
async def test_a_thousand_answers_are_ten_calls_and_not_one_visit(
    carries_client: bool, migrated_url: str, tmp_path: Path
) -> None:
    """Whether or not collections tell whose write it was: then it is known by the user."""
    async with stage(migrated_url, tmp_path, carries_client=carries_client) as on:
        ids = [on.org.control.create(one) for one in children(1_000)]
        on.org.control.forget_events()  # what made them is not what this is about
        answered(on, ids)
        before = on.org.control.allowance.calls_used
        process = on.start()
        await on.rest(within=60)
        assert on.org.control.allowance.calls_used - before <= 10
        assert await on.end(process) == 0

        assert {line["id"] for line in our_writes(on)} == set(ids)
        assert len(our_writes(on)) == 1_000
        assert {on.org.control.record(one)[STATUS] for one in ids} == {"Synced"}
        assert states(on) == {"DONE": 1_000}
        assert deeds(on) == []


async def test_a_record_that_always_breaks_the_call_keeps_nobody_waiting(migrated_url: str, tmp_path: Path) -> None:
    async with stage(migrated_url, tmp_path) as on:
        ids = [on.org.control.create(one) for one in children(40)]
        on.org.control.forget_events()
        answered(on, ids)
        bad = sorted(ids)[17]
        on.org.control.faults.add(Fault(path=COLLECTIONS, method="PATCH", contains=bad, status=500, times=None))
        process = on.start()
        async with asyncio.timeout(60):
            while states(on).get("DONE") != 39:
                await asyncio.sleep(0.05)
        new = on.org.control.create(children(41)[40])
        async with asyncio.timeout(60):
            while not on.org.control.record(new)[ID]:
                await asyncio.sleep(0.05)
        assert on.org.control.record(bad)[ID] is None
        with on.sql() as connection:
            assert connection.execute(text("SELECT count(*) FROM gate WHERE state <> 'open'")).scalar_one() == 0
        on.org.control.faults.clear()
        await on.rest(hurry=True)
        assert await on.end(process) == 0
        assert on.org.control.record(bad)[STATUS] == "Synced"


async def test_salesforce_away_for_long_leaves_a_few_calls_to_make(migrated_url: str, tmp_path: Path) -> None:
    """What the portal has answered waits, and goes out together: one that probes, and then all."""
    async with stage(migrated_url, tmp_path, tell_after=timedelta(minutes=1)) as on:
        on.org.control.faults.add(Fault(path=COLLECTIONS, method="PATCH", status=503, body="<html/>", times=None))
        ids = [on.org.control.create(one) for one in children(12)]
        process = on.start()
        async with asyncio.timeout(60):
            while states(on).get("PUSHED", 0) < 12:
                await asyncio.sleep(0.05)
        visited, before = len(deeds(on)), on.org.control.allowance.calls_used
        on.org.control.faults.clear()
        await on.rest(hurry=True)
        assert await on.end(process) == 0
        assert on.complaints() == []
        assert on.org.control.allowance.calls_used - before <= 5
        assert len(deeds(on)) == visited
        assert {on.org.control.record(one)[STATUS] for one in ids} == {"Synced"}


async def test_a_click_for_a_resync_is_one_visit_with_a_full_compare(migrated_url: str, tmp_path: Path) -> None:
    async with stage(migrated_url, tmp_path) as on:
        record_id = on.org.control.create(children(1)[0])
        process = on.start()
        await on.rest()
        chart = on.org.control.record(record_id)[ID]
        (kept,) = [one for one in on.portal.control.patients() if one["id"] == chart]
        writes, looked = len(our_writes(on)), deeds(on)
        on.org.control.update(record_id, {RESYNC: True})
        await on.rest()
        assert await on.end(process) == 0
        record = on.org.control.record(record_id)
        assert (record[RESYNC], record[STATUS]) == (False, "Synced")
        assert len(our_writes(on)) == writes + 1
        assert states(on) == {"DONE": 2}
        assert [line["kind"] for line in deeds(on)[len(looked) :]] == ["read"]
        assert kept in on.portal.control.patients()


async def test_a_blocked_record_that_is_edited_says_again_that_a_person_must_act(
    migrated_url: str, tmp_path: Path
) -> None:
    """The org's own flow makes it Pending; nothing else would ever say that it waits for a person."""
    async with stage(migrated_url, tmp_path) as on:
        record_id = on.org.control.create(children(1)[0])
        process = on.start()
        await on.rest()
        on.org.control.update(record_id, {ID: "30999999"}, automation=False)  # another chart, typed by a person
        await on.rest()

        def said() -> tuple[Any, ...]:
            record = on.org.control.record(record_id)
            return record[STATUS], record["Fusion_Sync_Error_Code__c"], bool(record["Fusion_Sync_Error__c"])

        assert said() == ("Needs Attention", "different_portal_id", True)
        visits, writes = deeds(on), len(our_writes(on))
        for city in ("Edittown", "Nexttown"):
            on.org.control.update(record_id, {CITY: city})
            assert said() == ("Pending", None, False)  # the flow
            async with asyncio.timeout(30):
                while said() != ("Needs Attention", "different_portal_id", True):
                    await asyncio.sleep(0.05)
        await asyncio.sleep(2)  # several looks of the worker
        await on.rest()
        assert await on.end(process) == 0
        assert (deeds(on), len(our_writes(on))) == (visits, writes + 2)
        assert on.org.control.record(record_id)[ID] == "30999999"
        assert states(on) == {"DONE": 1, "PARKED": 1, "PENDING": 1}


MOVES = xml(
    "Flow",
    f"""<apiVersion>66.0</apiVersion>
    <assignments><name>Move</name><label>Move</label><locationX>0</locationX><locationY>0</locationY>
        <assignmentItems><assignToReference>$Record.{CITY}</assignToReference><operator>Assign</operator>
            <value><stringValue>Flowtown</stringValue></value></assignmentItems></assignments>
    <interviewLabel>Move</interviewLabel><label>Move</label><processType>AutoLaunchedFlow</processType>
    <start><locationX>0</locationX><locationY>0</locationY><connector><targetReference>Move</targetReference></connector>
        <filterFormula>ISCHANGED({{!$Record.{ID}}})</filterFormula>
        <object>Patient__c</object><recordTriggerType>Update</recordTriggerType>
        <triggerType>RecordBeforeSave</triggerType></start>
    <status>Active</status>""",
)
"""The clinic's own: when the portal's id comes, the guardian lives elsewhere."""


async def test_a_flow_that_edits_a_mapped_field_with_our_write_costs_one_more_visit(
    migrated_url: str, tmp_path: Path
) -> None:
    async with stage(migrated_url, tmp_path) as on:
        flow = zipped({"flows/Move.flow": MOVES}, named={"Flow": "Move"})
        assert on.org.control.deploy(flow)["success"]
        record_id = on.org.control.create(children(1)[0])
        process = on.start()
        await on.rest()
        assert await on.end(process) == 0

        record = on.org.control.record(record_id)
        assert (record[CITY], record[STATUS]) == ("Flowtown", "Synced")
        (chart,) = [one for one in on.portal.control.patients() if one["id"] == record[ID]]
        assert [row["City"] for row in chart["Contacts"]] == ["Flowtown"]
        assert states(on) == {"DONE": 2}
        kinds = [line["kind"] for line in deeds(on)]
        assert (kinds.count("create"), kinds.count("save")) == (1, 1)
        assert len(our_writes(on)) <= 2  # two in one second are one
