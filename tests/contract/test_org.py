"""What `Org` promises, asked of the fake in memory and of the adapter in front of the stand-in's real wire."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fake_org import FakeOrg
from org_rig import FIRST, patient, settings_for, stand_in

from listener.change import RecordId
from listener.errors import SetupError
from listener.login import Login
from listener.org import Org, SalesforceOrg

FIELDS = ("First_Name__c", "Last_Name__c", "Fusion_Web_Id__c", "Ready_for_Fusion__c")
P = "Patient__c"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rig:
    """An org, and what a person does to its records behind our back."""

    org: Org
    create: Callable[[Mapping[str, Any]], str]
    edit: Callable[[str, Mapping[str, Any]], None]
    delete: Callable[[str], None]
    purge: Callable[[str], Any]


@pytest.fixture(params=["fake", "stand-in"])
async def rig(request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    if request.param == "fake":
        fake = FakeOrg(fields=FIELDS)
        yield Rig(org=fake, create=fake.create, edit=fake.edit, delete=fake.delete, purge=fake.purge)
        return
    async with stand_in() as standing:
        login = Login(settings_for(standing))
        org = SalesforceOrg(login, api_version="66.0", page=200)
        control = standing.control
        yield Rig(
            org=org,
            create=control.create,
            edit=control.update,
            delete=control.delete,
            purge=lambda one: control.save({"op": "purge", "id": one}),
        )
        await org.close()
        await login.close()


def around_now() -> tuple[datetime, datetime]:
    now = datetime.now(UTC)
    return now - timedelta(hours=1), now + timedelta(minutes=2)


async def test_a_record_reads_as_it_is_now(rig: Rig) -> None:
    one = RecordId(rig.create(patient()))
    rig.edit(one, {"Last_Name__c": "Lovelace"})
    found = await rig.org.read(P, [one], ["Last_Name__c", "Fusion_Web_Id__c"])
    assert found == {one: {"Id": one, "IsDeleted": False, "Last_Name__c": "Lovelace", "Fusion_Web_Id__c": None}}


async def test_a_deleted_record_reads_as_deleted_and_one_that_never_was_is_absent(rig: Rig) -> None:
    kept, gone = RecordId(rig.create(patient())), RecordId(rig.create(patient()))
    rig.delete(gone)
    found = await rig.org.read(P, [kept, gone, RecordId("a0P000000000999AAA")], ["First_Name__c"])
    assert {one: record["IsDeleted"] for one, record in found.items()} == {kept: False, gone: True}
    assert found[gone]["First_Name__c"] == FIRST


async def test_more_records_than_one_request_may_name_are_read(rig: Rig) -> None:
    ids = [RecordId(rig.create(patient())) for _ in range(230)]
    assert set(await rig.org.read(P, ids, ["First_Name__c"])) == set(ids)


async def test_nothing_asked_is_nothing_read(rig: Rig) -> None:
    assert await rig.org.read(P, [], ["First_Name__c"]) == {}
    assert await rig.org.update(P, {}) == {}


async def test_a_field_that_is_not_there_stops_the_process_and_is_named(rig: Rig) -> None:
    one = RecordId(rig.create(patient()))
    with pytest.raises(SetupError, match="Favourite_Colour__c") as caught:
        await rig.org.read(P, [one], ["First_Name__c", "Favourite_Colour__c"])
    assert "permission set" in caught.value.hint


async def test_an_object_that_is_not_there_stops_the_process_and_is_named(rig: Rig) -> None:
    for ask in (
        lambda: rig.org.read("Nothing__c", [RecordId("a0P000000000001AAA")], ["Name"]),
        lambda: rig.org.describe("Nothing__c"),
    ):
        asked: Awaitable[Any] = ask()
        with pytest.raises(SetupError, match="Nothing__c"):
            await asked


async def test_changes_of_a_span_come_in_the_order_of_writing_deletes_among_them(rig: Rig) -> None:
    ids = [rig.create(patient()) for _ in range(3)]
    rig.delete(ids[0])
    since, until = around_now()
    touched = [one async for one in rig.org.changed_since(P, since, until)]
    assert {one.record_id: one.deleted for one in touched} == {ids[0]: True, ids[1]: False, ids[2]: False}
    assert [one.modified_at for one in touched] == sorted(one.modified_at for one in touched)
    assert all(one.modified_at.tzinfo == UTC for one in touched)
    assert [one async for one in rig.org.changed_since(P, since - timedelta(days=2), since)] == []


async def test_changes_that_need_several_pages_all_come(rig: Rig) -> None:
    ids = {rig.create(patient()) for _ in range(450)}
    since, until = around_now()
    assert {one.record_id async for one in rig.org.changed_since(P, since, until)} == ids


async def test_deletes_of_a_span_are_told_alone(rig: Rig) -> None:
    _, gone = rig.create(patient()), rig.create(patient())
    rig.delete(gone)
    since, until = around_now()
    deleted = [one async for one in rig.org.deleted_since(P, since, until)]
    assert [(one.record_id, one.deleted) for one in deleted] == [(gone, True)]


async def test_the_log_of_deletes_knows_what_is_purged_and_nothing_else_does(rig: Rig) -> None:
    gone = RecordId(rig.create(patient()))
    rig.purge(gone)
    since, until = around_now()
    assert [one.record_id async for one in rig.org.deleted_since(P, since, until)] == [gone]
    assert [one async for one in rig.org.changed_since(P, since, until)] == []
    assert await rig.org.read(P, [gone], []) == {}


async def test_the_org_tells_the_time(rig: Rig) -> None:
    assert abs(await rig.org.now() - datetime.now(UTC)) < timedelta(seconds=5)
    assert (await rig.org.now()).tzinfo == UTC


async def test_an_update_writes_what_it_is_given_and_tells_each_record_its_own_fate(rig: Rig) -> None:
    good, gone = RecordId(rig.create(patient())), RecordId(rig.create(patient()))
    rig.delete(gone)
    told = await rig.org.update(P, {good: {"Fusion_Web_Id__c": "P-1"}, gone: {"Fusion_Web_Id__c": "P-2"}})
    assert told[good] is None
    assert told[gone] is not None
    assert told[gone].code == "ENTITY_IS_DELETED"
    found = await rig.org.read(P, [good, gone], ["Fusion_Web_Id__c", "Last_Name__c"])
    assert (found[good]["Fusion_Web_Id__c"], found[gone]["Fusion_Web_Id__c"]) == ("P-1", None)
    assert found[good]["Last_Name__c"] == patient()["Last_Name__c"]


async def test_more_records_than_one_request_may_write_are_written(rig: Rig) -> None:
    ids = [RecordId(rig.create(patient())) for _ in range(230)]
    told = await rig.org.update(P, {one: {"Fusion_Web_Id__c": f"P-{n}"} for n, one in enumerate(ids)})
    assert told == dict.fromkeys(ids)
    found = await rig.org.read(P, ids, ["Fusion_Web_Id__c"])
    assert [found[one]["Fusion_Web_Id__c"] for one in ids] == [f"P-{n}" for n in range(230)]


async def test_the_object_describes_its_fields(rig: Rig) -> None:
    described = await rig.org.describe(P)
    assert set(FIELDS) <= set(described)
    assert described["First_Name__c"].updateable


async def test_the_org_knows_who_we_are(rig: Rig) -> None:
    assert (await rig.org.user_id()).startswith("005")
