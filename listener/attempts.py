"""What was tried on a row, one line a step and claim. An attempt without an end was cut off: its holder died.

The line is written in the transaction of the claim, so there is no portal write without one.
"""

from __future__ import annotations

from sqlalchemy import bindparam, func, insert, update

from listener.database import Tx
from listener.entry import OutboxEntry, State
from listener.schema import attempt

# Built once: to build a statement takes longer than to run it.
_BEGIN = insert(attempt).values(started_at=func.db_now()).inline()
_END = (
    update(attempt)
    .where(
        attempt.c.outbox_id == bindparam("of_entry"),
        attempt.c.fence == bindparam("of_fence"),
        attempt.c.step == bindparam("of_step"),
    )
    .values(ended_at=func.db_now())
)


async def begin(tx: Tx, entry: OutboxEntry) -> None:
    """Put down that the entry's step is being tried under its present fence."""
    values = {"outbox_id": entry.id, "fence": entry.fence, "step": _step(entry), "worker": entry.worker}
    await tx.execute(_BEGIN, values)


async def end(tx: Tx, before: OutboxEntry, after: OutboxEntry, error: str | None) -> None:
    """Put down how it ended; `error` is the class of what went wrong."""
    which = {"of_entry": before.id, "of_fence": before.fence, "of_step": _step(before)}
    how = {
        "outcome": _outcome(before, after, error),
        "error_class": error,
        "message": after.message,
        "evidence": after.evidence,
    }
    await tx.execute(_END, which | how)


def _step(entry: OutboxEntry) -> str:
    return "portal" if entry.state is State.PENDING else "writeback"


def _outcome(before: OutboxEntry, after: OutboxEntry, error: str | None) -> str:
    if after.state is before.state:
        return "released" if error in (None, "Outage") else "failed"
    if before.state is State.PENDING:
        return str(after.outcome)
    return "told" if after.state is State.DONE else "parked"
