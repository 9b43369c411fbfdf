"""Which row is the next, as statements that are built once; `outbox` and `tellings` run them.

Rows whose lease ran out come first: their holder is dead or lost. State names are literals and not parameters: else
Postgres, planning without the values, could not use a partial index.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, Update, bindparam, exists, func, literal_column, select, update

from listener import allowance, attempts
from listener.atonce import AtOnce
from listener.entry import BLOCKING, State
from listener.gates import LANES, all_open
from listener.schema import outbox

_NOW = func.db_now()
STAGES = (State.PUSHED, State.PENDING)
"""Those that a row can be claimed in, in the order in which they are looked at."""
BLOCKING_REASONS: list[Any] = [literal_column(repr(str(reason))) for reason in sorted(BLOCKING)]

GIVES = (
    *("id", "object_name", "record_id", "state", "priority", "attempts", "changes", "changed_at", "created_at"),
    *("fence", "worker", "leased_until", "intent_fence", "intent_identity"),
    *("outcome", "portal_id", "code", "message", "evidence", "parked_reason"),
)
"""What an entry is made of; see `outbox.entry_from`."""
# Literals again, since each parameter is one to check and to send.
_ONE: Any = literal_column("1")


def is_in(state: State, rows: Any = outbox) -> Any:
    """Whether the row is in that state."""
    return rows.c.state == literal_column(repr(str(state)))


def answered(rows: Any) -> Any:
    """Whether the portal has answered, and somebody must still do something."""
    # As in ix_outbox_answered, letter by letter: SQLite compares the texts.
    return rows.c.state.in_([literal_column(repr(str(state))) for state in (State.PARKED, State.PUSHED)])


def abandoned(stage: State, job: Any, *, through_gates: bool) -> Select[Any]:
    """Those of a stage whose lease ran out, the oldest first; `job` names the rows."""
    rows = select(job.c.id).where(is_in(stage, job), job.c.leased_until.is_not(None), job.c.leased_until < _NOW)
    if through_gates:
        rows = rows.where(all_open(LANES[stage]))
    return rows.order_by(job.c.leased_until)


def waiting(stage: State, job: Any) -> Select[Any]:
    """Those of a stage that nobody holds and that are due, in the order of work; `job` names the rows."""
    leased, blocking = outbox.alias("leased"), outbox.alias("blocking")
    rows = (
        select(job.c.id)
        .where(
            is_in(stage, job),
            job.c.leased_until.is_(None),
            job.c.due_at <= _NOW,
            allowance.may_go(job),
            ~exists().where(leased.c.record_id == job.c.record_id, leased.c.leased_until.is_not(None)),
        )
        .order_by(job.c.priority, job.c.due_at, job.c.id)
    )
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


_JOB = outbox.alias("job")
# The one is a parameter: where SQLite reads a literal 1, it plans otherwise and sorts.
NEXT = {stage: waiting(stage, _JOB).limit(1) for stage in STAGES}


def _claim(dialect: str, stage: State, *, through_gates: bool) -> Update:
    next_one = NEXT[stage].where(all_open(LANES[stage])) if through_gates else NEXT[stage]
    picks = [abandoned(stage, _JOB, through_gates=through_gates).limit(1), next_one]
    if dialect == "postgresql":
        picks = [pick.with_for_update(skip_locked=True, of=pick.get_final_froms()[0]) for pick in picks]
    return (
        update(outbox)
        # A scalar sub-select is run once, and each only where those before it find nothing; Postgres may run
        # `IN (… LIMIT 1)` again and take more rows than one.
        .where(outbox.c.id == func.coalesce(*(pick.scalar_subquery() for pick in picks)))
        .values(taken())
    )


def taken() -> dict[str, Any]:
    """What a claim makes of a row."""
    return {
        "fence": outbox.c.fence + _ONE,
        "attempts": outbox.c.attempts + _ONE,
        "worker": bindparam("worker"),
        "claimed_at": _NOW,
        "leased_until": func.db_after(bindparam("lease")),
    }


CLAIM = {
    (dialect, stage): AtOnce(dialect, _claim(dialect, stage, through_gates=False), attempts.begun, gives=GIVES)
    for dialect in ("postgresql", "sqlite")
    for stage in STAGES
}
"""The next of one stage, whatever the gates say."""
CLAIM_VISIT = {
    dialect: AtOnce(dialect, _claim(dialect, State.PENDING, through_gates=True), attempts.begun, gives=GIVES)
    for dialect in ("postgresql", "sqlite")
}
"""The next that waits for a visit, if both lanes are open."""
