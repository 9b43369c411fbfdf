"""Does what the app claims agree with what was really done? Judged by the ledgers and the two systems' own records.

Nothing here asks the code under test for anything but its claims.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from fusion.standin.intakes import chart_of
from fusion.standin.sandbox import Sandbox
from fusion.standin.story import Case

Claim = Mapping[str, Any]
"""One outbox row as the app keeps it."""


def disagreements(cases: Sequence[Case], claims: Sequence[Claim], box: Sandbox) -> list[str]:
    """What does not agree, a sentence each, by title and record id; [] if all does."""
    charts = {str(chart["id"]): chart for chart in box.portal.control.patients()}
    found = [problem for case in cases for problem in _of_case(case, claims, charts, box)]
    return found + _doubles(charts) + _strange_writes(cases, charts, box)


def _of_case(case: Case, claims: Sequence[Claim], charts: Mapping[str, Any], box: Sandbox) -> list[str]:
    where = f"{case.title} ({case.record_id})"
    record = box.org.control.record(case.record_id)
    rows = [claim for claim in claims if claim["record_id"] == case.record_id]
    held = str(record.get("Fusion_Web_Id__c") or "")
    found = []
    if not rows:
        return [f"{where}: the outbox never heard of it"]
    if case.code is not None:
        expected = {"Fusion_Sync_Status__c": "Needs Attention", "Fusion_Sync_Error_Code__c": case.code}
        found += _unlike(where, "Salesforce", expected, record)
        if not record.get("Fusion_Sync_Error__c"):
            found.append(f"{where}: Salesforce was not told why")
        if held or any(claim["portal_id"] for claim in rows):
            found.append(f"{where}: there is a chart, where none may be")
        return found
    found += _unlike(where, "Salesforce", {"Fusion_Sync_Status__c": "Synced"}, record)
    if any(claim["state"] not in ("DONE", "SUPERSEDED") for claim in rows):
        found.append(f"{where}: the outbox has a row that is not done")
    if {str(claim["portal_id"]) for claim in rows if claim["portal_id"]} != {held}:
        found.append(f"{where}: the outbox and Salesforce name different charts")
    if held not in charts:
        return [*found, f"{where}: the portal has no chart {held or 'at all'} for it"]
    found += _unlike_chart(where, chart_of(case.intake.record, case.record_id), charts[held])
    deeds = [line for line in box.portal.control.ledger() if line["patient_id"] == held]
    creates = sum(line["kind"] == "create" for line in deeds)
    if creates != case.creates:
        found.append(f"{where}: {creates} charts were made, not {case.creates}")
    saves = sum(line["kind"] == "save" and int(str(line["seq"])) > case.since for line in deeds)
    if case.saves is not None and saves != case.saves:
        found.append(f"{where}: {saves} forms were saved after the change, not {case.saves}")
    return found


def _unlike(where: str, system: str, expected: Mapping[str, Any], given: Mapping[str, Any]) -> list[str]:
    return [
        f"{where}: {system} shows {name} {given.get(name)!r}, not {value!r}"
        for name, value in expected.items()
        if given.get(name) != value
    ]


def _unlike_chart(where: str, expected: Mapping[str, Any], chart: Mapping[str, Any]) -> list[str]:
    found = _unlike(where, "the chart", expected["Patient"], chart["Patient"])
    for section in ("Contacts", "Cases", "Payers", "Notes"):
        if len(chart[section]) != len(expected[section]):
            found.append(f"{where}: {section} has {len(chart[section])} rows, not {len(expected[section])}")
        for wanted, row in zip(expected[section], chart[section], strict=False):
            found += _unlike(where, f"the chart ({section})", wanted, row)
    return found


def _doubles(charts: Mapping[str, Any]) -> list[str]:
    who = Counter(
        tuple(chart["Patient"][label] for label in ("First Name", "Last Name", "Birthdate"))
        for chart in charts.values()
    )
    return [f"one child has {number} charts" for number in who.values() if number > 1]


def _strange_writes(cases: Sequence[Case], charts: Mapping[str, Any], box: Sandbox) -> list[str]:
    """Charts that no case accounts for, and answers "create anyway"."""
    held = {str(box.org.control.record(case.record_id).get("Fusion_Web_Id__c")) for case in cases}
    found = [f"chart {one} belongs to nobody in the story" for one in charts if one not in held]
    forced = [line for line in box.portal.control.ledger() if line["kind"] == "create" and line["about"].get("anyway")]  # type: ignore[attr-defined]
    return found + [f"chart {line['patient_id']} was created in spite of a warning" for line in forced]
