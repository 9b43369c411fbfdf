"""What was tried on a row, one line a step and claim. An attempt without an end was cut off: its holder died.

The line is written with the claim, so there is no portal write without one.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Insert, Update, bindparam, case, func, insert, literal_column, select, update

from listener.entry import OutboxEntry, State
from listener.schema import attempt


def begun(hit: Any) -> Insert:
    """Put down that the step of the row that was hit is being tried under its present fence."""
    step = case(
        (hit.c.state == literal_column("'PENDING'"), literal_column("'portal'")), else_=literal_column("'writeback'")
    )
    line = select(hit.c.id, hit.c.fence, step, hit.c.worker, func.db_now())
    return insert(attempt).from_select(["outbox_id", "fence", "step", "worker", "started_at"], line)


def ended(hit: Any) -> Update:
    """Put down how the step that was being tried ended; see `end_of` for the values."""
    return _ended(hit, bindparam("ended_step"))


def tellings_ended(hit: Any) -> Update:
    """The same for many rows whose write-back ended alike."""
    return _ended(hit, literal_column("'writeback'"))


def _ended(hit: Any, step: Any) -> Update:
    its = (attempt.c.outbox_id == hit.c.id, attempt.c.fence == hit.c.fence, attempt.c.step == step)
    return (
        update(attempt)
        .where(*its)
        .values(
            ended_at=func.db_now(),
            outcome=bindparam("ended_outcome"),
            error_class=bindparam("ended_error"),
            message=hit.c.message,
            evidence=hit.c.evidence,
        )
    )


def end_of(before: OutboxEntry, after: OutboxEntry, error: str | None) -> dict[str, Any]:
    """The values for `ended`; `error` is the class of what went wrong."""
    return {
        "ended_step": "portal" if before.state is State.PENDING else "writeback",
        "ended_outcome": _outcome(before, after, error),
        "ended_error": error,
    }


def _outcome(before: OutboxEntry, after: OutboxEntry, error: str | None) -> str:
    if after.state is before.state:
        return "released" if error in (None, "Outage") else "failed"
    if before.state is State.PENDING:
        return str(after.outcome)
    return "told" if after.state is State.DONE else "parked"
