"""The arrows of one row: which are allowed from where, what each changes, and how long a retry waits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from listener.change import RecordId
from listener.entry import BLOCKING, OutboxEntry, Outcome, ParkedReason, State, SyncResult, backoff

NOON = datetime(2026, 11, 3, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def make_entry(**fields: Any) -> OutboxEntry:
    """A row as claimed for the first time."""
    claimed: dict[str, Any] = {
        "id": 41,
        "object_name": "Patient__c",
        "record_id": RecordId("a0P000000000001EAA"),
        "state": State.PENDING,
        "priority": 10,
        "attempts": 1,
        "changes": 1,
        "changed_at": NOON,
        "created_at": NOON,
        "fence": 1,
        "worker": "one",
        "leased": True,
    }
    return OutboxEntry(**claimed | fields)


ARROWS: dict[str, tuple[Callable[[OutboxEntry], OutboxEntry], set[State]]] = {
    "pushed": (lambda entry: entry.pushed(SyncResult(outcome=Outcome.UPDATED)), {State.PENDING}),
    "settled": (lambda entry: entry.settled(), {State.PUSHED}),
    "not_told": (lambda entry: entry.not_told(ParkedReason.NOT_TOLD, code="X", message="x"), {State.PUSHED}),
    "postponed": (lambda entry: entry.postponed(MINUTE, code=None, message=None), {State.PENDING, State.PUSHED}),
    "released": (lambda entry: entry.released(), {State.PENDING, State.PUSHED}),
}


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize("arrow", list(ARROWS))
def test_an_arrow_starts_only_where_the_picture_has_it(arrow: str, state: State) -> None:
    draw, allowed = ARROWS[arrow]
    entry = make_entry(state=state)
    if state in allowed:
        draw(entry)
    else:
        with pytest.raises(ValueError, match=f"entry 41 is {state}"):
            draw(entry)


def test_only_open_states_are_open() -> None:
    assert {state for state in State if state.is_open} == {State.PENDING, State.PUSHED}


def test_pushed_keeps_the_lease_and_counts_the_write_back_from_zero() -> None:
    result = SyncResult(outcome=Outcome.CREATED, portal_id="40001", code="OK", message="Made.", evidence="e.png")
    assert make_entry(attempts=3).pushed(result) == make_entry(
        state=State.PUSHED,
        attempts=0,
        outcome=Outcome.CREATED,
        portal_id="40001",
        code="OK",
        message="Made.",
        evidence="e.png",
    )


def test_pushed_forgets_no_portal_id_that_was_known() -> None:
    assert make_entry(portal_id="40001").pushed(SyncResult(outcome=Outcome.REFUSED)).portal_id == "40001"


def test_pushed_clears_what_an_earlier_try_complained_of() -> None:
    after = make_entry(code="TimeoutError", message="too slow").pushed(SyncResult(outcome=Outcome.UPDATED))
    assert (after.code, after.message) == (None, None)


def test_settled_is_done_where_nobody_needs_to_act() -> None:
    pushed = make_entry(state=State.PUSHED, outcome=Outcome.UPDATED)
    assert pushed.settled() == replace(pushed, state=State.DONE, leased=False)


@pytest.mark.parametrize("reason", list(ParkedReason))
def test_settled_is_parked_where_somebody_does(reason: ParkedReason) -> None:
    pushed = make_entry().pushed(SyncResult(outcome=Outcome.REFUSED, reason=reason))
    assert pushed.settled() == replace(pushed, state=State.PARKED, leased=False)


def test_what_salesforce_will_not_take_is_parked() -> None:
    pushed = make_entry(state=State.PUSHED, outcome=Outcome.UPDATED)
    assert pushed.not_told(ParkedReason.DELETED, code="ENTITY_IS_DELETED", message="It is gone.") == replace(
        pushed,
        state=State.PARKED,
        leased=False,
        parked_reason=ParkedReason.DELETED,
        code="ENTITY_IS_DELETED",
        message="It is gone.",
    )


def test_an_earlier_reason_to_park_stays_the_reason() -> None:
    pushed = make_entry().pushed(
        SyncResult(outcome=Outcome.REFUSED, reason=ParkedReason.IDENTITY, code="WRONG_CHART", message="Not theirs.")
    )
    after = pushed.not_told(ParkedReason.NOT_TOLD, code="LOCKED", message="x")
    assert (after.parked_reason, after.code, after.message) == (ParkedReason.IDENTITY, "WRONG_CHART", "Not theirs.")


def test_postponed_charges_the_attempt_and_says_why() -> None:
    entry = make_entry(attempts=2)
    assert entry.postponed(MINUTE, code="SLOW", message="Slow.") == replace(
        entry, leased=False, due_in=MINUTE, code="SLOW", message="Slow."
    )


def test_released_gives_the_attempt_back_and_changes_nothing_else() -> None:
    entry = make_entry(attempts=2, code="OLD", message="Old.")
    assert entry.released(MINUTE) == replace(entry, leased=False, due_in=MINUTE, attempts=1)


def test_released_never_owes_attempts() -> None:
    """Handed on from the visit, the write-back has had no claim of its own to give back."""
    pushed = make_entry().pushed(SyncResult(outcome=Outcome.UPDATED))
    assert pushed.released().attempts == 0


@pytest.mark.parametrize(
    ("intent_fence", "fence", "state", "doubt"),
    [
        (None, 1, State.PENDING, False),
        (1, 1, State.PENDING, False),  # our own intent: we know what we did
        (1, 2, State.PENDING, True),
        (1, 2, State.PUSHED, False),  # the portal has answered since
        (3, 7, State.PENDING, True),
    ],
)
def test_an_intent_of_an_earlier_holder_is_in_doubt(
    intent_fence: int | None, fence: int, state: State, doubt: bool
) -> None:
    assert make_entry(state=state, fence=fence, intent_fence=intent_fence).in_doubt is doubt


def test_bad_data_gives_way_and_doubt_blocks() -> None:
    assert {reason for reason in ParkedReason if reason.blocks} == BLOCKING
    assert not ParkedReason.BAD_DATA.blocks
    assert ParkedReason.IN_DOUBT.blocks


units = st.floats(min_value=0, max_value=1)


@given(attempts=st.integers(min_value=1, max_value=10**6), unit=units)
def test_a_retry_waits_at_least_twenty_seconds_and_at_most_the_cap(attempts: int, unit: float) -> None:
    assert timedelta(seconds=20) <= backoff(attempts, unit=unit) <= timedelta(hours=6)


@given(attempts=st.integers(min_value=1, max_value=40), unit=units)
def test_a_later_try_never_waits_less(attempts: int, unit: float) -> None:
    assert backoff(attempts, unit=unit) <= backoff(attempts + 1, unit=unit)


def test_the_first_retries_double_from_half_a_minute() -> None:
    assert [backoff(n, unit=0).total_seconds() for n in (1, 2, 3, 4)] == [30, 60, 120, 240]
    assert backoff(1, unit=1) == timedelta(seconds=20)
    assert backoff(20, unit=0, cap=timedelta(hours=1)) == timedelta(hours=1)
