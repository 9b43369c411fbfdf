"""Between a look and what is done upon it the page may change: then nothing is clicked, and all is looked at again."""

from __future__ import annotations

import pytest
from portal_people import a_patient
from portal_place import Place, opened, place

from fusion.codes import Code
from fusion.patient import Field
from fusion.portal import Refused

__all__ = ["opened", "place"]  # fixtures
pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

_LOSE = """() => {
  const box = document.querySelector('section[aria-label="Patient"] form').elements[3];
  box.value = box.value === 'Avie' ? '' : 'another box';
  box.dispatchEvent(new Event('change', { bubbles: true }));
}"""
_NOTICE = """() => import('/web/dialogs.js').then((dialogs) => dialogs.showNotice(
  { title: 'Scheduled maintenance', text: 'The clinic is closed on Sunday.' }))"""
_REDRAW = """() => {
  const texts = [...document.querySelectorAll('section[aria-label="Patient"] dd')];
  texts.find((node) => node.dataset.field === 'Nickname').textContent = 'Anew';
}"""


async def test_what_is_lost_right_before_the_click_is_typed_again(place: Place) -> None:
    patient = a_patient(last_name="Lost")
    portal_id = place.clinic.put(patient.values)
    calls = 0

    async def lose_it_once() -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            await (await place.portal.warm.tab()).page.evaluate(_LOSE)

    shown = await place.nickname(portal_id, patient, about_to_save=lose_it_once)
    assert (shown.values[Field.NICKNAME], calls) == ("Avie", 2)
    assert len(place.clinic.saves) == 1


async def test_a_dialog_that_comes_up_right_before_the_click_stops_it(place: Place) -> None:
    patient = a_patient(last_name="Noticed")
    portal_id = place.clinic.put(patient.values)

    async def notice() -> None:
        await (await place.portal.warm.tab()).page.evaluate(_NOTICE)

    with pytest.raises(Refused) as refused:
        await place.nickname(portal_id, patient, about_to_save=notice)
    assert (refused.value.code, refused.value.detail) == (Code.UNEXPECTED_PAGE, "a dialog about maintenance")
    assert place.clinic.saves == []


async def test_a_chart_that_draws_itself_anew_after_it_was_read_is_asked_for_again(place: Place) -> None:
    patient = a_patient(last_name="Redrawn")
    portal_id = place.clinic.put(patient.values)
    await place.portal.read(portal_id)
    await (await place.portal.warm.tab()).page.evaluate(_REDRAW)
    place.clinic.begin()
    shown = await place.nickname(portal_id, patient)
    assert (shown.values[Field.NICKNAME], place.clinic.count("read")) == ("Avie", 2)


async def test_a_chart_that_stays_as_it_was_read_is_asked_for_only_after_the_save(place: Place) -> None:
    patient = a_patient(last_name="Still")
    portal_id = place.clinic.put(patient.values)
    await place.portal.read(portal_id)
    place.clinic.begin()
    await place.nickname(portal_id, patient)
    assert place.clinic.count("read") == 1
