"""What the commands share that compare Salesforce with the outbox: the org, the way in, and which records are ours."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from fusion.admission import login_of
from fusion.mapping import load_mapping
from fusion.settings import load
from listener.change import Ours
from listener.database import Database
from listener.listen import Intake
from listener.org import CLIENT, Org, SalesforceOrg


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookout:
    """`ready`: the SOQL condition of a record that is ours to sync."""

    org: Org
    intake: Intake
    object_name: str
    ready: str
    channel: str


@asynccontextmanager
async def lookout() -> AsyncIterator[Lookout]:
    """Everything open, as the settings say; closed in reverse."""
    settings = load(salesforce=True)
    mapping = load_mapping(settings.sync.mapping)
    db = Database(settings.database.url)
    login = login_of(settings, db)
    org = SalesforceOrg(login, api_version=settings.salesforce.api_version)
    try:
        await db.check()
        yield Lookout(
            org=org,
            intake=Intake(
                db=db,
                ours=Ours(user_id=None, client=CLIENT, fields=frozenset(mapping.own.names())),
                watched=frozenset({mapping.object_name}),
                settle=timedelta(seconds=settings.sync.settle_seconds),
                wake=lambda: None,  # a worker looks at the outbox by itself
            ),
            object_name=mapping.object_name,
            ready=f"{mapping.ready_field} = true",
            channel=settings.salesforce.channel,
        )
    finally:
        await org.close()
        await login.close()
        await db.close()
