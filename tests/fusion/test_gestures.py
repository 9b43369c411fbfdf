"""Widgets of other kits, each told to the driver by a pack alone: what is typed is there, and nothing beside it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from portal_kits import OTHER_KITS, OTHER_PACK
from portal_people import PACK, a_patient, go_ahead, new_rows, section_of
from portal_place import Place, place, place_at

from fusion.codes import Code
from fusion.patient import Edit, Field, Patient, Section
from fusion.portal import Refused

__all__ = ["place"]  # a fixture
pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def opened(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    async with place_at(tmp_path_factory.mktemp("evidence") / "pages", pack=OTHER_PACK) as place:
        place.control.look(widgets=OTHER_KITS, long_lists=True)
        yield place


async def test_a_new_chart_and_its_rows_are_entered_by_every_gesture(place: Place) -> None:
    patient = a_patient(last_name="Gestured", state="WY")
    portal_id = await place.portal.create(patient, about_to_save=go_ahead)
    filled = {field: value for field, value in section_of(patient.values, Section.PATIENT).items() if value}
    assert place.clinic.saves == [("create", portal_id, Section.PATIENT, filled)]
    shown = await place.portal.update(portal_id, new_rows(patient), expect=patient.identity, about_to_save=go_ahead)
    assert [row.values for row in shown.rows[Section.CONTACTS]] == [section_of(patient.values, Section.CONTACTS)]
    assert [deed for deed, *_ in place.clinic.saves] == ["create", "add", "add", "add", "add"]


async def test_what_is_chosen_is_chosen_anew_and_nothing_else_is_touched(place: Place) -> None:
    patient = a_patient(last_name="Rechosen")
    contact = section_of(patient.values, Section.CONTACTS)
    portal_id = place.clinic.put(patient.values, {Section.CONTACTS: (contact,)})
    before = await place.portal.read(portal_id)
    assert before is not None
    edits = [
        Edit(section=Section.PATIENT, row=None, values={Field.BIRTH_DATE: "1989-12-31", Field.GENDER: "Female"}),
        Edit(section=Section.CONTACTS, row=before.rows[Section.CONTACTS][0].key, values={Field.STATE: "TX"}),
    ]
    await place.portal.update(portal_id, edits, expect=patient.identity, about_to_save=go_ahead)
    assert [values for *_, values in place.clinic.saves] == [edit.values for edit in edits]


async def test_what_is_chosen_can_be_cleared(place: Place) -> None:
    patient = a_patient(last_name="Unchosen")
    contact = section_of(patient.values, Section.CONTACTS)
    portal_id = place.clinic.put(patient.values, {Section.CONTACTS: (contact,)})
    before = await place.portal.read(portal_id)
    assert before is not None
    edits = [
        Edit(section=Section.PATIENT, row=None, values={Field.GENDER: "", Field.SSN: ""}),
        Edit(section=Section.CONTACTS, row=before.rows[Section.CONTACTS][0].key, values={Field.STATE: ""}),
    ]
    await place.portal.update(portal_id, edits, expect=patient.identity, about_to_save=go_ahead)
    assert [values for *_, values in place.clinic.saves] == [edit.values for edit in edits]


@pytest.mark.parametrize("field", [Field.GENDER, Field.STATE, Field.PAYER])
async def test_what_is_not_on_offer_is_refused_by_its_label(place: Place, field: Field) -> None:
    patient = a_patient(last_name="Unoffered")
    portal_id = place.clinic.put(patient.values)
    edit = Edit(section=field.section, row=None, values={field: "ZZ canary"})
    with pytest.raises(Refused) as refused:
        await place.portal.update(portal_id, [edit], expect=patient.identity, about_to_save=go_ahead)
    assert (refused.value.code, refused.value.detail) == (Code.UNKNOWN_OPTION, PACK.entry(field).label)  # type: ignore[union-attr]
    assert place.clinic.saves == []


async def test_an_option_far_down_a_list_is_scrolled_to(tmp_path: Path) -> None:
    payers = [f"Payer {number:03}" for number in range(60)] + ["Payer"]
    async with place_at(tmp_path, payers=payers) as place:
        place.control.look(long_lists=True)
        for payer in ("Payer 047", "Payer"):
            await its_payer_is_added(place, a_patient(last_name=f"Far{payer[-3:]}", payer=payer))


async def test_a_portal_of_other_widgets_is_as_its_pack_says(place: Place) -> None:
    patient = a_patient(last_name="Walked")
    portal_id = place.clinic.put(patient.values, {Section.CONTACTS: (section_of(patient.values, Section.CONTACTS),)})
    assert (await place.portal.walk(portal_id)).drifts == []


@pytest.mark.parametrize("widget", ["shy", "racy"])
async def test_a_list_that_comes_late_or_belongs_to_earlier_keys_is_chosen_from_rightly(
    tmp_path: Path, widget: str
) -> None:
    async with place_at(tmp_path) as place:
        place.control.look(widgets={"Payer": widget})
        await its_payer_is_added(place, a_patient(last_name="Raced", payer="Carolina Medicaid"))


async def its_payer_is_added(place: Place, patient: Patient) -> None:
    portal_id = place.clinic.put(patient.values)
    place.clinic.begin()
    (edit,) = [edit for edit in new_rows(patient) if edit.section is Section.PAYERS]
    await place.portal.update(portal_id, [edit], expect=patient.identity, about_to_save=go_ahead)
    assert [values for *_, values in place.clinic.saves] == [edit.values]
