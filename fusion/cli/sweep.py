"""`fusion-sync sweep`: look now for what the stream may have missed."""

from __future__ import annotations

import asyncio
import getpass
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer

from fusion.cli.acting import Json
from fusion.cli.lookout import lookout
from fusion.cli.tables import as_json
from listener import gaps, positions
from listener.sweep import OVERLAP, Swept, look, sweep


def command(
    since: Annotated[
        datetime | None,
        typer.Option(
            help="Compare everything that changed since then (UTC). Without it: since the last sweep.",
            formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"],
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count; nothing is written.")] = False,
    json: Json = False,
) -> None:
    """Compare records with what we heard of them, and enqueue what the stream had not told.

    With --since a gap is put down first, so that a listener goes on with it if this command is cut off.
    """
    done = asyncio.run(_sweep(since.replace(tzinfo=UTC) if since else None, dry_run=dry_run))
    if json:
        typer.echo(as_json({"dry_run": dry_run, **asdict(done)}))
        return
    found = done.missed + done.deleted
    verb = "would be enqueued" if dry_run else "enqueued"
    typer.echo(
        f"{done.changed} records changed between {done.since:%Y-%m-%d %H:%M} and {done.until:%Y-%m-%d %H:%M} UTC."
    )
    typer.echo(f"Found {found} that the stream had not told of ({done.deleted} deleted): {verb}.")
    if done.gaps:
        typer.echo(f"Gaps closed: {done.gaps}.")


async def _sweep(since: datetime | None, *, dry_run: bool) -> Swept:
    async with lookout() as here:
        channel, db = here.channel, here.intake.db
        if dry_run:
            async with db.reading() as tx:
                standing = await positions.standing(tx, channel)
            last = (standing.swept_until if standing else None) or await here.org.now()
            return await look(
                here.org, db, object_name=here.object_name, where=here.ready, since=since or last - OVERLAP
            )
        if since is not None:
            reason = f"asked for by {getpass.getuser()}"
            async with db.writing() as tx:
                await gaps.open_gap(tx, channel, reason=reason, object_name=None, since=since, until=None)
        return await sweep(here.org, here.intake, object_name=here.object_name, channel=channel, where=here.ready)
