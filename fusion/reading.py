"""Opens what a command needs that only looks: as a worker would, alone on its portal log-in, and writing nothing.

The rows that it makes are of its log-in alone: in the table of holders, which keeps a worker off it meanwhile, and in
that of portal users, since a password that was refused here must not be tried by the worker.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

from fusion import chromium, leftovers
from fusion.admission import login_of, portal_account_of
from fusion.backfill import Place
from fusion.mapping import RecordMapping, load_mapping
from fusion.patient import Edit, Hit, Identity, Patient, Section, Shown
from fusion.portal import AboutToSave
from fusion.settings import Settings
from fusion.visit import Sight
from listener import gates, holders
from listener.database import Database
from listener.errors import Outage
from listener.gates import Lane
from listener.links import LinksIn
from listener.org import FieldDescription, SalesforceOrg

if TYPE_CHECKING:
    from fusion.browser import WebPortal

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Salesforce:
    """The org and the outbox."""

    db: Database
    org: SalesforceOrg
    mapping: RecordMapping
    place: Place
    name_field: str | None


class OnlyLooking:
    """A portal that can be looked at and not be written to, in one session: a second log-in means that another is in.

    Two who throw each other out would go on for ever, and each log-in of theirs costs the clinic's people one.
    """

    def __init__(self, portal: WebPortal) -> None:
        self._portal = portal

    async def find(self, patient: Patient) -> Sequence[Hit]:
        """See `fusion.portal.Portal.find`; `Outage` once the session was lost."""
        return await self._in_one_session(self._portal.find(patient))

    async def read(self, portal_id: str, *, wary: Collection[Section] = ()) -> Shown | None:
        """See `fusion.portal.Portal.read`; `Outage` once the session was lost."""
        return await self._in_one_session(self._portal.read(portal_id, wary=wary))

    async def create(self, patient: Patient, *, about_to_save: AboutToSave) -> str:
        """Never."""
        raise PermissionError("who only looks makes no chart")

    async def update(
        self,
        portal_id: str,
        edits: Sequence[Edit],
        *,
        expect: Identity,
        about_to_save: AboutToSave,
        wary: Collection[Section] = (),
    ) -> Shown:
        """Never."""
        raise PermissionError("who only looks types nothing")

    async def _in_one_session(self, looking: Awaitable[T]) -> T:
        seen = await looking
        if self._portal.logins > 1:
            raise Outage("the portal logged us out", hint="is somebody else this portal user? then go on later")
        return seen


def number_field(fields: Mapping[str, FieldDescription]) -> str | None:
    """The field with a record's number. None where people type it, or on a standard object: it may be a name there."""
    return "Name" if "Name" in fields and fields["Name"].auto_number else None


@asynccontextmanager
async def salesforce_of(settings: Settings) -> AsyncIterator[Salesforce]:
    """Both, open. Raises `SetupError`, and `Outage` where one does not answer, or a person has paused the way there."""
    async with AsyncExitStack() as stack:
        db = Database(settings.database.url)
        stack.push_async_callback(db.close)
        await db.check()
        await _pass(db, Lane.SALESFORCE)
        login = login_of(settings, db)
        stack.push_async_callback(login.close)
        org = SalesforceOrg(login, api_version=settings.salesforce.api_version)
        stack.push_async_callback(org.close)
        mapping = load_mapping(settings.sync.mapping)
        token = await login.token()
        fields = await org.describe(mapping.object_name)
        yield Salesforce(
            db=db,
            org=org,
            mapping=mapping,
            place=Place(
                org=token.instance_url,
                org_id=token.org_id,
                portal=str(settings.portal.url).rstrip("/").casefold(),
                object_name=mapping.object_name,
            ),
            name_field=number_field(fields),
        )


@asynccontextmanager
async def sight_of(settings: Settings, salesforce: Salesforce) -> AsyncIterator[Sight]:
    """The portal as well, logged in on the first look. `SetupError` if a worker is on that log-in."""
    async with portal_of(settings, salesforce.db) as portal:
        yield Sight(
            org=salesforce.org,
            portal=OnlyLooking(portal),
            mapping=salesforce.mapping,
            links=LinksIn(salesforce.db),
            today=lambda: datetime.now(UTC).date(),
            look_again=settings.sync.look_again_seconds,
        )


@asynccontextmanager
async def portal_of(settings: Settings, db: Database) -> AsyncIterator[WebPortal]:
    """The portal alone, for who only looks. `SetupError` if a worker is on that log-in."""
    # As in `app`: a command that needs no browser must run where there is none.
    from fusion.browser import WebPortal  # noqa: PLC0415

    await _pass(db, Lane.PORTAL)
    async with holders.held(db, settings.portal.holding, lease=holders.HOLD):
        await asyncio.to_thread(leftovers.end_leftovers)
        browser = chromium.find(settings.sync.browser)
        memory = portal_account_of(settings, db)
        async with WebPortal.from_settings(settings.portal, settings.sync, memory=memory, executable=browser) as portal:
            yield portal


async def _pass(db: Database, lane: Lane) -> None:
    """`Outage` unless something may go that way now: what stops a worker stops us."""
    async with db.reading() as tx:
        gate = (await gates.read(tx))[lane]
    if not gate.is_open and not gate.may_probe:
        raise Outage(f"the way to {lane} is {gate.state}: {gate.reason}", hint=f"`fusion-sync resume {lane}` opens it")
