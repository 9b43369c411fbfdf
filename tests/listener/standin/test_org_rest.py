"""REST resources of one record and one object, with the org's own refusals."""

from datetime import UTC, datetime, timedelta

import pytest
from org_caller import Caller, made_up

from listener.standin.ids import as_18, with_checksum


async def test_a_record_lives_its_life(worker: Caller) -> None:
    record_id = await worker.create(Date_of_Birth__c="2019-05-01", SSN__c="900-12-3456")
    status, record = await worker.call("GET", f"sobjects/Patient__c/{record_id}")
    assert (status, record["Full_Name__c"], record["SSN__c"]) == (200, "Ada Sample", "900-12-3456")
    assert (record["Name"], record["Fusion_Sync_Status__c"], record["Gender__c"]) == ("PT-000001", "Not Ready", None)
    assert record["attributes"]["url"] == f"/services/data/v66.0/sobjects/Patient__c/{record_id}"
    assert datetime.fromisoformat(record["SystemModstamp"]).microsecond == 0

    assert await worker.call("PATCH", f"sobjects/Patient__c/{record_id[:15]}", {"First_Name__c": " Ada Mae "}) == (
        204,
        None,
    )
    _, record = await worker.call("GET", f"sobjects/Patient__c/{record_id}", fields="First_Name__c,Id")
    assert {k: v for k, v in record.items() if k != "attributes"} == {"First_Name__c": "Ada Mae", "Id": record_id}

    assert await worker.call("DELETE", f"sobjects/Patient__c/{record_id}") == (204, None)
    gone = (404, [{"message": "entity is deleted", "errorCode": "ENTITY_IS_DELETED", "fields": []}])
    for method, body in (("GET", None), ("PATCH", {"First_Name__c": "B"}), ("DELETE", None)):
        assert await worker.call(method, f"sobjects/Patient__c/{record_id}", body) == gone
    status, body = await worker.call("GET", "queryAll", q="SELECT Id, IsDeleted FROM Patient__c")
    assert [(r["Id"], r["IsDeleted"]) for r in body["records"]] == [(record_id, True)]


@pytest.mark.parametrize(
    ("values", "code", "fields"),
    [
        ({"Last_Name__c": None, "First_Name__c": ""}, "REQUIRED_FIELD_MISSING", ["First_Name__c", "Last_Name__c"]),
        ({"First_Name__c": "x" * 81}, "STRING_TOO_LONG", ["First_Name__c"]),
        ({"Gender__c": "Robot"}, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", ["Gender__c"]),
        ({"Guardian_Email__c": "no mail"}, "INVALID_EMAIL_ADDRESS", ["Guardian_Email__c"]),
        ({"Fusion_Sync_Attempts__c": 10000}, "NUMBER_OUTSIDE_VALID_RANGE", ["Fusion_Sync_Attempts__c"]),
        ({"Nope__c": 1}, "INVALID_FIELD", None),
        ({"Name": "PT-1"}, "INVALID_FIELD_FOR_INSERT_UPDATE", ["Name"]),
        ({"Full_Name__c": "A B"}, "INVALID_FIELD_FOR_INSERT_UPDATE", ["Full_Name__c"]),
        ({"CreatedDate": "2026-01-01T00:00:00Z"}, "INVALID_FIELD_FOR_INSERT_UPDATE", ["CreatedDate"]),
        ({"Date_of_Birth__c": "01/02/2020"}, "JSON_PARSER_ERROR", None),
        ({"Fusion_Synced_At__c": "2026-11-24T06:00:00"}, "JSON_PARSER_ERROR", None),
        ({"Ready_for_Fusion__c": "yes"}, "JSON_PARSER_ERROR", None),
        ({"Ready_for_Fusion__c": None}, "INVALID_TYPE_ON_FIELD_IN_RECORD", ["Ready_for_Fusion__c"]),
        ({"First_Name__c": {"a": 1}}, "JSON_PARSER_ERROR", None),
    ],
)
async def test_a_bad_value_is_refused_with_the_orgs_code(
    worker: Caller, values: dict[str, object], code: str, fields: list[str] | None
) -> None:
    status, body = await worker.call("POST", "sobjects/Patient__c", made_up(**values))
    assert (status, body[0]["errorCode"], body[0].get("fields")) == (400, code, fields)
    assert worker.org.control.records() == []
    refused = worker.org.ledger.of("write")[-1]
    assert (refused["status"], refused["error"]) == (400, code)


async def test_an_unrestricted_picklist_takes_a_new_value(worker: Caller) -> None:
    record_id = await worker.create(Fusion_Sync_Error_Code__c="Something new", Location__c="Pop-up Clinic")
    assert worker.org.control.record(record_id)["Fusion_Sync_Error_Code__c"] == "Something new"


async def test_an_external_id_is_unique_and_finds_its_record(worker: Caller) -> None:
    first = await worker.create(Fusion_Web_Id__c="F-1")
    status, body = await worker.call("POST", "sobjects/Patient__c", made_up(Fusion_Web_Id__c="f-1"))
    assert (status, body[0]["errorCode"], first[:15] in body[0]["message"]) == (400, "DUPLICATE_VALUE", True)
    second = await worker.create()
    status, body = await worker.call("PATCH", f"sobjects/Patient__c/{second}", {"Fusion_Web_Id__c": "F-1"})
    assert (status, body[0]["errorCode"]) == (400, "DUPLICATE_VALUE")

    key = "sobjects/Patient__c/Fusion_Web_Id__c"
    status, found = await worker.call("GET", f"{key}/F-1")
    assert (status, found["Id"]) == (200, first)
    status, body = await worker.call("PATCH", f"{key}/F-1", {"Preferred_Name__c": "Addie"})
    assert (status, body) == (200, {"id": first, "success": True, "errors": [], "created": False})
    status, body = await worker.call("PATCH", f"{key}/F-2", made_up(First_Name__c="Bo"))
    assert (status, body["created"]) == (201, True)
    assert worker.org.control.record(body["id"])["Fusion_Web_Id__c"] == "F-2"
    assert (await worker.call("GET", f"{key}/F-3"))[0] == 404
    status, body = await worker.call("GET", "sobjects/Patient__c/First_Name__c/Ada")
    assert (status, "external ID field does not exist" in body[0]["message"]) == (404, True)


async def test_a_deleted_record_frees_its_external_id(worker: Caller) -> None:
    first = await worker.create(Fusion_Web_Id__c="F-1")
    worker.org.control.delete(first)
    await worker.create(Fusion_Web_Id__c="F-1")


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("sobjects/Nope__c/a0PHs0000000009MAA", 404, "NOT_FOUND"),
        (f"sobjects/Patient__c/{with_checksum('a0PHs0000000009')}", 404, "NOT_FOUND"),
        ("sobjects/Patient__c/short", 404, "NOT_FOUND"),
        ("sobjects/Patient__c/a0PHs0000000009XYZ", 400, "MALFORMED_ID"),
        (f"sobjects/Patient__c/{with_checksum('003Hs0000000009')}", 400, "MALFORMED_ID"),
        ("sobjects/Patient__c/describe/nothing", 404, "NOT_FOUND"),
        ("tooling/executeAnonymous", 404, "NOT_FOUND"),
        ("/services/data/v12.0/limits", 404, "NOT_FOUND"),
        ("query", 400, "MALFORMED_QUERY"),
    ],
)
async def test_a_wrong_address_is_answered_in_the_orgs_words(worker: Caller, path: str, status: int, code: str) -> None:
    answered, body = await worker.call("GET", path)
    assert (answered, body[0]["errorCode"]) == (status, code)


async def test_a_body_that_is_no_json_is_a_parser_error(worker: Caller) -> None:
    url = f"{worker.org.url}/services/data/v66.0/sobjects/Patient__c"
    headers = {"Authorization": f"Bearer {worker.token}"}
    async with worker.http.post(url, data="{broken", headers=headers) as answer:
        assert (answer.status, (await answer.json())[0]["errorCode"]) == (400, "JSON_PARSER_ERROR")


async def test_the_ssn_is_masked_for_those_who_may_not_see_it(worker: Caller, front_desk: Caller) -> None:
    record_id = await front_desk.create(SSN__c="900-12-3456")
    _, seen = await front_desk.call("GET", f"sobjects/Patient__c/{record_id}", fields="SSN__c")
    assert seen["SSN__c"] == "XXX-XX-3456"
    assert (await front_desk.query("SELECT SSN__c FROM Patient__c"))[0]["SSN__c"] == "XXX-XX-3456"
    assert (await worker.query("SELECT SSN__c FROM Patient__c"))[0]["SSN__c"] == "900-12-3456"


async def test_updated_and_deleted_tell_a_window_by_modstamp(worker: Caller) -> None:
    kept, gone = await worker.create(), await worker.create()
    await worker.call("DELETE", f"sobjects/Patient__c/{gone}")
    now = datetime.now(UTC)
    window = {"start": (now - timedelta(hours=1)).isoformat(), "end": (now + timedelta(minutes=1)).isoformat()}
    _, updated = await worker.call("GET", "sobjects/Patient__c/updated", **window)
    _, deleted = await worker.call("GET", "sobjects/Patient__c/deleted", **window)
    assert updated["ids"] == [kept]
    assert [record["id"] for record in deleted["deletedRecords"]] == [gone]
    early = {"start": (now - timedelta(days=31)).isoformat(), "end": window["end"]}
    for bad in ({"start": window["end"], "end": window["start"]}, early):
        status, body = await worker.call("GET", "sobjects/Patient__c/updated", **bad)
        assert (status, body[0]["errorCode"]) == (400, "INVALID_REPLICATION_DATE")


async def test_queries_come_in_pages_that_stay_as_they_were(worker: Caller) -> None:
    changes = [{"object": "Patient__c", "values": made_up(First_Name__c=f"P{n}")} for n in range(450)]
    ids = worker.org.control.save(*changes)
    worker.headers = {"Sforce-Query-Options": "batchSize=100"}  # below the least: 200 is used
    _, page = await worker.call("GET", "query", q="SELECT Id FROM Patient__c ORDER BY Id")
    assert (page["totalSize"], page["done"], len(page["records"])) == (450, False, 200)
    worker.org.control.delete(ids[-1])
    seen = [record["Id"] for record in page["records"]]
    while not page["done"]:
        _, page = await worker.call("GET", page["nextRecordsUrl"])
        seen += [record["Id"] for record in page["records"]]
    assert seen == ids
    _, page = await worker.call("GET", "query", q="SELECT Id FROM Patient__c")
    worker.org.control.expire_cursors()
    status, body = await worker.call("GET", page["nextRecordsUrl"])
    assert (status, body[0]["errorCode"]) == (400, "INVALID_QUERY_LOCATOR")
    assert (await worker.call("GET", "query", q="SELECT COUNT() FROM Patient__c"))[1] == {
        "totalSize": 449,
        "done": True,
        "records": [],
    }


async def test_each_answer_counts_against_the_day(worker: Caller) -> None:
    url = f"{worker.org.url}/services/data/v66.0/limits/"
    headers = {"Authorization": f"Bearer {worker.token}"}
    async with worker.http.get(url, headers=headers) as answer:
        assert answer.headers["Sforce-Limit-Info"] == "api-usage=1/100000"
    worker.org.control.allowance.calls_max = 1
    status, body = await worker.call("GET", "limits")
    assert (status, body) == (
        403,
        [{"message": "TotalRequests Limit exceeded.", "errorCode": "REQUEST_LIMIT_EXCEEDED"}],
    )


async def test_describe_tells_what_a_mapping_needs(worker: Caller) -> None:
    _, described = await worker.call("GET", "sobjects/Patient__c/describe")
    fields = {f["name"]: f for f in described["fields"]}
    assert (fields["SSN__c"]["type"], fields["SSN__c"]["length"]) == ("encryptedstring", 11)
    assert [v["value"] for v in fields["Gender__c"]["picklistValues"]] == ["Female", "Male", "Nonbinary", "Unknown"]
    assert (fields["First_Name__c"]["nillable"], fields["Full_Name__c"]["updateable"]) == (False, False)
    assert fields["Fusion_Web_Id__c"]["externalId"] is True
    _, listed = await worker.call("GET", "sobjects")
    assert {o["name"]: o["keyPrefix"] for o in listed["sobjects"]}["Patient__c"] == "a0P"


async def test_what_the_command_line_asks_at_log_in_is_answered(worker: Caller) -> None:
    async with worker.http.get(f"{worker.org.url}/services/data") as answer:
        assert {"label": "Spring '26", "url": "/services/data/v66.0", "version": "66.0"} in await answer.json()
    asked = (
        "SELECT Name, InstanceName, IsSandbox, TrialExpirationDate, NamespacePrefix, OrganizationType FROM Organization"
    )
    assert (await worker.query(asked))[0]["OrganizationType"] == "Developer Edition"
    user = worker.org.people["integration"]
    _, me = await worker.call("GET", f"sobjects/User/{user.id}")
    assert me["Username"] == user.username
    _, body = await worker.call("GET", "query", q="SELECT Id FROM Patient__c", columns="true")
    assert (body["entityName"], body["columnMetadata"][0]["columnName"]) == ("Patient__c", "Id")
    _, root = await worker.call("GET", "")
    assert (root["query"], root["identity"].rpartition("/")[2]) == ("/services/data/v66.0/query", user.id)


async def test_writes_stand_in_the_ledger_with_values_before_and_after(worker: Caller) -> None:
    worker.headers = {"Sforce-Call-Options": "client=fusion-sync"}
    record_id = await worker.create(Preferred_Name__c="A")
    await worker.call("PATCH", f"sobjects/Patient__c/{record_id}", {"Preferred_Name__c": "B"})
    last = worker.org.ledger.of("write")[-1]
    assert (last["user"], last["client"], last["id"]) == (worker.who.username, "fusion-sync", record_id)
    assert (last["before"], last["after"]) == ({"Preferred_Name__c": "A"}, {"Preferred_Name__c": "B"})
    assert (last["operation"], last["status"], last["error"]) == ("update", 204, None)


def test_ids_carry_a_checksum() -> None:
    assert with_checksum("001A0000006Vm9r") == "001A0000006Vm9rIAC"  # the example of the help article
    assert as_18("001A0000006Vm9r") == as_18("001A0000006Vm9rIAC") == "001A0000006Vm9rIAC"
    assert [as_18(bad) for bad in ("001A0000006Vm9rIAB", "001a0000006Vm9rIAC", "", None, "0" * 17)] == [None] * 5
