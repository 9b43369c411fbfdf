"""What must hold of the match whatever two children and charts are like; `test_matching` has the cases."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from fusion.matching import Grade, Match, decide, grade, plausible
from fusion.patient import Field, Hit, Patient, Row, Section, Shown, folded
from listener.change import RecordId

F = Field
HOME = {
    F.GUARDIAN_NAME: "Rosa Lopez",
    F.PHONE: "+19195550123",
    F.EMAIL: "rosa@example.com",
    F.STREET: "12 Oak St",
    F.ZIP: "27601-1234",
}
FIRST = st.sampled_from(
    ["Ana", "Anna", "Ann", "Luis", "Liam", "William", "Bill", "Will", "Mia", "Maya", "Zoe", "José", "Jose", "Mary Ann"]
)
LAST = st.sampled_from(["Lopez", "López", "Lopez-Diaz", "Diaz", "Ana", "O'Neill", "ONeill"])
BORN = st.sampled_from(["2015-03-02", "2015-02-03", "2015-03-03", "2015-12-02", "2009-09-09"])
SSNS = st.sampled_from(["", "900-12-3456", "900-12-3457", "***-**-3456"])
CHILDREN = st.fixed_dictionaries(
    {F.FIRST_NAME: FIRST, F.LAST_NAME: LAST, F.BIRTH_DATE: BORN, F.NICKNAME: FIRST, F.SSN: SSNS}
)
CONTACTS = st.fixed_dictionaries({}, optional={name: st.sampled_from([HOME[name], f"9{HOME[name]}"]) for name in HOME})
CARDS = st.fixed_dictionaries({}, optional={F.MEMBER_ID: st.sampled_from(["CM1001", "CM1002"])})
Values = dict[Field, str]


def child(one: Values, contact: Values, card: Values) -> Patient:
    """A record that says just this."""
    return Patient(record_id=RecordId("a0P000000000001AAA"), portal_id=None, values={**one, **contact, **card})


def chart_with(one: Values, contact: Values, card: Values, portal_id: str = "1") -> Shown:
    """A chart that shows just this."""
    rows = {Section.CONTACTS: (Row(key="1", values=contact),), Section.PAYERS: (Row(key="2", values=card),)}
    return Shown(portal_id=portal_id, values=one, rows=rows)


@given(CHILDREN, CHILDREN, CONTACTS, CONTACTS, CARDS, CARDS)
def test_it_does_not_matter_which_side_says_what(
    one: Values, other: Values, home: Values, elsewhere: Values, card: Values, another: Values
) -> None:
    there = grade(child(one, home, card), chart_with(other, elsewhere, another))
    back = grade(child(other, elsewhere, another), chart_with(one, home, card))
    assert there.grade is back.grade


@given(CHILDREN, CHILDREN, CONTACTS, CONTACTS, CARDS, CARDS, st.sampled_from([*HOME, F.MEMBER_ID]), st.booleans())
def test_less_evidence_never_makes_it_surer(
    one: Values, other: Values, home: Values, elsewhere: Values, card: Values, another: Values, lost: Field, ours: bool
) -> None:
    whole = grade(child(one, home, card), chart_with(other, elsewhere, another)).grade
    sides = [home, card] if ours else [elsewhere, another]
    for side in sides:
        side.pop(lost, None)
    assert grade(child(one, home, card), chart_with(other, elsewhere, another)).grade <= whole


@given(CHILDREN, CHILDREN, CONTACTS, CARDS)
def test_an_ssn_that_differs_never_makes_it_surer_and_one_that_is_the_same_never_less_sure(
    one: Values, other: Values, home: Values, card: Values
) -> None:
    def with_ssns(ours: str, theirs: str) -> Grade:
        return grade(child({**one, F.SSN: ours}, home, card), chart_with({**other, F.SSN: theirs}, home, card)).grade

    nothing = with_ssns("", "900-12-3456")
    assert with_ssns("900-12-3457", "900-12-3456") <= nothing <= with_ssns("900-12-3456", "900-12-3456")


def hit(shown: Shown) -> Hit:
    return Hit(portal_id=shown.portal_id, identity=shown.identity)


FAMILIES = st.lists(FIRST, min_size=2, max_size=5, unique_by=folded)


TWINS = ["2015-03-02"] * 5
SIBLINGS = ["2015-03-02", "2017-03-02", "2019-05-07", "2020-01-01", "2021-02-03"]


@given(FAMILIES, st.sampled_from([TWINS, SIBLINGS]), st.booleans(), st.booleans())
def test_no_child_of_a_family_is_ever_taken_for_another(
    names: list[str], born: list[str], has_cards: bool, first_is_new: bool
) -> None:
    """Twins and siblings who share everything but the first name; the first of them may have no chart yet."""
    card = {F.MEMBER_ID: "CM1001"} if has_cards else {}
    family = [
        {F.FIRST_NAME: name, F.LAST_NAME: "Lopez", F.BIRTH_DATE: day, F.NICKNAME: "", F.SSN: ""}
        for name, day in zip(names, born, strict=False)
    ]
    charts = [chart_with(one, dict(HOME), card, portal_id=str(number)) for number, one in enumerate(family)]
    if first_is_new:
        charts = charts[1:]
    for number, one in enumerate(family):
        patient = child(one, dict(HOME), card)
        decision = decide(
            [(shown.portal_id, grade(patient, shown)) for shown in charts if plausible(patient, hit(shown))]
        )
        if first_is_new and number == 0:
            assert decision.portal_id is None
        else:
            assert decision.portal_id == str(number)


C, R, P, N = (Match(grade=one, reasons=()) for one in (Grade.CERTAIN, Grade.PROBABLE, Grade.POSSIBLE, Grade.NONE))
MATCHES = st.lists(st.tuples(st.sampled_from("12345"), st.sampled_from([C, R, P, N])), max_size=6)


@given(MATCHES, st.randoms(use_true_random=False), st.booleans())
def test_the_order_in_which_charts_were_opened_decides_nothing(
    matches: list[tuple[str, Match]], chance: random.Random, cut_off: bool
) -> None:
    before = decide(matches, cut_off=cut_off)
    chance.shuffle(matches)
    assert decide(matches, cut_off=cut_off) == before


@given(MATCHES, st.sampled_from([R, P, N]), st.booleans())
def test_one_more_chart_that_is_not_sure_never_turns_a_question_into_a_deed(
    matches: list[tuple[str, Match]], another: Match, cut_off: bool
) -> None:
    # After a save that was cut off PROBABLE is sure enough.
    another = P if cut_off and another is R else another
    before = decide(matches, cut_off=cut_off)
    after = decide([*matches, ("9", another)], cut_off=cut_off)
    assert bool(after.candidates) >= bool(before.candidates)
    assert after.portal_id in (before.portal_id, None)
