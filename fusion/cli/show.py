"""`fusion-sync show ID`: one outbox row, the changes it stands for, and every attempt on it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from fusion.cli.moves import answer, look
from fusion.cli.tables import as_json, show, table
from fusion.settings import load
from listener import board
from listener.database import Database
from listener.entry import ParkedReason, State


def command(
    entry: Annotated[int, typer.Argument(help="The entry's number, as `fusion-sync outbox` lists it.")],
    json: Annotated[bool, typer.Option("--json", help="One JSON object for machines.")] = False,
) -> None:
    """Show one entry whole: how it stands, which changes it stands for, what was tried."""
    found = asyncio.run(_read(entry))
    if found is None:
        typer.echo(f"There is no entry {entry}.", err=True)
        raise typer.Exit(1)
    if json:
        typer.echo(as_json(found))
        return
    facts = [(name, value) for name, value in found["entry"].items() if value is not None]
    changes = [
        (one["changed_at"], one["kind"], one["source"], ", ".join(one["fields"]) or "any", one["received_at"])
        for one in found["changes"]
    ]
    attempts = [
        (
            one["started_at"],
            one["step"],
            one["fence"],
            one["ended_at"] or "cut off, or still at it",
            one["outcome"],
            one["error_class"],
            one["message"],
        )
        for one in found["attempts"]
    ]
    show(
        table(f"Entry {entry}", ("", "as it stands"), facts),
        table("Changes (names of fields only)", ("changed at", "kind", "heard by", "fields", "received"), changes),
        table("Attempts", ("began", "step", "fence", "ended", "outcome", "error", "message"), attempts),
        *_moves(found["entry"]),
    )


def _moves(row: Mapping[str, Any]) -> list[str]:
    if row["state"] != State.PARKED:
        return []
    reason = ParkedReason(row["parked_reason"])
    return [f"  → {one}" for one in (look(row["record_id"], reason), answer(row["id"], reason)) if one]


async def _read(entry: int) -> dict[str, Any] | None:
    db = Database(load().database.url)
    try:
        await db.check()
        async with db.reading() as tx:
            return await board.story(tx, entry)
    finally:
        await db.close()
