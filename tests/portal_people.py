"""Made-up people for tests of the portal, and a stand-in portal with the driver at it."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from fusion.browser import WebPortal
from fusion.pages.pack import Pack
from fusion.pages.pack_file import load_pack
from fusion.pages.patience import Patience
from fusion.pages.values import canonical, shown
from fusion.patient import Edit, Field, Patient, Section, Values
from fusion.standin.server import DEFAULT_USERS, StandInPortal
from listener.change import RecordId

USERNAME, PASSWORD = next(iter(DEFAULT_USERS.items()))
PACK = load_pack("fusion_web")
BROWSER = shutil.which("chromium-headless-shell") or shutil.which("chromium")
"""Chromium without its own window, where there is one: it costs tests a third less. None: Playwright's own."""
QUICK = Patience(page=5.0, action=2.0, save=2.0, menu=1.0)

AVA: Values = {
    Field.FIRST_NAME: "Ava",
    Field.MIDDLE_NAME: "Grace",
    Field.LAST_NAME: "Example",
    Field.NICKNAME: "",
    Field.BIRTH_DATE: "2019-03-04",
    Field.SSN: "900-12-3456",
    Field.GENDER: "Non-binary",
    Field.LOCATION: "North",
    Field.GUARDIAN_NAME: "Rosa Example",
    Field.RELATIONSHIP: "Mother",
    Field.STREET: "1 Elm Street",
    Field.CITY: "Cary",
    Field.STATE: "NC",
    Field.ZIP: "27511",
    Field.PHONE: "+19195550123",
    Field.EMAIL: "rosa@example.com",
    Field.CASE_TYPE: "Evaluation",
    Field.PRESENTING_CONCERNS: "Speaks little.\nListens well.",
    Field.INSURANCE_TYPE: "Self-Pay",
    Field.PAYER: "Blue Ridge Health",
    Field.MEMBER_ID: "BR-1001",
    Field.NOTE: "Prefers mornings.\n[Salesforce intake a0P000000000001AAA]",
}
"""A patient with every field that we carry, in canonical values."""


def a_patient(**other: str) -> Patient:
    """Ava, with other values: a_patient(first_name="Mia")."""
    values = {**AVA, **{Field(name): value for name, value in other.items()}}
    return Patient(record_id=RecordId("a0P000000000001AAA"), portal_id=None, values=values)


def section_of(values: Values, section: Section) -> dict[Field, str]:
    """Only the values of that section, every field of it."""
    return {f: values.get(f, "") for f in Field if f.section is section}


def new_rows(patient: Patient) -> list[Edit]:
    """The edits that add every row of the patient to an empty chart."""
    return [
        Edit(section=section, row=None, values={f: v for f, v in section_of(patient.values, section).items() if v})
        for section in Section
        if section is not Section.PATIENT
    ]


async def go_ahead() -> None:
    """An `about_to_save` that has nothing against it."""


@dataclass(slots=True)
class Clerk:
    """An `about_to_save` that counts, and forbids the n-th save by raising *forbid*."""

    calls: int = 0
    forbid: BaseException | None = None
    at: int = 1

    async def __call__(self) -> None:
        self.calls += 1
        if self.forbid is not None and self.calls == self.at:
            raise self.forbid


@dataclass(slots=True)
class Clinic:
    """A stand-in portal as tests see it: staff, and what was really saved, in canonical values."""

    standin: StandInPortal
    pack: Pack = PACK
    mark: int = 0

    def put(self, values: Values, rows: Mapping[Section, tuple[Values, ...]] | None = None, **more: object) -> str:
        """Staff makes a chart; its id."""
        body: dict[str, object] = {"Patient": self._shown(section_of(values, Section.PATIENT)), **more}
        for section, contents in (rows or {}).items():
            body[section.value] = [self._shown(content) for content in contents]
        return self.standin.control.put_patient(body).id

    def begin(self) -> None:
        """Only what comes after this is in `saves`."""
        lines = self.standin.ledger.lines()
        self.mark = lines[-1].seq if lines else 0

    @property
    def saves(self) -> list[tuple[str, str, Section, dict[Field, str]]]:
        """(deed, portal id, section, values) of each save of our user."""
        return [
            (line.kind, line.patient_id or "", Section(line.section or ""), self._canonical(line.section, line.after))
            for line in self.standin.ledger.lines(since=self.mark)
            if line.kind in ("create", "add", "save")
        ]

    def count(self, kind: str) -> int:
        """Ledger lines of that kind since `begin`."""
        return len(self.standin.ledger.lines(since=self.mark, kind=kind))

    def _shown(self, values: Values) -> dict[str, str]:
        entries = {f: self.pack.entry(f) for f in values}
        return {e.label: shown(e, values[f], self.pack.forms) for f, e in entries.items() if e is not None}

    def _canonical(self, section: str | None, after: Mapping[str, str]) -> dict[Field, str]:
        by_label = {entry.label: (f, entry) for f, entry in self.pack.sections[Section(section or "")].fields.items()}
        return {
            by_label[label][0]: canonical(by_label[label][1], value, self.pack.forms) for label, value in after.items()
        }


def web_portal(
    standin: StandInPortal, evidence: Path, *, password: str = PASSWORD, pack: Pack = PACK, **more: Any
) -> WebPortal:
    """The driver at that stand-in, not yet started."""
    return WebPortal(
        url=standin.url,
        username=USERNAME,
        password=SecretStr(password),
        pack=pack,
        evidence=evidence,
        executable=BROWSER,
        patience=QUICK,
        **{"most_logins": 1000, **more},
    )
