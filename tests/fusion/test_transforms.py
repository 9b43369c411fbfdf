"""Each transform with what it takes and what it refuses; a refusal never holds the value."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fusion import transforms
from fusion.codes import Code
from fusion.transforms import Unfit

TODAY = date(2026, 11, 24)


def on_day(value: str) -> str:
    return transforms.day(value, today=TODAY)


def gender(value: str) -> str:
    return transforms.option(value, {"Nonbinary": "Non-binary", "Female": "Female"})


@pytest.mark.parametrize(
    ("transform", "value", "canonical"),
    [
        (transforms.text, "  Ana \t Maria\u00a0Lopez\n", "Ana Maria Lopez"),
        (transforms.text, "Jose\u0301", "José"),
        (transforms.text, "A\u200bna\ufeff", "Ana"),
        (transforms.text, "Ana\x00Lopez", "Ana Lopez"),
        (transforms.text, "12 Oak St\r\nApt 4", "12 Oak St Apt 4"),
        (transforms.multiline, "\r\n one  two \r\n\r\n\tthree\t\n\n", " one  two\n\n three"),
        (transforms.multiline, "one\rtwo\u2028three", "one\ntwo\nthree"),
        (transforms.upper, " nc ", "NC"),
        (on_day, "2015-03-02", "2015-03-02"),
        (on_day, "2026-11-24", "2026-11-24"),
        (on_day, "2024-02-29", "2024-02-29"),
        (transforms.phone, "(919) 555-0123", "+19195550123"),
        (transforms.phone, "1-919-555-0123", "+19195550123"),
        (transforms.phone, "+1 919.555.0123", "+19195550123"),
        (transforms.phone, "9195550123", "+19195550123"),
        (transforms.ssn, "900-12-3456", "900-12-3456"),
        (transforms.ssn, "900123456", "900-12-3456"),
        (transforms.ssn, "900 12 3456", "900-12-3456"),
        (transforms.email, " Ana.Lopez@Example.COM ", "Ana.Lopez@example.com"),
        (transforms.email, "o'neill+kid@mail.example.com", "o'neill+kid@mail.example.com"),
        (transforms.state, "nc", "NC"),
        (transforms.state, "North  carolina", "NC"),
        (transforms.state, "N.C.", "NC"),
        (transforms.state, "Washington, D.C.", "DC"),
        (transforms.state, "District of Columbia", "DC"),
        (transforms.state, "Puerto Rico", "PR"),
        (transforms.state, "West Virginia", "WV"),
        (transforms.state, "U.S. Virgin Islands", "VI"),
        (transforms.zip_code, "27601", "27601"),
        (transforms.zip_code, "276011234", "27601-1234"),
        (transforms.zip_code, "27601-1234", "27601-1234"),
        (gender, "Nonbinary", "Non-binary"),
        (gender, " nonbinary ", "Non-binary"),
    ],
)
def test_a_good_value_becomes_canonical(transform: Callable[[str], str], value: str, canonical: str) -> None:
    assert transform(value) == canonical


@pytest.mark.parametrize(
    ("transform", "value", "what"),
    [
        (on_day, "2015-02-30", "not a date"),
        (on_day, "03/02/2015", "not a date"),
        (on_day, "20150302", "not a date"),
        (on_day, "2015-W10-1", "not a date"),
        (on_day, "1815-03-02", "not a date"),
        (on_day, "0000-00-00", "not a date"),
        (on_day, "2026-11-25", "not a date up to today"),
        (transforms.phone, "555-0123", "not a phone number"),
        (transforms.phone, "919-555-0123 x12", "not a phone number"),
        (transforms.phone, "919-555-0123 ext. 5", "not a phone number"),
        (transforms.phone, "919-555-0123;ext=5", "not a phone number"),
        (transforms.phone, "919-555-0123 (mom)", "not a phone number"),
        (transforms.phone, "1-800-FLOWERS", "not a phone number"),
        (transforms.phone, "919-555-0123 / 919-555-0124", "not a phone number"),
        (transforms.phone, "+44 20 7946 0958", "not a phone number"),
        (transforms.phone, "111-111-1111", "not a phone number"),
        (transforms.phone, "none", "not a phone number"),
        (transforms.phone, "?", "not a phone number"),
        (transforms.ssn, "900-12-345", "not a social security number"),
        (transforms.ssn, "900-12-34567", "not a social security number"),
        (transforms.ssn, "999-99-9999", "not a social security number"),
        (transforms.ssn, "000-12-3456", "not a social security number"),
        (transforms.ssn, "666-12-3456", "not a social security number"),
        (transforms.ssn, "900-00-3456", "not a social security number"),
        (transforms.ssn, "900-12-0000", "not a social security number"),
        (transforms.ssn, "unknown", "not a social security number"),
        (transforms.ssn, "٩٠٠-12-3456", "not a social security number"),
        (transforms.email, "ana.example.com", "not an email address"),
        (transforms.email, "ana@example", "not an email address"),
        (transforms.email, "ana@@example.com", "not an email address"),
        (transforms.email, "ana@example.com, bo@example.com", "not an email address"),
        (transforms.email, "ana lopez@example.com", "not an email address"),
        (transforms.email, "Ana <ana@example.com>", "not an email address"),
        (transforms.email, "ana@example..com", "not an email address"),
        (transforms.email, "@example.com", "not an email address"),
        (transforms.state, "Carolina", "not a US state"),
        (transforms.state, "ZZ", "not a US state"),
        (transforms.state, "Ontario", "not a US state"),
        (transforms.zip_code, "2760", "not a ZIP code"),
        (transforms.zip_code, "27601-12", "not a ZIP code"),
        (transforms.zip_code, "K1A 0B1", "not a ZIP code"),
        (gender, "Other", "not on the portal's list"),
    ],
)
def test_a_bad_value_is_unfit_and_is_not_quoted(transform: Callable[[str], str], value: str, what: str) -> None:
    with pytest.raises(Unfit) as caught:
        transform(value)

    assert str(caught.value) == what
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    "value", ["XXX-XX-1234", "***-**-1234", "xxx-xx-xxxx", "XXXXX1234", "•••-••-1234", "900-XX-XXXX", "###-##-1234"]
)
def test_a_masked_ssn_is_told_from_a_wrong_one(value: str) -> None:
    with pytest.raises(Unfit) as caught:
        transforms.ssn(value)

    assert caught.value.code is Code.MASKED_SSN


@pytest.mark.parametrize("transform", [*transforms.PLAIN.values(), on_day, gender])
@pytest.mark.parametrize("value", ["", "  ", "\n", "\u200b"])
def test_an_empty_value_stays_empty(transform: Callable[[str], str], value: str) -> None:
    assert transform(value).strip() == ""


def test_several_sources_are_joined_without_those_that_are_empty() -> None:
    assert transforms.join(["Ana", " ", "Lopez "]) == "Ana Lopez"
    assert transforms.join(["", ""]) == ""


@given(st.sampled_from([*transforms.PLAIN.values(), on_day, gender]), st.text())
def test_what_is_canonical_stays_as_it_is(transform: Callable[[str], str], value: str) -> None:
    try:
        canonical = transform(value)
    except Unfit:
        return
    if transform is not gender:
        assert transform(canonical) == canonical
