"""What nobody expects, at the worst moment: the visit ends with a named code, and no word of it is kept."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from portal_people import Clerk, a_patient, go_ahead
from portal_place import Place, opened, place, place_at

from fusion.codes import Code
from fusion.portal import Refused

__all__ = ["opened", "place"]  # fixtures
pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]


async def test_a_dialog_that_refuses_a_new_chart_is_named_and_not_answered(place: Place) -> None:
    patient = a_patient(last_name="Existing")
    notice = {"title": "Ava Existing", "text": "The patient Ava Existing already exists!"}
    place.control.fault(kind="create", status=409, notice=notice)
    clerk = Clerk()
    with pytest.raises(Refused) as refused:
        await place.portal.create(patient, about_to_save=clerk)
    assert (refused.value.code, refused.value.detail) == (Code.UNEXPECTED_PAGE, "a dialog about an existing record")
    kept = Path(refused.value.evidence or "").read_text(encoding="utf-8")
    assert "Ava" not in f"{refused.value!r}{kept}"
    assert (clerk.calls, place.clinic.saves) == (1, [])


@pytest.mark.parametrize("kind", ["read", "save"])
async def test_a_blocking_alert_ends_the_visit_unanswered(place: Place, kind: str) -> None:
    patient = a_patient(last_name=f"Alerted{kind}")
    portal_id = place.clinic.put(patient.values)
    await place.portal.find(patient)
    place.control.fault(kind=kind, status=409, alert="Ava Example: a value is not allowed here.")
    with pytest.raises(Refused) as refused:
        await place.nickname(portal_id, patient)
    assert (refused.value.code, refused.value.detail) == (Code.UNEXPECTED_PAGE, "a dialog of the browser itself")
    assert place.clinic.saves == []
    await place.nickname(portal_id, patient)
    assert len(place.clinic.saves) == 1


async def test_a_field_that_is_no_longer_there_stops_before_anything_is_typed(place: Place) -> None:
    patient = a_patient(last_name="Fieldless")
    portal_id = place.clinic.put(patient.values)
    place.control.hide("Nickname")
    place.control.end_sessions()
    try:
        with pytest.raises(Refused) as refused:
            await place.nickname(portal_id, patient)
        assert (refused.value.code, refused.value.detail) == (Code.PORTAL_CHANGED, 'expected "Nickname"')
        with pytest.raises(Refused) as refused:
            await place.portal.create(a_patient(last_name="Other", nickname="Avie"), about_to_save=go_ahead)
        assert (refused.value.code, refused.value.detail) == (Code.PORTAL_CHANGED, 'expected "Nickname"')
        assert place.clinic.saves == []
    finally:
        place.control.hide()
        place.control.end_sessions()


@pytest.fixture
def otherwise(place: Place) -> Iterator[Callable[..., None]]:
    """Draws pages otherwise, as they come up after the next page load, and as usual again."""

    def look(**changed: object) -> None:
        place.control.look(**changed)
        place.control.end_sessions()

    yield look
    place.control.usual_look()
    place.control.end_sessions()


async def test_a_field_that_moved_to_another_section_is_not_looked_for_there(
    place: Place, otherwise: Callable[..., None]
) -> None:
    patient = a_patient(last_name="Moved")
    portal_id = place.clinic.put(patient.values)
    otherwise(aside=["Nickname"])
    with pytest.raises(Refused) as refused:
        await place.nickname(portal_id, patient)
    assert (refused.value.code, refused.value.detail) == (Code.PORTAL_CHANGED, 'expected "Nickname"')
    assert place.clinic.saves == []


@pytest.mark.parametrize(
    ("staffs", "demand"),
    [("", ""), ("58.4", r"\d+\.\d\d")],
    ids=["asked for after Save", "marked before, and Save sleeps"],
)
async def test_a_field_that_only_staff_fills_in_and_that_blocks_save_is_named(
    place: Place, otherwise: Callable[..., None], staffs: str, demand: str
) -> None:
    patient = a_patient(last_name="Blocked")
    portal_id = place.clinic.put(patient.values)
    place.control.put_patient({"id": portal_id, "Patient": {"Referred By": staffs}})
    otherwise(demands={"Referred By": demand})
    clerk = Clerk()
    with pytest.raises(Refused) as refused:
        await place.nickname(portal_id, patient, about_to_save=clerk)
    assert (refused.value.code, refused.value.detail) == (
        Code.REJECTED_VALUE,
        "Referred By (only staff can fill it in)",
    )
    # Where the page says so beforehand nobody clicks.
    assert (clerk.calls, place.clinic.saves) == (0 if demand else 1, [])


async def test_the_browser_itself_asks_for_a_field_and_nobody_waits_for_the_save(tmp_path: Path) -> None:
    async with place_at(tmp_path, skin="harbor") as place:
        patient = a_patient(last_name="Asked")
        portal_id = place.clinic.put(patient.values)
        place.control.look(demands={"Referred By": ""})
        clerk = Clerk()
        with pytest.raises(Refused) as refused:
            await place.nickname(portal_id, patient, about_to_save=clerk)
        assert (refused.value.code, refused.value.detail) == (
            Code.REJECTED_VALUE,
            "Referral (only staff can fill it in)",
        )
        assert (clerk.calls, place.clinic.saves) == (0, [])
