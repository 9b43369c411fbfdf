"""How the limits are read: from each answer for nothing, from the resource now and then, and never at the limit."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from org_rig import settings_for, stand_in
from structlog.testing import capture_logs

from listener import allowance, gates
from listener.allowance import Limit
from listener.database import Database
from listener.errors import Outage
from listener.gates import Lane
from listener.login import Login
from listener.meter import Meter
from listener.org import SalesforceOrg
from listener.standin import StandInOrg
from listener.standin.faults import Fault

LIMITS = "/services/data/v66.0/limits"


@pytest.fixture
async def standing() -> AsyncIterator[StandInOrg]:
    async with stand_in() as org:
        yield org


@pytest.fixture
async def org(standing: StandInOrg) -> AsyncIterator[SalesforceOrg]:
    login = Login(settings_for(standing))
    found = SalesforceOrg(login, api_version="66.0")
    yield found
    await found.close()
    await login.close()


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


async def believed(db: Database) -> dict[Limit, tuple[int, int]]:
    async with db.reading() as tx:
        return {limit: (one.used, one.allowed) for limit, one in (await allowance.read(tx)).items()}


async def test_the_resource_is_asked_every_quarter_of_an_hour_and_headers_cost_nothing(
    db: Database, standing: StandInOrg, org: SalesforceOrg
) -> None:
    clock = Clock()
    meter = Meter(db, org, monotonic=clock)
    standing.control.allowance.events_used = 7
    await meter.read()
    assert await believed(db) == {Limit.CALLS: (1, 100_000), Limit.EVENTS: (7, 50_000)}
    await org.describe("Patient__c")
    for _ in range(14):
        clock.now += 60
        await meter.read()
    assert (await believed(db))[Limit.CALLS] == (2, 100_000)
    clock.now += 61
    await meter.read()
    assert standing.control.allowance.calls_used == 3


async def test_it_is_said_once_that_a_limit_is_tight_and_once_that_it_is_no_more(
    db: Database, standing: StandInOrg, org: SalesforceOrg
) -> None:
    meter = Meter(db, org, ask_every=timedelta(microseconds=1))
    standing.control.allowance.calls_used = 79_998
    with capture_logs() as lines:
        for _ in range(4):
            await meter.read()
        standing.control.allowance.calls_max = 200_000
        await meter.read()
    assert [(line["event"], line["kind"]) for line in lines] == [
        ("limit is nearly used up", Limit.CALLS),
        ("limit is no longer tight", Limit.CALLS),
    ]
    assert (lines[0]["used"], lines[0]["limit"]) == (80_000, 100_000)


async def test_who_may_not_see_the_limits_still_hears_of_calls(
    db: Database, standing: StandInOrg, org: SalesforceOrg
) -> None:
    body = '[{"errorCode":"INSUFFICIENT_ACCESS","message":"no"}]'
    standing.control.faults.add(Fault(path=LIMITS, status=403, body=body, content_type="application/json", times=None))
    await org.describe("Patient__c")
    await Meter(db, org).read()
    assert await believed(db) == {Limit.CALLS: (1, 100_000)}


async def test_nothing_is_asked_while_the_gate_is_shut(db: Database, standing: StandInOrg, org: SalesforceOrg) -> None:
    async with db.writing() as tx:
        await gates.shut(tx, Lane.SALESFORCE, reason="the limit", wait=timedelta(minutes=15))
    await Meter(db, org).read()
    assert standing.control.allowance.calls_used == 0


async def test_at_the_limit_it_is_kept_that_all_is_used_whatever_the_header_said_last(
    db: Database, standing: StandInOrg, org: SalesforceOrg
) -> None:
    meter = Meter(db, org, ask_every=None)
    await org.describe("Patient__c")
    body = '[{"errorCode":"REQUEST_LIMIT_EXCEEDED","message":"TotalRequests Limit exceeded."}]'
    standing.control.faults.add(Fault(path="/services/data", status=403, body=body, content_type="application/json"))
    with pytest.raises(Outage, match="24 hours") as caught:
        await org.describe("Patient__c")
    assert caught.value.retry_after == 900
    await meter.read()
    assert await believed(db) == {Limit.CALLS: (100_000, 100_000)}
