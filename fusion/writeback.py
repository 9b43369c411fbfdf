"""What Salesforce is told about an entry, field by field, and what its answers mean. Pure.

Only what differs is written, so an unchanged patient costs no call and makes no event: else write-back and stream would
feed each other for ever. A portal id that Salesforce holds is never overwritten with another.

Who says which status. The org's own flow says `Pending` and `Not Ready` when a person saves. We say `Synced` and
`Needs Attention` with the answer; `Retrying` after a visit that failed and will be made again, or
waits until a change of the portal is dealt with; `In Progress` for a
visit that goes on for so long that a person may see it; and `Pending` again where one of these would hide that the
record has changed since.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from fusion.codes import Code
from fusion.mapping import OwnFields
from listener.entry import OutboxEntry, Outcome, ParkedReason, State
from listener.org import Record, RecordError
from listener.tellings import Standing

LONGEST = 255
"""Characters of `Fusion_Sync_Error__c`."""


class Status(StrEnum):
    """`Fusion_Sync_Status__c`, as the path on the record page shows it."""

    PENDING = "Pending"
    IN_PROGRESS = "In Progress"
    SYNCED = "Synced"
    RETRYING = "Retrying"
    NEEDS_ATTENTION = "Needs Attention"


class Answer(StrEnum):
    """What became of telling Salesforce."""

    TOLD = "told"  # it knows now, or knew already, or the record is gone
    AGAIN = "again"  # not now: the record was locked, or nothing that has it in it is answered
    WILL_NOT = "will_not"  # a person must act: access, validation, another portal id


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """The answer for one entry; `code` and `message` say why where it is not `TOLD`."""

    answer: Answer
    code: str = ""
    message: str = ""
    reason: ParkedReason = ParkedReason.NOT_TOLD


TOLD = Told(answer=Answer.TOLD)
_AS_IT_IS = Standing()
_PASSING = frozenset({"UNABLE_TO_LOCK_ROW", "SERVER_UNAVAILABLE", "REQUEST_RUNNING_TOO_LONG"})
_GONE = frozenset({"ENTITY_IS_DELETED", "NOT_FOUND"})
_NOT_WRITABLE = frozenset({"INVALID_FIELD_FOR_INSERT_UPDATE", "INVALID_FIELD"})
_CODES = frozenset(Code)
_SAVED = (Outcome.CREATED, Outcome.LINKED, Outcome.UPDATED)


def fields_for(
    entry: OutboxEntry, record: Record, own: OwnFields, *, now: datetime, standing: Standing = _AS_IT_IS
) -> dict[str, Any]:
    """The fields to write so that the record says what the entry says; {} where it says so already.

    `record`: as Salesforce has it, with our fields. An entry that is still PENDING is about to be tried again.
    """
    if entry.state is State.PENDING:
        return _differing(_trying(entry, own, now=now), record)
    parked, code, message = entry.parked_reason is not None, entry.code, entry.message
    portal_id, blocks = entry.portal_id, entry.parked_reason is not None and entry.parked_reason.blocks
    if holds_another_id(entry, record, own):
        parked, code, message = True, Code.DIFFERENT_PORTAL_ID, Code.DIFFERENT_PORTAL_ID.sentence()
        portal_id, blocks = None, True
    # What was asked for since, and what was mended since, is for the visit that is still to come.
    passed_over = standing.later and not blocks
    says: dict[str, Any] = {own.portal_id: portal_id} if portal_id is not None else {}
    if passed_over:
        says[own.status] = Status.PENDING
    else:
        says |= {
            own.status: Status.NEEDS_ATTENTION if parked else Status.SYNCED,
            own.error_code: code if parked else None,
            own.error: message if parked else None,
            own.resync_requested: False,
        }
    changed = _differing(says, record)
    if changed or entry.outcome in _SAVED:
        tried: dict[str, Any] = {own.last_attempt_at: _moment(now)}
        if not parked:
            tried[own.synced_at] = _moment(now)
        if not passed_over:
            tried[own.attempts] = standing.visits
        # Twice in one second is told once: a write that changes nothing makes an event without a field, and that could
        # be a field which the listener may not see.
        changed |= _differing(tried, record)
    return changed


def attention(told: Told, record: Record, own: OwnFields, *, now: datetime) -> dict[str, Any]:
    """What can still be said of a record that would not take the answer: that a person must act, and who."""
    code = told.code if told.code in _CODES else Code.NOT_TOLD
    says = {own.status: Status.NEEDS_ATTENTION, own.error_code: code, own.error: told.message}
    return _differing(says | {own.last_attempt_at: _moment(now)}, record)


def in_progress(record: Record, own: OwnFields) -> dict[str, Any]:
    """What a record is to say while a long visit is under way."""
    return _differing({own.status: Status.IN_PROGRESS, own.error_code: None, own.error: None}, record)


def holds_another_id(entry: OutboxEntry, record: Record, own: OwnFields) -> bool:
    """Whether Salesforce names another chart than we linked."""
    held = record.get(own.portal_id)
    return bool(held and entry.portal_id and str(held) != entry.portal_id)


def can_go_by(record: Record | None, entry: OutboxEntry, own: OwnFields) -> bool:
    """Whether what was read at the start of the visit will do for what Salesforce has, so that it need not be asked.

    It will where the id that we would write stood there already. A person may have typed another one since, and that
    must never be overwritten; all else that may have changed is `Pending` and a resync that was asked for, which
    we would then not overwrite, and rightly: a visit for them is still to come.
    """
    if record is None or record.get("IsDeleted"):
        return False
    return entry.portal_id is None or str(record.get(own.portal_id) or "") == entry.portal_id


def was_written(values: Record, record: Record) -> bool:
    """Whether the record has these values, read back after a write that nobody answered."""
    return all(_same(value, record.get(name)) for name, value in values.items())


def another_id() -> Told:
    """The answer where Salesforce names another chart than we linked."""
    code = Code.DIFFERENT_PORTAL_ID
    return Told(answer=Answer.WILL_NOT, code=code, message=code.sentence(), reason=code.reason)


def unanswered() -> Told:
    """The answer where Salesforce answers everything but what has this record in it."""
    return Told(answer=Answer.AGAIN, code=Code.NOT_TOLD, message=Code.NOT_TOLD.sentence("it gave no answer"))


def answer_to(error: RecordError | None) -> Told:
    """What Salesforce's answer about one record comes to."""
    if error is None or error.code in _GONE:
        return TOLD
    where = f" ({', '.join(error.fields)})" if error.fields else ""
    if error.code in _PASSING:
        return Told(answer=Answer.AGAIN, code=error.code, message=f"Salesforce answered {error.code}{where}.")
    if error.code == "DUPLICATE_VALUE":
        # Of our fields one is unique, the portal's id: it stands in another record.
        code = Code.LINKED_ELSEWHERE
        return Told(answer=Answer.WILL_NOT, code=code, message=code.sentence("The chart"), reason=code.reason)
    return Told(answer=Answer.WILL_NOT, code=error.code, message=Code.NOT_TOLD.sentence(f"{error.code}{where}"))


def is_setup(error: RecordError | None) -> bool:
    """Whether every record would be refused in this way: field-level security is a user's, not a record's."""
    return error is not None and error.code in _NOT_WRITABLE


def _trying(entry: OutboxEntry, own: OwnFields, *, now: datetime) -> dict[str, Any]:
    if entry.code == Code.PORTAL_CHANGED:
        return {own.status: Status.RETRYING, own.error_code: entry.code, own.error: entry.message}
    if not entry.attempts:
        return {own.status: Status.PENDING}
    return {
        own.status: Status.RETRYING,
        own.error_code: None,
        own.error: f"Try {entry.attempts} did not go through. It is tried again by itself; nobody needs to act.",
        own.attempts: entry.attempts,
        own.last_attempt_at: _moment(now),
    }


def _differing(says: Mapping[str, Any], record: Record) -> dict[str, Any]:
    return {name: value for name, value in says.items() if not _same(value, record.get(name))}


def _same(one: Any, other: Any) -> bool:
    """Whether they are the same to Salesforce, which keeps no empty text and knows no unchecked from no box."""
    if isinstance(one, str) and isinstance(other, str) and one != other:
        try:
            return _as_moment(one) == _as_moment(other)
        except ValueError:
            return False
    return bool((one or None) == (other or None))


def _as_moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("no moment, but a date or a number")
    return moment.astimezone(UTC)


def _moment(now: datetime) -> str:
    return now.isoformat(timespec="seconds")
