"""What Salesforce is told about an entry, field by field, and what its answers mean."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from fusion.codes import Code
from fusion.writeback import Answer, answer_to, attention, can_go_by, fields_for, in_progress, was_written
from listener.entry import OutboxEntry, Outcome, SyncResult
from listener.org import RecordError
from listener.tellings import Standing
from tests.fusion.desk import NOON, OWN, an_entry

CHART = "10000001"
MOMENT = "2026-11-24T12:00:00+00:00"
SYNCED = {OWN.portal_id: CHART, OWN.status: "Synced", OWN.error_code: None, OWN.error: None, OWN.attempts: 1}
LATER = Standing(later=True)


def pushed(outcome: Outcome = Outcome.UPDATED, **other: Any) -> OutboxEntry:
    portal_id = None if outcome in (Outcome.REFUSED, Outcome.SKIPPED, Outcome.FAILED) else CHART
    return an_entry().pushed(SyncResult(**{"outcome": outcome, "portal_id": portal_id, **other}))


def refused(code: Code, detail: str = "") -> OutboxEntry:
    return pushed(Outcome.REFUSED, code=code, message=code.sentence(detail), reason=code.reason)


# ---- which fields


def test_a_new_chart_is_told_with_its_id_and_the_time() -> None:
    assert fields_for(pushed(Outcome.CREATED), {}, OWN, now=NOON) == {
        OWN.portal_id: CHART,
        OWN.status: "Synced",
        OWN.last_attempt_at: MOMENT,
        OWN.synced_at: MOMENT,
        OWN.attempts: 1,
    }


def test_nothing_is_written_for_an_unchanged_patient() -> None:
    assert fields_for(pushed(Outcome.UNCHANGED), SYNCED, OWN, now=NOON) == {}


@pytest.mark.parametrize("outcome", [Outcome.UPDATED, Outcome.LINKED, Outcome.CREATED])
def test_a_visit_that_saved_something_tells_when(outcome: Outcome) -> None:
    assert fields_for(pushed(outcome), SYNCED, OWN, now=NOON) == {OWN.last_attempt_at: MOMENT, OWN.synced_at: MOMENT}


def test_only_what_differs_is_written() -> None:
    held = {**SYNCED, OWN.status: "Needs Attention", OWN.error_code: "missing_field", OWN.error: "Old."}
    assert fields_for(pushed(Outcome.UNCHANGED), held, OWN, now=NOON) == {
        OWN.status: "Synced",
        OWN.error_code: None,
        OWN.error: None,
        OWN.last_attempt_at: MOMENT,
        OWN.synced_at: MOMENT,
    }


def test_a_resync_that_was_asked_for_is_ticked_off() -> None:
    asked = {**SYNCED, OWN.resync_requested: True}
    written = fields_for(pushed(Outcome.UNCHANGED), asked, OWN, now=NOON)
    assert written[OWN.resync_requested] is False


@pytest.mark.parametrize("code", Code)
def test_a_refusal_is_told_with_code_and_sentence_and_no_time_of_success(code: Code) -> None:
    written = fields_for(refused(code, "Date of birth"), {}, OWN, now=NOON)
    assert written == {
        OWN.status: "Needs Attention",
        OWN.error_code: str(code),
        OWN.error: code.sentence("Date of birth"),
        OWN.last_attempt_at: MOMENT,
        OWN.attempts: 1,
    }
    assert len(written[OWN.error]) <= 255


def test_a_refusal_that_is_known_already_makes_no_write() -> None:
    entry = refused(Code.MISSING_FIELD, "Date of birth")
    held = {OWN.status: "Needs Attention", OWN.error_code: entry.code, OWN.error: entry.message}
    assert fields_for(entry, held, OWN, now=NOON) == {}


def test_a_refusal_takes_no_id_away() -> None:
    assert OWN.portal_id not in fields_for(refused(Code.MISSING_FIELD), {OWN.portal_id: CHART}, OWN, now=NOON)


def test_another_id_is_never_overwritten() -> None:
    assert fields_for(pushed(Outcome.CREATED), {**SYNCED, OWN.portal_id: "10000099"}, OWN, now=NOON) == {
        OWN.status: "Needs Attention",
        OWN.error_code: "different_portal_id",
        OWN.error: Code.DIFFERENT_PORTAL_ID.sentence(),
        OWN.last_attempt_at: MOMENT,
    }


def test_the_time_is_told_with_its_zone() -> None:
    written = fields_for(pushed(), SYNCED, OWN, now=datetime(2026, 11, 24, 12, 0, 0, 987654, tzinfo=UTC))
    assert written[OWN.synced_at] == MOMENT


@pytest.mark.parametrize("held", [MOMENT, "2026-11-24T12:00:00.000+0000", "2026-11-24T07:00:00-05:00"])
def test_a_time_that_is_written_another_way_is_the_same_time(held: str) -> None:
    assert was_written({OWN.synced_at: MOMENT}, {OWN.synced_at: held})


@pytest.mark.parametrize("held", [None, "2026-11-24T12:00:01.000+0000", "Synced"])
def test_another_time_is_not(held: str | None) -> None:
    assert not was_written({OWN.synced_at: MOMENT}, {OWN.synced_at: held})


def test_how_many_visits_it_took_is_told_but_never_by_itself() -> None:
    took = Standing(visits=3)
    assert fields_for(pushed(), SYNCED, OWN, now=NOON, standing=took)[OWN.attempts] == 3
    assert fields_for(pushed(Outcome.UNCHANGED), SYNCED, OWN, now=NOON, standing=took) == {}


# ---- a record that has changed again since


def test_what_changed_since_stays_pending_and_its_resync_stays_asked_for() -> None:
    held = {OWN.status: "Pending", OWN.resync_requested: True, OWN.attempts: 0}
    assert fields_for(pushed(Outcome.CREATED), held, OWN, now=NOON, standing=LATER) == {
        OWN.portal_id: CHART,
        OWN.last_attempt_at: MOMENT,
        OWN.synced_at: MOMENT,
    }


def test_where_no_flow_has_said_so_we_say_that_it_is_pending() -> None:
    assert fields_for(pushed(Outcome.UNCHANGED), SYNCED, OWN, now=NOON, standing=LATER)[OWN.status] == "Pending"


def test_what_was_wrong_before_it_was_corrected_is_not_told() -> None:
    assert fields_for(refused(Code.MISSING_FIELD), {OWN.status: "Pending"}, OWN, now=NOON, standing=LATER) == {}


def test_what_blocks_the_record_is_told_whatever_changed_since() -> None:
    written = fields_for(refused(Code.AMBIGUOUS_MATCH), {OWN.status: "Pending"}, OWN, now=NOON, standing=LATER)
    assert (written[OWN.status], written[OWN.error_code]) == ("Needs Attention", "ambiguous_match")


# ---- before there is an answer


def test_a_try_that_failed_is_told_with_its_number_and_nobody_is_asked_to_act() -> None:
    entry = replace(an_entry(), attempts=2, code="EntryError", message="the search did not load")
    assert fields_for(entry, {OWN.status: "Pending"}, OWN, now=NOON) == {
        OWN.status: "Retrying",
        OWN.error: "Try 2 did not go through. It is tried again by itself; nobody needs to act.",
        OWN.attempts: 2,
        OWN.last_attempt_at: MOMENT,
    }


def test_a_visit_that_was_broken_off_for_an_outage_is_pending_again() -> None:
    entry = replace(an_entry(), attempts=0)
    assert fields_for(entry, {OWN.status: "In Progress"}, OWN, now=NOON) == {OWN.status: "Pending"}
    assert fields_for(entry, {OWN.status: "Pending"}, OWN, now=NOON) == {}


def test_a_long_visit_is_in_progress_and_what_was_wrong_before_is_gone() -> None:
    held = {OWN.status: "Needs Attention", OWN.error_code: "gave_up", OWN.error: "It failed."}
    assert in_progress(held, OWN) == {OWN.status: "In Progress", OWN.error_code: None, OWN.error: None}
    assert in_progress({OWN.status: "In Progress"}, OWN) == {}


# ---- what was read at the start of the visit


def test_what_was_read_for_the_visit_will_do_where_our_id_stood_there_already() -> None:
    assert can_go_by(SYNCED, pushed(), OWN)
    assert can_go_by({OWN.portal_id: None}, refused(Code.MISSING_FIELD), OWN)


@pytest.mark.parametrize("held", [None, {}, {OWN.portal_id: "10000099"}, {**SYNCED, "IsDeleted": True}])
def test_it_will_not_where_another_id_may_stand_there_by_now(held: dict[str, Any] | None) -> None:
    assert not can_go_by(held, pushed(Outcome.CREATED), OWN)


# ---- what an answer means


@pytest.mark.parametrize(
    ("code", "answer"),
    [
        ("ENTITY_IS_DELETED", Answer.TOLD),
        ("NOT_FOUND", Answer.TOLD),
        ("UNABLE_TO_LOCK_ROW", Answer.AGAIN),
        ("FIELD_CUSTOM_VALIDATION_EXCEPTION", Answer.WILL_NOT),
        ("WHATEVER_COMES_NEXT", Answer.WILL_NOT),
    ],
)
def test_each_error_of_a_record_has_its_answer(code: str, answer: Answer) -> None:
    assert answer_to(RecordError(code=code)).answer is answer


def test_an_id_that_stands_in_another_record_is_for_ops() -> None:
    told = answer_to(RecordError(code="DUPLICATE_VALUE"))
    assert (told.code, told.reason) == (Code.LINKED_ELSEWHERE, Code.LINKED_ELSEWHERE.reason)
    assert attention(told, {}, OWN, now=NOON)[OWN.error_code] == "linked_elsewhere"


def test_reports_see_one_code_for_whatever_salesforce_would_not_take() -> None:
    told = answer_to(RecordError(code="FIELD_CUSTOM_VALIDATION_EXCEPTION", fields=("Gender__c",)))
    assert attention(told, {}, OWN, now=NOON) == {
        OWN.status: "Needs Attention",
        OWN.error_code: "not_told",
        OWN.error: Code.NOT_TOLD.sentence("FIELD_CUSTOM_VALIDATION_EXCEPTION (Gender__c)"),
        OWN.last_attempt_at: MOMENT,
    }
