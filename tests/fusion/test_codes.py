"""Codes and their sentences: what reports and people rely on."""

import pytest

from fusion.codes import Code
from listener.entry import ParkedReason

PROMISED = {
    Code.MISSING_FIELD: ParkedReason.BAD_DATA,
    Code.REJECTED_VALUE: ParkedReason.BAD_DATA,
    Code.UNKNOWN_OPTION: ParkedReason.BAD_DATA,
    Code.MASKED_SSN: ParkedReason.BAD_DATA,
    Code.AMBIGUOUS_MATCH: ParkedReason.AMBIGUOUS,
    Code.DUPLICATE_WARNING: ParkedReason.AMBIGUOUS,
    Code.LINKED_ELSEWHERE: ParkedReason.AMBIGUOUS,
    Code.DIFFERENT_PORTAL_ID: ParkedReason.IDENTITY,
    Code.IDENTITY_MISMATCH: ParkedReason.IDENTITY,
    Code.CHART_NOT_FOUND: ParkedReason.IDENTITY,
    Code.IN_DOUBT: ParkedReason.IN_DOUBT,
    Code.DELETED_IN_SALESFORCE: ParkedReason.DELETED,
    Code.MERGED_IN_SALESFORCE: ParkedReason.DELETED,
    Code.PORTAL_CHANGED: ParkedReason.EXHAUSTED,
    Code.UNEXPECTED_PAGE: ParkedReason.EXHAUSTED,
    Code.NOT_SAVED: ParkedReason.EXHAUSTED,
    Code.GAVE_UP: ParkedReason.EXHAUSTED,
    Code.NOT_TOLD: ParkedReason.NOT_TOLD,
}
WHO = ("Intake", "Ops", "Admin", "Developer")


def test_each_code_says_what_it_means_for_later_changes() -> None:
    assert {code: code.reason for code in Code} == PROMISED


@pytest.mark.parametrize("code", Code)
def test_a_sentence_says_what_happened_and_who_acts(code: Code) -> None:
    sentence = code.sentence("Date of birth")
    assert sentence.endswith(code.fix)
    assert code.fix.startswith(WHO)
    assert "{" not in sentence
    assert sentence[0].isupper()
    assert sentence.count("..") == 0


@pytest.mark.parametrize("code", Code)
@pytest.mark.parametrize("length", [0, 1, 80, 150, 200, 255, 1000, 40_000])
def test_a_sentence_fits_the_field_in_salesforce_and_keeps_who_acts(code: Code, length: int) -> None:
    sentence = code.sentence("x" * length)
    assert len(sentence) <= 255
    assert sentence.endswith(code.fix)


@pytest.mark.parametrize("length", range(150, 256))
def test_a_sentence_is_cut_only_where_it_must_be(length: int) -> None:
    whole = f"{'x' * length} is empty. {Code.MISSING_FIELD.fix}"
    sentence = Code.MISSING_FIELD.sentence("x" * length)
    assert sentence == whole if len(whole) <= 255 else len(sentence) == 255


def test_a_detail_with_braces_is_taken_as_it_is() -> None:
    assert Code.MISSING_FIELD.sentence("{detail} {0}").startswith("{detail} {0} is empty.")
