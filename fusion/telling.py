"""Telling Salesforce about many entries at once: read what it has, write what differs, and see what became of it.

Two hundred records are one call, and one record that breaks the call would keep all of them from being told. So a write
that got no answer is read back; if Salesforce answers that, it is there, and what was not written is written in halves,
down to the record that is to blame. That one pays for it: it is tried later, and in the end a person looks.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from fusion import writeback
from fusion.mapping import OwnFields
from fusion.visit import on_lane
from fusion.writeback import TOLD, Answer, Told, fields_for, holds_another_id
from listener.change import RecordId
from listener.entry import OutboxEntry, Outcome
from listener.errors import Outage, SetupError
from listener.gates import Lane
from listener.org import Org, Record, RecordError
from listener.tellings import Standing

_FAILURES = 24
"""Writes without an answer after which it is Salesforce's fault: to find one in 200 takes 8, two of them up to 16."""

StillOurs = Callable[[Collection[int]], Awaitable[Collection[int]]]


async def _all_of_them(entry_ids: Collection[int]) -> Collection[int]:
    """No objection."""
    return entry_ids


@dataclass(slots=True, kw_only=True)
class Telling:
    """One go at telling. `told` fills as Salesforce answers, so that what it took is known whatever comes then.

    `standing` and `seen` (records as read at the start of their visits) are by entry and by record. `about_to_write` is
    called right before each write with entry ids, and gives those that are still ours; others are left out, since
    telling late would undo what is newer. `heard`: the lanes that answered.
    """

    org: Org
    own: OwnFields
    now: datetime
    standing: Mapping[int, Standing] = field(default_factory=dict)
    seen: Mapping[RecordId, Record] = field(default_factory=dict)
    about_to_write: StillOurs = _all_of_them
    heard: set[Lane] = field(default_factory=set)
    told: dict[int, Told] = field(default_factory=dict)
    _failures: int = 0

    async def tell(self, entries: Sequence[OutboxEntry]) -> None:
        """Entries of one object, one of a record, up to 200. Raises `Outage` (Salesforce's) and `SetupError`.

        Values are absolute, so telling twice does no harm.
        """
        self.told |= {entry.id: TOLD for entry in entries if entry.outcome is Outcome.SKIPPED}
        entries = [entry for entry in entries if entry.id not in self.told]
        records = await self._records(entries)
        values: dict[int, dict[str, Any]] = {}
        for entry in entries:
            record = records.get(entry.record_id)
            if record is None or record.get("IsDeleted"):
                self.told[entry.id] = TOLD
                continue
            standing = self.standing.get(entry.id, Standing())
            values[entry.id] = fields_for(entry, record, self.own, now=self.now, standing=standing)
            if not values[entry.id]:
                self.told[entry.id] = TOLD
        left = [entry for entry in entries if entry.id not in self.told]
        await self._write(left, values)
        for entry in entries:
            record = records.get(entry.record_id, {})
            if self.told.get(entry.id) == TOLD and holds_another_id(entry, record, self.own):
                self.told[entry.id] = writeback.another_id()
        await self._say_who_must_act(left, records)

    async def _records(self, entries: Sequence[OutboxEntry]) -> Mapping[RecordId, Record]:
        """As they are now; or as they were when their visits began, where that will do for all of them."""
        if all(writeback.can_go_by(self.seen.get(entry.record_id), entry, self.own) for entry in entries):
            return self.seen
        return await self._read(entries, self.own.names())

    async def _read(self, entries: Sequence[OutboxEntry], names: Sequence[str]) -> Mapping[RecordId, Record]:
        with on_lane(Lane.SALESFORCE, self.heard):
            return await self.org.read(entries[0].object_name, [entry.record_id for entry in entries], names)

    async def _write(self, entries: Sequence[OutboxEntry], values: Mapping[int, Mapping[str, Any]]) -> None:
        """Each of them is in `told` afterwards, unless it is no longer ours."""
        ours = await self.about_to_write([entry.id for entry in entries]) if entries else ()
        entries = [entry for entry in entries if entry.id in ours]
        if not entries:
            return
        try:
            errors = await self._update(entries, values)
        except Outage as outage:
            if not outage.suspect:
                raise
            await self._after_silence(entries, values, outage)
            return
        if any(writeback.is_setup(error) for error in errors.values()):
            names = sorted({name for error in errors.values() if error for name in error.fields})
            raise SetupError(
                f"the integration user may not write {', '.join(names) or 'our fields'} of {entries[0].object_name}",
                hint="assign the permission set to the integration user; `fusion-sync doctor --salesforce`",
            )
        for entry in entries:
            self.told[entry.id] = writeback.answer_to(errors[entry.record_id])

    async def _after_silence(
        self, entries: Sequence[OutboxEntry], values: Mapping[int, Mapping[str, Any]], outage: Outage
    ) -> None:
        """What was written is told. The rest goes in halves, and is to blame if nothing is left to halve."""
        names = sorted({name for entry in entries for name in values[entry.id]})
        records = await self._read(entries, names)  # raises where it is Salesforce that is away
        left = []
        for entry in entries:
            record = records.get(entry.record_id)
            if record is None or record.get("IsDeleted") or writeback.was_written(values[entry.id], record):
                self.told[entry.id] = TOLD
            else:
                left.append(entry)
        self._failures += 1
        if len(left) > 1 and self._failures >= _FAILURES:
            outage.lane = Lane.SALESFORCE
            self.heard.discard(Lane.SALESFORCE)
            raise outage
        if len(left) == 1 and len(entries) == 1:
            self.told[left[0].id] = writeback.unanswered()
            return
        middle = len(left) // 2
        for half in (left[:middle], left[middle:]):
            await self._write(half, values)

    async def _say_who_must_act(self, entries: Sequence[OutboxEntry], records: Mapping[RecordId, Record]) -> None:
        """A record that would not take the answer may take the word that a person must act. Else only we know."""
        refused = [
            entry
            for entry in entries
            if (told := self.told.get(entry.id)) is not None
            and told.answer is Answer.WILL_NOT
            and not holds_another_id(entry, records[entry.record_id], self.own)
        ]
        ours = await self.about_to_write([entry.id for entry in refused]) if refused else ()
        refused = [entry for entry in refused if entry.id in ours]
        if refused:
            values = {
                entry.id: writeback.attention(self.told[entry.id], records[entry.record_id], self.own, now=self.now)
                for entry in refused
            }
            await self._update(refused, values)

    async def _update(
        self, entries: Sequence[OutboxEntry], values: Mapping[int, Mapping[str, Any]]
    ) -> Mapping[RecordId, RecordError | None]:
        with on_lane(Lane.SALESFORCE, self.heard):
            return await self.org.update(
                entries[0].object_name, {entry.record_id: values[entry.id] for entry in entries}
            )
