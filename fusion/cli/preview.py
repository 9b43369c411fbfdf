"""`fusion-sync preview`: what a visit would type into a chart, on the screen and nowhere else."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fusion.cli.acting import Json, refusing
from fusion.cli.moves import answer
from fusion.cli.tables import as_json, show, table
from fusion.matching import Grade
from fusion.settings import load
from listener import board, outbox
from listener.change import MalformedEvent, RecordId, long_id
from listener.entry import OutboxEntry, State

if TYPE_CHECKING:
    from rich.table import Table

    from fusion.card import Card
    from fusion.preview import Preview
    from listener.database import Database

_WORDS = {
    "create": "A chart would be made.",
    "link": "The chart would be linked, and brought up to date.",
    "update": "The chart would be brought up to date.",
    "nothing": "Nothing would be typed.",
    "refuse": "Nothing would be typed; a person must act.",
    "unread": "The portal could not be read just then.",
}
_SURE = {
    Grade.NONE: "by what both show, another child's",
    Grade.POSSIBLE: "possibly this patient's",
    Grade.PROBABLE: "probably this patient's; nothing more agrees that would make it sure",
    Grade.CERTAIN: "surely this patient's, if no other chart were",
}


def command(
    record: Annotated[str | None, typer.Argument(help="The record's id in Salesforce, 15 or 18 characters.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Every record that waits; counts, and no values.")] = False,
    fields: Annotated[bool, typer.Option("--fields", help="With --all: the fields of each as well.")] = False,
    limit: Annotated[int, typer.Option(help="With --all: at most so many, the newest first.", min=1)] = 100,
    json: Json = False,
) -> None:
    """Show, field by field, what a visit would change on a chart. Nothing is written, and nothing is kept.

    Where it is not certain whose chart it is, the record is shown beside each chart in question. What is shown are a
    patient's data. Stop the worker meanwhile, or use another portal user.
    """
    if every == (record is not None):
        raise typer.BadParameter("say the id of a record, or --all")
    shows_fields = fields or record is not None
    with refusing(json=json):
        seen, left_out = asyncio.run(_look(_id(record) if record is not None else None, limit, beside=shows_fields))
    if json:
        told = [_plain(one, fields=shows_fields) for one in seen]
        typer.echo(as_json(told if every else told[0]))
        return
    if shows_fields:
        for one in seen:
            _show(one.preview, one.entry)
    if every:
        _count([one.preview for one in seen])
        show(*_left_out(left_out, limit))


def _id(given: str) -> RecordId:
    try:
        return long_id(given.strip())
    except MalformedEvent:
        raise typer.BadParameter("that is no id of Salesforce: 15 or 18 letters and digits") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """A preview, and the row that waits for the record or holds it back; None if there is none."""

    preview: Preview
    entry: OutboxEntry | None


async def _look(record: RecordId | None, limit: int, *, beside: bool) -> tuple[list[_Seen], int]:
    """The previews, and with --all how many more entries wait than were looked at."""
    from fusion.pace import Pace
    from fusion.preview import preview
    from fusion.reading import salesforce_of, sight_of

    settings = load(salesforce=True, portal=True)
    async with salesforce_of(settings) as salesforce, sight_of(settings, salesforce) as sight:
        waiting, left_out = await _waiting(salesforce.db, record, limit)
        ids = list(waiting) if record is None else [record]
        read = await salesforce.org.read(salesforce.mapping.object_name, ids, salesforce.mapping.reads)
        pace = Pace(settings.sync.backfill_per_minute)
        seen = []
        for one in ids:
            entry = waiting.get(one)
            found = await preview(one, read.get(one), sight, entry=entry, turn=pace.turn, beside=beside)
            seen.append(_Seen(preview=found, entry=entry))
        return seen, left_out


async def _waiting(db: Database, record: RecordId | None, limit: int) -> tuple[dict[RecordId, OutboxEntry], int]:
    """The rows that wait, by record. Of one record alone also the row that waits for a person, and that one first."""
    states = [State.PENDING] if record is None else [State.PENDING, State.PARKED]
    async with db.reading() as tx:
        rows = await board.entries(tx, states=states, record_id=record, limit=limit)
        left_out = (await board.counts(tx))[State.PENDING] - len(rows) if record is None else 0
    entries = sorted(map(outbox.entry_from, reversed(rows)), key=_blocks)
    return {entry.record_id: entry for entry in entries}, left_out


def _blocks(entry: OutboxEntry) -> bool:
    return entry.parked_reason is not None and entry.parked_reason.blocks


def _plain(seen: _Seen, *, fields: bool) -> dict[str, Any]:
    one, entry = seen.preview, seen.entry
    told = {
        "record_id": one.record_id,
        "entry": entry.id if entry else None,
        "parked": entry.parked_reason if entry else None,
        "would": one.would,
        "portal_id": one.portal_id,
        "code": one.code,
        "message": one.message,
        "reasons": list(one.reasons),
        "candidates": [{"portal_id": chart, "grade": match.grade.name.lower()} for chart, match in one.candidates],
        "changes": len(one.steps),
    }
    if not fields:
        return told
    cards = [
        {"portal_id": card.portal_id, "notes": list(card.notes), "lines": [asdict(line) for line in card.lines]}
        for card in one.cards
    ]
    return {**told, "fields": [asdict(step) for step in one.steps], "cards": cards}


def _show(one: Preview, entry: OutboxEntry | None) -> None:
    chart = f", chart {one.portal_id}" if one.portal_id else ""
    steps = [(f"{step.section} {step.row}".strip(), step.label, step.old, step.new) for step in one.steps]
    parts: list[object] = [f"Record {one.record_id}{chart}: {_WORDS[one.would]}", one.message]
    if steps:
        parts.append(table("", ("section", "field", "now", "would be"), steps))
    for card in one.cards:
        parts += [_beside(card), *card.notes]
    if entry is not None and entry.parked_reason is not None:
        parts.append(f"Entry {entry.id} waits for a person.\n  → {answer(entry.id, entry.parked_reason)}")
    show(*(part for part in parts if part != ""))


def _beside(card: Card) -> Table:
    title = f"Chart {card.portal_id}: {_SURE[card.match.grade]}"
    lines = [(line.label, line.record, "\n".join(line.chart), line.how) for line in card.lines]
    return table(title, ("field", "Salesforce", "this chart", "how they compare"), lines)


def _count(seen: Sequence[Preview]) -> None:
    if not seen:
        show("Nothing waits for the portal.")
        return
    by_kind = Counter(one.would for one in seen)
    typed = Counter[str]()
    for one in seen:
        typed[one.would] += len(one.steps)
    rows = [(would, number, typed[would], _WORDS[would]) for would, number in by_kind.most_common()]
    show(table("What waits", ("a visit would", "records", "fields typed", "meaning"), rows))
    show(*(f"{one.record_id}: {one.message}" for one in seen if one.would in ("refuse", "unread")))


def _left_out(number: int, limit: int) -> list[str]:
    if number <= 0:
        return []
    return [f"These are the newest {limit}; {number} more entries wait: `--limit {limit + number}` takes them all."]
