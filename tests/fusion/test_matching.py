"""Is that chart this child? Twins above all, then every slip of a hand that was thought of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fusion.matching import TWIN_OR_SIBLING, Decision, Grade, Match, decide, grade, plausible
from fusion.names import Likeness, date_likeness, first_name_likeness, last_name_likeness
from fusion.nicknames import may_be_short_for
from fusion.patient import Field, Hit, Patient, Row, Section, Shown, identity_in
from listener.change import RecordId

F = Field
ANA = {F.FIRST_NAME: "Ana", F.LAST_NAME: "Lopez", F.BIRTH_DATE: "2015-03-02"}
HOME = {
    F.GUARDIAN_NAME: "Rosa Lopez",
    F.PHONE: "+19195550123",
    F.EMAIL: "rosa@example.com",
    F.STREET: "12 Oak St",
    F.ZIP: "27601-1234",
}
CARD = {F.PAYER: "Carolina Medicaid", F.MEMBER_ID: "CM1001"}


def patient(values: Mapping[Field, str] | None = None, /, **names: str) -> Patient:
    changed = {Field(name): value for name, value in names.items()}
    return Patient(
        record_id=RecordId("a0P000000000001AAA"),
        portal_id=None,
        values={**ANA, **HOME, **CARD, **changed, **(values or {})},
    )


def chart(
    contact: Mapping[Field, str] | None = None, payer: Mapping[Field, str] | None = None, /, **names: str
) -> Shown:
    return Shown(
        portal_id="10234401",
        values={**ANA, **{Field(name): value for name, value in names.items()}},
        rows={
            Section.CONTACTS: (
                Row(key="1", values={F.GUARDIAN_NAME: "Bo Diaz", F.PHONE: "+19195550199"}),
                Row(key="2", values=contact or {}),
            ),
            Section.PAYERS: (Row(key="3", values=payer or {}),),
        },
    )


def hit(shown: Shown) -> Hit:
    return Hit(portal_id=shown.portal_id, identity=shown.identity)


@pytest.mark.parametrize(
    ("contact", "payer", "fact"),
    [
        ({F.PHONE: "+19195550123"}, {}, "phone"),
        ({F.EMAIL: "Rosa@example.com"}, {}, "email"),
        ({F.GUARDIAN_NAME: "rosa  lopez"}, {}, "guardian_name"),
        ({F.STREET: "12 oak st", F.ZIP: "27601"}, {}, "address"),
        ({}, {F.MEMBER_ID: "cm1001"}, "member_id"),
    ],
)
def test_the_three_and_one_thing_more_are_certain(
    contact: Mapping[Field, str], payer: Mapping[Field, str], fact: str
) -> None:
    found = grade(patient(), chart(contact, payer, first_name="ANA"))
    assert found == Match(grade=Grade.CERTAIN, reasons=("first_name", "last_name", "birth_date", fact))


def test_the_ssn_is_one_thing_more() -> None:
    found = grade(patient(ssn="900-12-3456"), chart(ssn="900-12-3456"))
    assert found == Match(grade=Grade.CERTAIN, reasons=("first_name", "last_name", "birth_date", "ssn"))


def test_the_three_alone_are_probable() -> None:
    assert grade(patient(), chart()) == Match(grade=Grade.PROBABLE, reasons=("first_name", "last_name", "birth_date"))


def test_what_is_empty_on_both_sides_agrees_on_nothing() -> None:
    empty = dict.fromkeys((*HOME, *CARD, F.SSN), "")
    found = grade(patient(empty), chart(dict.fromkeys(HOME, ""), dict.fromkeys(CARD, ""), ssn=""))
    assert found.grade is Grade.PROBABLE


def test_a_street_without_its_zip_is_no_address() -> None:
    assert grade(patient(), chart({F.STREET: "12 Oak St", F.ZIP: "27513"})).grade is Grade.PROBABLE


def test_another_ssn_makes_the_same_child_only_possible() -> None:
    found = grade(patient(ssn="900-12-3456"), chart(HOME, CARD, ssn="900-12-3457"))
    assert found.grade is Grade.POSSIBLE
    assert found.reasons[-1] == "ssn_differs"


@pytest.mark.parametrize("masked", ["XXX-XX-9999", "***-**-3456", ""])
def test_an_ssn_that_the_portal_masks_says_nothing(masked: str) -> None:
    assert grade(patient(ssn="900-12-3456"), chart(HOME, ssn=masked)).grade is Grade.CERTAIN


@pytest.mark.parametrize("first_name", ["Luis", "Sofia", "Zoe", "Eva", "Mateo"])
def test_a_twin_is_another_child_whatever_else_is_the_same(first_name: str) -> None:
    found = grade(patient(), chart(HOME, CARD, first_name=first_name))
    assert found.grade is Grade.NONE
    assert TWIN_OR_SIBLING in found.reasons
    assert {"phone", "guardian_name", "member_id", "first_name_differs"} <= set(found.reasons)


def test_a_sibling_with_another_birth_date_is_told_as_one() -> None:
    found = grade(patient(), chart(HOME, first_name="Luis", birth_date="2018-07-21"))
    assert found.grade is Grade.NONE
    assert found.reasons[-1] == TWIN_OR_SIBLING


def test_a_stranger_is_no_sibling() -> None:
    found = grade(patient(), chart(first_name="Luis", last_name="Smith"))
    assert found == Match(grade=Grade.NONE, reasons=("first_name_differs", "last_name_differs", "birth_date"))


@pytest.mark.parametrize(
    ("one", "other"),
    [("Ana", "Anna"), ("Mia", "Maya"), ("Aidan", "Aiden"), ("Jon", "John"), ("Kaitlyn", "Caitlin"), ("Mia", "Mila")],
)
def test_twins_with_names_alike_are_for_a_person(one: str, other: str) -> None:
    for first, second in ((one, other), (other, one)):
        found = grade(patient(first_name=first), chart(HOME, CARD, first_name=second))
        assert found.grade is Grade.POSSIBLE
        assert plausible(patient(first_name=first), hit(chart(first_name=second)))


@pytest.mark.parametrize(
    ("ours", "theirs", "fact"),
    [
        ({"first_name": "José"}, {"first_name": "Jose"}, "first_name_variant"),
        ({"last_name": "Núñez"}, {"last_name": "Nunez"}, "last_name_variant"),
        ({"last_name": "Smith-Lee"}, {"last_name": "Smith Lee"}, "last_name_variant"),
        ({"last_name": "O'Neill"}, {"last_name": "ONeill"}, "last_name_variant"),
        ({"first_name": "Mary Ann"}, {"first_name": "Maryann"}, "first_name_variant"),
        ({"last_name": "Sørensen"}, {"last_name": "Sorensen"}, "last_name_variant"),
        ({"last_name": "Smith-Lee"}, {"last_name": "Smith"}, "last_name_partial"),
        ({"last_name": "García Márquez"}, {"last_name": "Garcia"}, "last_name_partial"),
        ({"first_name": "Ana"}, {"first_name": "Ana Maria"}, "first_name_partial"),
        ({"first_name": "John P."}, {"first_name": "John Paul"}, "first_name_partial"),
        ({"first_name": "William"}, {"first_name": "Liam"}, "first_name_nickname"),
        ({"first_name": "Beth"}, {"first_name": "Elizabeth"}, "first_name_nickname"),
        ({"first_name": "Ana", "nickname": "Coco"}, {"first_name": "Coco"}, "first_name_nickname"),
        ({"first_name": "Coco"}, {"first_name": "Ana", "nickname": "Coco"}, "first_name_nickname"),
        ({"first_name": "Michael"}, {"first_name": "Micheal"}, "first_name_similar"),
        ({"first_name": "Brian"}, {"first_name": "Brain"}, "first_name_similar"),
        ({"last_name": "Gonzalez"}, {"last_name": "Gonzales"}, "last_name_similar"),
        ({"birth_date": "2015-03-02"}, {"birth_date": "2015-02-03"}, "birth_date_transposed"),
        ({"birth_date": "2015-03-12"}, {"birth_date": "2015-03-21"}, "birth_date_transposed"),
        ({"birth_date": "2015-03-02"}, {"birth_date": "2051-03-02"}, "birth_date_transposed"),
        ({"birth_date": "2015-03-02"}, {"birth_date": "2016-03-02"}, "birth_date_near"),
        ({"birth_date": "2015-02-28"}, {"birth_date": "2015-03-01"}, "birth_date_near"),
        ({"birth_date": "2015-03-02"}, {"birth_date": ""}, "birth_date_missing"),
        ({"birth_date": "2015-03-02"}, {"birth_date": "March 2"}, "birth_date_missing"),
    ],
)
def test_two_of_three_and_a_slip_in_the_third_are_possible(
    ours: dict[str, str], theirs: dict[str, str], fact: str
) -> None:
    found = grade(patient(**ours), chart(HOME, CARD, **theirs))
    assert found.grade is Grade.POSSIBLE
    assert fact in found.reasons
    assert grade(patient(**ours), chart(**theirs)).grade is Grade.POSSIBLE


def test_accents_left_out_of_both_names_are_possible() -> None:
    found = grade(
        patient(first_name="José", last_name="Núñez"),
        chart(first_name="Jose", last_name="Nunez", birth_date="2015-02-03"),
    )
    assert found.grade is Grade.POSSIBLE


def test_two_slips_need_one_thing_more_to_be_possible() -> None:
    slips = {"first_name": "Anna", "birth_date": "2015-02-03"}
    assert grade(patient(), chart(**slips)).grade is Grade.NONE
    assert grade(patient(), chart(HOME, **slips)).grade is Grade.POSSIBLE


def test_swapped_names_are_possible() -> None:
    swapped = {"first_name": "Lopez", "last_name": "Ana"}
    found = grade(patient(), chart(**swapped))
    assert found.grade is Grade.POSSIBLE
    assert "names_swapped" in found.reasons
    assert TWIN_OR_SIBLING not in found.reasons
    assert grade(patient(), chart(HOME, **swapped, birth_date="2011-11-11")).grade is Grade.NONE


def test_the_same_ssn_with_anything_else_is_possible() -> None:
    ours = patient(ssn="900-12-3456")
    assert grade(ours, chart(ssn="900-12-3456", first_name="Luis")).grade is Grade.POSSIBLE
    assert grade(ours, chart(ssn="900-12-3456", last_name="Smith", birth_date="2001-01-01")).grade is Grade.POSSIBLE


def test_reasons_hold_no_value() -> None:
    ours = patient(ssn="900-12-3456", nickname="Coco")
    told = " ".join(grade(ours, chart(HOME, CARD, ssn="900-12-3457", first_name="Luis")).reasons)
    values = [*ours.values.values(), "Luis", "900-12-3457"]
    assert not [value for value in values if value in told]


@pytest.mark.parametrize(
    ("names", "opened"),
    [
        ({}, True),
        ({"birth_date": ""}, True),
        ({"first_name": "Anna", "birth_date": "2015-02-03"}, True),
        ({"first_name": "Lopez", "last_name": "Ana"}, True),
        ({"first_name": "Luis"}, True),  # its nickname may be Ana
        ({"birth_date": "2009-09-09"}, False),
        ({"last_name": "Smith"}, False),
        ({"first_name": "Luis", "birth_date": "2009-09-09"}, False),
        ({"first_name": "Luis", "last_name": "Smith"}, False),
    ],
)
def test_only_what_could_be_the_child_is_opened(names: dict[str, str], opened: bool) -> None:
    assert plausible(patient(), hit(chart(**names))) is opened


def test_with_an_ssn_to_compare_a_little_more_is_opened() -> None:
    ours = patient(ssn="900-12-3456")
    assert plausible(ours, hit(chart(last_name="Smith")))
    assert not plausible(ours, hit(chart(last_name="Smith", birth_date="2009-09-09")))


NAMES = st.sampled_from(["", "Ana", "Anna", "Luis", "Lopez", "López", "Lopez-Diaz", "Liam", "William", "Mary Ann"])
DATES = st.sampled_from(["", "2015-03-02", "2015-02-03", "2015-03-03", "2009-09-09"])
IDENTITIES = st.fixed_dictionaries({F.FIRST_NAME: NAMES, F.LAST_NAME: NAMES, F.BIRTH_DATE: DATES, F.NICKNAME: NAMES})


@given(IDENTITIES, IDENTITIES, st.booleans())
def test_no_chart_that_could_be_the_child_stays_shut(
    ours: dict[Field, str], theirs: dict[Field, str], at_home: bool
) -> None:
    shown = replace(chart(HOME if at_home else None), values=theirs)
    candidate = Hit(portal_id="1", identity=identity_in(theirs))

    if grade(patient(ours), shown).grade >= Grade.POSSIBLE:
        assert plausible(patient(ours), candidate)


@given(IDENTITIES, IDENTITIES)
def test_it_is_certain_only_of_the_very_same_three(ours: dict[Field, str], theirs: dict[Field, str]) -> None:
    found = grade(patient(ours), replace(chart(HOME, CARD), values=theirs))
    assert (found.grade is Grade.CERTAIN) == identity_in(ours).agrees_with(identity_in(theirs)) or "" in (
        ours[F.FIRST_NAME],
        ours[F.LAST_NAME],
    )


def of(sure: Grade) -> Match:
    return Match(grade=sure, reasons=())


C, R, P, N = (of(one) for one in (Grade.CERTAIN, Grade.PROBABLE, Grade.POSSIBLE, Grade.NONE))


@pytest.mark.parametrize(
    ("matches", "decision"),
    [
        ([], Decision()),
        ([("1", N), ("2", N)], Decision()),
        ([("1", C)], Decision(portal_id="1")),
        ([("1", N), ("2", C), ("3", P)], Decision(portal_id="2")),
        ([("1", C), ("1", C)], Decision(portal_id="1")),
        ([("1", P)], Decision(candidates=(("1", P),))),
        ([("1", R)], Decision(candidates=(("1", R),))),
        ([("1", R), ("2", C), ("3", N)], Decision(candidates=(("2", C), ("1", R)))),
        ([("2", C), ("1", C), ("3", P)], Decision(candidates=(("1", C), ("2", C), ("3", P)))),
    ],
)
def test_only_one_certain_chart_acts_alone(matches: list[tuple[str, Match]], decision: Decision) -> None:
    assert decide(matches) == decision
    assert decision.is_new == (matches == [] or all(match == N for _, match in matches))


def test_the_same_child_twice_is_a_question() -> None:
    shown = chart(HOME)
    found = decide([("1", grade(patient(), shown)), ("2", grade(patient(), replace(shown, portal_id="2")))])
    assert found.portal_id is None
    assert [portal_id for portal_id, _ in found.candidates] == ["1", "2"]


def test_after_a_save_that_was_cut_off_the_three_alone_are_enough() -> None:
    assert decide([("1", R), ("2", P)], cut_off=True) == Decision(portal_id="1")
    assert decide([("1", P)], cut_off=True) == Decision(candidates=(("1", P),))
    assert decide([("1", R), ("2", R)], cut_off=True).portal_id is None
    assert decide([("1", R), ("2", C)], cut_off=True).portal_id is None
    assert decide([("1", N)], cut_off=True).is_new


@pytest.mark.parametrize(
    ("one", "other"),
    [("Bob", "Robert"), ("Robert", "Bob"), ("Kate", "Katherine"), ("Ted", "Edward"), ("Ted", "Theodore")],
)
def test_nicknames_work_in_both_directions(one: str, other: str) -> None:
    assert first_name_likeness(one, other) is Likeness.NICKNAME


def test_two_long_names_of_one_short_form_are_not_one_name() -> None:
    assert not may_be_short_for("edward", "theodore")
    assert not may_be_short_for("ana", "ana")


def test_nicknames_are_for_first_names_alone() -> None:
    assert last_name_likeness("James", "Jim") is Likeness.DIFFERENT


def test_a_leap_day_can_be_a_day_off() -> None:
    assert date_likeness(date(2016, 2, 29), date(2016, 3, 1)) is Likeness.NEAR
    assert date_likeness(date(2016, 2, 29), date(2015, 3, 1)) is Likeness.DIFFERENT
    assert date_likeness(date(2016, 2, 29), None) is Likeness.MISSING
