"""What every portal must do, over the fake in memory, and over the browser at both skins of the stand-in."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from fake_portal import FakePortal
from portal_people import AVA, Clerk, Clinic, a_patient, go_ahead, new_rows, section_of, web_portal

from fusion.codes import Code
from fusion.pages.pack_file import load_pack
from fusion.patient import Edit, Field, Identity, Section
from fusion.portal import Portal, Refused
from fusion.standin.server import StandInPortal
from listener.errors import EntryError

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Fake:
    """The fake, as the suite sees a portal and its staff."""

    def __init__(self) -> None:
        self.portal = FakePortal()
        self.put = self.portal.put

    def begin(self) -> None:
        self.portal.charts.clear()
        self.portal.ledger.clear()

    @property
    def saves(self) -> list[Any]:
        return self.portal.ledger

    def lose_next_reply(self) -> None:
        self.portal.lose_reply = True


class Web:
    """The browser at the stand-in, likewise."""

    def __init__(self, portal: Portal, clinic: Clinic) -> None:
        self.portal = portal
        self.clinic = clinic
        self.put = clinic.put
        self.begin = clinic.begin

    @property
    def saves(self) -> list[Any]:
        return self.clinic.saves

    def lose_next_reply(self) -> None:
        self.clinic.standin.control.fault(kinds=["create", "add", "save"], status=500, after_commit=True)


@pytest_asyncio.fixture(
    scope="module",
    loop_scope="module",
    params=["fake", *(pytest.param(pack, marks=pytest.mark.browser) for pack in ("fusion_web", "harbor"))],
)
async def opened(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Fake | Web]:
    if request.param == "fake":
        yield Fake()
        return
    async with (
        StandInPortal(skin=request.param) as standin,
        web_portal(standin, tmp_path_factory.mktemp("evidence"), pack=load_pack(request.param)) as portal,
    ):
        yield Web(portal, Clinic(standin))


@pytest.fixture
def world(opened: Fake | Web) -> Fake | Web:
    opened.begin()
    return opened


async def test_a_new_chart_is_found_and_shows_what_was_typed(world: Fake | Web) -> None:
    patient = a_patient(last_name="Newcomer")
    portal_id = await world.portal.create(patient, about_to_save=go_ahead)
    shown = await world.portal.read(portal_id)
    assert shown is not None
    assert (shown.portal_id, shown.values) == (portal_id, section_of(patient.values, Section.PATIENT))
    assert all(rows == () for rows in shown.rows.values())
    assert portal_id in [hit.portal_id for hit in await world.portal.find(patient)]
    filled = {f: v for f, v in section_of(patient.values, Section.PATIENT).items() if v}
    assert world.saves == [("create", portal_id, Section.PATIENT, filled)]


async def test_rows_that_were_added_are_shown(world: Fake | Web) -> None:
    patient = a_patient(last_name="Rower")
    portal_id = world.put(patient.values)
    clerk = Clerk()
    shown = await world.portal.update(portal_id, new_rows(patient), expect=patient.identity, about_to_save=clerk)
    assert clerk.calls == 4
    for section in (Section.CONTACTS, Section.CASES, Section.PAYERS, Section.NOTES):
        assert [row.values for row in shown.rows[section]] == [section_of(patient.values, section)]
    assert shown == await world.portal.read(portal_id)


async def test_an_update_saves_only_what_is_in_the_edits(world: Fake | Web) -> None:
    patient = a_patient(last_name="Edited")
    contacts = tuple(
        section_of({**AVA, Field.GUARDIAN_NAME: name}, Section.CONTACTS) for name in ("Rosa Edited", "Otto Edited")
    )
    portal_id = world.put(patient.values, {Section.CONTACTS: contacts})
    before = await world.portal.read(portal_id)
    assert before is not None
    second = before.rows[Section.CONTACTS][1].key
    edits = [
        Edit(section=Section.PATIENT, row=None, values={Field.NICKNAME: "Avie", Field.SSN: "900-65-4321"}),
        Edit(section=Section.CONTACTS, row=second, values={Field.PHONE: "+19195550199", Field.STATE: "VA"}),
    ]
    shown = await world.portal.update(portal_id, edits, expect=patient.identity, about_to_save=go_ahead)
    assert world.saves == [
        ("save", portal_id, Section.PATIENT, edits[0].values),
        ("save", portal_id, Section.CONTACTS, edits[1].values),
    ]
    assert shown.values == {**before.values, **edits[0].values}
    assert shown.rows[Section.CONTACTS][0] == before.rows[Section.CONTACTS][0]
    assert shown.rows[Section.CONTACTS][1].values == {**contacts[1], **edits[1].values}


async def test_a_value_can_be_cleared(world: Fake | Web) -> None:
    patient = a_patient(last_name="Cleared", nickname="Avie")
    portal_id = world.put(patient.values)
    cleared = {Field.NICKNAME: "", Field.SSN: "", Field.LOCATION: ""}
    edit = Edit(section=Section.PATIENT, row=None, values=cleared)
    shown = await world.portal.update(portal_id, [edit], expect=patient.identity, about_to_save=go_ahead)
    assert shown.values == {**section_of(patient.values, Section.PATIENT), **cleared}


async def test_without_edits_nothing_is_saved(world: Fake | Web) -> None:
    patient = a_patient(last_name="Same")
    portal_id = world.put(patient.values)
    clerk = Clerk()
    shown = await world.portal.update(portal_id, [], expect=patient.identity, about_to_save=clerk)
    assert (shown.portal_id, world.saves, clerk.calls) == (portal_id, [], 0)


@pytest.mark.parametrize(
    "other",
    [{"first_name": "Mia"}, {"last_name": "Exemplar"}, {"birth_date": "2019-03-05"}],
    ids=lambda o: next(iter(o)),
)
async def test_a_chart_of_another_child_is_not_touched(world: Fake | Web, other: dict[str, str]) -> None:
    portal_id = world.put(a_patient(last_name="Twin").values)
    clerk = Clerk()
    edit = Edit(section=Section.PATIENT, row=None, values={Field.NICKNAME: "Avie"})
    with pytest.raises(Refused) as refused:
        await world.portal.update(
            portal_id,
            [edit],
            expect=a_patient(**{"last_name": "Twin", **other}).identity,
            about_to_save=clerk,
        )
    assert refused.value.code is Code.IDENTITY_MISMATCH
    assert (world.saves, clerk.calls) == ([], 0)


async def test_a_corrected_name_is_saved_where_the_previous_one_is_shown(world: Fake | Web) -> None:
    patient = a_patient(last_name="Before")
    portal_id = world.put(patient.values)
    edit = Edit(section=Section.PATIENT, row=None, values={Field.LAST_NAME: "After"})
    shown = await world.portal.update(portal_id, [edit], expect=patient.identity, about_to_save=go_ahead)
    assert shown.identity == Identity(first_name="Ava", last_name="After", birth_date=patient.identity.birth_date)


async def test_both_twins_are_found_each_by_a_chart_of_its_own(world: Fake | Web) -> None:
    contacts = {Section.CONTACTS: (section_of({**AVA, Field.PHONE: "+19195550177"}, Section.CONTACTS),)}
    ava, mia = (a_patient(first_name=name, last_name="Both", phone="+19195550177") for name in ("Ava", "Mia"))
    ids = {world.put(twin.values, contacts): twin.identity for twin in (ava, mia)}
    hits = [hit for hit in await world.portal.find(mia) if hit.portal_id in ids]
    assert {hit.portal_id: hit.identity for hit in hits} == ids
    assert {hit.phone for hit in hits} == {"+19195550177"}
    assert len(hits) == 2


async def test_a_chart_is_found_by_phone_alone(world: Fake | Web) -> None:
    contact = section_of({**AVA, Field.PHONE: "+19195550188"}, Section.CONTACTS)
    other = a_patient(first_name="Ida", last_name="Elsewhere", birth_date="2015-05-05")
    portal_id = world.put(other.values, {Section.CONTACTS: (contact,)})
    looking = a_patient(last_name="Nobodyelse", birth_date="2011-01-01", phone="+19195550188")
    assert [hit.portal_id for hit in await world.portal.find(looking)] == [portal_id]


async def test_nobody_is_found_if_nobody_is_there(world: Fake | Web) -> None:
    looking = a_patient(last_name="Nowhere", birth_date="2010-10-10", phone="+19195550166")
    assert list(await world.portal.find(looking)) == []


async def test_an_unknown_id_is_no_chart(world: Fake | Web) -> None:
    assert await world.portal.read("99999999") is None
    with pytest.raises(Refused) as refused:
        await world.portal.update("99999999", [], expect=a_patient().identity, about_to_save=go_ahead)
    assert refused.value.code is Code.CHART_NOT_FOUND


async def test_a_duplicate_warning_makes_no_chart(world: Fake | Web) -> None:
    patient = a_patient(last_name="Double")
    world.put(patient.values)
    with pytest.raises(Refused) as refused:
        await world.portal.create(patient, about_to_save=go_ahead)
    assert (refused.value.code, world.saves) == (Code.DUPLICATE_WARNING, [])


async def test_what_forbids_a_save_comes_out_and_nothing_is_saved(world: Fake | Web) -> None:
    patient = a_patient(last_name="Forbidden")
    lost = TimeoutError("the lease is gone")
    with pytest.raises(TimeoutError) as raised:
        await world.portal.create(patient, about_to_save=Clerk(forbid=lost))
    assert (raised.value is lost, world.saves) == (True, [])

    portal_id = world.put(patient.values)
    with pytest.raises(TimeoutError):
        await world.portal.update(
            portal_id,
            new_rows(patient),
            expect=patient.identity,
            about_to_save=Clerk(forbid=lost, at=2),
        )
    assert [section for _, _, section, _ in world.saves] == [Section.CONTACTS]


async def test_a_lost_reply_is_an_error_and_the_chart_shows_what_was_saved(world: Fake | Web) -> None:
    patient = a_patient(last_name="Lost")
    world.lose_next_reply()
    with pytest.raises(EntryError):
        await world.portal.create(patient, about_to_save=go_ahead)
    (hit,) = [hit for hit in await world.portal.find(patient) if hit.identity == patient.identity]

    world.lose_next_reply()
    edit = Edit(section=Section.PATIENT, row=None, values={Field.NICKNAME: "Avie"})
    with pytest.raises(EntryError):
        await world.portal.update(hit.portal_id, [edit], expect=patient.identity, about_to_save=go_ahead)
    shown = await world.portal.read(hit.portal_id)
    assert shown is not None
    assert shown.values[Field.NICKNAME] == "Avie"
    assert [deed for deed, *_ in world.saves] == ["create", "save"]


async def test_a_row_that_is_gone_is_an_error(world: Fake | Web) -> None:
    patient = a_patient(last_name="Rowless")
    portal_id = world.put(patient.values)
    edit = Edit(section=Section.CONTACTS, row="4999999", values={Field.CITY: "Apex"})
    with pytest.raises(EntryError):
        await world.portal.update(portal_id, [edit], expect=patient.identity, about_to_save=go_ahead)
    assert world.saves == []
