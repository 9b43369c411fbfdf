"""A driver at a stand-in portal that many tests share, and one of a test's own. Import the fixtures by name."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from portal_people import Clinic, go_ahead, web_portal

from fusion.browser import WebPortal
from fusion.pages.pack import Pack
from fusion.pages.pack_file import load_pack
from fusion.patient import Edit, Field, Patient, Section, Shown
from fusion.portal import AboutToSave
from fusion.standin.control import Control
from fusion.standin.server import Skin, StandInPortal
from tests.story.interruptions import Actions

NICKNAME = Edit(section=Section.PATIENT, row=None, values={Field.NICKNAME: "Avie"})

Surprise = Callable[..., Awaitable[None]]
"""What may come up on a page; see `tests.story.interruptions.lock`."""


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

    async def disturbed(
        self,
        portal_id: str,
        edit: Edit,
        patient: Patient,
        *,
        by: Callable[..., Awaitable[None]],
        before: tuple[int, str],
    ) -> None:
        """An update of a chart that was read a moment ago; something comes up right *before* the n-th such action.

        Raises as the update does.
        """
        await self.portal.read(portal_id)
        self.clinic.begin()
        page, standin = (await self.portal.warm.tab()).page, self.clinic.standin
        actions, (number, name) = Actions(page), before
        actions.begin(
            due=lambda: actions.names.count(name) == number,
            deed=lambda: by(standin, page, framed=standin.skin == "harbor"),
        )
        try:
            await self.portal.update(portal_id, [edit], expect=patient.identity, about_to_save=go_ahead)
        finally:
            await actions.end()
            assert actions.happened

    async def nickname(self, portal_id: str, patient: Patient, *, about_to_save: AboutToSave = go_ahead) -> Shown:
        """An update of one field."""
        return await self.portal.update(portal_id, [NICKNAME], expect=patient.identity, about_to_save=about_to_save)


@asynccontextmanager
async def place_at(
    evidence: Path, *, skin: Skin = "fusion_web", pack: Pack | None = None, **knobs: Any
) -> AsyncIterator[Place]:
    """A portal and a browser of their own. *pack*: None for the skin's; *knobs* are the stand-in's."""
    async with (
        StandInPortal(skin=skin, **knobs) as standin,
        web_portal(standin, evidence, pack=pack or load_pack(skin)) as portal,
    ):
        yield Place(portal=portal, clinic=Clinic(standin), evidence=evidence)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def opened(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    """One browser for all tests of a file: a start takes as long as three visits."""
    async with place_at(tmp_path_factory.mktemp("evidence") / "pages") as place:
        yield place


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
    async with place_at(tmp_path / "pages") as place:
        yield place
