"""A driver at a stand-in portal that many tests share, and one of a test's own. Import the fixtures by name."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
from portal_people import Clinic, go_ahead, web_portal

from fusion.browser import WebPortal
from fusion.patient import Edit, Field, Patient, Section, Shown
from fusion.portal import AboutToSave
from fusion.standin.control import Control
from fusion.standin.server import StandInPortal

NICKNAME = Edit(section=Section.PATIENT, row=None, values={Field.NICKNAME: "Avie"})


@dataclass(slots=True)
class Place:
    """A portal, its clinic, and the folder of evidence."""

    portal: WebPortal
    clinic: Clinic
    evidence: Path

    @property
    def control(self) -> Control:
        """What the stand-in can be made to do."""
        return self.clinic.standin.control

    async def nickname(self, portal_id: str, patient: Patient, *, about_to_save: AboutToSave = go_ahead) -> Shown:
        """An update of one field."""
        return await self.portal.update(portal_id, [NICKNAME], expect=patient.identity, about_to_save=about_to_save)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def opened(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    """One browser for all tests of a file: a start takes as long as three visits."""
    evidence = tmp_path_factory.mktemp("evidence") / "pages"
    async with StandInPortal() as standin, web_portal(standin, evidence) as portal:
        yield Place(portal=portal, clinic=Clinic(standin), evidence=evidence)


@pytest.fixture
def place(opened: Place) -> Place:
    """The same portal for all tests, as it was at the beginning but for the charts."""
    opened.control.clear_faults()
    opened.control.labels({})
    opened.control.latency(0)
    opened.clinic.begin()
    return opened


@pytest_asyncio.fixture(loop_scope="module")
async def alone(tmp_path: Path) -> AsyncIterator[Place]:
    """A portal and a browser of the test's own, for what cannot be undone."""
    async with StandInPortal() as standin, web_portal(standin, tmp_path / "pages") as portal:
        yield Place(portal=portal, clinic=Clinic(standin), evidence=tmp_path / "pages")
