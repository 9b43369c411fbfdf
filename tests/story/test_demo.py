"""`fusion-sync demo` from outside: what it prints for machines, on both databases, and that its verdict can see."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

import pytest

from fusion.standin.intakes import chart_of
from fusion.standin.sandbox import sandbox
from fusion.standin.story import begin, story
from fusion.standin.verdict import disagreements

pytestmark = [pytest.mark.story, pytest.mark.xdist_group("story")]

WANTED = {
    "a new patient": [("DONE", "created")],
    "twins: the first": [("DONE", "created")],
    "twins: the second": [("DONE", "created")],
    "the portal has this chart already": [("DONE", "linked")],
    "one field is corrected later": [("DONE", "created"), ("DONE", "updated")],
    "complete only later": [("DONE", "created")],
    "a site that the portal lacks": [("PARKED", "refused")],
    "two edits in one second": [("DONE", "created"), ("DONE", "updated")],
    "the portal locks its screen": [("DONE", "created"), ("DONE", "updated")],
    "Salesforce answers 503 for a while": [("DONE", "created"), ("DONE", "updated")],
    "a new patient by telehealth": [("DONE", "created")],
}


@pytest.mark.browser
@pytest.mark.timeout(240)
async def test_the_demo_ends_as_the_ledgers_say(database_url: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "fusion.cli", "demo", "--json", "--database", database_url),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={name: value for name, value in os.environ.items() if not name.startswith("FUSION_SYNC_")},
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()[-2000:]
    told = json.loads(out)
    assert (told["ok"], told["problems"]) == (True, [])
    for case in told["cases"]:
        assert [(entry["state"], entry["outcome"]) for entry in case["entries"]] == WANTED[case["title"]], case
    twice = next(case for case in told["cases"] if case["title"] == "two edits in one second")
    assert twice["entries"][-1]["changes"] == 2
    figures = told["figures"]
    assert (figures["charts"], figures["charts_created"], figures["log_ins"]) == (11, 10, 1)
    assert figures["screens_unlocked"] == 1


async def test_the_verdict_sees_a_claim_that_the_ledgers_do_not_bear_out(tmp_path: Any) -> None:
    """Claims of a run that never happened: no chart, no answer, and each is said."""
    told = story(patients=12, seed=1)
    async with sandbox(tmp_path) as box:
        begin(told, box)
        claims = [
            {"record_id": case.record_id, "state": "DONE", "portal_id": "10999999", "outcome": "created"}
            for case in told.cases
        ]
        problems = disagreements(told.cases, claims, box)
    for case in told.cases:
        assert any(case.record_id in problem for problem in problems), case.title


async def test_the_verdict_sees_one_child_in_another_s_chart_and_a_second_chart(tmp_path: Any) -> None:
    """Both charts are right but for one value each, and one is there twice."""
    told = story(patients=12, seed=1)
    told.cases = told.cases[:2]
    async with sandbox(tmp_path) as box:
        begin(told, box)
        claims = []
        for case in told.cases:
            chart = chart_of(case.intake.record, case.record_id)
            other = told.cases[1].intake if case is told.cases[0] else told.cases[0].intake
            chart["Patient"] = {**chart["Patient"], "SSN": str(other.record["SSN__c"])}
            made = box.portal.control.put_patient(chart)
            box.portal.control.put_patient(chart)
            box.org.control.update(case.record_id, {"Fusion_Web_Id__c": made.id, "Fusion_Sync_Status__c": "Synced"})
            claims.append({"record_id": case.record_id, "state": "DONE", "portal_id": made.id, "outcome": "created"})
        problems = disagreements(told.cases, claims, box)
    assert sum("shows SSN" in problem for problem in problems) == 2
    assert sum("one child has 2 charts" in problem for problem in problems) == 2
