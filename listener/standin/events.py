"""The event bus: commits become change events, kept for 72 hours, told to each channel in its own form.

Sources, Change Data Capture Developer Guide: "Change Event Message Structure", "ChangeEventHeader Fields", "Merged
Change Events", "Enrich Change Events with Extra Fields", "Event Enrichment Considerations", "Change Event Filters",
"Change Event Storage and Delivery". Where the guide leaves room: a save that changed no field still makes an UPDATE
event with LastModifiedDate alone, and a filter sees the event's own values before the record's latest ones.
"""

import base64
import hashlib
import secrets
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import count
from random import Random

from listener.standin.access import Access
from listener.standin.channels import HEADER, Channel
from listener.standin.delta import delta
from listener.standin.ledger import Ledger
from listener.standin.people import Person
from listener.standin.query import compiled
from listener.standin.schema import Field, FieldType, Row, Sobject, Value
from listener.standin.soql import Condition
from listener.standin.store import Commit, Kind, Saved, Store
from listener.standin.values import event_form, shown

RETENTION = timedelta(hours=72)
CHANGED_FIELDS_SINCE = 47.0
NEVER_IN_BODY = {"Id", "IsDeleted", "SystemModstamp"}
TOUCHED = ("LastModifiedDate", "LastModifiedById")


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One stored event. `records` are those it is about, each with the row it was made of; `raw` is sent as it is."""

    replay_id: int
    at: datetime
    header: Mapping[str, object]
    kind: Kind | None = None
    sobject: Sobject | None = None
    names: tuple[str, ...] = ()
    records: tuple[tuple[str, Row], ...] = ()
    deltas: Mapping[str, str] | None = None
    raw: object = None
    raw_channels: frozenset[str] = frozenset()


class UnknownReplayId(Exception):
    """The replay id was never given out, or the bus has forgotten its event."""


class EventBus:
    """Stored events in commit order. `on_event` is called once an event, after it is stored."""

    def __init__(
        self, store: Store, access: Access, ledger: Ledger, clock: Callable[[], datetime], random: Random
    ) -> None:
        self.on_event: list[Callable[[Event], None]] = []
        self._store = store
        self._access = access
        self._ledger = ledger
        self._clock = clock
        self._random = random
        self._events: deque[Event] = deque()
        self._last_id = random.randrange(10_000, 99_999)
        self._commit_numbers = count(random.randrange(10**10, 10**12), 7)
        store.on_commit.append(self.publish)

    def publish(self, commit: Commit) -> None:
        """Makes the events of one commit: the same change of several records of one object is one event."""
        merged: dict[object, list[Saved]] = {}
        for saved in _one_each(commit.saved):
            merged.setdefault(_sameness(saved), []).append(saved)
        header = self._header(commit.at, commit.by, commit.origin)
        for number, group in enumerate(merged.values(), start=1):
            self._keep(self._event(commit.at, header | {"sequenceNumber": number}, group))

    def _header(self, at: datetime, by: str, origin: str | None) -> dict[str, object]:
        key = secrets.token_hex(16)
        return {
            "changeOrigin": origin or "",
            "transactionKey": f"{key[:8]}-{key[8:12]}-{key[12:16]}-{key[16:20]}-{key[20:]}",
            "commitTimestamp": int(at.timestamp() * 1000),
            "commitNumber": next(self._commit_numbers),
            "commitUser": by,
        }

    def _event(self, at: datetime, header: dict[str, object], group: list[Saved]) -> Event:
        first = group[0]
        names = _names(first)
        deltas = {}
        if first.kind is Kind.UPDATE and first.before is not None:
            for name in first.changed:
                old, new = first.before[name], first.after[name]
                diff = delta(old, new) if isinstance(old, str) and isinstance(new, str) else None
                if diff is not None:
                    deltas[name] = diff
        header |= {"entityName": first.sobject.name, "changeType": str(first.kind)}
        return Event(
            replay_id=self._next_id(),
            at=at,
            header=header,
            kind=first.kind,
            sobject=first.sobject,
            names=names,
            records=tuple((s.record_id, s.after) for s in group),
            deltas=deltas,
        )

    def publish_gap(self, kind: str, sobject: Sobject, ids: Sequence[str], by: str, channels: Iterable[str]) -> int:
        """A GAP_CREATE, _UPDATE, _DELETE, _UNDELETE ("Gap Events": header only, sequenceNumber 1) or GAP_OVERFLOW event
        ("Overflow Events": no record ids); its replay id."""
        header = self._header(self._store.now(), by, None)
        header |= {"entityName": sobject.name, "changeType": kind, "recordIds": list(ids), "sequenceNumber": 1}
        return self.publish_raw({"ChangeEventHeader": header}, channels)

    def publish_raw(self, payload: object, channels: Iterable[str]) -> int:
        """Puts a payload on channels as it is, malformed or not; the replay id it got."""
        header = payload.get("ChangeEventHeader") if isinstance(payload, Mapping) else None
        event = Event(
            replay_id=self._next_id(),
            at=self._clock(),
            header=header if isinstance(header, Mapping) else {},
            raw=payload,
            raw_channels=frozenset(channels),
        )
        self._keep(event)
        return event.replay_id

    def after(self, replay_id: int) -> list[Event]:
        """The events behind *replay_id*, oldest first; -1 means none, -2 all. Raises UnknownReplayId."""
        self._forget_old()
        if replay_id == -1:
            return []
        if replay_id == -2:
            return list(self._events)
        if all(e.replay_id != replay_id for e in self._events):
            raise UnknownReplayId
        return [e for e in self._events if e.replay_id > replay_id]

    def forget(self, before: int | None = None) -> int:
        """Purges stored events with a smaller replay id than *before* (all when None); how many went."""
        kept = deque(e for e in self._events if before is not None and e.replay_id >= before)
        gone = len(self._events) - len(kept)
        self._events = kept
        return gone

    def messages(self, event: Event, channel: Channel, person: Person, version: float) -> list[dict[str, object]]:
        """The CometD `data` of one event on one channel for one subscriber; [] when it is not for them.

        Without enrichment a merged event stays one message. With it each record gets a message of its own, all with the
        same replay id ("Event Enrichment Considerations: Duplicate Replay ID for Ungrouped Enriched Event Messages").
        """
        # "Required Permissions for Change Event Subscribers": without View All no error, just silence.
        if event.raw_channels:
            if channel.name not in event.raw_channels or not self._access.hears_anything(person):
                return []
            return [{"schema": "raw", "payload": event.raw, "event": {"replayId": event.replay_id}}]
        if event.sobject is None or event.sobject.name not in channel.members:
            return []
        seen = self._access.sobject(person, event.sobject.name)
        if seen is None or not self._access.hears(person, event.sobject):
            return []
        member = channel.members[event.sobject.name]
        if not member.extra_fields:  # a filter on header fields alone looks at the event, whatever its records
            kept = member.condition is None or self._passes(event, member.condition, {})
            return [self._message(event, event.records, {}, seen, person, version)] if kept else []
        found = []
        for record_id, row in event.records:
            latest = {**(self._store.peek(event.sobject, record_id) or row), **{n: row.get(n) for n in event.names}}
            if member.condition is not None and not self._passes(event, member.condition, latest):
                continue
            extra = {n: latest.get(n) for n in member.extra_fields if n not in event.names}
            on_top = extra if event.kind in {Kind.UPDATE, Kind.DELETE} else {}
            found.append(self._message(event, ((record_id, row),), on_top, seen, person, version))
        return found

    def _passes(self, event: Event, condition: Condition, latest: Row) -> bool:
        sobject = event.sobject
        assert sobject is not None  # noqa: S101  only events of an object reach a filter

        def field(name: str) -> Field:
            numeric = isinstance(event.header.get(name.removeprefix(HEADER)), int)
            unknown = Field(name=name, label=name, type=FieldType.DOUBLE if numeric else FieldType.STRING)
            return sobject.find(name) or unknown

        def value(f: Field) -> Value:
            if not f.name.startswith(HEADER):
                return latest.get(f.name)
            found = event.header.get(f.name.removeprefix(HEADER))
            return found if isinstance(found, str | int) else None

        return compiled(condition, field, self._clock().date())(value)

    def _message(
        self,
        event: Event,
        records: tuple[tuple[str, Row], ...],
        extra: Row,
        sobject: Sobject,
        person: Person,
        version: float,
    ) -> dict[str, object]:
        """One message about *sobject* as *person* sees it: "If a subscribed user has no access to a field, the field
        isn't included in the change event message" ("Field-Level Security"); read here as: nor is its name."""
        row = records[0][1]
        names = [n for n in event.names if n in sobject.fields]
        header = {**event.header, "recordIds": [record_id for record_id, _ in records]}
        if event.kind is Kind.UPDATE and version >= CHANGED_FIELDS_SINCE:
            header["changedFields"] = [_dotted(sobject.fields[n]) for n in names]
        body: dict[str, object] = {"ChangeEventHeader": header}
        clear = self._access.views_encrypted(person)
        for name in names:
            f = sobject.fields[name]
            value = event_form(shown(f, row, clear=clear))
            diff = (event.deltas or {}).get(name)
            if event.kind is Kind.UPDATE or value is not None:
                _put(body, f, {"diff": diff} if diff else value)
        for name in (n for n in extra if n in sobject.fields):
            f = sobject.fields[name]
            value = event_form(shown(f, extra, clear=clear))
            if value is not None:  # empty enriched fields are left out for CometD
                _put(body, f, value)
        return {
            "schema": schema_id(self._store.schema.objects[sobject.name]),
            "payload": body,
            "event": {"replayId": event.replay_id},
        }

    def _next_id(self) -> int:
        # "Replay IDs aren't guaranteed to be contiguous": here they never are.
        self._last_id += self._random.randrange(2, 40)
        return self._last_id

    def _keep(self, event: Event) -> None:
        self._forget_old()
        self._events.append(event)
        self._ledger.record(
            "event",
            replay_id=event.replay_id,
            header=dict(event.header),
            records=[record_id for record_id, _ in event.records],
            fields=list(event.names),
            raw=event.raw,
        )
        for listener in self.on_event:
            listener(event)

    def _forget_old(self) -> None:
        oldest = self._clock() - RETENTION
        while self._events and self._events[0].at < oldest:
            self._events.popleft()


def schema_id(sobject: Sobject) -> str:
    """22 characters that change when the fields of the object change, like the Avro schema's id."""
    digest = hashlib.sha256(" ".join([sobject.name, *sobject.fields]).encode()).digest()
    return base64.urlsafe_b64encode(digest[:16]).rstrip(b"=").decode()


def _one_each(saved: Sequence[Saved]) -> list[Saved]:
    """Several saves of one record in one transaction are told once: the first kind, the last data ("General
    Considerations: Change Event Generation in a Transaction with Multiple Changes for the Same Record")."""
    folded: dict[str, Saved] = {}
    for each in (s for s in saved if s.sobject.tracked):
        first = folded.get(each.record_id)
        changed = each.changed if first is None else tuple(dict.fromkeys([*first.changed, *each.changed]))
        folded[each.record_id] = each if first is None else replace(first, after=each.after, changed=changed)
    return list(folded.values())


def _names(saved: Saved) -> tuple[str, ...]:
    """Fields of the event body. CREATE and UNDELETE carry the record, UPDATE what changed, DELETE nothing."""
    match saved.kind:
        case Kind.UPDATE:
            author = saved.before is not None and saved.before["LastModifiedById"] != saved.after["LastModifiedById"]
            return (*saved.changed, *(TOUCHED if author else TOUCHED[:1]))
        case Kind.DELETE:
            return ()
        case _:
            return tuple(n for n, f in saved.sobject.fields.items() if n not in NEVER_IN_BODY and not f.formula)


def _sameness(saved: Saved) -> object:
    """Two saves with the same answer are told in one event."""
    if saved.kind not in {Kind.UPDATE, Kind.DELETE}:
        return saved.record_id
    texts = tuple(str(saved.before[n]) for n in saved.changed if saved.sobject.fields[n].long_text and saved.before)
    return saved.sobject.name, saved.kind, tuple((n, saved.after[n]) for n in _names(saved)), texts


def _dotted(f: Field) -> str:
    """A component of a compound field is named `MailingAddress.Street` ("Compound Fields in Change Events")."""
    return ".".join(f.compound) if f.compound else f.name


def _put(body: dict[str, object], f: Field, value: object) -> None:
    if f.compound is None:
        body[f.name] = value
        return
    whole = body.setdefault(f.compound[0], {})
    if isinstance(whole, dict):
        whole[f.compound[1]] = value
