"""From a list that a person has reviewed to entries of the outbox, which the worker then works with all its guards.

Only what a person decided is passed on as decided; a line that says `matched` or `create` makes the worker look again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from fusion.backfill import Place
from fusion.backfill_list import NEW, SKIP, Line, Verdict, read_list
from fusion.mapping import RecordMapping
from listener import approvals
from listener.approvals import Approved
from listener.change import RecordId
from listener.database import Database
from listener.errors import EntryError
from listener.org import Org, Record

USUAL = frozenset({Verdict.MATCHED, Verdict.CREATE, Verdict.AMBIGUOUS})
_AT_ONCE = 200


@dataclass(slots=True, kw_only=True)
class Approval:
    """What became of the lines: how many went into the outbox, and how many did not, by why.

    `refused`: the record's number or id, and why its line is not acted on.
    """

    enqueued: int = 0
    with_chart: int = 0
    as_new: int = 0
    already: int = 0
    skipped: int = 0
    undecided: int = 0
    not_asked_for: int = 0
    refused: list[tuple[str, str]] = field(default_factory=list)


async def approve(
    path: Path,
    *,
    db: Database,
    org: Org,
    mapping: RecordMapping,
    place: Place,
    only: frozenset[Verdict],
    actor: str,
    reason: str,
) -> Approval:
    """Put what the list approves into the outbox, all of it in one transaction; the lines are checked one by one.

    A second time it adds nothing. `EntryError` if the list is not of this org and portal or cannot be read, `Conflict`
    if the tables changed at that very moment; then nothing was done.
    """
    lines = read_list(path)
    if not all(place.is_of(one.preview) for one in lines):
        raise EntryError(f"{path.name} was made for another org or portal", hint="preview again here")
    done = Approval()
    chosen = [one for one in lines if _is_chosen(one, only, done)]
    current = await _as_they_are(chosen, org, mapping)
    async with db.writing() as tx:
        ids = [one.record_id for one in chosen]
        linked, in_hand = await approvals.settled(tx, ids)
        settled = linked | in_hand
        done.already = len(settled)
        free = [one for one in chosen if one.record_id not in settled]
        owners = await approvals.owners(tx, [one.says for one in free if _is_chart(one)])
        refusals = {
            one.record_id: _stale(one, current.get(one.record_id), mapping) or _taken(one, free, owners) for one in free
        }
        good = [_approved(one, mapping) for one in free if refusals[one.record_id] is None]
        done.enqueued = await approvals.approve(tx, good, actor=actor, reason=reason, target=_name_of(lines))
    done.already += len(good) - done.enqueued
    if done.enqueued:
        done.with_chart = sum(one.chart is not None for one in good)
        done.as_new = sum(one.is_new for one in good)
    done.refused = [(one.name or one.record_id, why) for one in free if (why := refusals[one.record_id]) is not None]
    return done


def _is_chosen(line: Line, only: frozenset[Verdict], done: Approval) -> bool:
    """Whether the line is to be acted on; counts why not."""
    if line.says == SKIP:
        done.skipped += 1
    elif line.verdict not in only:
        done.not_asked_for += 1
    elif line.verdict in (Verdict.AMBIGUOUS, Verdict.UNREAD) and not line.says:
        done.undecided += 1
    else:
        return True
    return False


async def _as_they_are(lines: Sequence[Line], org: Org, mapping: RecordMapping) -> Mapping[RecordId, Record]:
    ids = [one.record_id for one in lines]
    found: dict[RecordId, Record] = {}
    for start in range(0, len(ids), _AT_ONCE):
        portion = ids[start : start + _AT_ONCE]
        found |= await org.read(mapping.object_name, portion, [mapping.ready_field, "SystemModstamp"])
    return found


def _stale(line: Line, record: Record | None, mapping: RecordMapping) -> str | None:
    """Why the record is not what was looked at; None if it is."""
    if record is None or record.get("IsDeleted"):
        return "it is gone from Salesforce"
    if not record.get(mapping.ready_field):
        return "it is not marked as ready any more"
    if datetime.fromisoformat(str(record["SystemModstamp"])).astimezone(UTC) != line.modified_at:
        return "it changed since the preview: preview again"
    return None


def _taken(line: Line, others: Sequence[Line], owners: Mapping[str, RecordId]) -> str | None:
    """Why the chart that a person chose cannot be this record's; None if it can."""
    if not _is_chart(line):
        return None
    if line.says in owners:
        return f"chart {line.says} is record {owners[line.says]}'s already"
    if sum(one.says == line.says for one in others) > 1:
        return f"chart {line.says} is given to two records"
    return None


def _is_chart(line: Line) -> bool:
    return line.says not in ("", NEW, SKIP)


def _approved(line: Line, mapping: RecordMapping) -> Approved:
    return Approved(
        record_id=line.record_id,
        object_name=mapping.object_name,
        modified_at=line.modified_at,
        chart=line.says if _is_chart(line) else None,
        is_new=line.says == NEW,
    )


def _name_of(lines: Sequence[Line]) -> str:
    """The preview's name, for the record of who did what; where several were put together, the most frequent."""
    return Counter(one.preview for one in lines).most_common(1)[0][0] if lines else "nothing"
