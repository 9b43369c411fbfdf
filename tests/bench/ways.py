"""One visit, three ways: a browser started for it, our warm one, and no browser at all. All do the same to the chart.

The visit: open a linked patient's chart by its id, see that it is this patient's, compare all sections with what
Salesforce has, type the guardian's new phone, save, open the chart again and see that it shows all of it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Any

import aiohttp
from playwright.async_api import Page, Playwright

from fusion.browser import WebPortal
from fusion.differences import differences
from fusion.patient import Patient
from listener.change import RecordId
from tests.bench.clinic import PASSWORD, USERNAME, Child, Clinic
from tests.bench.meter import Cost, Meter
from tests.fusion.desk import MAPPING

# As anybody reads a page with labels and values, in one call.
_SHOWN = """() => Object.fromEntries([...document.querySelectorAll("dl > div")].map((pair) => [
    pair.querySelector("dt").textContent, pair.querySelector("dd").textContent]))"""


class Usual:
    """A script as they are written: start Chromium, log in, one visit, close."""

    def __init__(self, clinic: Clinic, playwright: Playwright, meter: Meter, program: str, *, idle: bool) -> None:
        """*idle*: wait before each step until the network is idle, as robots of this kind are known to."""
        self.name = "Chromium per visit, waiting for network idle" if idle else "Chromium per visit"
        self._clinic, self._playwright, self._meter, self._program = clinic, playwright, meter, program
        self._idle = idle

    async def visit(self, child: Child) -> Cost:
        """The visit with all around it."""
        wanted, cost = self._clinic.wanted(child), Cost()
        with self._meter.running(cost):
            browser = await self._playwright.chromium.launch(executable_path=self._program, args=["--no-sandbox"])
            page = await browser.new_page(viewport={"width": 1366, "height": 1000})
            await page.goto(self._clinic.url)
            await self._ready(page)
            await page.get_by_label("Email").fill(USERNAME)
            await page.get_by_label("Password").fill(PASSWORD)
            await page.get_by_role("button", name="Log In").click()
            await page.get_by_role("searchbox").wait_for()
            await self._ready(page)
            await page.goto(f"{self._clinic.url}/#/patients/{child.portal_id}")
            _only_the_phone(await self._read(page), wanted)
            row = page.locator(f'article[data-row="{child.contact}"]')
            await row.locator("dt").first.click()
            await self._ready(page)
            await row.get_by_label("Phone").fill(wanted["Phone"])
            await row.get_by_label("Phone").press("Tab")
            await row.get_by_role("button", name="Save Contact").click()
            await page.get_by_text("Contact saved.").wait_for()
            await self._ready(page)
            await page.reload()
            _all_of_it(await self._read(page), wanted)
        self._meter.weigh(cost)
        closing = Cost()
        with self._meter.running(closing):
            await browser.close()
        # What the browser's processes took on their way out nobody can read any more; the time can be.
        cost.ms += closing.ms
        return cost

    async def _read(self, page: Page) -> Mapping[str, str]:
        await page.locator('header[aria-label="Chart"]').wait_for()
        await self._ready(page)
        shown: Mapping[str, str] = await page.evaluate(_SHOWN)
        return shown

    async def _ready(self, page: Page) -> None:
        if self._idle:
            await page.wait_for_load_state("networkidle")


class Warm:
    """Ours: what a worker asks of the portal for an entry, on the page that it keeps."""

    name = "ours, warm"

    def __init__(self, clinic: Clinic, portal: WebPortal, meter: Meter) -> None:
        """*portal*: open, and driven by nobody else."""
        self._clinic, self._portal, self._meter = clinic, portal, meter

    async def visit(self, child: Child) -> Cost:
        """The visit of a patient with a change."""
        return await self._measured(self._brought_up_to_date(self._clinic.patient(child.record_id), child.portal_id, 1))

    async def look(self, child: Child) -> Cost:
        """The visit of a patient whose chart shows everything."""
        return await self._measured(self._brought_up_to_date(self._clinic.patient(child.record_id), child.portal_id, 0))

    async def make(self, record_id: RecordId) -> Cost:
        """The visit of a patient who has no chart: searched for, made, and all rows added."""
        return await self._measured(self._made(self._clinic.patient(record_id)))

    async def _measured(self, visit: Awaitable[None]) -> Cost:
        cost = Cost()
        with self._meter.running(cost):
            await visit
        self._meter.weigh(cost)
        return cost

    async def _made(self, patient: Patient) -> None:
        if await self._portal.find(patient):
            raise RuntimeError("a patient without a chart was found")
        portal_id = await self._portal.create(patient, about_to_save=_go_ahead)
        await self._brought_up_to_date(patient, portal_id, 4)

    async def _brought_up_to_date(self, patient: Patient, portal_id: str, forms: int) -> None:
        """Raises unless so many forms differed, and nothing does afterwards."""
        shown = await self._portal.read(portal_id)
        if shown is None or not shown.identity.agrees_with(patient.identity):
            raise RuntimeError("this is another patient's chart")
        edits = differences(shown, patient, MAPPING.policy)
        if len(edits) != forms:
            raise RuntimeError(f"{len(edits)} forms differ, and it should be {forms}")
        if edits:
            shown = await self._portal.update(portal_id, edits, expect=shown.identity, about_to_save=_go_ahead)
        if differences(shown, patient, MAPPING.policy):
            raise RuntimeError("after the save the chart differs")


class Floor:
    """The same requests by aiohttp, and no browser: what no browser can be faster than."""

    name = "HTTP alone"

    def __init__(self, clinic: Clinic, http: aiohttp.ClientSession) -> None:
        """*http*: logged in."""
        self._clinic, self._http, self._meter = clinic, http, Meter()

    async def visit(self, child: Child) -> Cost:
        """The visit as its three requests."""
        wanted, cost = self._clinic.wanted(child), Cost()
        chart = f"{self._clinic.url}/api/patients/{child.portal_id}"
        change = {"values": {"Phone": wanted["Phone"]}}
        with self._meter.running(cost):
            _only_the_phone(await self._answer("GET", chart), wanted)
            await self._answer("PUT", f"{chart}/Contacts/{child.contact}", change)
            _all_of_it(await self._answer("GET", chart), wanted)
        return cost

    async def log_in(self) -> None:
        """Begin the session."""
        await self._http.post(
            f"{self._clinic.url}/api/login", json={"email": USERNAME, "password": PASSWORD}, raise_for_status=True
        )

    async def _answer(self, method: str, url: str, body: Mapping[str, Any] | None = None) -> Mapping[str, str]:
        async with self._http.request(method, url, json=body, raise_for_status=True) as answer:
            chart = (await answer.json())["chart"]
        parts = (part for section in chart.values() for part in (section if isinstance(section, list) else [section]))
        return {label: value for part in parts if isinstance(part, dict) for label, value in part.items()}


def _only_the_phone(shown: Mapping[str, str], wanted: Mapping[str, str]) -> None:
    """See that it is this patient's chart, and that nothing differs but what is to be typed."""
    if wrong := _wrong(shown, wanted) - {"Phone"}:
        raise RuntimeError(f"the chart differs in {', '.join(sorted(wrong))}")


def _all_of_it(shown: Mapping[str, str], wanted: Mapping[str, str]) -> None:
    if wrong := _wrong(shown, wanted):
        raise RuntimeError(f"after the save the chart differs in {', '.join(sorted(wrong))}")


def _wrong(shown: Mapping[str, str], wanted: Mapping[str, str]) -> set[str]:
    return {label for label, value in wanted.items() if shown.get(label) != value}


async def _go_ahead() -> None:
    """Nothing is against the save: the row's guards belong to the outbox, and are measured there."""
