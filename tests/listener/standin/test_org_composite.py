"""Many records in one call."""

from collections.abc import Mapping

from org_caller import Caller, made_up

PATIENT = {"attributes": {"type": "Patient__c"}}


async def patch(
    worker: Caller, *records: Mapping[str, object], all_or_none: bool = False
) -> tuple[int, list[dict[str, object]]]:
    body = {"allOrNone": all_or_none, "records": [{**PATIENT, **record} for record in records]}
    return await worker.call("PATCH", "composite/sobjects", body)


async def test_each_record_has_its_own_answer_in_order(worker: Caller) -> None:
    first, second = await worker.create(), await worker.create()
    worker.org.control.delete(second)
    status, results = await patch(
        worker,
        {"id": first, "Fusion_Sync_Status__c": "Synced"},
        {"id": second, "Fusion_Sync_Status__c": "Synced"},
        {"id": first, "Fusion_Sync_Status__c": "Lost"},
        {"id": "nonsense", "Fusion_Sync_Status__c": "Synced"},
        {"Fusion_Sync_Status__c": "Synced"},
        {"attributes": {"type": "Nope__c"}, "id": first},
    )
    assert status == 200
    assert results[0] == {"id": first, "success": True, "errors": []}
    assert [r["errors"][0]["statusCode"] for r in results[1:]] == [  # type: ignore[index]
        "ENTITY_IS_DELETED",
        "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
        "MALFORMED_ID",
        "MISSING_ARGUMENT",
        "INVALID_TYPE",
    ]
    assert worker.org.control.record(first)["Fusion_Sync_Status__c"] == "Synced"
    assert [w["error"] for w in worker.org.ledger.of("write", operation="update")][:2] == [None, "ENTITY_IS_DELETED"]


async def test_all_or_none_saves_nothing_when_one_is_refused(worker: Caller) -> None:
    first, second = await worker.create(), await worker.create()
    _, results = await patch(
        worker, {"id": first, "Preferred_Name__c": "A"}, {"id": second, "Gender__c": "Robot"}, all_or_none=True
    )
    assert [r["errors"][0]["statusCode"] for r in results] == [  # type: ignore[index]
        "ALL_OR_NONE_OPERATION_ROLLED_BACK",
        "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
    ]
    assert worker.org.control.record(first)["Preferred_Name__c"] is None


async def test_two_hundred_records_are_the_most(worker: Caller) -> None:
    record = {"id": await worker.create(), "Preferred_Name__c": "A"}
    assert (await patch(worker, *[record] * 200))[0] == 200
    status, body = await patch(worker, *[record] * 201)
    assert (status, body[0]["errorCode"]) == (400, "EXCEEDED_ID_LIMIT")


async def test_more_than_ten_changes_of_type_are_refused(worker: Caller) -> None:
    record = {"id": await worker.create(), "Preferred_Name__c": "A"}
    mixed = [{"attributes": {"type": "User" if n % 2 else "Patient__c"}, **record} for n in range(11)]
    status, body = await worker.call("PATCH", "composite/sobjects", {"records": mixed})
    assert (status, body[0]["errorCode"]) == (400, "LIMIT_EXCEEDED")


async def test_records_are_created_retrieved_and_deleted_together(worker: Caller) -> None:
    records = [PATIENT | made_up(First_Name__c=name) for name in ("Ada", "Ben")]
    _, results = await worker.call("POST", "composite/sobjects", {"records": records})
    ids = [result["id"] for result in results]
    missing = "a0PHs0000zzzzzz"
    asked = {"ids": [ids[1], missing, ids[0]], "fields": ["First_Name__c"]}
    _, found = await worker.call("POST", "composite/sobjects/Patient__c", asked)
    assert [record and record["First_Name__c"] for record in found] == ["Ben", None, "Ada"]
    _, same = await worker.call(
        "GET", "composite/sobjects/Patient__c", ids=",".join(asked["ids"]), fields="First_Name__c"
    )
    assert same == found
    _, results = await worker.call("DELETE", "composite/sobjects", ids=",".join(ids))
    assert [result["success"] for result in results] == [True, True]
    assert worker.org.control.records() == []


async def test_a_tree_is_saved_whole_or_not_at_all(worker: Caller) -> None:
    def tree(*genders: str) -> dict[str, object]:
        return {
            "records": [
                {"attributes": {"type": "Patient__c", "referenceId": f"p{n}"}, **made_up(Gender__c=gender)}
                for n, gender in enumerate(genders)
            ]
        }

    status, body = await worker.call("POST", "composite/tree/Patient__c", tree("Male", "Robot"))
    assert (status, body["hasErrors"], body["results"][0]["referenceId"]) == (400, True, "p1")
    assert worker.org.control.records() == []
    status, body = await worker.call("POST", "composite/tree/Patient__c", tree("Male", "Female"))
    assert (status, [r["referenceId"] for r in body["results"]]) == (201, ["p0", "p1"])


async def test_a_collection_has_no_client_in_its_origin_unless_the_org_is_told_so(worker: Caller) -> None:
    worker.headers = {"Sforce-Call-Options": "client=fusion-sync"}
    record_id = await worker.create()
    await worker.call("PATCH", f"sobjects/Patient__c/{record_id}", {"Preferred_Name__c": "A"})
    await patch(worker, {"id": record_id, "Preferred_Name__c": "B"})
    origins = [event["header"]["changeOrigin"] for event in worker.org.ledger.of("event")]
    assert origins == ["com/salesforce/api/rest/66.0;client=fusion-sync"] * 2 + ["com/salesforce/api/rest/66.0"]
