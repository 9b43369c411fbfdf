"""Every write to the outbox. Callers own the transaction; whatever happens inside one happens whole or not at all.

Three rules hold the promise. A record has at most one waiting row (later changes fold into it) and at most one lease.
Whoever claimed a row writes with the fence of that claim, so a holder that was thought dead writes nothing. And an
intent is committed before the click that saves, so that after a crash the next holder knows to look first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from itertools import product
from typing import Any

from sqlalchemy import (
    Select,
    Update,
    and_,
    bindparam,
    case,
    func,
    literal,
    literal_column,
    null,
    or_,
    select,
    update,
)

from listener import arrivals, attempts
from listener.atonce import AtOnce, of
from listener.change import Change, RecordId
from listener.database import Tx
from listener.due import BLOCKING_REASONS, CLAIM, CLAIM_VISIT, NEXT, answered, is_in
from listener.entry import OutboxEntry, Outcome, ParkedReason, State
from listener.errors import LeaseLost
from listener.positions import Position
from listener.schema import change, outbox

_NOW = func.db_now()


async def append(tx: Tx, changes: Sequence[Change], position: Position | None, *, settle: timedelta) -> int:
    """The number of changes that were new; all of them, their outbox rows and the position become true together.

    A change that is known already adds nothing. One whose record has a waiting row folds into it; else a row is made,
    due after `settle`, so that an edit in several saves becomes one visit. Raises `Conflict` if another process keeps
    one of these changes at this very moment: begin a new transaction and append again.
    """
    return await arrivals.keep(tx, changes, position, settle=settle)


async def claim(tx: Tx, *, worker: str, lease: timedelta) -> OutboxEntry | None:
    """The next that is due for a visit if both gates are open, leased to `worker` with a new fence; else None.

    Rows whose lease ran out come first: their holder is dead or lost. The attempt is charged now, so a row that kills
    its workers runs out of attempts. Raises `Conflict` if two claims met on one record: claim again.
    """
    return _entry(await CLAIM_VISIT[tx.dialect.name].run(tx, {"worker": worker, "lease": lease.total_seconds()}))


async def claim_to_probe(tx: Tx, stage: State, *, worker: str, lease: timedelta) -> OutboxEntry | None:
    """The same for either stage and whatever the gates say: for who has seen that one of them may be probed."""
    return _entry(await CLAIM[tx.dialect.name, stage].run(tx, {"worker": worker, "lease": lease.total_seconds()}))


async def beat(tx: Tx, entry: OutboxEntry, *, lease: timedelta, deadline: timedelta) -> bool:
    """Whether the lease is ours for another `lease`; False once it is lost, or the visit has run past `deadline`."""
    alive = outbox.c.claimed_at > func.db_after(-deadline.total_seconds())
    held = update(outbox).where(_held(entry), alive).values(leased_until=func.db_after(lease.total_seconds()))
    return (await tx.execute(held)).rowcount == 1


async def intend(tx: Tx, entry: OutboxEntry, *, identity: str | None = None) -> None:
    """Put down that Save is about to be clicked; raises `LeaseLost` unless the lease is still valid by the database.

    `identity`: the digest of the patient, where the click is to make a chart.
    """
    mark = update(outbox).where(_held(entry), outbox.c.leased_until > _NOW)
    values: dict[str, Any] = {"intent_at": _NOW, "intent_fence": entry.fence}
    if identity is not None:
        values["intent_identity"] = identity
    if (await tx.execute(mark.values(values))).rowcount != 1:
        raise LeaseLost(f"entry {entry.id} is no longer ours")


async def holds(tx: Tx, entry: OutboxEntry) -> bool:
    """Whether the entry is still ours; if so, it stays ours until this transaction ends."""
    row = select(outbox.c.id).where(_held(entry))
    return (await tx.execute(row.with_for_update())).first() is not None


def is_one_write(after: OutboxEntry) -> bool:
    """Whether `save` draws this arrow in one statement, so that `Database.at_once` will do."""
    return after.leased or after.state is not State.PENDING


async def save(tx: Tx, before: OutboxEntry, after: OutboxEntry, *, error: str | None = None) -> bool:
    """Make an arrow true: whether it was still ours to draw. False: the lease is lost, and nothing was written.

    `error` is the class of what went wrong, for the attempt's row. Raises `Conflict` where a change came in at that
    very moment: begin a new transaction and save again.
    """
    follow_up = None
    if not is_one_write(after):
        if not await holds(tx, before):
            return False
        follow_up = await _follow_up_superseded(tx, after)
    answers = after.state is State.PUSHED and before.state is State.PENDING
    finished = after.state in (State.DONE, State.SUPERSEDED)
    which = {"of_entry": before.id, "of_fence": before.fence, "of_state": before.state}
    what = {f"new_{column}": getattr(after, column) for column in _ANSWER}
    when = {} if after.leased else {"due_in": after.due_in.total_seconds()}
    arrow = _SAVE[tx.dialect.name, after.leased, answers, finished]
    if await arrow.run(tx, which | what | when | attempts.end_of(before, after, error)) is None:
        return False
    if follow_up is not None:
        await _take_over(tx, after, follow_up)
    return True


async def expire_leases(tx: Tx, workers: Sequence[str]) -> int:
    """The number of leases of those workers, which are known to be dead, that run out now instead of later."""
    dead = update(outbox).where(outbox.c.leased_until.is_not(None), outbox.c.worker.in_(workers))
    return (await tx.execute(dead.values(leased_until=func.db_after(-1.0)))).rowcount


async def leasing_workers(tx: Tx) -> list[str]:
    """Who holds a lease, or held one until it ran out."""
    names = select(outbox.c.worker).where(outbox.c.leased_until.is_not(None)).distinct()
    return [name for name in (await tx.execute(names)).scalars() if name is not None]


def next_due(stage: State) -> Select[Any]:
    """What a claim of that stage looks for where no lease ran out; for a look at its plan."""
    return NEXT[stage]


def _entry(row: Mapping[str, Any] | None) -> OutboxEntry | None:
    return None if row is None else entry_from(row)


def entry_from(row: Any) -> OutboxEntry:
    """A row of the outbox as a value."""
    return OutboxEntry(
        id=row["id"],
        object_name=row["object_name"],
        record_id=RecordId(row["record_id"]),
        state=State(row["state"]),
        priority=row["priority"],
        attempts=row["attempts"],
        changes=row["changes"],
        changed_at=row["changed_at"],
        created_at=row["created_at"],
        fence=row["fence"],
        worker=row["worker"],
        leased=row["leased_until"] is not None,
        intent_fence=row["intent_fence"],
        intent_identity=row["intent_identity"],
        outcome=Outcome(row["outcome"]) if row["outcome"] else None,
        portal_id=row["portal_id"],
        code=row["code"],
        message=row["message"],
        evidence=row["evidence"],
        parked_reason=ParkedReason(row["parked_reason"]) if row["parked_reason"] else None,
    )


def _held(entry: OutboxEntry) -> Any:
    # The state too: a save whose answer was lost may have been made true, and must not be drawn a second time.
    return and_(
        outbox.c.id == entry.id,
        outbox.c.fence == entry.fence,
        outbox.c.state == entry.state,
        outbox.c.leased_until.is_not(None),
    )


def _lesser(one: Any, other: Any) -> Any:
    return case((one < other, one), else_=other)


_ANSWER = ("state", "attempts", "outcome", "portal_id", "code", "message", "evidence", "parked_reason")


def _save(*, keeps_lease: bool, answers: bool, finished: bool) -> Update:
    values: dict[str, Any] = {column: bindparam(f"new_{column}") for column in _ANSWER}
    if not keeps_lease:
        values |= {"leased_until": null(), "due_at": func.db_after(bindparam("due_in"))}
    if answers:
        values["pushed_at"] = _NOW
    if finished:
        values["finished_at"] = _NOW
    return (
        update(outbox)
        .where(
            outbox.c.id == bindparam("of_entry"),
            outbox.c.fence == bindparam("of_fence"),
            # The state too: a save whose answer was lost may have been made true, and must not be drawn a second time.
            outbox.c.state == bindparam("of_state"),
            outbox.c.leased_until.is_not(None),
        )
        .values(values)
    )


def _covered(hit: Any) -> Update:
    """What was read now covers what was read before: nothing older of this record needs an answer or a person."""
    return (
        update(outbox)
        .where(
            outbox.c.record_id == of(hit, "record_id"),
            outbox.c.id < of(hit, "id"),
            outbox.c.leased_until.is_(None),
            answered(outbox),
            or_(outbox.c.parked_reason.is_(None), outbox.c.parked_reason.not_in(BLOCKING_REASONS)),
        )
        .values(state=literal_column(repr(str(State.SUPERSEDED))), finished_at=_NOW)
    )


_SAVE = {
    (dialect, keeps_lease, answers, finished): AtOnce(
        dialect,
        _save(keeps_lease=keeps_lease, answers=answers, finished=finished),
        attempts.ended,
        *([_covered] if answers else []),
        *([attempts.begun] if keeps_lease else []),
    )
    for dialect in ("postgresql", "sqlite")
    for keeps_lease, answers, finished in product((False, True), repeat=3)
}


async def _follow_up_superseded(tx: Tx, entry: OutboxEntry) -> Any:
    """The row, if any, that was made while this one was leased: a record has one waiting row, so that one goes."""
    waiting = (outbox.c.record_id == entry.record_id, is_in(State.PENDING), outbox.c.leased_until.is_(None))
    gone = update(outbox).where(*waiting).values(state=State.SUPERSEDED, finished_at=_NOW)
    return (await tx.execute(gone.returning(outbox))).first()


async def _take_over(tx: Tx, entry: OutboxEntry, follow_up: Any) -> None:
    """Give the row, which waits again, what was folded into the other one."""
    await tx.execute(update(change).where(change.c.outbox_id == follow_up.id).values(outbox_id=entry.id))
    taken = {
        "changes": outbox.c.changes + follow_up.changes,
        "changed_at": max(entry.changed_at, follow_up.changed_at),
        "priority": min(entry.priority, follow_up.priority),
        "due_at": _lesser(literal(follow_up.due_at, outbox.c.due_at.type), outbox.c.due_at),
    }
    await tx.execute(update(outbox).where(outbox.c.id == entry.id).values(taken))
