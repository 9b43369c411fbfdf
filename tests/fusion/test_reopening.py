"""A chart that is opened without a page load is what the portal has now, or else it is opened with one."""

from pathlib import Path

import pytest
from portal_people import PACK, a_patient, go_ahead
from portal_place import NICKNAME, Place, opened, place, place_at

from fusion.pages.pack import Pack
from fusion.patient import Field
from fusion.portal import Overtaken

__all__ = ["opened", "place"]  # fixtures
pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]


def loads(place: Place) -> int:
    """Requests for pages so far, scripts and all."""
    return place.clinic.standin.wire.requests["page"]


def with_chart(**other: object) -> Pack:
    """The pack with something else in [chart]."""
    return PACK.model_copy(update={"chart": PACK.chart.model_copy(update=other)})


async def test_a_chart_is_asked_for_anew_each_time_and_no_page_is_loaded(place: Place) -> None:
    portal_id = place.clinic.put(a_patient(last_name="Anew").values)
    await place.portal.read(portal_id)
    before = loads(place)
    for nickname in ("Avie", "Avs", "Av"):
        place.control.put_patient({"id": portal_id, "Patient": {"Nickname": nickname}})
        place.clinic.begin()
        shown = await place.portal.read(portal_id)
        assert shown is not None
        assert (shown.values[Field.NICKNAME], place.clinic.count("read")) == (nickname, 1)
    assert loads(place) == before


async def test_one_chart_after_another_is_each_its_own(place: Place) -> None:
    ids = {
        place.clinic.put(a_patient(first_name=name, last_name="Turns").values): name for name in ("Ava", "Mia", "Zoe")
    }
    for portal_id, name in [*ids.items()] * 3:
        shown = await place.portal.read(portal_id)
        assert shown is not None
        assert (shown.portal_id, shown.values[Field.FIRST_NAME]) == (portal_id, name)


async def test_what_staff_changed_between_reading_and_saving_is_told_and_seen_anew(place: Place) -> None:
    patient = a_patient(last_name="Meanwhile")
    portal_id = place.clinic.put(patient.values)
    await place.portal.read(portal_id)

    async def staff_saves() -> None:
        place.control.put_patient({"id": portal_id, "Patient": {"Middle Name": "Changed"}})

    with pytest.raises(Overtaken):
        await place.portal.update(portal_id, [NICKNAME], expect=patient.identity, about_to_save=staff_saves)
    shown = await place.portal.read(portal_id)
    assert shown is not None
    assert (shown.values[Field.NICKNAME], shown.values[Field.MIDDLE_NAME]) == ("Avie", "Changed")


async def test_an_unchanged_patient_takes_three_requests_at_most(place: Place) -> None:
    portal_id = place.clinic.put(a_patient(last_name="Still").values)
    other = place.clinic.put(a_patient(last_name="Before").values)
    await place.portal.read(other)
    wire = place.clinic.standin.wire
    before = wire.requests.total()
    await place.portal.read(portal_id)
    assert wire.requests.total() - before <= 3


@pytest.mark.parametrize("answer", [None, "/api/no-such-thing/{id}$"], ids=["no answer named", "another one named"])
async def test_without_the_proof_a_chart_is_opened_with_a_page_load(tmp_path: Path, answer: str | None) -> None:
    async with place_at(tmp_path, pack=with_chart(answer=answer)) as place:
        patient = a_patient(last_name="Loaded")
        portal_id = place.clinic.put(patient.values)
        await place.portal.read(portal_id)
        before = loads(place)
        shown = await place.portal.update(portal_id, [NICKNAME], expect=patient.identity, about_to_save=go_ahead)
        assert shown.values[Field.NICKNAME] == "Avie"
        assert loads(place) > before


async def test_without_a_second_address_one_goes_away_and_comes_back(tmp_path: Path) -> None:
    routes = PACK.routes.model_copy(update={"chart_again": None, "away": None})
    async with place_at(tmp_path, pack=PACK.model_copy(update={"routes": routes})) as place:
        portal_id = place.clinic.put(a_patient(last_name="Away").values)
        await place.portal.read(portal_id)
        before = loads(place)
        place.control.put_patient({"id": portal_id, "Patient": {"Nickname": "Avie"}})
        shown = await place.portal.read(portal_id)
        assert shown is not None
        assert (shown.values[Field.NICKNAME], loads(place)) == ("Avie", before)
