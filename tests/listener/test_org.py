"""What goes wrong on the way to Salesforce's REST API, sorted by what is to be done about it. And nothing is quoted."""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from org_rig import FIRST, LAST, SSN, patient, settings_for, stand_in

from listener.change import RecordId
from listener.errors import EntryError, Outage, SetupError, SyncError
from listener.login import Login
from listener.org import CLIENT, RecordError, SalesforceOrg
from listener.standin import StandInOrg
from listener.standin.faults import Fault

P = "Patient__c"
DATA = "/services/data/"


@pytest.fixture
async def standing() -> AsyncIterator[StandInOrg]:
    async with stand_in() as standing:
        yield standing


@pytest.fixture
async def login(standing: StandInOrg) -> AsyncIterator[Login]:
    login = Login(settings_for(standing))
    yield login
    await login.close()


@pytest.fixture
async def org(login: Login) -> AsyncIterator[SalesforceOrg]:
    org = SalesforceOrg(login, api_version="66.0", connect_seconds=0.2, read_seconds=0.3, page=200)
    yield org
    await org.close()


@pytest.fixture
def record_id(standing: StandInOrg) -> RecordId:
    return RecordId(standing.control.create(patient()))


def all_that_is_said(error: BaseException) -> str:
    hint = error.hint if isinstance(error, SyncError) else ""
    return f"{error!r} {hint} {''.join(traceback.format_exception(error))}"


@pytest.mark.parametrize(
    "fault",
    [
        Fault(path=DATA, status=503, body="<html>maintenance</html>"),
        Fault(path=DATA, status=500, body='[{"errorCode":"UNKNOWN_EXCEPTION"}]', content_type="application/json"),
        Fault(path=DATA, status=200, body="<html>log in</html>"),
        Fault(path=DATA, status=200, body='{"hello": 1}', content_type="application/json"),
        Fault(path=DATA, cut_after=30),
        Fault(path=DATA, hang=True),
        Fault(path=DATA, status=400, body='[{"errorCode":"SERVER_UNAVAILABLE"}]', content_type="application/json"),
    ],
    ids=["503", "500", "html", "other json", "cut", "hangs", "busy"],
)
async def test_no_answer_is_an_outage_in_bounded_time_and_the_next_call_works(
    standing: StandInOrg, org: SalesforceOrg, record_id: RecordId, fault: Fault
) -> None:
    standing.control.faults.add(fault)
    with pytest.raises(Outage) as caught:
        await asyncio.wait_for(org.read(P, [record_id], ["SSN__c"]), 3)
    assert caught.value.__context__ is None
    assert (await org.read(P, [record_id], ["SSN__c"]))[record_id]["SSN__c"] == SSN


async def test_an_answer_that_drips_is_given_up_and_its_thread_left_behind(
    standing: StandInOrg, login: Login, record_id: RecordId
) -> None:
    """Each packet comes in time, so no limit of the HTTP library ends it."""

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n")
        try:
            while True:
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.05)
        except ConnectionError:
            pass
        finally:
            writer.close()

    slow = await asyncio.start_server(drip, "127.0.0.1", 0)
    token = await login.token()
    org = SalesforceOrg(login, api_version="66.0", connect_seconds=0.1, read_seconds=0.2)
    port = slow.sockets[0].getsockname()[1]
    login._token = type(token)(
        access_token="t", instance_url=f"http://127.0.0.1:{port}", user_id=token.user_id, org_id=token.org_id
    )
    began = time.monotonic()
    with pytest.raises(Outage, match="TimeoutError"):
        await org.read(P, [record_id], ["SSN__c"])
    assert time.monotonic() - began < 2
    login._token = token
    assert record_id in await org.read(P, [record_id], ["SSN__c"])
    await org.close()
    slow.close()


async def test_an_expired_token_is_renewed_once_and_nobody_notices(
    standing: StandInOrg, org: SalesforceOrg, login: Login, record_id: RecordId
) -> None:
    await org.read(P, [record_id], ["First_Name__c"])
    standing.control.expire_tokens()
    assert await org.update(P, {record_id: {"Fusion_Web_Id__c": "P-7"}}) == {record_id: None}
    assert login.calls == 2


async def test_a_lasting_401_is_an_outage_and_no_storm(
    standing: StandInOrg, org: SalesforceOrg, login: Login, record_id: RecordId
) -> None:
    body = '[{"errorCode":"INVALID_SESSION_ID","message":"Session expired or invalid"}]'
    standing.control.faults.add(Fault(path=DATA, status=401, body=body, content_type="application/json", times=None))
    with pytest.raises(Outage, match="token"):
        await org.read(P, [record_id], ["First_Name__c"])
    assert login.calls == 2


async def test_the_spent_allowance_says_when_to_come_back(
    standing: StandInOrg, org: SalesforceOrg, record_id: RecordId
) -> None:
    await org.read(P, [record_id], ["First_Name__c"])
    assert org.usage == (1, 100_000)
    standing.control.allowance.calls_max = 1
    with pytest.raises(Outage, match="limit of API calls") as caught:
        await org.read(P, [record_id], ["First_Name__c"])
    assert caught.value.retry_after == 900.0
    assert org.usage == (1, 1)


async def test_too_many_long_calls_at_once_are_over_sooner(
    standing: StandInOrg, org: SalesforceOrg, record_id: RecordId
) -> None:
    body = '[{"errorCode":"REQUEST_LIMIT_EXCEEDED","message":"ConcurrentRequests (Concurrent API Requests) Limit"}]'
    standing.control.faults.add(Fault(path=DATA, status=403, body=body, content_type="application/json"))
    with pytest.raises(Outage) as caught:
        await org.read(P, [record_id], ["First_Name__c"])
    assert caught.value.retry_after == 60.0


async def test_a_refusal_quotes_no_value_of_the_record(
    standing: StandInOrg, org: SalesforceOrg, record_id: RecordId
) -> None:
    body = f'[{{"errorCode":"FIELD_INTEGRITY_EXCEPTION","message":"{FIRST} {LAST} {SSN} is wrong"}}]'
    standing.control.faults.add(Fault(path=DATA, status=400, body=body, content_type="application/json"))
    with pytest.raises(EntryError, match="FIELD_INTEGRITY_EXCEPTION") as caught:
        await org.update(P, {record_id: {"Last_Name__c": LAST}})
    said = all_that_is_said(caught.value)
    assert not [word for word in (FIRST, LAST, SSN) if word in said]


async def test_the_refusal_of_one_record_has_code_and_field_and_no_value(
    standing: StandInOrg, org: SalesforceOrg, record_id: RecordId
) -> None:
    told = await org.update(P, {record_id: {"Fusion_Sync_Status__c": "Canary-Status"}})
    code, field = "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", "Fusion_Sync_Status__c"
    assert told == {record_id: RecordError(code=code, fields=(field,))}


async def test_a_field_of_the_patient_is_none_that_we_may_write(org: SalesforceOrg, record_id: RecordId) -> None:
    told = await org.update(P, {record_id: {"Gender__c": "Female"}})
    assert told == {record_id: RecordError(code="INVALID_FIELD_FOR_INSERT_UPDATE", fields=("Gender__c",))}


async def test_an_object_that_we_may_not_see_asks_for_the_permission_set(
    standing: StandInOrg, org: SalesforceOrg, record_id: RecordId
) -> None:
    body = '[{"errorCode":"INSUFFICIENT_ACCESS","message":"insufficient access rights"}]'
    standing.control.faults.add(Fault(path=DATA, status=403, body=body, content_type="application/json"))
    with pytest.raises(SetupError) as caught:
        await org.read(P, [record_id], ["SSN__c"])
    assert "permission set" in caught.value.hint


async def test_a_name_that_is_none_never_reaches_a_query(standing: StandInOrg, org: SalesforceOrg) -> None:
    for object_name, field in (("Patient__c WHERE Id != null", "Id"), (P, "SSN__c, Name"), (P, "Owner'")):
        with pytest.raises(SetupError, match="API name"):
            await org.read(object_name, [RecordId("a0P000000000001AAA")], [field])
    with pytest.raises(EntryError, match="record id"):
        await org.read(P, [RecordId("x' OR Name != '")], ["Name"])
    assert standing.ledger.of("read") == []


async def test_an_update_that_timed_out_may_be_told_again(
    standing: StandInOrg, org: SalesforceOrg, record_id: RecordId
) -> None:
    standing.control.faults.add(Fault(path=DATA, method="PATCH", hang=True, after=True))
    with pytest.raises(Outage):
        await org.update(P, {record_id: {"Fusion_Web_Id__c": "P-7"}})
    assert await org.update(P, {record_id: {"Fusion_Web_Id__c": "P-7"}}) == {record_id: None}
    assert [write["after"] for write in standing.ledger.of("write")] == [{"Fusion_Web_Id__c": "P-7"}] * 2


async def test_our_writes_are_sorted_and_carry_our_name(standing: StandInOrg, org: SalesforceOrg) -> None:
    ids = [RecordId(standing.control.create(patient())) for _ in range(5)]
    await org.update(P, {one: {"Fusion_Sync_Error__c": None} for one in reversed(ids)})
    writes = standing.ledger.of("write")
    assert [write["id"] for write in writes] == ids
    assert {write["client"] for write in writes} == {CLIENT}


async def test_a_cursor_that_expires_between_two_pages_loses_nothing(standing: StandInOrg, org: SalesforceOrg) -> None:
    ids = {standing.control.create(patient()) for _ in range(450)}
    now, seen = datetime.now(UTC), []
    async for one in org.changed_since(P, now - timedelta(hours=1), now + timedelta(minutes=1)):
        seen.append(one.record_id)
        if len(seen) == 150:
            standing.control.expire_cursors()
    assert set(seen) == ids


async def test_a_log_of_deletes_that_does_not_reach_back_is_replaced_by_the_recycle_bin(
    standing: StandInOrg, org: SalesforceOrg, record_id: RecordId
) -> None:
    standing.control.delete(record_id)
    body = '[{"errorCode":"INVALID_REPLICATION_DATE","message":"startDate before org replication enabled date"}]'
    standing.control.faults.add(Fault(path=DATA, contains="", status=400, body=body, content_type="application/json"))
    now = datetime.now(UTC)
    found = [one async for one in org.deleted_since(P, now - timedelta(hours=1), now + timedelta(minutes=1))]
    assert [(one.record_id, one.deleted) for one in found] == [(record_id, True)]


async def test_a_condition_of_ours_narrows_the_changes(standing: StandInOrg, org: SalesforceOrg) -> None:
    ready = standing.control.create(patient())
    standing.control.create(patient(Ready_for_Fusion__c=False))
    now = datetime.now(UTC)
    span = (now - timedelta(hours=1), now + timedelta(minutes=1))
    found = [one.record_id async for one in org.changed_since(P, *span, where="Ready_for_Fusion__c = true")]
    assert found == [ready]


async def test_a_moment_without_a_time_zone_is_a_mistake_of_ours(org: SalesforceOrg) -> None:
    with pytest.raises(ValueError, match="time zone"):
        [one async for one in org.changed_since(P, datetime(2026, 11, 1), datetime.now(UTC))]  # noqa: DTZ001


async def test_fields_are_described_with_what_they_allow(org: SalesforceOrg) -> None:
    described = await org.describe(P)
    assert described["Gender__c"].options == ("Female", "Male", "Nonbinary", "Unknown")
    assert described["Gender__c"].restricted
    assert described["SSN__c"].encrypted
    assert described["Fusion_Web_Id__c"].unique
    assert not described["Name"].updateable
    assert described["First_Name__c"].length == 80
