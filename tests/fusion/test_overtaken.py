"""Staff at the same chart at the same time: what they typed is seen before it is typed over, or at least told."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from portal_people import Clerk, a_patient, section_of
from portal_place import Place, opened, place, place_at
from structlog.testing import capture_logs

from fusion.codes import Code
from fusion.differences import differences
from fusion.patient import Edit, Field, Patient, Section
from fusion.portal import Overtaken
from fusion.push import push
from listener.entry import Outcome
from tests.fusion.desk import INTAKE, MAPPING, At, DisturbedPortal, an_entry, patient_of

__all__ = ["opened", "place"]  # fixtures
pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def harbor(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    async with place_at(tmp_path_factory.mktemp("evidence") / "pages", skin="harbor") as place:
        yield place


async def edits_as_read(place: Place, portal_id: str, wanted: Patient) -> tuple[Edit, ...]:
    """What is to be typed, by the chart as it is now."""
    shown = await place.portal.read(portal_id)
    assert shown is not None
    edits = differences(shown, wanted, MAPPING.policy)
    assert edits
    return edits


def chart(place: Place, portal_id: str) -> dict[str, Any]:
    (found,) = [chart for chart in place.control.patients() if chart["id"] == portal_id]
    return found


async def test_a_chart_that_changed_since_it_was_read_is_not_typed_in(place: Place) -> None:
    patient = a_patient(last_name="Reread")
    portal_id = place.clinic.put(patient.values)
    (edit, *_) = await edits_as_read(place, portal_id, a_patient(last_name="Reread", nickname="Avie"))
    place.control.put_patient({"id": portal_id, "Patient": {"Nickname": "Vee"}})
    # Whoever looks elsewhere in between opens the chart again.
    await place.portal.find(patient)
    clerk = Clerk()
    with pytest.raises(Overtaken) as overtaken:
        await place.portal.update(portal_id, [edit], expect=patient.identity, about_to_save=clerk)
    assert (overtaken.value.saved, clerk.calls, place.clinic.saves) == (False, 0, [])
    assert chart(place, portal_id)["Patient"]["Nickname"] == "Vee"


async def test_a_row_that_staff_added_since_is_not_added_again(place: Place) -> None:
    patient = a_patient(last_name="Rowed")
    portal_id = place.clinic.put(patient.values)
    edits = await edits_as_read(place, portal_id, patient)
    contact = place.clinic._shown(section_of(patient.values, Section.CONTACTS))
    place.control.put_patient({"id": portal_id, "Contacts": [contact]})
    await place.portal.find(patient)
    with pytest.raises(Overtaken):
        await place.portal.update(portal_id, edits, expect=patient.identity, about_to_save=Clerk())
    assert place.clinic.saves == []
    assert [edit.section for edit in await edits_as_read(place, portal_id, patient)] == [
        Section.CASES,
        Section.PAYERS,
        Section.NOTES,
    ]


async def test_somebody_elses_save_shows_in_the_number_of_ours(place: Place) -> None:
    patient = a_patient(last_name="Jumped")
    portal_id = place.clinic.put(patient.values)
    edits = await edits_as_read(place, portal_id, a_patient(last_name="Jumped", nickname="Avie"))

    async def staff_saves() -> None:
        if not place.clinic.saves:
            place.control.put_patient({"id": portal_id, "Patient": {"Referred By": "Dr. Example"}})

    with pytest.raises(Overtaken) as overtaken:
        await place.portal.update(portal_id, edits, expect=patient.identity, about_to_save=staff_saves)
    assert overtaken.value.saved
    # Nothing further was typed on what is old by now.
    assert [values for *_, values in place.clinic.saves] == [{Field.NICKNAME: "Avie"}]
    assert chart(place, portal_id)["Patient"]["Referred By"] == "Dr. Example"


async def test_a_portal_that_refuses_an_old_save_is_understood(place: Place) -> None:
    patient = a_patient(last_name="Stale")
    portal_id = place.clinic.put(patient.values)
    (edit, *_) = await edits_as_read(place, portal_id, a_patient(last_name="Stale", nickname="Avie"))

    async def staff_saves() -> None:
        place.control.put_patient({"id": portal_id, "Patient": {"Nickname": "Vee"}})

    place.control.refuse_stale(True)
    try:
        with pytest.raises(Overtaken) as overtaken:
            await place.portal.update(portal_id, [edit], expect=patient.identity, about_to_save=staff_saves)
    finally:
        place.control.refuse_stale(False)
    assert (overtaken.value.saved, place.clinic.saves, place.clinic.count("stale")) == (False, [], 1)


async def test_so_is_one_whose_pages_count_nothing(harbor: Place) -> None:
    patient = a_patient(last_name="Stale")
    portal_id = harbor.clinic.put(patient.values)
    harbor.clinic.begin()
    (edit, *_) = await edits_as_read(harbor, portal_id, a_patient(last_name="Stale", nickname="Avie"))

    async def staff_saves() -> None:
        harbor.control.put_patient({"id": portal_id, "Patient": {"Nickname": "Vee"}})

    harbor.control.refuse_stale(True)
    try:
        with pytest.raises(Overtaken):
            await harbor.portal.update(portal_id, [edit], expect=patient.identity, about_to_save=staff_saves)
    finally:
        harbor.control.refuse_stale(False)
    assert (harbor.clinic.saves, harbor.clinic.count("stale")) == ([], 1)


async def test_a_form_that_shows_what_the_chart_did_not_is_not_typed_in(harbor: Place) -> None:
    patient = a_patient(last_name="Formed")
    portal_id = harbor.clinic.put(patient.values)
    harbor.clinic.begin()
    (edit, *_) = await edits_as_read(harbor, portal_id, a_patient(last_name="Formed", nickname="Avie"))
    # The chart is at hand, its form is loaded anew: this portal counts nothing, so only the form tells.
    harbor.control.put_patient({"id": portal_id, "Patient": {"Middle Name": "Changed"}})
    clerk = Clerk()
    with pytest.raises(Overtaken) as overtaken:
        await harbor.portal.update(portal_id, [edit], expect=patient.identity, about_to_save=clerk)
    assert (overtaken.value.labels, clerk.calls, harbor.clinic.saves) == (("Second name",), 0, [])


async def test_a_form_that_cannot_show_an_old_value_is_refused_and_nothing_is_lost(harbor: Place) -> None:
    """A native list shows nothing in place of an option that is gone, and a save would make that true."""
    portal_id = put_chart_at(harbor, {**INTAKE, "Preferred_Name__c": None})
    harbor.control.put_patient({"id": portal_id, "Patient": {"Location": "South"}}, unchecked=True)
    harbor.clinic.begin()
    at = At(portal=DisturbedPortal(inner=harbor.portal))  # type: ignore[arg-type]
    at.org.create({**INTAKE, "Preferred_Name__c": "Vee", "Location__c": None})
    result = await push(an_entry(), at.desk())
    assert (result.code, harbor.clinic.saves) == (Code.PORTAL_CHANGED, [])
    assert "Site" in (result.message or "")
    assert chart(harbor, portal_id)["Patient"]["Location"] == "South"


def put_chart_at(place: Place, record: dict[str, Any]) -> str:
    """Staff's chart of that record's patient, with all its rows."""
    values = patient_of(record).values
    rows = {section: (section_of(values, section),) for section in Section if section is not Section.PATIENT}
    return place.clinic.put(values, rows)


@pytest.mark.parametrize("moment", ["update", "click"])
async def test_a_visit_that_was_overtaken_reads_anew_and_ends_right(place: Place, moment: str) -> None:
    first = f"Meanwhile{moment}"
    portal_id = put_chart_at(place, {**INTAKE, "First_Name__c": first})
    at = At(portal=DisturbedPortal(inner=place.portal))  # type: ignore[arg-type]
    at.org.create({**INTAKE, "First_Name__c": first, "Preferred_Name__c": "Vee", "Guardian_City__c": "Apex"})
    disturbed = 0

    async def staff_saves() -> None:
        nonlocal disturbed
        disturbed += 1
        if disturbed == 1:
            (contact,) = chart(place, portal_id)["Contacts"]
            staffs = {"row_id": contact["row_id"], "Street": "9 Staff Road"}
            place.control.put_patient({"id": portal_id, "Patient": {"Referred By": "Dr. E"}, "Contacts": [staffs]})

    at.portal.at[moment] = staff_saves
    place.clinic.begin()
    with capture_logs() as lines:
        result = await push(an_entry(), at.desk())
    assert (result.outcome, result.portal_id) == (Outcome.LINKED, portal_id)
    told = [line for line in lines if line["event"] == "chart changed by others"]
    assert [line["portal_id"] for line in told] == [portal_id]
    after = chart(place, portal_id)
    assert (after["Patient"]["Nickname"], after["Patient"]["Referred By"]) == ("Vee", "Dr. E")
    assert (after["Contacts"][0]["City"], len(after["Contacts"])) == ("Apex", 1)
    # The record decides on its own fields, by a reading that knew of staff's.
    assert after["Contacts"][0]["Street"] == INTAKE["Guardian_Street__c"]
    assert await push(an_entry(), at.desk()) is not None
