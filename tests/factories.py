"""Made-up changes, entries, patients and charts: whole by default, and a test names only what it is about."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from fusion.patient import Field, Patient, Row, Section, Shown, Values, marker
from listener.change import Change, ChangeKind, RecordId
from listener.entry import OutboxEntry, State

RECORD_ID = RecordId("a0P000000000001AAA")
PORTAL_ID = "10234417"
NOW = datetime(2026, 11, 23, 15, 4, 5, tzinfo=UTC)

MIA: Values = {
    Field.FIRST_NAME: "Mia",
    Field.MIDDLE_NAME: "June",
    Field.LAST_NAME: "Sample",
    Field.NICKNAME: "",
    Field.BIRTH_DATE: "2019-03-04",
    Field.SSN: "900-12-3456",
    Field.GENDER: "Female",
    Field.LOCATION: "Main",
    Field.GUARDIAN_NAME: "Rosa Sample",
    Field.RELATIONSHIP: "Mother",
    Field.STREET: "1 Elm Street",
    Field.CITY: "Cary",
    Field.STATE: "NC",
    Field.ZIP: "27511",
    Field.PHONE: "+19195550123",
    Field.EMAIL: "rosa@example.com",
    Field.CASE_TYPE: "Evaluation",
    Field.PRESENTING_CONCERNS: "Speaks little.\nListens well.",
    Field.INSURANCE_TYPE: "Medicaid",
    Field.PAYER: "Carolina Medicaid",
    Field.MEMBER_ID: "CM-1001",
    Field.NOTE: f"Prefers mornings.\n{marker(RECORD_ID)}",
}
"""A child with every value that we carry, in canonical form."""


def make_change(**other: Any) -> Change:
    """An update of one record, heard on the stream."""
    whole: dict[str, Any] = {
        "object_name": "Patient__c",
        "record_id": RECORD_ID,
        "kind": ChangeKind.UPDATE,
        "fields": frozenset({"First_Name__c"}),
        "changed_at": NOW,
        "dedupe_key": "cdc:1000:0001:a0P000000000001AAA",
    }
    return Change(**whole | other)


def make_entry(**other: Any) -> OutboxEntry:
    """An entry that a worker has just claimed for the first time."""
    whole = OutboxEntry(
        id=41,
        object_name="Patient__c",
        record_id=RECORD_ID,
        state=State.PENDING,
        priority=10,
        attempts=1,
        changes=1,
        changed_at=NOW,
        created_at=NOW,
        fence=1,
        worker="worker-1",
        leased=True,
    )
    return replace(whole, **other)


def make_patient(
    values: Mapping[Field, str] | None = None,
    *,
    record_id: RecordId = RECORD_ID,
    portal_id: str | None = None,
    **named: str,
) -> Patient:
    """Mia as Salesforce has her, with other values by field (`values`) or by name: make_patient(first_name="Ada")."""
    return Patient(record_id=record_id, portal_id=portal_id, values=_with(values, named))


def make_shown(
    values: Mapping[Field, str] | None = None, *, portal_id: str = PORTAL_ID, rows: bool = True, **named: str
) -> Shown:
    """Mia's chart, with one row in each section that has rows, or none: what `make_patient` would leave there."""
    whole = _with(values, named)
    by_section = {section: {field: whole[field] for field in Field if field.section is section} for section in Section}
    return Shown(
        portal_id=portal_id,
        values=by_section.pop(Section.PATIENT),
        rows={
            section: (Row(key=f"{section.value.lower()}-1", values=mine),) if rows else ()
            for section, mine in by_section.items()
        },
    )


def _with(values: Mapping[Field, str] | None, named: Mapping[str, str]) -> dict[Field, str]:
    return {**MIA, **(values or {}), **{Field(name): value for name, value in named.items()}}
