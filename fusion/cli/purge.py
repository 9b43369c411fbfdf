"""`fusion-sync purge`: delete what was finished long ago."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from datetime import timedelta
from typing import Annotated

import typer

from fusion.cli.acting import Json
from fusion.cli.tables import as_json
from fusion.settings import load
from listener.database import Database
from listener.upkeep import Purged, purge


def command(
    days: Annotated[int, typer.Option(help="Keep what was finished within so many days.", min=7)] = 90,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count.")] = False,
    json: Json = False,
) -> None:
    """Delete finished entries with their changes and attempts. What waits for a person is never deleted."""
    gone = asyncio.run(_purge(timedelta(days=days), dry_run=dry_run))
    if json:
        typer.echo(as_json({"dry_run": dry_run, **asdict(gone)}))
        return
    verb = "would go" if dry_run else "deleted"
    typer.echo(f"{gone.entries} entries, {gone.gaps} closed gaps and {gone.dead_letters} dead letters {verb}.")


async def _purge(older_than: timedelta, *, dry_run: bool) -> Purged:
    db = Database(load().database.url)
    try:
        await db.check()
        return await purge(db, older_than=older_than, only_count=dry_run)
    finally:
        await db.close()
