"""`fusion-sync purge`: delete what was finished long ago."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from fusion import evidence
from fusion.cli.acting import Json
from fusion.cli.tables import as_json
from fusion.settings import load
from listener.database import Database
from listener.errors import SetupError
from listener.upkeep import Purged, purge


def command(
    days: Annotated[int, typer.Option(help="Keep what was finished within so many days.", min=7)] = 90,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count.")] = False,
    json: Json = False,
) -> None:
    """Delete finished entries with their changes and attempts, and old evidence. What waits for a person stays."""
    gone, files = asyncio.run(_purge(timedelta(days=days), dry_run=dry_run))
    if json:
        typer.echo(as_json({"dry_run": dry_run, **asdict(gone), "evidence": files}))
        return
    verb = "would go" if dry_run else "deleted"
    rows = f"{gone.entries} entries, {gone.gaps} closed gaps, {gone.dead_letters} dead letters"
    typer.echo(f"{rows} and {files} files of evidence {verb}.")


async def _purge(older_than: timedelta, *, dry_run: bool) -> tuple[Purged, int]:
    db = Database(load().database.url)
    try:
        await db.check()
        gone = await purge(db, older_than=older_than, only_count=dry_run)
    finally:
        await db.close()
    try:
        portal = load(portal=True).portal
    except SetupError:
        return gone, 0  # a host that does not work in the portal has none
    days = timedelta(days=portal.evidence_days)
    return gone, evidence.purge(portal.evidence_dir, older_than=days, now=datetime.now(UTC), only_count=dry_run)
