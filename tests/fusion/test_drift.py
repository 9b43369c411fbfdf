"""A portal that is no longer as its pack says: what is told, that nothing is typed, and that no patient is in it."""

import asyncio
import json
import os
import shutil
import sys
from pathlib import Path

import pytest
from portal_people import PASSWORD, USERNAME, a_patient
from portal_place import Place, opened, place

__all__ = ["opened", "place"]  # fixtures
pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]
ROOT = Path(__file__).parents[2]


async def test_a_portal_that_is_as_its_pack_says_has_no_drift_and_nothing_is_done_to_it(place: Place) -> None:
    assert list(await place.portal.drifts()) == []
    assert (place.clinic.saves, place.clinic.count("create"), place.clinic.count("read")) == ([], 0, 0)


async def test_new_labels_are_proposed_and_what_is_gone_is_named(place: Place) -> None:
    place.control.labels({"Birthdate": "Date of birth", "SSN": "Social"})
    place.control.hide("Nickname")
    place.control.end_sessions()
    try:
        told = [str(drift) for drift in await place.portal.drifts()]
    finally:
        place.control.labels({})
        place.control.hide()
        place.control.end_sessions()
    assert told == [
        'Patient: expected "Nickname"',
        'Patient: expected "Birthdate", found "Date of birth"',
        'Patient: expected "SSN"',
    ]
    assert place.clinic.saves == []


async def test_the_doctor_tells_a_person_and_names_no_patient(place: Place, tmp_path: Path) -> None:
    place.clinic.put(a_patient(first_name="Canaria", last_name="Canaryson").values)
    place.control.labels({"Birthdate": "Date of birth"})
    given = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "PORTAL_URL": place.clinic.standin.url,
        "PORTAL_USERNAME": USERNAME,
        "PORTAL_PASSWORD": PASSWORD,
        "DATABASE_URL": f"sqlite:///{tmp_path / 'outbox.db'}",
        "FUSION_SYNC_BROWSER": shutil.which("chromium") or "",
    }

    async def fusion_sync(*args: str) -> tuple[int | None, str]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "fusion.cli", *args, cwd=tmp_path, env=given, stdout=-1, stderr=-2
        )
        said, _ = await process.communicate()
        return process.returncode, said.decode()

    try:
        assert (await fusion_sync("migrate"))[0] == 0
        code, said = await fusion_sync("doctor", "--portal", "--json")
    finally:
        place.control.labels({})
    line = next(line for line in said.splitlines() if line.startswith("{") and '"checks"' in line)
    (finding,) = json.loads(line)["checks"]
    assert (code, finding["said"]) == (1, 'Patient: expected "Birthdate", found "Date of birth"')
    assert "Canar" not in said
