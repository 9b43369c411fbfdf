"""Both stand-ins, a database and everything that a backfill works with, in one process and without a browser."""

from __future__ import annotations

import asyncio
import csv
import random
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from fusion.approval import USUAL, Approval, approve
from fusion.backfill import Backfill, Found, Place, look
from fusion.backfill_list import Draft, Line, Verdict
from fusion.drain import DrainReport, drain
from fusion.mapping import load_mapping
from fusion.pace import Pace
from fusion.patient import Edit, Hit, Identity, Patient, Section, Shown
from fusion.portal import AboutToSave
from fusion.standin.sandbox import Sandbox, sandbox
from fusion.standin.server import DEFAULT_USERS
from fusion.turn import Limits, Worker
from fusion.visit import Sight
from listener.change import RecordId
from listener.database import Database
from listener.errors import EntryError
from listener.links import LinksIn
from listener.login import Login
from listener.org import SalesforceOrg
from tests.fusion.desk import INTAKE
from tests.org_rig import private_key, settings_for
from tests.story.api_portal import ApiPortal

MAPPING = load_mapping(None)
USERNAME, PASSWORD = next(iter(DEFAULT_USERS.items()))


@dataclass(slots=True)
class Office:
    """`passed`: by how much the org's clock is ahead, in its sum. `waited`: for how many seconds look-ups waited for
    their turn; nobody waits really. `stop_after`: so many lines, as if the process had ended. `unreadable`: so many
    look-ups to come find a page that does not do as it is told.
    """

    box: Sandbox
    db: Database
    org: SalesforceOrg
    portal: ApiPortal
    folder: Path
    passed: list[timedelta]
    waited: list[float] = field(default_factory=list)
    stop_after: int = 1000
    unreadable: int = 0
    where: str | None = None
    limit: int | None = None
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    @property
    def place(self) -> Place:
        return Place(org=self.box.org.url, org_id="00D", portal=self.box.portal.url, object_name="Patient__c")

    @property
    def sight(self) -> Sight:
        return Sight(
            org=self.org,
            portal=self,
            mapping=MAPPING,
            links=LinksIn(self.db),
            today=lambda: datetime.now(UTC).date(),
        )

    async def find(self, patient: Patient) -> Sequence[Hit]:
        """The portal's, or the error of a page."""
        if self.unreadable:
            self.unreadable -= 1
            raise EntryError("the page did not do as it was told", hint="it is tried again on a fresh page")
        return await self.portal.find(patient)

    async def read(self, portal_id: str, *, wary: Collection[Section] = ()) -> Shown | None:
        return await self.portal.read(portal_id, wary=wary)

    async def create(self, patient: Patient, *, about_to_save: AboutToSave) -> str:
        raise AssertionError("a preview makes no chart")

    async def update(
        self,
        portal_id: str,
        edits: Sequence[Edit],
        *,
        expect: Identity,
        about_to_save: AboutToSave,
        wary: Collection[Section] = (),
    ) -> Shown:
        raise AssertionError("a preview types nothing")

    async def preview(self, path: Path | None = None, *, with_names: bool = False, per_minute: float = 60) -> Found:
        """As the command does it, with a clock that stands still but for waiting."""
        draft = Draft(path or self.folder / "list.csv", with_names=with_names)
        kept, name = draft.kept(), self.place.new_preview(self.now())
        draft.begin(kept)
        clock = [0.0]

        async def sleep(seconds: float) -> None:
            self.waited.append(seconds)
            clock[0] += seconds

        left = [self.stop_after]

        def added(line: Line) -> None:
            if not left[0]:
                raise Stopped
            left[0] -= 1
            draft.add(line)

        of = Backfill(
            db=self.db,
            sight=self.sight,
            place=self.place,
            pace=Pace(per_minute, clock=lambda: clock[0], sleep=sleep),
            name_field="Name",
            added=added,
            now=self.now,
        )
        by_record = {one.record_id: one for one in kept}
        found = await look(of, name=name, where=self.where, limit=self.limit, with_names=with_names, kept=by_record)
        draft.finish(found.lines)
        return found

    async def approve(self, path: Path | None = None, *, only: frozenset[Verdict] = USUAL, **other: Any) -> Approval:
        """As dana."""
        whole: dict[str, Any] = {
            "db": self.db,
            "org": self.org,
            "mapping": MAPPING,
            "place": self.place,
            "only": only,
            "actor": "dana",
            "reason": "Reviewed with Kim.",
        }
        return await approve(path or self.folder / "list.csv", **whole | other)

    async def work(self) -> DrainReport:
        """One round of the worker."""
        worker = Worker(
            db=self.db,
            org=self.org,
            portal=self.portal,
            mapping=MAPPING,
            name="one",
            limits=Limits(look_again=timedelta(0)),
            unit=random.Random(1).random,
        )
        return await drain(worker, stopping=asyncio.Event())

    def decide(self, decisions: dict[str, str]) -> None:
        """A person writes these decisions into the list, by record, as with a spreadsheet."""
        path = self.folder / "list.csv"
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = list(csv.DictReader(file, delimiter=";" if ";" in path.read_text().splitlines()[0] else ","))
        with path.open("w", encoding="utf-8-sig", newline="") as file:
            writer = csv.DictWriter(file, lines[0].keys(), delimiter=";")
            writer.writeheader()
            writer.writerows({**one, "decision": decisions.get(one["record_id"], one["decision"])} for one in lines)

    def edit(self, record_id: RecordId, **changes: Any) -> None:
        """Intake saves the record two seconds later: SystemModstamp has whole seconds."""
        self.passed.append(timedelta(seconds=2))
        self.box.org.control.update(record_id, changes, automation=False)

    def record(self, **changes: Any) -> RecordId:
        """A record that was there before the package and its rules."""
        return RecordId(self.box.org.control.create({**INTAKE, **changes}, automation=False))


class Stopped(Exception):
    """The preview ends here, as if its process had."""


@asynccontextmanager
async def office(folder: Path, url: str) -> AsyncIterator[Office]:
    """Everything open."""
    db, passed = Database(url), list[timedelta]()

    def clock() -> datetime:
        return datetime.now(UTC) + sum(passed, timedelta())

    async with sandbox(folder / "stand-ins", private_key=private_key(), clock=clock) as box:
        login = Login(settings_for(box.org))
        org = SalesforceOrg(login, api_version="66.0")
        try:
            async with ApiPortal(url=box.portal.url, username=USERNAME, password=PASSWORD) as portal:
                yield Office(box=box, db=db, org=org, portal=portal, folder=folder, passed=passed)
        finally:
            await org.close()
            await login.close()
            await db.close()
