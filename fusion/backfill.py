"""Patients who were there before the sync: what would become of each, found out without writing anything anywhere.

Every ready record without a chart is read, mapped, looked up in the portal and graded, just as a visit would do it.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from fusion.backfill_list import Line, Verdict
from fusion.mapping import RecordMapping
from fusion.pace import Pace
from fusion.patient import Field, folded
from fusion.preview import Preview, Would, preview
from fusion.visit import Sight, on_lane
from listener import approvals
from listener.change import RecordId
from listener.database import Database
from listener.entry import ParkedReason
from listener.errors import Outage
from listener.gates import Lane
from listener.org import Record, Touched
from listener.sweep import BEGINNING

_AT_ONCE = 100
_STILL_TRUE = timedelta(days=1)
"""How long a line of a preview that was cut off need not be looked up again."""
_IN_A_ROW = 5
"""So many that could not be read one after the other are no matter of theirs."""
_TWICE_IN_SALESFORCE = "same_child_twice"
_CHART_TWICE = "same_chart_twice"

Child = tuple[str, str, str]
"""First name, last name and birth date, as compared; never kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Which org and which portal; a list of one is nothing to another. `org`: where its records are opened."""

    org: str
    org_id: str
    portal: str
    object_name: str

    @property
    def digest(self) -> str:
        """Twelve characters that stand for the place in a list."""
        return hashlib.sha256(f"{self.org_id}|{self.portal}|{self.object_name}".encode()).hexdigest()[:12]

    def new_preview(self, now: datetime) -> str:
        """The name of a preview that begins now."""
        return f"{now.astimezone(UTC):%Y%m%dT%H%M%SZ}-{self.digest}"

    def is_of(self, name: str) -> bool:
        """Whether a preview of that name was made here."""
        return name.rpartition("-")[2] == self.digest

    def link_to(self, record_id: RecordId) -> str:
        """Where a person opens the record; Salesforce asks who that is."""
        return f"{self.org.rstrip('/')}/{record_id}"


@dataclass(slots=True, kw_only=True)
class Found:
    """What a preview came to. `linked` have a chart; `in_hand` wait for a worker or a person; neither was looked up.

    `kept`: lines of an earlier preview that was cut off.
    """

    lines: list[Line] = field(default_factory=list)
    linked: int = 0
    in_hand: int = 0
    kept: int = 0

    def counts(self) -> dict[str, int]:
        """How many of each verdict."""
        verdicts = Counter(one.verdict for one in self.lines)
        return {str(verdict): verdicts[verdict] for verdict in Verdict}

    def causes(self) -> dict[str, int]:
        """How often each sentence says why something is not just done, the most frequent first."""
        why = Counter(one.why for one in self.lines if one.why)
        return dict(why.most_common())


@dataclass(frozen=True, slots=True, kw_only=True)
class Backfill:
    """What a preview works with. `name_field`: the record's number, if the org's object has one that names nobody.

    `added` is told of every line once it is known, `progress` how many of how many are done.
    """

    db: Database
    sight: Sight
    place: Place
    pace: Pace
    name_field: str | None
    added: Callable[[Line], None] = lambda _line: None
    progress: Callable[[int, int], None] = lambda _done, _all: None
    now: Callable[[], datetime] = lambda: datetime.now(UTC)


async def look(
    of: Backfill, *, name: str, where: str | None, limit: int | None, with_names: bool, kept: Mapping[RecordId, Line]
) -> Found:
    """What would become of every ready record without a chart, the oldest change first, at most `limit` of them.

    `where`: one more condition, in SOQL. `kept`: lines that need not be looked up again, if the record is as it was.
    Raises `Outage` where a side does not answer, or the portal cannot be read five times in a row.
    """
    found, who, unread = Found(), dict[RecordId, Child](), 0
    touched = await _without_chart(of, found, where, limit)
    ids = list(touched)
    for start in range(0, len(ids), _AT_ONCE):
        portion = ids[start : start + _AT_ONCE]
        async for record_id, seen, record in _seen(of, portion, touched, kept):
            if isinstance(seen, Line):
                line, found.kept = seen, found.kept + 1
            else:
                if seen.would is Would.NOTHING and seen.portal_id is None:
                    continue  # no longer ready
                patient = _name_in(record, of.sight.mapping) if with_names else ""
                line = replace(_line(of, touched[record_id], record, seen, name), patient=patient)
                of.added(line)
                unread = unread + 1 if line.verdict is Verdict.UNREAD else 0
            if line.verdict is Verdict.CREATE:
                who[record_id] = _child_in(record, of.sight.mapping)
            found.lines.append(line)
            of.progress(len(found.lines), len(ids))
            if unread >= _IN_A_ROW:
                raise Outage(
                    "the portal could not be read five times in a row", hint="`fusion-sync doctor`, then again"
                )
    found.lines = without_doubles(found.lines, who)
    return found


def without_doubles(lines: Sequence[Line], who: Mapping[RecordId, Child]) -> list[Line]:
    """The lines, with a question for a person where two records would come to one chart, or to two for one child.

    `who`: whom the records are about of which a chart would be made.
    """
    charts = Counter(one.chart for one in lines if one.verdict is Verdict.MATCHED)
    children = Counter(who.values())
    made = []
    for one in lines:
        is_double = one.record_id in who and children[who[one.record_id]] > 1
        if one.verdict is Verdict.MATCHED and charts[one.chart] > 1:
            why = "More than one record is certainly this chart's patient: merge or correct them in Salesforce."
            question = replace(one, candidates=one.chart, chart="", code=_CHART_TWICE, why=why)
            made.append(replace(question, verdict=Verdict.AMBIGUOUS))
        elif one.verdict is Verdict.CREATE and is_double:
            why = "Another record has the same name and birth date: merge or correct them in Salesforce."
            made.append(replace(one, verdict=Verdict.AMBIGUOUS, code=_TWICE_IN_SALESFORCE, why=why))
        else:
            made.append(one)
    return made


async def _without_chart(of: Backfill, found: Found, where: str | None, limit: int | None) -> dict[RecordId, Touched]:
    """The ready records that nobody has in hand."""
    mapping = of.sight.mapping
    condition = f"{mapping.ready_field} = true" + (f" AND ({where})" if where else "")
    ready: dict[RecordId, Touched] = {}
    with on_lane(Lane.SALESFORCE):
        until = await of.sight.org.now()
        async for one in of.sight.org.changed_since(mapping.object_name, BEGINNING, until, where=condition):
            if not one.deleted:
                ready[one.record_id] = one
    async with of.db.reading() as tx:
        linked, in_hand = await approvals.settled(tx, list(ready))
    found.linked, found.in_hand = len(linked), len(in_hand)
    free = [one for one in ready.values() if one.record_id not in linked | in_hand]
    return {one.record_id: one for one in free[:limit]}


async def _seen(
    of: Backfill, ids: Sequence[RecordId], touched: Mapping[RecordId, Touched], kept: Mapping[RecordId, Line]
) -> AsyncIterator[tuple[RecordId, Line | Preview, Record]]:
    """Each record with its line of before, or what a visit would come to."""
    mapping, again = of.sight.mapping, {one: kept[one] for one in ids if _still_true(of, kept.get(one), touched[one])}
    reads = [*mapping.reads, *([of.name_field] if of.name_field else [])]
    with on_lane(Lane.SALESFORCE):
        records = await of.sight.org.read(mapping.object_name, ids, reads)
    for one in ids:
        if one in again:
            yield one, again[one], records.get(one, {})
            continue
        yield one, await preview(one, records.get(one), of.sight, turn=of.pace.turn), records.get(one, {})


def _still_true(of: Backfill, line: Line | None, now: Touched) -> bool:
    return (
        line is not None
        and line.verdict is not Verdict.UNREAD
        and line.modified_at == now.modified_at
        and of.now() - line.looked_at < _STILL_TRUE
    )


def _line(of: Backfill, touched: Touched, record: Record, seen: Preview, name: str) -> Line:
    return Line(
        record_id=touched.record_id,
        name=str(record.get(of.name_field or "") or ""),
        verdict=_verdict(seen),
        link=of.place.link_to(touched.record_id),
        modified_at=touched.modified_at,
        looked_at=of.now(),
        preview=name,
        chart=seen.portal_id or "",
        candidates="; ".join(f"{chart} {match.grade.name.lower()}" for chart, match in seen.candidates),
        reasons=" ".join(seen.reasons)
        or "; ".join(f"{chart}: {' '.join(match.reasons)}" for chart, match in seen.candidates),
        code=str(seen.code or ""),
        why=seen.message,
        changes=len(seen.steps),
    )


def _verdict(seen: Preview) -> Verdict:
    if seen.would is Would.UNREAD:
        return Verdict.UNREAD
    if seen.code is None:
        return Verdict.CREATE if seen.would is Would.CREATE else Verdict.MATCHED
    match seen.code.reason:
        case ParkedReason.BAD_DATA:
            return Verdict.IMPOSSIBLE
        case reason if reason.blocks:
            return Verdict.AMBIGUOUS
        case _:
            return Verdict.UNREAD


def _child_in(record: Record, mapping: RecordMapping) -> Child:
    first, last, born = (
        _joined(record, mapping, name) for name in (Field.FIRST_NAME, Field.LAST_NAME, Field.BIRTH_DATE)
    )
    return folded(first), folded(last), born


def _name_in(record: Record, mapping: RecordMapping) -> str:
    return f"{_joined(record, mapping, Field.LAST_NAME)}, {_joined(record, mapping, Field.FIRST_NAME)}"


def _joined(record: Record, mapping: RecordMapping, name: Field) -> str:
    return " ".join(str(record.get(source) or "") for source in mapping.rules[name].sources)
