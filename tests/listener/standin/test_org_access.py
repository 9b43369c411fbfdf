"""What the package's users may see and do, and what they are refused, by the wire."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest
import requests
from org_caller import Caller, made_up
from requests.adapters import HTTPAdapter
from simple_salesforce.api import Salesforce
from simple_salesforce.exceptions import SalesforceMalformedRequest, SalesforceResourceNotFound

from listener.standin import StandInOrg

P = "sobjects/Patient__c"


@pytest.fixture
async def robot(org: StandInOrg, http: aiohttp.ClientSession) -> Caller:
    """The integration user with what the installer gives it, and nothing else."""
    return await Caller(org, http, org.integration).log_in()


async def code_of(answer: Any) -> str:
    status, body = await answer
    return f"{status} {body[0]['errorCode']}" if isinstance(body, list) else str(status)


async def names_seen(caller: Caller) -> set[str]:
    status, body = await caller.call("GET", f"{P}/describe")
    assert status == 200
    return {f["name"] for f in body["fields"]}


async def test_the_listener_sees_the_state_of_the_sync_and_required_fields_alone(robot: Caller) -> None:
    record_id = robot.org.control.create(made_up(SSN__c="900-12-3456", Guardian_City__c="Durham"))
    robot.org.control.assign("integration", "Fusion_Sync_Listener")
    seen = await names_seen(robot)
    assert {"Fusion_Sync_Status__c", "Ready_for_Fusion__c", "First_Name__c", "Last_Name__c", "Name"} <= seen
    assert not {"SSN__c", "Date_of_Birth__c", "Guardian_City__c", "Case_Notes__c"} & seen
    _, body = await robot.call("GET", f"{P}/{record_id}")
    assert set(body) - {"attributes"} == seen
    for text in (
        "SELECT SSN__c FROM Patient__c",
        "SELECT Id FROM Patient__c WHERE Guardian_City__c = 'Durham'",
        "SELECT Id FROM Patient__c ORDER BY Guardian_City__c",
    ):
        assert await code_of(robot.call("GET", "query", q=text)) == "400 INVALID_FIELD"
    assert await code_of(robot.call("GET", f"{P}/{record_id}", fields="SSN__c")) == "400 INVALID_FIELD"


async def test_what_may_be_read_and_not_written_is_refused_by_name(robot: Caller) -> None:
    record_id = robot.org.control.create(made_up())
    status, body = await robot.call("PATCH", f"{P}/{record_id}", {"Gender__c": "Female"})
    assert (status, body[0]["errorCode"], body[0]["fields"]) == (
        400,
        "INVALID_FIELD_FOR_INSERT_UPDATE",
        ["Gender__c"],
    )
    robot.org.control.assign("integration", "Fusion_Sync_Listener")
    assert await code_of(robot.call("PATCH", f"{P}/{record_id}", {"Fusion_Web_Id__c": "7"})) == (
        "400 INSUFFICIENT_ACCESS_OR_READONLY"
    )
    assert robot.org.control.record(record_id)["Gender__c"] is None


async def test_what_may_not_be_read_does_not_exist_for_a_writer(robot: Caller) -> None:
    record_id = robot.org.control.create(made_up())
    assert await code_of(robot.call("PATCH", f"{P}/{record_id}", {"Fusion_Queued_At__c": None})) == "400 INVALID_FIELD"
    records = [{"attributes": {"type": "Patient__c"}, "id": record_id, "Fusion_Queued_At__c": None}]
    _, (result,) = await robot.call("PATCH", "composite/sobjects", {"records": records})
    assert result["errors"][0]["statusCode"] == "INVALID_FIELD"


async def test_the_integration_user_makes_and_deletes_nothing(robot: Caller) -> None:
    record_id = robot.org.control.create(made_up())
    assert await code_of(robot.call("POST", P, made_up())) == "400 INSUFFICIENT_ACCESS_OR_READONLY"
    assert await code_of(robot.call("DELETE", f"{P}/{record_id}")) == "400 INSUFFICIENT_ACCESS_OR_READONLY"
    assert [one["Id"] for one in robot.org.control.records()] == [record_id]


async def test_without_a_permission_set_the_object_is_not_there(robot: Caller) -> None:
    record_id = robot.org.control.create(made_up())
    robot.org.control.assign("integration")
    assert await code_of(robot.call("GET", f"{P}/describe")) == "404 NOT_FOUND"
    assert await code_of(robot.call("GET", f"{P}/{record_id}")) == "404 NOT_FOUND"
    assert await code_of(robot.call("GET", "query", q="SELECT Id FROM Patient__c")) == "400 INVALID_TYPE"
    _, body = await robot.call("GET", "sobjects")
    assert "Patient__c" not in {one["name"] for one in body["sobjects"]}


async def test_the_ssn_is_clear_for_who_may_view_encrypted_data_and_not_even_for_an_administrator_else(
    robot: Caller, admin: Caller
) -> None:
    record_id = robot.org.control.create(made_up(SSN__c="900-12-3456"))
    seen = [(await one.call("GET", f"{P}/{record_id}"))[1]["SSN__c"] for one in (robot, admin)]
    assert seen == ["900-12-3456", "XXX-XX-3456"]


async def test_an_administrator_sees_no_deployed_field_until_a_permission_set_shows_it(admin: Caller) -> None:
    admin.org.control.assign("admin")
    seen = await names_seen(admin)
    assert "First_Name__c" in seen
    assert not {"Date_of_Birth__c", "Fusion_Sync_Status__c"} & seen
    assert await code_of(admin.call("POST", P, made_up())) == "400 INVALID_FIELD"
    assert await code_of(admin.call("POST", P, {"First_Name__c": "Ada", "Last_Name__c": "Sample"})) == "201"


# ---- sharing


async def test_view_all_lets_nobody_edit_what_others_own(robot: Caller, admin: Caller) -> None:
    """Patients are private: the group of the package's sharing rule is what lets the sync write."""
    record_id = robot.org.control.create(made_up())
    _, body = await admin.call("GET", "query", q="SELECT Id FROM GroupMember")
    assert await code_of(robot.call("PATCH", f"{P}/{record_id}", {"Fusion_Web_Id__c": "7"})) == "204"
    assert await code_of(admin.call("DELETE", f"sobjects/GroupMember/{body['records'][0]['Id']}")) == "204"
    assert await code_of(robot.call("GET", f"{P}/{record_id}")) == "200"
    status, body = await robot.call("PATCH", f"{P}/{record_id}", {"Fusion_Web_Id__c": "8"})
    assert (status, body[0]["errorCode"], body[0]["message"]) == (
        400,
        "INSUFFICIENT_ACCESS_OR_READONLY",
        "insufficient access rights on object id",
    )
    assert robot.org.control.record(record_id)["Fusion_Web_Id__c"] == "7"


async def test_the_front_desk_finds_its_own_patients_and_no_others(front_desk: Caller) -> None:
    mine = await front_desk.create()
    other = front_desk.org.control.create(made_up(), by="admin")
    assert [one["Id"] for one in await front_desk.query("SELECT Id FROM Patient__c")] == [mine]
    assert await code_of(front_desk.call("GET", f"{P}/{other}")) == "404 NOT_FOUND"
    assert await code_of(front_desk.call("PATCH", f"{P}/{other}", {"Gender__c": "Female"})) == "404 NOT_FOUND"
    _, found = await front_desk.call("POST", "composite/sobjects/Patient__c", {"ids": [mine, other], "fields": ["Id"]})
    assert [bool(one) for one in found] == [True, False]
    assert await code_of(front_desk.call("PATCH", f"{P}/{mine}", {"Gender__c": "Female"})) == "204"


# ---- permission sets by the wire, as `sf org assign permset` does it


async def test_an_administrator_assigns_and_another_may_not(admin: Caller, front_desk: Caller) -> None:
    (permset,) = await admin.query("SELECT Id FROM PermissionSet WHERE Name = 'Fusion_Sync_Admin'")
    (user,) = await admin.query("SELECT Id FROM User WHERE Username = 'intake@clinic.example.com'")
    given = {"AssigneeId": user["Id"], "PermissionSetId": permset["Id"]}
    path = "sobjects/PermissionSetAssignment"
    assert await code_of(front_desk.call("POST", path, given)) == "404 NOT_FOUND"
    admin.org.control.assign("intake", "Fusion_Sync_Doctor")  # which shows it
    assert await code_of(front_desk.call("POST", path, given)) == "400 INSUFFICIENT_ACCESS_OR_READONLY"
    assert await code_of(admin.call("POST", path, given)) == "201"
    status, body = await admin.call("POST", path, given)
    assert (status, body[0]["errorCode"]) == (400, "DUPLICATE_VALUE")
    other = front_desk.org.control.create(made_up(), by="admin")
    assert [one["Id"] for one in await front_desk.query("SELECT Id FROM Patient__c")] == [other]


# ---- rules and flows


async def test_a_validation_rule_refuses_at_its_field_and_spares_the_integration_user(
    front_desk: Caller, robot: Caller
) -> None:
    record_id = await front_desk.create(Date_of_Birth__c=None)
    status, body = await front_desk.call("PATCH", f"{P}/{record_id}", {"Ready_for_Fusion__c": True})
    assert status == 400
    assert (body[0]["errorCode"], body[0]["fields"]) == ("FIELD_CUSTOM_VALIDATION_EXCEPTION", ["Date_of_Birth__c"])
    assert "date of birth" in body[0]["message"]
    front_desk.org.control.update(record_id, {"Ready_for_Fusion__c": True}, automation=False)
    assert await code_of(robot.call("PATCH", f"{P}/{record_id}", {"Fusion_Sync_Status__c": "Needs Attention"})) == "204"


async def test_a_persons_edit_queues_the_record_and_the_syncs_own_does_not(front_desk: Caller, robot: Caller) -> None:
    record_id = await front_desk.create(Ready_for_Fusion__c=True)
    read = front_desk.org.control.record
    assert read(record_id)["Fusion_Sync_Status__c"] == "Pending"
    told = {"Fusion_Sync_Status__c": "Needs Attention", "Fusion_Sync_Attempts__c": 3, "Fusion_Sync_Error__c": "Call."}
    assert await code_of(robot.call("PATCH", f"{P}/{record_id}", told)) == "204"
    assert {name: read(record_id)[name] for name in told} == told
    assert await code_of(front_desk.call("PATCH", f"{P}/{record_id}", {"Preferred_Name__c": "Addie"})) == "204"
    after = read(record_id)
    assert [after[name] for name in told] == ["Pending", 0, None]
    assert after["Fusion_Queued_At__c"]
    event = front_desk.org.ledger.of("event")[-1]
    assert {"Preferred_Name__c", "Fusion_Sync_Status__c", "Fusion_Sync_Error__c"} <= set(event["fields"])


async def test_a_resync_request_queues_and_an_edit_that_the_flow_does_not_watch_leaves_all(
    front_desk: Caller, robot: Caller
) -> None:
    record_id = await front_desk.create(Ready_for_Fusion__c=True)
    assert await code_of(robot.call("PATCH", f"{P}/{record_id}", {"Fusion_Sync_Status__c": "Synced"})) == "204"
    assert await code_of(front_desk.call("PATCH", f"{P}/{record_id}", {"Case_Notes__c": "Late."})) == "204"
    read = front_desk.org.control.record
    assert read(record_id)["Fusion_Sync_Status__c"] == "Synced"
    assert await code_of(front_desk.call("PATCH", f"{P}/{record_id}", {"Fusion_Resync_Requested__c": True})) == "204"
    assert read(record_id)["Fusion_Sync_Status__c"] == "Pending"
    assert read(record_id)["Fusion_Resync_Requested__c"] is True


async def test_a_record_that_is_no_longer_ready_says_so(front_desk: Caller) -> None:
    record_id = await front_desk.create(Ready_for_Fusion__c=True)
    assert await code_of(front_desk.call("PATCH", f"{P}/{record_id}", {"Ready_for_Fusion__c": False})) == "204"
    after = front_desk.org.control.record(record_id)
    assert (after["Fusion_Sync_Status__c"], after["Fusion_Queued_At__c"]) == ("Not Ready", None)


async def test_formulas_are_computed_as_they_were_deployed(front_desk: Caller) -> None:
    record_id = await front_desk.create(Ready_for_Fusion__c=True)
    _, body = await front_desk.call("GET", f"{P}/{record_id}")
    assert (body["Full_Name__c"], body["Fusion_Needs_Attention__c"]) == ("Ada Sample", False)
    assert "On its way" in body["Fusion_Sync_Indicator__c"]
    assert 0 <= body["Fusion_Waiting_Hours__c"] < 1
    found = await front_desk.query("SELECT Id FROM Patient__c WHERE Full_Name__c = 'ada sample'")
    assert [one["Id"] for one in found] == [record_id]


# ---- the same, as simple-salesforce tells it


class PlainHttp(HTTPAdapter):
    """simple-salesforce always writes https; the stand-in has no certificate."""

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        request.url = str(request.url).replace("https://", "http://", 1)
        return super().send(request, *args, **kwargs)


@pytest.fixture
async def client(robot: Caller) -> AsyncIterator[Salesforce]:
    with requests.Session() as session:
        session.mount("https://localhost", PlainHttp())
        yield Salesforce(instance_url=robot.org.url, session_id=robot.token, version="66.0", session=session)


Refusal = tuple[Callable[[Salesforce, str], object], str]


@pytest.mark.parametrize(
    ("act", "code"),
    [
        pytest.param(lambda s, i: s.Patient__c.update(i, {"Gender__c": "Female"}), "INVALID_FIELD_FOR_INSERT_UPDATE"),
        pytest.param(lambda s, i: s.Patient__c.update(i, {"Fusion_Queued_At__c": None}), "INVALID_FIELD"),
        pytest.param(
            lambda s, i: s.Patient__c.update(i, {"Fusion_Sync_Status__c": "Failed"}),
            "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
        ),
        pytest.param(lambda s, i: s.Patient__c.update(i, {"Fusion_Web_Id__c": "TAKEN"}), "DUPLICATE_VALUE"),
        pytest.param(lambda s, _: s.Patient__c.create({"First_Name__c": "Ada"}), "INSUFFICIENT_ACCESS_OR_READONLY"),
        pytest.param(lambda s, i: s.Patient__c.delete(i), "INSUFFICIENT_ACCESS_OR_READONLY"),
        pytest.param(lambda s, _: s.query("SELECT Fusion_Queued_At__c FROM Patient__c"), "INVALID_FIELD"),
    ],
)
async def test_simple_salesforce_gets_the_orgs_code(
    client: Salesforce, org: StandInOrg, act: Callable[[Salesforce, str], object], code: str
) -> None:
    org.control.create(made_up(Fusion_Web_Id__c="taken"))
    record_id = org.control.create(made_up())
    with pytest.raises(SalesforceMalformedRequest) as caught:
        await asyncio.to_thread(act, client, record_id)
    assert caught.value.content[0]["errorCode"] == code


async def test_simple_salesforce_does_not_find_an_object_that_is_not_shown(client: Salesforce, org: StandInOrg) -> None:
    org.control.assign("integration")
    with pytest.raises(SalesforceResourceNotFound):
        await asyncio.to_thread(client.Patient__c.describe)


# ---- the stream


async def test_events_of_the_channel_leave_out_what_the_subscriber_may_not_see(org: StandInOrg, robot: Caller) -> None:
    org.control.assign("integration", "Fusion_Sync_Listener")
    record_id = org.control.create(made_up(Ready_for_Fusion__c=True, SSN__c="900-12-3456"))
    org.control.update(record_id, {"Preferred_Name__c": "Addie"})
    created, updated = await _heard(org, robot, 2)
    assert created["First_Name__c"] == "Ada"
    assert not {"SSN__c", "Date_of_Birth__c"} & set(created)
    assert "Preferred_Name__c" not in updated
    assert "Preferred_Name__c" not in updated["ChangeEventHeader"]["changedFields"]
    org.control.assign("integration")
    org.control.update(record_id, {"Preferred_Name__c": "Ads"})
    assert await _heard(org, robot, 0) == []


async def _heard(org: StandInOrg, caller: Caller, number: int) -> list[dict[str, Any]]:
    """Events of the channel since ever; waits for *number* of them, and for a whole poll when it is 0."""
    url, found = f"{org.url}/cometd/66.0", []
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {caller.token}"}) as http:

        async def send(**message: Any) -> list[dict[str, Any]]:
            async with http.post(url, json=[message]) as answer:
                return list(await answer.json())

        shaken = await send(
            channel="/meta/handshake", version="1.0", supportedConnectionTypes=["long-polling"], ext={"replay": True}
        )
        client_id = shaken[0]["clientId"]
        found += await send(
            channel="/meta/subscribe",
            clientId=client_id,
            subscription=org.channel,
            ext={"replay": {org.channel: -2}},
        )
        for _ in range(3):
            found += await send(channel="/meta/connect", clientId=client_id, connectionType="long-polling")
            if number and sum("data" in one for one in found) >= number:
                break
    return [one["data"]["payload"] for one in found if "data" in one]
