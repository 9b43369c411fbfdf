"""The levers, as another process would pull them; and the ledger it reads afterwards."""

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from org_caller import Caller, made_up

from listener.standin import StandInOrg
from listener.standin.faults import Fault


async def pull(caller: Caller, method: str, lever: str, body: object = None, **params: str) -> tuple[int, Any]:
    url = f"{caller.org.control_url}/{lever}"
    async with caller.http.request(method, url, json=body, params=params) as answer:
        return answer.status, await answer.json()


async def test_a_person_saves_several_records_in_one_transaction(worker: Caller) -> None:
    changes = [{"op": "create", "object": "Patient__c", "values": made_up(First_Name__c=name)} for name in "AB"]
    status, body = await pull(worker, "POST", "records", {"as": "intake", "changes": changes})
    assert status == 200
    first, second = body["ids"]
    follow_up = [
        {"op": "update", "id": first, "values": {"Preferred_Name__c": "Z"}},
        {"op": "delete", "id": second},
    ]
    await pull(worker, "POST", "records", {"changes": follow_up})
    events = worker.org.ledger.of("event")
    assert [event["header"]["changeType"] for event in events] == ["CREATE", "CREATE", "UPDATE", "DELETE"]
    assert events[2]["header"]["commitUser"] == worker.org.people["intake"].id
    assert events[2]["header"]["transactionKey"] == events[3]["header"]["transactionKey"]
    _, records = await pull(worker, "GET", "records")
    assert [r["Preferred_Name__c"] for r in records] == ["Z"]
    await pull(worker, "POST", "records", {"changes": [{"op": "undelete", "id": second}]})
    await pull(worker, "POST", "records", {"changes": [{"op": "purge", "id": first}]})
    _, records = await pull(worker, "GET", "records", deleted="true")
    assert [r["Id"] for r in records] == [second]


async def test_a_refused_save_saves_nothing_and_says_why(worker: Caller) -> None:
    changes = [{"op": "create", "values": made_up()}, {"op": "create", "values": made_up(Gender__c="Robot")}]
    status, body = await pull(worker, "POST", "records", {"changes": changes})
    assert (status, body[0]["errorCode"]) == (400, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST")
    assert worker.org.control.records() == []
    assert (await pull(worker, "POST", "records", {}))[0] == 400


async def test_the_ledger_is_a_file_of_json_lines_and_can_be_read_from_any_point(
    tmp_path: Path, private_key: str, http: aiohttp.ClientSession
) -> None:
    path = tmp_path / "new" / "org.jsonl"
    async with StandInOrg(ledger=path, private_key=private_key) as org:
        caller = await Caller(org, http, org.admin).log_in()
        await caller.create()
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        assert [line["kind"] for line in lines] == ["token", "write", "event"]
        assert [line["seq"] for line in lines] == [1, 2, 3]
        _, later = await pull(caller, "GET", "ledger", since="2")
        assert later == lines[2:]
        assert caller.token not in path.read_text()


async def test_an_answer_instead_of_the_org_changes_nothing_there(worker: Caller) -> None:
    rule = {"path": "/services/data", "method": "POST", "status": 503, "body": "<html>maintenance</html>", "times": 2}
    await pull(worker, "POST", "faults", rule)
    url = f"{worker.org.url}/services/data/v66.0/sobjects/Patient__c"
    headers = {"Authorization": f"Bearer {worker.token}"}
    for _ in range(2):
        async with worker.http.post(url, json=made_up(), headers=headers) as answer:
            assert (answer.status, answer.content_type) == (503, "text/html")
    assert worker.org.control.records() == []
    await worker.create()  # the rule wore off


async def test_an_answer_lost_after_the_work_leaves_the_work_done(worker: Caller) -> None:
    url = f"{worker.org.url}/services/data/v66.0/sobjects/Patient__c"
    headers = {"Authorization": f"Bearer {worker.token}"}
    await pull(worker, "POST", "faults", {"path": "/services/data", "cut_after": 10})
    with pytest.raises(aiohttp.ClientPayloadError):
        async with worker.http.post(url, json=made_up(), headers=headers) as answer:
            await answer.read()
    await pull(worker, "POST", "faults", {"path": "/services/data", "hang": True, "after": True})
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(worker.http.post(url, json=made_up(), headers=headers), 0.2)
    first, _ = worker.org.control.records()
    await pull(worker, "POST", "faults", {"path": "/services/data", "method": "PATCH", "cut_after": 0})
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await worker.call("PATCH", f"sobjects/Patient__c/{first['Id']}", {"Preferred_Name__c": "Z"})
    assert worker.org.control.record(first["Id"])["Preferred_Name__c"] == "Z"
    assert [fault["method"] for fault in worker.org.ledger.of("fault")] == ["POST", "POST", "PATCH"]


async def test_a_rule_can_wait_for_a_text_and_let_some_pass(worker: Caller) -> None:
    worker.org.faults.add(Fault(contains="Ben", skip=1, status=500, times=None))
    await worker.create(First_Name__c="Ben")
    await worker.create(First_Name__c="Ada")
    url = f"{worker.org.url}/services/data/v66.0/sobjects/Patient__c"
    headers = {"Authorization": f"Bearer {worker.token}"}
    async with worker.http.post(url, json=made_up(First_Name__c="Ben"), headers=headers) as answer:
        assert answer.status == 500
    await pull(worker, "DELETE", "faults")
    await worker.create(First_Name__c="Ben")


async def test_latency_is_felt_and_taken_back(worker: Caller) -> None:
    await pull(worker, "POST", "latency", {"seconds": 0.15})
    started = asyncio.get_running_loop().time()
    await worker.call("GET", "limits")
    assert asyncio.get_running_loop().time() - started >= 0.15
    _, stats = await pull(worker, "POST", "latency", {"seconds": 0})
    assert stats["latency"] == 0


async def test_tokens_sessions_allowances_and_events_answer_to_levers(worker: Caller) -> None:
    worker.org.control.create(made_up())
    assert (await pull(worker, "POST", "forget-events", {}))[1] == {"forgotten": 1}
    assert (await pull(worker, "POST", "drop-sessions"))[1] == {"dropped": 0}
    _, stats = await pull(worker, "POST", "allowance", {"calls_max": 5})
    assert stats["allowance"]["calls_max"] == 5
    assert "replayId" in (await pull(worker, "POST", "publish", {"payload": "not even an object"}))[1]
    assert "replayId" in (await pull(worker, "POST", "publish-gap", {"kind": "GAP_OVERFLOW"}))[1]
    await pull(worker, "POST", "expire-tokens")
    assert (await worker.call("GET", "limits"))[0] == 401
    assert (await pull(worker, "GET", "stats"))[1]["connected"] == 0


async def test_the_org_listens_on_ipv4_loopback_only_and_can_start_again(private_key: str) -> None:
    org = StandInOrg(private_key=private_key)
    async with org, aiohttp.ClientSession() as http:
        port = org.url.rpartition(":")[2]
        async with http.get(f"http://127.0.0.1:{port}/services/data") as answer:
            assert answer.status == 200
        async with http.get(f"{org.url}/services/data") as answer:
            assert answer.status == 200
    async with org, aiohttp.ClientSession() as http, http.get(f"http://localhost:{port}/services/data") as answer:
        assert answer.status == 200
