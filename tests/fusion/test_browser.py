"""The browser at the stand-in portal when things go wrong: what comes out, and what the ledger says was done."""

import asyncio
import contextlib
import json
import stat
from pathlib import Path

import psutil
import pytest
from aiohttp import web
from portal_people import AVA, PASSWORD, Clerk, a_patient, go_ahead, new_rows, section_of, web_portal
from portal_place import Place, opened, place

from fusion.codes import Code
from fusion.patient import Edit, Field, Section
from fusion.portal import Overtaken, Refused
from fusion.standin.server import StandInPortal
from listener.errors import EntryError, Outage

__all__ = ["opened", "place"]  # fixtures
pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]


# ---- the portal is not there ----------------------------------------------------------------------------------------


async def test_a_portal_that_is_down_is_an_outage_until_it_is_back(place: Place) -> None:
    patient = a_patient(last_name="Downtime")
    portal_id = place.clinic.put(patient.values)
    await place.portal.find(patient)
    await place.clinic.standin.stop()
    try:
        # First on the page that is open: no answer to a search is not "nobody".
        with pytest.raises(Outage):
            await place.portal.find(patient)
        with pytest.raises(Outage):
            await place.portal.read(portal_id)
    finally:
        await place.clinic.standin.start()
    assert await place.portal.read(portal_id) is not None


@pytest.mark.parametrize(("status", "error"), [(503, Outage), (500, EntryError)])
async def test_a_gateway_that_fails_stops_all_and_a_failing_chart_only_itself(
    place: Place, status: int, error: type[Exception]
) -> None:
    patient = a_patient(last_name="Failing")
    portal_id = place.clinic.put(patient.values)
    await place.portal.read(portal_id)
    place.control.fault(kind="read", status=status)
    with pytest.raises(error):
        await place.portal.read(portal_id)
    place.control.fault(kind="search", status=status)
    with pytest.raises(error):
        await place.portal.find(patient)


async def test_a_page_that_comes_as_a_server_error_is_an_outage(tmp_path: Path) -> None:
    async def down(_: web.Request) -> web.Response:
        return web.Response(status=503, headers={"Retry-After": "120"}, text="<h1>Maintenance</h1>")

    application = web.Application()
    application.router.add_get("/", down)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    standin = StandInPortal()
    standin._port = runner.addresses[0][1]
    async with web_portal(standin, tmp_path) as portal:
        with pytest.raises(Outage, match="503") as outage:
            await portal.read("10230001")
    await runner.cleanup()
    assert outage.value.retry_after == 120


async def test_a_portal_that_does_not_answer_is_an_outage(place: Place) -> None:
    portal_id = place.clinic.put(a_patient(last_name="Slow").values)
    place.control.fault(kind="read", delay=7)
    with pytest.raises(Outage, match="did not answer"):
        await place.portal.read(portal_id)


# ---- a save without evidence ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [{"status": 500}, {"cut": True}, {"status": 503, "after_commit": True}, {"delay": 3.0}],
    ids=["refused", "cut", "lost", "slow"],
)
async def test_a_save_without_evidence_is_an_error(place: Place, fault: dict[str, object]) -> None:
    patient = a_patient(last_name="Doubtful")
    portal_id = place.clinic.put(patient.values)
    clerk = Clerk()
    place.control.fault(kind="save", **fault)
    with pytest.raises(EntryError):
        await place.nickname(portal_id, patient, about_to_save=clerk)
    assert clerk.calls == 1
    assert len(place.clinic.saves) <= 1


# ---- what the portal does not take ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("section", "values", "code", "detail"),
    [
        (Section.CONTACTS, {Field.GUARDIAN_NAME: "Rosa", Field.ZIP: "canary"}, Code.REJECTED_VALUE, "Zip"),
        (
            Section.CONTACTS,
            {Field.GUARDIAN_NAME: "Rosa", Field.ZIP: "canary", Field.EMAIL: "canary"},
            Code.REJECTED_VALUE,
            "Zip, Email",
        ),
        (Section.CONTACTS, {Field.CITY: "canary"}, Code.REJECTED_VALUE, "Name"),
        (Section.CONTACTS, {Field.GUARDIAN_NAME: "Rosa", Field.PHONE: "+442071838750"}, Code.REJECTED_VALUE, "Phone"),
        (Section.CONTACTS, {Field.GUARDIAN_NAME: "canary " * 20}, Code.REJECTED_VALUE, "Name"),
        (Section.CONTACTS, {Field.GUARDIAN_NAME: "Rosa", Field.STATE: "canary"}, Code.UNKNOWN_OPTION, "State"),
        (Section.PAYERS, {Field.PAYER: "canary", Field.MEMBER_ID: "1"}, Code.UNKNOWN_OPTION, "Payer"),
        (Section.PAYERS, {Field.PAYER: "Blue Ridge", Field.MEMBER_ID: "1"}, Code.UNKNOWN_OPTION, "Payer"),
        (Section.PATIENT, {Field.GENDER: "canary"}, Code.UNKNOWN_OPTION, "Gender"),
        (Section.PATIENT, {Field.BIRTH_DATE: "2999-01-01"}, Code.REJECTED_VALUE, "Birthdate"),
    ],
)
async def test_a_refused_value_is_told_by_its_label(
    place: Place, section: Section, values: dict[Field, str], code: Code, detail: str
) -> None:
    patient = a_patient(last_name="Refused")
    portal_id = place.clinic.put(patient.values)
    with pytest.raises(Refused) as refused:
        await place.portal.update(
            portal_id,
            [Edit(section=section, row=None, values=values)],
            expect=patient.identity,
            about_to_save=go_ahead,
        )
    assert (refused.value.code, refused.value.detail) == (code, detail)
    assert "canary" not in f"{refused.value!r} {refused.value.__cause__!r}"
    assert "canary" not in Path(refused.value.evidence or "").read_text(encoding="utf-8")
    assert place.clinic.saves == []


async def test_a_form_that_already_shows_the_values_is_not_saved(place: Place) -> None:
    patient = a_patient(last_name="Already", nickname="Avie")
    portal_id = place.clinic.put(patient.values)
    clerk = Clerk()
    shown = await place.nickname(portal_id, patient, about_to_save=clerk)
    assert (shown.values[Field.NICKNAME], clerk.calls, place.clinic.saves) == ("Avie", 0, [])


async def test_what_staff_typed_beside_it_stays(place: Place) -> None:
    patient = a_patient(last_name="Beside")
    portal_id = place.clinic.put(patient.values)
    place.control.put_patient({"id": portal_id, "Patient": {"Referred By": "Dr. Example"}})

    async def staff_saves() -> None:
        place.control.put_patient({"id": portal_id, "Patient": {"Medical Record": "MR-1"}})

    with pytest.raises(Overtaken) as overtaken:
        await place.nickname(portal_id, patient, about_to_save=staff_saves)
    assert overtaken.value.saved
    (chart,) = [chart for chart in place.control.patients() if chart["id"] == portal_id]
    kept = {label: chart["Patient"][label] for label in ("Referred By", "Medical Record", "Nickname")}  # type: ignore[index]
    assert kept == {"Referred By": "Dr. Example", "Medical Record": "MR-1", "Nickname": "Avie"}


# ---- search ---------------------------------------------------------------------------------------------------------


async def test_results_are_read_to_the_last_page_and_inactive_patients_with_them(place: Place) -> None:
    ids = {
        place.clinic.put(a_patient(first_name=f"Child{number}", last_name="Manyfold").values, active=number != 7)
        for number in range(23)
    }
    patient = a_patient(last_name="Manyfold", birth_date="2000-01-01", phone="")
    assert {hit.portal_id for hit in await place.portal.find(patient)} == ids


# ---- surprises ------------------------------------------------------------------------------------------------------


async def test_a_changed_label_is_named_and_the_outline_shows_the_new_one(place: Place) -> None:
    patient = a_patient(last_name="Relabelled")
    portal_id = place.clinic.put(patient.values, {Section.CONTACTS: (section_of(AVA, Section.CONTACTS),)})
    place.control.labels({"Birthdate": "Date of birth"})
    # A page that is open keeps its words until it is loaded again.
    place.control.end_sessions()
    with pytest.raises(Refused) as refused:
        await place.portal.read(portal_id)
    assert (refused.value.code, refused.value.detail) == (Code.PORTAL_CHANGED, 'expected "Birthdate"')
    with pytest.raises(Refused) as refused:
        await place.portal.create(a_patient(last_name="Relabelledtoo"), about_to_save=go_ahead)
    assert refused.value.detail == 'expected "Birthdate"'

    for path in place.evidence.glob("*portal_changed*.json"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        text = path.read_text(encoding="utf-8")
        assert "Date of birth" in text
        assert "Relabelled" not in text
        assert json.loads(text)["code"] == "portal_changed"
        assert not [value for value in AVA.values() if len(value) > 5 and f'"{value}"' in text]
    assert stat.S_IMODE(place.evidence.stat().st_mode) == 0o700


async def test_an_unknown_dialog_stops_the_visit_and_is_not_answered(place: Place) -> None:
    portal_id = place.clinic.put(a_patient(last_name="Noticed").values)
    notice = {"title": "Planned maintenance", "text": "Ava Example, we are away on Sunday."}
    await place.portal.read(portal_id)  # logged in: else the notice lies over the log-in page, which then goes away
    place.control.fault(kind="read", notice=notice)
    with pytest.raises(Refused) as refused:
        await place.portal.read(portal_id)
    assert (refused.value.code, refused.value.detail) == (Code.UNEXPECTED_PAGE, "a dialog about maintenance")
    assert "Ava" not in Path(refused.value.evidence or "").read_text(encoding="utf-8")
    assert await place.portal.read(portal_id) is not None


async def test_an_unknown_dialog_over_a_new_chart_does_not_hide_its_id(place: Place) -> None:
    patient = a_patient(last_name="Greeted")
    place.control.fault(kind="create", notice={"title": "Welcome", "text": "A new patient!"})
    portal_id = await place.portal.create(patient, about_to_save=go_ahead)
    with pytest.raises(Refused) as refused:
        await place.portal.read(portal_id)
    assert (refused.value.code, refused.value.detail) == (Code.UNEXPECTED_PAGE, "an unknown dialog")
    assert await place.portal.read(portal_id) is not None


async def test_a_dialog_of_the_browser_itself_stops_the_visit(place: Place) -> None:
    portal_id = place.clinic.put(a_patient(last_name="Alerted").values)
    await place.portal.read(portal_id)
    tab = await place.portal.warm.tab()

    async def alert() -> None:
        await tab.page.evaluate("() => setTimeout(() => confirm('Leave Ava?'), 0)")

    with pytest.raises((Refused, EntryError)) as stopped:
        await place.nickname(portal_id, a_patient(last_name="Alerted"), about_to_save=alert)
    assert "Ava" not in str(stopped.value)
    assert len(place.clinic.saves) <= 1
    assert await place.portal.read(portal_id) is not None


def is_browser(process: psutil.Process) -> bool:
    """Whether it is a Chromium itself and no part of one; a part that has just ended can no longer be asked."""
    try:
        return "chrom" in process.name() and "--type=" not in " ".join(process.cmdline())
    except psutil.Error:
        return False


async def test_a_browser_that_was_killed_is_started_again(place: Place) -> None:
    portal_id = place.clinic.put(a_patient(last_name="Killed").values)
    await place.portal.read(portal_id)
    # One, and where the program on the PATH is a script that waits for it, that too.
    browsers = [child for child in psutil.Process().children(recursive=True) if is_browser(child)]
    assert browsers
    for browser in browsers:
        browser.kill()
    # Whether this visit already sees that it is gone is a matter of milliseconds.
    with contextlib.suppress(EntryError):
        await place.portal.read(portal_id)
    assert await place.portal.read(portal_id) is not None


async def test_a_cancelled_visit_leaves_a_portal_that_works(place: Place) -> None:
    patient = a_patient(last_name="Cancelled")
    portal_id = place.clinic.put(patient.values)
    with pytest.raises(asyncio.CancelledError):
        await place.nickname(portal_id, patient, about_to_save=Clerk(forbid=asyncio.CancelledError()))
    assert place.clinic.saves == []
    assert (await place.nickname(portal_id, patient)).values[Field.NICKNAME] == "Avie"


async def test_every_row_is_saved_while_replies_are_slow(place: Place) -> None:
    patient = a_patient(last_name="Latency")
    portal_id = place.clinic.put(patient.values)
    place.control.latency(40)
    shown = await place.portal.update(portal_id, new_rows(patient), expect=patient.identity, about_to_save=go_ahead)
    assert [row.values for row in shown.rows[Section.PAYERS]] == [section_of(AVA, Section.PAYERS)]
    assert PASSWORD not in repr(place.portal)
