"""From a record as REST gives it to a patient: whole, refused by labels, and never with a value in the refusal."""

from __future__ import annotations

import traceback
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from fusion.codes import Code
from fusion.mapping import DEFAULT, load_mapping
from fusion.patient import Field, Patient, Section, folded, marker, note_with_marker
from fusion.portal import Refused
from fusion.transforms import patient_from
from listener.change import RecordId

RECORD_ID = RecordId("a0P000000000001AAA")
TODAY = date(2026, 11, 24)
MAPPING = load_mapping(None)
RECORD: dict[str, Any] = {
    "Id": RECORD_ID,
    "First_Name__c": " Ana ",
    "Middle_Name__c": None,
    "Last_Name__c": "Lopez",
    "Preferred_Name__c": "Anita",
    "Date_of_Birth__c": "2015-03-02",
    "SSN__c": "900123456",
    "Gender__c": "Nonbinary",
    "Location__c": "Main Clinic",
    "Guardian_First_Name__c": "Rosa",
    "Guardian_Last_Name__c": "Lopez",
    "Guardian_Relationship__c": "Legal Guardian",
    "Guardian_Street__c": "12 Oak St\nApt 4",
    "Guardian_City__c": "Raleigh",
    "Guardian_State__c": "North Carolina",
    "Guardian_Postal_Code__c": "27601",
    "Guardian_Phone__c": "(919) 555-0123",
    "Guardian_Email__c": "rosa@Example.com",
    "Insurance_Type__c": "TRICARE",
    "Insurance_Payer__c": "Blue Ridge Health",
    "Insurance_Id_Number__c": "BRH 1001",
    "Presenting_Concerns__c": "Speech\r\ndelay ",
    "Case_Notes__c": "Seen once.",
}


def patient(**changes: Any) -> Patient:
    return patient_from({**RECORD, **changes}, MAPPING, record_id=RECORD_ID, portal_id=None, today=TODAY)


def refusal(**changes: Any) -> Refused:
    with pytest.raises(Refused) as caught:
        patient(**changes)
    return caught.value


def test_a_whole_record_becomes_canonical_values() -> None:
    assert patient() == Patient(
        record_id=RECORD_ID,
        portal_id=None,
        values={
            Field.FIRST_NAME: "Ana",
            Field.MIDDLE_NAME: "",
            Field.LAST_NAME: "Lopez",
            Field.NICKNAME: "Anita",
            Field.BIRTH_DATE: "2015-03-02",
            Field.SSN: "900-12-3456",
            Field.GENDER: "Non-binary",
            Field.LOCATION: "Main",
            Field.GUARDIAN_NAME: "Rosa Lopez",
            Field.RELATIONSHIP: "Guardian",
            Field.STREET: "12 Oak St Apt 4",
            Field.CITY: "Raleigh",
            Field.STATE: "NC",
            Field.ZIP: "27601",
            Field.PHONE: "+19195550123",
            Field.EMAIL: "rosa@example.com",
            Field.CASE_TYPE: "Evaluation",
            Field.PRESENTING_CONCERNS: "Speech\ndelay",
            Field.INSURANCE_TYPE: "Tricare",
            Field.PAYER: "Blue Ridge Health",
            Field.MEMBER_ID: "BRH 1001",
            Field.NOTE: "Seen once.\n[Salesforce intake a0P000000000001AAA]",
        },
    )


def test_the_portal_id_is_the_callers() -> None:
    found = patient_from(RECORD, MAPPING, record_id=RECORD_ID, portal_id="10234401", today=TODAY)
    assert found.portal_id == "10234401"
    assert found.identity.birth_date == date(2015, 3, 2)


@pytest.mark.parametrize(
    ("section", "sources"),
    [
        (Section.CONTACTS, [name for name in RECORD if name.startswith("Guardian_")]),
        (Section.CASES, ["Presenting_Concerns__c"]),
        (Section.PAYERS, [name for name in RECORD if name.startswith("Insurance_")]),
        (Section.NOTES, ["Case_Notes__c"]),
    ],
)
def test_a_section_without_any_value_is_empty_throughout(section: Section, sources: list[str]) -> None:
    values = patient(**dict.fromkeys(sources)).values

    assert {values[field] for field in Field if field.section is section} == {""}
    assert all(values[field] for field in Field if field.section not in (section, Section.PATIENT))


def test_who_pays_alone_needs_no_payer() -> None:
    values = patient(Insurance_Type__c="Self Pay", Insurance_Payer__c=None, Insurance_Id_Number__c="").values
    assert values[Field.INSURANCE_TYPE] == values[Field.PAYER] == values[Field.MEMBER_ID] == ""


def test_an_insurance_without_its_payer_is_missing_it() -> None:
    refused = refusal(Insurance_Payer__c=None, Insurance_Id_Number__c="")
    assert (refused.code, refused.detail) == (Code.MISSING_FIELD, "Insurance payer, Insurance ID number")


def test_a_guardian_with_one_name_is_named_by_it() -> None:
    assert patient(Guardian_Last_Name__c=None).values[Field.GUARDIAN_NAME] == "Rosa"


def test_a_field_that_the_record_does_not_hold_is_left_alone_not_emptied() -> None:
    record = {name: value for name, value in RECORD.items() if name not in ("Middle_Name__c", "Guardian_Phone__c")}

    values = patient_from(record, MAPPING, record_id=RECORD_ID, portal_id=None, today=TODAY).values

    assert Field.MIDDLE_NAME not in values
    assert Field.PHONE not in values
    assert values[Field.CITY] == "Raleigh"


def test_rows_whose_key_the_record_does_not_hold_are_left_alone() -> None:
    record = {name: value for name, value in RECORD.items() if name != "Guardian_Last_Name__c"}

    values = patient_from(record, MAPPING, record_id=RECORD_ID, portal_id=None, today=TODAY).values

    assert not [field for field in values if field.section is Section.CONTACTS]


def test_a_record_that_does_not_hold_the_birth_date_is_missing_it() -> None:
    record = {name: value for name, value in RECORD.items() if name != "Date_of_Birth__c"}
    with pytest.raises(Refused) as caught:
        patient_from(record, MAPPING, record_id=RECORD_ID, portal_id=None, today=TODAY)
    assert (caught.value.code, caught.value.detail) == (Code.MISSING_FIELD, "Date of birth")


@pytest.mark.parametrize(
    ("changes", "code", "detail"),
    [
        ({"Date_of_Birth__c": None}, Code.MISSING_FIELD, "Date of birth"),
        ({"First_Name__c": " ", "Last_Name__c": ""}, Code.MISSING_FIELD, "First name, Last name"),
        ({"Guardian_First_Name__c": None, "Guardian_Last_Name__c": None}, Code.MISSING_FIELD, "Guardian name"),
        ({"Guardian_Phone__c": "555"}, Code.REJECTED_VALUE, "Guardian phone is not a phone number"),
        ({"Date_of_Birth__c": "2026-11-25"}, Code.REJECTED_VALUE, "Date of birth is not a date up to today"),
        ({"SSN__c": "XXX-XX-3456"}, Code.MASKED_SSN, "SSN"),
        ({"Gender__c": "Robot"}, Code.UNKNOWN_OPTION, "Gender"),
        ({"First_Name__c": {"a": 1}}, Code.REJECTED_VALUE, "First name is not a single value"),
        (
            {"Gender__c": "Robot", "Guardian_Phone__c": "555"},
            Code.REJECTED_VALUE,
            "Gender is not on the portal's list, Guardian phone is not a phone number",
        ),
        (
            {"SSN__c": "XXX-XX-3456", "Guardian_Email__c": "rosa", "Last_Name__c": None, "Location__c": "Moon"},
            Code.MISSING_FIELD,
            "SSN is masked, Location is not on the portal's list, Guardian email is not an email address, Last name",
        ),
    ],
)
def test_what_is_wrong_is_named_in_one_refusal_under_the_gravest_code(
    changes: dict[str, Any], code: Code, detail: str
) -> None:
    refused = refusal(**changes)
    assert (refused.code, refused.detail) == (code, detail)


CANARY = "Zzyzx"
TAKES_ANY_TEXT = {
    name
    for field in (Field.MIDDLE_NAME, Field.NICKNAME, Field.GUARDIAN_NAME, Field.STREET, Field.CITY, Field.PAYER)
    for name in MAPPING.rules[field].sources
} | {"First_Name__c", "Last_Name__c", "Insurance_Id_Number__c", "Presenting_Concerns__c", "Case_Notes__c"}


def test_the_canary_is_tried_on_every_field_that_can_refuse_a_text() -> None:
    assert len(MAPPING.mapped - TAKES_ANY_TEXT) == 10


@pytest.mark.parametrize("name", sorted(MAPPING.mapped - TAKES_ANY_TEXT))
@pytest.mark.parametrize("value", [CANARY, f"919-555-{CANARY}", f"{CANARY}@", [CANARY], {"street": CANARY}])
def test_no_refusal_quotes_the_value(name: str, value: Any) -> None:
    refused = refusal(**{name: value})

    told = "".join(traceback.format_exception(refused)) + repr(refused) + refused.detail + refused.hint
    assert CANARY not in told
    assert refused.__context__ is None


@pytest.mark.parametrize("name", sorted(MAPPING.mapped))
def test_no_refusal_quotes_another_field_that_was_fine(name: str) -> None:
    told = str(refusal(**{name: [CANARY]}))
    assert CANARY not in told
    assert not [value for value in RECORD.values() if isinstance(value, str) and len(value) > 3 and value in told]


def test_a_patients_repr_shows_no_value() -> None:
    assert "Lopez" not in repr(patient())


@pytest.mark.parametrize("given", [27601, 27601.0, "27601"])
def test_a_number_field_serves_as_text(given: Any) -> None:
    assert patient(Guardian_Postal_Code__c=given).values[Field.ZIP] == "27601"


def test_a_row_of_constants_alone_is_meant(tmp_path: Path) -> None:
    ours = DEFAULT.read_text("utf-8")
    path = tmp_path / "mapping.toml"
    path.write_text("\n\n".join(part for part in ours.split("\n\n") if "[patient.presenting_concerns]" not in part))

    values = patient_from(RECORD, load_mapping(path), record_id=RECORD_ID, portal_id=None, today=TODAY).values

    assert values[Field.CASE_TYPE] == "Evaluation"


def test_a_note_ends_with_the_marker_and_holds_no_other() -> None:
    pasted = f"one\n  {marker(RECORD_ID)} \ntwo\n[Salesforce intake a0P000000000009AAA]\n"

    assert note_with_marker(pasted, RECORD_ID) == f"one\ntwo\n{marker(RECORD_ID)}"
    assert note_with_marker(note_with_marker(pasted, RECORD_ID), RECORD_ID) == note_with_marker(pasted, RECORD_ID)


@pytest.mark.parametrize("text", ["", "\n \n", f"{marker(RECORD_ID)}"])
def test_a_note_without_text_is_no_note(text: str) -> None:
    assert note_with_marker(text, RECORD_ID) == ""


def test_folding_ignores_case_spaces_and_encoding_but_not_accents() -> None:
    assert folded(" JOSE\u0301  Maria ") == folded("José maria")
    assert folded("José") != folded("Jose")
