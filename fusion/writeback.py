"""What Salesforce is told about an entry, and what it answers.

Only what differs is written, so an unchanged patient costs no call and makes no event: else write-back and stream would
feed each other for ever. A portal id that Salesforce holds is never overwritten with another.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from fusion.codes import Code
from fusion.mapping import OwnFields
from fusion.visit import on_lane
from listener.change import RecordId
from listener.entry import OutboxEntry, Outcome, ParkedReason
from listener.gates import Lane
from listener.org import Org, Record, RecordError


class Status(StrEnum):
    """`Fusion_Sync_Status__c`, as the path on the record page shows it."""

    SYNCED = "Synced"
    NEEDS_ATTENTION = "Needs Attention"


class Answer(StrEnum):
    """What became of telling Salesforce."""

    TOLD = "told"  # it knows now, or knew already, or the record is gone
    AGAIN = "again"  # not now: the record was locked
    WILL_NOT = "will_not"  # a person must act: access, validation, another portal id


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """The answer for one entry; `code` and `message` say why where it is not `TOLD`."""

    answer: Answer
    code: str = ""
    message: str = ""
    reason: ParkedReason = ParkedReason.NOT_TOLD


_PASSING = frozenset({"UNABLE_TO_LOCK_ROW", "SERVER_UNAVAILABLE", "REQUEST_RUNNING_TOO_LONG"})
_GONE = frozenset({"ENTITY_IS_DELETED", "NOT_FOUND"})


async def _whatever() -> None:
    """No objection."""


async def tell(
    entries: Sequence[OutboxEntry],
    *,
    org: Org,
    own: OwnFields,
    now: datetime,
    about_to_write: Callable[[], Awaitable[None]] = _whatever,
) -> Mapping[int, Told]:
    """The answer by entry id; all entries are of one object. Raises `Outage` (Salesforce's) if it could not be asked.

    Values are absolute, so telling it twice after a lost answer does no harm. Telling it late does: what is newer would
    be undone. So `about_to_write` is called right before, and what it raises comes out unchanged.
    """
    told = {entry.id: Told(answer=Answer.TOLD) for entry in entries if entry.outcome is Outcome.SKIPPED}
    entries = [entry for entry in entries if entry.id not in told]
    if not entries:
        return told
    object_name = entries[0].object_name
    with on_lane(Lane.SALESFORCE):
        records = await org.read(object_name, [entry.record_id for entry in entries], own.names())
    values: dict[RecordId, Record] = {}
    for entry in entries:
        record = records.get(entry.record_id)
        if record is None or record.get("IsDeleted"):
            told[entry.id] = Told(answer=Answer.TOLD)
            continue
        if wanted := fields_for(entry, record, own, now=now):
            values[entry.record_id] = wanted
    errors: Mapping[RecordId, RecordError | None] = {}
    if values:
        await about_to_write()
        with on_lane(Lane.SALESFORCE):
            errors = await org.update(object_name, values)
    for entry in entries:
        if entry.id in told:
            continue
        answer = _answer(errors[entry.record_id] if entry.record_id in values else None)
        other = answer.answer is Answer.TOLD and _holds_another_id(entry, records[entry.record_id], own)
        told[entry.id] = _another_id() if other else answer
    return told


def fields_for(entry: OutboxEntry, record: Record, own: OwnFields, *, now: datetime) -> dict[str, Any]:
    """The fields to write so that the record says what the entry says; {} where it says so already."""
    parked, code, message = entry.parked_reason is not None, entry.code, entry.message
    portal_id = entry.portal_id
    if _holds_another_id(entry, record, own):
        parked, code, message, portal_id = True, Code.DIFFERENT_PORTAL_ID, Code.DIFFERENT_PORTAL_ID.sentence(), None
    says: dict[str, Any] = {
        own.status: Status.NEEDS_ATTENTION if parked else Status.SYNCED,
        own.error_code: code if parked else None,
        own.error: message if parked else None,
    }
    if portal_id is not None:
        says[own.portal_id] = portal_id
    if record.get(own.resync_requested):
        says[own.resync_requested] = False
    changed = {name: value for name, value in says.items() if (record.get(name) or None) != (value or None)}
    if changed or entry.outcome not in (Outcome.UNCHANGED, Outcome.REFUSED):
        moment = now.isoformat(timespec="seconds")
        changed[own.last_attempt_at] = moment
        if not parked:
            changed[own.synced_at] = moment
    return changed


def _holds_another_id(entry: OutboxEntry, record: Record, own: OwnFields) -> bool:
    held = record.get(own.portal_id)
    return bool(held and entry.portal_id and str(held) != entry.portal_id)


def _another_id() -> Told:
    code = Code.DIFFERENT_PORTAL_ID
    return Told(answer=Answer.WILL_NOT, code=code, message=code.sentence(), reason=code.reason)


def _answer(error: RecordError | None) -> Told:
    if error is None or error.code in _GONE:
        return Told(answer=Answer.TOLD)
    where = f" ({', '.join(error.fields)})" if error.fields else ""
    if error.code in _PASSING:
        return Told(answer=Answer.AGAIN, code=error.code, message=f"Salesforce answered {error.code}{where}.")
    message = f"Salesforce would not take the answer: {error.code}{where}. Admin: check access and validation rules."
    return Told(answer=Answer.WILL_NOT, code=error.code, message=message[:255])
