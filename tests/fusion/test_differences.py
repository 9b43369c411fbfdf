"""What is typed: only what differs, only in our own rows; and once it is typed there is nothing more to type."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fusion.differences import Policy, differences, same
from fusion.mapping import load_mapping
from fusion.patient import Edit, Field, Patient, Row, Section, Shown, note_with_marker
from listener.change import RecordId

RECORD_ID = RecordId("a0P000000000001AAA")
POLICY = load_mapping(None).policy
F = Field
PATIENT = {F.FIRST_NAME: "Ana", F.MIDDLE_NAME: "", F.LAST_NAME: "Lopez", F.BIRTH_DATE: "2015-03-02", F.SSN: ""}
ROSA = {F.GUARDIAN_NAME: "Rosa Lopez", F.RELATIONSHIP: "Mother", F.PHONE: "+19195550123", F.EMAIL: "rosa@example.com"}
POLICY_ROW = {F.INSURANCE_TYPE: "Medicaid", F.PAYER: "Carolina Medicaid", F.MEMBER_ID: "CM1001"}


def wanted(*parts: Mapping[Field, str]) -> Patient:
    values = {field: value for part in (PATIENT, *parts) for field, value in part.items()}
    return Patient(record_id=RECORD_ID, portal_id="10234401", values=values)


def shown(values: Mapping[Field, str] | None = None, **rows: Sequence[Mapping[Field, str]]) -> Shown:
    """A chart; each row's key is its section's first letter and its place."""
    return Shown(
        portal_id="10234401",
        values={**PATIENT, **(values or {})},
        rows={
            section: tuple(
                Row(key=f"{section.value[0]}{at}", values=row) for at, row in enumerate(rows.get(section.value, ()), 1)
            )
            for section in Section
            if section is not Section.PATIENT
        },
    )


def edits(
    chart: Shown, patient: Patient, policy: Mapping[Field, Policy] = POLICY
) -> list[tuple[str, str | None, object]]:
    found = differences(chart, patient, policy)
    assert differences(applied(chart, found), patient, policy) == ()
    return [(edit.section.value, edit.row, dict(edit.values)) for edit in found]


def applied(chart: Shown, found: Sequence[Edit]) -> Shown:
    """The chart after those edits were saved."""
    values, rows = dict(chart.values), {section: list(chart.rows.get(section, ())) for section in Section}
    for edit in found:
        if edit.section is Section.PATIENT:
            values.update(edit.values)
        elif edit.row is None:
            rows[edit.section].append(Row(key=f"new{len(rows[edit.section])}", values=edit.values))
        else:
            rows[edit.section] = [
                replace(row, values={**row.values, **edit.values}) if row.key == edit.row else row
                for row in rows[edit.section]
            ]
    return replace(chart, values=values, rows={section: tuple(some) for section, some in rows.items()})


def test_a_chart_that_shows_it_all_needs_nothing() -> None:
    note = {F.NOTE: note_with_marker("Seen once.", RECORD_ID)}
    case = {F.CASE_TYPE: "Evaluation", F.PRESENTING_CONCERNS: "Speech\ndelay"}
    chart = shown(
        {F.FIRST_NAME: "ANA ", F.LAST_NAME: "lopez"},
        Contacts=[ROSA],
        Cases=[{**case, F.PRESENTING_CONCERNS: "Speech delay"}],
        Payers=[POLICY_ROW],
        Notes=[{F.NOTE: note[F.NOTE].replace("\n", "\r\n")}],
    )

    assert edits(chart, wanted(ROSA, case, POLICY_ROW, note)) == []


def test_a_bare_chart_gets_every_section_in_order() -> None:
    note = {F.NOTE: note_with_marker("Seen once.", RECORD_ID)}
    case = {F.CASE_TYPE: "Evaluation", F.PRESENTING_CONCERNS: "Speech"}

    found = edits(shown({F.MIDDLE_NAME: "X"}), wanted({F.NICKNAME: "Anita"}, note, POLICY_ROW, case, ROSA, {F.ZIP: ""}))

    assert found == [
        ("Patient", None, {F.MIDDLE_NAME: "", F.NICKNAME: "Anita"}),
        ("Contacts", None, ROSA),
        ("Cases", None, case),
        ("Payers", None, POLICY_ROW),
        ("Notes", None, note),
    ]


def test_a_corrected_name_or_birth_date_is_an_edit() -> None:
    chart = shown({F.FIRST_NAME: "Anna", F.BIRTH_DATE: "2015-02-03"})
    assert edits(chart, wanted()) == [("Patient", None, {F.FIRST_NAME: "Ana", F.BIRTH_DATE: "2015-03-02"})]


def test_only_what_the_mapping_allows_is_cleared() -> None:
    chart = shown({F.SSN: "900-12-3456", F.MIDDLE_NAME: "Maria", F.GENDER: "Female"})
    assert edits(chart, wanted({F.GENDER: ""})) == [("Patient", None, {F.MIDDLE_NAME: ""})]


def test_a_field_without_a_policy_is_not_cleared() -> None:
    assert edits(shown({F.MIDDLE_NAME: "Maria"}), wanted(), {}) == []


def test_a_field_that_is_not_mapped_is_left_alone() -> None:
    assert edits(shown({F.NICKNAME: "Anita"}), wanted()) == []


def test_what_is_written_on_creation_only_is_not_written_over() -> None:
    policy = {**POLICY, F.NICKNAME: Policy(label="n", create_only=True), F.CITY: Policy(label="c", create_only=True)}
    patient = wanted({F.NICKNAME: "Anita", F.CITY: "Cary"}, ROSA)

    assert edits(shown({F.NICKNAME: "Nita"}, Contacts=[{**ROSA, F.CITY: "Apex"}]), patient, policy) == []
    assert edits(shown({F.NICKNAME: ""}), patient, policy) == [("Contacts", None, {F.CITY: "Cary", **ROSA})]


@pytest.mark.parametrize(
    ("rows", "row", "typed"),
    [
        pytest.param([{**ROSA, F.PHONE: "+19195550100"}], "C1", {F.PHONE: "+19195550123"}, id="name and relationship"),
        pytest.param(
            [{**ROSA, F.RELATIONSHIP: "Other"}, {**ROSA, F.EMAIL: "old@example.com"}],
            "C2",
            {F.EMAIL: "rosa@example.com"},
            id="the relationship tells two of one name apart",
        ),
        pytest.param(
            [{**ROSA, F.RELATIONSHIP: "Other"}], "C1", {F.RELATIONSHIP: "Mother"}, id="the only one of that name"
        ),
        pytest.param(
            [{**ROSA, F.RELATIONSHIP: "Other"}, {**ROSA, F.RELATIONSHIP: "Guardian"}], None, ROSA, id="two of one name"
        ),
        pytest.param(
            [{**ROSA, F.GUARDIAN_NAME: "Rosa Lopes", F.EMAIL: ""}],
            "C1",
            {F.GUARDIAN_NAME: "Rosa Lopez", F.EMAIL: "rosa@example.com"},
            id="a corrected name, by phone",
        ),
        pytest.param(
            [{**ROSA, F.GUARDIAN_NAME: "R. Garcia", F.PHONE: ""}],
            "C1",
            {F.GUARDIAN_NAME: "Rosa Lopez", F.PHONE: "+19195550123"},
            id="an initial, by email",
        ),
        pytest.param([{**ROSA, F.GUARDIAN_NAME: "Inez Lopez"}], None, ROSA, id="another mother with the same phone"),
        pytest.param(
            [{**ROSA, F.GUARDIAN_NAME: "Rosa Lopes"}, {**ROSA, F.GUARDIAN_NAME: "Rosa Lopex"}],
            None,
            ROSA,
            id="two names that could have been corrected",
        ),
        pytest.param(
            [{**ROSA, F.GUARDIAN_NAME: "Luis Lopez", F.RELATIONSHIP: "Father"}], None, ROSA, id="the father of staff's"
        ),
    ],
)
def test_our_guardian_is_found_again(
    rows: list[Mapping[Field, str]], row: str | None, typed: Mapping[Field, str]
) -> None:
    assert edits(shown(Contacts=rows), wanted(ROSA)) == [("Contacts", row, typed)]


def test_no_one_is_matched_by_a_phone_that_is_empty() -> None:
    bare = {F.GUARDIAN_NAME: "Rosa Lopez", F.RELATIONSHIP: "Mother", F.PHONE: "", F.EMAIL: ""}
    chart = shown(Contacts=[{**bare, F.GUARDIAN_NAME: "Rosa Diaz"}])

    [(_, row, typed)] = edits(chart, wanted(bare))

    assert (row, typed) == (None, {F.GUARDIAN_NAME: "Rosa Lopez", F.RELATIONSHIP: "Mother"})


def test_emptied_sections_leave_their_rows_alone() -> None:
    empty = dict.fromkeys((*ROSA, *POLICY_ROW, F.CASE_TYPE, F.PRESENTING_CONCERNS, F.NOTE), "")
    chart = shown(Contacts=[ROSA], Payers=[POLICY_ROW], Cases=[{F.CASE_TYPE: "Evaluation"}], Notes=[{F.NOTE: "x"}])

    assert edits(chart, wanted(empty)) == []


@pytest.mark.parametrize(
    ("rows", "row", "typed"),
    [
        ([{**POLICY_ROW, F.INSURANCE_TYPE: "Other"}], "P1", {F.INSURANCE_TYPE: "Medicaid"}),
        ([{**POLICY_ROW, F.PAYER: "TriState Employers"}], "P1", {F.PAYER: "Carolina Medicaid"}),
        ([{**POLICY_ROW, F.PAYER: "A"}, {**POLICY_ROW, F.PAYER: "B"}], None, POLICY_ROW),
        ([{**POLICY_ROW, F.MEMBER_ID: "CM1002"}], None, POLICY_ROW),
    ],
)
def test_our_policy_is_found_again(
    rows: list[Mapping[Field, str]], row: str | None, typed: Mapping[Field, str]
) -> None:
    assert edits(shown(Payers=rows), wanted(POLICY_ROW)) == [("Payers", row, typed)]


def test_our_case_is_found_by_its_type_and_others_are_left() -> None:
    case = {F.CASE_TYPE: "Evaluation", F.PRESENTING_CONCERNS: "Speech"}
    speech = {F.CASE_TYPE: "Speech Therapy", F.PRESENTING_CONCERNS: "staff's"}

    assert edits(shown(Cases=[speech]), wanted(case)) == [("Cases", None, case)]
    assert edits(shown(Cases=[speech, {F.CASE_TYPE: "Evaluation"}]), wanted(case)) == [
        ("Cases", "C2", {F.PRESENTING_CONCERNS: "Speech"})
    ]


def test_case_counts_in_free_text_and_spacing_does_not() -> None:
    assert same(F.NOTE, "Sees  Dr. May\n", "Sees\nDr. May")
    assert not same(F.NOTE, "sees Dr. May", "Sees Dr. May")
    assert same(F.CITY, "RALEIGH", "Raleigh")


def test_our_note_is_edited_and_never_doubled() -> None:
    old, new = note_with_marker("Seen once.", RECORD_ID), note_with_marker("Seen twice.", RECORD_ID)
    chart = shown(Notes=[{F.NOTE: "Staff: called."}, {F.NOTE: old}])

    assert edits(chart, wanted({F.NOTE: new})) == [("Notes", "N2", {F.NOTE: new})]


def test_a_note_of_another_record_is_not_ours() -> None:
    theirs = note_with_marker("Seen once.", RecordId("a0P000000000002AAA"))
    ours = note_with_marker("Seen once.", RECORD_ID)

    assert edits(shown(Notes=[{F.NOTE: theirs}]), wanted({F.NOTE: ours})) == [("Notes", None, {F.NOTE: ours})]


def test_a_note_without_a_marker_touches_no_note_of_ours() -> None:
    chart = shown(Notes=[{F.NOTE: note_with_marker("one", RECORD_ID)}, {F.NOTE: "two"}])

    assert edits(chart, wanted({F.NOTE: "one"})) == [("Notes", None, {F.NOTE: "one"})]
    assert edits(chart, wanted({F.NOTE: "Two"})) == [("Notes", None, {F.NOTE: "Two"})]
    assert edits(chart, wanted({F.NOTE: "two"})) == []


def test_what_staff_wrote_below_our_marker_is_kept() -> None:
    old, new = note_with_marker("Seen once.", RECORD_ID), note_with_marker("Seen twice.", RECORD_ID)
    chart = shown(Notes=[{F.NOTE: f"{old}\n  Staff: called.\n"}])

    assert edits(chart, wanted({F.NOTE: new})) == [("Notes", "N1", {F.NOTE: f"{new}\n  Staff: called."})]
    assert edits(chart, wanted({F.NOTE: old})) == []


WORDS = st.sampled_from(["", "Ana", "ana ", "Rosa Lopez", "Rosa Lopes", "R.", "Mother", "Other", "+19195550123", "CM1"])
MARKERS = st.sampled_from(["", "one", "One two", "one\n\ntwo", f"x\n[Salesforce intake {RECORD_ID}]\nstaff's"])


def values_of(section: Section) -> st.SearchStrategy[dict[Field, str]]:
    fields = {field: MARKERS if field is F.NOTE else WORDS for field in Field if field.section is section}
    return st.fixed_dictionaries({}, optional=fields)


CHARTS = st.builds(
    lambda values, *rows: Shown(
        portal_id="1",
        values=values,
        rows={
            section: tuple(Row(key=f"{section}{at}", values=row) for at, row in enumerate(some))
            for section, some in zip(list(Section)[1:], rows, strict=True)
        },
    ),
    values_of(Section.PATIENT),
    *(st.lists(values_of(section), max_size=3) for section in list(Section)[1:]),
)


@st.composite
def patients(draw: st.DrawFn) -> Patient:
    values = {field: value for section in Section for field, value in draw(values_of(section)).items()}
    if F.NOTE in values and draw(st.booleans()):
        values[F.NOTE] = note_with_marker(values[F.NOTE], RECORD_ID)
    return Patient(record_id=RECORD_ID, portal_id=None, values=values)


POLICIES = st.fixed_dictionaries(
    {},
    optional={f: st.builds(Policy, label=st.just("x"), may_clear=st.booleans(), create_only=st.booleans()) for f in F},
)


@given(CHARTS, patients(), POLICIES)
def test_after_the_edits_there_is_nothing_more_to_type(
    chart: Shown, patient: Patient, policy: Mapping[Field, Policy]
) -> None:
    found = differences(chart, patient, policy)

    assert differences(applied(chart, found), patient, policy) == ()
    assert [edit.section for edit in found] == [section for section in Section if section in {e.section for e in found}]


@given(CHARTS, patients(), POLICIES)
def test_nothing_is_typed_that_the_patient_does_not_say(
    chart: Shown, patient: Patient, policy: Mapping[Field, Policy]
) -> None:
    found = differences(chart, patient, policy)
    after = applied(chart, found)
    edited = {edit.row for edit in found}

    assert len({edit.section for edit in found}) == len(found)
    for section, rows in chart.rows.items():
        for row, then in zip(rows, after.rows[section], strict=False):
            assert row == then or row.key in edited
    for edit in found:
        assert edit.values
        for field, value in edit.values.items():
            assert value == patient.values[field] or field is F.NOTE
            assert value or (field in policy and policy[field].may_clear)
            assert edit.section is not Section.PATIENT or not (field in policy and policy[field].create_only)
