"""`fusion-sync gaps`: when the stream may have missed something, and what was found there."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Annotated

import typer

from fusion.cli.acting import Json
from fusion.cli.tables import as_json, show, table
from fusion.settings import load
from listener import gaps
from listener.database import Database
from listener.gaps import Gap


def command(
    only_open: Annotated[bool, typer.Option("--open", help="Only those that were not swept to their end.")] = False,
    limit: Annotated[int, typer.Option(help="How many at the most; the newest.", min=1)] = 50,
    json: Json = False,
) -> None:
    """List the gaps in the stream. Each is swept by itself: every record that changed in it is compared."""
    found = asyncio.run(_read(only_open=only_open, limit=limit))
    if json:
        typer.echo(as_json([asdict(gap) for gap in found]))
        return
    if not found:
        typer.echo("No gap is open." if only_open else "There was no gap.")
        return
    columns = ("gap", "from (UTC)", "to (UTC)", "why", "changed", "not told", "deleted", "meaning")
    shown = [
        (
            gap.id,
            gap.from_at or "the beginning",
            gap.to_at or "now",
            gap.reason,
            gap.changed,
            gap.enqueued,
            gap.deleted,
            in_words(gap),
        )
        for gap in found
    ]
    show(table("Gaps", columns, shown))


def in_words(gap: Gap) -> str:
    """What the gap means for whoever runs this."""
    if gap.closed_at is None:
        reached = f", compared up to {gap.swept_until:%Y-%m-%d %H:%M} so far" if gap.swept_until else ""
        return f"Open{reached}: changes in it may not be known yet. The next sweep closes it."
    told = (gap.enqueued or 0) + (gap.deleted or 0)
    said = f"Closed: {told} that the stream had not told of were enqueued." if told else "Closed: nothing was missed."
    return f"{said} {gap.note}" if gap.note else said


async def _read(*, only_open: bool, limit: int) -> list[Gap]:
    db = Database(load().database.url)
    try:
        await db.check()
        async with db.reading() as tx:
            return await gaps.list_gaps(tx, only_open=only_open, limit=limit)
    finally:
        await db.close()
