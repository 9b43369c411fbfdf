"""What a person does to the outbox: through the same rows and rules as a worker, and each time with who and why.

Nothing here touches a row that is being worked on: the person is told so and tries again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import func, insert, select, update

from listener import gates, links
from listener.change import RecordId
from listener.database import Tx
from listener.entry import CONFIRMED_NEW, ParkedReason, State
from listener.errors import Conflict, EntryError
from listener.gates import Lane
from listener.links import Link
from listener.schema import action, outbox

_NOW = func.db_now()
_AT_ONCE = {"due_at": _NOW, "priority": 0, "attempts": 0}
"""A person waits for it."""
_DOUBT = ("intent_at", "intent_fence", "intent_identity")


async def retry(tx: Tx, entry_id: int, *, actor: str, reason: str) -> str:
    """Have the row worked again now, with all its attempts; what became of it, in a sentence.

    A parked row whose record has a newer one gives way to it. A save that was cut off stays a doubt: it is looked for.
    """
    row = await _at_rest(tx, entry_id)
    await note(tx, actor, "retry", entry_id, reason)
    match State(row["state"]):
        case State.PARKED if row["parked_reason"] == ParkedReason.NOT_TOLD:
            await _set(tx, entry_id, state=State.PUSHED, parked_reason=None, code=None, message=None, **_AT_ONCE)
            return f"Entry {entry_id} is told to Salesforce again; the portal is not visited."
        case State.PARKED:
            return await _reopen(tx, row)
        case State.PENDING | State.PUSHED:
            await _set(tx, entry_id, **_AT_ONCE)
            return f"Entry {entry_id} is due now."
        case _:
            raise EntryError(
                f"entry {entry_id} is {row['state']}: there is nothing to try again",
                hint="change the record in Salesforce, or ask for a resync there",
            )


async def hold(tx: Tx, entry_id: int, *, actor: str, reason: str) -> str:
    """Keep the row, and all later changes of its record, from the portal until it is released."""
    row = await _at_rest(tx, entry_id)
    if row["state"] != State.PENDING:
        raise EntryError(f"entry {entry_id} is {row['state']}: only what waits for the portal can be held")
    await note(tx, actor, "hold", entry_id, reason)
    await _set(tx, entry_id, state=State.PARKED, parked_reason=ParkedReason.HELD, message=f"Held by {actor}.")
    return f"Entry {entry_id} is held, and so is whatever changes of record {row['record_id']}."


async def release(tx: Tx, entry_id: int, *, actor: str, reason: str) -> str:
    """Let a held row go on."""
    row = await _at_rest(tx, entry_id)
    if row["parked_reason"] != ParkedReason.HELD or row["state"] != State.PARKED:
        raise EntryError(f"entry {entry_id} is not held", hint="`retry` or `resolve` is for what is parked otherwise")
    await note(tx, actor, "release", entry_id, reason)
    return await _reopen(tx, row)


async def resolve_as_chart(tx: Tx, entry_id: int, portal_id: str, *, actor: str, reason: str) -> str:
    """The person has looked: that chart is this patient's. The row is worked again, on that chart.

    Raises `Conflict` if the chart is another record's or the record has another chart.
    """
    row = await _parked(tx, entry_id)
    await link_by_hand(tx, RecordId(row["record_id"]), portal_id)
    await note(tx, actor, "resolve", entry_id, f"chart {portal_id}: {reason}")
    return await _reopen(tx, row, resolved_by=actor, resolved_at=_NOW)


async def resolve_as_new(tx: Tx, entry_id: int, *, actor: str, reason: str) -> str:
    """The person has looked: no chart is this patient's, and no save of ours went through. A new chart is made."""
    row = await _parked(tx, entry_id)
    if await links.of_record(tx, RecordId(row["record_id"])) is not None:
        raise EntryError(f"record {row['record_id']} has a chart already", hint="`relink` is for a wrong one")
    await note(tx, actor, "resolve", entry_id, f"new: {reason}")
    no_doubt = dict.fromkeys(_DOUBT)
    return await _reopen(tx, row, code=CONFIRMED_NEW, **no_doubt, resolved_by=actor, resolved_at=_NOW)


async def linked_to(tx: Tx, entry_id: int, portal_id: str) -> Link:
    """The link of a parked row's record, which is to be to that chart; `EntryError` or `Conflict` if it may not.

    Only where whose chart it is is in question: a record that is at peace with its chart keeps it.
    """
    row = await _parked(tx, entry_id)
    found = await links.of_record(tx, RecordId(row["record_id"]))
    if found is None:
        raise EntryError(f"record {row['record_id']} has no chart yet", hint="`resolve ID --chart N` gives it one")
    if row["parked_reason"] != ParkedReason.IDENTITY:
        raise EntryError(f"entry {entry_id} does not ask whose chart it is", hint="`show ID` says what it asks")
    await _of_nobody_else(tx, found.record_id, portal_id)
    return found


async def relink(tx: Tx, entry_id: int, portal_id: str, *, actor: str, reason: str) -> str:
    """The person has looked: the record's chart is that one, not the one it is linked to. It is worked again there."""
    before = await linked_to(tx, entry_id, portal_id)
    await links.move(tx, before.record_id, portal_id)
    await note(tx, actor, "relink", entry_id, f"chart {before.portal_id} -> {portal_id}: {reason}")
    return await _reopen(tx, await _parked(tx, entry_id), resolved_by=actor, resolved_at=_NOW)


async def resolve_as_done(tx: Tx, entry_id: int, *, actor: str, reason: str) -> str:
    """The person has done by hand what there was to do; later changes of the record go on."""
    await _parked(tx, entry_id)
    await note(tx, actor, "resolve", entry_id, f"done: {reason}")
    await _set(tx, entry_id, state=State.DONE, finished_at=_NOW, resolved_by=actor, resolved_at=_NOW)
    return f"Entry {entry_id} is done."


async def pause(tx: Tx, lane: Lane, *, actor: str, reason: str) -> str:
    """Let nothing go to that side until a person resumes it."""
    await note(tx, actor, "pause", lane, reason)
    await gates.pause(tx, lane, actor=actor, reason=reason)
    return f"The way to {lane} is paused; what changes waits."


async def resume(tx: Tx, lane: Lane, *, actor: str, reason: str) -> str:
    """Let everything go to that side again, whatever had stopped it."""
    await note(tx, actor, "resume", lane, reason)
    await gates.resume(tx, lane, actor=actor)
    return f"The way to {lane} is open."


async def link_by_hand(tx: Tx, record_id: RecordId, portal_id: str) -> None:
    """A person says that the chart is this record's. `Conflict` if it is another's, or the record has another."""
    await _of_nobody_else(tx, record_id, portal_id)
    await links.make(tx, Link(record_id=record_id, portal_id=portal_id, how="by_hand", identity=None))


async def _of_nobody_else(tx: Tx, record_id: RecordId, portal_id: str) -> None:
    owner = await links.of_chart(tx, portal_id)
    if owner is not None and owner.record_id != record_id:
        raise Conflict(
            f"chart {portal_id} is record {owner.record_id}'s already", hint="which of the two is right? see both"
        )


async def note(tx: Tx, actor: str, verb: str, target: object, reason: str) -> None:
    """Keep who did what to which, and why."""
    await tx.execute(insert(action).values(at=_NOW, actor=actor, verb=verb, target=str(target), reason=reason))


async def _reopen(tx: Tx, row: Mapping[str, Any], **also: Any) -> str:
    """PARKED -> PENDING, or into the row that waits for the record already: a record has one waiting row."""
    cleared = {"parked_reason": None, "code": None, "message": None, "outcome": None, **also}
    waiting = select(outbox).where(
        outbox.c.record_id == row["record_id"], outbox.c.state == State.PENDING, outbox.c.leased_until.is_(None)
    )
    newer = (await tx.execute(waiting.with_for_update())).mappings().one_or_none()
    if newer is None:
        await _set(tx, row["id"], state=State.PENDING, **_AT_ONCE, **cleared)
        return f"Entry {row['id']} is due now."
    # The doubt and the decision belong to the record, so they go with it. A doubt of the newer row's own stays.
    carried = {name: also[name] for name in ("code",) if name in also}
    doubt = {name: {**row, **also}[name] for name in _DOUBT}
    if newer["intent_fence"] is None and doubt["intent_fence"] is not None:
        # An intent is older than every claim that is still to come, and a fence never goes back.
        carried |= {**doubt, "fence": max(row["fence"], newer["fence"])}
    await _set(tx, row["id"], state=State.SUPERSEDED, finished_at=_NOW, **{"resolved_by": None, **also})
    await _set(tx, newer["id"], **_AT_ONCE, **carried)
    return f"Entry {row['id']} gave way to {newer['id']}, which is due now."


async def _at_rest(tx: Tx, entry_id: int) -> Mapping[str, Any]:
    row = (await tx.execute(select(outbox).where(outbox.c.id == entry_id).with_for_update())).mappings().first()
    if row is None:
        raise EntryError(f"there is no entry {entry_id}", hint="`fusion-sync outbox` lists them")
    if row["leased_until"] is not None:
        raise EntryError(f"entry {entry_id} is being worked on", hint="wait until that is through, or a minute")
    return dict(row)


async def _parked(tx: Tx, entry_id: int) -> Mapping[str, Any]:
    row = await _at_rest(tx, entry_id)
    if row["state"] != State.PARKED:
        raise EntryError(f"entry {entry_id} is {row['state']}: nothing waits for a person there")
    return row


async def _set(tx: Tx, entry_id: int, **values: Any) -> None:
    await tx.execute(update(outbox).where(outbox.c.id == entry_id).values(values))
