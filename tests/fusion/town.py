"""Sixty patients who were in Salesforce before the sync, and a portal that has some of them: what is right for each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from fusion.standin.intakes import Intake, chart_of, intakes
from fusion.standin.sandbox import Sandbox

NICKNAMES = (("William", "Billy"), ("Katherine", "Kate"), ("Benjamin", "Ben"), ("Elizabeth", "Liz"))


@dataclass(slots=True)
class Town:
    """Records by id with the verdict that is right for each; `charts`: the chart that is surely a record's."""

    right: dict[str, str] = field(default_factory=dict)
    charts: dict[str, str] = field(default_factory=dict)
    candidates: dict[str, str] = field(default_factory=dict)
    codes: dict[str, str] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)

    def counts(self) -> dict[str, int]:
        return {verdict: Counter(self.right.values())[verdict] for verdict in VERDICTS}

    def of(self, verdict: str) -> list[str]:
        return [record for record, right in self.right.items() if right == verdict]


VERDICTS = ("matched", "create", "ambiguous", "impossible", "unread")


def settled_in(box: Sandbox, *, seed: int = 3) -> Town:
    """Staff's charts and intake's records: 60 that are ready, and one that is not."""
    town, child = Town(), intakes(seed)
    for _ in range(20):
        one = next(child)
        _record(box, town, one, "matched", chart=_chart(box, one))
    for _ in range(8):
        one = next(child)
        _record(box, town, one, "matched", chart=_chart(box, one, contact=("Name", "Relationship", "Phone")))
    for full, short in NICKNAMES:
        one = next(child).but(First_Name__c=full)
        known_as = one.but(First_Name__c=short, Preferred_Name__c=None)
        _record(box, town, one, "ambiguous", candidate=_chart(box, known_as), code="ambiguous_match")
    for _ in range(3):
        # The name and the birth date, and nothing that would make it sure.
        one = next(child)
        _record(box, town, one, "ambiguous", candidate=_chart(box, one, contact=()), code="ambiguous_match")
    for _ in range(2):
        one = next(child)
        for _ in range(2):
            _record(box, town, one, "ambiguous", code="same_child_twice")
    for _ in range(4):
        one = next(child)
        _chart(box, one.but(First_Name__c="Juniper", SSN__c="987-65-4321", Preferred_Name__c=None))
        _record(box, town, one, "create")
    for _ in range(4):
        _record(box, town, next(child).but(Date_of_Birth__c=None), "impossible", code="missing_field")
    for _ in range(2):
        _record(box, town, next(child).but(Guardian_Phone__c="call after 5"), "impossible", code="rejected_value")
    while len(town.right) < 60:
        _record(box, town, next(child), "create")
    box.org.control.create(next(child).but(Ready_for_Fusion__c=False).record)
    return town


def _record(
    box: Sandbox, town: Town, one: Intake, right: str, *, chart: str = "", candidate: str = "", code: str = ""
) -> None:
    record_id = box.org.control.create(one.record, automation=False)  # older than the package and its rules
    town.right[record_id], town.codes[record_id] = right, code
    town.names |= {str(one.record["Last_Name__c"]), str(one.record["Guardian_Email__c"])}
    if chart:
        town.charts[record_id] = chart
    if candidate:
        town.candidates[record_id] = candidate


def _chart(box: Sandbox, one: Intake, *, contact: tuple[str, ...] | None = None) -> str:
    """A chart of staff's, complete, or with these labels of one contact alone and no SSN."""
    whole: dict[str, Any] = chart_of(one.record, "a0P000000000000AAA")
    if contact is not None:
        labels = ("First Name", "Last Name", "Birthdate", "Gender")
        rows = [{label: whole["Contacts"][0][label] for label in contact}] if contact else []
        whole = {"Patient": {label: whole["Patient"][label] for label in labels}, "Contacts": rows}
    return box.portal.control.put_patient(whole).id


def writes(box: Sandbox) -> list[Mapping[str, Any]]:
    """All that anybody but staff and intake changed on either side, by the ledgers."""
    portal = [line for line in box.portal.control.ledger() if line["kind"] in ("create", "save", "add", "refused")]
    robot = box.org.integration.username
    org = [one for one in box.org.ledger.entries if one["kind"] in ("save", "write") and one.get("user") == robot]
    return [*portal, *org]


def looks(box: Sandbox, kind: str) -> Iterator[Mapping[str, Any]]:
    """What the robot did of that kind in the portal."""
    return (line for line in box.portal.control.ledger() if line["kind"] == kind)
