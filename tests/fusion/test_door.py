"""The browser at the portal's door: each thing that may keep us out is named, and nothing is tried twice."""

import json
from pathlib import Path

import pytest
from portal_people import AVA, PACK, USERNAME, Clinic, a_patient, web_portal
from portal_place import Place, alone
from pydantic import SecretStr

from fusion.browser import WebPortal
from fusion.pages.memory import Forgetful, Given, Shut
from fusion.pages.standing import Standing
from fusion.standin.doorway import TOTP_SECRET
from fusion.standin.server import StandInPortal
from listener.errors import EntryError, Outage

__all__ = ["alone"]  # a fixture
pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

LINES = ("login", "login_failed", "password_accepted", "code_sent", "code_accepted", "code_failed", "terms_accepted")


class Desk(Forgetful):
    """A memory with a person who gives codes."""

    def __init__(self) -> None:
        super().__init__()
        self.on_the_desk: Given | None = None
        self.waiting = False

    async def asked(self) -> None:
        self.waiting = True

    async def answered(self) -> None:
        self.waiting = False

    async def given(self) -> Given | None:
        given, self.on_the_desk = self.on_the_desk, None
        return given

    def give(self, code: str | None) -> None:
        self.on_the_desk = Given(code=SecretStr(code) if code else None)


def door_of(standin: StandInPortal) -> list[str]:
    """What happened at the door, in order."""
    return [line.kind for line in standin.ledger.lines() if line.kind in LINES]


async def shut_by(portal: WebPortal) -> Standing:
    """Why a visit does not get in."""
    with pytest.raises(Shut) as shut:
        await portal.read("10230001")
    return shut.value.standing


@pytest.mark.parametrize(
    ("switch", "standing", "typed"),
    [
        ({"captcha": True}, Standing.CAPTCHA, []),
        ({"blocked": True}, Standing.BLOCKED, []),
        ({"terms": True}, Standing.TERMS, ["password_accepted"]),
    ],
)
async def test_what_is_there_to_stop_robots_stops_us_at_once(
    alone: Place, switch: dict[str, object], standing: Standing, typed: list[str]
) -> None:
    alone.control.door(**switch)
    for _ in range(3):
        assert await shut_by(alone.portal) is standing
    assert door_of(alone.clinic.standin) == typed
    [kept] = alone.evidence.glob("*.json")
    assert any(thing["tag"] == "h1" for thing in json.loads(kept.read_text())["page"])


async def test_an_expired_password_stops_us_and_is_not_answered_blindly(alone: Place) -> None:
    alone.control.expire_password(USERNAME)
    for _ in range(2):
        assert await shut_by(alone.portal) is Standing.EXPIRED
    assert door_of(alone.clinic.standin) == ["password_accepted"]
    assert alone.clinic.count("password_changed") == 0


@pytest.mark.parametrize("status", [200, 503])
async def test_maintenance_is_named_and_over_when_it_is_over(alone: Place, status: int) -> None:
    portal_id = alone.clinic.put(AVA)
    alone.control.door(maintenance=status)
    assert await shut_by(alone.portal) is Standing.MAINTENANCE
    alone.control.door(maintenance=0)
    assert await alone.portal.read(portal_id) is not None
    alone.control.door(maintenance=status)
    with pytest.raises(Outage):
        await alone.portal.read("10230009")
    alone.control.door(maintenance=0)
    assert await alone.portal.read(portal_id) is not None
    assert door_of(alone.clinic.standin) == ["login"]


async def test_a_page_of_maintenance_is_known_however_late_its_text_comes(alone: Place) -> None:
    alone.control.door(maintenance=503, maintenance_text=1.0)
    assert await shut_by(alone.portal) is Standing.MAINTENANCE


async def test_a_portal_that_is_down_is_an_outage_and_says_nothing_of_the_password(tmp_path: Path) -> None:
    unknown = PACK.model_copy(update={"stops": ()})
    async with StandInPortal() as standin, web_portal(standin, tmp_path, pack=unknown) as portal:
        standin.control.door(maintenance=503)
        with pytest.raises(Outage, match="answers with status 503"):
            await portal.read("10230001")
        standin.control.door(maintenance=0)
        assert await portal.read("10230001") is None
        await standin.close()
        # On the page that is open, and then with a page load.
        for said in ("does not serve requests", "cannot be reached"):
            with pytest.raises(Outage, match=said):
                await portal.read("10230001")
        assert door_of(standin) == ["login"]


async def test_a_log_in_waits_on_its_page_for_the_code_that_a_person_gives(tmp_path: Path) -> None:
    desk = Desk()
    async with StandInPortal() as standin, web_portal(standin, tmp_path, memory=desk) as portal:
        portal_id = Clinic(standin).put(AVA)
        standin.control.door(codes="email")
        for _ in range(3):
            assert await shut_by(portal) is Standing.CODE
        assert desk.waiting
        desk.give("000000x")
        with pytest.raises(Shut, match="does not accept that log-in code"):
            await portal.read(portal_id)
        desk.give(None)
        assert await shut_by(portal) is Standing.CODE
        desk.give(standin.control.code(USERNAME))
        assert await portal.read(portal_id) is not None
        assert not desk.waiting
        expected = ["password_accepted", "code_sent", "code_failed", "code_sent", "code_accepted", "login"]
        assert door_of(standin) == expected
        # The browser is known now.
        standin.control.end_sessions()
        assert await portal.read(portal_id) is not None
        assert door_of(standin) == [*expected, "login"]


async def test_the_code_of_an_app_is_made_from_its_secret(tmp_path: Path) -> None:
    async with StandInPortal() as standin:
        standin.control.door(codes="totp")
        async with web_portal(standin, tmp_path, totp=SecretStr(TOTP_SECRET)) as portal:
            assert await portal.read("10230001") is None
        async with web_portal(standin, tmp_path, totp=SecretStr("K" * 16)) as wrong:
            for _ in range(2):
                assert await shut_by(wrong) is Standing.CODE_REFUSED
        assert door_of(standin) == [
            "password_accepted",
            "code_accepted",
            "login",
            "password_accepted",
            "code_failed",
        ]


async def test_terms_after_the_code_are_named_too(tmp_path: Path) -> None:
    async with StandInPortal() as standin:
        standin.control.door(codes="totp", terms=True)
        async with web_portal(standin, tmp_path, totp=SecretStr(TOTP_SECRET)) as portal:
            assert await shut_by(portal) is Standing.TERMS


async def test_two_who_throw_each_other_out_stop_before_it_goes_on_for_ever(tmp_path: Path) -> None:
    async with StandInPortal() as standin, web_portal(standin, tmp_path, most_logins=3) as portal:
        standin.control.door(one_session=True)
        for _ in range(3):
            assert await portal.read("10230001") is None
            standin.sessions.kick_others(standin.sessions.log_in(USERNAME, "Sync-the-charts-1"))
        for _ in range(2):
            with pytest.raises(Outage, match="ended 3 sessions"):
                await portal.read("10230001")
        assert door_of(standin) == ["login"] * 3


async def test_what_comes_up_after_the_click_on_save_leaves_the_save_in_doubt(alone: Place) -> None:
    portal_id = alone.clinic.put(a_patient().values)

    async def maintain() -> None:
        alone.control.door(maintenance=503)

    with pytest.raises(EntryError, match="no evidence of the save"):
        await alone.nickname(portal_id, a_patient(), about_to_save=maintain)
    assert await shut_by(alone.portal) is Standing.MAINTENANCE
    alone.control.door(maintenance=0)
    assert await alone.portal.read(portal_id) is not None
    assert alone.clinic.saves == []


async def test_a_captcha_in_place_of_a_session_that_ended_is_told(alone: Place) -> None:
    assert await alone.portal.read("10230001") is None
    alone.control.end_sessions()
    alone.control.door(captcha=True)
    assert await shut_by(alone.portal) is Standing.CAPTCHA
    assert door_of(alone.clinic.standin) == ["login"]
