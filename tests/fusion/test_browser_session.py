"""The browser at the stand-in portal while screens lock, sessions end and passwords are refused."""

import asyncio
from pathlib import Path

import pytest
from portal_people import AVA, PACK, USERNAME, a_patient, go_ahead, web_portal
from portal_place import NICKNAME, Place, alone, opened, place

from fusion.pages.entrance import Step
from fusion.patient import Edit, Field, Section
from fusion.standin.server import StandInPortal
from listener.errors import EntryError, Outage

__all__ = ["alone", "opened", "place"]  # fixtures
pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]


# ---- the locked screen ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_number", "at_hand"), [*((one, False) for one in range(1, 6)), *((one, True) for one in range(1, 5))]
)
async def test_an_update_ends_right_wherever_the_screen_locks(place: Place, request_number: int, at_hand: bool) -> None:
    """A chart that was just read is at hand, and is not asked for again: one request less."""
    patient = a_patient(last_name=f"Locked{request_number}{at_hand}")
    portal_id = place.clinic.put(patient.values)
    await place.portal.read(portal_id)
    if not at_hand:
        await place.portal.find(patient)
    unlocks = place.portal.unlocks
    payer = Edit(section=Section.PAYERS, row=None, values={f: AVA[f] for f in (Field.PAYER, Field.MEMBER_ID)})
    place.clinic.begin()
    place.control.lock(after=request_number)
    shown = await place.portal.update(portal_id, [NICKNAME, payer], expect=patient.identity, about_to_save=go_ahead)
    assert shown.values[Field.NICKNAME] == "Avie"
    assert [dict(row.values) for row in shown.rows[Section.PAYERS]] == [
        {**payer.values, Field.INSURANCE_TYPE: ""},
    ]
    assert [deed for deed, *_ in place.clinic.saves] == ["save", "add"]
    # After the last request there is nothing left that could lock.
    assert place.portal.unlocks - unlocks == place.clinic.count("unlock") == 1


@pytest.mark.parametrize("request_number", [1, 2, 3])
async def test_a_search_ends_right_wherever_the_screen_locks(place: Place, request_number: int) -> None:
    patient = a_patient(last_name=f"Sought{request_number}")
    portal_id = place.clinic.put(patient.values)
    await place.portal.read(portal_id)
    place.control.lock(after=request_number)
    assert portal_id in [hit.portal_id for hit in await place.portal.find(patient)]
    assert place.clinic.count("unlock") == 1


async def test_a_lock_at_the_creation_makes_one_chart(place: Place) -> None:
    patient = a_patient(last_name="Onlyone")

    async def lock() -> None:
        place.control.lock()

    portal_id = await place.portal.create(patient, about_to_save=lock)
    assert [(deed, chart) for deed, chart, *_ in place.clinic.saves] == [("create", portal_id)]


async def test_a_lock_between_visits_is_opened(place: Place) -> None:
    portal_id = place.clinic.put(a_patient(last_name="Idle").values)
    await place.portal.read(portal_id)
    place.control.lock()
    assert await place.portal.read(portal_id) is not None
    assert place.clinic.count("unlock") == 1


async def test_a_password_that_the_lock_refuses_is_given_once(alone: Place) -> None:
    portal_id = alone.clinic.put(AVA)
    await alone.portal.read(portal_id)
    alone.control.password(USERNAME, "Another-one-2", keep_sessions=True)
    alone.control.lock()
    for _ in range(2):
        with pytest.raises(Outage, match="locked screen does not accept") as outage:
            await alone.portal.read(portal_id)
    assert "PORTAL_PASSWORD" in outage.value.hint
    assert (alone.clinic.count("unlock_failed"), alone.clinic.count("login_failed")) == (1, 0)


# ---- log-in and sessions --------------------------------------------------------------------------------------------


async def test_a_session_that_ended_is_begun_again(place: Place) -> None:
    patient = a_patient(last_name="Ended")
    portal_id = place.clinic.put(patient.values)
    await place.portal.read(portal_id)
    place.clinic.begin()
    place.control.end_sessions()
    assert await place.portal.read(portal_id)
    place.control.end_sessions()
    assert await place.portal.find(patient)
    place.control.end_sessions()
    assert await place.nickname(portal_id, patient)
    assert (place.clinic.count("login"), place.clinic.count("login_failed")) == (3, 0)
    assert len(place.clinic.saves) == 1


async def test_a_session_that_ends_at_the_save_is_an_error_and_nothing_is_saved(place: Place) -> None:
    patient = a_patient(last_name="Kicked")
    portal_id = place.clinic.put(patient.values)

    async def kicked() -> None:
        place.control.end_sessions()

    with pytest.raises(EntryError):
        await place.nickname(portal_id, patient, about_to_save=kicked)
    with pytest.raises(EntryError):
        await place.portal.create(a_patient(last_name="Kickednew"), about_to_save=kicked)
    assert place.clinic.saves == []
    assert (await place.nickname(portal_id, patient)).values[Field.NICKNAME] == "Avie"


async def test_a_session_that_ends_while_a_form_is_filled_costs_only_time(place: Place) -> None:
    patient = a_patient(last_name="Midway")
    portal_id = place.clinic.put(patient.values)
    await place.portal.read(portal_id)
    payer = Edit(section=Section.PAYERS, row=None, values={f: AVA[f] for f in (Field.PAYER, Field.MEMBER_ID)})
    place.clinic.begin()
    visit = asyncio.ensure_future(
        place.portal.update(portal_id, [payer], expect=patient.identity, about_to_save=go_ahead)
    )
    while not place.clinic.count("read"):
        await asyncio.sleep(0.005)
    place.control.end_sessions()
    assert len((await visit).rows[Section.PAYERS]) == 1
    assert [deed for deed, *_ in place.clinic.saves] == ["add"]


async def test_a_wrong_password_is_tried_once(tmp_path: Path) -> None:
    async with StandInPortal() as standin, web_portal(standin, tmp_path, password="Wrong-horse-1") as portal:
        for _ in range(3):
            with pytest.raises(Outage, match="does not accept") as outage:
                await portal.find(a_patient())
        with pytest.raises(Outage):
            await portal.read("10230001")
    assert "PORTAL_PASSWORD" in outage.value.hint
    assert len(standin.ledger.lines(kind="login_failed")) == 1


async def test_a_locked_account_is_an_outage_that_says_so(tmp_path: Path) -> None:
    async with StandInPortal() as standin, web_portal(standin, tmp_path) as portal:
        for _ in range(5):
            with pytest.raises(Exception, match=r"incorrect|account_locked"):
                standin.sessions.log_in(USERNAME, "Wrong-horse-1")
        with pytest.raises(Outage, match="account is locked"):
            await portal.read("10230001")


async def test_trouble_at_the_log_in_does_not_spend_the_password(place: Place) -> None:
    portal_id = place.clinic.put(a_patient(last_name="Troubled").values)
    place.control.end_sessions()
    place.control.fault(kind="login", status=503)
    with pytest.raises(Outage, match="trouble"):
        await place.portal.read(portal_id)
    assert await place.portal.read(portal_id) is not None
    place.control.lock()
    place.control.fault(kind="unlock", status=500)
    with pytest.raises(Outage, match="trouble"):
        await place.portal.read(portal_id)
    assert await place.portal.read(portal_id) is not None


async def test_an_answer_that_nobody_knows_spends_the_password(tmp_path: Path) -> None:
    unknowing = PACK.model_copy(update={"login": PACK.login.model_copy(update={"stops": ()})})
    async with (
        StandInPortal() as standin,
        web_portal(standin, tmp_path, password="Wrong-horse-1", pack=unknowing) as portal,
    ):
        for _ in range(2):
            with pytest.raises(Outage, match="do not know"):
                await portal.read("10230001")
    assert len(standin.ledger.lines(kind="login_failed")) == 1


async def test_a_log_in_page_that_has_changed_is_an_outage(tmp_path: Path) -> None:
    steps = [{"fill": {"label": "User name"}, "with": "username"}]
    login = PACK.login.model_copy(update={"steps": tuple(Step.model_validate(step) for step in steps)})
    async with (
        StandInPortal() as standin,
        web_portal(standin, tmp_path, pack=PACK.model_copy(update={"login": login})) as portal,
    ):
        with pytest.raises(Outage, match="log-in page is not as"):
            await portal.read("10230001")
