"""What nobody expects, at the worst moment: the visit ends with a named code, and no word of it is kept."""

from pathlib import Path

import pytest
from portal_people import Clerk, a_patient, go_ahead
from portal_place import Place, opened, place

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
