"""Rows that only wait for Salesforce to be told: how many there are, and many of them claimed and let go of together.

The rules of `outbox` hold for each row as if it were alone: a lease and a fence of its own, a line in the attempts, and
whoever lost his lease writes nothing. Callers own the transaction.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import (
    Select,
    Update,
    and_,
    bindparam,
    case,
    exists,
    func,
    literal_column,
    null,
    or_,
    select,
    tuple_,
    update,
)

from listener import attempts
from listener.atonce import AtOnce
from listener.database import Tx
from listener.due import GIVES, abandoned, answered, is_in, taken, waiting
from listener.entry import OutboxEntry, ParkedReason, State
from listener.gates import LANES, all_open
from listener.outbox import entry_from
from listener.schema import attempt, change, outbox

MOST = 200
"""Records in one call ("Update Records Using sObject Collections")."""
_NOW = func.db_now()
_JOB = outbox.alias("job")


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """What waits to be told and may go. `waiting` counts up to `MOST`; `urgent`: a person or a dead worker left one.

    `oldest`: whether one has waited as long as was asked; `visits`: whether a visit is due that may go; `stale`:
    whether there is something to `recall`.
    """

    waiting: int
    urgent: bool
    oldest: bool
    visits: bool
    stale: bool = False

    @property
    def is_time(self) -> bool:
        """Whether to tell now what waits, and not after the next visit."""
        return self.urgent or (self.waiting > 0 and (self.oldest or not self.visits or self.waiting >= MOST))


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What else is known of an entry. `visits`: how many it took; `later`: its record has changed again since."""

    visits: int = 1
    later: bool = False


async def gathered(tx: Tx, *, after: timedelta) -> Gathered:
    """How things stand with what waits to be told; `after`: how long one may wait for others."""
    row = (await tx.execute(_GATHERED, {"after": -after.total_seconds()})).one()
    asked = {name: bool(getattr(row, name)) for name in ("urgent", "oldest", "visits", "stale")}
    return Gathered(waiting=row.waiting, **asked)


async def recall(tx: Tx) -> int:
    """How many answers are to be told again: PARKED -> PUSHED, with all that they say.

    A record that waits for a person was saved since: in the org that made it look as if it were on its way, with the
    reason gone. It blocks its record all the while, so there is no visit. What is told again was read after the save,
    so each save brings this about once, and our own writes are no saves of anybody's.
    """
    return (await tx.execute(_RECALL)).rowcount


async def claim(tx: Tx, *, worker: str, lease: timedelta) -> list[OutboxEntry]:
    """Up to `MOST` rows that wait to be told, the gate permitting, leased to `worker`, by id; one of a record at most.

    Those whose lease ran out are among them. Raises `Conflict` if two claims met on one record: claim again.
    """
    rows = await _CLAIM[tx.dialect.name].run_many(tx, {"worker": worker, "lease": lease.total_seconds()})
    return sorted((entry_from(row) for row in rows), key=lambda entry: entry.id)


async def save(
    tx: Tx, befores: Sequence[OutboxEntry], after: OutboxEntry, *, error: str | None = None
) -> frozenset[int]:
    """Those, by id, that were still ours, and of which is true now what is true of `after`: PUSHED entries, claimed.

    All of them end alike: told (`after` is DONE or PARKED, for its own reason), or given back with the attempt.
    """
    state, finished = after.state, after.state is State.DONE
    values = {
        "fences": [(entry.id, entry.fence) for entry in befores],
        "ids": [entry.id for entry in befores],
        "new_state": state,
        "due_in": after.due_in.total_seconds(),
    }
    ended = attempts.end_of(befores[0], after, error)
    del ended["ended_step"]
    arrow = _SAVE[tx.dialect.name, finished, state is State.PUSHED]
    return frozenset(row["id"] for row in await arrow.run_many(tx, values | ended))


async def standing(tx: Tx, entry_ids: Collection[int]) -> Mapping[int, Standing]:
    """What else is known of those entries, by id."""
    rows = (await tx.execute(_STANDING, {"ids": list(entry_ids)})).all()
    return {row.id: Standing(visits=row.visits, later=bool(row.later)) for row in rows}


async def not_claimed_since(tx: Tx, entries: Sequence[OutboxEntry]) -> frozenset[int]:
    """Those, by id, that still wait for their next visit as they were let go of."""
    rows = await tx.execute(_AS_THEY_ARE, {"ids": [entry.id for entry in entries]})
    waiting = {(row.id, row.fence) for row in rows if row.state == State.PENDING and row.leased_until is None}
    return frozenset(entry.id for entry in entries if (entry.id, entry.fence) in waiting)


_TO_TELL = waiting(State.PUSHED, _JOB).where(all_open(LANES[State.PUSHED]))
_LEFT = abandoned(State.PUSHED, _JOB, through_gates=True)
# Those of which Salesforce was told what a person must do. Of the others a save brings a visit, or nothing was told.
_ASKED: list[Any] = [
    literal_column(repr(str(one))) for one in (ParkedReason.AMBIGUOUS, ParkedReason.IDENTITY, ParkedReason.IN_DOUBT)
]
_SAVED_SINCE = select(_JOB.c.id).where(
    answered(_JOB),  # for its index
    is_in(State.PARKED, _JOB),
    _JOB.c.parked_reason.in_(_ASKED),
    _JOB.c.outcome.is_not(None),
    exists().where(
        change.c.record_id == _JOB.c.record_id,
        change.c.received_at > _JOB.c.claimed_at,
        # Where the clock was put back, the claim that tells of it would seem the earlier of the two, again and again.
        change.c.received_at <= _NOW,
    ),
    all_open(LANES[State.PUSHED]),
)


def _there_is(rows: Select[Any]) -> Any:
    # In the order of a claim, since without it Postgres finds other ways, which read all that waits.
    return rows.limit(1).scalar_subquery().is_not(None)


_GATHERED = select(
    select(func.count()).select_from(_TO_TELL.limit(MOST).subquery()).scalar_subquery().label("waiting"),
    or_(
        _there_is(_LEFT),
        _there_is(_TO_TELL.where(_JOB.c.priority == literal_column("0"))),
    ).label("urgent"),
    _there_is(_TO_TELL.where(_JOB.c.due_at <= func.db_after(bindparam("after")))).label("oldest"),
    _there_is(waiting(State.PENDING, _JOB).where(all_open(LANES[State.PENDING]))).label("visits"),
    _there_is(_SAVED_SINCE).label("stale"),
)
_RECALL = (
    update(outbox)
    .where(outbox.c.id.in_(_SAVED_SINCE), is_in(State.PARKED))
    .values(state=literal_column(repr(str(State.PUSHED))), attempts=0, due_at=_NOW)
)


def _claim(dialect: str) -> Update:
    other = outbox.alias("other")
    # A person may have had an older answer of the same record told again; one lease a record.
    sooner = exists().where(
        other.c.record_id == _JOB.c.record_id,
        other.c.id < _JOB.c.id,
        answered(other),  # for its index
        is_in(State.PUSHED, other),
        other.c.leased_until.is_(None),
    )
    picks = [rows.limit(MOST) for rows in (_LEFT, _TO_TELL.where(~sooner))]
    if dialect == "postgresql":
        # An array is made once. `IN` may be run again, and then takes more rows.
        locked = [pick.with_for_update(skip_locked=True, of=_JOB) for pick in picks]
        hits = or_(*(outbox.c.id == func.any(func.array(pick.scalar_subquery())) for pick in locked))
    else:
        hits = or_(*(outbox.c.id.in_(pick) for pick in picks))
    return update(outbox).where(hits).values(taken())


_CLAIM = {
    dialect: AtOnce(dialect, _claim(dialect), attempts.begun, gives=GIVES, many=True)
    for dialect in ("postgresql", "sqlite")
}


def _save(*, finished: bool, given_back: bool) -> Update:
    values: dict[str, Any] = {
        "state": bindparam("new_state"),
        "leased_until": null(),
        "due_at": func.db_after(bindparam("due_in")),
    }
    if finished:
        values["finished_at"] = _NOW
    if given_back:
        # Who was answered in this very claim has not been charged for the telling.
        charged = outbox.c.attempts > literal_column("0")
        values["attempts"] = outbox.c.attempts - case((charged, literal_column("1")), else_=literal_column("0"))
    held = and_(
        # Besides, since by the pairs alone SQLite would read the whole table.
        outbox.c.id.in_(bindparam("ids", expanding=True)),
        tuple_(outbox.c.id, outbox.c.fence).in_(bindparam("fences", expanding=True)),
        is_in(State.PUSHED),
        outbox.c.leased_until.is_not(None),
    )
    return update(outbox).where(held).values(values)


_SAVE = {
    (dialect, finished, given_back): AtOnce(
        dialect, _save(finished=finished, given_back=given_back), attempts.tellings_ended, many=True
    )
    for dialect in ("postgresql", "sqlite")
    for finished, given_back in ((True, False), (False, True), (False, False))
}

_later = outbox.alias("later")
_STANDING = select(
    outbox.c.id,
    select(func.count())
    .select_from(attempt)
    .where(
        attempt.c.outbox_id == outbox.c.id,
        attempt.c.step == literal_column("'portal'"),
        attempt.c.outcome.is_distinct_from(literal_column("'released'")),
    )
    .scalar_subquery()
    .label("visits"),
    exists()
    .where(_later.c.record_id == outbox.c.record_id, is_in(State.PENDING, _later), _later.c.leased_until.is_(None))
    .label("later"),
).where(outbox.c.id.in_(bindparam("ids", expanding=True)))

# Nothing more is asked for, or Postgres would rather look through all that wait than for these few.
_AS_THEY_ARE = select(outbox.c.id, outbox.c.fence, outbox.c.state, outbox.c.leased_until).where(
    outbox.c.id.in_(bindparam("ids", expanding=True))
)
