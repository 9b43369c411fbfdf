"""One outbox row and its arrows: what is true in the world, and how it may change. Pure.

State never says who is working: that is the lease (`worker`, `leased_until`, `fence`). Arrows give a new value; only
`outbox.save` makes it true, and only while the lease still holds. Times in arrows are delays: the database's clock
turns them into moments, so that the workers' clocks do not matter.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from listener.change import RecordId


class State(StrEnum):
    """What is true of the row's record."""

    PENDING = "PENDING"  # the portal has not answered
    PUSHED = "PUSHED"  # it has; Salesforce is not told yet
    DONE = "DONE"  # both agree
    PARKED = "PARKED"  # a person must act
    SUPERSEDED = "SUPERSEDED"  # covered by a later reading of the same record

    @property
    def is_open(self) -> bool:
        """Whether a worker still has something to do."""
        return self in (State.PENDING, State.PUSHED)


class Outcome(StrEnum):
    """What a visit to the portal came to."""

    CREATED = "created"
    LINKED = "linked"  # the portal had the chart already; it was matched, and brought up to date
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    SKIPPED = "skipped"  # nothing to do: not ready, or gone before we read it
    REFUSED = "refused"  # a person must act
    FAILED = "failed"  # tried too often


class ParkedReason(StrEnum):
    """Why a person must act. The first three give way to the record's next change; the others block it."""

    BAD_DATA = "bad_data"
    EXHAUSTED = "exhausted"
    NOT_TOLD = "not_told"  # the portal is right, Salesforce would not take the answer
    DELETED = "deleted"
    AMBIGUOUS = "ambiguous"
    IDENTITY = "identity"
    IN_DOUBT = "in_doubt"
    HELD = "held"

    @property
    def blocks(self) -> bool:
        """Whether later changes of the record wait until a person has resolved this one."""
        return self in BLOCKING


BLOCKING = frozenset({ParkedReason.AMBIGUOUS, ParkedReason.IDENTITY, ParkedReason.IN_DOUBT, ParkedReason.HELD})


CONFIRMED_NEW = "confirmed_new"
"""The code of a row of which a person has said that its patient has no chart yet: no match is asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncResult:
    """What one visit came to. `message` names no patient; `evidence` is a file's path, kept for some days."""

    outcome: Outcome
    portal_id: str | None = None
    code: str | None = None
    message: str | None = None
    reason: ParkedReason | None = None
    evidence: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxEntry:
    """One row of the outbox as claimed. `changes` counts the events that were folded into it."""

    id: int
    object_name: str
    record_id: RecordId
    state: State
    priority: int
    attempts: int
    changes: int
    changed_at: datetime
    created_at: datetime
    fence: int = 0
    worker: str | None = None
    leased: bool = False
    intent_fence: int | None = None
    intent_identity: str | None = None
    outcome: Outcome | None = None
    portal_id: str | None = None
    code: str | None = None
    message: str | None = None
    evidence: str | None = None
    parked_reason: ParkedReason | None = None
    due_in: timedelta = timedelta(0)

    @property
    def in_doubt(self) -> bool:
        """Whether an earlier holder may have clicked Save and never told: look in the portal before doing it again."""
        return self.state is State.PENDING and self.intent_fence is not None and self.intent_fence < self.fence

    def pushed(self, result: SyncResult) -> OutboxEntry:
        """PENDING -> PUSHED: the portal has answered. The lease is kept, the write-back counts its own attempts."""
        self._must_be(State.PENDING)
        return replace(
            self,
            state=State.PUSHED,
            attempts=0,
            outcome=result.outcome,
            portal_id=result.portal_id or self.portal_id,
            code=result.code,
            message=result.message,
            evidence=result.evidence,
            parked_reason=result.reason,
        )

    def settled(self) -> OutboxEntry:
        """PUSHED -> DONE, or PARKED where a person must act; the lease is dropped."""
        self._must_be(State.PUSHED)
        return replace(self, state=State.PARKED if self.parked_reason else State.DONE, leased=False)

    def not_told(self, reason: ParkedReason, *, code: str, message: str) -> OutboxEntry:
        """PUSHED -> PARKED: Salesforce will not take the answer. An earlier reason to park stays the reason."""
        self._must_be(State.PUSHED)
        return replace(
            self,
            state=State.PARKED,
            leased=False,
            parked_reason=self.parked_reason or reason,
            code=self.code or code,
            message=self.message or message,
        )

    def postponed(self, delay: timedelta, *, code: str | None, message: str | None) -> OutboxEntry:
        """The same state, due after `delay`; the attempt stays charged, the lease is dropped."""
        self._must_be(State.PENDING, State.PUSHED)
        return replace(self, leased=False, due_in=delay, code=code, message=message)

    def released(self, delay: timedelta = timedelta(0)) -> OutboxEntry:
        """Outage, snooze or shutdown: not the row's fault, so the attempt is given back and the lease dropped."""
        self._must_be(State.PENDING, State.PUSHED)
        return replace(self, leased=False, attempts=max(0, self.attempts - 1), due_in=delay)

    def waiting(self, delay: timedelta, *, code: str | None, message: str | None, evidence: str | None) -> OutboxEntry:
        """The same state, due after `delay` if nothing ends the wait before; nobody's fault, as for `released`."""
        return replace(self.released(delay), code=code, message=message, evidence=evidence)

    def _must_be(self, *states: State) -> None:
        if self.state not in states:
            raise ValueError(f"entry {self.id} is {self.state}, not {' or '.join(states)}")


def backoff(attempts: int, *, unit: float, cap: timedelta = timedelta(hours=6)) -> timedelta:
    """The time until the next try: 30 s doubling each attempt up to `cap`; `unit` (0 to 1) takes up to a third off.

    Each try drives a browser, so it starts slower than a queue of web calls would.
    """
    seconds = min(cap.total_seconds(), 30 * 2.0 ** min(attempts - 1, 30))
    return timedelta(seconds=seconds * (1 - unit / 3))
