"""What one change event says, as facts about records: names of fields, never their values. Pure.

An event is a bell, not data: bodies can be partial, merged, enriched with later values or a text diff, so the worker
reads the record itself. Facts: Change Data Capture guide, "Change Event Message Structure", "ChangeEventHeader Fields",
"Merged Change Events", "Gap Events", "Overflow Events"; sources are in the README, "Where the facts come from".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, NewType, TypeGuard

RecordId = NewType("RecordId", str)
"""A Salesforce id in its 18-character form, which is safe to compare without case."""


class ChangeKind(StrEnum):
    """What happened to the record. A GAP_ event keeps its kind and has no fields: assume that all changed."""

    CREATE = "CREATE"
    UPDATE = "UPDATE"
    DELETE = "DELETE"
    UNDELETE = "UNDELETE"


class Source(StrEnum):
    """How we came to know of a change."""

    STREAM = "stream"
    SWEEP = "sweep"
    BACKFILL = "backfill"
    MANUAL = "manual"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One record changed. `fields` empty: any of them may have."""

    object_name: str
    record_id: RecordId
    kind: ChangeKind
    fields: frozenset[str] = frozenset()
    changed_at: datetime
    dedupe_key: str
    source: Source = Source.STREAM


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """A field of a record that we change ourselves from time to time, to hear whether the stream tells us of it."""

    object_name: str
    record_id: RecordId
    field: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ours:
    """How our own write-backs look in the stream: by whom or through which client, and on which fields only."""

    user_id: str | None
    client: str
    fields: frozenset[str]
    heartbeat: Heartbeat | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a message came to. `own` and `unwatched` count records that were dropped, and why.

    `sweep`: objects of which so much changed that the event has no ids (wildcard, GAP_OVERFLOW): compare them by time.
    `at`: when it was committed, by Salesforce's clock; not read where nothing is of interest. `echoed`: whether it
    tells of our heartbeat. What else happens to the heartbeat's record is nobody's patient.
    """

    changes: tuple[Change, ...] = ()
    at: datetime | None = None
    own: int = 0
    unwatched: int = 0
    echoed: bool = False
    sweep: Mapping[str, datetime] = field(default_factory=dict)


class MalformedEvent(ValueError):
    """The message is no change event. The text says what is missing, and quotes nothing from the body."""


_BOOKKEEPING = frozenset({"LastModifiedDate", "LastModifiedById"})


def changes_in(message: Mapping[str, Any], *, ours: Ours, watched: frozenset[str]) -> Reading:
    """The changes that a CometD message tells of, one a record; raises `MalformedEvent` if it is no change event.

    Our own write-backs drop out only if they changed nothing but our fields: a flow that our write set off may have
    edited a mapped field in the same transaction.
    """
    header, replay_id = _header(message)
    object_name = _text(header, "entityName")
    record_ids = header.get("recordIds", [])
    if not isinstance(record_ids, list) or not all(isinstance(one, str) for one in record_ids):
        raise MalformedEvent("recordIds is not a list of text")
    beat = ours.heartbeat if ours.heartbeat and ours.heartbeat.object_name == object_name else None
    if object_name not in watched and beat is None:
        return Reading(unwatched=max(1, len(record_ids)))

    at = _moment(header)
    change_type = _text(header, "changeType")
    fields = frozenset[str]() if change_type.startswith("GAP_") else _changed_fields(header)
    if beat and [one[:15] for one in record_ids] == [beat.record_id[:15]]:
        echoed = _is_own(header, fields, frozenset({beat.field}), ours)
        return Reading(at=at, own=int(echoed), unwatched=int(not echoed), echoed=echoed)
    if object_name not in watched:
        return Reading(at=at, unwatched=max(1, len(record_ids)))
    if change_type == "GAP_OVERFLOW" or any(one.endswith("*") for one in record_ids):
        return Reading(at=at, sweep={object_name: at})
    try:
        kind = ChangeKind(change_type.removeprefix("GAP_"))
    except ValueError:
        raise MalformedEvent("changeType is not one that is documented") from None
    if not record_ids:
        raise MalformedEvent("recordIds is empty")

    if _is_own(header, fields, ours.fields, ours):
        return Reading(at=at, own=len(record_ids))
    transaction = header.get("transactionKey", "")
    if not _is_plain_text(transaction):
        raise MalformedEvent("transactionKey is not text")
    return Reading(
        at=at,
        changes=tuple(
            Change(
                object_name=object_name,
                record_id=long_id(one),
                kind=kind,
                fields=fields,
                changed_at=at,
                # Replay ids are not unique after an org migration ("Event Message Durability"), so one alone could
                # make us drop a real event; a redelivered event has the same pair.
                dedupe_key=f"cdc:{replay_id}:{transaction}:{long_id(one)}",
            )
            for one in record_ids
        ),
    )


def replay_id_of(message: Mapping[str, Any]) -> str | None:
    """The position of a message, as text; None where it has none. Opaque: never compared, never computed with."""
    data = message.get("data")
    event = data.get("event") if isinstance(data, Mapping) else None
    replay_id = event.get("replayId") if isinstance(event, Mapping) else None
    if isinstance(replay_id, int) and not isinstance(replay_id, bool):
        return str(replay_id)
    return replay_id if replay_id and _is_plain_text(replay_id) else None


def long_id(record_id: str) -> RecordId:
    """The 18-character form of an id; raises `MalformedEvent` if it is neither 15 nor 18 letters and digits.

    The suffix holds, five characters at a time, which of them are capitals ("Record IDs", SOAP API guide).
    """
    if len(record_id) not in (15, 18) or not (record_id.isascii() and record_id.isalnum()):
        raise MalformedEvent("a record id is not 15 or 18 letters and digits")
    base = record_id[:15]
    suffix = "".join(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"[sum(base[start + i].isupper() << i for i in range(5))]
        for start in (0, 5, 10)
    )
    return RecordId(base + suffix)


def _header(message: Mapping[str, Any]) -> tuple[Mapping[str, Any], str]:
    data = message.get("data")
    payload = data.get("payload") if isinstance(data, Mapping) else None
    header = payload.get("ChangeEventHeader") if isinstance(payload, Mapping) else None
    if not isinstance(header, Mapping):
        raise MalformedEvent("ChangeEventHeader is missing")
    replay_id = replay_id_of(message)
    if replay_id is None:
        raise MalformedEvent("replayId is missing")
    return header, replay_id


def _text(header: Mapping[str, Any], name: str) -> str:
    value = header.get(name)
    if not isinstance(value, str) or not value:
        raise MalformedEvent(f"{name} is missing")
    return value


def _is_plain_text(value: object) -> TypeGuard[str]:
    """Text that every database keeps: Postgres refuses NUL and halves of surrogate pairs, and would do so for ever."""
    return isinstance(value, str) and value.isprintable()


def _moment(header: Mapping[str, Any]) -> datetime:
    stamp = header.get("commitTimestamp")
    if isinstance(stamp, bool) or not isinstance(stamp, int | float):
        raise MalformedEvent("commitTimestamp is not a number")
    try:
        return datetime.fromtimestamp(stamp / 1000, UTC)
    except (OverflowError, ValueError, OSError):
        raise MalformedEvent("commitTimestamp is out of range") from None


def _changed_fields(header: Mapping[str, Any]) -> frozenset[str]:
    """Names of the changed fields, compound ones as the object names them (`BillingAddress.Street` -> `BillingStreet`).

    Missing before API 47.0 and in gap events: then empty, which stands for all of them. Fields that were emptied or
    came as a text diff are named in lists of their own as well ("ChangeEventHeader Fields"; Pub/Sub API).
    """
    found: set[str] = set()
    for name in ("changedFields", "nulledFields", "diffFields"):
        names = header.get(name) or []
        if not isinstance(names, list):
            raise MalformedEvent(f"{name} is not a list")
        if not all(_is_plain_text(one) for one in names):
            raise MalformedEvent(f"{name} has something else than names")
        if name == "changedFields" and not names:
            return frozenset()
        found.update(_object_field(one) for one in names)
    return frozenset(found)


def _object_field(name: str) -> str:
    compound, dot, part = name.partition(".")
    if not dot:
        return name
    if compound.endswith("__c"):  # "Custom Address Fields", and geolocations: Home__c.Street -> Home__Street__s
        return f"{compound.removesuffix('c')}{part}__s"
    return part if compound == "Name" else compound.removesuffix("Address") + part


def _is_own(header: Mapping[str, Any], fields: frozenset[str], allowed: frozenset[str], ours: Ours) -> bool:
    """Whether it was our doing and about those fields alone."""
    origin = header.get("changeOrigin")
    client = origin.rpartition("client=")[2] if isinstance(origin, str) and "client=" in origin else None
    user = header.get("commitUser")
    by_us = (bool(client) and client == ours.client) or (
        # By its first 15 characters: what may follow only repeats them without regard to case.
        ours.user_id is not None and isinstance(user, str) and user[:15] == ours.user_id[:15]
    )
    return by_us and bool(fields - _BOOKKEEPING) and fields <= allowed | _BOOKKEEPING
