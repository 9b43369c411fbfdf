"""Which row is the next, as statements that are built once; `outbox` runs them.

State names are literals and not parameters: else Postgres, planning without the values, could not use a partial index.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, bindparam, exists, func, literal_column, select, update
from sqlalchemy.sql.dml import ReturningUpdate

from listener.entry import BLOCKING, State
from listener.schema import outbox

_NOW = func.db_now()
BLOCKING_REASONS: list[Any] = [literal_column(repr(str(reason))) for reason in sorted(BLOCKING)]


def is_in(state: State, rows: Any = outbox) -> Any:
    """Whether the row is in that state."""
    return rows.c.state == literal_column(repr(str(state)))


def answered(rows: Any) -> Any:
    """Whether the portal has answered, and somebody must still do something."""
    # As in ix_outbox_answered, letter by letter: SQLite compares the texts.
    return rows.c.state.in_([literal_column(repr(str(state))) for state in (State.PARKED, State.PUSHED)])


def _candidates(stage: State) -> tuple[Any, Select[Any]]:
    job = outbox.alias("job")
    return job, select(job.c.id).where(is_in(stage, job)).limit(1)


def _abandoned(stage: State) -> Select[Any]:
    job, rows = _candidates(stage)
    return rows.where(job.c.leased_until.is_not(None), job.c.leased_until < _NOW).order_by(job.c.leased_until)


def _waiting(stage: State) -> Select[Any]:
    job, rows = _candidates(stage)
    leased, blocking = outbox.alias("leased"), outbox.alias("blocking")
    rows = rows.where(
        job.c.leased_until.is_(None),
        job.c.due_at <= _NOW,
        ~exists().where(leased.c.record_id == job.c.record_id, leased.c.leased_until.is_not(None)),
    ).order_by(job.c.priority, job.c.due_at, job.c.id)
    if stage is State.PENDING:
        rows = rows.where(
            ~exists().where(
                blocking.c.record_id == job.c.record_id,
                answered(blocking),
                blocking.c.parked_reason.in_(BLOCKING_REASONS),
            ),
            job.c.id > literal_column("0"),  # always; see ix_outbox_pending
        )
    return rows


_ABANDONED = {stage: _abandoned(stage) for stage in (State.PENDING, State.PUSHED)}
WAITING = {stage: _waiting(stage) for stage in (State.PENDING, State.PUSHED)}


def _claim(stage: State, *, postgres: bool) -> ReturningUpdate[Any]:
    picks = [_ABANDONED[stage], WAITING[stage]]
    if postgres:
        picks = [pick.with_for_update(skip_locked=True, of=pick.get_final_froms()[0]) for pick in picks]
    return (
        update(outbox)
        # A scalar sub-select is run once, the second one only where the first finds nothing; Postgres may run
        # `IN (… LIMIT 1)` again and take more rows than one.
        .where(outbox.c.id == func.coalesce(*(pick.scalar_subquery() for pick in picks)))
        .values(
            fence=outbox.c.fence + 1,
            attempts=outbox.c.attempts + 1,
            worker=bindparam("worker"),
            claimed_at=_NOW,
            leased_until=func.db_after(bindparam("lease")),
        )
        .returning(outbox)
    )


CLAIM = {
    (dialect, stage): _claim(stage, postgres=dialect == "postgresql")
    for dialect in ("postgresql", "sqlite")
    for stage in (State.PENDING, State.PUSHED)
}
"""Built once, as is `outbox.save`: to build a statement takes longer than to run it."""
