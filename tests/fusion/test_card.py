"""The record beside a chart: what a person compares, in words, and nothing more of the child than that takes."""

from collections.abc import Mapping
from typing import Any

import pytest

from fusion.card import Card, card
from fusion.matching import Grade
from fusion.patient import Row, Section, Shown
from tests.fake_portal import FakePortal
from tests.fusion.desk import INTAKE, MAPPING, patient_of, put_chart


async def beside(chart: Mapping[str, Any], **record: Any) -> Card:
    """Mia's record, with these changes, beside a chart with those."""
    portal = FakePortal()
    shown = await portal.read(put_chart(portal, {**INTAKE, **chart}))
    assert shown is not None
    return card(patient_of({**INTAKE, **record}), shown, MAPPING)


def how(found: Card) -> dict[str, str]:
    return {line.label: line.how for line in found.lines}


async def test_what_agrees_and_what_does_not_is_said_in_words() -> None:
    found = await beside({"First_Name__c": "Mila", "Guardian_Phone__c": "(919) 555-0199", "Guardian_Email__c": None})
    said = how(found)
    assert (said["First name"], said["Last name"], said["Date of birth"]) == ("spelt alike", "same", "same")
    assert (said["Guardian phone"], said["Guardian email"], said["SSN"]) == ("differs", "", "same")
    phone = next(line for line in found.lines if line.label == "Guardian phone")
    assert (phone.record, phone.chart) == ("+19195550123", ("+19195550199",))
    assert found.match.grade is Grade.POSSIBLE
    assert found.notes == ("If it is this patient's: first make name and birth date the same, in Salesforce or there.",)


@pytest.mark.parametrize(
    ("chart", "label", "words"),
    [
        ({"First_Name__c": "Mía"}, "First name", "same but for accents, hyphens or spaces"),
        ({"First_Name__c": "Mia Rose"}, "First name", "one has a word more"),
        ({"First_Name__c": "Maya"}, "First name", "short form or nickname"),
        ({"Date_of_Birth__c": "2019-04-03"}, "Date of birth", "day and month, or digits, swapped"),
        ({"Date_of_Birth__c": "2019-03-05"}, "Date of birth", "one day or one digit off"),
        ({"First_Name__c": "Sample", "Last_Name__c": "Mia"}, "Last name", "swapped"),
        ({"SSN__c": "900-12-3457"}, "SSN", "differs"),
        ({"Guardian_Postal_Code__c": "27511-1234"}, "Guardian postal code", "same"),
    ],
)
async def test_each_likeness_has_its_words(chart: dict[str, Any], label: str, words: str) -> None:
    assert how(await beside(chart))[label] == words


async def test_a_chart_with_two_guardians_shows_both_and_says_which_of_them_agrees() -> None:
    portal = FakePortal()
    shown = await portal.read(put_chart(portal, INTAKE))
    assert shown is not None
    other = Row(key="9", values={name: f"other {name}" for name in shown.rows[Section.CONTACTS][0].values})
    two = Shown(portal_id="1", values=shown.values, rows={Section.CONTACTS: (other, *shown.rows[Section.CONTACTS])})
    [line] = [line for line in card(patient_of(INTAKE), two, MAPPING).lines if line.label == "Guardian name"]
    assert (line.chart, line.how) == (("other guardian_name", "Rosa Sample"), "same as one of 2")


async def test_a_twin_and_two_ssns_are_pointed_out() -> None:
    [twin, agree] = (await beside({"First_Name__c": "Zoe", "SSN__c": None})).notes
    assert "a twin" in twin
    assert "first make name and birth date the same" in agree
    [two] = (await beside({"SSN__c": "900-12-3457"})).notes
    assert "Two different SSNs" in two


async def test_an_ssn_shows_four_digits_and_one_that_the_portal_masks_is_not_compared() -> None:
    found = await beside({"SSN__c": "900-12-3457"})
    [line] = [line for line in found.lines if line.label == "SSN"]
    assert (line.record, line.chart) == ("•••-••-3456", ("•••-••-3457",))
    portal = FakePortal()
    shown = await portal.read(put_chart(portal, INTAKE))
    assert shown is not None
    masked = Shown(portal_id="1", values={**shown.values, "ssn": "***-**-3456"}, rows=shown.rows)  # type: ignore[dict-item]
    assert how(card(patient_of(INTAKE), masked, MAPPING))["SSN"] == "masked"


async def test_concerns_and_notes_are_not_on_it_and_nothing_shows_in_its_repr() -> None:
    found = await beside({})
    on_it = " ".join(value for line in found.lines for value in (line.record, *line.chart))
    assert "Rosa Sample" in on_it
    assert not [text for text in ("Speaks little.", "Prefers mornings.", "900-12") if text in on_it]
    assert not [value for value in ("Mia", "Rosa", "3456", "2019") if value in repr(found)]
