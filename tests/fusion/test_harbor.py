"""The second portal: what is only there, and only the pack knows of. What both portals must do is in `contract`."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from portal_people import Clerk, a_patient, go_ahead, web_portal
from portal_place import Place, place, place_at

from fusion.codes import Code
from fusion.pages.pack_file import load_pack
from fusion.patient import Edit, Field, Section
from fusion.portal import Refused
from fusion.standin.server import StandInPortal
from listener.errors import EntryError, Outage
from tests.story.interruptions import Actions, lock, notice

__all__ = ["place"]  # a fixture
pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]
PACK = load_pack("harbor")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def opened(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    async with place_at(tmp_path_factory.mktemp("evidence") / "pages", skin="harbor") as place:
        yield place


async def test_the_log_in_takes_two_pages_and_a_wrong_password_is_given_once(tmp_path: Path) -> None:
    async with (
        StandInPortal(skin="harbor") as standin,
        web_portal(standin, tmp_path, pack=PACK, password="wrong") as portal,
    ):
        for _ in range(2):
            with pytest.raises(Outage, match="does not accept"):
                await portal.read("10230001")
        assert len(standin.ledger.lines(kind="login_failed")) == 1


async def test_a_lock_in_the_frame_is_opened_and_what_was_lost_to_it_is_typed_again(place: Place) -> None:
    # Before the form, and before what it sends.
    for after in (2, 3):
        patient = a_patient(last_name=f"Locked{'ab'[after - 2]}")
        portal_id = place.clinic.put(patient.values)
        place.clinic.begin()
        place.control.lock(after=after)
        try:
            await place.nickname(portal_id, patient)
        except EntryError:
            # What was sent to the locked screen is lost, so the save is in doubt; the next visit looks, and types.
            assert place.clinic.saves == []
            place.clinic.begin()
            await place.nickname(portal_id, patient)
        assert [values for *_, values in place.clinic.saves] == [{Field.NICKNAME: "Avie"}]
    assert place.portal.unlocks == 2


async def test_a_session_that_ends_within_the_frame_leads_to_the_log_in(place: Place) -> None:
    patient = a_patient(last_name="Ended")
    portal_id = place.clinic.put(patient.values)
    await place.portal.find(patient)
    logins = place.clinic.count("login")
    place.control.end_sessions()
    assert [hit.portal_id for hit in await place.portal.find(patient) if hit.identity == patient.identity] == [
        portal_id
    ]
    assert place.clinic.count("login") == logins + 1


async def test_results_are_read_page_by_page_and_former_patients_with_them(place: Place) -> None:
    ids = {
        place.clinic.put(a_patient(first_name=f"Child{number}", last_name="Manyfold").values, active=number != 7)
        for number in range(13)
    }
    patient = a_patient(last_name="Manyfold", birth_date="2000-01-01", phone="")
    assert {hit.portal_id for hit in await place.portal.find(patient)} == ids


async def test_a_question_of_the_browser_that_the_pack_does_not_know_is_not_answered(tmp_path: Path) -> None:
    unaware = PACK.model_copy(update={"page": PACK.page.model_copy(update={"questions": ()})})
    async with place_at(tmp_path, skin="harbor", pack=unaware) as place:
        patient = a_patient(last_name="Asked")
        portal_id = place.clinic.put(patient.values)
        with pytest.raises(Refused) as refused:
            await place.nickname(portal_id, patient)
        assert (refused.value.code, refused.value.detail) == (Code.UNEXPECTED_PAGE, "a dialog of the browser itself")
        assert place.clinic.saves == []


async def test_an_unknown_dialog_in_the_frame_stops_the_visit(place: Place) -> None:
    portal_id = place.clinic.put(a_patient(last_name="Noticed").values)
    place.control.fault(kind="read", notice={"title": "Maintenance", "text": "Ava Example, we are away."})
    with pytest.raises(Refused) as refused:
        await place.portal.read(portal_id)
    assert (refused.value.code, refused.value.detail) == (Code.UNEXPECTED_PAGE, "a dialog about maintenance")
    kept = Path(refused.value.evidence or "").read_text(encoding="utf-8")
    assert '"dialog": true' in kept
    assert "Ava" not in kept


async def test_a_refused_value_is_told_by_its_label_and_not_saved(place: Place) -> None:
    patient = a_patient(last_name="Refused")
    portal_id = place.clinic.put(patient.values)
    edit = Edit(section=Section.CONTACTS, row=None, values={Field.GUARDIAN_NAME: "Rosa", Field.ZIP: "canary"})
    with pytest.raises(Refused) as refused:
        await place.portal.update(portal_id, [edit], expect=patient.identity, about_to_save=go_ahead)
    assert (refused.value.code, refused.value.detail) == (Code.REJECTED_VALUE, "Zip")
    assert place.clinic.saves == []


async def test_a_form_of_another_chart_is_not_typed_in(place: Place) -> None:
    """The link of one chart leads to the form of another, as a stale page's may."""
    patient, other = a_patient(last_name="Right"), a_patient(last_name="Other")
    portal_id, wrong_id = place.clinic.put(patient.values), place.clinic.put(other.values)
    await place.portal.read(portal_id)
    tab = await place.portal.warm.tab()
    link = tab.place.locator("#sec-patient a")
    await link.evaluate("(link, [right, wrong]) => link.href = link.href.replace(right, wrong)", [portal_id, wrong_id])
    clerk = Clerk()
    with pytest.raises(Refused) as refused:
        await place.nickname(portal_id, patient, about_to_save=clerk)
    assert (refused.value.code, clerk.calls, place.clinic.saves) == (Code.IDENTITY_MISMATCH, 0, [])


async def test_a_lock_that_is_loaded_anew_under_our_hands_is_not_sent_an_empty_password(place: Place) -> None:
    patient = a_patient(last_name="Twicelocked")
    portal_id = place.clinic.put(patient.values)
    await place.portal.read(portal_id)
    page = (await place.portal.warm.tab()).page
    actions = Actions(page)
    place.control.lock()

    async def again() -> None:
        await page.frames[1].evaluate("() => void location.reload()")
        await asyncio.sleep(0.3)

    actions.begin(due=lambda: actions.names[-2:] == ["fill", "click"], deed=again)
    assert await place.portal.read(portal_id) is not None
    await actions.end()
    assert actions.happened
    assert place.clinic.count("unlock_failed") == 0


@pytest.mark.parametrize("section", [Section.PATIENT, Section.CONTACTS])
async def test_a_form_that_a_lock_brings_anew_before_save_is_not_saved_as_it_was_before(
    place: Place, section: Section
) -> None:
    """Its values were typed and read back; the lock comes right before the click on Save."""
    patient = a_patient(last_name=f"Anew{section}")
    portal_id = place.clinic.put(patient.values)
    values = {Field.NICKNAME: "Avie"} if section is Section.PATIENT else {Field.GUARDIAN_NAME: "Rosa"}
    edit = Edit(section=section, row=None, values=values)
    with pytest.raises(EntryError):
        await place.disturbed(portal_id, edit, patient, by=lock, before=(2, "click"))
    assert place.clinic.saves == []
    assert place.clinic.count("refused") == 0
    await place.portal.update(portal_id, [edit], expect=patient.identity, about_to_save=go_ahead)
    assert [saved for *_, saved in place.clinic.saves] == [values]


async def test_a_telephone_number_that_a_lock_took_away_is_typed_again_as_the_portal_writes_it(place: Place) -> None:
    """The second try is by keys, which a mask would put in form; here is none."""
    patient = a_patient(last_name="Ringing")
    portal_id = place.clinic.put(patient.values)
    values = {Field.GUARDIAN_NAME: "Rosa", Field.PHONE: "+19195550123", Field.EMAIL: "rosa@example.com"}
    edit = Edit(section=Section.CONTACTS, row=None, values=values)
    await place.disturbed(portal_id, edit, patient, by=lock, before=(3, "fill"))
    assert [saved for *_, saved in place.clinic.saves] == [values]


async def test_a_dialog_that_takes_the_keys_is_not_taken_for_a_field_that_keeps_nothing(place: Place) -> None:
    patient = a_patient(last_name="Keyless")
    portal_id = place.clinic.put(patient.values)
    values = {Field.GUARDIAN_NAME: "Rosa", Field.PHONE: "+19195550123"}
    edit = Edit(section=Section.CONTACTS, row=None, values=values)
    with pytest.raises(Refused) as refused:
        await place.disturbed(portal_id, edit, patient, by=notice, before=(1, "fill"))
    assert (refused.value.code, place.clinic.saves) == (Code.UNEXPECTED_PAGE, [])
