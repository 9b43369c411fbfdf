"""`kill -9` at every point on the way, at its first and second pass; a restart; and the checker has nothing to say.

A part of the matrix runs always, all of it with FUSION_TEST_MATRIX=full. Runs with a guard switched off must be found
out: that is how we know that the checker sees what it is there for.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from fusion.standin.intakes import chart_of, intakes
from listener.standin.faults import Fault
from tests.story.stage import Stage, stage

pytestmark = [pytest.mark.story, pytest.mark.timeout(150)]

WHOLE = os.environ.get("FUSION_TEST_MATRIX") == "full"
TOLD = "/services/data/v66.0/composite/sobjects"

CALLS = ("org.read", "org.update", "portal.find", "portal.read", "portal.create", "portal.update", "stream.batch")
COMMITS = ("append", "claim", "intend", "link", "pushed", "settled", "parked")
CLICKS = ("click:create", "click:add", "click:save")
AFTER_AN_OUTAGE = ("shut", "released", "probe", "opened")
BY_A_SLOW_PORTAL = ("beat",)

EVERY = [
    f"{name}:{side}"
    for name in (*CALLS, *CLICKS, *(f"commit:{one}" for one in COMMITS + AFTER_AN_OUTAGE + BY_A_SLOW_PORTAL))
    for side in ("before", "after")
]
PASSED_ONCE = {f"commit:{name}:{side}" for name in ("parked", *AFTER_AN_OUTAGE) for side in ("before", "after")}
"""In this scene there is one refusal and one outage."""

# What tells most: a commit on either side of a click, a lost answer, and the second pass where it is another thing.
TELLING = {
    ("commit:append:before", 1),
    ("commit:append:after", 1),
    ("commit:claim:after", 2),
    ("commit:intend:before", 1),
    ("click:create:before", 1),
    ("click:create:after", 1),
    ("click:create:after", 2),
    ("click:add:after", 1),
    ("click:save:after", 1),
    ("commit:link:before", 1),
    ("commit:link:after", 2),
    ("portal.update:after", 1),
    ("commit:pushed:before", 1),
    ("commit:pushed:after", 2),
    ("org.update:before", 1),
    ("org.update:after", 1),
    ("commit:settled:before", 1),
    ("commit:parked:before", 1),
    ("commit:released:before", 1),
    ("commit:probe:after", 1),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cast:
    """The records of the scene, by their parts in it."""

    new: str
    other_new: str
    twin: str
    other_twin: str
    known: str
    updated: str
    refused: str


def set_the_scene(on: Stage) -> Cast:
    """Two new children, twins, one that the portal has, one that is linked and was edited, one without a birth date."""
    child = intakes(7)
    new, other_new, twin, known, updated, refused = (next(child) for _ in range(6))
    whole: dict[str, Any] = chart_of(known.record, "")
    on.portal.control.put_patient(
        {
            "Patient": {label: whole["Patient"][label] for label in ("First Name", "Last Name", "Birthdate")},
            "Contacts": [{label: whole["Contacts"][0][label] for label in ("Name", "Relationship", "Phone")}],
        }
    )
    chart = on.portal.control.put_patient({**chart_of(updated.record, ""), "Notes": []})
    on.portal.control.search_lag(0.25)
    org = on.org.control
    cast = Cast(
        new=org.create(new.record),
        twin=org.create(twin.but(Preferred_Name__c=None).record),
        other_twin=org.create(twin.but(First_Name__c="Juniper", SSN__c="987-65-4321").record),
        refused=org.create(refused.but(Date_of_Birth__c=None).record, automation=False),
        known=org.create(known.record),
        updated=org.create({**updated.record, "Fusion_Web_Id__c": chart.id, "Fusion_Sync_Status__c": "Synced"}),
        other_new=org.create(other_new.record),
    )
    org.update(cast.updated, {"Guardian_Street__c": "1 New Street", "Preferred_Name__c": "Bean"})
    return cast


def cases() -> list[Any]:
    """Every point and pass, those that run always without a mark."""
    return [
        pytest.param(point, nth, id=f"{point}#{nth}")
        for point in EVERY
        for nth in (1, 2)
        if not (nth == 2 and point in PASSED_ONCE) and (WHOLE or (point, nth) in TELLING)
    ]


@pytest.mark.parametrize(("point", "nth"), cases())
async def test_a_kill_at_any_point_loses_nothing_and_does_nothing_twice(
    point: str, nth: int, migrated_url: str, tmp_path: Path
) -> None:
    async with stage(migrated_url, tmp_path) as on:
        cast = set_the_scene(on)
        if any(name in point for name in AFTER_AN_OUTAGE):
            on.org.control.faults.add(Fault(path=TOLD, method="PATCH", skip=1, times=1, status=503, body="<html/>"))
            # A probe that died makes room for another after a lease.
            on.knobs["lease"] = timedelta(seconds=2)
        if any(name in point for name in BY_A_SLOW_PORTAL):
            on.portal.control.latency(30)
            on.knobs["lease"] = timedelta(seconds=1)

        dying = on.start(fatal=(point, nth))
        if nth == 2 and "append" in point:
            # All that the scene has so far comes in one batch.
            async with asyncio.timeout(30):
                while "commit:append:after" not in on.passes:
                    await asyncio.sleep(0.02)
            on.org.control.update(cast.new, {"Guardian_Street__c": "2 New Street"})
        assert await on.death_of(dying) == -9, f"{point} was passed {on.passes.count(point)} times\n{on.told()}"

        on.portal.control.latency(0)
        heir = on.start()
        await on.rest()
        assert on.complaints() == []
        assert await on.end(heir) == 0


async def test_the_scene_passes_every_point_and_ends_as_it_should(migrated_url: str, tmp_path: Path) -> None:
    async with stage(migrated_url, tmp_path, lease=timedelta(seconds=1)) as on:
        on.portal.control.latency(20)
        cast = set_the_scene(on)
        on.org.control.faults.add(Fault(path=TOLD, method="PATCH", skip=1, times=1, status=503, body="<html/>"))
        process = on.start()
        await on.rest()
        assert on.complaints() == []
        assert await on.end(process) == 0

        assert {*EVERY, "save:asked"} <= {*on.passes}
        records = {name: on.org.control.record(getattr(cast, name)) for name in Cast.__dataclass_fields__}
        assert {name: record["Fusion_Sync_Status__c"] for name, record in records.items()} == {
            **dict.fromkeys(records, "Synced"),
            "refused": "Needs Attention",
        }
        creates = [line for line in on.portal.control.ledger() if line["kind"] == "create"]
        assert len(creates) == 4
