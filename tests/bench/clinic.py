"""The stand-in portal in a process of its own, so that what it costs is in nobody's numbers; and its patients."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Self

import aiohttp

from fusion.pages.pack_file import load_pack
from fusion.pages.values import shown
from fusion.patient import Field, Patient, Section, Values
from fusion.standin.server import DEFAULT_USERS, StandInPortal
from fusion.transforms import patient_from
from listener.change import RecordId
from tests.fake_org import FakeOrg
from tests.fusion.desk import INTAKE, MAPPING, TODAY

USERNAME, PASSWORD = next(iter(DEFAULT_USERS.items()))
PACK = load_pack("fusion_web")
_READY = "listening at "
_AREAS = (919, 984, 252, 336, 704, 743, 828, 910, 980)
"""A hundred numbers of nobody's in each; a newcomer who shares one with an older chart would be found by it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """One patient of Salesforce, and the chart and the guardian's row on it that are this patient's."""

    record_id: RecordId
    portal_id: str
    contact: str


class Clinic:
    """The portal as staff and a vendor see it, its patients, and the org that knows the same ones."""

    def __init__(self, url: str, pid: int, http: aiohttp.ClientSession) -> None:
        """*pid*: the portal's process."""
        self.url = url
        self.pid = pid
        self.org = FakeOrg()
        self._http = http
        self._phones = 0

    @classmethod
    @asynccontextmanager
    async def open(cls) -> AsyncIterator[Self]:
        """A new one, which ends with this context."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", __name__, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        assert process.stdout is not None
        assert process.stdin is not None
        line = (await process.stdout.readline()).decode()
        try:
            async with aiohttp.ClientSession() as http:
                yield cls(line.removeprefix(_READY).strip(), process.pid, http)
        finally:
            process.stdin.close()
            await process.wait()

    async def latency(self, ms: int) -> None:
        """Delay every answer of the portal by so much."""
        await self._control("latency", {"ms": ms})

    async def child(self, name: str) -> Child:
        """A patient whose chart shows all that Salesforce has."""
        record_id = self.org.create({**INTAKE, "First_Name__c": name})
        patient = self.patient(record_id)
        values = {section: {f: v for f, v in patient.values.items() if f.section is section} for section in Section}
        body: dict[str, Any] = {"Patient": _written(values.pop(Section.PATIENT))}
        body |= {section.value: [_written(row)] for section, row in values.items()}
        chart = await self._control("patients", body)
        return Child(record_id=record_id, portal_id=chart["id"], contact=chart["Contacts"][0]["row_id"])

    def newcomer(self) -> RecordId:
        """A patient without a chart, who shares nothing with another but the state and the clinic."""
        number = len(self.org.records)
        name = "".join(chr(ord("a") + int(digit)) for digit in str(number))
        return self.org.create(
            {
                **INTAKE,
                "First_Name__c": f"Zo{name}",
                "Last_Name__c": f"Quil{name}",
                "Date_of_Birth__c": f"{2010 + number % 9}-{1 + number % 12:02d}-{1 + number % 28:02d}",
                "SSN__c": f"9{number:02d}-55-{number:04d}",
                "Guardian_Last_Name__c": f"Quil{name}",
                "Guardian_Street__c": f"{number} Oak Street",
                "Guardian_Phone__c": self._phone(),
                "Guardian_Email__c": f"{name}@example.com",
                "Insurance_Id_Number__c": f"CM-2{number:03d}",
            }
        )

    def patient(self, record_id: RecordId) -> Patient:
        """What Salesforce has of a patient now."""
        return patient_from(self.org.records[record_id], MAPPING, record_id=record_id, portal_id=None, today=TODAY)

    def wanted(self, child: Child) -> dict[str, str]:
        """What a chart must show, by label, in all sections."""
        return _written(self.patient(child.record_id).values)

    def change_phone(self, child: Child) -> str:
        """Let Salesforce have a new phone of the guardian's; as the portal will write it."""
        phone = self._phone()
        self.org.edit(child.record_id, {"Guardian_Phone__c": phone})
        return phone

    async def chart(self, portal_id: str) -> Mapping[str, Any]:
        """What the portal has of a chart."""
        charts = (await self._stats("patients"))["patients"]
        return next(chart for chart in charts if chart["id"] == portal_id)

    async def requests(self) -> int:
        """How many requests the portal has had so far, all kinds together."""
        return sum((await self._stats("stats"))["requests"].values())

    def _phone(self) -> str:
        self._phones += 1
        area, last = divmod(self._phones, 100)
        return f"({_AREAS[area % len(_AREAS)]}) 555-01{last:02d}"

    async def _control(self, what: str, body: Mapping[str, Any]) -> Any:
        async with self._http.post(f"{self.url}/__control/{what}", json=body, raise_for_status=True) as answer:
            return await answer.json()

    async def _stats(self, what: str) -> Any:
        async with self._http.get(f"{self.url}/__control/{what}", raise_for_status=True) as answer:
            return await answer.json()


def _written(values: Values) -> dict[str, str]:
    entries = {field: PACK.entry(Field(field)) for field in values}
    return {entry.label: shown(entry, values[f], PACK.forms) for f, entry in entries.items() if entry is not None}


async def _serve() -> None:
    async with StandInPortal() as portal:
        print(f"{_READY}{portal.url}", flush=True)
        # Ends with the one who asked for it, however that ends.
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_serve())
