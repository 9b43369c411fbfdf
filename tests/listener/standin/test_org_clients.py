"""Real clients against the stand-in: aiosfstream-ng for the stream, simple-salesforce for REST."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import requests
from aiosfstream_ng.auth import AuthenticatorBase
from aiosfstream_ng.client import Client
from aiosfstream_ng.exceptions import ServerError
from aiosfstream_ng.replay import ReplayMarker, ReplayOption
from org_caller import Caller, made_up
from requests.adapters import HTTPAdapter
from simple_salesforce.api import Salesforce
from simple_salesforce.exceptions import SalesforceExpiredSession, SalesforceMalformedRequest

from listener.standin import StandInOrg

CHANNEL = "/data/FusionSync__chn"


class Token(AuthenticatorBase):
    """Hands over a token that was fetched before."""

    def __init__(self, caller: Caller) -> None:
        super().__init__()
        self.caller = caller

    async def _authenticate(self) -> tuple[int, dict[str, str]]:
        return 200, {"access_token": self.caller.token, "token_type": "Bearer", "instance_url": self.caller.org.url}


class Streaming(Client):
    """The library's client on a current API version."""

    @staticmethod
    def get_cometd_url(instance_url: str) -> str:
        return instance_url + "/cometd/66.0"


@pytest.fixture
async def org(private_key: str) -> AsyncIterator[StandInOrg]:
    """With polls long enough for the library, which gives up on one soon after its advised time."""
    async with StandInOrg(poll_seconds=5.0, private_key=private_key) as running:
        yield running


@pytest.fixture
async def streaming(worker: Caller) -> AsyncIterator[Client]:
    async with Streaming(Token(worker), replay=ReplayOption.NEW_EVENTS) as client:
        yield client


async def received(client: Client) -> dict[str, Any]:
    message: dict[str, Any] = await asyncio.wait_for(client.receive(), 3)
    return message


async def test_aiosfstream_receives_creates_updates_and_ungrouped_changes(streaming: Client, org: StandInOrg) -> None:
    await streaming.subscribe(CHANNEL)
    ids = [org.control.create(made_up(First_Name__c=n, Ready_for_Fusion__c=True, Fusion_Web_Id__c=n)) for n in "AB"]
    org.control.create(made_up())
    changes = [{"op": "update", "id": i, "values": {"Location__c": "Telehealth"}} for i in ids]
    org.control.save(*changes)
    messages = [await received(streaming) for _ in range(4)]
    headers = [m["data"]["payload"]["ChangeEventHeader"] for m in messages]
    assert [h["changeType"] for h in headers] == ["CREATE", "CREATE", "UPDATE", "UPDATE"]
    assert [h["recordIds"] for h in headers[2:]] == [[ids[0]], [ids[1]]]
    assert messages[2]["data"]["payload"]["Fusion_Web_Id__c"] == "A"
    assert messages[2]["data"]["event"] == messages[3]["data"]["event"]


async def test_aiosfstream_receives_one_merged_event_on_the_standard_channel(
    streaming: Client, org: StandInOrg
) -> None:
    ids = [org.control.create(made_up(First_Name__c=n)) for n in "AB"]
    await streaming.subscribe("/data/Patient__ChangeEvent")
    changes = [{"op": "update", "id": i, "values": {"Location__c": "Telehealth"}} for i in ids]
    org.control.save(*changes)
    assert (await received(streaming))["data"]["payload"]["ChangeEventHeader"]["recordIds"] == ids


async def test_aiosfstream_resumes_from_a_stored_id(worker: Caller) -> None:
    org = worker.org
    async with Streaming(Token(worker), replay=ReplayOption.ALL_EVENTS) as client:
        org.control.create(made_up(Ready_for_Fusion__c=True))
        await client.subscribe(CHANNEL)
        first = await received(client)
    while_away = org.control.create(made_up(Ready_for_Fusion__c=True))
    marker: dict[str, Any] = {}
    async with Streaming(Token(worker), replay=marker) as client:
        await client.replay_storage.set_replay_marker(CHANNEL, _marker(first))
        await client.subscribe(CHANNEL)
        assert (await received(client))["data"]["payload"]["ChangeEventHeader"]["recordIds"] == [while_away]
    org.control.forget_events()
    async with Streaming(Token(worker), replay=marker) as client:
        with pytest.raises(ServerError, match="replayId"):
            await client.subscribe(CHANNEL)


def _marker(message: dict[str, Any]) -> ReplayMarker:
    return ReplayMarker(date="0", replay_id=message["data"]["event"]["replayId"])


async def test_aiosfstream_comes_back_after_an_unknown_client(streaming: Client, org: StandInOrg) -> None:
    await streaming.subscribe(CHANNEL)
    org.control.drop_sessions()
    for _ in range(40):
        if len(org.ledger.of("subscribe")) > 1:
            break
        await asyncio.sleep(0.05)
    record_id = org.control.create(made_up(Ready_for_Fusion__c=True))
    assert (await received(streaming))["data"]["payload"]["ChangeEventHeader"]["recordIds"] == [record_id]


class PlainHttp(HTTPAdapter):
    """simple-salesforce always writes https; the stand-in has no certificate."""

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        request.url = str(request.url).replace("https://", "http://", 1)
        return super().send(request, *args, **kwargs)


@pytest.fixture
def salesforce(worker: Caller) -> Iterator[Salesforce]:
    with requests.Session() as session:
        session.mount("https://localhost", PlainHttp())
        session.headers["Sforce-Call-Options"] = "client=fusion-sync"
        yield Salesforce(instance_url=worker.org.url, session_id=worker.token, version="66.0", session=session)


async def test_simple_salesforce_reads_and_writes(salesforce: Salesforce, org: StandInOrg) -> None:
    def work() -> None:
        patients: Any = salesforce.Patient__c
        record_id = patients.create(made_up(Date_of_Birth__c="2019-05-01"))["id"]
        assert patients.get(record_id)["Date_of_Birth__c"] == "2019-05-01"
        assert patients.update(record_id, {"Fusion_Web_Id__c": "F-1"}) == 204
        assert patients.upsert("Fusion_Web_Id__c/F-1", {"Preferred_Name__c": "Addie"}) == 200
        assert patients.get_by_custom_id("Fusion_Web_Id__c", "F-1")["Preferred_Name__c"] == "Addie"
        assert (
            salesforce.query("SELECT Id FROM Patient__c WHERE SystemModstamp > 2020-01-01T00:00:00Z")["totalSize"] == 1
        )
        records = [{"attributes": {"type": "Patient__c"}, "id": record_id, "Fusion_Sync_Status__c": "Synced"}]
        answer: Any = salesforce.restful("composite/sobjects", method="PATCH", json={"records": records})
        assert [result["success"] for result in answer] == [True]
        assert patients.describe()["keyPrefix"] == "a0P"
        with pytest.raises(SalesforceMalformedRequest, match="INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"):
            patients.update(record_id, {"Gender__c": "Robot"})
        assert patients.delete(record_id) == 204
        assert (
            salesforce.query_all("SELECT Id FROM Patient__c WHERE IsDeleted = true", include_deleted=True)["totalSize"]
            == 1
        )

    await asyncio.to_thread(work)
    assert {write["client"] for write in org.ledger.of("write")} == {"fusion-sync"}


async def test_simple_salesforce_follows_pages_and_notices_an_expired_session(
    salesforce: Salesforce, org: StandInOrg
) -> None:
    org.control.save(*[{"values": made_up()} for _ in range(2001)])

    def work() -> None:
        assert len(salesforce.query_all("SELECT Id FROM Patient__c")["records"]) == 2001
        org.control.expire_tokens()
        with pytest.raises(SalesforceExpiredSession):
            salesforce.query("SELECT Id FROM Patient__c")

    await asyncio.to_thread(work)
