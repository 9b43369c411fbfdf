"""Values between canonical and shown: there and back, and nothing of a patient in a refusal."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fusion.codes import Code
from fusion.pages.entry import Entry, Kind
from fusion.pages.pack import Forms
from fusion.pages.values import canonical, given_and_middle, keys, labels_in, plain, same, shown
from fusion.portal import Refused

FORMS = Forms(country="US", date="%m/%d/%Y", phone="(###) ###-####", ssn="###-##-####")
GENDER = Entry(
    label="Gender",
    kind=Kind.SELECT,
    options=("Female", "Non-binary"),
    synonyms={"Nonbinary": "Non-binary", "F": "Female"},
)


def entry(kind: Kind) -> Entry:
    if kind is Kind.TYPEAHEAD:
        return Entry.model_validate({"label": "Payer", "kind": kind, "menu": {"css": "ul"}, "option": {"css": "li"}})
    return Entry(label="Thing", kind=kind)


@pytest.mark.parametrize(
    ("kind", "value", "written"),
    [
        (Kind.TEXT, "Ava", "Ava"),
        (Kind.TEXT, "", ""),
        (Kind.DATE, "2019-03-04", "03/04/2019"),
        (Kind.DATE, "", ""),
        (Kind.PHONE, "+19195550123", "(919) 555-0123"),
        (Kind.SSN, "900-12-3456", "900-12-3456"),
        (Kind.SELECT, "North", "North"),
        (Kind.TYPEAHEAD, "Blue Ridge Health", "Blue Ridge Health"),
        (Kind.TEXTAREA, "one\n\ntwo", "one\n\ntwo"),
    ],
)
def test_a_value_goes_there_and_back(kind: Kind, value: str, written: str) -> None:
    assert shown(entry(kind), value, FORMS) == written
    assert canonical(entry(kind), written, FORMS) == value


@pytest.mark.parametrize(
    ("kind", "written", "value"),
    [
        (Kind.DATE, "3/4/2019", "2019-03-04"),
        (Kind.DATE, "02/30/2019", "02/30/2019"),
        (Kind.DATE, "unknown", "unknown"),
        (Kind.PHONE, "919.555.0123", "+19195550123"),
        (Kind.PHONE, "+1 919 555 0123", "+19195550123"),
        (Kind.PHONE, "555-0123 or mother", "555-0123 or mother"),
        (Kind.PHONE, "(919) 555-0123 x12", "(919) 555-0123 x12"),
        (Kind.SSN, "900123456", "900-12-3456"),
        (Kind.SSN, "XXX-XX-3456", "XXX-XX-3456"),
        (Kind.TEXT, "  Mary \u00a0 Ann ", "Mary Ann"),
        (Kind.TEXT, "Jose\u0301", "José"),
        (Kind.TEXTAREA, " a  \r\nb\r", "a\nb"),
    ],
)
def test_what_is_shown_is_read_as_far_as_it_can_be(kind: Kind, written: str, value: str) -> None:
    assert canonical(entry(kind), written, FORMS) == value


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Kind.DATE, "03/04/2019"),
        (Kind.DATE, "2019-02-30"),
        (Kind.PHONE, "+442071838750"),
        (Kind.PHONE, "12345"),
        (Kind.PHONE, "canary"),
        (Kind.SSN, "XXX-XX-1234"),
        (Kind.SSN, "12345"),
    ],
)
def test_a_value_that_the_portal_cannot_write_is_refused_by_its_label(kind: Kind, value: str) -> None:
    with pytest.raises(Refused) as refused:
        shown(entry(kind), value, FORMS)
    assert (refused.value.code, refused.value.detail) == (Code.REJECTED_VALUE, "Thing")
    assert value not in repr(refused.value)


def test_an_option_goes_by_its_other_names_and_no_strange_one() -> None:
    assert [shown(GENDER, name, FORMS) for name in ("Non-binary", "Nonbinary", "f")] == [
        "Non-binary",
        "Non-binary",
        "Female",
    ]
    assert canonical(GENDER, "NONBINARY", FORMS) == "Non-binary"
    assert canonical(GENDER, "Other", FORMS) == "Other"
    with pytest.raises(Refused) as refused:
        shown(GENDER, "canary", FORMS)
    assert (refused.value.code, refused.value.detail) == (Code.UNKNOWN_OPTION, "Gender")


def test_a_portals_own_words_are_written_and_read_back_even_where_they_mean_another_option() -> None:
    relation = Entry(label="Relation", kind=Kind.SELECT, words={"Guardian": "Other", "Other": "None", "Mother": "Mum"})
    for word, own in relation.words.items():
        assert shown(relation, word, FORMS) == own
        assert canonical(relation, own.upper(), FORMS) == word
    assert canonical(relation, "Aunt", FORMS) == "Aunt"
    assert not same(relation, "None", "Other", FORMS)


def test_of_a_masked_value_only_the_digits_are_pressed() -> None:
    assert keys(entry(Kind.PHONE), "(919) 555-0123") == "9195550123"
    assert keys(entry(Kind.TEXT), "3rd Street") == "3rd Street"


def test_values_are_the_same_as_they_read_and_long_texts_letter_by_letter() -> None:
    assert same(entry(Kind.PHONE), "919-555-0123", "(919) 555-0123", FORMS)
    assert same(entry(Kind.TEXT), "ava  example", "Ava Example", FORMS)
    assert not same(entry(Kind.TEXT), "Jose", "José", FORMS)
    assert same(entry(Kind.TEXTAREA), "a\r\nb ", "a\nb", FORMS)
    assert not same(entry(Kind.TEXTAREA), "No", "no", FORMS)


@given(st.dates(min_value=date(1900, 1, 1), max_value=date(2100, 1, 1)))
def test_every_date_comes_back(day: date) -> None:
    assert canonical(entry(Kind.DATE), shown(entry(Kind.DATE), day.isoformat(), FORMS), FORMS) == day.isoformat()


@given(st.sampled_from(list(Kind)), st.text())
def test_nothing_shown_is_ever_refused_and_reading_twice_changes_nothing(kind: Kind, text: str) -> None:
    once = canonical(entry(kind), text, FORMS)
    assert canonical(entry(kind), once, FORMS) == once
    assert plain(kind, once) == once


@pytest.mark.parametrize(
    ("text", "wanted", "parts"),
    [
        ("Ava Grace", "Ava", ("Ava", "Grace")),
        ("Mary Ann Lee", "Mary Ann", ("Mary Ann", "Lee")),
        ("Mary Ann Lee", "Mia", ("Mary", "Ann Lee")),
        ("Ava", "Ava", ("Ava", "")),
        ("Mary", "Mary Ann", ("Mary", "")),
        ("Avalon", "Ava", ("Avalon", "")),
    ],
)
def test_a_listed_name_is_split_after_the_wanted_first_name(text: str, wanted: str, parts: tuple[str, str]) -> None:
    assert given_and_middle(text, wanted) == parts


@pytest.mark.parametrize(
    ("message", "labels"),
    [
        ("Birthdate must be MM/DD/YYYY.", ("Birthdate",)),
        ("ID Number is required. Name is required.", ("ID Number", "Name")),
        ("Choose a payer from the list.", ("Payer",)),
        ("Rename the file.", ()),
        ("First Name is required.", ("First Name",)),
    ],
)
def test_labels_are_found_in_a_message(message: str, labels: tuple[str, ...]) -> None:
    assert labels_in(message, ["Name", "First Name", "ID Number", "Number", "Birthdate", "Payer"]) == labels
