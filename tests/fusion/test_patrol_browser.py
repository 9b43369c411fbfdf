"""The portal changes at noon: the worker with a real browser, and what the portal's ledger says of it."""

import os
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from portal_people import PACK, Clinic, section_of, web_portal
from sqlalchemy import func, update

from fusion.browser import WebPortal
from fusion.drain import DrainReport
from fusion.pages.pack import Pack
from fusion.pages.pack_file import load_pack
from fusion.patient import Field, Section
from fusion.patrol import AGAIN, Patrol
from fusion.standin.server import StandInPortal
from listener import drifts, schema
from listener.change import RecordId
from listener.database import Database
from tests.fusion.desk import OWN, patient_of
from tests.fusion.round import Round

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]


@dataclass(slots=True)
class Noon:
    """One clinic's morning and afternoon: a worker with a browser of its own at a stand-in portal."""

    clinic: Clinic
    portal: WebPortal
    round: Round
    pack: Pack

    async def go(self) -> DrainReport:
        """One round of the worker."""
        return await self.round.drain(self.round.worker(portal=self.portal))  # type: ignore[arg-type]

    async def linked(self, **differs: Any) -> RecordId:
        """A record whose chart showed all of it before these fields were changed."""
        record_id = await self.round.intake(Case_Notes__c=None)
        values = patient_of(self.round.org.records[record_id]).values
        rows = {section: (section_of(values, section),) for section in Section if section is not Section.PATIENT}
        chart = self.clinic.put(values, {section: row for section, row in rows.items() if any(row[0].values())})
        self.round.org.edit(record_id, {OWN.portal_id: chart, **differs})
        return record_id

    def looks(self, **changed: Any) -> None:
        """What the portal looks like from now on."""
        self.clinic.standin.control.look(**changed)
        self.clinic.standin.control.end_sessions()

    async def ten_minutes_pass(self) -> None:
        """As if the last walk were that old, and what was put off were due."""
        async with self.round.db.writing() as tx:
            ago = func.db_after(-AGAIN.total_seconds())
            await tx.execute(update(schema.drift).values(checked_at=ago))
        await self.round.all_due()

    async def waits(self) -> Mapping[str, int]:
        async with self.round.db.reading() as tx:
            return await drifts.waits(tx)

    @property
    def saved(self) -> list[tuple[Section, tuple[Field, ...]]]:
        """Sections and fields of each save, in their order."""
        return [(section, tuple(values)) for _, _, section, values in self.clinic.saves]


# The second takes half a minute more, and its walks are walked in `test_drift`.
PACKS = ["fusion_web", "harbor"] if os.environ.get("FUSION_TEST_MATRIX") == "full" else ["fusion_web"]


@pytest.fixture(params=PACKS)
async def noon(request: pytest.FixtureRequest, tmp_path: Path, migrated_sqlite: Path) -> AsyncIterator[Noon]:
    file = tmp_path / "outbox.db"
    file.write_bytes(migrated_sqlite.read_bytes())
    db, pack = Database(f"sqlite:///{file}"), load_pack(request.param)
    async with (
        StandInPortal(skin=request.param) as standin,
        web_portal(standin, tmp_path / "pages", pack=pack) as portal,
    ):
        # The clinic's own words are the first skin's: the ledger is the same for both.
        clinic, work = Clinic(standin, pack=PACK), Round(db)
        work.patrol = Patrol(db, portal.walk, pack=pack.edition)
        yield Noon(clinic=clinic, portal=portal, round=work, pack=pack)
    await db.close()


async def test_a_label_that_changes_at_noon_holds_its_section_until_it_is_mended_and_nothing_else(noon: Noon) -> None:
    await noon.linked(Preferred_Name__c="Mimi", Guardian_Phone__c="(919) 555-0199")
    assert (await noon.go()).settled == 1
    morning = [(Section.PATIENT, (Field.NICKNAME,)), (Section.CONTACTS, (Field.PHONE,))]
    assert noon.saved == morning

    noon.looks(labels={"Phone": "Mobile phone"})
    second = await noon.linked(Preferred_Name__c="Addie", Guardian_Phone__c="(919) 555-0198")
    await noon.go()
    await noon.ten_minutes_pass()
    await noon.go()
    assert noon.saved == [*morning, (Section.PATIENT, (Field.NICKNAME,))]
    assert await noon.waits() == {"Contacts": 1}
    record = noon.round.org.records[second]
    assert record[OWN.status] == "Retrying"
    label = noon.pack.sections[Section.CONTACTS].fields[Field.PHONE].label
    assert f'Contacts: expected "{label}", found "Mobile phone"' in record[OWN.error]
    entry = await noon.round.entry(2)
    assert (entry["state"], entry["attempts"]) == ("PENDING", 0)
    assert Path(entry["evidence"]).with_suffix(".png").exists()

    noon.looks(labels={})
    await noon.ten_minutes_pass()
    assert (await noon.go()).settled == 1
    assert noon.saved == [*morning, (Section.PATIENT, (Field.NICKNAME,)), (Section.CONTACTS, (Field.PHONE,))]
    assert noon.round.org.records[second][OWN.status] == "Synced"
    assert await noon.waits() == {}
