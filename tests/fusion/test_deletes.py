"""A record that is deleted, merged away or taken back: charts stay, and a person hears of those that there are."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fusion.codes import Code
from fusion.push import push
from listener import schema
from listener.change import ChangeKind, RecordId
from listener.database import Database
from listener.entry import Outcome, ParkedReason, State
from listener.links import Link
from tests.fusion.desk import INTAKE, MAPPING, RECORD_ID, At, an_entry
from tests.fusion.round import Round
from tests.outbox_rows import a_change, arrive, rows, states


@pytest.fixture
def round_(db: Database) -> Round:
    return Round(db)


async def deleted(at: Round, record_id: RecordId) -> None:
    """It goes to the recycle bin, an event tells of it, and a worker has a round."""
    at.org.delete(record_id)
    await arrive(at.db, a_change(record_id=record_id, kind=ChangeKind.DELETE))
    await at.go()


async def test_a_patient_with_a_chart_who_is_deleted_waits_for_a_person_and_the_chart_stays(round_: Round) -> None:
    record_id = await round_.intake()
    await round_.go()
    before, deeds = dict(round_.portal.inner.charts), round_.portal.deeds
    await deleted(round_, record_id)
    entry = await round_.entry(2)
    assert (entry["state"], entry["code"], entry["parked_reason"]) == (
        State.PARKED,
        Code.DELETED_IN_SALESFORCE,
        ParkedReason.DELETED,
    )
    assert entry["message"] == (
        "The record was deleted in Salesforce; its chart was left alone. "
        "Ops: decide what to do with the chart in the portal."
    )
    assert (round_.portal.inner.charts, round_.portal.deeds) == (before, deeds)
    assert len(await rows(round_.db, schema.link)) == 1


async def test_one_without_a_chart_is_settled_without_a_word(round_: Round) -> None:
    record_id = await round_.intake(Date_of_Birth__c=None)
    await round_.go()
    assert await states(round_.db) == [State.PARKED]
    await deleted(round_, record_id)
    assert await states(round_.db) == [State.SUPERSEDED, State.DONE]
    assert (await round_.entry(2))["outcome"] == Outcome.SKIPPED
    assert round_.portal.inner.charts == {}


async def test_one_who_is_taken_back_is_released_and_brought_up_to_date(round_: Round) -> None:
    record_id = await round_.intake()
    await round_.go()
    await deleted(round_, record_id)
    round_.org.edit(record_id, {"IsDeleted": False, "Presenting_Concerns__c": "Speaks more."})
    await arrive(round_.db, a_change(record_id=record_id, kind=ChangeKind.UNDELETE))
    await round_.go()
    assert await states(round_.db) == [State.DONE, State.SUPERSEDED, State.DONE]
    assert (await round_.entry(3))["outcome"] == Outcome.UPDATED
    assert round_.org.records[record_id]["Fusion_Sync_Status__c"] == "Synced"
    assert len(round_.portal.inner.charts) == 1


async def test_one_who_is_taken_back_before_we_looked_was_never_gone(round_: Round) -> None:
    record_id = await round_.intake()
    await round_.go()
    await arrive(round_.db, a_change(record_id=record_id, kind=ChangeKind.DELETE))
    await arrive(round_.db, a_change(record_id=record_id, kind=ChangeKind.UNDELETE))
    await round_.go()
    assert await states(round_.db) == [State.DONE, State.DONE]
    assert (await round_.entry(2))["outcome"] == Outcome.UNCHANGED


# ---- merges, where Salesforce can merge


SURVIVOR = RecordId("0030000000000AbAAI")
CONTACTS = replace(MAPPING, object_name="Contact")


def merged_away(*, chart: bool = True, survivors: bool = True) -> At:
    """Mia's record was merged into another; the two have charts, or not."""
    at = At()
    at.org.create({**INTAKE, "IsDeleted": True, "MasterRecordId": SURVIVOR})
    pairs = [(RECORD_ID, "10000001")] * chart + [(SURVIVOR, "10000002")] * survivors
    at.links.kept = [Link(record_id=one, portal_id=its, how="created", identity=None) for one, its in pairs]
    return at


async def test_a_patient_who_was_merged_into_another_with_a_chart_waits_with_both_ids() -> None:
    at = merged_away()
    result = await push(an_entry(), replace(at.desk(), mapping=CONTACTS))
    assert (result.code, result.reason) == (Code.MERGED_IN_SALESFORCE, ParkedReason.DELETED)
    assert result.message is not None
    assert f"{SURVIVOR} has chart 10000002, this one has chart 10000001" in result.message
    assert len(result.message) <= 255
    assert at.portal.calls == []


async def test_one_who_was_merged_into_another_without_a_chart_waits_and_says_so() -> None:
    result = await push(an_entry(), replace(merged_away(survivors=False).desk(), mapping=CONTACTS))
    assert result.message is not None
    assert f"{SURVIVOR} has no chart, this one has chart 10000001" in result.message


async def test_one_without_a_chart_who_was_merged_away_is_nobodys_concern() -> None:
    at = merged_away(chart=False)
    result = await push(an_entry(), replace(at.desk(), mapping=CONTACTS))
    assert (result.outcome, at.portal.calls) == (Outcome.SKIPPED, [])


def test_what_a_record_was_merged_into_is_asked_only_where_salesforce_can_merge() -> None:
    """A custom object has no such field, and to ask for it would be refused."""
    assert "MasterRecordId" in CONTACTS.reads
    assert "MasterRecordId" not in MAPPING.reads
