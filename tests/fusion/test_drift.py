"""A portal that is no longer as its pack says: what is told, that nothing is typed, and that no patient is in it."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from portal_people import BROWSER, PACK, PASSWORD, USERNAME, Clinic, a_patient, section_of
from portal_place import Place, opened, place, place_at

from fusion.browser import WebPortal
from fusion.cli.migrate import migrate
from fusion.drift import Place as Part
from fusion.pages.drift import likest
from fusion.pages.entry import Entry, Kind
from fusion.pages.pack import Pack
from fusion.pages.pack_file import load_pack
from fusion.patient import Field, Section
from listener import links
from listener.database import Database
from listener.links import Link

__all__ = ["opened", "place"]  # fixtures
pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]
ROOT = Path(__file__).parents[2]
HARBOR = load_pack("harbor")


def a_chart(clinic: Clinic, **other: str) -> str:
    """A chart with a row in each section; its id."""
    values = a_patient(**other).values
    rows = {section: (section_of(values, section),) for section in Section if section is not Section.PATIENT}
    return clinic.put(values, rows)


@contextmanager
def relabelled(place: Place, labels: Mapping[str, str], *hidden: str) -> Iterator[None]:
    """Fields under other labels, or gone, for pages that are loaded meanwhile."""
    place.control.labels(dict(labels))
    place.control.hide(*hidden)
    place.control.end_sessions()
    try:
        yield
    finally:
        place.control.labels({})
        place.control.hide()
        place.control.end_sessions()


def with_entry(pack: Pack, field: Field, **changed: Any) -> Pack:
    """The pack as it would be if the portal had been otherwise when it was written."""
    form = pack.sections[field.section]
    entry: Entry = form.fields[field].model_copy(update=changed)
    fields = {**form.fields, field: entry}
    return pack.model_copy(
        update={"sections": {**pack.sections, field.section: form.model_copy(update={"fields": fields})}}
    )


async def told(portal: WebPortal, chart: str | None) -> list[str]:
    return [str(drift) for drift in (await portal.walk(chart)).drifts]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def harbor(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    async with place_at(tmp_path_factory.mktemp("evidence") / "pages", skin="harbor") as place:
        yield place


async def test_a_portal_that_is_as_its_pack_says_has_no_drift_and_nothing_is_done_to_it(place: Place) -> None:
    chart = a_chart(place.clinic, last_name="Walked")
    place.clinic.begin()
    walked = await place.portal.walk(chart)
    assert (walked.drifts, set(walked.found)) == ([], set(Part))
    assert (await place.portal.walk(None)).found.keys() == {Part.SEARCH, Part.NEW}
    assert (await place.portal.walk("99999999")).of_a_chart is False
    bare = await place.portal.walk(place.clinic.put(a_patient(last_name="Rowless").values), {Part.CASES, Part.NOTES})
    assert (walked.bare, set(bare.found), bare.bare) == (set(), {Part.CASES, Part.NOTES}, {Part.CASES, Part.NOTES})
    assert (place.clinic.saves, place.clinic.count("read") <= 3, place.evidence.exists()) == ([], True, False)


async def test_the_other_portal_as_its_pack_says_likewise(harbor: Place) -> None:
    chart = harbor.clinic.standin.control.put_patient({"Patient": {**harbor_person()}}).id
    harbor.clinic.begin()
    walked = await harbor.portal.walk(chart)
    assert (walked.drifts, set(walked.found), harbor.clinic.saves) == ([], set(Part), [])


def harbor_person() -> dict[str, str]:
    return {"First Name": "Ava", "Last Name": "Harbored", "Birthdate": "03/04/2019"}


async def test_a_new_label_in_any_section_is_proposed_in_view_and_in_form_once(place: Place) -> None:
    chart = a_chart(place.clinic, last_name="Relabelled")
    place.clinic.begin()
    new = {
        "Nickname": "Goes by",
        "Phone": "Telephone",
        "Case": "Case type",
        "ID Number": "Member ID",
        "Note": "Remarks",
    }
    with relabelled(place, new, "Presenting Concerns"):
        found = await told(place.portal, chart)
        without = await told(place.portal, None)
    assert found == [
        'Patient: expected "Nickname"',
        'Contacts: expected "Phone", found "Telephone"',
        'Cases: expected "Case", found "Case type"',
        'Cases: expected "Presenting Concerns"',
        'Payers: expected "ID Number", found "Member ID"',
        'Notes: expected "Note"',
    ]
    assert without == ['new patient: expected "Nickname"']
    assert place.clinic.saves == []


async def test_the_other_portals_labels_are_looked_at_in_heads_and_in_forms(harbor: Place) -> None:
    chart = harbor.clinic.standin.control.put_patient({"Patient": harbor_person()}).id
    harbor.clinic.begin()
    with relabelled(harbor, {"Phone": "Mobile phone", "Birthdate": "Born"}):
        found = await told(harbor.portal, chart)
    assert found == ['Patient: expected "Date of birth"', 'Contacts: expected "Telephone", found "Mobile phone"']
    assert harbor.clinic.saves == []


async def test_an_option_that_has_another_name_or_is_gone_and_a_box_of_another_kind_are_told(place: Place) -> None:
    chart = a_chart(place.clinic, last_name="Otherwise")
    place.clinic.begin()
    place.control.look(
        options={"Guardian": "Legal guardian", "Non-binary": "", "Speech Therapy": "Speech"},
        widgets={"State": "line", "Birthdate": "picker"},
    )
    place.control.end_sessions()
    try:
        walked = await place.portal.walk(chart)
    finally:
        place.control.usual_look()
        place.control.end_sessions()
    assert [str(drift) for drift in walked.drifts] == [
        # The chart that has it goes on offering it.
        'new patient, options of "Gender": expected "Non-binary"',
        'Patient, "Birthdate": expected a text box, found a box in which nothing can be typed',
        'Contacts, options of "Relationship": expected "Guardian", found "Legal guardian"',
        'Contacts, "State": expected a select, found a text box',
    ]
    assert walked.evidence.keys() == {Part.NEW, Part.PATIENT, Part.CONTACTS}
    assert place.clinic.saves == []


async def test_a_box_that_would_lose_a_line_break_is_told(tmp_path: Path) -> None:
    """The pack is the one that is out of date here, which is the same to see."""
    pack = with_entry(with_entry(PACK, Field.STREET, kind=Kind.TEXTAREA), Field.GENDER, kind=Kind.TEXT)
    async with place_at(tmp_path / "pages", pack=pack) as place:
        assert await told(place.portal, place.clinic.put(a_patient().values)) == [
            'Patient, "Gender": expected a text box, found a select',
            'Contacts, "Street": expected a text area, found a text box',
        ]


async def test_a_save_button_that_is_called_otherwise_is_told_and_the_walk_goes_on(tmp_path: Path) -> None:
    form = PACK.sections[Section.CONTACTS]
    form = form.model_copy(update={"save": form.save[0].model_copy(update={"name": "Keep"}), "cancel": form.save})
    form = form.model_copy(update={"save": (form.save,), "cancel": (form.save.model_copy(update={"name": "Stop"}),)})
    pack = PACK.model_copy(update={"sections": {**PACK.sections, Section.CONTACTS: form}})
    async with place_at(tmp_path / "pages", pack=pack) as place:
        chart = place.clinic.put(a_patient().values)
        with relabelled(place, {"Note": "Jotting"}):
            found = await told(place.portal, chart)
        assert found == ['Contacts: expected "Stop"', 'Notes: expected "Note"']
        assert place.clinic.saves == []


async def test_a_section_that_is_not_in_order_is_unread_where_that_is_known_and_the_rest_is_read(place: Place) -> None:
    patient = a_patient(last_name="Unread")
    chart = a_chart(place.clinic, last_name="Unread")
    with relabelled(place, {"Phone": "Telephone"}):
        shown = await place.portal.read(chart, wary={Section.CONTACTS, Section.NOTES})
    assert shown is not None
    assert (shown.unread, shown.identity) == ({Section.CONTACTS}, patient.identity)
    assert [len(shown.rows.get(section, ())) for section in Section] == [0, 0, 1, 1, 1]


async def test_only_a_word_that_is_like_it_is_proposed() -> None:
    assert likest("Birthdate", ["Address", "Date of birth"]) == '"Date of birth"'
    assert likest("Zip", ["Street", "Country"]) == ""


@pytest.mark.parametrize("linked", [True, False])
async def test_the_doctor_tells_a_person_and_names_no_patient(place: Place, tmp_path: Path, linked: bool) -> None:
    chart = a_chart(place.clinic, first_name="Canaria", last_name="Canaryson")
    url = f"sqlite:///{tmp_path / 'outbox.db'}"
    await asyncio.to_thread(migrate, url)
    if linked:
        db = Database(url)
        async with db.writing() as tx:
            await links.make(tx, Link(record_id=a_patient().record_id, portal_id=chart, how="matched", identity=None))
        await db.close()
    with relabelled(place, {"Birthdate": "Date of birth"}):
        given = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "PORTAL_URL": place.clinic.standin.url,
            "PORTAL_USERNAME": USERNAME,
            "PORTAL_PASSWORD": PASSWORD,
            "DATABASE_URL": url,
            "FUSION_SYNC_BROWSER": BROWSER or "",
        }
        doctor = (sys.executable, "-m", "fusion.cli", "doctor", "--portal", "--json")
        process = await asyncio.create_subprocess_exec(*doctor, cwd=tmp_path, env=given, stdout=-1, stderr=-2)
        said = (await process.communicate())[0].decode()
    line = next(line for line in said.splitlines() if line.startswith("{") and '"checks"' in line)
    where = "Patient" if linked else "new patient"
    expected = [f'{where}: expected "Birthdate", found "Date of birth"']
    if not linked:
        expected.append("Only search and new form were looked at: there is no linked chart yet.")
    assert [check["said"] for check in json.loads(line)["checks"]] == expected
    assert (process.returncode, "Canar" in said) == (1, False)
