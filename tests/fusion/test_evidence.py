"""What is kept of a page that was not understood: what can be seen of it, that no value can, and for how long."""

import json
import stat
import struct
import zlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from portal_people import a_patient, section_of
from portal_place import Place, opened, place, place_at

from fusion import evidence
from fusion.codes import Code
from fusion.patient import Field, Patient, Section
from fusion.portal import Refused

__all__ = ["opened", "place"]  # fixtures
pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

AVA = a_patient(first_name="Avacanary", last_name="Canaryson", presenting_concerns="Canary one.\nTwo.")
BO = a_patient(
    first_name="Bo",
    middle_name="",
    last_name="Sample",
    nickname="Note",  # words of the portal's
    birth_date="2015-12-31",
    ssn="",
    gender="Female",
    location="Main",
    guardian_name="Name",
    relationship="Other",
    street="",
    phone="+19195550199",
    email="",
    presenting_concerns="A much longer text, " * 20,
    insurance_type="Medicaid",
    payer="Carolina Medicaid",
    member_id="Canary-2",
    note="Phone\n[Salesforce intake a0P000000000002AAA]",
)
CANARIES = (
    "avacanary",
    "canaryson",
    "canary",
    "2019-03-04",
    "03/04/2019",
    "900-12-3456",
    "Rosa",
    "Elm Street",
    "555-01",
)


def a_chart(place: Place, patient: Patient) -> str:
    rows = {section: (section_of(patient.values, section),) for section in Section if section is not Section.PATIENT}
    return place.clinic.put(patient.values, rows)


async def surprised(place: Place, portal_id: str, patient: Patient) -> Path:
    """The evidence of a visit that meets a label that has changed."""
    place.control.labels({"Phone": "Telephone"})
    place.control.end_sessions()
    try:
        with pytest.raises(Refused) as refused:
            await place.nickname(portal_id, patient)
    finally:
        place.control.labels({})
        place.control.end_sessions()
    assert refused.value.code is Code.PORTAL_CHANGED
    return Path(refused.value.evidence or "")


def pixels(png: bytes) -> set[bytes]:
    """The lines of a picture, so that an empty one is told from one that shows something."""
    assert png.startswith(b"\x89PNG")
    width, _ = struct.unpack(">II", png[16:24])
    at, data = 8, b""
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        if png[at + 4 : at + 8] == b"IDAT":
            data += png[at + 8 : at + 8 + length]
        at += length + 12
    raw = zlib.decompress(data)
    line = len(raw) // (len(raw) // (width * 3 + 1)) if len(raw) % (width * 3 + 1) == 0 else width * 4 + 1
    return {raw[at : at + line] for at in range(0, len(raw), line)}


async def test_the_same_surprise_on_two_charts_gives_the_same_picture_and_no_file_holds_a_value(place: Place) -> None:
    kept = [await surprised(place, a_chart(place, patient), patient) for patient in (AVA, BO)]
    pictures = [path.with_suffix(".png").read_bytes() for path in kept]
    assert pictures[0] == pictures[1]
    assert len(pixels(pictures[0])) > 50
    pages = [json.loads(path.read_text(encoding="utf-8"))["page"] for path in kept]
    assert pages[0] == pages[1]
    for path in place.evidence.iterdir():
        content = path.read_bytes().lower()
        assert [canary for canary in CANARIES if canary.lower().encode() in content + path.name.encode()] == []
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_the_evidence_says_which_labels_are_gone_and_which_are_new(place: Place) -> None:
    kept = await surprised(place, a_chart(place, AVA), AVA)
    labels = json.loads(kept.read_text(encoding="utf-8"))["labels"]
    assert ("- Phone" in labels, "+ Telephone" in labels, "  Email" in labels) == (True, True, True)


async def test_an_open_form_is_masked_field_by_field(place: Place) -> None:
    """A list that does not offer a value: the form is open, and what was typed before stands in it."""
    pictures = []
    for patient in (AVA, BO):
        wanted = {**section_of(patient.values, Section.PATIENT), Field.GENDER: "No such option"}
        with pytest.raises(Refused) as refused:
            await place.portal.create(
                Patient(record_id=patient.record_id, portal_id=None, values=wanted), about_to_save=never
            )
        assert refused.value.code is Code.UNKNOWN_OPTION
        pictures.append(Path(refused.value.evidence or "").with_suffix(".png").read_bytes())
    assert pictures[0] == pictures[1]


async def test_the_other_portals_pages_are_masked_likewise(tmp_path: Path) -> None:
    async with place_at(tmp_path / "pages", skin="harbor") as place:
        charts = [a_chart(place, patient) for patient in (AVA, BO)]
        place.control.labels({"Phone": "Mobile"})
        pictures = []
        for chart in charts:
            with pytest.raises(Refused) as refused:
                await place.portal.read(chart)
            pictures.append(Path(refused.value.evidence or "").with_suffix(".png").read_bytes())
    assert pictures[0] == pictures[1]


async def never() -> None:
    raise AssertionError("nothing is to be saved here")


async def test_old_files_go_and_what_is_not_ours_stays(tmp_path: Path) -> None:
    now = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
    for name in (
        "20261001T120000-portal_changed-0a1b2c.json",
        "20261001T120000-portal_changed-0a1b2c.png",
        "20261123T120000-not_saved-0a1b2c.json",
        "notes.json",
        "20261001T120000-portal_changed.json",
    ):
        (tmp_path / name).write_text("x")
    month = timedelta(days=30)
    assert evidence.purge(tmp_path, older_than=month, now=now, only_count=True) == 2
    assert len(list(tmp_path.iterdir())) == 5
    assert evidence.purge(tmp_path, older_than=month, now=now) == 2
    assert sorted(path.name[:8] for path in tmp_path.iterdir()) == ["20261001", "20261123", "notes.js"]
    assert evidence.purge(tmp_path / "none", older_than=month, now=now) == 0
