"""A desk to work at in tests: a record of Mia's, a portal that can be disturbed at each moment, links in memory."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

from fusion.mapping import load_mapping
from fusion.patient import Edit, Field, Hit, Identity, Patient, Section, Shown
from fusion.portal import AboutToSave
from fusion.push import Desk
from fusion.transforms import patient_from
from listener.change import RecordId, long_id
from listener.entry import OutboxEntry
from listener.errors import Conflict
from listener.links import Link
from tests.factories import make_entry
from tests.fake_org import FakeOrg
from tests.fake_portal import FakePortal

MAPPING = load_mapping(None)
OWN = MAPPING.own
TODAY = date(2026, 11, 24)
NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)

RECORD_ID = long_id("a0P000000000001")
"""What the org in memory calls its first record."""
OTHER = long_id("a0P000000000099")

INTAKE: Mapping[str, Any] = {
    "Ready_for_Fusion__c": True,
    "First_Name__c": "Mia",
    "Middle_Name__c": "June",
    "Last_Name__c": "Sample",
    "Date_of_Birth__c": "2019-03-04",
    "SSN__c": "900-12-3456",
    "Gender__c": "Female",
    "Location__c": "Main Clinic",
    "Guardian_First_Name__c": "Rosa",
    "Guardian_Last_Name__c": "Sample",
    "Guardian_Relationship__c": "Mother",
    "Guardian_Street__c": "1 Elm Street",
    "Guardian_City__c": "Cary",
    "Guardian_State__c": "NC",
    "Guardian_Postal_Code__c": "27511",
    "Guardian_Phone__c": "(919) 555-0123",
    "Guardian_Email__c": "rosa@example.com",
    "Insurance_Type__c": "Medicaid",
    "Insurance_Payer__c": "Carolina Medicaid",
    "Insurance_Id_Number__c": "CM-1001",
    "Presenting_Concerns__c": "Speaks little.",
    "Case_Notes__c": "Prefers mornings.",
}
CANARIES = ("Mia", "Sample", "2019-03-04", "900-12-3456", "Rosa", "Elm Street", "555-0123", "5550123", "CM-1001")
"""Values of hers that may stand nowhere but on the chart and on the record."""

Moment = Callable[[], Awaitable[None]]


@dataclass(slots=True)
class DisturbedPortal:
    """A portal in memory. `at`: what happens at a moment: `find`, `read`, `create`, `update`, `click` (after
    `about_to_save`, before the save), `created`. `blind`: how many searches to come show nothing."""

    inner: FakePortal = field(default_factory=FakePortal)
    at: dict[str, Moment] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    blind: int = 0

    @property
    def creates(self) -> int:
        """Charts that were made by us."""
        return sum(deed == "create" for deed, *_ in self.inner.ledger)

    @property
    def deeds(self) -> list[tuple[str, Section, tuple[Field, ...]]]:
        """What was saved, without whose and what: deed, section, fields."""
        return [(deed, section, tuple(values)) for deed, _, section, values in self.inner.ledger]

    async def find(self, patient: Patient) -> Sequence[Hit]:
        await self._now("find")
        if self.blind:
            self.blind -= 1
            return []
        return await self.inner.find(patient)

    async def read(self, portal_id: str, *, wary: Collection[Section] = ()) -> Shown | None:
        await self._now("read")
        return await self.inner.read(portal_id, wary=wary)

    async def create(self, patient: Patient, *, about_to_save: AboutToSave) -> str:
        await self._now("create")
        portal_id = await self.inner.create(patient, about_to_save=self._clicking(about_to_save))
        await self._now("created")
        return portal_id

    async def update(
        self,
        portal_id: str,
        edits: Sequence[Edit],
        *,
        expect: Identity,
        about_to_save: AboutToSave,
        wary: Collection[Section] = (),
    ) -> Shown:
        await self._now("update")
        return await self.inner.update(
            portal_id, edits, expect=expect, about_to_save=self._clicking(about_to_save), wary=wary
        )

    def _clicking(self, about_to_save: AboutToSave) -> AboutToSave:
        async def click() -> None:
            await about_to_save()
            await self._now("click")

        return click

    async def _now(self, moment: str) -> None:
        self.calls.append(moment)
        if moment in self.at:
            await self.at[moment]()


@dataclass(slots=True)
class LinksInMemory:
    """Which chart is whose. `kept`: every link in the order in which it was kept."""

    kept: list[Link] = field(default_factory=list)

    async def of_record(self, record_id: RecordId) -> Link | None:
        return next((link for link in reversed(self.kept) if link.record_id == record_id), None)

    async def of_chart(self, portal_id: str) -> Link | None:
        return next((link for link in reversed(self.kept) if link.portal_id == portal_id), None)

    async def keep(self, link: Link) -> None:
        mine, its = await self.of_record(link.record_id), await self.of_chart(link.portal_id)
        if (mine and mine.portal_id != link.portal_id) or (its and its.record_id != link.record_id):
            raise Conflict("linked otherwise")
        self.kept.append(link)


@dataclass(slots=True)
class At:
    """Everything that a visit of one record touches. `clicks` counts the calls of `about_to_save`."""

    org: FakeOrg = field(default_factory=FakeOrg)
    portal: DisturbedPortal = field(default_factory=DisturbedPortal)
    links: LinksInMemory = field(default_factory=LinksInMemory)
    clicks: int = 0
    refuse_click: Exception | None = None

    def desk(self) -> Desk:
        """For `push`."""
        return Desk(
            org=self.org,
            portal=self.portal,
            mapping=MAPPING,
            links=self.links,
            about_to_save=self._about_to_save,
            about_to_create=lambda _who: self._about_to_save(),
            today=lambda: TODAY,
            look_again=0.0,
        )

    async def _about_to_save(self) -> None:
        if self.refuse_click is not None:
            raise self.refuse_click
        self.clicks += 1


def an_entry(**other: Any) -> OutboxEntry:
    """The record's entry as a worker has just claimed it for the first time."""
    return make_entry(record_id=RECORD_ID, **other)


def raising(error: Exception) -> Moment:
    """A moment at which that error comes up."""

    async def moment() -> None:
        raise error

    return moment


def patient_of(record: Mapping[str, Any]) -> Patient:
    """The patient that a record holds."""
    return patient_from(record, MAPPING, record_id=RECORD_ID, portal_id=None, today=TODAY)


def put_chart(portal: FakePortal, record: Mapping[str, Any], *, rows: bool = True) -> str:
    """Staff's chart of that very patient, complete, or without rows; its id."""
    values = patient_of(record).values
    by_section = {
        section: {name: value for name, value in values.items() if name.section is section} for section in Section
    }
    mine = by_section.pop(Section.PATIENT)
    return portal.put(mine, {section: (content,) for section, content in by_section.items()} if rows else None)
